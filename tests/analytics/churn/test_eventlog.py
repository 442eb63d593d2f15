"""Event features by hand, and the proof that they never see the future."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.churn import backtest, eventlog, season
from churnguard.errors import ConfigError

START = 18_000


def _random_log(seed: int, rows: int = 1500) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    who = random.integers(0, 80, rows).astype(str)
    days = START + random.integers(0, 500, rows)
    amounts = np.round(random.normal(30, 25, rows), 2)
    return who, days, amounts


def test_features_of_one_customer_by_hand() -> None:
    days = np.array([0, 10, 10, 40, 95]) + START
    amounts = [10.0, 20.0, 5.0, 30.0, -7.0]
    log = eventlog.build_log(["a"] * 5, days, amounts)
    snapshot = eventlog.snapshot(log, START + 100, 90)
    value = {name: snapshot.column(name)[0] for name in snapshot.names}

    assert value["days_since_last"] == 60
    assert value["tenure_days"] == 100
    assert value["active_days"] == 3
    assert value["events_per_active_day"] == pytest.approx(4 / 3)
    assert value["gap_mean"] == 20
    assert value["gap_sd"] == 10
    assert value["gap_max"] == 30
    assert value["active_days_60"] == 1
    assert value["active_days_90"] == 2
    assert value["events_90"] == 3
    assert value["amount_90"] == 55
    assert value["amount_last"] == 30
    assert value["refunds_90"] == 1
    assert value["trend_90_180"] == pytest.approx(2.5 / 1.5)
    assert np.isnan(value["same_season_last_year"])


def test_labels_count_the_cutoff_day_and_not_the_day_after_the_window() -> None:
    log = eventlog.build_log(["a", "a", "b", "b", "c"], [0, 50, 0, 80, 0])
    who = eventlog.population(log, 50)

    assert eventlog.labels(log, who, 50, 30).tolist() == [0.0, 1.0, 1.0]
    assert eventlog.labels(log, who, 50, 31).tolist() == [0.0, 0.0, 1.0]


def test_a_refund_is_no_activity() -> None:
    log = eventlog.build_log(["a", "a"], [0, 50], [10.0, -10.0])

    assert eventlog.labels(log, np.array([0]), 40, 30).tolist() == [1.0]


def test_population_is_a_year_in_long_logs_and_everyone_in_short_ones() -> None:
    long = eventlog.build_log(["old", "new", "end"], [0, 500, 800])
    short = eventlog.build_log(["old", "new", "end"], [0, 500, 700])

    assert eventlog.population(long, 600).tolist() == [1]
    assert sorted(short.customer_ids[eventlog.population(short, 600)]) == ["new", "old"]


def test_a_thousand_future_edits_change_no_feature_row() -> None:
    random = np.random.default_rng(11)
    cutoff = START + 300
    edits = 0
    for round_number in range(20):
        who, days, amounts = _random_log(round_number, rows=300)
        # Both ends stay, so the span, which sets the population rule, is the same.
        days[0], days[1] = START, START + 499
        log = eventlog.build_log(who, days, amounts)
        before = eventlog.snapshot(log, cutoff, 90)
        names = log.customer_ids[before.customers]
        for _ in range(2):
            future = np.flatnonzero((days >= cutoff) & (np.arange(len(days)) > 1))
            for row in random.choice(future, 25):
                who[row] = str(random.integers(0, 99))
                days[row] = random.integers(cutoff, START + 499)
                amounts[row] = random.normal(0, 1000)
                edits += 1
            gone = random.choice(future, 5, replace=False)
            who, days = np.delete(who, gone), np.delete(days, gone)
            amounts = np.delete(amounts, gone)
            log = eventlog.build_log(who, days, amounts)
            after = eventlog.snapshot(log, cutoff, 90)

            assert log.customer_ids[after.customers].tolist() == names.tolist()
            np.testing.assert_array_equal(after.values, before.values)
    assert edits == 1000


def test_order_of_events_does_not_matter() -> None:
    who, days, amounts = _random_log(3)
    order = np.random.default_rng(0).permutation(len(who))
    first = eventlog.snapshot(eventlog.build_log(who, days, amounts), START + 400, 30)
    second = eventlog.snapshot(
        eventlog.build_log(who[order], days[order], amounts[order]), START + 400, 30
    )

    np.testing.assert_allclose(first.values, second.values, rtol=1e-9)


def test_same_season_last_year_counts_the_customers_own_window() -> None:
    log = eventlog.build_log(["a"] * 4, [0, 50, 60, 400])
    snapshot = eventlog.snapshot(log, 401, 30)

    assert snapshot.column("same_season_last_year").tolist() == [2.0]


def test_training_cutoffs_are_complete_before_the_test_cutoff() -> None:
    who, days, amounts = _random_log(1)
    log = eventlog.build_log(who, days, amounts)
    for cutoff in range(START + 150, START + 500, 7):
        for day in backtest.train_cutoffs(log, cutoff, 30):
            assert day + 30 <= cutoff
            assert day - log.first_day >= 60


def test_monthly_cutoffs_keep_the_day_of_month() -> None:
    last = (np.datetime64("2024-03-31") - np.datetime64("1970-01-01")).astype(int)
    days = backtest.monthly_cutoffs(int(last), 3)
    told = [str(np.datetime64("1970-01-01") + np.timedelta64(day)) for day in days]

    assert told == ["2024-01-31", "2024-02-29", "2024-03-31"]


def test_level_forecast_refuses_cohorts_of_the_future() -> None:
    log = eventlog.build_log(["a", "b"], [0, 900])
    with pytest.raises(ValueError, match="had not matured"):
        season.forecast_level(log, cutoff=500, horizon=90, levels={450: 0.1}, short={})


def test_level_follows_the_season_of_last_year() -> None:
    log = eventlog.build_log(["a", "b"], [0, 900])
    made = season.forecast_level(
        log,
        cutoff=700,
        horizon=90,
        levels={610: 0.2},
        short={245: -0.5, 335: -1.0, 610: -0.5},
    )

    assert made.level == pytest.approx(0.2 + season.PAIRED_TRUST * -0.5)
    assert made.basis == "newest cohort and last year's step"


def test_without_a_year_the_newest_cohort_is_the_forecast() -> None:
    log = eventlog.build_log(["a", "b"], [0, 900])
    made = season.forecast_level(
        log, cutoff=300, horizon=90, levels={200: 0.2}, short={200: -0.5}
    )

    assert made.level == 0.2


@pytest.mark.parametrize(
    ("days", "horizon", "told"),
    [(100, 90, "spans 100 days"), (700, 0, "at least 1")],
)
def test_a_log_that_is_too_short_says_so(days: int, horizon: int, told: str) -> None:
    log = eventlog.build_log(["a", "b"], [0, days - 1])
    with pytest.raises(ConfigError, match=told):
        backtest.run(log, horizon=horizon)


def test_too_few_outcomes_are_said_plainly() -> None:
    log = eventlog.build_log([str(n) for n in range(12)], np.arange(12) * 60)
    with pytest.raises(ConfigError, match="Not enough outcomes"):
        backtest.run(log, horizon=30)


def test_an_empty_log_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        eventlog.build_log([], [])
    with pytest.raises(ValueError, match="negative amount"):
        eventlog.build_log(["a"], [1], [-1.0])
