"""Why a customer's risk is what it is: exact Shapley values over groups of features.

A group (usage, billing, ...) is "absent" when its features are set to those of a
reference customer, usually the segment median. With at most seven groups all 2^g
combinations are evaluated, so the values are exact: base + sum of groups = log-odds.
Inside a group, one-at-a-time differences are scaled to the group's value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.churn.threads import limited_threads

FloatArray = NDArray[np.float64]
Predict = Callable[[FloatArray], FloatArray]
Hook = Callable[[float, float], str]
"""(customer's value, reference value) to a sentence fragment naming the fact."""

MAX_GROUPS = 7
BLOCK_ROWS = 2_000
SMALLEST_DIFFERENCE = 1e-12


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


@dataclass(frozen=True, slots=True)
class Reason:
    """One feature's share of a customer's log-odds, in words if a hook is known."""

    feature: str
    group: str
    log_odds: float
    value: float
    reference: float
    sentence: str


def explain(
    log_odds: Predict,
    features: FloatArray,
    *,
    feature_names: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    reference: FloatArray | None = None,
) -> Explanation:
    """Exact group values for every row.

    log_odds: (n, f) to (n,); groups: group name to its features; features in no group
    form the group "other". reference: (f,) or (n, f), the median of known values of
    these rows by default. Raises ValueError for unknown features or over 7 groups.
    """
    x = np.asarray(features, dtype=np.float64)
    names = tuple(feature_names)
    members = _members(names, groups)
    if len(members) > MAX_GROUPS:
        message = f"{len(members)} groups; exact values need at most {MAX_GROUPS}."
        raise ValueError(message)
    if reference is None:
        reference = segment_reference(x)
    base_rows = np.broadcast_to(reference, x.shape)
    # Around the hundred forecasts, not around each of them.
    with limited_threads():
        blocks = [
            _explain_block(
                log_odds,
                x[at : at + BLOCK_ROWS],
                base_rows[at : at + BLOCK_ROWS],
                members,
            )
            for at in range(0, len(x), BLOCK_ROWS)
        ]
    base, top, by_group, by_feature = (
        np.concatenate(parts) for parts in zip(*blocks, strict=True)
    )
    return Explanation(base, top, tuple(members), by_group, names, by_feature)


def segment_reference(features: FloatArray) -> FloatArray:
    """Median of the known values per feature (f,); NaN where nothing is known."""
    x = np.asarray(features, dtype=np.float64)
    reference = np.full(x.shape[1], np.nan)
    for place, column in enumerate(x.T):
        known = column[np.isfinite(column)]
        if len(known):
            reference[place] = np.median(known)
    return reference


def reasons(
    explanation: Explanation,
    row: int,
    *,
    values: FloatArray,
    reference: FloatArray,
    groups: Mapping[str, Sequence[str]],
    hooks: Mapping[str, Hook] | None = None,
    most: int = 3,
) -> list[Reason]:
    """The features that raise this customer's risk most, strongest first.

    A hook turns a feature's value and reference into a sentence; without one the
    numbers are stated plainly.
    """
    owner = {name: group for group, names in groups.items() for name in names}
    found = []
    for place in np.argsort(-explanation.features[row], kind="stable")[:most]:
        share = float(explanation.features[row, place])
        if share <= SMALLEST_DIFFERENCE:
            break
        name = explanation.feature_names[place]
        value, usual = float(values[place]), float(reference[place])
        hook = (hooks or {}).get(name, _plain_hook(name))
        found.append(
            Reason(
                name, owner.get(name, "other"), share, value, usual, hook(value, usual)
            )
        )
    return found


def linear_terms(
    weights: FloatArray, design: FloatArray, reference: FloatArray
) -> FloatArray:
    """Exact terms (n, k) of a linear model: weight times the way from the reference."""
    return (design - reference) * weights


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


def _explain_block(
    log_odds: Predict,
    x: FloatArray,
    reference: FloatArray,
    members: dict[str, list[int]],
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    names = list(members)
    count = len(names)
    worth: dict[frozenset[int], FloatArray] = {}
    for size in range(count + 1):
        for present in itertools.combinations(range(count), size):
            mixed = reference.copy()
            for group in present:
                columns = members[names[group]]
                mixed[:, columns] = x[:, columns]
            worth[frozenset(present)] = log_odds(mixed)
    empty, full = worth[frozenset()], worth[frozenset(range(count))]
    by_group = np.zeros((len(x), count))
    for group in range(count):
        others = [other for other in range(count) if other != group]
        for size in range(count):
            weight = 1 / (count * math.comb(count - 1, size))
            for present in itertools.combinations(others, size):
                with_group = worth[frozenset((*present, group))]
                by_group[:, group] += weight * (with_group - worth[frozenset(present)])
    by_feature = np.zeros(x.shape)
    for number, name in enumerate(names):
        _split_group(
            log_odds, x, full, reference, members[name], by_group[:, number], by_feature
        )
    return empty, full, by_group, by_feature


def _split_group(
    log_odds: Predict,
    x: FloatArray,
    full: FloatArray,
    reference: FloatArray,
    columns: list[int],
    total: FloatArray,
    by_feature: FloatArray,
) -> None:
    """Shares the group's value out by the effect of resetting one feature at a time.

    Only effects with the sign of the total share in it, so no share exceeds it; where
    none has that sign the value is spread evenly.
    """
    effects = np.empty((len(x), len(columns)))
    for place, column in enumerate(columns):
        mixed = x.copy()
        mixed[:, column] = reference[:, column]
        effects[:, place] = full - log_odds(mixed)
    along = np.maximum(effects * np.sign(total)[:, None], 0.0)
    size = along.sum(axis=1, keepdims=True)
    shares = np.where(
        size > SMALLEST_DIFFERENCE,
        along / np.maximum(size, SMALLEST_DIFFERENCE),
        1.0 / len(columns),
    )
    by_feature[:, columns] = shares * total[:, None]


def _plain_hook(name: str) -> Hook:
    def tell(value: float, usual: float) -> str:
        shown = "unknown" if math.isnan(value) else f"{value:g}"
        return f"{name.replace('_', ' ')}: {shown} (usual {usual:g})"

    return tell
