"""What the churn level will be at a cutoff whose outcome is not known yet.

The level of a cohort is its log-odds of churn beyond what its customers' features
explain. It moves with the season and with the times. Known at the cutoff are the levels
of matured cohorts only; the newest one is at least a horizon old, so it belongs to
another season. The forecast takes that newest level and adds what the season did a year
ago, as far as it can be told.

Levels a year ago cannot be read off the full model: near the start of a log every
customer looks new and recently active. `short_levels` therefore compares cohorts of
recently active customers by facts of the last 60 days only, which mean the same at the
start of a log as later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.churn import eventlog
from analytics.churn.linear import fit_ridge

FloatArray = NDArray[np.float64]

LOOKBACK_DAYS = 60
YEAR_DAYS = 365
SAME_SEASON_DAYS = 16
"""Cohorts at most this far from the same date a year ago belong to its season."""
FEWEST_CUSTOMERS = 100
MOST_CUSTOMERS = 5_000
"""Of each cohort; more tell its level no better than its own noise allows."""
LEVEL_STRENGTH = 20.0
UNPAIRED_TRUST = 0.7
"""Share of the seasonal step used where the newest cohort's own season was not seen a
year ago. Both shares were chosen on simulated logs (docs/churn-model.md)."""
PAIRED_TRUST = 0.85
ACQUISITION_RATIO = 5.0


@dataclass(frozen=True, slots=True)
class LevelForecast:
    """The forecast level and how it came about."""

    level: float
    basis: str
    """"newest cohort", "newest cohort and last year's level" or "... step"."""


def forecast_level(
    log: eventlog.EventLog,
    *,
    cutoff: int,
    horizon: int,
    levels: dict[int, float],
    short: dict[int, float],
) -> LevelForecast:
    """The level at `cutoff`.

    levels: of the full model per matured training cutoff; short: from `short_levels`,
    may reach further back. Only cutoffs whose window closed by `cutoff` may be given.
    """
    late = [day for day in {*levels, *short} if day + horizon > cutoff]
    if late:
        raise ValueError(f"Cohorts {late} had not matured at {cutoff}.")
    newest = max(levels)
    year_ago = _nearest(short, cutoff - YEAR_DAYS)
    if year_ago is None or newest not in short:
        return LevelForecast(levels[newest], "newest cohort")
    newest_year_ago = _nearest(short, newest - YEAR_DAYS)
    if newest_year_ago is not None and newest_year_ago != year_ago:
        # Last year's step, and the way from now to last year's level: their errors
        # differ (growth spoils the second, one odd cohort the first), so take both.
        last_year = short[year_ago] - short[newest_year_ago]
        to_last_year = short[year_ago] - short[newest]
        step = PAIRED_TRUST * (last_year + to_last_year) / 2
        basis = "newest cohort and last year's step"
    elif _similar_acquisition(log, year_ago, newest):
        step = UNPAIRED_TRUST * (short[year_ago] - short[newest])
        basis = "newest cohort and last year's level"
    else:
        return LevelForecast(levels[newest], "newest cohort")
    return LevelForecast(levels[newest] + step, basis)


def short_levels(
    log: eventlog.EventLog, cutoffs: Sequence[int], horizon: int
) -> dict[int, float]:
    """Level per matured cutoff among customers active in the last 60 days.

    Cutoffs with less than 60 days of history or fewer than 100 such customers are
    left out.
    """
    blocks, outcomes, codes = [], [], []
    kept: list[int] = []
    for cutoff in cutoffs:
        if cutoff - log.first_day < LOOKBACK_DAYS:
            continue
        recent = (log.day < cutoff) & (log.day >= cutoff - LOOKBACK_DAYS)
        who = np.unique(log.customer[recent])
        if len(who) < FEWEST_CUSTOMERS:
            continue
        if len(who) > MOST_CUSTOMERS:
            who = who[np.linspace(0, len(who) - 1, MOST_CUSTOMERS).astype(np.int64)]
        blocks.append(_short_features(log, who, cutoff))
        outcomes.append(eventlog.labels(log, who, cutoff, horizon))
        codes.append(np.full(len(who), len(kept)))
        kept.append(cutoff)
    if len(kept) < 2:
        return {}
    x = np.vstack(blocks)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-9)
    x = np.hstack([x, x * x - (x * x).mean(axis=0)])
    y = np.concatenate(outcomes)
    if y.min() == y.max():
        return {}
    ridge = fit_ridge(x, y, strength=LEVEL_STRENGTH, groups=np.concatenate(codes))
    return {cutoff: float(a) for cutoff, a in zip(kept, ridge.offsets, strict=True)}


def _short_features(
    log: eventlog.EventLog, who: NDArray[np.int64], cutoff: int
) -> FloatArray:
    end = log.position(who, cutoff)
    start = log.position(who, cutoff - LOOKBACK_DAYS)
    columns = [np.log1p(cutoff - log.day[end - 1])]
    columns += [
        np.log1p(end - log.position(who, cutoff - days))
        for days in (7, 15, 30, LOOKBACK_DAYS)
    ]
    columns.append(np.log1p(log.total_events[end] - log.total_events[start]))
    if log.total_units is not None:
        columns.append(np.log1p(log.amount(start, end)))
    return np.column_stack(columns)


def _nearest(levels: dict[int, float], day: int) -> int | None:
    close = [other for other in levels if abs(other - day) <= SAME_SEASON_DAYS]
    return min(close, key=lambda other: abs(other - day)) if close else None


def _similar_acquisition(log: eventlog.EventLog, first: int, second: int) -> bool:
    """Whether both cohorts gained new customers at a like pace beforehand.

    A log of one cohort (all joined in its first months) has no season to compare.
    """
    begin = np.flatnonzero(np.diff(log.customer, prepend=-1))
    joined = log.day[begin]
    flows = [
        float(((joined < day) & (joined >= day - LOOKBACK_DAYS)).sum()) + 1.0
        for day in (first, second)
    ]
    return max(flows) / min(flows) <= ACQUISITION_RATIO
