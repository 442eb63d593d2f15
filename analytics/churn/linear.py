"""Ridge logistic regression on spline features, shrunk toward a prior.

The penalty is strength/2 * |w - prior|^2 on standardised features, so with little data
the model is the prior and with much data it forgets it. The intercept and, if given,
the group offsets are hardly penalised.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

FloatArray = NDArray[np.float64]

KNOT_SHARES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
DEGREE = 3
ONE_HOT_VALUES = 10
INTERCEPT_PENALTY = 1e-6
NEWTON_STEPS = 40
ROUGH_FROM_CELLS = 1_000_000


@dataclass(slots=True)
class SplineBasis:
    """Turns (n, f) features with NaN into standardised spline columns without NaN.

    A feature with few distinct values gets one column per value beside its straight
    line; others get a cubic spline with quantile knots, flat outside the training
    range. A feature with blanks gets a blank column.
    """

    medians: FloatArray = field(default_factory=lambda: np.empty(0))
    has_blanks: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    knots: list[FloatArray] = field(default_factory=list)
    """Per feature: distinct values, or the full knot vector when longer than ten."""
    means: FloatArray = field(default_factory=lambda: np.empty(0))
    scales: FloatArray = field(default_factory=lambda: np.empty(0))
    linear_columns: list[int] = field(default_factory=list)
    """The column holding the straight line of each feature."""
    curved: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))
    """Columns that bend a feature's straight line."""
    bent: NDArray[np.bool_] | None = None
    """Features that may bend; None for all."""
    roughness: float = 1.0
    """How many times harder a bend is penalised than a straight line."""

    def fit(self, features: FloatArray) -> SplineBasis:
        """Learns knots and scales; a feature without any value counts as zero."""
        blank = ~np.isfinite(features)
        self.has_blanks = np.asarray(blank.any(axis=0))
        self.medians = np.zeros(features.shape[1])
        for place in range(features.shape[1]):
            known = features[~blank[:, place], place]
            if len(known):
                self.medians[place] = np.median(known)
            self.knots.append(_choose_knots(known))
        raw = self._expand(features)
        self.means = raw.mean(axis=0)
        deviation = raw.std(axis=0)
        self.scales = np.where(deviation > 1e-9, deviation, np.inf)
        return self

    def transform(self, features: FloatArray) -> FloatArray:
        """Standardised columns (n, k), those of bends made smaller by roughness."""
        design = self._expand(features)
        design -= self.means
        design /= self.scales
        # A column smaller by sqrt(r) needs a weight larger by it: r times the penalty.
        design[:, self.curved] /= np.sqrt(self.roughness)
        return design

    def _expand(self, features: FloatArray) -> FloatArray:
        blank = ~np.isfinite(features)
        filled = np.where(blank, self.medians, features)
        blocks: list[FloatArray] = []
        bends: list[NDArray[np.bool_]] = []
        width = 0
        self.linear_columns = []
        for place, knots in enumerate(self.knots):
            self.linear_columns.append(width)
            column = filled[:, place]
            parts = [_straight(column, knots)]
            if self.bent is not None and not self.bent[place]:
                pass
            elif len(knots) > ONE_HOT_VALUES:
                parts.append(_spline(column, knots))
            elif len(knots) > 2:
                parts.append((column[:, None] == knots[None, :]).astype(np.float64))
            if self.has_blanks[place]:
                parts.append(blank[:, [place]].astype(np.float64))
            blocks.extend(parts)
            added = sum(part.shape[1] for part in parts)
            bend = np.ones(added, dtype=bool)
            bend[0] = False
            if self.has_blanks[place]:
                bend[-1] = False
            bends.append(bend)
            width += added
        self.curved = np.concatenate(bends)
        return np.hstack(blocks)


@dataclass(frozen=True, slots=True)
class Ridge:
    """Weights on standardised columns."""

    weights: FloatArray
    intercept: float
    offsets: FloatArray
    """One per training group, relative to the intercept; empty without groups."""

    def log_odds(self, design: FloatArray) -> FloatArray:
        """Log-odds (n,) at the mean of the group offsets."""
        return design @ self.weights + self.intercept


@dataclass(frozen=True, slots=True)
class Layout:
    """A design with its intercept and its groups, for one fit or for many."""

    full: FloatArray
    rough: NDArray[np.floating]
    """The same for a step's direction, which needs no more digits; the gradient keeps
    all of them, so the end point is the same and large problems take half the time."""
    width: int


