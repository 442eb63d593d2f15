"""What was known of every customer at a cutoff: one row each, one column a fact.

Only facts with an event time before the cutoff are read. What has no time of its own
(status, plan, owner, cancellation) is never read; subscriptions are seen through their
stored versions, and only where a source gives their whole history, since otherwise the
mere absence of a version would tell who changed later.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

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
    place = {int(customer): row for row, customer in enumerate(customers)}
    parameters = {
        "org": org_id,
        "base": row[1],
        "ids": f"{{{','.join(map(str, customers.tolist()))}}}",
        "at": at,
        "day": cutoff_day,
    }
    for group, sql, names in fact_sql.QUERIES:
        cur.execute(sql, parameters)
        found = cur.fetchall()
        for name in _ZERO.get(group, ()) if found else ():
            if name in names:
                values[:, NAMES.index(name)] = 0.0
        columns = [NAMES.index(name) for name in names]
        for customer, *numbers in found:
            target = place.get(customer)
            if target is not None:
                values[target, columns] = [
                    np.nan if number is None else float(number) for number in numbers
                ]
    _derive(values, cutoff_day.timetuple().tm_yday)
    return Snapshot(day, customers, values)


def row_hash(values: FloatArray) -> uuid.UUID:
    """128-bit hash of one feature row, equal for equal bits."""
    normal = np.where(np.isnan(values), np.nan, values + 0.0)
    return uuid.UUID(bytes=hashlib.blake2b(normal.tobytes(), digest_size=16).digest())


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
