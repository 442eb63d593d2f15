"""Scoring customers in sets: claim stale ones, compute, append history, publish.

The claim holds the customers' row locks until the scores are stored; whoever changes
a customer's facts updates `score_stale_at` unconditionally in its own transaction, so
a change is either seen by this round or marks the customer for the next.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from psycopg import Cursor

from analytics import definition, health, score_lines
from analytics import facts as fact_table
from analytics.definition import METRICS
from analytics.definitions import effects
from analytics.facts.base import literal
from analytics.models import ScoreDefinition
from analytics.revenue import mrr, pieces
from analytics.score_notes import ScoredCustomer, publish_changes
from churnguard.models import Organization

log = logging.getLogger(__name__)

CLAIM = 5_000
_PRIORS_LEAST = 30
_PRIORS_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """scored: customers looked at; changed: history rows written; band_changes:
    (customer id, before, after)."""

    scored: int
    changed: int
    band_changes: list[tuple[int, str, str]]


def score_stale(now: datetime | None = None) -> int:
    """Loop: score up to 5,000 stale customers of one organisation.

    Returns how many were scored.
    """
    at = now or datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(
            "SELECT organization_id FROM cg_customer WHERE score_stale_at IS NOT NULL "
            "ORDER BY score_stale_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED"
        )
        first = cur.fetchone()
        if first is None:
            return 0
        cur.execute(
            "SELECT id FROM cg_customer WHERE score_stale_at IS NOT NULL "
            "AND organization_id = %s ORDER BY score_stale_at LIMIT %s "
            "FOR NO KEY UPDATE SKIP LOCKED",
            [first[0], CLAIM],
        )
        ids = [row[0] for row in cur.fetchall()]
        result = score_customers(cur, first[0], ids, at)
    if result.changed:
        log.info(
            "scores.computed",
            extra={"record_count": result.scored, "changed": result.changed},
        )
    return result.scored


def score_now(org_id: int, customer_ids: list[int], now: datetime) -> ScoreResult:
    """Score these customers at once (the "recompute" action)."""
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(
            "SELECT id FROM cg_customer WHERE organization_id = %s AND id = ANY(%s) "
            "ORDER BY id FOR NO KEY UPDATE",
            [org_id, customer_ids],
        )
        return score_customers(cur, org_id, [row[0] for row in cur.fetchall()], now)


def score_customers(
    cur: Cursor, org_id: int, customer_ids: list[int], now: datetime
) -> ScoreResult:
    """Compute and store inside the caller's transaction, which has the row locks."""
    if not customer_ids:
        return ScoreResult(0, 0, [])
    cur.execute("SET LOCAL work_mem = '256MB'")
    cur.execute("SELECT timezone FROM cg_organization WHERE id = %s", [org_id])
    (timezone,) = cur.fetchone() or ()
    customers = load_customers(cur, customer_ids, now)
    facts = fact_table.gather(cur, org_id, [c.id for c in customers], now, timezone)
    priors = get_priors(cur, org_id, customers)
    changed = 0
    band_changes: list[tuple[int, str, str]] = []
    for definition_id, spec, rows in _by_definition(org_id, customers):
        subset = facts.with_priors(priors, rows)
        scores = health.compute(subset, spec)
        some = [customers[row] for row in rows]
        new_bands = health.bands(
            scores.score, scores.coverage_pct, [c.band for c in some], spec
        )
        new_bands = [
            band if known else health.UNKNOWN
            for band, known in zip(new_bands, scores.known.tolist(), strict=True)
        ]
        lines = score_lines.get_lines(facts, rows, scores)
        changed += _store(cur, org_id, definition_id, some, lines, new_bands, now)
        band_changes += [
            (c.id, c.band, band)
            for c, band in zip(some, new_bands, strict=True)
            if c.band != band
        ]
        spared = effects.fallen_by_definition(
            cur, definition_id, some, subset, new_bands, now
        )
        publish_changes(cur, org_id, some, scores, new_bands, now, spared=spared)
    return ScoreResult(len(customers), changed, band_changes)


