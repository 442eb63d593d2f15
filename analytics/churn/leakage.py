"""The alarm for results that are too good: something in the features knows the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.churn import metrics

FloatArray = NDArray[np.float64]

ALARM_AUC = 0.95
SUSPECT_AUC = 0.9


@dataclass(frozen=True, slots=True)
class LeakageAlarm:
    """An out-of-time AUC above 0.95 and the single features above 0.9."""

    auc: float
    suspects: dict[str, float]
    """Feature name to its own AUC (the better of both directions), highest first."""

    @property
    def sentence(self) -> str:
        """What a person should look at."""
        if not self.suspects:
            named = "no single feature explains it, so look at their combination"
        else:
            named = "look at " + ", ".join(
                f"{name} ({value:.3f} alone)" for name, value in self.suspects.items()
            )
        return f"AUC {self.auc:.3f} is too good to be true: {named}."


def check(
    outcomes: FloatArray,
    probabilities: FloatArray,
    features: FloatArray,
    names: Sequence[str],
) -> LeakageAlarm | None:
    """The alarm for one out-of-time cohort, or None where there is no reason for it.

    features: (n, f), NaN is ranked below every value.
    """
    value = metrics.auc(outcomes, probabilities)
    if not value > ALARM_AUC:
        return None
    found = {}
    for name, column in zip(names, features.T, strict=True):
        alone = metrics.auc(outcomes, np.where(np.isfinite(column), column, -np.inf))
        alone = max(alone, 1 - alone)
        if alone > SUSPECT_AUC:
            found[name] = float(alone)
    ranked = sorted(found.items(), key=lambda item: -item[1])
    return LeakageAlarm(float(value), dict(ranked))
