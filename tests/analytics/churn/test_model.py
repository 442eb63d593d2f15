"""The ladder, the blend, determinism, and the splines under them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier

from analytics.churn import (
    blend,
    boosted,
    curves,
    linear,
    metrics,
    model,
    pairs,
    ridges,
    trees,
)
from analytics.churn.threads import limited_threads
from churnguard.errors import ConfigError
from tests.analytics.churn.data import made_up_table

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with limited_threads():
        yield


def test_the_ladder_follows_the_number_of_churners() -> None:
    x, y = made_up_table(1500)
    churners, stayers = np.flatnonzero(y == 1), np.flatnonzero(y == 0)
    rungs = []
    for count in (10, 60, 300):
        rows = np.concatenate([churners[:count], stayers[: 2 * count]])
        fitted = model.fit(x[rows], y[rows], feature_names=NAMES, bags=1)
        rungs.append(fitted.rung)
        assert fitted.probabilities(x[rows]).mean() == pytest.approx(1 / 3, abs=0.05)

    assert rungs == ["base_rate", "ridge", "blend"]


def test_blend_is_calibrated_and_beats_its_members_or_ties() -> None:
    x, y = made_up_table(3000)
    fitted = model.fit(x, y, feature_names=NAMES, bags=1)
    new_x, new_y = made_up_table(20_000, seed=5)
    p = fitted.probabilities(new_x)

    intercept, slope = metrics.calibration_line(new_y, p)
    assert intercept == pytest.approx(0.0, abs=0.12)
    assert slope == pytest.approx(1.0, abs=0.12)
    assert metrics.ece(new_y, p) < 0.03
    others = [fitted.evidence[name] for name in fitted.evidence if name != "blend"]
    assert fitted.evidence["blend"] <= min(others) + 1e-6


def test_same_seed_same_model_and_bytes_come_back_whole() -> None:
    x, y = made_up_table(600)
    folds = model.stratified_folds(y, count=2, seed=0)
    first = model.fit(x, y, feature_names=NAMES, folds=folds, seed=4, bags=1)
    second = model.fit(x, y, feature_names=NAMES, folds=folds, seed=4, bags=1)
    stored = model.ChurnModel.from_bytes(first.to_bytes())

    np.testing.assert_array_equal(first.probabilities(x), second.probabilities(x))
    np.testing.assert_array_equal(first.probabilities(x), stored.probabilities(x))
    assert stored.describe() == first.describe()


def test_one_outcome_only_is_refused_and_no_feature_gives_the_base_rate() -> None:
    with pytest.raises(ConfigError, match="both outcomes"):
        model.fit(np.ones((50, 2)), np.ones(50), feature_names=("a", "b"))
    y = np.arange(100) % 4 == 0
    flat = model.fit(np.ones((100, 1)), y, feature_names=("a",))

    assert flat.rung == "base_rate"
    assert flat.probabilities(np.ones((3, 1))) == pytest.approx(25.5 / 101)


def test_prior_speaks_while_there_are_few_outcomes() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(40, 2))
    y = (np.arange(40) < 5).astype(float)
    fitted = model.fit(x, y, feature_names=("a", "b"), prior={"a": 1.5})

    assert fitted.rung == "ridge"
    log_odds = fitted.log_odds(np.array([[-1.0, 0.0], [1.0, 0.0]]))
    assert log_odds[1] - log_odds[0] > 1.0


def test_every_fold_row_is_held_out_once_with_outcomes_spread() -> None:
    y = (np.arange(103) < 23).astype(float)
    folds = model.stratified_folds(y, count=5, seed=0)
    held = np.concatenate([held for _, held in folds])

    assert sorted(held) == list(range(103))
    assert [int(y[part].sum()) for _, part in folds] == [5, 5, 5, 4, 4]
    assert all(len(set(a) & set(b)) == 0 for a, b in folds)


def test_ridge_matches_the_closed_conditions_of_its_optimum() -> None:
    random = np.random.default_rng(3)
    design = random.normal(size=(300, 4))
    y = (random.random(300) < expit(design[:, 0])).astype(float)
    prior = np.array([0.5, 0.0, -0.2, 0.0])
    ridge = linear.fit_ridge(design, y, strength=7.0, prior=prior)
    residual = y - expit(ridge.log_odds(design))

    np.testing.assert_allclose(
        design.T @ residual, 7.0 * (ridge.weights - prior), atol=1e-3
    )
    assert residual.sum() == pytest.approx(0.0, abs=1e-3)


def test_group_offsets_carry_the_level_and_not_the_slope() -> None:
    random = np.random.default_rng(4)
    x = random.normal(size=(8000, 1))
    groups = np.arange(8000) % 2
    y = (random.random(8000) < expit(x[:, 0] + 2.0 * groups - 1)).astype(float)
    ridge = linear.fit_ridge(x, y, strength=0.1, groups=groups)

    assert ridge.weights[0] == pytest.approx(1.0, abs=0.1)
    assert ridge.offsets[1] - ridge.offsets[0] == pytest.approx(2.0, abs=0.15)


def test_splines_follow_a_bend_and_stay_flat_outside() -> None:
    x = np.linspace(-3, 3, 4000)[:, None]
    y = (np.random.default_rng(5).random(4000) < expit(x[:, 0] ** 2 - 2)).astype(float)
    basis = linear.SplineBasis().fit(x)
    ridge = linear.fit_ridge(basis.transform(x), y, strength=1.0)
    log_odds = ridge.log_odds(basis.transform(np.array([[-2.0], [0.0], [2.0]])))
    far = ridge.log_odds(basis.transform(np.array([[3.0], [300.0]])))

    assert log_odds == pytest.approx([2.0, -2.0, 2.0], abs=0.5)
    assert far[0] == far[1]


def test_blend_finds_the_member_that_knows() -> None:
    random = np.random.default_rng(6)
    z = random.normal(size=4000)
    y = (random.random(4000) < expit(z)).astype(float)
    noise = random.normal(size=4000)
    made = blend.fit_blend(np.column_stack([z, noise]), y, groups=None)

    assert made.weights[0] == pytest.approx(1.0, abs=0.1)
    assert made.weights[1] < 0.05
    assert made.intercept == pytest.approx(0.0, abs=0.1)


def test_level_shift_meets_the_rate() -> None:
    z = np.random.default_rng(7).normal(size=1000)
    shift = blend.level_shift(z, 0.37)

    assert expit(z + shift).mean() == pytest.approx(0.37, abs=1e-9)


@pytest.mark.parametrize("shape", trees.SHAPES, ids=lambda shape: shape.name)
def test_trees_survive_blank_and_constant_columns(shape: trees.Shape) -> None:
    x, y = made_up_table(400)
    x = np.column_stack([x, np.full(400, np.nan), np.ones(400)])
    forest = trees.grow(shape, x, y, seed=0, bags=1)

    log_odds = forest.log_odds(x)
    assert np.isfinite(log_odds).all()
    assert metrics.auc(y, log_odds) > 0.7


@pytest.mark.parametrize("leaves", [3, 8, 16])
def test_unfolded_trees_forecast_the_same_to_the_bit(leaves: int) -> None:
    x, y = made_up_table(500)
    grown = HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=leaves).fit(x, y)
    x[::5], x[::7, 0], x[::9, 1] = np.nan, np.inf, -np.inf

    unfolded = boosted.unfold(grown)

    assert max(len(tree.values) for tree in unfolded.trees) == leaves
    assert unfolded.log_odds(x).tolist() == grown.decision_function(x).tolist()


def test_trees_of_too_many_leaves_are_refused() -> None:
    x, y = made_up_table(900)
    grown = HistGradientBoostingClassifier(max_iter=2, max_leaf_nodes=17).fit(x, y)

    with pytest.raises(ValueError, match="17 leaves; 16 at most"):
        boosted.unfold(grown)


@pytest.mark.parametrize("bent", [None, np.array([True, False, True, True, False])])
def test_curves_say_what_the_ridge_on_splines_says(bent: np.ndarray | None) -> None:
    x, y = made_up_table(900)
    x[::4, 3] = np.nan
    basis = linear.SplineBasis(roughness=10.0, bent=bent).fit(x)
    ridge = linear.fit_ridge(basis.transform(x), y, strength=3.0)
    new = np.vstack([x, x * 3, np.full((1, 5), np.nan)])
    new[::6, 3], new[::8, 0], new[::10, 4] = 1.5, np.inf, np.nan

    told = curves.draw_curves(basis, ridge).log_odds(new)

    np.testing.assert_allclose(
        told, ridge.log_odds(basis.transform(new)), atol=1e-12, rtol=0
    )


def test_products_of_two_features_are_found_and_pay() -> None:
    random = np.random.default_rng(8)
    x = random.normal(size=(3000, 6))
    y = (random.random(3000) < expit(1.5 * x[:, 1] * x[:, 4] - 1)).astype(float)
    residual = y - y.mean()
    found = pairs.PairBasis().fit(x, residual)
    folds = ridges.parts(
        x, y, [0.0] * 6, model.stratified_folds(y, count=2, seed=0), None
    )
    alone = ridges.choose(folds)
    paired = ridges.pairs_held_out(folds, alone.choice)
    held = np.concatenate([part.held_y for part in folds])

    assert (int(found.first[0]), int(found.second[0])) == (1, 4)
    assert paired is not None
    assert metrics.auc(held, paired) > metrics.auc(held, alone.log_odds) + 0.1


def test_a_straight_world_gets_a_straight_ridge_and_a_bent_one_bends() -> None:
    random = np.random.default_rng(9)
    x = random.normal(size=(1500, 5))
    chosen = []
    for z in (x @ [1.0, -1.0, 0.5, 0.5, 0.2], 3 * np.cos(2 * x[:, 0])):
        y = (random.random(1500) < expit(z)).astype(float)
        folds = model.stratified_folds(y, count=3, seed=0)
        parts = ridges.parts(x, y, [0.0] * 5, folds, None)
        chosen.append(ridges.choose(parts).choice.roughness)

    assert chosen[0] > chosen[1] == 1.0


def test_wide_tables_keep_the_features_that_go_with_the_outcome() -> None:
    random = np.random.default_rng(10)
    x = random.normal(size=(400, 700))
    y = (random.random(400) < expit(2 * x[:, 650] + x[:, 3] ** 2 - 1)).astype(float)
    fitted = ridges.fit(ridges.Choice(300.0, 1.0), x, y, [0.0] * 700, None)

    assert len(fitted.columns) == ridges.MOST_FEATURES
    assert {3, 650} <= set(fitted.columns)
    assert fitted.basis.bent is not None
    assert fitted.basis.bent.sum() == ridges.MOST_BENT
    assert np.isfinite(fitted.log_odds(x)).all()


def test_noise_gets_the_base_rate() -> None:
    random = np.random.default_rng(11)
    x = random.normal(size=(400, 4))
    y = (np.arange(400) % 5 == 0).astype(float)
    p = model.fit(x, y, feature_names=NAMES[:4]).probabilities(x)

    assert p.std() < 0.03
    assert p.mean() == pytest.approx(0.2, abs=0.01)


def test_tails_are_straightened_where_both_slopes_matter_and_left_alone_else() -> None:
    random = np.random.default_rng(3)
    z = random.normal(-1.0, 2.0, 20_000)
    true = blend.Tails(0.6, 1.5, -0.4)
    as_told = (random.random(len(z)) < expit(z)).astype(float)
    bent = (random.random(len(z)) < expit(true.straighten(z))).astype(float)
    found = blend.fit_tails(z, bent)

    assert blend.fit_tails(z, as_told) == blend.Tails()
    assert found.low < 0.8
    assert found.high > 1.2
    gap = np.abs(found.straighten(z) - true.straighten(z))
    assert gap.mean() < 0.1
    p = expit(found.straighten(z))
    assert metrics.ece(bent, p) < 2 * metrics.ece_floor(p)
    assert metrics.ece(bent, expit(z)) > 5 * metrics.ece_floor(p)
    assert np.array_equal(np.argsort(found.straighten(z)), np.argsort(z))


def test_customers_who_leave_without_a_sign_do_not_spoil_the_probabilities() -> None:
    random = np.random.default_rng(1)
    x = random.normal(size=(9000, 2))
    loud = (x[:, 0] > 0.8) & (x[:, 1] > 0)
    y = (random.random(9000) < np.where(loud, 0.97, 0.04)).astype(float)
    old, new, truth = x[:1500], x[1500:], y[1500:]
    fitted = model.fit(
        old, y[:1500], feature_names=NAMES[:2], bags=1, shapes=trees.LEAN
    )

    assert fitted.tails.low < 0.9 * fitted.tails.high
    plain = model.member_log_odds(fitted, new) @ fitted.weights + fitted.intercept
    straight = metrics.log_loss(truth, fitted.probabilities(new))
    assert straight < metrics.log_loss(truth, expit(plain))


def test_features_of_two_values_leave_the_bends_to_others() -> None:
    random = np.random.default_rng(12)
    flags = (random.random((300, 90)) < 0.5).astype(float)
    x = np.hstack([flags, random.normal(size=(300, 3))])
    y = (random.random(300) < expit(3 * x[:, 0] + x[:, 91] ** 2 - 2)).astype(float)
    fitted = ridges.fit(ridges.Choice(300.0, 1.0), x, y, [0.0] * 93, None)

    assert fitted.basis.bent is None
    wide = np.hstack([x, random.normal(size=(300, 60))])
    fitted = ridges.fit(ridges.Choice(300.0, 1.0), wide, y, [0.0] * 153, None)
    assert fitted.basis.bent is not None
    assert fitted.basis.bent.sum() == ridges.MOST_BENT
    assert fitted.basis.bent[91]
    assert not fitted.basis.bent[:90].any()


def test_what_is_hopeless_after_one_fold_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = made_up_table(900)
    random = np.random.default_rng(0)
    grown: list[str] = []
    real = trees.grow

    def grow(
        shape: trees.Shape, x: np.ndarray, y: np.ndarray, *, seed: int, bags: int
    ) -> trees.Forest:
        grown.append(shape.name)
        noise = random.permutation(y) if shape.name == "deep_boosted" else y
        return real(shape, x, noise, seed=seed, bags=bags)

    monkeypatch.setattr(trees, "grow", grow)
    fitted = model.fit(x, y, feature_names=NAMES, bags=1, shapes=trees.SHAPES[:2])

    assert grown.count("deep_boosted") == 1
    assert "deep_boosted" not in fitted.evidence


def test_a_design_laid_out_once_gives_the_same_ridge_each_time() -> None:
    random = np.random.default_rng(4)
    x, groups = random.normal(size=(300, 4)), np.arange(300) % 3
    y = (random.random(300) < expit(x[:, 0] + groups)).astype(float)
    laid = linear.lay_out(x, groups)

    for strength in (30.0, 3.0):
        plain = linear.fit_ridge(x, y, strength=strength, groups=groups)
        again = linear.fit_ridge(laid, y, strength=strength)
        assert np.array_equal(plain.weights, again.weights)
        assert np.array_equal(plain.offsets, again.offsets)
