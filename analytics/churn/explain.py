"""Why a customer's risk is what it is: exact Shapley values over groups of features.

A group (usage, billing, ...) is "absent" when its features are set to those of a
reference customer, usually the segment median. With at most seven groups all 2^g
combinations are evaluated, so the values are exact: base + sum of groups = log-odds.
Inside a group, one-at-a-time differences are scaled to the group's value.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.churn.threads import limited_threads

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Mixed = Callable[[FloatArray, FloatArray, BoolArray], FloatArray]
"""Rows (n, f), reference (1, f) or (n, f) and masks (m, f) to the log-odds (m, n) of
rows that have the features of a mask from the row and the rest from the reference."""

MAX_GROUPS = 7
BLOCK_ROWS = 2_000
SMALLEST_DIFFERENCE = 1e-12
"""What is smaller came about by rounding."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Log-odds of n customers split over groups and features.

    base (n,): log-odds of the reference; groups (n, g) and features (n, f) add up:
    base + groups.sum(1) = base + features.sum(1) = log_odds, to 1e-9.
    """

    base: FloatArray
    log_odds: FloatArray
    group_names: tuple[str, ...]
    groups: FloatArray
    feature_names: tuple[str, ...]
    features: FloatArray

    @property
    def additivity_error(self) -> float:
        """The largest gap between the parts' sum and the log-odds."""
        by_group = self.base + self.groups.sum(axis=1) - self.log_odds
        by_feature = self.base + self.features.sum(axis=1) - self.log_odds
        return float(max(np.abs(by_group).max(), np.abs(by_feature).max()))


def explain(
    mixed: Mixed,
    features: FloatArray,
    *,
    feature_names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    reference: FloatArray | None = None,
) -> Explanation:
    """Exact group values for every row.

    mixed: see `Mixed`; groups: group name to its features; features in no group form
    the group "other". reference: (f,) or (n, f), the median of known values of these
    rows by default. Raises ValueError for unknown features or over 7 groups.
    """
    x = np.asarray(features, dtype=np.float64)
    names = tuple(feature_names)
    members = _members(names, groups)
    if len(members) > MAX_GROUPS:
        message = f"{len(members)} groups; exact values need at most {MAX_GROUPS}."
        raise ValueError(message)
    other = np.atleast_2d(segment_reference(x) if reference is None else reference)
    masks, sets = _masks(members, x.shape[1]), 1 << len(members)
    weights = _shapley_weights(len(members))
    base, full = np.empty(len(x)), np.empty(len(x))
    by_group = np.empty((len(x), len(members)))
    by_feature = np.empty(x.shape)
    # Around the hundred forecasts, not around each of them.
    with limited_threads():
        for at in range(0, len(x), BLOCK_ROWS):
            block = slice(at, at + BLOCK_ROWS)
            worth = mixed(x[block], other if len(other) == 1 else other[block], masks)
            base[block], full[block] = worth[0], worth[sets - 1]
            values = (weights @ worth[:sets]).T
            by_group[block] = np.where(abs(values) > SMALLEST_DIFFERENCE, values, 0.0)
            effects = worth[sets - 1] - worth[sets:]
            for number, columns in enumerate(members.values()):
                total = by_group[block, number]
                _share_out(effects, columns, total, by_feature[block])
    return Explanation(base, full, tuple(members), by_group, names, by_feature)


def segment_reference(features: FloatArray) -> FloatArray:
    """Median of the known values per feature (f,); NaN where nothing is known."""
    x = np.asarray(features, dtype=np.float64)
    reference = np.full(x.shape[1], np.nan)
    for place, column in enumerate(x.T):
        known = column[np.isfinite(column)]
        if len(known):
            reference[place] = np.median(known)
    return reference


def _members(
    names: tuple[str, ...], groups: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    place = {name: number for number, name in enumerate(names)}
    members: dict[str, list[int]] = {}
    taken: set[int] = set()
    for group, parts in groups.items():
        unknown = [name for name in parts if name not in place]
        if unknown:
            raise ValueError(f"Group {group!r} names unknown features: {unknown}.")
        numbers = [place[name] for name in parts]
        if taken.intersection(numbers):
            raise ValueError(f"Group {group!r} shares a feature with another group.")
        taken.update(numbers)
        members[group] = numbers
    rest = [number for number in range(len(names)) if number not in taken]
    if rest:
        members["other"] = members.get("other", []) + rest
    return members


def _masks(members: dict[str, list[int]], width: int) -> BoolArray:
    """For each set of present groups, the first group's bit the lowest, which features
    are the row's own (2^g, f); then for each feature all but it (f, f)."""
    sets = np.zeros((1 << len(members), width), dtype=bool)
    for bit, columns in enumerate(members.values()):
        present = np.arange(len(sets)) >> bit & 1 == 1
        sets[np.ix_(present, columns)] = True
    return np.vstack([sets, ~np.eye(width, dtype=bool)])


def _shapley_weights(count: int) -> FloatArray:
    """Group values (g, 2^g) as weights on what each set of present groups gives."""
    weights = np.zeros((count, 1 << count))
    for present in range(1 << count):
        size = present.bit_count()
        for group in range(count):
            if present >> group & 1:
                weights[group, present] = 1 / (count * math.comb(count - 1, size - 1))
            else:
                weights[group, present] = -1 / (count * math.comb(count - 1, size))
    return weights


def _share_out(
    effects: FloatArray, columns: list[int], total: FloatArray, by_feature: FloatArray
) -> None:
    """Shares a group's value `total` (n,) out by the effects (f, n) of resetting one
    feature at a time.

    Only effects with the sign of the total share in it, so no share exceeds it; where
    none has that sign the value is spread evenly.
    """
    along = np.maximum(effects[columns] * np.sign(total), 0.0)
    size = along.sum(axis=0)
    shares = np.where(
        size > SMALLEST_DIFFERENCE,
        along / np.maximum(size, SMALLEST_DIFFERENCE),
        1.0 / len(columns),
    )
    by_feature[:, columns] = (shares * total).T
