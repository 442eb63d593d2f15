"""How good a churn probability is: ranking, accuracy, calibration, and their noise.

Every function takes `outcomes` (n,) of 0/1, where 1 = churned, and `probabilities`
(n,) in [0, 1]. An undefined figure (one class only, no row) is NaN, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

FloatArray = NDArray[np.float64]

LOG_LOSS_CLIP = 1e-12
BIN_COUNT = 10
FLOOR_DRAWS = 60
TOP_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Metrics:
    """All figures of one evaluation; `ece_floor` is what perfect calibration gives."""

    rows: int
    churners: int
    auc: float
    ap: float
    log_loss: float
    brier: float
    ece: float
    ece_floor: float
    top_decile_lift: float
    lift_cap: float


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """One bar of a reliability diagram; `low` and `high` are a 95% Wilson interval."""

    rows: int
    mean_probability: float
    observed_rate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Interval:
    """A figure with its 95% percentile bootstrap interval over rows."""

    value: float
    low: float
    high: float


def measure(outcomes: ArrayLike, probabilities: ArrayLike, *, seed: int = 0) -> Metrics:
    """All figures for one set of predictions."""
    y, p = _checked(outcomes, probabilities)
    return Metrics(
        rows=len(y),
        churners=int(y.sum()),
        auc=auc(y, p),
        ap=average_precision(y, p),
        log_loss=log_loss(y, p),
        brier=brier(y, p),
        ece=ece(y, p),
        ece_floor=ece_floor(p, seed=seed),
        top_decile_lift=top_decile_lift(y, p),
        lift_cap=lift_cap(y),
    )


def measure_ranking(outcomes: ArrayLike, scores: ArrayLike) -> Metrics:
    """The ranking figures of a score that is no probability; the rest is NaN."""
    y, s = _checked(outcomes, scores)
    nan = float("nan")
    return Metrics(
        rows=len(y),
        churners=int(y.sum()),
        auc=auc(y, s),
        ap=average_precision(y, s),
        log_loss=nan,
        brier=nan,
        ece=nan,
        ece_floor=nan,
        top_decile_lift=top_decile_lift(y, s),
        lift_cap=lift_cap(y),
    )


def auc(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Probability that a churner outranks a stayer; a tie counts one half."""
    y, s = _checked(outcomes, scores)
    churners = int(y.sum())
    stayers = len(y) - churners
    if churners == 0 or stayers == 0:
        return float("nan")
    rank_sum = float(rankdata(s)[y == 1].sum())
    return (rank_sum - churners * (churners + 1) / 2) / (churners * stayers)


def average_precision(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Sum of precision times recall gained, one step per distinct score."""
    y, s = _checked(outcomes, scores)
    if y.sum() == 0:
        return float("nan")
    order = np.argsort(-s, kind="stable")
    y, s = y[order], s[order]
    last_of_tie = np.append(np.flatnonzero(np.diff(s)), len(s) - 1)
    caught = np.cumsum(y)[last_of_tie]
    precision = caught / (last_of_tie + 1)
    gained = np.diff(caught, prepend=0.0) / y.sum()
    return float(precision @ gained)


def log_loss(outcomes: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean negative log-likelihood in nats; probabilities are kept off 0 and 1."""
    y, p = _checked(outcomes, probabilities)
    if len(y) == 0:
        return float("nan")
    p = np.clip(p, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p)))


def brier(outcomes: ArrayLike, probabilities: ArrayLike) -> float:
    """Mean squared distance between probability and outcome."""
    y, p = _checked(outcomes, probabilities)
    return float(np.mean((p - y) ** 2)) if len(y) else float("nan")


def ece(outcomes: ArrayLike, probabilities: ArrayLike) -> float:
    """Expected calibration error over ten bins of equal count.

    The gap between mean probability and observed rate per bin, weighted by its rows.
    Equal probabilities share a bin, so the figure does not depend on row order.
    """
    y, p = _checked(outcomes, probabilities)
    return _binned_gap(y, p, _bin_index(p)) if len(y) else float("nan")


def ece_floor(
    probabilities: ArrayLike,
    *,
    fates: NDArray[np.int64] | None = None,
    draws: int = FLOOR_DRAWS,
    seed: int = 0,
) -> float:
    """The ECE that a perfectly calibrated model with these scores shows on average.

    Mean over `draws` outcomes simulated from the probabilities; no real outcome used.
    fates: codes 0..k-1 per row (n,), the same for rows that tell of the same
    departure and so share one draw of luck; each row its own without them.
    """
    p = np.asarray(probabilities, dtype=np.float64)
    if len(p) == 0:
        return float("nan")
    own = np.arange(len(p)) if fates is None else fates
    bins = _bin_index(p)
    random = np.random.default_rng(seed)
    gaps = [
        _binned_gap((random.random(own.max() + 1)[own] < p).astype(float), p, bins)
        for _ in range(draws)
    ]
    return float(np.mean(gaps))


def top_decile_lift(outcomes: ArrayLike, scores: ArrayLike) -> float:
    """Churn rate in the riskiest tenth over the overall rate.

    The tenth has ceil(n/10) rows. Where a tie crosses its edge, the tied rows count
    with their mean outcome, so row order never matters.
    """
    y, s = _checked(outcomes, scores)
    if y.sum() == 0:
        return float("nan")
    size = _top_size(len(y))
    edge = np.partition(s, len(s) - size)[len(s) - size]
    above, tied = s > edge, s == edge
    caught = y[above].sum() + y[tied].mean() * (size - above.sum())
    return float(caught / size / y.mean())