def lay_out(design: FloatArray, groups: NDArray[np.int64] | None = None) -> Layout:
    """groups: codes 0..g-1 giving each group its own intercept."""
    blocks = [design, np.ones((len(design), 1))]
    if groups is not None:
        blocks.append(np.eye(int(groups.max()) + 1)[groups])
    full = np.hstack(blocks)
    rough = full.astype(np.float32) if full.size > ROUGH_FROM_CELLS else full
    return Layout(full, rough, design.shape[1])


def fit_ridge(
    design: FloatArray | Layout,
    outcomes: FloatArray,
    *,
    strength: float,
    prior: FloatArray | None = None,
    start: FloatArray | None = None,
    groups: NDArray[np.int64] | None = None,
) -> Ridge:
    """Maximum penalised likelihood by Newton steps with halving.

    groups: as in `lay_out`, unless laid out already; their intercepts are deviations
    with a penalty of one (a group of thousands is then free, a group of ten is not).
    """
    laid = design if isinstance(design, Layout) else lay_out(design, groups)
    full, rough, width = laid.full, laid.rough, laid.width
    size = full.shape[1]
    target = np.zeros(size)
    if prior is not None:
        target[:width] = prior
    penalty = np.full(size, float(strength))
    penalty[width] = INTERCEPT_PENALTY
    penalty[width + 1 :] = 1.0
    point = target.copy()
    if start is not None:
        point[: len(start)] = start
    else:
        rate = np.clip(np.mean(outcomes), 1e-4, 1 - 1e-4)
        point[width] = np.log(rate / (1 - rate))
    log_odds = full @ point
    value = _loss(log_odds, outcomes, point, target, penalty)
    scaled = np.empty_like(rough)
    for _ in range(NEWTON_STEPS):
        fitted = expit(log_odds)
        gradient = full.T @ (fitted - outcomes) + penalty * (point - target)
        curvature = np.maximum(fitted * (1 - fitted), 1e-9)
        # The product of a matrix with itself takes half the time of any other.
        np.multiply(rough, np.sqrt(curvature).astype(rough.dtype)[:, None], scaled)
        hessian = (scaled.T @ scaled).astype(np.float64)
        hessian[np.diag_indices_from(hessian)] += penalty
        step = cho_solve(cho_factor(hessian), gradient)
        share = 1.0
        while True:
            candidate = point - share * step
            log_odds = full @ candidate
            after = _loss(log_odds, outcomes, candidate, target, penalty)
            if after <= value + 1e-12 or share < 1e-4:
                break
            share /= 2
        gain, point, value = value - after, candidate, after
        if gain < 1e-8 * max(1.0, abs(value)):
            break
    return Ridge(point[:width], float(point[width]), point[width + 1 :])


def _loss(
    log_odds: FloatArray,
    outcomes: FloatArray,
    point: FloatArray,
    target: FloatArray,
    penalty: FloatArray,
) -> float:
    fit = np.sum(np.logaddexp(0.0, log_odds) - outcomes * log_odds)
    return float(fit + 0.5 * penalty @ (point - target) ** 2)


def _choose_knots(known: FloatArray) -> FloatArray:
    distinct = np.unique(known)
    if len(distinct) <= ONE_HOT_VALUES:
        return distinct
    inner = np.unique(np.quantile(known, KNOT_SHARES))
    if len(inner) < 3:
        inner = np.unique(np.concatenate([inner, np.quantile(distinct, [0.0, 0.5, 1])]))
    ends = [inner[0]] * DEGREE, [inner[-1]] * DEGREE
    knots = np.concatenate([ends[0], inner, ends[1]])
    # Longer than any list of distinct values, which is how the two are told apart.
    while len(knots) <= ONE_HOT_VALUES:
        knots = np.sort(np.append(knots, (inner[0] + inner[-1]) / 2))
    return knots


def _straight(column: FloatArray, knots: FloatArray) -> FloatArray:
    if len(knots) == 0:
        return column[:, None]
    return np.clip(column, knots[0], knots[-1])[:, None]


def _spline(column: FloatArray, knots: FloatArray) -> FloatArray:
    inside = np.clip(column, knots[0], knots[-1])
    return BSpline.design_matrix(inside, knots, DEGREE).toarray()
