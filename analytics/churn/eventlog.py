"""Point-in-time features and labels from a log of (customer, time, amount?) events.

All days are whole UTC days since 1970-01-01. At a cutoff day c the past is day < c and
the future c <= day < c + horizon; no feature looks at the future, which the tests
prove by editing it. An active day has at least one qualifying event; a row with a
negative amount (refund, credit note) is not activity and is kept as a fact of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from analytics.churn import bgnbd

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

WINDOWS_DAYS = (7, 30, 60, 90, 180, 365)
POPULATION_DAYS = 365
EVERYONE_BELOW_DAYS = 2 * POPULATION_DAYS
"""A log shorter than this cannot hold the population rule at training cutoffs too."""
DAY_SPAN = 1 << 20
BGNBD_LOG_ODDS = "bgnbd_log_odds"
"""A feature that is a forecast already: BG/NBD log-odds of no event in the horizon."""
AMOUNT_UNITS = 10_000
"""Amounts are held in ten-thousandths: whole numbers add up exactly in any order."""
LARGEST_AMOUNT = 1e10


@dataclass(frozen=True, slots=True)
class EventLog:
    """One row per customer and day, sorted by both; built by `build_log`.

    `key` = customer * 2^20 + day, so one binary search finds any (customer, day).
    `total_*` are running sums with a leading zero over all rows. They are exact, so
    that a sum over past rows does not change in its last bit with later rows.
    """

    customer_ids: NDArray[np.str_]
    key: IntArray
    customer: IntArray
    day: IntArray
    total_events: FloatArray
    total_units: IntArray | None
    total_gap: FloatArray
    total_gap_squared: FloatArray
    longest_gap: FloatArray
    refund_key: IntArray
    first_day: int
    last_day: int

    @property
    def span_days(self) -> int:
        """Days from the first to the last day seen, both counted."""
        return self.last_day - self.first_day + 1

    def amount(self, begin: IntArray, end: IntArray) -> FloatArray:
        """Money in rows begin..end-1; only for a log with amounts."""
        assert self.total_units is not None
        return (self.total_units[end] - self.total_units[begin]) / AMOUNT_UNITS

    def position(self, customers: IntArray, day: int) -> IntArray:
        """First row at or after `day` of each customer."""
        return np.searchsorted(self.key, customers * DAY_SPAN + max(day, 0))


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Features (n, f) of the population at one cutoff; `customers` indexes the log."""

    cutoff: int
    customers: IntArray
    values: FloatArray
    names: tuple[str, ...]

    def column(self, name: str) -> FloatArray:
        """One feature by name."""
        return self.values[:, self.names.index(name)]


def build_log(
    customers: ArrayLike,
    days: ArrayLike,
    amounts: ArrayLike | None = None,
    *,
    labels: Sequence[str] | None = None,
) -> EventLog:
    """The log of these events, in any order; equal (customer, day) rows are joined.

    customers: names (n,), or places in `labels` where these are given, each label
    once; days: whole UTC days (n,); amounts: NaN means unknown.
    """
    if labels is None:
        names, customer = np.unique(
            np.asarray(customers).astype(str), return_inverse=True
        )
    else:
        order = np.argsort(np.asarray(labels, dtype=str), kind="stable")
        rank = np.empty(len(order), dtype=np.int64)
        rank[order] = np.arange(len(order))
        names = np.asarray(labels, dtype=str)[order]
        customer = rank[np.asarray(customers)]
    day = np.asarray(days, dtype=np.int64)
    if len(day) == 0:
        raise ValueError("The event log has no rows.")
    if day.min() < 0 or day.max() >= DAY_SPAN:
        raise ValueError("Event days must lie between 1970 and the year 4840.")
    amount = None if amounts is None else np.asarray(amounts, dtype=np.float64)
    key = customer.astype(np.int64) * DAY_SPAN + day
    active = np.ones(len(key), bool) if amount is None else ~(amount < 0)
    if not active.any():
        raise ValueError("Every event has a negative amount, so nobody was active.")
    unique_key, group, counts = np.unique(
        key[active], return_inverse=True, return_counts=True
    )
    who, when = np.divmod(unique_key, DAY_SPAN)
    gap = np.diff(when, prepend=when[0]).astype(np.float64)
    gap[np.diff(who, prepend=-1) != 0] = 0.0
    # One running maximum for all customers: lifting each by its own step resets it.
    step = float(gap.max() + 1)
    longest = np.maximum.accumulate(gap + who * step) - who * step
    units = None
    if amount is not None:
        known = np.clip(np.nan_to_num(amount[active]), 0.0, LARGEST_AMOUNT)
        per_day = np.zeros(len(unique_key), dtype=np.int64)
        np.add.at(per_day, group, np.rint(known * AMOUNT_UNITS).astype(np.int64))
        units = np.concatenate([[0], np.cumsum(per_day)])
    return EventLog(
        customer_ids=names,
        key=unique_key,
        customer=who,
        day=when,
        total_events=_running(counts.astype(np.float64)),
        total_units=units,
        total_gap=_running(gap),
        total_gap_squared=_running(gap * gap),
        longest_gap=longest,
        refund_key=np.sort(key[~active]),
        first_day=int(day.min()),
        last_day=int(day.max()),
    )