def active_definition(organization_id: int, segment: str = "") -> ScoreDefinition:
    """The active definition of a segment, else of the organisation; made on demand."""
    found = ScoreDefinition.objects.filter(
        organization_id=organization_id, is_active=True
    )
    chosen = found.filter(segment=segment).first() or found.filter(segment="").first()
    if chosen is not None:
        return chosen
    made, _ = ScoreDefinition.objects.get_or_create(
        organization_id=organization_id,
        segment="",
        version=1,
        defaults={"spec": definition.DEFAULT_SPEC, "is_active": True},
    )
    return made


def load_customers(cur: Cursor, ids: list[int], now: datetime) -> list[ScoredCustomer]:
    cur.execute(
        "SELECT id, public_id, name, segment, score, band, "
        "coalesce(churned_at <= %s, false) FROM cg_customer "
        "WHERE id = ANY(%s::bigint[]) ORDER BY id",
        [now, literal(ids)],
    )
    return [ScoredCustomer(*row) for row in cur.fetchall()]


def active_definitions(organization_id: int) -> dict[str, ScoreDefinition]:
    """Segment -> its own active definition; "" is the organisation's, always there."""
    own = ScoreDefinition.objects.filter(
        organization_id=organization_id, is_active=True
    ).exclude(segment="")
    return {
        "": active_definition(organization_id),
        **{item.segment: item for item in own},
    }


def _by_definition(
    org_id: int, customers: list[ScoredCustomer]
) -> list[tuple[int, dict[str, Any], list[int]]]:
    """(definition id, spec, row numbers): a segment's own definition where it has
    one, else the organisation's."""
    definitions = active_definitions(org_id)
    groups: dict[int, tuple[dict[str, Any], list[int]]] = {}
    for row, customer in enumerate(customers):
        chosen = definitions.get(customer.segment, definitions[""])
        groups.setdefault(chosen.pk, (chosen.spec, []))[1].append(row)
    return [
        (pk, definition.completed(spec), rows) for pk, (spec, rows) in groups.items()
    ]


def get_priors(
    cur: Cursor, org_id: int, customers: list[ScoredCustomer]
) -> health.Floats:
    """(n, m): the segment's median where 30 customers are known, else the
    organisation's, else 60."""
    cur.execute(
        "SELECT segment, metric, median FROM an_metric_prior "
        "WHERE organization_id = %s AND customers >= %s",
        [org_id, _PRIORS_LEAST],
    )
    table = {(segment, metric): median for segment, metric, median in cur.fetchall()}
    place: dict[str, int] = {}
    rows = [place.setdefault(customer.segment, len(place)) for customer in customers]
    by_segment = [
        [
            table.get((segment, m.name), table.get(("", m.name), health.PRIOR))
            for m in METRICS
        ]
        for segment in place
    ]
    medians = np.array(by_segment).reshape(-1, len(METRICS))
    return medians[np.array(rows, dtype=np.int64)]


def refresh_priors(org_id: int, now: datetime) -> int:
    """Recompute the medians from every customer's newest score; returns rows written.

    Idempotent; called with the nightly decay.
    """
    with transaction.atomic(), connection.cursor() as wrapper:
        wrapper.cursor.execute(
            "WITH newest AS (SELECT DISTINCT ON (h.customer_id) h.customer_id, h.parts "
            "  FROM an_health_score h WHERE h.organization_id = %(org)s "
            "  AND h.at > %(since)s ORDER BY h.customer_id, h.at DESC), "
            "lines AS (SELECT c.segment, p.value->>0 AS metric, "
            "  (p.value->>1)::float AS raw FROM newest n "
            "  JOIN cg_customer c ON c.id = n.customer_id, "
            "  jsonb_array_elements(n.parts) p WHERE p.value->>1 IS NOT NULL), "
            "medians AS (SELECT segment, metric, count(*) AS n, "
            "  percentile_cont(0.5) WITHIN GROUP (ORDER BY raw) AS median "
            "  FROM lines GROUP BY GROUPING SETS ((segment, metric), (metric))) "
            "INSERT INTO an_metric_prior (organization_id, segment, metric, median, "
            "  customers, computed_at) "
            "SELECT DISTINCT ON (coalesce(segment, ''), metric) %(org)s, "
            "  coalesce(segment, ''), metric, median, n, %(now)s FROM medians "
            "ORDER BY coalesce(segment, ''), metric, n DESC "
            "ON CONFLICT (organization_id, segment, metric) DO UPDATE "
            "SET median = excluded.median, customers = excluded.customers, "
            "    computed_at = excluded.computed_at",
            {"org": org_id, "now": now, "since": now - timedelta(days=365)},
        )
        return int(wrapper.cursor.rowcount)


