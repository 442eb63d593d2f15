"""The health maths against numbers worked out by hand, and its laws by property."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics import health
from analytics.definition import DEFAULT_SPEC, METRICS
from analytics.definitions.validation import check_spec
from churnguard.errors import ConfigError

M = {metric.name: index for index, metric in enumerate(METRICS)}


def facts(age: float = 0.0, prior: float = 60.0, **values: float) -> health.Facts:
    row = np.full((1, len(METRICS)), np.nan)
    for name, value in values.items():
        row[0, M[name]] = value
    return health.Facts(
        values=row,
        age_days=np.full(row.shape, age),
        prior=np.full(row.shape, prior),
        ordinary=np.zeros(row.shape, dtype=bool),
        capped=np.zeros((1, len(health.CAPS)), dtype=bool),
    )


def test_metric_scores_are_linear_between_anchors_and_flat_outside() -> None:
    values = np.full((5, len(METRICS)), np.nan)
    values[:, M["past_due"]] = [0, 3.5, 7, 18.5, 90]

    found = health.metric_scores(values, DEFAULT_SPEC)[:, M["past_due"]]

    assert found.tolist() == [100.0, 80.0, 60.0, 30.0, 0.0]


def test_weights_of_missing_components_and_metrics_are_shared_out() -> None:
    present = np.zeros((1, len(METRICS)), dtype=bool)
    present[0, [M["active_days"], M["recency_gap"], M["past_due"]]] = True

    weights = health.point_weights(present, DEFAULT_SPEC)[0]

    # Usage 35 and billing 20 of 55; inside usage 0.40 and 0.25 of 0.65.
    assert weights[M["past_due"]] == pytest.approx(20 / 55 * 100)
    assert weights[M["active_days"]] == pytest.approx(35 / 55 * 100 * 0.40 / 0.65)
    assert weights.sum() == pytest.approx(100)


def test_a_score_and_its_ledger_worked_out_by_hand() -> None:
    scores = health.compute(facts(active_days=0.5, past_due=3.5), DEFAULT_SPEC)

    # active_days 0.5 -> 30 points of 100, weight 35/55; past_due 3.5 -> 80, 20/55.
    assert scores.exact[0] == pytest.approx(30 * 35 / 55 + 80 * 20 / 55)
    assert scores.score[0] == 48
    assert scores.losses[0, M["active_days"]] == 45
    assert scores.losses[0, M["past_due"]] == 7
    assert scores.losses[0].sum() == 52


def test_stale_good_news_fades_to_the_median_and_shows_as_its_own_line() -> None:
    # Usage: grace 2 days, half-life 7: after 9 days half of 100 and half of 60.
    scores = health.compute(facts(age=9.0, active_days=1.0), DEFAULT_SPEC)

    assert scores.score[0] == 80
    assert scores.losses[0, M["active_days"]] == 0
    assert scores.losses[0, len(METRICS)] == 20


def test_a_cap_lowers_the_score_and_is_the_last_line() -> None:
    given_facts = facts(active_days=1.0)
    given_facts.capped[0, 0] = True

    scores = health.compute(given_facts, DEFAULT_SPEC)

    assert scores.score[0] == 20
    assert scores.losses[0, len(METRICS) + 1] == 80
    assert scores.cap[0] == 0


def test_nothing_known_is_not_a_perfect_score() -> None:
    scores = health.compute(facts(), DEFAULT_SPEC)

    assert not scores.known[0]
    assert scores.coverage_pct[0] == 0


def test_coverage_counts_only_what_is_connected_and_fresh() -> None:
    scores = health.compute(facts(active_days=1.0, past_due=0.0), DEFAULT_SPEC)

    assert scores.coverage_pct[0] == 55


@pytest.mark.parametrize(
    ("before", "score", "band"),
    [
        ("unknown", 70, "healthy"),
        ("watch", 70, "watch"),
        ("watch", 73, "healthy"),
        ("healthy", 67, "healthy"),
        ("healthy", 66, "watch"),
        ("watch", 37, "watch"),
        ("watch", 36, "at_risk"),
        ("at_risk", 42, "at_risk"),
        ("at_risk", 43, "watch"),
        ("unknown", 39, "at_risk"),
    ],
)
def test_bands_have_hysteresis(before: str, score: int, band: str) -> None:
    found = health.bands(np.array([score]), np.array([100]), [before], DEFAULT_SPEC)

    assert found == [band]


def test_too_little_coverage_is_no_band() -> None:
    found = health.bands(np.array([90]), np.array([49]), ["healthy"], DEFAULT_SPEC)

    assert found == ["unknown"]


@given(
    values=hnp.arrays(
        float,
        (4, len(METRICS)),
        elements=st.one_of(st.just(np.nan), st.floats(-1e6, 1e6)),
    ),
    ages=hnp.arrays(
        float, (4, len(METRICS)), elements=st.one_of(st.just(np.nan), st.floats(0, 900))
    ),
    prior=hnp.arrays(float, (4, len(METRICS)), elements=st.floats(0, 100)),
    ordinary=hnp.arrays(bool, (4, len(METRICS))),
    capped=hnp.arrays(bool, (4, len(health.CAPS))),
)
def test_score_plus_losses_is_100_for_every_input(
    values: health.Floats,
    ages: health.Floats,
    prior: health.Floats,
    ordinary: np.ndarray,
    capped: np.ndarray,
) -> None:
    given_facts = health.Facts(values, ages, prior, ordinary, capped)
    scores = health.compute(given_facts, DEFAULT_SPEC)

    for row in range(4):
        if scores.known[row]:
            assert 0 <= scores.score[row] <= 100
            assert scores.score[row] + scores.losses[row].sum() == 100
            assert (scores.losses[row, : len(METRICS)] >= 0).all()


@given(
    lines=hnp.arrays(float, (1, 6), elements=st.floats(-50, 50)),
)
def test_rounding_keeps_the_total_and_moves_no_line_by_a_point(
    lines: health.Floats,
) -> None:
    total = np.rint(lines.sum(axis=1)).astype(int)

    rounded = health.round_to_total(lines, total)

    assert rounded.sum() == total[0]
    assert (np.abs(rounded - lines) < 1 + 1e-6).all()


def test_a_definition_with_faults_names_each_field() -> None:
    spec = copy.deepcopy(DEFAULT_SPEC)
    spec["components"]["usage"] = -1
    spec["metrics"]["past_due"]["anchors"] = [0, 7, 7]
    spec["bands"]["watch"] = 80

    with pytest.raises(ConfigError) as caught:
        check_spec(spec)

    assert set(caught.value.fields) == {
        "components.usage",
        "metrics.past_due.anchors",
        "bands.watch",
    }


def test_the_default_definition_is_valid_and_complete() -> None:
    assert check_spec(DEFAULT_SPEC) == DEFAULT_SPEC
