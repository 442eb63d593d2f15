"""Rolling out-of-time back-test of the shipped model on an event log.

At every test cutoff the model sees only cohorts whose outcome was complete by then, is
fitted anew, and is compared with recency, BG/NBD and the plain ridge.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import (
    blend,
    eventlog,
    forks,
    leakage,
    metrics,
    model,
    season,
)
from analytics.churn.threads import limited_threads
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

EPOCH = date(1970, 1, 1)
MIN_HISTORY_DAYS = 60
SHORTEST_HISTORY_DAYS = 14
"""Where the log is too short for 60 days before the first training cutoff."""
FEW_COHORTS = 4
"""With fewer monthly training cohorts than this they are taken weekly."""
MAX_TRAIN_COHORTS = 13
MAX_LEVEL_COHORTS = 26
DEFAULT_CUTOFFS = 7
FEWEST_CHURNERS = 20
MAX_TRAIN_ROWS = 60_000
MAX_SCORED = 60_000
"""Customers measured at a cutoff, an even sample of larger populations."""
BAGS = 2


@dataclass(frozen=True, slots=True)
class CutoffResult:
    """Figures at one cutoff; intervals are 95% bootstrap over customers."""

    cutoff: date
    model: metrics.Metrics
    auc: metrics.Interval
    log_loss: metrics.Interval
    rivals: dict[str, metrics.Metrics]
    """"recency", "bgnbd" and "ridge"; recency has no probabilities, only ranks."""
    auc_gain: dict[str, metrics.Interval]
    """AUC of the model minus the rival's, on the same resampled customers."""
    expected_rate: float
    level: season.LevelForecast
    chosen: str
    train_cutoffs: list[date]
    leakage: leakage.LeakageAlarm | None
    scores: FloatArray = field(repr=False, default_factory=lambda: np.empty(0))
    outcomes: FloatArray = field(repr=False, default_factory=lambda: np.empty(0))


@dataclass(frozen=True, slots=True)
class BackTest:
    """One result per tested cutoff, oldest first, and sentences on what was not."""

    results: list[CutoffResult]
    notes: list[str]


@dataclass(frozen=True, slots=True)
class Cohort:
    """The population at one cutoff with its outcome."""

    snapshot: eventlog.Snapshot
    outcomes: FloatArray


@dataclass(frozen=True, slots=True)
class Forecast:
    """Probabilities of one snapshot and the parts that made them."""

    probabilities: FloatArray
    ridge_probabilities: FloatArray
    level: season.LevelForecast
    fitted: model.ChurnModel


