"""BG/NBD against simulation and against the integrals it stands for."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.churn import bgnbd

TRUTH = bgnbd.BgNbd(r=0.6, alpha=5.0, a=0.8, b=2.5)


def _simulate(count: int, weeks: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(7)
    rate = random.gamma(TRUTH.r, 1 / TRUTH.alpha, count)
    drop = random.beta(TRUTH.a, TRUTH.b, count)
    frequency, recency = np.zeros(count), np.zeros(count)
    for person in range(count):
        now = random.exponential(1 / max(rate[person], 1e-9))
        while now < weeks:
            frequency[person] += 1
            recency[person] = now
            if random.random() < drop[person]:
                break
            now += random.exponential(1 / rate[person])
    return frequency, recency, np.full(count, weeks)


def test_fit_finds_the_parameters_of_a_simulated_company() -> None:
    fitted = bgnbd.fit(*_simulate(5_000, 52.0))

    assert fitted.r == pytest.approx(TRUTH.r, rel=0.2)
    assert fitted.alpha == pytest.approx(TRUTH.alpha, rel=0.2)
    # a and b alone are weakly identified; their ratio, the mean drop-out, is not.
    mean_drop = fitted.a / (fitted.a + fitted.b)
    assert mean_drop == pytest.approx(0.8 / 3.3, rel=0.2)


def test_likelihood_is_the_integral_over_rate_and_drop_out() -> None:
    x, t_x, big_t = 2.0, 30.0, 40.0
    rates = np.linspace(1e-4, 4, 4001)
    drops = np.linspace(5e-4, 1 - 5e-4, 1000)
    from scipy.stats import beta, gamma

    rate_density = gamma.pdf(rates, TRUTH.r, scale=1 / TRUTH.alpha)
    drop_density = beta.pdf(drops, TRUTH.a, TRUTH.b)
    stayed = rates**x * np.exp(-rates * big_t)
    left = rates**x * np.exp(-rates * t_x)
    keep = (1 - drops) ** x
    leave = drops * (1 - drops) ** (x - 1)
    value = np.trapezoid(stayed * rate_density, rates) * np.trapezoid(
        keep * drop_density, drops
    ) + np.trapezoid(left * rate_density, rates) * np.trapezoid(
        leave * drop_density, drops
    )

    ours = bgnbd.log_likelihood([x], [t_x], [big_t], r=0.6, alpha=5.0, a=0.8, b=2.5)
    assert ours[0] == pytest.approx(np.log(value), rel=2e-3)


def test_alive_falls_with_silence_and_is_one_for_a_single_purchase() -> None:
    alive = TRUTH.alive([5, 5, 5, 0], [40, 20, 5, 0], [40, 40, 40, 40])

    assert alive[0] > alive[1] > alive[2]
    assert alive[3] == 1.0


def test_silent_and_expected_purchases_agree_on_a_short_horizon() -> None:
    x, t_x, big_t = [3.0, 1.0], [30.0, 4.0], [40.0, 40.0]
    step = 1e-4
    expected = TRUTH.expected_purchases(x, t_x, big_t, horizon=step)
    silent = TRUTH.silent(x, t_x, big_t, horizon=step)

    assert 1 - silent == pytest.approx(expected, rel=1e-3)


def test_degenerate_samples_stay_finite() -> None:
    nobody_repeats = bgnbd.fit(np.zeros(50), np.zeros(50), np.full(50, 30.0))
    one = bgnbd.fit([3.0], [10.0], [12.0])

    for model in (nobody_repeats, one):
        assert np.isfinite([model.r, model.alpha, model.a, model.b]).all()
        assert np.isfinite(model.silent([0.0], [0.0], [30.0], horizon=30.0)).all()
    with pytest.raises(ValueError, match="at least one"):
        bgnbd.fit([], [], [])
