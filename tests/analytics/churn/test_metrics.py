"""Figures worked out by hand, and against scikit-learn where it has the same figure."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    log_loss,
    roc_auc_score,
)

from analytics.churn import metrics

Y = np.array([0, 0, 1, 1])
P = np.array([0.1, 0.4, 0.35, 0.8])


def test_hand_worked_figures() -> None:
    assert metrics.auc(Y, P) == 0.75
    assert metrics.average_precision(Y, P) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert metrics.brier(Y, P) == pytest.approx((0.01 + 0.16 + 0.4225 + 0.04) / 4)
    expected = -(np.log(0.9) + np.log(0.6) + np.log(0.35) + np.log(0.8)) / 4
    assert metrics.log_loss(Y, P) == pytest.approx(expected)


def test_auc_counts_a_tie_one_half() -> None:
    assert metrics.auc([0, 1, 1], [0.5, 0.5, 0.9]) == 0.75
    assert metrics.auc([0, 1, 0, 1], [0.2, 0.2, 0.2, 0.2]) == 0.5


@pytest.mark.parametrize("digits", [1, 2, 8])
def test_agrees_with_scikit_learn_with_and_without_ties(digits: int) -> None:
    random = np.random.default_rng(digits)
    p = np.clip(np.round(random.random(2000), digits), 0.001, 0.999)
    y = (random.random(2000) < p).astype(float)

    assert metrics.auc(y, p) == pytest.approx(roc_auc_score(y, p), abs=1e-12)
    ap = average_precision_score(y, p)
    assert metrics.average_precision(y, p) == pytest.approx(ap, abs=1e-12)
    assert metrics.log_loss(y, p) == pytest.approx(log_loss(y, p), abs=1e-12)
    assert metrics.brier(y, p) == pytest.approx(brier_score_loss(y, p), abs=1e-12)


def test_ece_of_ten_rows_is_the_mean_distance() -> None:
    p = np.linspace(0.05, 0.95, 10)
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])

    assert metrics.ece(y, p) == pytest.approx(np.abs(y - p).mean())


def test_ece_does_not_depend_on_row_order_under_ties() -> None:
    p = np.repeat([0.2, 0.6], 50)
    y = np.concatenate([np.repeat([1.0, 0.0], [10, 40]), np.repeat([1.0, 0.0], 25)])
    order = np.random.default_rng(0).permutation(100)

    assert metrics.ece(y, p) == pytest.approx(0.5 * 0 + 0.5 * 0.1)
    assert metrics.ece(y[order], p[order]) == pytest.approx(0.05)


def test_ece_floor_is_what_perfect_calibration_shows_and_is_seeded() -> None:
    random = np.random.default_rng(1)
    p = random.random(5000)
    real = [metrics.ece(random.random(5000) < p, p) for _ in range(40)]

    floor = metrics.ece_floor(p, seed=3)
    assert floor == metrics.ece_floor(p, seed=3)
    assert floor == pytest.approx(np.mean(real), rel=0.1)
    assert metrics.ece_floor(np.zeros(50)) == 0.0


def test_rows_that_share_one_departure_raise_the_floor() -> None:
    random = np.random.default_rng(1)
    p, owners = np.repeat(random.random(2000), 4), np.repeat(np.arange(2000), 4)
    real = [metrics.ece(random.random(2000)[owners] < p, p) for _ in range(40)]
    floor = metrics.ece_floor(p, fates=owners, seed=3)

    assert floor == pytest.approx(np.mean(real), rel=0.15)
    assert floor == pytest.approx(2 * metrics.ece_floor(p, seed=3), rel=0.15)


def test_top_decile_lift_and_its_cap() -> None:
    y = np.zeros(20)
    y[[0, 5, 6, 7]] = 1
    score = np.linspace(1, 0, 20)

    assert metrics.top_decile_lift(y, score) == pytest.approx(0.5 / 0.2)
    assert metrics.lift_cap(y) == pytest.approx(5.0)
    assert metrics.lift_cap([1] + [0] * 39) == pytest.approx(0.25 / 0.025)
    assert metrics.top_decile_lift(y, np.zeros(20)) == pytest.approx(1.0)


def test_one_class_gives_nan_and_not_a_guess() -> None:
    assert np.isnan(metrics.auc([1, 1], [0.2, 0.3]))
    assert np.isnan(metrics.average_precision([0, 0], [0.2, 0.3]))
    assert np.isnan(metrics.top_decile_lift([0, 0], [0.2, 0.3]))
    with pytest.raises(ValueError, match="two equal rows"):
        metrics.auc([0, 1], [0.5])


def test_calibration_line_recovers_a_known_distortion() -> None:
    random = np.random.default_rng(2)
    z = random.normal(size=200_000)
    y = random.random(200_000) < 1 / (1 + np.exp(-(0.5 + 0.7 * z)))

    intercept, slope = metrics.calibration_line(y, 1 / (1 + np.exp(-z)))
    assert intercept == pytest.approx(0.5, abs=0.02)
    assert slope == pytest.approx(0.7, abs=0.02)


def test_bootstrap_brackets_the_figure_and_repeats_itself() -> None:
    random = np.random.default_rng(4)
    p = random.random(400)
    y = (random.random(400) < p).astype(float)
    first = metrics.bootstrap(metrics.auc, y, p, seed=9)

    assert first == metrics.bootstrap(metrics.auc, y, p, seed=9)
    assert first.low < first.value < first.high
    same = metrics.bootstrap_difference(metrics.auc, y, p, p)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)


def test_reliability_bins_hold_every_row_once() -> None:
    random = np.random.default_rng(5)
    p = random.random(1003)
    bins = metrics.reliability(random.random(1003) < p, p)

    assert sum(one.rows for one in bins) == 1003
    assert len(bins) == 10
    assert all(one.low <= one.observed_rate <= one.high for one in bins)


def test_wilson_interval_of_five_in_ten() -> None:
    low, high = metrics.wilson_interval(0.5, 10)
    assert (round(low, 4), round(high, 4)) == (0.2366, 0.7634)
