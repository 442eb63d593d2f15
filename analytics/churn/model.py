"""The shipped churn model: base rate, ridge on splines, boosted trees, and their blend.

Which rung of the ladder is used depends on how many of the rarer outcome were seen;
how much each member counts is decided by held-out log-loss inside the training rows,
never by test rows. No class weights and no resampling, because both spoil calibration.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import blend, metrics, trees
from analytics.churn.linear import Ridge, SplineBasis, fit_ridge
from analytics.churn.threads import limited_threads
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Folds = Sequence[tuple[IntArray, IntArray]]

RIDGE_FROM = 20
"""Rarer outcomes needed before anything but the base rate is learned."""
BOOST_FROM = 200
STRENGTHS = (300.0, 100.0, 30.0, 10.0, 3.0)
SMALL_SAMPLE_STRENGTH = 100.0
INNER_FOLDS = 5
BAGS = 4
MAX_RIDGE_ROWS = 60_000
CHOOSE_RIDGE_ROWS = 20_000
"""Enough rows to tell one ridge strength from another."""
RACE_FOLDS = 2


@dataclass(slots=True)
class ChurnModel:
    """A fitted model; `rung` is "base_rate", "ridge" or "blend"."""

    rung: str
    base_rate: float
    feature_names: tuple[str, ...]
    used: IntArray
    """Matrix columns that vary in training."""
    basis: SplineBasis | None = None
    ridge: Ridge | None = None
    strength: float = float("nan")
    forests: list[trees.Forest] = field(default_factory=list)
    weights: FloatArray = field(default_factory=lambda: np.empty(0))
    """Per member: ridge, the anchor if any, then each forest."""
    anchor: int | None = None
    """Feature that is a member by itself."""
    intercept: float = 0.0
    limit: float = 15.0
    """Largest |log-odds| that the number of training rows can support."""
    evidence: dict[str, float] = field(default_factory=dict)
    """Held-out log-loss per member and of the blend."""

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Calibrated log-odds of churn (n,)."""
        z = member_log_odds(self, features) @ self.weights + self.intercept
        return np.clip(z, -self.limit, self.limit)

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Probability of churn (n,)."""
        return expit(self.log_odds(features))

    def describe(self) -> str:
        """The rung, each member's weight and the ridge strength, in one line."""
        names = ["ridge"] + ["anchor"] * (self.anchor is not None)
        names += [forest.shape.name for forest in self.forests]
        parts = [f"{n} {w:.2f}" for n, w in zip(names, self.weights, strict=False)]
        return f"{self.rung}: {', '.join(parts) or f'{self.base_rate:.3f}'}"

    def to_bytes(self) -> bytes:
        """Joblib form, for the model table; load only what this program wrote."""
        buffer = io.BytesIO()
        joblib.dump(self, buffer, compress=3)
        return buffer.getvalue()

    @staticmethod
    def from_bytes(data: bytes) -> ChurnModel:
        """The model written by `to_bytes`; unpickling runs code: trust the origin."""
        model = joblib.load(io.BytesIO(data))
        if not isinstance(model, ChurnModel):
            raise ConfigError("The stored bytes hold no churn model.")
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
) -> ChurnModel:
    """The model for these training rows.

    features: (n, f) with NaN for unknown; outcomes: (n,) of 0/1.
    folds: (train, held-out) row indices used to choose and blend; stratified random
    folds without them. groups: codes per row (a cutoff each): every group may have
    its own base rate, and the blend is judged free of them.
    prior: weights per feature in log-odds per standard deviation, toward which the
    ridge shrinks. anchor: a feature that is a log-odds forecast itself and so may be
    blended as a member. bags and shapes: fewer of both score faster; `trees.LEAN` with
    one bag is for scoring very many customers. Raises ConfigError where only one
    outcome was seen.
    """
    y = np.asarray(outcomes, dtype=np.float64)
    if len(y) == 0 or y.min() == y.max():
        raise ConfigError("Training rows need both outcomes: some churned, some not.")
    rarer = int(min(y.sum(), len(y) - y.sum()))
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
        return _blended(base, x, y, chosen_prior, folds, groups, seed, bags, shapes)


