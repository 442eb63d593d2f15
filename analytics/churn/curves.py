"""A fitted ridge with its splines multiplied out: one curve per feature.

Splines are for learning. Afterwards a feature adds a piecewise cubic of its value,
which says the same up to rounding in a small part of the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline, PPoly

from analytics.churn.linear import DEGREE, ONE_HOT_VALUES, Ridge, SplineBasis

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Curve:
    """What one feature adds to the log-odds."""

    ends: FloatArray
    """Ascending ends of the pieces (k + 1,); flat outside."""
    cubics: FloatArray
    """Coefficients (4, k) of the way from a piece's lower end, the cube's first."""
    values: FloatArray
    """Values that add a level of their own, ascending; may be empty."""
    levels: FloatArray
    blank: float

    def shares(self, column: FloatArray) -> FloatArray:
        """What these values (n,) add, NaN being a blank."""
        inside = np.clip(column, self.ends[0], self.ends[-1])
        piece = np.searchsorted(self.ends[1:-1], inside, side="right")
        way = inside - self.ends.take(piece)
        cube, square, slope, level = self.cubics
        added = cube.take(piece) * way + square.take(piece)
        added = (added * way + slope.take(piece)) * way + level.take(piece)
        if len(self.values):
            place = np.searchsorted(self.values[1:], column, side="right")
            known = self.values.take(place) == column
            added += np.where(known, self.levels.take(place), 0.0)
        return np.where(np.isfinite(column), added, self.blank)


@dataclass(frozen=True, slots=True)
class Curves:
    """Log-odds = intercept + the sum of the features' shares."""

    curves: tuple[Curve, ...]
    intercept: float

    def shares(self, features: FloatArray) -> FloatArray:
        """What each feature adds (f, n); features: (n, f) with NaN for unknown."""
        made = np.empty(features.shape[::-1])
        for place, curve in enumerate(self.curves):
            made[place] = curve.shares(features[:, place])
        return made

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Log-odds (n,)."""
        return self.shares(features).sum(axis=0) + self.intercept

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        """Log-odds (m, n) with the features of each mask (m, f) and, for the rest,
        those of the reference (1, f) or (n, f)."""
        own, other = self.shares(features), self.shares(reference)
        kept = masks.astype(np.float64)
        return kept @ own + (1.0 - kept) @ other + self.intercept


def draw_curves(basis: SplineBasis, ridge: Ridge) -> Curves:
    """The curves of a ridge on this basis; weights beyond its columns are left out."""
    slopes = ridge.weights[: len(basis.means)] / basis.scales
    slopes[basis.curved] /= np.sqrt(basis.roughness)
    starts = [*basis.linear_columns, len(slopes)]
    curves = tuple(
        _curve(basis, place, slopes[starts[place] : starts[place + 1]])
        for place in range(len(basis.knots))
    )
    return Curves(curves, ridge.intercept - float(basis.means @ slopes))


def _curve(basis: SplineBasis, place: int, slopes: FloatArray) -> Curve:
    """slopes: per raw column of this feature, in the basis' order."""
    knots, blank = basis.knots[place], 0.0
    if basis.has_blanks[place]:
        slopes, blank = slopes[:-1], float(slopes[-1])
    ends, cubics = _straight(knots, float(slopes[0]))
    values = levels = np.empty(0)
    if len(knots) > ONE_HOT_VALUES and len(slopes) > 1:
        spline = PPoly.from_spline(BSpline(knots, slopes[1:], DEGREE))
        real = np.flatnonzero(np.diff(spline.x) > 0)
        ends = spline.x[[*real, real[-1] + 1]]
        cubics = spline.c[:, real].copy()
        cubics[2] += slopes[0]
        cubics[3] += slopes[0] * ends[:-1]
    elif len(slopes) > 1:
        values, levels = knots, slopes[1:]
    curve = Curve(ends, cubics, values, levels, 0.0)
    usual = curve.shares(basis.medians[[place]])
    return replace(curve, blank=blank + float(usual[0]))


def _straight(knots: FloatArray, slope: float) -> tuple[FloatArray, FloatArray]:
    """A line between the outer knots; nothing where no value was ever known."""
    if len(knots) == 0:
        return np.zeros(2), np.zeros((4, 1))
    ends = knots[[0, -1]]
    return ends, np.array([[0.0], [0.0], [slope], [slope * ends[0]]])
