"""The worked examples of the definitions, and the identity over random histories."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analytics.revenue.movements import (
    CustomerMonth,
    Summary,
    lifetime_value,
    summarize,
)
from analytics.revenue.periods import Period
from analytics.revenue.recognition import (
    Line,
    by_month,
    deferred_at,
    recognised_between,
    recognised_until,
    stop,
)


def percent(value: Fraction | None) -> float:
    assert value is not None
    return round(float(value) * 100, 2)


def test_movements_of_a_month() -> None:
    rows = [
        CustomerMonth(1, 10000, 15000, True),
        CustomerMonth(2, 5000, 0, True),
        CustomerMonth(3, 20000, 16000, True),
        CustomerMonth(4, 3000, 3000, True),
        CustomerMonth(5, 0, 4000, False),
        CustomerMonth(6, 0, 2500, True),
    ]

    found, moved = summarize(rows)

    assert (found.start, found.end) == (38000, 40500)
    assert (found.new, found.reactivation, found.expansion) == (4000, 2500, 5000)
    assert (found.contraction, found.churn, found.fx) == (4000, 5000, 0)
    assert percent(found.gross_churn) == 23.68
    assert percent(found.net_churn) == 3.95
    assert percent(found.net_churn_without_reactivation) == 10.53
    assert percent(found.grr) == 76.32
    assert percent(found.nrr) == 89.47
    assert percent(found.logo_churn) == 25.0
    assert percent(found.logo_churn_with_joined) == 16.67
    assert found.quick_ratio == 1
    assert found.quick_ratio_with_reactivation is not None
    assert round(float(found.quick_ratio_with_reactivation), 2) == 1.28
    assert found.arr == 486000
    assert [m.kind for m in moved] == [
        "expansion",
        "churn",
        "contraction",
        "new",
        "reactivation",
    ]


def test_the_published_churn_rates_of_a_small_book() -> None:
    # ChartMogul: 100 at the start, 10 churned, 10 contracted, 10 expanded.
    found, _ = summarize(
        [
            CustomerMonth(1, 10, 0, True),
            CustomerMonth(2, 40, 30, True),
            CustomerMonth(3, 50, 60, True),
        ]
    )

    assert (percent(found.gross_churn), percent(found.net_churn)) == (20.0, 10.0)


def test_a_discount_of_everything_is_churn_and_its_end_a_return() -> None:
    free, _ = summarize([CustomerMonth(1, 10000, 0, True)])
    back, _ = summarize([CustomerMonth(1, 0, 10000, True)])

    assert (free.churn, free.customers_lost) == (10000, 1)
    assert (back.reactivation, back.new) == (10000, 0)


@pytest.mark.parametrize(
    ("arpa", "churn", "months", "margin", "value"),
    [
        # 50.00 a month, 80 % of it margin, 4 % of the accounts lost in a month.
        (5000, Fraction(1, 25), 1, 80, 100_000),
        (5000, Fraction(1, 25), 1, 100, 125_000),
        # 1 - 0.96^12 lost in a year is 4 % lost a month.
        (5000, 1 - Fraction(96, 100) ** 12, 12, 80, 100_000),
        (5000, Fraction(1), 1, 100, 5000),
        (5000, Fraction(0), 1, 100, None),
        (None, Fraction(1, 25), 1, 100, None),
        (5000, None, 1, 100, None),
    ],
)
def test_lifetime_value(
    arpa: int | None,
    churn: Fraction | None,
    months: float,
    margin: int,
    value: int | None,
) -> None:
    found = lifetime_value(
        None if arpa is None else Fraction(arpa),
        churn,
        months=months,
        margin_pct=margin,
    )

    assert (None if found is None else round(found, 6)) == value


def test_months_of_a_period() -> None:
    assert Period(date(2026, 1, 1), date(2026, 2, 1)).months == 1
    assert Period(date(2025, 12, 1), date(2027, 1, 1)).months == 13
    assert Period(date(2026, 1, 2), date(2026, 1, 3)).months == 1 / 30.4375


def test_a_start_of_nothing_has_no_ratios() -> None:
    found, _ = summarize([CustomerMonth(1, 0, 100, False)])

    assert found.gross_churn is None
    assert found.nrr is None
    assert found.logo_churn is None
    assert found.quick_ratio is None


def test_the_exchange_rate_is_a_line_of_its_own() -> None:
    # 10 000 at the start's rate; the same contract is worth 11 000 at the end's.
    found, moved = summarize([CustomerMonth(1, 10000, 10000, True, end_now=11000)])

    assert (found.fx, found.end, moved) == (1000, 11000, [])


def test_a_summary_that_does_not_add_up_cannot_exist() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        Summary(100, 0, 0, 0, 0, 0, 0, 90, 1, 1, 0, 0)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 10**9),
            st.integers(0, 10**9),
            st.booleans(),
            st.one_of(st.none(), st.integers(0, 10**9)),
        ),
        max_size=30,
    )
)
def test_the_identity_holds_for_every_history(
    raw: list[tuple[int, int, bool, int | None]],
) -> None:
    rows = [CustomerMonth(n, *row) for n, row in enumerate(raw)]

    found, moved = summarize(rows)

    gained = found.new + found.reactivation + found.expansion
    lost = found.contraction + found.churn
    assert found.start + gained - lost + found.fx == found.end
    assert len(moved) == sum(row.start != row.end for row in rows)
    if found.grr is not None:
        assert 0 <= found.grr <= 1


def test_a_month_that_straddles_two() -> None:
    line = Line(3100, date(2026, 1, 15), date(2026, 2, 15))

    assert list(by_month(line)) == [
        (date(2026, 1, 1), 1700),
        (date(2026, 2, 1), 1400),
    ]


def test_a_year_by_month_sums_to_the_cent() -> None:
    line = Line(120000, date(2026, 1, 15), date(2027, 1, 15))

    months = [amount for _, amount in by_month(line)]

    assert months == [
        5589,
        9206,
        10191,
        9863,
        10192,
        9863,
        10192,
        10192,
        9863,
        10191,
        9863,
        10192,
        4603,
    ]
    assert sum(months) == 120000


def test_a_full_stop_leaves_the_rest_deferred() -> None:
    line = Line(120000, date(2026, 1, 15), date(2027, 1, 15))

    assert stop(line, date(2026, 7, 1)) == (54904, 65096)


@given(
    amount=st.integers(-(10**9), 10**9),
    start=st.dates(date(2020, 1, 1), date(2030, 1, 1)),
    days=st.integers(0, 800),
    cuts=st.lists(st.integers(0, 800), max_size=6),
)
def test_parts_always_add_up(
    amount: int, start: date, days: int, cuts: list[int]
) -> None:
    line = Line(amount, start, start + timedelta(days=days))
    edges = sorted({0, 801, *cuts})
    parts = [
        recognised_between(line, start + timedelta(days=a), start + timedelta(days=b))
        for a, b in pairwise(edges)
    ]

    assert sum(parts) == amount
    assert sum(part for _, part in by_month(line)) == amount
    middle = start + timedelta(days=days // 2)
    assert recognised_until(line, middle) + deferred_at(line, middle) == amount
