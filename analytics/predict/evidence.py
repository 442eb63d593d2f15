"""What is told of a tested cutoff: its figures, and a sample of its forecasts."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import drift, explain, metrics, model, trees
from analytics.predict import snapshots
from analytics.predict.features import GROUPS, NAMES
from analytics.predict.snapshots import Cohort

FloatArray = NDArray[np.float64]

MOST_TESTED = 500
"""Forecasts kept of one tested cutoff, sampled evenly."""
MOST_TOLD = 100
"""Of these the leavers whose strongest reason is kept."""


def figures(cohort: Cohort, p: FloatArray, chosen: str, seed: int) -> dict[str, Any]:
    """All figures of one tested cutoff; rule_auc is that of days since last use;
    rate_z tests departures against their expected sum."""
    y = cohort.outcomes
    base = np.full(len(y), y.mean())
    silence = cohort.snapshot.column("days_since_use")
    silence = np.where(np.isfinite(silence), silence, 10_000.0)
    auc = metrics.bootstrap(metrics.auc, y, p, seed=seed)
    gain = metrics.bootstrap_difference(metrics.auc, y, p, silence, seed=seed)
    rate = drift.base_rate_test(y, p)
    found = asdict(metrics.measure(y, p, seed=seed))
    found |= {
        "cutoff": snapshots.cutoff_date(cohort.day).isoformat(),
        "auc_low": auc.low,
        "auc_high": auc.high,
        "rule_auc": metrics.auc(y, silence),
        "rule_gain": gain.value,
        "rule_gain_low": gain.low,
        "skill": 1 - metrics.log_loss(y, p) / metrics.log_loss(y, base),
        "expected_rate": float(p.mean()),
        "observed_rate": float(y.mean()),
        "expected": rate.expected,
        "rate_z": rate.z,
        "rate_p": rate.p_value,
        "model": chosen,
        "is_backfilled": cohort.is_backfilled,
    }
    return {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in found.items()
    }


def sample(
    cohort: Cohort, fitted: model.ChurnModel, level: float, past: list[Cohort]
) -> dict[str, Any]:
    """Forecasts of a tested cutoff as {"cutoff", "rows"}; a row is [customer id,
    probability, 1 if it left, group that raised the risk of a leaver most or ""]."""
    values = cohort.snapshot.values
    rows = trees.sample_rows(len(values), MOST_TESTED, seed=0)
    p = expit(fitted.log_odds(values[rows]) + level)
    leavers = np.flatnonzero(cohort.outcomes[rows] == 1)[:MOST_TOLD]
    strongest = [""] * len(rows)
    if len(leavers):
        found = explain.explain(
            fitted.mixed_log_odds,
            values[rows[leavers]],
            feature_names=NAMES,
            groups=GROUPS,
            reference=explain.segment_reference(past[-1].snapshot.values),
        )
        for place, best in zip(leavers.tolist(), found.groups, strict=True):
            if best.max() > 0:
                strongest[place] = found.group_names[int(np.argmax(best))]
    return {
        "cutoff": snapshots.cutoff_date(cohort.day).isoformat(),
        "rows": [
            [int(who), round(float(chance), 5), int(left), why]
            for who, chance, left, why in zip(
                cohort.snapshot.customers[rows],
                p,
                cohort.outcomes[rows],
                strongest,
                strict=True,
            )
        ],
    }
