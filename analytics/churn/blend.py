"""How much each member of the model counts, from held-out log-odds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

FloatArray = NDArray[np.float64]

EQUAL_PULL = 4.0
"""Pull toward equal weights, worth about so many well-informed rows."""
SMALLEST_WEIGHT = 0.08
"""A member that counts less is not worth its time at scoring."""
TAIL_PULL = 4.0
"""Pull of both tails' slopes toward one, in the same worth."""
TAIL_GAIN = 4.6
"""Log-likelihood that two slopes must gain: by mere chance once in a hundred."""


@dataclass(frozen=True, slots=True)
class Blend:
    """Log-odds = members @ weights + intercept; weights are not negative.

    Their sum is the calibration slope, the intercept the calibration in the large.
    """

    weights: FloatArray
    intercept: float
    log_loss: float


@dataclass(frozen=True, slots=True)
class Tails:
    """A slope for each tail of the log-odds: customers who leave without a sign need
    a smaller one below than above.

    Beta calibration (Kull, Silva Filho and Flach, AISTATS 2017).
    """

    low: float = 1.0
    high: float = 1.0
    shift: float = 0.0

    def straighten(self, log_odds: FloatArray) -> FloatArray:
        """Log-odds of any shape, in the same order."""
        if self == Tails():
            return log_odds
        above = np.logaddexp(0.0, log_odds)
        return self.low * (log_odds - above) + self.high * above + self.shift


def fit_tails(log_odds: FloatArray, outcomes: FloatArray) -> Tails:
    """The tails that fit held-out outcomes best; one slope where two gain little."""
    above = np.logaddexp(0.0, log_odds)
    parts = np.column_stack([log_odds - above, above, np.ones(len(log_odds))])
    usual = np.array([1.0, 1.0, 0.0])
    pull = np.array([TAIL_PULL, TAIL_PULL, 0.0])

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        z = parts @ point
        value = float((np.logaddexp(0, z) - outcomes * z).sum())
        slope = parts.T @ (expit(z) - outcomes) + 2 * pull * (point - usual)
        return value + float(pull @ (point - usual) ** 2), slope

    bounds = [(0.2, 5.0), (0.2, 5.0), (-5.0, 5.0)]
    best = minimize(loss, usual, jac=True, method="L-BFGS-B", bounds=bounds)
    if loss(usual)[0] - float(best.fun) < TAIL_GAIN:
        return Tails()
    low, high, shift = (float(value) for value in best.x)
    return Tails(low, high, shift)


def fit_blend(
    members: FloatArray, outcomes: FloatArray, *, groups: NDArray[np.int64] | None
) -> Blend:
    """Weights (m,) that minimise held-out log-loss of `members` (n, m) log-odds.

    With groups each group is judged at its own best intercept, because its base rate
    could not be known to the members; the returned intercept is then zero.
    """
    rows, count = members.shape
    equal = np.full(count, 1.0 / count)

    def loss(point: FloatArray) -> tuple[float, FloatArray]:
        weights = point[:count]
        z = members @ weights + point[count:][codes]
        error = expit(z) - outcomes
        value = float((np.logaddexp(0, z) - outcomes * z).sum())
        slope = np.concatenate(
            [members.T @ error, np.bincount(codes, weights=error, minlength=levels)]
        )
        away = weights - equal
        slope[:count] += 2 * EQUAL_PULL * away
        return (value + EQUAL_PULL * float(away @ away)) / rows, slope / rows

    codes = np.zeros(rows, dtype=np.int64)
    if groups is not None:
        codes = np.unique(groups, return_inverse=True)[1]
    levels = int(codes.max()) + 1
    start = np.concatenate([equal, np.zeros(levels)])
    bounds = [(0.0, 3.0)] * count + [(-20.0, 20.0)] * levels
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    weights = best[:count]
    weak = weights < SMALLEST_WEIGHT
    if weak.any() and not weak.all():
        rest = fit_blend(members[:, ~weak], outcomes, groups=groups)
        weights = np.zeros(count)
        weights[~weak] = rest.weights
    level = level_per_group(members @ weights, outcomes, codes)
    z = members @ weights + level
    value = float(np.mean(np.logaddexp(0, z) - outcomes * z))
    return Blend(weights, 0.0 if groups is not None else float(level[0]), value)


def level_per_group(
    log_odds: FloatArray, outcomes: FloatArray, groups: NDArray[np.int64] | None
) -> FloatArray:
    """Per row the intercept that makes its group's mean probability its base rate.

    Zero without groups.
    """
    if groups is None:
        return np.zeros(len(log_odds))
    level = np.zeros(len(log_odds))
    for group in np.unique(groups):
        inside = groups == group
        level[inside] = level_shift(log_odds[inside], float(outcomes[inside].mean()))
    return level


def level_shift(log_odds: FloatArray, rate: float) -> float:
    """The intercept that makes the mean probability equal to `rate`."""
    rate = float(np.clip(rate, 0.5 / len(log_odds), 1 - 0.5 / len(log_odds)))
    low, high = -40.0, 40.0
    for _ in range(60):
        middle = (low + high) / 2
        if expit(log_odds + middle).mean() < rate:
            low = middle
        else:
            high = middle
    return (low + high) / 2
