"""Ensembles of trees with log-odds out: three fixed shapes, averaged over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier

from analytics.churn.boosted import BoostedTrees, unfold
from analytics.churn.threads import limited_threads

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_ROWS = 120_000
"""More training rows than this change the fit less than the next seed does."""
BLANK = -1e6
"""What a blank is to trees that cannot branch on it: below every real value."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Size of an ensemble; `rate` 0 means randomised averaging, not boosting."""

    name: str
    trees: int
    leaves: int
    rate: float
    feature_share: float
    rows_per_leaf: int
    most_rows: int = 1 << 40
    """Not tried above this many training rows: too slow or too large there."""
    most_cells: int = 1 << 60
    """The same for rows times columns."""


SHAPES = (
    Shape("small_boosted", 150, 8, 0.06, 0.3, 20),
    Shape("deep_boosted", 300, 16, 0.06, 0.3, 8),
    Shape("random", 200, 0, 0.0, 0.5, 2, most_rows=30_000, most_cells=1_500_000),
)
LEAN = SHAPES[:1]
"""For scoring very many customers; costs a little accuracy on bent data."""


@dataclass(frozen=True, slots=True)
class Forest:
    """Fitted ensembles of one shape, averaged in log-odds."""

    shape: Shape
    members: Sequence[BoostedTrees | ExtraTreesClassifier]
    base_rate: float
    used: IntArray
    """Columns with two or more values in training; the binning fails on others."""

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Mean log-odds (n,) over the members."""
        x = features[:, self.used]
        with limited_threads():
            return np.mean([self._one(member, x) for member in self.members], axis=0)

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: NDArray[np.bool_]
    ) -> FloatArray:
        """Log-odds (m, n) with the features of each mask (m, f) and, for the rest,
        those of the reference (1, f) or (n, f)."""
        mix = features[:, self.used], reference[:, self.used], masks[:, self.used]
        with limited_threads():
            return np.mean([self._mixed(one, *mix) for one in self.members], axis=0)

    def _mixed(
        self,
        member: BoostedTrees | ExtraTreesClassifier,
        features: FloatArray,
        reference: FloatArray,
        masks: NDArray[np.bool_],
    ) -> FloatArray:
        if isinstance(member, BoostedTrees):
            return member.mixed_log_odds(features, reference, masks)
        return np.array(
            [self._one(member, np.where(kept, features, reference)) for kept in masks]
        )

    def _one(
        self, member: BoostedTrees | ExtraTreesClassifier, features: FloatArray
    ) -> FloatArray:
        if isinstance(member, BoostedTrees):
            return member.log_odds(features)
        p = member.predict_proba(_filled(features))[:, 1]
        # One pseudo-tree voting the base rate keeps unanimous leaves off 0 and 1.
        p = (p * self.shape.trees + self.base_rate) / (self.shape.trees + 1)
        return np.log(p) - np.log1p(-p)


def grow(
    shape: Shape, features: FloatArray, outcomes: FloatArray, *, seed: int, bags: int
) -> Forest:
    """`bags` ensembles with consecutive seeds; a random shape is its own bag."""
    rows = sample_rows(len(outcomes), MAX_ROWS, seed=seed)
    used = _spread_columns(features[rows])
    x, y = features[np.ix_(rows, used)], outcomes[rows]
    with limited_threads():
        members = _grow_members(shape, x, y, seed=seed, bags=bags)
    return Forest(shape, members, float(y.mean()), used)


def _grow_members(
    shape: Shape, x: FloatArray, y: FloatArray, *, seed: int, bags: int
) -> list[BoostedTrees | ExtraTreesClassifier]:
    members: list[BoostedTrees | ExtraTreesClassifier] = []
    if shape.rate == 0:
        forest = ExtraTreesClassifier(
            shape.trees,
            min_samples_leaf=shape.rows_per_leaf,
            max_features=shape.feature_share,
            n_jobs=1,
            random_state=seed,
        )
        members.append(forest.fit(_filled(x), y))
    for bag in range(bags if shape.rate > 0 else 0):
        booster = HistGradientBoostingClassifier(
            max_iter=shape.trees,
            max_leaf_nodes=shape.leaves,
            learning_rate=shape.rate,
            max_features=shape.feature_share,
            min_samples_leaf=max(shape.rows_per_leaf, len(y) // 2000),
            early_stopping=False,
            random_state=seed + bag,
        )
        members.append(unfold(booster.fit(x, y)))
    return members


def sample_rows(rows: int, most: int, *, seed: int) -> IntArray:
    """All row numbers, or an even random choice of `most` of them, in order."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, most, replace=False))


def _spread_columns(features: FloatArray) -> IntArray:
    known = np.isfinite(features)
    low = np.where(known, features, np.inf).min(axis=0)
    high = np.where(known, features, -np.inf).max(axis=0)
    spread = np.flatnonzero(high > low)
    return spread if len(spread) else np.arange(features.shape[1])[:1]


def _filled(features: FloatArray) -> FloatArray:
    return np.where(np.isfinite(features), features, BLANK)
