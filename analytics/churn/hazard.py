"""Time to churn: a discrete-time hazard fitted on one row per customer and month.

A customer seen for m months gives m rows; the last one has outcome 1 if the customer
churned in that month. Whoever is still there simply stops giving rows, so censored
customers need no special treatment (Singer and Willett 1993).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from analytics.churn.curves import draw_curves
from analytics.churn.linear import Ridge, SplineBasis, fit_ridge
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

STRENGTH = 10.0
NEWTON_STEPS = 12
MOST_MOVE = 6.0
SMALLEST_MOVE = 1e-12


@dataclass(frozen=True, slots=True)
class Hazard:
    """Monthly churn probability given survival so far, by tenure and features."""

    basis: SplineBasis
    ridge: Ridge
    longest: float
    """Largest tenure seen; beyond it the hazard stays flat."""

    def monthly(
        self, features: FloatArray, tenure_months: ArrayLike, *, months: int
    ) -> FloatArray:
        """Hazard (n, months) of the coming months; month 0 is the next one."""
        x = np.asarray(features, dtype=np.float64)
        tenure = np.asarray(tenure_months, dtype=np.float64)
        drawn = draw_curves(self.basis, self.ridge)
        lived, *others = drawn.curves
        fixed = np.full(len(x), drawn.intercept)
        for curve, column in zip(others, x.T, strict=True):
            fixed += curve.shares(column)
        columns = []
        for ahead in range(months):
            now = np.minimum(tenure + ahead, self.longest)
            columns.append(expit(fixed + lived.shares(now)))
        return np.column_stack(columns)

    def survival(
        self, features: FloatArray, tenure_months: ArrayLike, *, months: int
    ) -> FloatArray:
        """Probability (n, months) of still being there after each coming month."""
        hazard = self.monthly(features, tenure_months, months=months)
        return np.asarray(np.cumprod(1 - hazard, axis=1), dtype=np.float64)

    def expected_months(
        self, features: FloatArray, tenure_months: ArrayLike, *, months: int
    ) -> FloatArray:
        """Expected months until churn, counting at most `months` (restricted mean).

        A customer who churns in the next month is counted with zero full months.
        """
        survival = self.survival(features, tenure_months, months=months)
        return np.asarray(survival.sum(axis=1), dtype=np.float64)

    def anchored_months(
        self,
        features: FloatArray,
        tenure_months: ArrayLike,
        *,
        months: int,
        within: float,
        probabilities: ArrayLike,
    ) -> FloatArray:
        """As `expected_months`, of a hazard whose log-odds are moved per customer so
        that the chance to churn in the first `within` months (at most `months`, parts
        of a month by a constant rate) is its calibrated probability (n,).

        Newton's method on the log of survival, which is concave in the move: from the
        second step on it closes in from one side.
        """
        hazard = self.monthly(features, tenure_months, months=months)
        p = np.clip(np.asarray(probabilities, dtype=np.float64), 1e-9, 1 - 1e-9)
        z = np.log(np.clip(hazard, 1e-9, 1 - 1e-9))
        z -= np.log1p(-np.clip(hazard, 1e-9, 1 - 1e-9))
        part = np.clip(within - np.arange(months), 0.0, 1.0)
        first = z[:, part > 0]
        part = part[part > 0]
        move = np.zeros(len(z))
        for _ in range(NEWTON_STEPS):
            now = first + move[:, None]
            miss = -np.logaddexp(0.0, now) @ part - np.log1p(-p)
            step = np.clip(miss / (expit(now) @ part), -MOST_MOVE, MOST_MOVE)
            move += step
            if np.abs(step).max(initial=0.0) < SMALLEST_MOVE:
                break
        stays = -np.logaddexp(0.0, z + move[:, None])
        return np.asarray(np.exp(np.cumsum(stays, axis=1)).sum(axis=1))


def person_months(
    features: FloatArray, tenure_months: ArrayLike, churned: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    """Rows (sum of tenures, 1 + f) with months lived first, and their outcomes.

    tenure_months: whole months observed, at least 1; features stay as given for all
    rows of a customer.
    """
    x = np.asarray(features, dtype=np.float64)
    tenure = np.asarray(tenure_months, dtype=np.int64)
    ended = np.asarray(churned, dtype=np.float64)
    if len(tenure) == 0 or tenure.min() < 1:
        raise ConfigError("Every customer needs at least one observed month.")
    who = np.repeat(np.arange(len(tenure)), tenure)
    first = np.concatenate([[0], np.cumsum(tenure)[:-1]])
    month = np.arange(len(who)) - first[who]
    outcomes = np.zeros(len(who))
    outcomes[np.cumsum(tenure) - 1] = ended
    return np.column_stack([month.astype(np.float64), x[who]]), outcomes


def fit_hazard(
    features: FloatArray,
    tenure_months: ArrayLike,
    churned: ArrayLike,
    *,
    strength: float = STRENGTH,
) -> Hazard:
    """The hazard for these customers; ConfigError where nobody churned, or all did
    in their first month."""
    rows, outcomes = person_months(features, tenure_months, churned)
    if outcomes.min() == outcomes.max():
        raise ConfigError("A hazard needs months with churn and months without.")
    basis = SplineBasis().fit(rows)
    ridge = fit_ridge(basis.transform(rows), outcomes, strength=strength)
    return Hazard(basis, ridge, float(rows[:, 0].max()))


def concordance(tenure: ArrayLike, churned: ArrayLike, risk: ArrayLike) -> float:
    """Harrell's C: share of comparable pairs where the earlier churner had more risk.

    O(n * churners); NaN without a comparable pair.
    """
    time = np.asarray(tenure, dtype=np.float64)
    ended = np.asarray(churned, dtype=bool)
    score = np.asarray(risk, dtype=np.float64)
    right = pairs = 0.0
    for place in np.flatnonzero(ended):
        later = time > time[place]
        pairs += later.sum()
        right += (score[place] > score[later]).sum()
        right += 0.5 * (score[place] == score[later]).sum()
    return right / pairs if pairs else float("nan")
