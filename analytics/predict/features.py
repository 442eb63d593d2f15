"""What was known of every customer at a cutoff: one row each, one column a fact.

Only facts with an event time before the cutoff are read. What has no time of its own
(status, plan, owner, cancellation) is never read; subscriptions are seen through their
stored versions, and only where a source gives their whole history, since otherwise the
mere absence of a version would tell who changed later.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from analytics.facts.base import literal
from analytics.facts.reading import read
from analytics.predict import fact_sql
from analytics.predict.labels import EPOCH

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

GROUPS: dict[str, tuple[str, ...]] = {
    "usage": (
        "days_since_use",
        "active_days_7",
        "active_days_28",
        "active_days_90",
        "usage_trend",
        "users_28",
        "users_trend",
        "features_28",
        "features_trend",
        "usual_gap_days",
        "gap_ratio",
    ),
    "billing": (
        "mrr",
        "mrr_change_90",
        "seats",
        "days_to_renewal",
        "failed_payments_90",
        "overdue_invoices",
        "late_payments_180",
        "billed_last",
        "billed_change",
    ),
    "support": (
        "tickets_28",
        "tickets_90",
        "urgent_90",
        "reopened_90",
        "open_tickets",
        "ticket_rating_180",
    ),
    "engagement": (
        "conversations_90",
        "days_since_conversation",
        "mails_answered_90",
        "days_since_mail",
    ),
    "sentiment": ("survey_last", "survey_mean_365", "days_since_survey"),
    "tenure": ("tenure_days", "season_sin", "season_cos"),
}
"""Feature groups of explanations; their order is the order of columns."""

_HASHED = 10_000
"""Rows whose bytes are in memory at once."""

NAMES: tuple[str, ...] = tuple(name for names in GROUPS.values() for name in names)
_ZERO = {
    "usage": ("active_days_7", "active_days_28", "active_days_90", "users_28",
              "features_28"),
    "billing": ("failed_payments_90", "overdue_invoices", "late_payments_180"),
    "support": ("tickets_28", "tickets_90", "urgent_90", "reopened_90",
                "open_tickets"),
    "engagement": ("conversations_90", "mails_answered_90"),
}  # fmt: skip
"""Counts: no row means none, where the organisation has such facts at all."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """values (n, f) in the order of `NAMES`, NaN = not known; customers: ids (n,)."""

    day: int
    customers: IntArray
    values: FloatArray

    def column(self, name: str) -> FloatArray:
        """One feature by name."""
        return self.values[:, NAMES.index(name)]


def gather(
    cur: Cursor, org_id: int, customers: IntArray, day: int, timezone: str
) -> Snapshot:
    """The snapshot of these customers at local midnight of `day` (days since 1970)."""
    cutoff_day = EPOCH + timedelta(days=day)
    cur.execute(
        "SELECT %s::timestamp AT TIME ZONE %s, upper(base_currency) "
        "FROM cg_organization WHERE id = %s",
        [cutoff_day, timezone, org_id],
    )
    row = cur.fetchone()
    assert row is not None
    at: datetime = row[0]
    values = np.full((len(customers), len(NAMES)), np.nan)
    order = np.argsort(customers, kind="stable")
    parameters = {
        "org": org_id,
        "base": row[1],
        "ids": literal(customers.tolist()),
        "at": at,
        "day": cutoff_day,
    }
    for group, sql, names in fact_sql.QUERIES:
        found = read(
            cur,
            f"SELECT * FROM ({sql}) facts (customer, {', '.join(names)})",
            parameters,
            ("customer", *names),
        )
        who = found.pop("customer").astype(np.int64)
        if not len(who):
            continue
        zero = _ZERO.get(group, ())
        place = np.searchsorted(customers, who, sorter=order)
        rows = order[np.minimum(place, len(customers) - 1)]
        is_ours = customers[rows] == who
        for name, column in found.items():
            if name in zero:
                values[:, NAMES.index(name)] = 0.0
            values[rows[is_ours], NAMES.index(name)] = column[is_ours]
    _derive(values, cutoff_day.timetuple().tm_yday)
    return Snapshot(day, customers, values)


def row_hashes(values: FloatArray) -> list[bytes]:
    """128-bit hash of each feature row (n, f), equal for equal bits."""
    found: list[bytes] = []
    for start in range(0, len(values), _HASHED):
        block = values[start : start + _HASHED]
        # One bit pattern for every NaN and for both zeros.
        block = np.where(np.isnan(block), np.nan, block + 0.0)
        data, width = memoryview(block.tobytes()), block.itemsize * block.shape[1]
        found += [
            hashlib.blake2b(data[at : at + width], digest_size=16).digest()
            for at in range(0, len(data), width)
        ]
    return found


def _derive(values: FloatArray, day_of_year: int) -> None:
    """Columns that follow from others; season as a point on the year's circle."""

    def at(name: str) -> int:
        return NAMES.index(name)

    with np.errstate(divide="ignore", invalid="ignore"):
        gap = np.maximum(values[:, at("usual_gap_days")], 1.0)
        values[:, at("gap_ratio")] = values[:, at("days_since_use")] / gap
    angle = 2 * np.pi * day_of_year / 365.25
    values[:, at("season_sin")] = np.sin(angle)
    values[:, at("season_cos")] = np.cos(angle)
