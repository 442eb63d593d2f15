"""The monthly cohorts of an organisation: features at each cutoff and what followed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from analytics.churn.backtest import monthly_cutoffs
from analytics.churn.model import BOOST_FROM, Folds
from analytics.predict import features, labels
from analytics.predict.models import LabelDefinition

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_COHORTS = 24
LEAST_HISTORY_DAYS = 60
MOST_ROWS = 60_000
"""Training rows over all cohorts: bounds the memory of a training to some 30 MB of
features; larger populations are sampled evenly."""
LEAST_PER_COHORT = 500


@dataclass(frozen=True, slots=True)
class Cohort:
    """A snapshot with its outcomes; ends: day of leaving, inf = not (yet)."""

    snapshot: features.Snapshot
    outcomes: FloatArray
    ends: FloatArray
    is_backfilled: bool

    @property
    def day(self) -> int:
        """The cutoff, days since 1970."""
        return self.snapshot.day


@dataclass(frozen=True, slots=True)
class Clock:
    """Today in the organisation's time zone."""

    today: date
    timezone: str

    @property
    def day(self) -> int:
        """Days since 1970."""
        return labels.day_number(self.today)


def get_clock(cur: Cursor, org_id: int, now: datetime) -> Clock:
    """The organisation's local date at `now`."""
    cur.execute(
        "SELECT timezone, (%s::timestamptz AT TIME ZONE timezone)::date "
        "FROM cg_organization WHERE id = %s",
        [now, org_id],
    )
    row = cur.fetchone()
    assert row is not None
    return Clock(row[1], row[0])


def first_day(cur: Cursor, org_id: int) -> int | None:
    """The first day of which enough is known: first use, else the first invoice,
    ticket or subscription."""
    cur.execute(
        "SELECT coalesce((SELECT min(day) FROM cg_usage_day "
        "  WHERE organization_id = %(org)s), least("
        "  (SELECT min(issued_at) FROM cg_invoice WHERE organization_id = %(org)s),"
        "  (SELECT min(opened_at) FROM cg_ticket WHERE organization_id = %(org)s),"
        "  (SELECT min(started_at) FROM cg_subscription "
        "   WHERE organization_id = %(org)s))::date) - date '1970-01-01'",
        {"org": org_id},
    )
    row = cur.fetchone()
    return None if row is None or row[0] is None else int(row[0])


def cutoffs(first: int, today: int, label: LabelDefinition) -> list[int]:
    """Days of the cohorts whose outcome is known, oldest first, at most 24, each with
    60 days of history before it."""
    newest = today - labels.maturing_days(label)
    days = monthly_cutoffs(newest, MOST_COHORTS)
    return [day for day in days if day - first >= LEAST_HISTORY_DAYS]