def member_log_odds(model: ChurnModel, features: FloatArray) -> FloatArray:
    """Log-odds (n, members) of each member before blending."""
    x = np.asarray(features, dtype=np.float64)[:, model.used]
    if model.basis is None or model.ridge is None:
        return np.empty((len(x), 0))
    columns = [model.ridge.log_odds(model.basis.transform(x))]
    if model.anchor is not None:
        columns.append(np.asarray(features, dtype=np.float64)[:, model.anchor])
    with limited_threads():
        columns += [forest.log_odds(x) for forest in model.forests]
    return np.column_stack(columns)


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
    model.strength = SMALL_SAMPLE_STRENGTH
    if rarer >= RIDGE_FROM:
        folds = folds or stratified_folds(y, count=INNER_FOLDS, seed=seed)
        held_out = _ridge_held_out(x, y, prior, folds, groups)
        model.strength = min(held_out, key=lambda s: held_out[s][1])
        model.evidence["ridge"] = held_out[model.strength][1]
    model.basis, model.ridge = _fit_ridge(x, y, prior, model.strength, groups)
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
) -> ChurnModel:
    folds = folds or stratified_folds(y, count=INNER_FOLDS, seed=seed)
    rows = np.concatenate([held for _, held in folds])
    ridge = _ridge_held_out(x, y, prior, folds, groups)
    model.strength = min(ridge, key=lambda s: ridge[s][1])
    members = {"ridge": ridge[model.strength][0]}
    model.evidence["ridge"] = ridge[model.strength][1]
    fixed = 1
    if model.anchor is not None:
        members["anchor"] = x[rows, int(np.flatnonzero(model.used == model.anchor)[0])]
        fixed = 2
    shapes: list[trees.Shape] = []
    rival: FloatArray | None = None
    for shape in candidates:
        if len(y) > shape.most_rows:
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
    model.basis, model.ridge = _fit_ridge(x, y, prior, model.strength, groups)
    kept = list(range(fixed))
    for place, shape in enumerate(shapes, start=fixed):
        if combined.weights[place] > 0:
            kept.append(place)
            model.forests.append(trees.grow(shape, x, y, seed=seed, bags=bags))
    model.weights = combined.weights[kept]
    return model


def _ridge_held_out(
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    folds: Folds,
    groups: IntArray | None,
) -> dict[float, tuple[FloatArray, float]]:
    """Held-out log-odds and log-loss per strength, rows in fold order."""
    parts: dict[float, list[FloatArray]] = {strength: [] for strength in STRENGTHS}
    for train, held in folds:
        train = train[trees.sample_rows(len(train), CHOOSE_RIDGE_ROWS, seed=0)]
        codes = None if groups is None else _recoded(groups[train])
        basis = SplineBasis().fit(x[train])
        design, held_design = basis.transform(x[train]), basis.transform(x[held])
        target = _design_prior(basis, prior)
        start = None
        for strength in STRENGTHS:
            ridge = fit_ridge(
                design,
                y[train],
                strength=strength,
                prior=target,
                start=start,
                groups=codes,
            )
            start = np.concatenate([ridge.weights, [ridge.intercept], ridge.offsets])
            parts[strength].append(ridge.log_odds(held_design))
    rows = np.concatenate([held for _, held in folds])
    held_groups = None if groups is None else groups[rows]
    found = {}
    for strength, blocks in parts.items():
        z = np.concatenate(blocks)
        level = blend.level_per_group(z, y[rows], held_groups)
        found[strength] = (z, metrics.log_loss(y[rows], expit(z + level)))
    return found


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
    for number, (train, held) in enumerate(folds, start=1):
        forest = trees.grow(shape, x[train], y[train], seed=seed, bags=1)
        blocks.append(forest.log_odds(x[held]))
        if rival is not None and number == RACE_FOLDS < len(folds):
            so_far = np.concatenate([held for _, held in folds[:number]])
            if _clearly_worse(np.concatenate(blocks), rival[: len(so_far)], y[so_far]):
                return None
    return np.concatenate(blocks)


def _clearly_worse(mine: FloatArray, rival: FloatArray, y: FloatArray) -> bool:
    gap = np.logaddexp(0, mine) - np.logaddexp(0, rival) - y * (mine - rival)
    return bool(gap.mean() > 2 * gap.std() / np.sqrt(len(gap)))


def _fit_ridge(
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    strength: float,
    groups: IntArray | None,
) -> tuple[SplineBasis, Ridge]:
    rows = trees.sample_rows(len(y), MAX_RIDGE_ROWS, seed=0)
    basis = SplineBasis().fit(x[rows])
    codes = None if groups is None else _recoded(groups[rows])
    ridge = fit_ridge(
        basis.transform(x[rows]),
        y[rows],
        strength=strength,
        prior=_design_prior(basis, prior),
        groups=codes,
    )
    return basis, ridge


def _design_prior(basis: SplineBasis, prior: list[float]) -> FloatArray:
    target = np.zeros(len(basis.means))
    target[basis.linear_columns] = prior
    return target


def _recoded(groups: IntArray) -> IntArray:
    return np.unique(groups, return_inverse=True)[1]
