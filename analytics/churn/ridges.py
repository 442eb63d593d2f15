"""Ridges on splines: how strong and how rough, chosen on held-out rows, with pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from analytics.churn import blend, metrics, trees
from analytics.churn.curves import Curves, draw_curves
from analytics.churn.linear import Layout, Ridge, SplineBasis, fit_ridge, lay_out
from analytics.churn.pairs import PairBasis

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

STRENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)
"""Tried from strong to weak, until held-out log-loss has risen twice."""
ROUGHNESSES = (1.0, 10.0, 100.0)
MAX_ROWS = 60_000
MAX_CELLS = 6_000_000
"""Rows times features of a fit; its columns take up to ten times as much."""
MOST_BENT = 60
"""Features with bends, those that go with the outcome best; the rest stay straight."""
MOST_FEATURES = 500
CHOOSE_ROWS = 20_000
"""Enough rows to tell one ridge strength from another."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The penalty on straight lines, and how many times harder it is on bends."""

    strength: float
    roughness: float


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A choice with its held-out log-odds, in fold order, and their log-loss."""

    choice: Choice
    log_odds: FloatArray
    log_loss: float


@dataclass(frozen=True, slots=True)
class SplineRidge:
    """A fitted ridge on spline columns and, if any, products of two features."""

    columns: IntArray
    """The features it looks at."""
    basis: SplineBasis
    ridge: Ridge
    curves: Curves
    """The same without the products, ready to score."""
    pairs: PairBasis | None = None

    def log_odds(self, features: FloatArray) -> FloatArray:
        """Log-odds (n,) at the mean of the group offsets."""
        features = features[:, self.columns]
        z = self.curves.log_odds(features)
        if self.pairs is not None:
            z += self.pairs.transform(features) @ self._pair_weights
        return z

    def mixed_log_odds(
        self, features: FloatArray, reference: FloatArray, masks: NDArray[np.bool_]
    ) -> FloatArray:
        """Log-odds (m, n) with the features of each mask (m, f) and, for the rest,
        those of the reference (1, f) or (n, f)."""
        mix = (
            features[:, self.columns],
            reference[:, self.columns],
            masks[:, self.columns],
        )
        z = self.curves.mixed_log_odds(*mix)
        if self.pairs is not None:
            z += self.pairs.mixed(*mix, self._pair_weights)
        return z

    @property
    def _pair_weights(self) -> FloatArray:
        return self.ridge.weights[len(self.basis.means) :]


@dataclass(slots=True)
class Part:
    """One training part and its held-out rows, as features and as spline columns."""

    x: FloatArray
    held_x: FloatArray
    design: FloatArray
    held_design: FloatArray
    y: FloatArray
    held_y: FloatArray
    curved: NDArray[np.bool_]
    target: FloatArray
    codes: IntArray | None
    held_groups: IntArray | None
    point: FloatArray | None = field(default=None)
    """Where the last fit ended, to start the next one from."""
    laid: tuple[float, Layout] | None = field(default=None)
    """The last roughness and the design made for it."""

    def fit(self, choice: Choice) -> tuple[FloatArray, Ridge]:
        """The ridge, and the factor on each column that makes bends harder."""
        shrink = np.where(self.curved, 1 / np.sqrt(choice.roughness), 1.0)
        if self.laid is None or self.laid[0] != choice.roughness:
            self.laid = choice.roughness, lay_out(self.design * shrink, self.codes)
        ridge = fit_ridge(
            self.laid[1],
            self.y,
            strength=choice.strength,
            prior=self.target,
            start=self.point,
        )
        self.point = np.concatenate([ridge.weights, [ridge.intercept], ridge.offsets])
        return shrink, ridge


def parts(
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    folds: Sequence[tuple[IntArray, IntArray]],
    groups: IntArray | None,
) -> list[Part]:
    """The folds made ready; training parts of more than 20,000 rows are sampled."""
    made = []
    for train, held in folds:
        rows = train[trees.sample_rows(len(train), CHOOSE_ROWS, seed=0)]
        columns, bent = _screen(x[rows], y[rows])
        seen, held_seen = x[np.ix_(rows, columns)], x[np.ix_(held, columns)]
        basis = SplineBasis(bent=bent).fit(seen)
        made.append(
            Part(
                seen,
                held_seen,
                basis.transform(seen),
                basis.transform(held_seen),
                y[rows],
                y[held],
                basis.curved,
                _design_prior(basis, prior, columns),
                None if groups is None else _recoded(groups[rows]),
                None if groups is None else groups[held],
            )
        )
    return made


def choose(folds: list[Part]) -> HeldOut:
    """What minimises held-out log-loss, every group judged at its own level."""
    best: HeldOut | None = None
    for roughness in ROUGHNESSES:
        lowest, risen = np.inf, 0
        for part in folds:
            part.point = None
        for strength in STRENGTHS:
            choice = Choice(strength, roughness)
            z = np.concatenate([_held_out(part, choice) for part in folds])
            loss = _loss(folds, z)
            if best is None or loss < best.log_loss:
                best = HeldOut(choice, z, loss)
            risen = risen + 1 if loss > lowest else 0
            lowest = min(lowest, loss)
            if risen == 2:
                break
    assert best is not None
    return best


def pairs_held_out(folds: list[Part], choice: Choice) -> FloatArray | None:
    """Held-out log-odds of the ridge with pairs; None where a fold finds no pair."""
    blocks = []
    for part in folds:
        shrink, alone = part.fit(choice)
        design = part.design * shrink
        residual = part.y - expit(_at_own_level(alone, design, part.codes))
        pairs = PairBasis().fit(part.x, residual)
        if len(pairs.first) == 0:
            return None
        ridge = _fit_with(pairs, part.x, design, part.y, part.target, part.codes,
                          choice)  # fmt: skip
        held = np.hstack([part.held_design * shrink, pairs.transform(part.held_x)])
        blocks.append(ridge.log_odds(held))
    return np.concatenate(blocks)


def fit(
    choice: Choice,
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    groups: IntArray | None,
) -> SplineRidge:
    """The ridge on all rows, or on an even sample of at most 60,000."""
    x, y, codes = _sample(x, y, groups)
    columns, bent = _screen(x, y)
    seen = x[:, columns]
    basis = SplineBasis(roughness=choice.roughness, bent=bent).fit(seen)
    ridge = fit_ridge(
        basis.transform(seen),
        y,
        strength=choice.strength,
        prior=_design_prior(basis, prior, columns),
        groups=codes,
    )
    return SplineRidge(columns, basis, ridge, draw_curves(basis, ridge))


def fit_pairs(
    alone: SplineRidge,
    choice: Choice,
    x: FloatArray,
    y: FloatArray,
    prior: list[float],
    groups: IntArray | None,
) -> SplineRidge:
    """`alone`, which `fit` made of the same, with products of two features that explain
    what it leaves over."""
    x, y, codes = _sample(x, y, groups)
    seen = x[:, alone.columns]
    design = alone.basis.transform(seen)
    residual = y - expit(_at_own_level(alone.ridge, design, codes))
    pairs = PairBasis().fit(seen, residual)
    target = _design_prior(alone.basis, prior, alone.columns)
    ridge = _fit_with(pairs, seen, design, y, target, codes, choice)
    drawn = draw_curves(alone.basis, ridge)
    return SplineRidge(alone.columns, alone.basis, ridge, drawn, pairs)


def _fit_with(
    pairs: PairBasis,
    x: FloatArray,
    design: FloatArray,
    y: FloatArray,
    target: FloatArray,
    codes: IntArray | None,
    choice: Choice,
) -> Ridge:
    products = pairs.transform(x)
    return fit_ridge(
        np.hstack([design, products]),
        y,
        strength=choice.strength,
        prior=np.concatenate([target, np.zeros(products.shape[1])]),
        groups=codes,
    )


def _held_out(part: Part, choice: Choice) -> FloatArray:
    shrink, ridge = part.fit(choice)
    return ridge.log_odds(part.held_design * shrink)


def _loss(folds: list[Part], z: FloatArray) -> float:
    y = np.concatenate([part.held_y for part in folds])
    known = [part.held_groups for part in folds if part.held_groups is not None]
    groups = np.concatenate(known) if known else None
    return metrics.log_loss(y, expit(z + blend.level_per_group(z, y, groups)))


def _at_own_level(
    ridge: Ridge, design: FloatArray, codes: IntArray | None
) -> FloatArray:
    z = ridge.log_odds(design)
    return z if codes is None else z + ridge.offsets[codes]


def _sample(
    x: FloatArray, y: FloatArray, groups: IntArray | None
) -> tuple[FloatArray, FloatArray, IntArray | None]:
    most = min(MAX_ROWS, MAX_CELLS // x.shape[1])
    rows = trees.sample_rows(len(y), most, seed=0)
    return x[rows], y[rows], None if groups is None else _recoded(groups[rows])


def _screen(x: FloatArray, y: FloatArray) -> tuple[IntArray, NDArray[np.bool_] | None]:
    """Which features to use and which of them may bend; all of a table of usual width.

    Ranked by how well the value, or its distance from the mean, goes with the outcome.
    Features of two values cannot bend and take no place from those that can.
    """
    width = x.shape[1]
    if width <= MOST_BENT:
        return np.arange(width), None
    known = np.isfinite(x)
    low = np.where(known, x, np.inf).min(axis=0)
    high = np.where(known, x, -np.inf).max(axis=0)
    can_bend = (known & (x > low) & (x < high)).any(axis=0)
    if width <= MOST_FEATURES and can_bend.sum() <= MOST_BENT:
        return np.arange(width), None
    count = np.maximum(known.sum(axis=0), 1)
    z = np.where(known, x, 0.0)
    z = np.where(known, z - z.sum(axis=0) / count, 0.0)
    z /= np.maximum(np.sqrt((z * z).mean(axis=0)), 1e-300)
    left = y - y.mean()
    pull = np.maximum(np.abs(left @ z), np.abs(left @ np.minimum(z * z, 9.0)))
    pull = np.maximum(pull, np.abs(left @ known))
    order = np.argsort(-pull, kind="stable")
    columns = np.sort(order[:MOST_FEATURES])
    return columns, np.isin(columns, order[can_bend[order]][:MOST_BENT])


def _design_prior(
    basis: SplineBasis, prior: list[float], columns: IntArray
) -> FloatArray:
    target = np.zeros(len(basis.means))
    target[basis.linear_columns] = np.array(prior)[columns]
    return target


def _recoded(groups: IntArray) -> IntArray:
    return np.unique(groups, return_inverse=True)[1]
