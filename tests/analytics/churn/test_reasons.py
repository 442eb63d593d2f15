"""Explanations that add up, hazards that match counting, drift and leakage alarms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from analytics.churn import drift, explain, hazard, leakage, model, trees
from churnguard.errors import ConfigError
from tests.analytics.churn.data import made_up_table
from tests.analytics.churn.mixing import mixing

GROUPS = {"usage": ["a", "b"], "billing": ["c"], "support": ["d"]}
NAMES = ("a", "b", "c", "d", "e")


def test_shapley_values_add_up_for_the_shipped_model() -> None:
    x, y = made_up_table(900)
    fitted = model.fit(x, y, feature_names=NAMES, bags=1)
    made = explain.explain(
        fitted.mixed_log_odds, x[:50], feature_names=NAMES, groups=GROUPS
    )

    assert made.group_names == ("usage", "billing", "support", "other")
    assert made.additivity_error < 1e-9
    np.testing.assert_allclose(made.log_odds, fitted.log_odds(x[:50]), atol=1e-12)


def test_the_quick_way_to_mix_rows_forecasts_what_made_rows_do() -> None:
    x, _ = made_up_table(900)
    y = (x[:, 0] * x[:, 1] + 0.3 * x[:, 4] > 0).astype(float)
    fitted = model.fit(x, y, feature_names=NAMES, shapes=(), anchor="e")
    x[::9, 0], x[::7, 2], x[::11, 3] = np.nan, 40.0, 1.5
    grown = [
        trees.grow(replace(shape, trees=12), x, y, seed=0, bags=2)
        for shape in trees.SHAPES
    ]
    # Every member has its say, whatever it was found to be worth.
    fitted = replace(fitted, forests=grown, weights=np.full(6, 0.3), limit=2.0)
    made = {
        way: explain.explain(mixed, x[:80], feature_names=NAMES, groups=GROUPS)
        for way, mixed in {
            "quick": fitted.mixed_log_odds,
            "plain": mixing(fitted.log_odds),
        }.items()
    }

    assert [type(member).__name__ for member in fitted.members()] == [
        "SplineRidge", "Anchor", "SplineRidge", "Forest", "Forest", "Forest",
    ]  # fmt: skip
    assert abs(made["plain"].log_odds).max() == 2.0
    for part in ("base", "log_odds", "groups", "features"):
        np.testing.assert_allclose(
            getattr(made["quick"], part), getattr(made["plain"], part), atol=1e-12
        )
    usual = explain.explain(
        fitted.mixed_log_odds,
        x[:9],
        feature_names=NAMES,
        groups=GROUPS,
        reference=x[:9],
    )
    assert not usual.groups.any()


def test_shapley_of_a_product_is_shared_evenly() -> None:
    def product(x: np.ndarray) -> np.ndarray:
        return x[:, 0] * x[:, 1] + 3 * x[:, 2]

    made = explain.explain(
        mixing(product),
        np.array([[2.0, 4.0, 1.0]]),
        feature_names=("p", "q", "r"),
        groups={"P": ["p"], "Q": ["q"], "R": ["r"]},
        reference=np.zeros(3),
    )

    assert made.groups.tolist() == [[4.0, 4.0, 3.0]]
    assert made.base.tolist() == [0.0]
    assert made.log_odds.tolist() == [11.0]


def test_wrong_groups_are_refused() -> None:
    x = np.zeros((1, 9))
    names, mixed = tuple("abcdefghi"), mixing(np.sum)
    with pytest.raises(ValueError, match="unknown features"):
        explain.explain(mixed, x, feature_names=names, groups={"g": ["z"]})
    with pytest.raises(ValueError, match="shares a feature"):
        explain.explain(mixed, x, feature_names=names, groups={"g": ["a"], "h": ["a"]})
    groups = {name: [name] for name in names}
    with pytest.raises(ValueError, match="at most 7"):
        explain.explain(mixed, x, feature_names=names, groups=groups)


def test_person_months_by_hand() -> None:
    rows, outcomes = hazard.person_months(np.array([[5.0], [6.0]]), [2, 3], [1, 0])

    assert rows.tolist() == [[0, 5], [1, 5], [0, 6], [1, 6], [2, 6]]
    assert outcomes.tolist() == [0, 1, 0, 0, 0]
    with pytest.raises(ConfigError, match="at least one observed month"):
        hazard.person_months(np.zeros((1, 1)), [0], [1])


def test_hazard_recovers_a_constant_rate_and_its_survival() -> None:
    random = np.random.default_rng(0)
    group = (np.arange(4000) % 2).astype(float)
    rate = np.where(group == 1, 0.2, 0.05)
    until = random.geometric(rate)
    tenure, churned = np.minimum(until, 24), until <= 24
    fitted = hazard.fit_hazard(group[:, None], tenure, churned)
    survival = fitted.survival(np.array([[0.0], [1.0]]), [3, 3], months=6)

    assert survival[0] == pytest.approx(0.95 ** np.arange(1, 7), abs=0.03)
    assert survival[1] == pytest.approx(0.8 ** np.arange(1, 7), abs=0.05)
    expected = fitted.expected_months(np.array([[1.0]]), [3], months=6)
    assert expected[0] == pytest.approx(survival[1].sum())


def test_concordance_by_hand() -> None:
    value = hazard.concordance([1, 2, 3], [1, 1, 0], [0.9, 0.1, 0.5])
    assert value == pytest.approx(2 / 3)
    assert np.isnan(hazard.concordance([1, 2], [0, 0], [1, 2]))


def test_psi_is_zero_for_the_same_and_by_hand_for_another() -> None:
    values = np.arange(100.0)
    bins = drift.training_bins(values)
    counts = drift.count(bins.edges, values[:30]) + drift.count(bins.edges, values[30:])

    assert drift.psi(bins, counts) == pytest.approx(0.0, abs=1e-12)
    half = drift.Bins(np.array([0.5]), np.array([0.5, 0.5, 0.0]))
    by_hand = 0.3 * np.log(0.8 / 0.5) + -0.3 * np.log(0.2 / 0.5)
    now = drift.count(half.edges, np.array([0.0] * 8 + [1.0] * 2))
    assert now.tolist() == [8, 2, 0]
    assert drift.psi(half, now) == pytest.approx(by_hand)
    assert drift.shift("x", half, now).state == "act"


def test_a_shift_counts_blanks() -> None:
    random = np.random.default_rng(1)
    bins = drift.training_bins(random.normal(size=2000))
    now = random.normal(size=2000)
    same = drift.shift("x", bins, drift.count(bins.edges, now))
    now[:1000] = np.nan
    holes = drift.shift("x", bins, drift.count(bins.edges, now))

    assert (same.missing_now, holes.missing_before, holes.missing_now) == (0, 0, 0.5)
    assert (same.state, holes.state) == ("ok", "act")


def test_base_rate_z_by_hand() -> None:
    made = drift.base_rate_test([1] * 60 + [0] * 40, [0.5] * 100)

    assert (made.expected, made.observed) == (50.0, 60)
    assert made.z == pytest.approx(2.0)
    assert made.p_value == pytest.approx(0.0455, abs=1e-4)


def test_leakage_alarm_names_the_feature_that_knows() -> None:
    random = np.random.default_rng(2)
    y = (random.random(500) < 0.3).astype(float)
    x = np.column_stack([-y + random.normal(size=500) * 0.1, random.normal(size=500)])

    alarm = leakage.check(y, y * 0.8 + 0.1, x, ("ended_at", "noise"))
    assert alarm is not None
    assert list(alarm.suspects) == ["ended_at"]
    assert "ended_at" in alarm.sentence
    assert leakage.check(y, random.random(500), x, ("ended_at", "noise")) is None


def test_anchored_hazard_agrees_with_the_probability_of_the_horizon() -> None:
    random = np.random.default_rng(3)
    risk = random.normal(size=(400, 1))
    monthly = 1 / (1 + np.exp(3 - risk[:, 0]))
    lived = np.minimum(random.geometric(monthly), 12)
    fitted = hazard.fit_hazard(risk, lived, (random.random(400) < 0.7).astype(float))
    p = np.array([1e-6, 0.05, 0.45, 0.9, 0.999])

    def months(within: float) -> np.ndarray:
        return fitted.anchored_months(
            np.linspace(-2, 2, 5)[:, None], np.zeros(5), months=12, within=within,
            probabilities=p,
        )  # fmt: skip

    # Over the whole year the year's loss is given: nobody can stay longer than that.
    whole = months(12.0)
    assert (whole[1:] < whole[:-1]).all()
    assert whole[0] == pytest.approx(12, abs=1e-3)
    # Half lost in three months leaves more than one and a half of them.
    three = months(3.0)
    assert three[2] > 3 * 0.55
    assert (np.diff(three) < 0).all()
    flat = hazard.Hazard(fitted.basis, fitted.ridge, 0.0)
    told = flat.anchored_months(
        np.zeros((1, 1)), [0], months=12, within=2.5, probabilities=[0.5]
    )
    # A constant hazard that halves in 2.5 months: sum of 2 ** (-m / 2.5).
    assert told[0] == pytest.approx(sum(2 ** (-m / 2.5) for m in range(1, 13)))
