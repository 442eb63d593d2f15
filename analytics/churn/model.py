"""The shipped churn model: base rate, ridge on splines, boosted trees, and their blend.

Which rung of the ladder is used depends on how many of the rarer outcome were seen;
how much each member counts is decided by held-out log-loss inside the training rows,
never by test rows. No class weights and no resampling, because both spoil calibration.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import blend, metrics, ridges, trees
from analytics.churn.threads import limited_threads
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Folds = Sequence[tuple[IntArray, IntArray]]

RIDGE_FROM = 20
"""Rarer outcomes needed before anything but the base rate is learned."""
BOOST_FROM = 100
SMALL_SAMPLE_STRENGTH = 100.0
INNER_FOLDS = 5
BAGS = 4
RACE_FOLDS = 2
LOST_BY = 2.0
"""Standard errors behind the rival after which an ensemble is given up."""
LOST_EARLY_BY = 3.0
"""The same after the first fold."""
RACE_ROWS = 60_000
LARGE_RACE_ROWS = 30_000
"""The same in a table of more than `MOST_CELLS`."""
MANY_CELLS = 1_500_000
"""Larger tables need two held-out folds and two seeds for the same certainty."""
MOST_CELLS = 4_000_000
"""Larger ones need one of each."""


class Member(Protocol):
    """One forecast of the blend."""

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Log-odds (n,) of rows (n, f)."""

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        """Log-odds (m, n) with the features of each mask (m, f) and, for the rest,
        those of the reference (1, f) or (n, f)."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """A feature that is a forecast itself."""

    column: int

    def log_odds(self, features: FloatArray) -> FloatArray:
        """The feature (n,)."""
        return features[:, self.column]

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        """See `Member`."""
        own, other = features[:, self.column], reference[:, self.column]
        return np.where(masks[:, [self.column]], own, other)


@dataclass(slots=True)
class ChurnModel:
    """A fitted model; `rung` is "base_rate", "ridge" or "blend"."""

    rung: str
    base_rate: float
    feature_names: tuple[str, ...]
    used: IntArray
    """Matrix columns that vary in training."""
    ridge: ridges.SplineRidge | None = None
    pairs: ridges.SplineRidge | None = None
    forests: list[trees.Forest] = field(default_factory=list)
    weights: FloatArray = field(default_factory=lambda: np.empty(0))
    """Per member: ridge, the anchor if any, the ridge with pairs if any, forests."""
    anchor: int | None = None
    """Feature that is a member by itself."""
    intercept: float = 0.0
    tails: blend.Tails = field(default_factory=blend.Tails)
    limit: float = 15.0
    """Largest |log-odds| that the number of training rows can support."""
    evidence: dict[str, float] = field(default_factory=dict)
    """Held-out log-loss per member and of the blend."""

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Calibrated log-odds of churn (n,)."""
        x = np.asarray(features, dtype=np.float64)[:, self.used]
        return self._blend(lambda member: member.log_odds(x), (len(x),))

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: BoolArray
    ) -> FloatArray:
        """`log_odds` (m, n) of rows with the features of each mask (m, f) and, for the
        rest, those of the reference (1, f) or (n, f): quicker than of made rows."""
        x, other = features[:, self.used], reference[:, self.used]
        kept = masks[:, self.used]
        return self._blend(
            lambda member: member.mixed_log_odds(x, other, kept), (len(kept), len(x))
        )

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Probability of churn (n,)."""
        return expit(self.log_odds(features))

    def members(self) -> list[Member]:
        """In the order of `weights`; each looks at the used columns only."""
        if self.ridge is None:
            return []
        found: list[Member] = [self.ridge]
        if self.anchor is not None:
            found.append(Anchor(int(np.flatnonzero(self.used == self.anchor)[0])))
        if self.pairs is not None:
            found.append(self.pairs)
        return [*found, *self.forests]

    def describe(self) -> str:
        """The rung, each member's weight and the ridge strength, in one line."""
        names = ["ridge"] + ["anchor"] * (self.anchor is not None)
        names += ["pairs"] * (self.pairs is not None)
        names += [forest.shape.name for forest in self.forests]
        parts = [f"{n} {w:.2f}" for n, w in zip(names, self.weights, strict=False)]
        return f"{self.rung}: {', '.join(parts) or f'{self.base_rate:.3f}'}"

    def to_bytes(self) -> bytes:
        """Joblib form, for the model table; load only what this program wrote."""
        buffer = io.BytesIO()
        joblib.dump(self, buffer, compress=3)
        return buffer.getvalue()

    def _blend(
        self, ask: Callable[[Member], FloatArray], shape: tuple[int, ...]
    ) -> FloatArray:
        z = np.full(shape, self.intercept)
        with limited_threads():
            for member, weight in zip(self.members(), self.weights, strict=True):
                if weight:
                    z += weight * ask(member)
        return np.clip(self.tails.straighten(z), -self.limit, self.limit)

    @staticmethod
    def from_bytes(data: bytes) -> ChurnModel:
        """The model written by `to_bytes`; unpickling runs code: trust the origin."""
        model = joblib.load(io.BytesIO(data))
        if not isinstance(model, ChurnModel):
            raise ConfigError("The stored bytes hold no churn model.")
        if not hasattr(model, "tails"):
            raise ConfigError("An older version stored this model: train it again.")
        return model


