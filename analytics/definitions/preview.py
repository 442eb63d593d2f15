"""What a definition would do to every customer, computed from the facts of now and
written nowhere. "Before" is the definition in use on the same facts, so that all
differences are the definition's doing."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from django.db import connection, transaction
from psycopg import Cursor

from analytics import facts as fact_table
from analytics import health, scoring
from analytics.definition import METRICS, completed
from analytics.definitions.rollout import way
from analytics.score_notes import ScoredCustomer
from churnguard.models import Organization

MOVERS = 20
_CHUNK = 5_000
_BANDS = (health.HEALTHY, health.WATCH, health.AT_RISK, health.UNKNOWN)
_LINES = (*(metric.label for metric in METRICS), "Stale facts", "Cap")


@dataclass(slots=True)
class _Tally:
    """Sums over all customers, and a heap of the largest movers."""

    customers: int = 0
    affected: int = 0
    scored: int = 0
    sums: list[int] = field(default_factory=lambda: [0, 0])
    bands: dict[tuple[str, str], int] = field(default_factory=dict)
    tens: Any = field(default_factory=lambda: np.zeros((2, 10), dtype=np.int64))
    movers: list[tuple[int, int, dict[str, Any]]] = field(default_factory=list)


def preview(
    organization: Organization, segment: str, spec: dict[str, Any], now: datetime
) -> dict[str, Any]:
    """The effect of using `spec` for `segment` ("" = the organisation), JSON-safe."""
    definitions = scoring.active_definitions(organization.pk)
    specs = {name: completed(one.spec) for name, one in definitions.items()}
    tally = _Tally()
    last = 0
    while True:
        with transaction.atomic(), connection.cursor() as wrapper:
            cur = wrapper.cursor
            cur.execute("SET LOCAL work_mem = '256MB'")
            cur.execute(
                "SELECT id FROM cg_customer WHERE organization_id = %s AND id > %s "
                "AND merged_into_id IS NULL ORDER BY id LIMIT %s",
                [organization.pk, last, _CHUNK],
            )
            ids = [row[0] for row in cur.fetchall()]
            if not ids:
                break
            last = ids[-1]
            _add(cur, organization, ids, specs, {**specs, segment: spec}, now, tally)
    return _result(tally, now)


def _add(
    cur: Cursor,
    organization: Organization,
    ids: list[int],
    before: dict[str, Any],
    after: dict[str, Any],
    now: datetime,
    tally: _Tally,
) -> None:
    customers = scoring.load_customers(cur, ids, now)
    found = fact_table.gather(
        cur, organization.pk, [one.id for one in customers], now, organization.timezone
    )
    priors = scoring.get_priors(cur, organization.pk, customers)
    for own in sorted({one.segment for one in customers}):
        rows = [row for row, one in enumerate(customers) if one.segment == own]
        facts = found.with_priors(priors, rows)
        some = [customers[row] for row in rows]
        old_spec = before.get(own, before[""])
        new_spec = after.get(own, after[""])
        old = _score(facts, some, old_spec)
        new = old if new_spec is old_spec else _score(facts, some, new_spec)
        _count(tally, some, old, new, is_affected=new_spec is not old_spec)


def _score(
    facts: health.Facts, customers: list[ScoredCustomer], spec: dict[str, Any]
) -> tuple[health.Scores, list[str]]:
    """As scoring does it: hysteresis starts from the band of now."""
    scores = health.compute(facts, spec)
    bands = health.bands(
        scores.score, scores.coverage_pct, [one.band for one in customers], spec
    )
    return scores, [
        band if known else health.UNKNOWN
        for band, known in zip(bands, scores.known.tolist(), strict=True)
    ]


def _count(
    tally: _Tally,
    customers: list[ScoredCustomer],
    old: tuple[health.Scores, list[str]],
    new: tuple[health.Scores, list[str]],
    *,
    is_affected: bool,
) -> None:
    (was, was_band), (is_, is_band) = old, new
    tally.customers += len(customers)
    tally.affected += len(customers) if is_affected else 0
    both = was.known & is_.known
    tally.scored += int(both.sum())
    for place, scores in enumerate((was, is_)):
        tally.sums[place] += int(scores.score[both].sum())
        tens = np.minimum(scores.score[both] // 10, 9)
        tally.tens[place] += np.bincount(tens, minlength=10)
    for pair in zip(was_band, is_band, strict=True):
        tally.bands[pair] = tally.bands.get(pair, 0) + 1
    moved = np.where(both, is_.score - was.score, 0)
    order = np.argsort(-np.abs(moved), kind="stable")[:MOVERS]
    for row in order[moved[order] != 0].tolist():
        customer = customers[row]
        line = {
            "customer_id": customer.public_id,
            "name": customer.name,
            "segment": customer.segment,
            "score_before": int(was.score[row]),
            "score_after": int(is_.score[row]),
            "band_before": was_band[row],
            "band_after": is_band[row],
            "reason": _reason(was.losses[row], is_.losses[row]),
        }
        item = (abs(int(moved[row])), -customer.id, line)
        if len(tally.movers) < MOVERS:
            heapq.heappush(tally.movers, item)
        else:
            heapq.heappushpop(tally.movers, item)


def _reason(before: Any, after: Any) -> str:
    """The line of the ledger that moved most in the direction of the score."""
    change = after - before
    direction = 1 if change.sum() >= 0 else -1
    line = int(np.argmax(change * direction))
    return (
        f"{_LINES[line]}: {int(after[line])} points lost instead of {int(before[line])}"
    )


def _result(tally: _Tally, now: datetime) -> dict[str, Any]:
    moves = []
    ways = {"rose": 0, "fell": 0, "other": 0}
    for (old, new), count in sorted(tally.bands.items(), key=lambda one: -one[1]):
        if old != new:
            moves.append({"from": old, "to": new, "count": count})
            ways[way(old, new)] += count
    return {
        "as_of": now.isoformat(),
        "customers": tally.customers,
        "affected": tally.affected,
        "scored": tally.scored,
        "average": {
            name: round(total / tally.scored, 2) if tally.scored else None
            for name, total in zip(("before", "after"), tally.sums, strict=True)
        },
        "bands": [
            {
                "band": band,
                "before": sum(n for (old, _), n in tally.bands.items() if old == band),
                "after": sum(n for (_, new), n in tally.bands.items() if new == band),
            }
            for band in _BANDS
        ],
        "moves": moves,
        **ways,
        "distribution": [
            {
                "from": 10 * place,
                "to": 10 * place + (10 if place == 9 else 9),
                "before": int(tally.tens[0][place]),
                "after": int(tally.tens[1][place]),
            }
            for place in range(10)
        ],
        "movers": [line for *_, line in sorted(tally.movers, reverse=True)],
    }