def _store(
    cur: Cursor,
    org_id: int,
    definition_id: int,
    customers: list[ScoredCustomer],
    lines: score_lines.Lines,
    new_bands: list[str],
    now: datetime,
) -> int:
    """Append the changed scores and update the customers; returns rows appended."""
    ids = literal([one.id for one in customers])
    known = lines.known.tolist()
    score = lines.score.tolist()
    coverage = lines.coverage_pct.tolist()
    hashes = score_lines.hashes(lines, new_bands, definition_id)
    before = _before(cur, ids, now)
    changed = [
        row
        for row, (new, (old, _)) in enumerate(zip(hashes, before, strict=True))
        if known[row] and new != old
    ]
    parts = score_lines.encode(lines, changed)
    exact = np.round(lines.exact, 4).tolist()
    at = now.isoformat()
    with cur.copy(
        "COPY an_health_score (organization_id, customer_id, definition_id, at, score, "
        "score_exact, band, coverage_pct, parts_hash, parts) FROM STDIN"
    ) as copy:
        for row, part in zip(changed, parts, strict=True):
            copy.write_row(
                (
                    org_id,
                    customers[row].id,
                    definition_id,
                    at,
                    score[row],
                    exact[row],
                    new_bands[row],
                    coverage[row],
                    hashes[row],
                    part,
                )
            )
    cur.execute(
        "CREATE TEMP TABLE IF NOT EXISTS score_stage (customer_id bigint, "
        "score smallint, band text, coverage smallint, trend smallint) "
        "ON COMMIT DELETE ROWS"
    )
    cur.execute("DELETE FROM score_stage")
    with cur.copy(
        "COPY score_stage (customer_id, score, band, coverage, trend) FROM STDIN"
    ) as copy:
        for row, customer in enumerate(customers):
            new = score[row] if known[row] else None
            old = before[row][1]
            trend = None if new is None or old is None else new - old
            copy.write_row((customer.id, new, new_bands[row], coverage[row], trend))
    cur.execute(
        "UPDATE cg_customer c SET score = s.score, band = s.band, "
        "  coverage_pct = s.coverage, scored_at = %(now)s, score_stale_at = NULL, "
        "  mrr_minor = m.mrr, trend = s.trend "
        f"FROM score_stage s LEFT JOIN ({pieces.of_customers(pieces.CUSTOMER_MRR)}) m "
        "  ON m.customer_id = s.customer_id "
        "WHERE c.id = s.customer_id",
        {
            **mrr.mrr_parameters(Organization.objects.get(pk=org_id), now, now),
            "ids": ids,
        },
    )
    return len(changed)


def _before(
    cur: Cursor, ids: str, now: datetime
) -> list[tuple[int | None, int | None]]:
    """Per customer the hash of the newest score and the score of a week ago."""
    cur.execute(
        "SELECT newest.parts_hash, week.score "
        "FROM unnest(%(ids)s::bigint[]) WITH ORDINALITY AS c (id, place) "
        "LEFT JOIN LATERAL (SELECT h.parts_hash FROM an_health_score h "
        "  WHERE h.customer_id = c.id ORDER BY h.at DESC LIMIT 1) newest ON true "
        "LEFT JOIN LATERAL (SELECT h.score FROM an_health_score h "
        "  WHERE h.customer_id = c.id AND h.at <= %(week)s "
        "  ORDER BY h.at DESC LIMIT 1) week ON true ORDER BY c.place",
        {"ids": ids, "week": now - timedelta(days=7)},
    )
    return cur.fetchall()