def fit(
    features: FloatArray,
    outcomes: FloatArray,
    *,
    feature_names: Sequence[str],
    folds: Folds | None = None,
    groups: IntArray | None = None,
    prior: dict[str, float] | None = None,
    anchor: str | None = None,
    seed: int = 0,
    bags: int = BAGS,
    shapes: Sequence[trees.Shape] = trees.SHAPES,
    with_pairs: bool = True,
    independent: int | None = None,
) -> ChurnModel:
    """The model for these training rows.

    features: (n, f) with NaN for unknown; outcomes: (n,) of 0/1.
    folds: (train, held-out) row indices used to choose and blend; stratified random
    folds without them. groups: codes per row (a cutoff each): every group may have
    its own base rate, and the blend is judged free of them.
    prior: weights per feature in log-odds per standard deviation, toward which the
    ridge shrinks. anchor: a feature that is a log-odds forecast itself and so may be
    blended as a member. bags and shapes: fewer of both score faster; `trees.LEAN` with
    one bag and without pairs (a ridge with products of two features) is for scoring
    very many customers. independent: how many of the rarer outcomes are apart from
    each other, where rows tell of the same departure again. Raises ConfigError where
    only one outcome was seen.
    """
    y = np.asarray(outcomes, dtype=np.float64)
    if len(y) == 0 or y.min() == y.max():
        raise ConfigError("Training rows need both outcomes: some churned, some not.")
    rarer = int(min(y.sum(), len(y) - y.sum(), independent or len(y)))
    used = varying_columns(features)
    names = tuple(feature_names)
    rate = (y.sum() + 0.5) / (len(y) + 1)
    base = ChurnModel(
        "base_rate", rate, names, used, intercept=float(np.log(rate / (1 - rate)))
    )
    if len(used) == 0 or (rarer < RIDGE_FROM and prior is None):
        return base
    x = np.asarray(features, dtype=np.float64)[:, used]
    chosen_prior = [(prior or {}).get(names[place], 0.0) for place in used]
    base.limit = float(np.log(4.0 * len(y)))
    if anchor is not None and rarer >= BOOST_FROM:
        base.anchor = names.index(anchor)
    with limited_threads():
        if rarer < BOOST_FROM:
            return _ridge_only(base, x, y, chosen_prior, folds, groups, seed, rarer)
        return _blended(
            base, x, y, chosen_prior, folds, groups, seed, bags, shapes, with_pairs
        )


def member_log_odds(model: ChurnModel, features: FloatArray) -> FloatArray:
    """Log-odds (n, members) of each member before blending."""
    x = np.asarray(features, dtype=np.float64)[:, model.used]
    with limited_threads():
        columns = [member.log_odds(x) for member in model.members()]
    return np.column_stack(columns) if columns else np.empty((len(x), 0))


def stratified_folds(outcomes: FloatArray, *, count: int, seed: int) -> Folds:
    """`count` folds with the outcomes spread evenly; every row is held out once."""
    random = np.random.default_rng(seed)
    place = np.empty(len(outcomes), dtype=np.int64)
    for value in (0.0, 1.0):
        rows = random.permutation(np.flatnonzero(outcomes == value))
        place[rows] = np.arange(len(rows)) % count
    everyone = np.arange(len(outcomes))
    return [(everyone[place != k], everyone[place == k]) for k in range(count)]


def varying_columns(features: FloatArray) -> IntArray:
    """Columns with at least two different entries, a blank being one."""
    blank = ~np.isfinite(features)
    low = np.where(blank, np.inf, features).min(axis=0)
    high = np.where(blank, -np.inf, features).max(axis=0)
    partly = blank.any(axis=0) & ~blank.all(axis=0)
    return np.flatnonzero((high > low) | partly)