def monthly_cutoffs(last: int, count: int) -> list[int]:
    """`count` days, oldest first: `last` and the same day of the months before it.

    Where a month is too short its last day is taken.
    """
    anchor = EPOCH + timedelta(days=last)
    days = []
    for back in range(count):
        year, month = divmod(anchor.year * 12 + anchor.month - 1 - back, 12)
        first = date(year, month + 1, 1)
        following = date(year + month // 11, (month + 1) % 12 + 1, 1)
        length = (following - first).days
        days.append((first.replace(day=min(anchor.day, length)) - EPOCH).days)
    return days[::-1]


def train_cutoffs(log: eventlog.EventLog, cutoff: int, horizon: int) -> list[int]:
    """Monthly cutoffs before `cutoff`, oldest first, whose outcome is complete by it.

    Only those with enough history, 60 days where the log is long; at most 26. Weekly
    ones, at most 13, where fewer than four months would do.
    """
    grid = monthly_cutoffs(cutoff, MAX_LEVEL_COHORTS + 2 + horizon // 28)
    newest, oldest = cutoff - horizon, log.first_day + _history_days(log, horizon)
    days = [day for day in grid if oldest <= day <= newest]
    if len(days) < FEW_COHORTS:
        days = list(range(newest, oldest - 1, -7))[:MAX_TRAIN_COHORTS][::-1]
    return days[-MAX_LEVEL_COHORTS:]


def _history_days(log: eventlog.EventLog, horizon: int) -> int:
    spare = (log.span_days - 2 * horizon) // 2
    return min(MIN_HISTORY_DAYS, max(SHORTEST_HISTORY_DAYS, spare))


def run(
    log: eventlog.EventLog,
    *,
    horizon: int,
    cutoffs: int = DEFAULT_CUTOFFS,
    seed: int = 0,
) -> BackTest:
    """Results of the newest `cutoffs` monthly cutoffs with a complete outcome.

    Raises ConfigError where the log is too short or has too few outcomes for any.
    """
    if horizon < 1 or cutoffs < 1:
        raise ConfigError("The horizon and the number of cutoffs must be at least 1.")
    # The last day may be cut off at noon; a window must end before it.
    last = log.last_day - horizon
    months = min(cutoffs, log.span_days // 28 + 1)
    tests = [
        day
        for day in (monthly_cutoffs(last, months) if last >= log.first_day else [])
        if train_cutoffs(log, day, horizon)
    ]
    if not tests:
        needed = 2 * horizon + SHORTEST_HISTORY_DAYS + 1
        raise ConfigError(
            f"The log spans {log.span_days} days; a back-test with a horizon of "
            f"{horizon} days needs at least {needed}."
        )
    notes = []
    if len(tests) < cutoffs:
        notes.append(
            f"{cutoffs} cutoffs were asked for; the log's {log.span_days} days allow "
            f"{len(tests)}: each needs {horizon} days after it and, before it, the "
            f"{horizon} days of a training cohort and that cohort's own history."
        )
    results = []
    for result in _each_test(log, tests, horizon, seed):
        if isinstance(result, str):
            notes.append(result)
        else:
            results.append(result)
    if not results:
        raise ConfigError(
            f"Not enough outcomes: no cutoff has {FEWEST_CHURNERS} churned and as many "
            f"active customers, both in training and in test. {' '.join(notes)}",
            code="not_enough_outcomes",
        )
    largest = max(len(eventlog.population(log, day)) for day in tests)
    if largest > MAX_SCORED:
        notes.append(
            f"Up to {largest} customers at a cutoff: measured on {MAX_SCORED} of them, "
            "an even random sample."
        )
    return BackTest(results, notes)


def forecast(
    log: eventlog.EventLog,
    cutoff: int,
    horizon: int,
    *,
    cohorts: dict[int, Cohort] | None = None,
    seed: int = 0,
    bags: int = BAGS,
) -> tuple[eventlog.Snapshot, Forecast]:
    """Churn probabilities of the population at `cutoff`, from the past only.

    `cohorts` caches cohorts between calls on the same log. Raises ConfigError where
    no matured cohort has both outcomes.
    """
    cache = {} if cohorts is None else cohorts
    target = eventlog.snapshot(log, cutoff, horizon, most=MAX_SCORED)
    matured = train_cutoffs(log, cutoff, horizon)
    days = matured[-MAX_TRAIN_COHORTS:]
    train = [_cohort(log, day, horizon, cache) for day in days]
    x, y, groups, people = _stack(train, seed)
    folds = _time_folds(days, groups, horizon) or _people_folds(people, seed)
    anchor = eventlog.BGNBD_LOG_ODDS
    spread = float(x[:, target.names.index(anchor)].std())
    fitted = model.fit(
        x,
        y,
        feature_names=target.names,
        folds=folds,
        groups=groups,
        # Few outcomes: the ridge then says what BG/NBD says, which needs no outcomes.
        prior={anchor: spread},
        anchor=anchor,
        seed=seed,
        bags=bags,
        # Products of two features hold less well from one season to the next.
        with_pairs=False,
    )
    short = season.short_levels(log, matured, horizon)
    levels = _levels(fitted, x, y, groups, days)
    level = season.forecast_level(
        log, cutoff=cutoff, horizon=horizon, levels=levels, short=short
    )
    members = model.member_log_odds(fitted, target.values)
    z = fitted.log_odds(target.values)
    ridge = (members[:, 0] if members.shape[1] else z) + level.level
    # The ridge knows each cohort's own level, so it says what rate to expect; trees
    # cannot be told, so the blend is moved to that rate as a whole.
    rate = float(expit(ridge).mean())
    p = expit(z + blend.level_shift(z, rate))
    return target, Forecast(p, expit(ridge), level, fitted)


def _each_test(
    log: eventlog.EventLog, tests: list[int], horizon: int, seed: int
) -> Iterator[CutoffResult | str]:
    cohorts: dict[int, Cohort] = {}

    def test(day: int) -> CutoffResult | str:
        with limited_threads():
            result = _test_one(log, day, horizon, cohorts, seed)
        oldest = train_cutoffs(log, day, horizon)[-MAX_TRAIN_COHORTS:][0]
        for old in [other for other in cohorts if other < oldest]:
            del cohorts[old]
        return result

    return forks.each(test, tests)


def _test_one(
    log: eventlog.EventLog,
    cutoff: int,
    horizon: int,
    cohorts: dict[int, Cohort],
    seed: int,
) -> CutoffResult | str:
    """The result; or a sentence on why this cutoff cannot be measured."""
    days = train_cutoffs(log, cutoff, horizon)[-MAX_TRAIN_COHORTS:]
    seen = [_cohort(log, day, horizon, cohorts).outcomes for day in days]
    truth = _cohort(log, cutoff, horizon, cohorts)
    y = truth.outcomes
    known = np.concatenate(seen)
    if min(_rarer(known), _rarer(y)) < FEWEST_CHURNERS:
        return (
            f"{EPOCH + timedelta(days=cutoff)} was left out: in training "
            f"{int(known.sum())} churned and {int((1 - known).sum())} stayed, in test "
            f"{int(y.sum())} and {int((1 - y).sum())}; {FEWEST_CHURNERS} each are "
            "needed."
        )
    snapshot, made = forecast(log, cutoff, horizon, cohorts=cohorts, seed=seed)
    recency = snapshot.column("days_since_last")
    bgnbd = expit(snapshot.column(eventlog.BGNBD_LOG_ODDS))
    rivals = {
        "recency": metrics.measure_ranking(y, recency),
        "bgnbd": metrics.measure(y, bgnbd, seed=seed),
        "ridge": metrics.measure(y, made.ridge_probabilities, seed=seed),
    }
    scores = {"recency": recency, "bgnbd": bgnbd, "ridge": made.ridge_probabilities}
    p = made.probabilities
    return CutoffResult(
        cutoff=EPOCH + timedelta(days=cutoff),
        model=metrics.measure(y, p, seed=seed),
        auc=metrics.bootstrap(metrics.auc, y, p, seed=seed),
        log_loss=metrics.bootstrap(metrics.log_loss, y, p, seed=seed),
        rivals=rivals,
        auc_gain={
            name: metrics.bootstrap_difference(metrics.auc, y, p, score, seed=seed)
            for name, score in scores.items()
        },
        expected_rate=float(p.mean()),
        level=made.level,
        chosen=made.fitted.describe(),
        train_cutoffs=[EPOCH + timedelta(days=day) for day in days],
        leakage=leakage.check(y, p, snapshot.values, snapshot.names),
        scores=p,
        outcomes=y,
    )


def _cohort(
    log: eventlog.EventLog, day: int, horizon: int, cache: dict[int, Cohort]
) -> Cohort:
    if day not in cache:
        snapshot = eventlog.snapshot(log, day, horizon, most=MAX_SCORED)
        outcomes = eventlog.labels(log, snapshot.customers, day, horizon)
        cache[day] = Cohort(snapshot, outcomes)
    return cache[day]


def _stack(
    cohorts: Sequence[Cohort], seed: int
) -> tuple[FloatArray, FloatArray, NDArray[np.int64], NDArray[np.int64]]:
    """Features, outcomes, cohort numbers and customers of all training rows."""
    most = max(500, MAX_TRAIN_ROWS // len(cohorts))
    random = np.random.default_rng(seed)
    blocks, outcomes, groups, people = [], [], [], []
    for number, cohort in enumerate(cohorts):
        rows = np.arange(len(cohort.outcomes))
        if len(rows) > most:
            rows = np.sort(random.choice(rows, most, replace=False))
        blocks.append(cohort.snapshot.values[rows])
        outcomes.append(cohort.outcomes[rows])
        groups.append(np.full(len(rows), number))
        people.append(cohort.snapshot.customers[rows])
    return (
        np.vstack(blocks),
        np.concatenate(outcomes),
        np.concatenate(groups),
        np.concatenate(people),
    )


def _time_folds(
    days: list[int], groups: NDArray[np.int64], horizon: int
) -> model.Folds | None:
    """Older cohorts against newer ones, the former complete before the latter begin.

    The newest two such splits; None where there is not even one.
    """
    folds = []
    for number in range(len(days) - 1, 0, -1):
        older = [k for k in range(number) if days[k] + horizon <= days[number]]
        if older:
            train = np.flatnonzero(groups <= older[-1])
            folds.append((train, np.flatnonzero(groups == number)))
        if len(folds) == 2:
            break
    return folds or None


def _people_folds(people: NDArray[np.int64], seed: int) -> model.Folds:
    """Five folds of whole customers: weekly cohorts hold the same ones many times."""
    place = np.random.default_rng(seed).permutation(int(people.max()) + 1) % 5
    fold = place[people]
    everyone = np.arange(len(people))
    return [(everyone[fold != k], everyone[fold == k]) for k in np.unique(fold)]


def _levels(
    fitted: model.ChurnModel,
    x: FloatArray,
    y: FloatArray,
    groups: NDArray[np.int64],
    days: list[int],
) -> dict[int, float]:
    """Level per cohort: what must be added to the ridge to meet the cohort's rate."""
    members = model.member_log_odds(fitted, x)
    z = members[:, 0] if members.shape[1] else fitted.log_odds(x)
    return {
        day: blend.level_shift(z[groups == number], float(y[groups == number].mean()))
        for number, day in enumerate(days)
    }


def _rarer(outcomes: FloatArray) -> float:
    return float(min(outcomes.sum(), (1 - outcomes).sum()))
