"""Boosted trees as bit masks: what scikit-learn's trees say, in a part of their time.

A split that sends a row to the right rules out the leaves on its left; the leaf of a
row is the lowest one that no split has ruled out (QuickScorer, SIGIR 2015). The splits
of a feature look at nothing else, so for rows that mix features of a customer with
those of a reference nothing has to be compared again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
MaskArray = NDArray[np.uint16]

MOST_LEAVES = 16
_LOWEST_FREE = np.array(
    [(~lost & (lost + 1)).bit_length() - 1 for lost in range((1 << MOST_LEAVES) - 1)],
    dtype=np.uint8,
)
"""Per mask of ruled out leaves the lowest other one; all are never ruled out."""


@dataclass(frozen=True, slots=True)
class Split:
    """A value above the threshold, or a blank if so said, rules out these leaves."""

    threshold: float
    is_blank_above: bool
    leaves: int
    """One bit a leaf, the leftmost leaf's the lowest."""

    def is_above(self, column: FloatArray) -> BoolArray:
        """Which values (n,) go to the right."""
        if self.is_blank_above:
            return ~(column <= self.threshold)
        return column > self.threshold


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree; `splits` holds those of each feature of `features`."""

    features: IntArray
    splits: tuple[tuple[Split, ...], ...]
    values: FloatArray
    """Log-odds of each leaf, from left to right."""

    def lost(self, columns: FloatArray) -> MaskArray:
        """Leaves ruled out by each feature of the tree (k, n); columns: (f, n)."""
        # Eight bits are done twice as fast as sixteen.
        kind = np.uint8 if len(self.values) <= 8 else np.uint16
        made = np.zeros((len(self.features), columns.shape[1]), kind)
        for place, feature in enumerate(self.features.tolist()):
            for split in self.splits[place]:
                above = split.is_above(columns[feature])
                made[place] |= np.multiply(above, kind(split.leaves), dtype=kind)
        return made

    def at(self, lost: MaskArray) -> FloatArray:
        """The value of the leaf that is left."""
        return self.values.take(_LOWEST_FREE.take(lost))


@dataclass(frozen=True, slots=True)
class BoostedTrees:
    """Log-odds = baseline + the sum over the trees, added in their order."""

    baseline: float
    trees: tuple[Tree, ...]

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Log-odds (n,) of rows (n, f) with NaN for unknown."""
        columns = np.ascontiguousarray(features.T)
        made = np.full(len(features), self.baseline)
        for tree in self.trees:
            made += tree.at(np.bitwise_or.reduce(tree.lost(columns), axis=0))
        return made

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        """Log-odds (m, n) with the features of each mask (m, f) and, for the rest,
        those of the reference (1, f) or (n, f)."""
        columns = np.ascontiguousarray(features.T)
        others = np.ascontiguousarray(reference.T)
        made = np.full((len(masks), len(features)), self.baseline)
        for tree in self.trees:
            both = np.stack(np.broadcast_arrays(tree.lost(others), tree.lost(columns)))
            # Masks that agree on the features of this tree end in the same leaves.
            code = masks[:, tree.features] @ (1 << np.arange(len(tree.features)))
            different, first, back = np.unique(
                code, return_index=True, return_inverse=True
            )
            lost = np.zeros((len(different), len(features)), both.dtype)
            for place, feature in enumerate(tree.features):
                lost |= both[masks[first, feature].astype(np.intp), place]
            made += tree.at(lost)[back]
        return made


def unfold(fitted: HistGradientBoostingClassifier) -> BoostedTrees:
    """The same forecast to the bit. Trees of more than 16 leaves raise ValueError."""
    trees = tuple(_tree(stage[0].nodes) for stage in fitted._predictors)
    return BoostedTrees(float(fitted._baseline_prediction.item()), trees)


def _tree(nodes: NDArray[Any]) -> Tree:
    values: list[float] = []
    splits: dict[int, list[Split]] = {}

    def walk(number: int) -> None:
        node = nodes[number]
        if node["is_leaf"]:
            values.append(float(node["value"]))
            return
        begin = len(values)
        walk(int(node["left"]))
        leaves = (1 << len(values)) - (1 << begin)
        split = Split(
            float(node["num_threshold"]), not node["missing_go_to_left"], leaves
        )
        splits.setdefault(int(node["feature_idx"]), []).append(split)
        walk(int(node["right"]))

    walk(0)
    if len(values) > MOST_LEAVES:
        raise ValueError(f"A tree of {len(values)} leaves; {MOST_LEAVES} at most.")
    return Tree(
        np.array(list(splits), dtype=np.int64),
        tuple(map(tuple, splits.values())),
        np.array(values),
    )