def lift_cap(outcomes: ArrayLike) -> float:
    """The top-decile lift of a perfect ranking: 1/base rate, or less if churn is rare.

    With fewer churners than a tenth of the rows the perfect tenth is not all churners.
    """
    y = np.asarray(outcomes, dtype=np.float64)
    if y.sum() == 0:
        return float("nan")
    size = _top_size(len(y))
    return float(min(size, y.sum()) / size / y.mean())


def calibration_line(
    outcomes: ArrayLike, probabilities: ArrayLike
) -> tuple[float, float]:
    """Intercept and slope of outcome on log-odds; (0, 1) is perfect calibration."""
    y, p = _checked(outcomes, probabilities)
    if len(y) == 0 or y.min() == y.max():
        return float("nan"), float("nan")
    p = np.clip(p, LOG_LOSS_CLIP, 1 - LOG_LOSS_CLIP)
    design = np.column_stack([np.ones(len(p)), np.log(p) - np.log1p(-p)])
    # A hair of ridge keeps separated samples finite; it moves real ones by < 1e-4.
    penalty = np.diag([1e-6, 1e-6])
    line = np.array([0.0, 1.0])
    for _ in range(50):
        fitted = 1 / (1 + np.exp(-design @ line))
        gradient = design.T @ (y - fitted) - penalty @ (line - [0.0, 1.0])
        weights = fitted * (1 - fitted)
        step = np.linalg.solve((design.T * weights) @ design + penalty, gradient)
        line = line + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-9:
            break
    return float(line[0]), float(line[1])


def reliability(outcomes: ArrayLike, probabilities: ArrayLike) -> list[ReliabilityBin]:
    """The bins behind `ece`, lowest probability first; empty bins are left out."""
    y, p = _checked(outcomes, probabilities)
    bins = _bin_index(p)
    table = []
    for number in np.unique(bins):
        inside = bins == number
        rate, rows = float(y[inside].mean()), int(inside.sum())
        low, high = wilson_interval(rate, rows)
        table.append(ReliabilityBin(rows, float(p[inside].mean()), rate, low, high))
    return table


def wilson_interval(rate: float, rows: int) -> tuple[float, float]:
    """95% score interval of a share (Wilson 1927)."""
    z2 = 1.959963984540054**2
    centre = (rate + z2 / (2 * rows)) / (1 + z2 / rows)
    spread = np.sqrt(z2 * (rate * (1 - rate) / rows + z2 / (4 * rows * rows)))
    half = float(spread / (1 + z2 / rows))
    return max(0.0, centre - half), min(1.0, centre + half)


def bootstrap(
    figure: Callable[[FloatArray, FloatArray], float],
    outcomes: ArrayLike,
    probabilities: ArrayLike,
    *,
    draws: int = 200,
    seed: int = 0,
) -> Interval:
    """`figure(outcomes, probabilities)` with its 95% interval over resampled rows."""
    y, p = _checked(outcomes, probabilities)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = random.integers(0, len(y), len(y))
        values.append(figure(y[rows], p[rows]))
    return _interval(figure(y, p), values)


def bootstrap_difference(
    figure: Callable[[FloatArray, FloatArray], float],
    outcomes: ArrayLike,
    first: ArrayLike,
    second: ArrayLike,
    *,
    draws: int = 200,
    seed: int = 0,
) -> Interval:
    """`figure` of the first score minus the second's, on the same resampled rows."""
    y, a = _checked(outcomes, first)
    b = np.asarray(second, dtype=np.float64)
    random = np.random.default_rng(seed)
    values = []
    for _ in range(draws):
        rows = random.integers(0, len(y), len(y))
        values.append(figure(y[rows], a[rows]) - figure(y[rows], b[rows]))
    return _interval(figure(y, a) - figure(y, b), values)


def _interval(value: float, values: list[float]) -> Interval:
    finite = np.array(values)[np.isfinite(values)]
    if len(finite) == 0:
        return Interval(float(value), float("nan"), float("nan"))
    low, high = np.percentile(finite, [2.5, 97.5])
    return Interval(float(value), float(low), float(high))


def _checked(
    outcomes: ArrayLike, probabilities: ArrayLike
) -> tuple[FloatArray, FloatArray]:
    y = np.asarray(outcomes, dtype=np.float64)
    p = np.asarray(probabilities, dtype=np.float64)
    if y.shape != p.shape or y.ndim != 1:
        message = f"Outcomes {y.shape} and scores {p.shape} must be two equal rows."
        raise ValueError(message)
    return y, p


def _bin_index(p: FloatArray) -> NDArray[np.int64]:
    share_below = (rankdata(p) - 0.5) / max(len(p), 1)
    return np.minimum((share_below * BIN_COUNT).astype(np.int64), BIN_COUNT - 1)


def _binned_gap(y: FloatArray, p: FloatArray, bins: NDArray[np.int64]) -> float:
    gap = np.bincount(bins, weights=p - y, minlength=BIN_COUNT)
    return float(np.abs(gap).sum() / len(y))


def _top_size(rows: int) -> int:
    return max(1, int(np.ceil(rows * TOP_SHARE)))
