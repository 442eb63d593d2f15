"""Trains one organisation's model and gathers the evidence for it, out of time.

Pure of storage: cohorts in, a `Trained` out. Every figure of the back-test comes from
a model that saw only cohorts whose outcome was known at the tested cutoff.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import (
    blend,
    drift,
    explain,
    hazard,
    leakage,
    metrics,
    model,
    trees,
)
from analytics.churn.threads import limited_threads
from analytics.predict import evidence, snapshots
from analytics.predict.features import GROUPS, NAMES
from analytics.predict.models import LabelDefinition
from analytics.predict.snapshots import Cohort
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

FEWEST_CHURNERS = model.RIDGE_FROM
TEST_COHORTS = 6
LEVEL_COHORTS = 3
"""The newest cohorts whose base rate the probabilities are moved to."""
MONTHS = 12
LEVEL_PULL = 20.0
"""Pseudo-rows at the long-run rate: three small cohorts must not swing the level."""

PRIOR: dict[str, float] = {
    "days_since_use": 0.5,
    "gap_ratio": 0.2,
    "active_days_28": -0.3,
    "usage_trend": -0.3,
    "users_trend": -0.15,
    "mrr_change_90": -0.15,
    "failed_payments_90": 0.2,
    "overdue_invoices": 0.2,
    "urgent_90": 0.1,
    "ticket_rating_180": -0.15,
    "survey_last": -0.15,
    "tenure_days": -0.2,
}
"""The rule before anything is learned: log-odds per standard deviation."""


@dataclass(slots=True)
class Trained:
    """A fitted model with its evidence; `tests` holds (day, ids, outcomes,
    log-odds) of each tested cutoff."""

    fitted: model.ChurnModel
    rung: str
    level: float
    reference: FloatArray
    bins: list[drift.Bins]
    score_bins: drift.Bins
    hazard: hazard.Hazard | None
    rows: int
    churners: int
    days: list[int]
    is_backfilled: bool
    metrics: dict[str, Any] = field(default_factory=dict)
    cutoffs: list[dict[str, Any]] = field(default_factory=list)
    reliability: list[dict[str, float]] = field(default_factory=list)
    importance: dict[str, float] = field(default_factory=dict)
    leakage: str = ""
    tests: list[tuple[Cohort, FloatArray]] = field(default_factory=list)
    tested: list[dict[str, Any]] = field(default_factory=list)


class NotEnoughOutcomesError(ConfigError):
    """Too little has happened for any model."""


def train(cohorts: list[Cohort], label: LabelDefinition, *, seed: int = 0) -> Trained:
    """The model for these matured cohorts. Raises NotEnoughOutcomesError."""
    with limited_threads():
        return _train(cohorts, label, seed)


def _train(cohorts: list[Cohort], label: LabelDefinition, seed: int) -> Trained:
    churners = _distinct_churners(cohorts)
    if not cohorts or churners == 0:
        raise NotEnoughOutcomesError(
            "Not enough outcomes: no account is known to have left with 60 days of "
            f"history before it and {label.horizon_days} days to see it.",
            code="not_enough_outcomes",
        )
    x, y, _ = snapshots.stack(cohorts)
    if y.min() == y.max():
        raise NotEnoughOutcomesError(
            "Not enough outcomes: every account left; nobody stayed to compare with.",
            code="not_enough_outcomes",
        )
    fitted, level = _fit(cohorts, label, seed)
    reference = explain.segment_reference(cohorts[-1].snapshot.values)
    reference = np.where(
        np.isfinite(reference), reference, explain.segment_reference(x)
    )
    learned = churners >= FEWEST_CHURNERS
    z = fitted.log_odds(x) + level
    made = Trained(
        fitted=fitted,
        rung=fitted.rung if learned else "rule",
        level=level,
        reference=reference,
        bins=[drift.training_bins(column) for column in x.T],
        score_bins=drift.training_bins(z),
        hazard=_hazard(cohorts, z, label),
        rows=len(y),
        churners=churners,
        days=[cohort.day for cohort in cohorts],
        is_backfilled=any(cohort.is_backfilled for cohort in cohorts),
    )
    if learned:
        _back_test(made, cohorts, label, seed)
        if made.tests:
            # Forecasts of who had been learned from tell later months too well.
            tested = [cohort for cohort, _ in made.tests]
            told = np.concatenate([z for _, z in made.tests])
            made.hazard = _hazard(tested, told, label) or made.hazard
        made.importance = _importance(made, x)
    return made


def _fit(
    cohorts: list[Cohort], label: LabelDefinition, seed: int
) -> tuple[model.ChurnModel, float]:
    x, y, groups = snapshots.stack(cohorts)
    departures = _distinct_churners(cohorts)
    folds = snapshots.choosing_folds(cohorts, label, departures, seed=seed)
    fitted = model.fit(
        x,
        y,
        feature_names=NAMES,
        folds=folds,
        groups=groups,
        prior=PRIOR,
        seed=seed,
        bags=1,
        shapes=trees.LEAN,
        with_pairs=False,
        independent=departures,
    )
    newest, seen, _ = snapshots.stack(cohorts[-LEVEL_COHORTS:])
    rate = (seen.sum() + LEVEL_PULL * y.mean()) / (len(seen) + LEVEL_PULL)
    return fitted, blend.level_shift(fitted.log_odds(newest), float(rate))


def _back_test(
    made: Trained, cohorts: list[Cohort], label: LabelDefinition, seed: int
) -> None:
    for cohort in cohorts[-TEST_COHORTS:]:
        past = snapshots.matured_before(cohorts, cohort.day, label)
        y = cohort.outcomes
        if not past or _rarer(past) < FEWEST_CHURNERS or y.min() == y.max():
            continue
        fitted, level = _fit(past, label, seed)
        z = fitted.log_odds(cohort.snapshot.values) + level
        made.tests.append((cohort, z))
        made.cutoffs.append(evidence.figures(cohort, expit(z), fitted.describe(), seed))
        made.tested.append(evidence.sample(cohort, fitted, level, past))
        alarm = leakage.check(y, expit(z), cohort.snapshot.values, NAMES)
        if alarm is not None:
            made.leakage = alarm.sentence
    if not made.tests:
        return
    for name in made.cutoffs[0]:
        values = [row[name] for row in made.cutoffs]
        if all(isinstance(value, float) and math.isfinite(value) for value in values):
            made.metrics[name] = float(np.mean(values))
    y = np.concatenate([cohort.outcomes for cohort, _ in made.tests])
    p = expit(np.concatenate([z for _, z in made.tests]))
    made.metrics["pooled_ece"] = metrics.ece(y, p)
    fates = snapshots.fates([cohort for cohort, _ in made.tests], label.horizon_days)
    made.metrics["pooled_ece_floor"] = metrics.ece_floor(p, fates=fates, seed=seed)
    made.metrics["expected"] = float(p.sum())
    made.metrics["observed"] = float(y.sum())
    made.reliability = [asdict(one) for one in metrics.reliability(y, p)]


def _importance(made: Trained, x: FloatArray) -> dict[str, float]:
    """Mean |share| of each group in the log-odds, over a sample of customers."""
    rows = trees.sample_rows(len(x), 300, seed=0)
    found = explain.explain(
        made.fitted.mixed_log_odds,
        x[rows],
        feature_names=NAMES,
        groups=GROUPS,
        reference=made.reference,
    )
    size = np.abs(found.groups).mean(axis=0)
    return dict(zip(found.group_names, size.round(4).tolist(), strict=True))


def _hazard(
    cohorts: list[Cohort], z: FloatArray, label: LabelDefinition
) -> hazard.Hazard | None:
    """Leaving per coming month by today's log-odds; None where months show nothing.

    A row is followed until it left, at most 12 months, or until the newest day whose
    outcome is certain.
    """
    horizon_end = cohorts[-1].day + label.horizon_days
    day = np.concatenate([np.full(len(c.outcomes), c.day) for c in cohorts])
    ends = np.concatenate([cohort.ends for cohort in cohorts])
    seen_until = np.minimum(ends, np.minimum(horizon_end, day + MONTHS * 30.4375))
    months = np.maximum(np.ceil((seen_until - day) / 30.4375), 1.0)
    churned = (ends <= seen_until).astype(np.float64)
    rows = trees.sample_rows(len(z), 8_000, seed=0)
    try:
        return hazard.fit_hazard(
            z[rows, None], months[rows].astype(np.int64), churned[rows]
        )
    except ConfigError:
        return None


def _distinct_churners(cohorts: list[Cohort]) -> int:
    """Departures seen, each counted once however many cohorts saw it."""
    left = {
        (int(customer), float(end))
        for cohort in cohorts
        for customer, end, y in zip(
            cohort.snapshot.customers, cohort.ends, cohort.outcomes, strict=True
        )
        if y
    }
    return len(left)


def _rarer(cohorts: list[Cohort]) -> float:
    y = np.concatenate([cohort.outcomes for cohort in cohorts])
    return float(min(y.sum(), (1 - y).sum()))
