"""Products of two features that explain what a ridge of single features leaves over."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_PAIRS = 40
SMALLEST_T = 3.0
"""A product counts from this score statistic on, about 1 in 400 by mere chance."""
MOST_FEATURES = 150
MOST_ROWS = 20_000
CUT_SHARES = (0.01, 0.99)


@dataclass(slots=True)
class PairBasis:
    """The chosen products as standardised columns; no pair is possible."""

    low: FloatArray = field(default_factory=lambda: np.empty(0))
    high: FloatArray = field(default_factory=lambda: np.empty(0))
    centres: FloatArray = field(default_factory=lambda: np.empty(0))
    scales: FloatArray = field(default_factory=lambda: np.empty(0))
    first: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    second: IntArray = field(default_factory=lambda: np.empty(0, np.int64))
    means: FloatArray = field(default_factory=lambda: np.empty(0))
    spreads: FloatArray = field(default_factory=lambda: np.empty(0))

    def fit(self, features: FloatArray, residual: FloatArray) -> PairBasis:
        """Chooses the pairs whose product goes with `residual`, outcome minus fit.

        features: (n, f) with NaN for unknown; residual: (n,).
        """
        step = max(1, len(features) // MOST_ROWS)
        x, left = features[::step], residual[::step]
        known = np.isfinite(x)
        safe = np.where(known.any(axis=0), x, 0.0)
        self.low, self.high = np.nanquantile(safe, CUT_SHARES, axis=0)
        cut = np.clip(safe, self.low, self.high)
        self.centres = np.nanmean(cut, axis=0)
        spread = np.nanstd(cut, axis=0)
        self.scales = np.where(spread > 1e-12, spread, np.inf)
        z = self._standard(x)
        place = np.flatnonzero(np.isfinite(self.scales))
        if len(place) > MOST_FEATURES:
            place = _strongest(z, left, place)
        self._choose(z[:, place], left, place)
        product = z[:, self.first] * z[:, self.second]
        self.means = product.mean(axis=0)
        self.spreads = np.maximum(product.std(axis=0), 1e-9)
        return self

    def transform(self, features: FloatArray) -> FloatArray:
        """Standardised products (n, pairs)."""
        z = self._standard(features)
        return (z[:, self.first] * z[:, self.second] - self.means) / self.spreads

    def mixed(
        self,
        features: FloatArray,
        reference: FloatArray,
        masks: NDArray[np.bool_],
        weights: FloatArray,
    ) -> FloatArray:
        """`transform(..) @ weights` (m, n) with the features of each mask (m, f) and,
        for the rest, those of the reference (1, f) or (n, f)."""
        z, other = self._standard(features), self._standard(reference)
        slopes = weights / self.spreads
        # (r + m d) (r' + m' d') = r r' + m d r' + m' r d' + m m' d d'
        left, right = other[:, self.first], other[:, self.second]
        more, also = z[:, self.first] - left, z[:, self.second] - right
        has, too = masks[:, self.first], masks[:, self.second]
        return (
            (left * right - self.means) @ slopes
            + has @ (more * right * slopes).T
            + too @ (left * also * slopes).T
            + (has & too) @ (more * also * slopes).T
        )

    def _standard(self, features: FloatArray) -> FloatArray:
        cut = np.clip(features, self.low, self.high)
        return np.nan_to_num((cut - self.centres) / self.scales)

    def _choose(self, z: FloatArray, residual: FloatArray, place: IntArray) -> None:
        found: list[tuple[float, int, int]] = []
        weighted = residual**2
        for number in range(z.shape[1] - 1):
            product = z[:, [number]] * z[:, number + 1 :]
            product -= product.mean(axis=0)
            spread = np.sqrt(weighted @ product**2)
            t = np.abs(residual @ product) / np.where(spread > 1e-9, spread, np.inf)
            found += [
                (float(t[other]), number, number + 1 + int(other))
                for other in np.flatnonzero(t >= SMALLEST_T)
            ]
        found = sorted(found, reverse=True)[:MOST_PAIRS]
        self.first = place[np.array([pair[1] for pair in found], dtype=np.int64)]
        self.second = place[np.array([pair[2] for pair in found], dtype=np.int64)]


def _strongest(z: FloatArray, residual: FloatArray, place: IntArray) -> IntArray:
    """Features whose own spread goes with the size of the residual most."""
    size = np.abs(residual) - np.abs(residual).mean()
    pull = np.abs((z[:, place] ** 2).T @ size) + np.abs(z[:, place].T @ size)
    return np.sort(place[np.argsort(-pull)[:MOST_FEATURES]])
