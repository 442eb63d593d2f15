"""Has the world moved since training? Shifted inputs, scores and churn rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

FloatArray = NDArray[np.float64]

WATCH_PSI = 0.1
ACT_PSI = 0.25
BINS = 10
NOISE_DRAWS = 2_000
NOISE_QUANTILE = 0.999
EMPTY_SHARE = 1e-4
"""Stands in for an empty bin, whose logarithm would be infinite."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Edges fixed at training deciles and the training share of each bin.

    The last share is that of blanks.
    """

    edges: FloatArray
    shares: FloatArray


@dataclass(frozen=True, slots=True)
class Shift:
    """Population stability index of one column; state is "ok", "watch" or "act"."""

    name: str
    psi: float
    state: str
    missing_before: float
    missing_now: float


@dataclass(frozen=True, slots=True)
class RateTest:
    """Churners expected by the model against those that came, as a z-test."""

    expected: float
    observed: int
    z: float
    p_value: float


def training_bins(values: ArrayLike) -> Bins:
    """Decile bins of the training values; equal deciles are joined."""
    column = np.asarray(values, dtype=np.float64)
    known = column[np.isfinite(column)]
    edges = np.empty(0)
    if len(known):
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1]))
    return Bins(edges, _shares(count(edges, column)))


def count(edges: FloatArray, values: FloatArray) -> FloatArray:
    """How many values (n,) lie in each bin, the blanks last (len(edges) + 2,); counts
    of several sets add up."""
    known = np.isfinite(values)
    place = np.searchsorted(edges, values[known], side="left")
    counts = np.bincount(place, minlength=len(edges) + 1).astype(np.float64)
    return np.append(counts, len(values) - known.sum())


def psi(bins: Bins, counts: FloatArray) -> float:
    """Population stability index: sum of (now - then) * ln(now / then) over bins.
    counts: see `count`."""
    now = np.maximum(_shares(counts), EMPTY_SHARE)
    then = np.maximum(bins.shares, EMPTY_SHARE)
    return float(((now - then) * np.log(now / then)).sum())


def noise(bins: Bins, rows_then: int, rows_now: int, *, seed: int = 0) -> float:
    """The index that chance alone exceeds once in a thousand, simulated: populations of
    these sizes drawn from the same shares. With few rows it is far above 0.25."""
    if rows_now < 1 or rows_then < 1 or (bins.shares > 0).sum() < 2:
        return 0.0
    random = np.random.default_rng(seed)
    shares = np.maximum(bins.shares, 0)
    shares = shares / shares.sum()
    then = random.multinomial(rows_then, shares, size=NOISE_DRAWS) / rows_then
    now = random.multinomial(rows_now, shares, size=NOISE_DRAWS) / rows_now
    then, now = np.maximum(then, EMPTY_SHARE), np.maximum(now, EMPTY_SHARE)
    found = ((now - then) * np.log(now / then)).sum(axis=1)
    return float(np.quantile(found, NOISE_QUANTILE))


def shift(name: str, bins: Bins, counts: FloatArray) -> Shift:
    """The shift of one column against its training bins; counts: see `count`."""
    value = psi(bins, counts)
    state = "act" if value >= ACT_PSI else "watch" if value >= WATCH_PSI else "ok"
    now = float(_shares(counts)[-1])
    return Shift(name, value, state, float(bins.shares[-1]), now)


def base_rate_test(outcomes: ArrayLike, probabilities: ArrayLike) -> RateTest:
    """Whether the churners of a matured cohort agree with the predicted sum.

    The variance is that of independent Bernoulli outcomes, sum p(1 - p).
    """
    y = np.asarray(outcomes, dtype=np.float64)
    p = np.asarray(probabilities, dtype=np.float64)
    expected, spread = float(p.sum()), float(np.sqrt((p * (1 - p)).sum()))
    z = (float(y.sum()) - expected) / spread if spread > 0 else 0.0
    return RateTest(expected, int(y.sum()), z, float(2 * ndtr(-abs(z))))


def _shares(counts: FloatArray) -> FloatArray:
    return counts / max(counts.sum(), 1.0)