def load_cohorts(
    cur: Cursor, org_id: int, label: LabelDefinition, clock: Clock, *, seed: int = 0
) -> list[Cohort]:
    """All matured cohorts that have a customer, oldest first."""
    first = first_day(cur, org_id)
    days = [] if first is None else cutoffs(first, clock.day, label)
    if not days:
        return []
    history = labels.load_history(cur, org_id, label, clock.timezone)
    stored_from = first_stored_day(cur, org_id)
    most = max(LEAST_PER_COHORT, MOST_ROWS // len(days))
    random = np.random.default_rng(seed)
    found = []
    for day in days:
        customers = history.population(day)
        if len(customers) > most:
            customers = np.sort(random.choice(customers, most, replace=False))
        if not len(customers):
            continue
        snapshot = features.gather(cur, org_id, customers, day, clock.timezone)
        found.append(
            Cohort(
                snapshot,
                labels.outcomes(history, customers, day, label),
                history.ends(customers, day),
                stored_from is None or day < stored_from,
            )
        )
    return found


def stack(cohorts: list[Cohort]) -> tuple[FloatArray, FloatArray, IntArray]:
    """(features, outcomes, cohort number per row) of these cohorts."""
    return (
        np.vstack([cohort.snapshot.values for cohort in cohorts]),
        np.concatenate([cohort.outcomes for cohort in cohorts]),
        np.repeat(np.arange(len(cohorts)), [len(c.outcomes) for c in cohorts]),
    )


def fates(cohorts: list[Cohort], horizon_days: int) -> IntArray:
    """A code per row of `stack`, the same for one customer's rows at cutoffs less than
    a horizon apart, counted from the first: most of them tell of one departure."""
    stretch = [(cohort.day - cohorts[0].day) // horizon_days for cohort in cohorts]
    sizes = [len(cohort.outcomes) for cohort in cohorts]
    people = np.concatenate([cohort.snapshot.customers for cohort in cohorts])
    key = people * (max(stretch) + 1) + np.repeat(stretch, sizes)
    return np.unique(key, return_inverse=True)[1]


def matured_before(
    cohorts: list[Cohort], day: int, label: LabelDefinition
) -> list[Cohort]:
    """The cohorts whose outcome was known on `day`."""
    wait = labels.maturing_days(label)
    return [cohort for cohort in cohorts if cohort.day + wait <= day]


def time_folds(cohorts: list[Cohort], label: LabelDefinition) -> Folds | None:
    """The newest two splits of older, matured cohorts against one newer; None where
    there is not even one with both outcomes on both sides."""
    sizes = [len(cohort.outcomes) for cohort in cohorts]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    folds = []
    for number in range(len(cohorts) - 1, 0, -1):
        older = matured_before(cohorts[:number], cohorts[number].day, label)
        if not older or not _both(older) or not _both([cohorts[number]]):
            continue
        train = np.arange(starts[len(older)])
        folds.append((train, np.arange(starts[number], starts[number + 1])))
        if len(folds) == 2:
            break
    return folds or None


def choosing_folds(
    cohorts: list[Cohort], label: LabelDefinition, departures: int, *, seed: int
) -> Folds:
    """The folds that choose how much to learn: by time where departures abound.

    Two cohorts hold too few of a small company's departures to choose by, so there its
    accounts are dealt out instead, each with all its rows: rows of one departure on
    both sides would make what was learned by heart look true.
    """
    by_time = time_folds(cohorts, label) if departures >= BOOST_FROM else None
    return by_time or account_folds(cohorts, seed=seed)


def account_folds(cohorts: list[Cohort], *, count: int = 5, seed: int) -> Folds:
    """`count` folds over accounts, those that left spread evenly; every row is held
    out once, together with all rows of its account."""
    customers = np.concatenate([cohort.snapshot.customers for cohort in cohorts])
    outcomes = np.concatenate([cohort.outcomes for cohort in cohorts])
    accounts, code = np.unique(customers, return_inverse=True)
    has_left = np.zeros(len(accounts))
    np.maximum.at(has_left, code, outcomes)
    random = np.random.default_rng(seed)
    place = np.empty(len(accounts), dtype=np.int64)
    for value in (0.0, 1.0):
        dealt = random.permutation(np.flatnonzero(has_left == value))
        place[dealt] = np.arange(len(dealt)) % count
    fold, rows = place[code], np.arange(len(code))
    return [(rows[fold != k], rows[fold == k]) for k in range(count)]


def cutoff_date(day: int) -> date:
    """The date of a day number."""
    return labels.EPOCH + timedelta(days=day)


def _both(cohorts: list[Cohort]) -> bool:
    y = np.concatenate([cohort.outcomes for cohort in cohorts])
    return bool(y.min() < y.max())


def first_stored_day(cur: Cursor, org_id: int) -> int | None:
    """The day (since 1970) the organisation first stored anything."""
    cur.execute(
        "SELECT min(received_at)::date - date '1970-01-01' FROM cg_batch "
        "WHERE organization_id = %s",
        [org_id],
    )
    row = cur.fetchone()
    return None if row is None else row[0]
