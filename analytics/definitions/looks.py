"""Monthly looks back: the accounts a definition is for, their metrics as they stood,
and who left within the horizon after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from analytics import health
from analytics.definition import METRICS
from analytics.definitions import past
from analytics.facts.base import CustomerFacts
from analytics.predict import labels, snapshots
from analytics.predict.models import LabelDefinition

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

PRIOR_LEAST = 30
"""Customers needed for a median, as in scoring."""


@dataclass(frozen=True, slots=True)
class Look:
    """One cutoff (days since 1970): ids (n,), their segments, metrics, and outcomes
    (n,), 1 = left."""

    day: int
    customers: IntArray
    segments: list[str]
    facts: CustomerFacts
    outcomes: FloatArray
    is_backfilled: bool


def load_looks(
    cur: Cursor,
    org_id: int,
    label: LabelDefinition,
    clock: snapshots.Clock,
    segment: str,
    own_segments: set[str],
    *,
    seed: int = 0,
) -> list[Look]:
    """The matured looks, oldest first, at the accounts that the definition of
    `segment` is for; "" is for all but `own_segments`."""
    first = snapshots.first_day(cur, org_id)
    days = [] if first is None else snapshots.cutoffs(first, clock.day, label)
    if not days:
        return []
    history = labels.load_history(cur, org_id, label, clock.timezone)
    feeds = past.load_feeds(cur, org_id)
    stored_from = snapshots.first_stored_day(cur, org_id)
    names = _segments(cur, org_id)
    most = max(snapshots.LEAST_PER_COHORT, snapshots.MOST_ROWS // len(days))
    random = np.random.default_rng(seed)
    found = []
    for day in days:
        everyone = history.population(day)
        wanted = [
            _is_for(segment, names.get(int(one), ""), own_segments) for one in everyone
        ]
        customers = everyone[np.array(wanted, dtype=bool)]
        if len(customers) > most:
            customers = np.sort(random.choice(customers, most, replace=False))
        if not len(customers):
            continue
        found.append(
            Look(
                day=day,
                customers=customers,
                segments=[names.get(int(one), "") for one in customers],
                facts=past.gather_past(
                    cur, org_id, customers, day, clock.timezone, feeds
                ),
                outcomes=labels.outcomes(history, customers, day, label),
                is_backfilled=stored_from is None or day < stored_from,
            )
        )
    return found


def score_look(look: Look, spec: dict[str, Any]) -> health.Scores:
    """The scores of a look under a definition; medians are those of the look."""
    raw = health.metric_scores(look.facts.values, spec)
    medians = _medians(raw, look.segments)
    return health.compute(look.facts.with_priors(medians), spec)


def _is_for(segment: str, own: str, own_segments: set[str]) -> bool:
    return own == segment if segment else own not in own_segments


def _medians(raw: FloatArray, segments: list[str]) -> FloatArray:
    out = np.full(raw.shape, health.PRIOR)
    groups: dict[str, list[int]] = {}
    for row, segment in enumerate(segments):
        groups.setdefault(segment, []).append(row)
    for column in range(len(METRICS)):
        out[:, column] = _median(raw[:, column], health.PRIOR)
        for rows in groups.values():
            out[rows, column] = _median(raw[rows, column], out[rows[0], column])
    return out


def _median(values: FloatArray, otherwise: float) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) >= PRIOR_LEAST else otherwise


def _segments(cur: Cursor, org_id: int) -> dict[int, str]:
    cur.execute(
        "SELECT id, segment FROM cg_customer WHERE organization_id = %s "
        "AND segment <> ''",
        [org_id],
    )
    return dict(cur.fetchall())
