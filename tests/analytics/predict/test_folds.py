"""The folds that choose how much is learned: no account on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.churn.model import BOOST_FROM
from analytics.predict.features import NAMES, Snapshot
from analytics.predict.models import LabelDefinition
from analytics.predict.snapshots import (
    Cohort,
    account_folds,
    choosing_folds,
    fates,
    time_folds,
)


def cohorts_of(members: list[dict[int, bool]]) -> list[Cohort]:
    """A cohort each half year of {customer: left}."""
    made = []
    for number, left in enumerate(members):
        y = np.array(list(left.values()), dtype=np.float64)
        day = 19_000 + 180 * number
        snapshot = Snapshot(
            day, np.array(list(left), dtype=np.int64), np.zeros((len(left), len(NAMES)))
        )
        made.append(Cohort(snapshot, y, np.where(y > 0, day + 30.0, np.inf), False))
    return made


@given(
    st.lists(
        st.dictionaries(st.integers(1, 30), st.booleans(), min_size=5, max_size=30),
        min_size=1,
        max_size=5,
    )
)
def test_each_account_is_held_out_once_with_all_its_rows(
    members: list[dict[int, bool]],
) -> None:
    cohorts = cohorts_of(members)
    accounts = np.concatenate([cohort.snapshot.customers for cohort in cohorts])
    folds = account_folds(cohorts, seed=3)

    held = np.concatenate([rows for _, rows in folds])
    assert sorted(held.tolist()) == list(range(len(accounts)))
    for train, out in folds:
        assert set(accounts[train]).isdisjoint(accounts[out])
        assert len(train) + len(out) == len(accounts)


def test_those_that_left_are_spread_over_the_folds() -> None:
    cohorts = cohorts_of([{n: n <= 10 for n in range(100)}] * 3)
    y = np.concatenate([cohort.outcomes for cohort in cohorts])
    left = [int(y[out].sum()) for _, out in account_folds(cohorts, seed=1)]
    assert sum(left) == 33
    assert max(left) - min(left) <= 3


@pytest.mark.parametrize("departures", [BOOST_FROM - 1, BOOST_FROM])
def test_time_chooses_only_where_departures_abound(departures: int) -> None:
    cohorts = cohorts_of([{n: n % 4 == 0 for n in range(40)}] * 4)
    label = LabelDefinition(kind="subscription", horizon_days=90, grace_days=30)
    chosen = choosing_folds(cohorts, label, departures, seed=0)
    expected = (
        time_folds(cohorts, label)
        if departures >= BOOST_FROM
        else account_folds(cohorts, seed=0)
    )
    assert expected
    assert len(chosen) == len(expected)
    for (train, out), (wanted_train, wanted_out) in zip(chosen, expected, strict=True):
        assert train.tolist() == wanted_train.tolist()
        assert out.tolist() == wanted_out.tolist()


def test_rows_of_one_departure_share_their_fate() -> None:
    cohorts = cohorts_of([{1: True, 2: False}, {1: True, 3: False}, {3: True}])

    assert fates(cohorts, 181).tolist() == [0, 1, 0, 2, 3]
    assert fates(cohorts, 180).tolist() == [0, 2, 1, 3, 4]
