"""Who was a customer at a cutoff, and who left within the horizon after it.

Subscription organisations: the paid spells of a customer are joined over gaps of at
most the grace, so a late renewal or a change of plan is no churn, and who comes back
later starts a new spell and can churn again. Inactivity: so many days without a
qualifying event are leaving; who returns is a customer again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Protocol

import numpy as np
from django.db import transaction
from numpy.typing import NDArray
from psycopg import Cursor

from analytics.predict.models import LabelDefinition

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EPOCH = date(1970, 1, 1)
FOREVER = 1 << 40


class History(Protocol):
    """What population and outcomes are read from."""

    def population(self, day: int) -> IntArray:
        """Ids, sorted, of those who were customers on `day`, as known on that day."""

    def ends(self, customers: IntArray, day: int) -> FloatArray:
        """Per customer of the population the day it left (inf = it has not)."""


@dataclass(frozen=True, slots=True)
class Spells:
    """Paid spells: customer id, first day and the day it ended (days since 1970;
    FOREVER = still running). `joined` ones are bridged over the grace."""

    customer: IntArray
    begin: IntArray
    end: IntArray
    joined: tuple[IntArray, IntArray, IntArray]

    def population(self, day: int) -> IntArray:
        """Ids, sorted, with a running subscription on `day`."""
        return np.unique(self.customer[(self.begin < day) & (self.end > day)])

    def ends(self, customers: IntArray, day: int) -> FloatArray:
        """The end of the joined spell that covers `day`."""
        who, begin, end = self.joined
        covers = (begin < day) & (end > day)
        ended = np.where(end >= FOREVER, np.inf, end.astype(np.float64))
        return _spread(customers, who[covers], ended[covers])


@dataclass(frozen=True, slots=True)
class Uses:
    """Days of use, sorted by customer and day. Who has not been seen for `silence`
    days has left already and returns with the next use."""

    customer: IntArray
    day: IntArray
    silence: int

    def population(self, day: int) -> IntArray:
        """Ids, sorted, seen within the silence before `day`."""
        recent = (self.day < day) & (self.day >= day - self.silence)
        return np.unique(self.customer[recent])

    def ends(self, customers: IntArray, day: int) -> FloatArray:
        """The first day of a silence that lasts so long from `day` on or later; it
        may have begun before `day`."""
        last = int(self.day.max()) if len(self.day) else day
        later = self.day >= day
        who, when = self.customer[later], self.day[later]
        before = np.roll(self.day, 1)[later]
        before = np.where(self.customer[later] == np.roll(self.customer, 1)[later],
                          before, day - 1)  # fmt: skip
        broken = when - np.maximum(before, day - 1) > self.silence
        ends = before[broken][::-1].astype(np.float64) + 1.0
        first_break = _spread(customers, who[broken][::-1], ends)
        newest = _spread(customers, self.customer, self.day.astype(np.float64))
        quiet_from = np.maximum(newest, day - 1.0)
        silent = np.where(last - quiet_from >= self.silence, newest + 1.0, np.inf)
        return np.minimum(first_break, silent)


def active_label(cur: Cursor, org_id: int) -> LabelDefinition:
    """The active definition, made on first use from what the organisation has.

    One that nobody chose gives way once there are subscriptions: an organisation may
    connect its billing after its events.
    """
    found = get_label(cur, org_id)
    if found.pk is not None:
        return found
    with transaction.atomic():
        LabelDefinition.objects.filter(organization_id=org_id, is_active=True).update(
            is_active=False
        )
        made, _ = LabelDefinition.objects.get_or_create(
            organization_id=org_id,
            version=found.version + 1,
            defaults={"kind": found.kind},
        )
    return made


def get_label(cur: Cursor, org_id: int) -> LabelDefinition:
    """The active definition; unsaved, with the defaults and the number of the version
    before it, where none was needed yet or the one that nobody chose is outdated."""
    found = LabelDefinition.objects.filter(
        organization_id=org_id, is_active=True
    ).first()
    is_default = found is not None and found.created_by == "system"
    if found is not None and not (is_default and found.kind == "inactivity"):
        return found
    kind = default_kind(cur, org_id)
    if found is not None and found.kind == kind:
        return found
    return LabelDefinition(
        organization_id=org_id, version=found.version if found else 0, kind=kind
    )


def default_kind(cur: Cursor, org_id: int) -> str:
    """subscription where the organisation has any, else inactivity."""
    cur.execute(
        "SELECT EXISTS (SELECT 1 FROM cg_subscription WHERE organization_id = %s "
        "AND customer_source_id IS NOT NULL)",
        [org_id],
    )
    row = cur.fetchone()
    return "subscription" if row and row[0] else "inactivity"


def load_history(
    cur: Cursor,
    org_id: int,
    label: LabelDefinition,
    timezone: str,
    *,
    since: int | None = None,
) -> History:
    """Every paid spell of the organisation, or every day with a qualifying event, from
    the day number `since` on."""
    if label.kind == "subscription":
        found = _columns(_subscriptions(cur, org_id, timezone))
        return Spells(*found, _join(*found, label.grace_days))
    cur.execute(
        "SELECT DISTINCT s.customer_id, u.day - date '1970-01-01' "
        "FROM cg_usage_day u JOIN cg_customer_source s "
        "ON s.id = u.customer_source_id "
        "WHERE u.organization_id = %(org)s AND u.n > 0 "
        "AND (%(names)s::text[] IS NULL OR u.name = ANY(%(names)s)) "
        "AND u.day >= %(since)s ORDER BY 1, 2",
        {
            "org": org_id,
            "names": label.qualifying or None,
            "since": EPOCH + timedelta(days=since or 0),
        },
    )
    table = np.array(cur.fetchall(), dtype=np.int64).reshape(-1, 2)
    return Uses(table[:, 0], table[:, 1], label.inactivity_days)


def outcomes(
    history: History, customers: IntArray, day: int, label: LabelDefinition
) -> FloatArray:
    """1 where the customer left within the horizon after `day` (n,)."""
    ends = history.ends(customers, day)
    if label.kind == "inactivity":
        # Leaving is seen when the silence is full.
        ends = ends + label.inactivity_days
    return (ends <= day + label.horizon_days).astype(np.float64)


def maturing_days(label: LabelDefinition) -> int:
    """Days after a cutoff until its outcomes are known for certain."""
    grace = label.grace_days if label.kind == "subscription" else 0
    return label.horizon_days + grace


def describe(label: LabelDefinition) -> str:
    """What leaving means by this definition, as the end of a sentence."""
    if label.kind == "subscription":
        return (
            f"the last subscription ends within {label.horizon_days} days and none "
            f"begins within {label.grace_days} days after"
        )
    what = "use" if not label.qualifying else " or ".join(label.qualifying)
    if label.inactivity_days == label.horizon_days:
        return f"there is no {what} for {label.horizon_days} days"
    return (
        f"there are {label.inactivity_days} days in a row without {what} within "
        f"{label.horizon_days} days"
    )


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def _subscriptions(
    cur: Cursor, org_id: int, timezone: str
) -> list[tuple[int, int, int | None]]:
    cur.execute(
        "SELECT s.customer_id, "
        "(coalesce(b.started_at, b.period_starts_at) AT TIME ZONE %(tz)s)::date "
        "  - date '1970-01-01', "
        "(CASE WHEN b.ended_at IS NOT NULL THEN b.ended_at "
        "  WHEN b.status IN ('canceled', 'ended') "
        "  THEN coalesce(b.canceled_at, b.period_ends_at) "
        "  WHEN b.auto_renew IS FALSE AND b.period_ends_at < now() "
        "  THEN b.period_ends_at END AT TIME ZONE %(tz)s)::date - date '1970-01-01' "
        "FROM cg_subscription b JOIN cg_customer_source s "
        "ON s.id = b.customer_source_id "
        "WHERE b.organization_id = %(org)s AND b.deleted_at IS NULL "
        "AND coalesce(b.started_at, b.period_starts_at) IS NOT NULL "
        "AND NOT (coalesce(b.is_trial, false) AND b.status = 'trialing') "
        "AND b.status IS DISTINCT FROM 'incomplete'",
        {"org": org_id, "tz": timezone},
    )
    return cur.fetchall()


def _spread(customers: IntArray, who: IntArray, values: FloatArray) -> FloatArray:
    """`values` of `who` at the places of `customers` (sorted); inf where none; the
    last of several counts."""
    found = np.full(len(customers), np.inf)
    if len(customers) and len(who):
        place = np.minimum(np.searchsorted(customers, who), len(customers) - 1)
        hit = customers[place] == who
        found[place[hit]] = values[hit]
    return found


def _columns(
    rows: list[tuple[int, int, int | None]],
) -> tuple[IntArray, IntArray, IntArray]:
    table = np.array(
        [(who, begin, FOREVER if end is None else end) for who, begin, end in rows],
        dtype=np.int64,
    ).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def _join(
    customer: IntArray, begin: IntArray, end: IntArray, gap: int
) -> tuple[IntArray, IntArray, IntArray]:
    """Spells of one customer joined where the next begins at most `gap` days later."""
    order = np.lexsort((begin, customer))
    joined: list[list[int]] = []
    for who, start, stop in zip(
        customer[order].tolist(),
        begin[order].tolist(),
        end[order].tolist(),
        strict=True,
    ):
        last = joined[-1] if joined else None
        if last is not None and last[0] == who and start <= last[2] + gap:
            last[2] = max(last[2], stop)
        else:
            joined.append([who, start, stop])
    table = np.array(joined, dtype=np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]