def _ridge_only(
    model: ChurnModel,
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    folds: Folds | None,
    groups: IntArray | None,
    seed: int,
    rarer: int,
) -> ChurnModel:
    model.rung = "ridge"
    model.weights = np.ones(1)
    model.intercept = 0.0
    chosen = ridges.Choice(SMALL_SAMPLE_STRENGTH, 1.0)
    if rarer >= RIDGE_FROM:
        folds = folds or stratified_folds(y, count=INNER_FOLDS, seed=seed)
        held_out = ridges.choose(ridges.parts(x, y, prior, folds, groups))
        chosen = held_out.choice
        model.evidence["ridge"] = held_out.log_loss
    model.ridge = ridges.fit(chosen, x, y, prior, groups)
    return model


def _blended(
    model: ChurnModel,
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    folds: Folds | None,
    groups: IntArray | None,
    seed: int,
    bags: int,
    candidates: Sequence[trees.Shape],
    with_pairs: bool,
) -> ChurnModel:
    if folds is None:
        folds = stratified_folds(y, count=INNER_FOLDS, seed=seed)
        folds = folds[: _enough(x, INNER_FOLDS)]
    bags = _enough(x, bags)
    rows = np.concatenate([held for _, held in folds])
    parts = ridges.parts(x, y, prior, folds, groups)
    found = ridges.choose(parts)
    members = {"ridge": found.log_odds}
    model.evidence["ridge"] = found.log_loss
    if model.anchor is not None:
        members["anchor"] = x[rows, int(np.flatnonzero(model.used == model.anchor)[0])]
    fixed = len(members)
    paired = ridges.pairs_held_out(parts, found.choice) if with_pairs else None
    if paired is not None:
        members["pairs"] = paired
    shapes: list[trees.Shape] = []
    rival: FloatArray | None = None
    for shape in candidates:
        if len(y) > shape.most_rows or x.size > shape.most_cells:
            continue
        z = _trees_held_out(x, y, folds, shape, seed, rival)
        if z is None:
            continue
        rival = z if rival is None else rival
        shapes.append(shape)
        members[shape.name] = z
        model.evidence[shape.name] = metrics.log_loss(y[rows], expit(z))
    stacked = np.column_stack(list(members.values()))
    held_groups = None if groups is None else groups[rows]
    combined = blend.fit_blend(stacked, y[rows], groups=held_groups)
    model.evidence["blend"] = combined.log_loss
    model.rung = "blend"
    model.intercept = combined.intercept
    if groups is None:
        # The level of a group is not known to the blend, and tails turn around it.
        held_out = stacked @ combined.weights + combined.intercept
        model.tails = blend.fit_tails(held_out, y[rows])
    model.ridge = ridges.fit(found.choice, x, y, prior, groups)
    kept = list(range(fixed))
    if paired is not None:
        if combined.weights[fixed] > 0:
            kept.append(fixed)
            model.pairs = ridges.fit_pairs(
                model.ridge, found.choice, x, y, prior, groups
            )
        fixed += 1
    for place, shape in enumerate(shapes, start=fixed):
        if combined.weights[place] > 0:
            kept.append(place)
            model.forests.append(trees.grow(shape, x, y, seed=seed, bags=bags))
    model.weights = combined.weights[kept]
    return model


def _enough(x: FloatArray, usual: int) -> int:
    """How many held-out folds or seeds a table of this size needs."""
    most = 1 if x.size > MOST_CELLS else 2 if x.size > MANY_CELLS else usual
    return min(usual, most)


def _trees_held_out(
    x: FloatArray,
    y: FloatArray,
    folds: Folds,
    shape: trees.Shape,
    seed: int,
    rival: FloatArray | None,
) -> FloatArray | None:
    """Held-out log-odds in fold order; None once it has clearly lost to the rival."""
    blocks: list[FloatArray] = []
    most = LARGE_RACE_ROWS if x.size > MOST_CELLS else RACE_ROWS
    for number, (train, held) in enumerate(folds, start=1):
        train = train[trees.sample_rows(len(train), most, seed=seed)]
        forest = trees.grow(shape, x[train], y[train], seed=seed, bags=1)
        blocks.append(forest.log_odds(x[held]))
        if rival is not None and number <= RACE_FOLDS < len(folds):
            so_far = np.concatenate([held for _, held in folds[:number]])
            behind = _errors_behind(
                np.concatenate(blocks), rival[: len(so_far)], y[so_far]
            )
            if behind > (LOST_BY if number == RACE_FOLDS else LOST_EARLY_BY):
                return None
    return np.concatenate(blocks)


def _errors_behind(mine: FloatArray, rival: FloatArray, y: FloatArray) -> float:
    """By how many standard errors the log-loss is above the rival's."""
    gap = np.logaddexp(0, mine) - np.logaddexp(0, rival) - y * (mine - rival)
    return float(gap.mean() * np.sqrt(len(gap)) / max(gap.std(), 1e-300))