def population(log: EventLog, cutoff: int) -> IntArray:
    """Customers scored at the cutoff: active in the 365 days before it.

    In a log shorter than two years everyone seen so far, because there the 365-day
    rule would mean different things at the training and at the test cutoffs.
    """
    past = log.day < cutoff
    if log.span_days >= EVERYONE_BELOW_DAYS:
        past &= log.day >= cutoff - POPULATION_DAYS
    return np.unique(log.customer[past])


def labels(log: EventLog, customers: IntArray, cutoff: int, horizon: int) -> FloatArray:
    """1.0 where the customer has no active day in [cutoff, cutoff + horizon)."""
    begin = log.position(customers, cutoff)
    end = log.position(customers, cutoff + horizon)
    return (begin == end).astype(np.float64)


def bgnbd_inputs(
    log: EventLog, customers: IntArray, cutoff: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Repeat active days, time of the last one and age, in days, from the past only."""
    begin, end = log.position(customers, 0), log.position(customers, cutoff)
    first, last = log.day[begin], log.day[end - 1]
    frequency = (end - begin - 1).astype(np.float64)
    return (
        frequency,
        (last - first).astype(np.float64),
        (cutoff - first).astype(np.float64),
    )


def snapshot(
    log: EventLog, cutoff: int, horizon: int, *, most: int | None = None
) -> Snapshot:
    """Features of the population at the cutoff, from events before it only.

    Above `most` customers an even random sample of them, the same every time.
    """
    who = population(log, cutoff)
    if most is not None and len(who) > most:
        random = np.random.default_rng(cutoff)
        who = np.sort(random.choice(who, most, replace=False))
    if len(who) == 0:
        raise ValueError("Nobody is in the population at this cutoff.")
    columns: dict[str, FloatArray] = {}
    columns |= _rhythm(log, who, cutoff)
    columns |= _windows(log, who, cutoff, horizon)
    if log.total_units is not None:
        columns |= _amounts(log, who, cutoff)
    columns |= _purchase_model(log, who, cutoff, horizon)
    names = tuple(columns)
    return Snapshot(cutoff, who, np.column_stack([columns[n] for n in names]), names)


def _rhythm(log: EventLog, who: IntArray, cutoff: int) -> dict[str, FloatArray]:
    begin, end = log.position(who, 0), log.position(who, cutoff)
    last = end - 1
    recency = (cutoff - log.day[last]).astype(np.float64)
    tenure = (cutoff - log.day[begin]).astype(np.float64)
    gaps = (last - begin).astype(np.float64)
    mean = _ratio(log.total_gap[end] - log.total_gap[begin], gaps)
    square = _ratio(log.total_gap_squared[end] - log.total_gap_squared[begin], gaps)
    spread = np.sqrt(np.maximum(square - mean * mean, 0.0))
    recent_begin = np.maximum(begin, last - 3)
    recent = _ratio(
        (log.day[last] - log.day[recent_begin]).astype(np.float64),
        (last - recent_begin).astype(np.float64),
    )
    longest = np.where(gaps > 0, log.longest_gap[last], np.nan)
    events = log.total_events[end] - log.total_events[begin]
    return {
        "days_since_last": recency,
        "tenure_days": tenure,
        "active_days": gaps + 1,
        "active_day_rate": (gaps + 1) / np.maximum(tenure, 1),
        "events_per_active_day": events / (gaps + 1),
        "gap_mean": mean,
        "gap_sd": np.where(gaps > 1, spread, np.nan),
        "gap_max": longest,
        "gap_recent": recent,
        "gap_trend": _ratio(recent, mean),
        "recency_by_gap": recency / np.where(np.isnan(mean), tenure, mean + 1),
        "recency_by_gap_max": _ratio(recency, longest),
        "recency_by_tenure": recency / np.maximum(tenure, 1),
    }


def _windows(
    log: EventLog, who: IntArray, cutoff: int, horizon: int
) -> dict[str, FloatArray]:
    end = log.position(who, cutoff)
    columns = {}
    starts = {days: log.position(who, cutoff - days) for days in WINDOWS_DAYS}
    for days, start in starts.items():
        columns[f"active_days_{days}"] = (end - start).astype(np.float64)
    for days in (30, 90, 365):
        events = log.total_events[end] - log.total_events[starts[days]]
        columns[f"events_{days}"] = events
    quarter, half = columns["active_days_90"], columns["active_days_180"]
    columns["trend_90_180"] = (quarter + 0.5) / (half - quarter + 0.5)
    year = columns["active_days_365"]
    columns["trend_180_365"] = (half + 0.5) / (year - half + 0.5)
    known = cutoff - log.first_day >= 365
    same_start = log.position(who, cutoff - 365)
    same_end = log.position(who, cutoff - 365 + min(horizon, 365))
    same_season = (same_end - same_start).astype(np.float64)
    columns["same_season_last_year"] = same_season if known else _unknown(len(who))
    for days in (90, 365):
        low = np.searchsorted(log.refund_key, who * DAY_SPAN + cutoff - days)
        high = np.searchsorted(log.refund_key, who * DAY_SPAN + cutoff)
        columns[f"refunds_{days}"] = (high - low).astype(np.float64)
    return columns


def _amounts(log: EventLog, who: IntArray, cutoff: int) -> dict[str, FloatArray]:
    begin, end = log.position(who, 0), log.position(who, cutoff)
    columns = {}
    for days in (30, 90, 180, 365):
        start = log.position(who, cutoff - days)
        columns[f"amount_{days}"] = log.amount(start, end)
    total = log.amount(begin, end)
    columns["amount_per_active_day"] = total / (end - begin)
    last = log.amount(end - 1, end)
    columns["amount_last"] = last
    columns["amount_last_by_mean"] = _ratio(last, columns["amount_per_active_day"])
    return columns


def _purchase_model(
    log: EventLog, who: IntArray, cutoff: int, horizon: int
) -> dict[str, FloatArray]:
    # Fitted on everyone seen, so silent customers count as evidence of dropping out.
    everyone = np.unique(log.customer[log.day < cutoff])
    model = bgnbd.fit(*bgnbd_inputs(log, everyone, cutoff))
    inputs = bgnbd_inputs(log, who, cutoff)
    silent = model.silent(*inputs, horizon=horizon)
    return {
        "bgnbd_alive": model.alive(*inputs),
        BGNBD_LOG_ODDS: logit(np.clip(silent, 1e-6, 1 - 1e-6)),
        "bgnbd_expected": model.expected_purchases(*inputs, horizon=horizon),
    }


def _running(values: FloatArray) -> FloatArray:
    return np.concatenate([[0.0], np.cumsum(values)])


def _ratio(top: FloatArray, bottom: FloatArray) -> FloatArray:
    """top / bottom, NaN where there is nothing to divide by."""
    return np.divide(top, bottom, out=_unknown(len(top)), where=bottom > 0)


def _unknown(count: int) -> FloatArray:
    return np.full(count, np.nan)
