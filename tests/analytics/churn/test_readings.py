"""Numbers and dates of whole columns, and rows dated where they cannot belong."""

from __future__ import annotations

import numpy as np
import pytest

from analytics.churn import cells, readings, strays

NAN = float("nan")


@pytest.mark.parametrize(
    ("column", "numbers"),
    [
        (["12", " -1.5e2 ", "", "abc", "inf", "1_000"], [12, -150, NAN, NAN, NAN, NAN]),
        (["1,234.50", "1,200", "7"], [1234.5, 1200, 7]),
        (["1.234,50", "1.200", "3,5"], [1234.5, 1200, 3.5]),
        (["1.234", "0.5"], [1.234, 0.5]),
        (["980", "1.204", "12.500", "3.111"], [980, 1204, 12500, 3111]),
        (["$1,200", "(35.20)", "45 %", "-3 €"], [1200, -35.2, 45, -3]),
        (["12 months", "24 months", "1 month"], [12, 24, 1]),
        (["1.5K", "2M"], [1500, 2e6]),
        (["1 234,5", "12,25"], [1234.5, 12.25]),
        (["00:10:00", "1:30:05"], [600, 5405]),
        (["1-2", "C12", "1.2.3"], [NAN, NAN, NAN]),
        (["1e200", "5"], [readings.LARGEST, 5]),
    ],
)
def test_numbers_in_many_dresses(column: list[str], numbers: list[float]) -> None:
    reading = readings.number_reading(column)
    np.testing.assert_array_equal(readings.read_numbers(column, reading), numbers)


@pytest.mark.parametrize(
    ("column", "days"),
    [
        (["1970-01-02", "1970-01-02T12:00:00Z", "x"], [1, 1.5, NAN]),
        (["1970-01-02T01:00:00+02:00"], [1 - 1 / 24]),
        (["01/02/1970", "01/25/1970"], [1, 24]),
        (["01/02/1970", "25/01/1970"], [31, 24]),
        (["02.01.1970 06:00"], [1.25]),
        (["Jan 2, 1970", "2 January 1970 6:00 PM", "02-Jan-70"], [1, 1.75, 1]),
        (["Fri, 02 Jan 1970 12:00:00 +0000"], [1.5]),
        (["1970-02", "Feb 1970"], [31, 31]),
        (["1500000000000", ""], [1_500_000_000 / 86_400, NAN]),
        (["1500000000"], [1_500_000_000 / 86_400]),
        (["19700103", "19700102"], [2, 1]),
        (["197002"], [31]),
        (["45000", "45001.5"], [19431, 19432.5]),
        (["0", "17"], [0, 17]),
    ],
)
def test_moments_in_many_dresses(column: list[str], days: list[float]) -> None:
    reading = readings.date_reading(column)
    assert reading is not None
    np.testing.assert_allclose(readings.read_dates(column, reading), days)


def test_what_is_no_moment_is_not_read_as_one() -> None:
    for cell in ("1.2.3", "555-12-3456", "10:20", "30/02/2024", "hello", "2024-13-01"):
        assert cells.parse_date(cell) is None
    assert readings.date_reading(["hello", "world"]) is None
    assert readings.date_reading(["", "NA"]) is None


def test_the_order_of_a_file_tells_day_from_month_where_nothing_else_does() -> None:
    by_month = readings.date_reading(["01/11/2024", "01/12/2024", "02/01/2024"])
    by_day = readings.date_reading(["11/01/2024", "12/01/2024", "01/02/2024"])

    assert by_month == readings.DateReading("text", False, is_certain=False)
    assert by_day == readings.DateReading("text", True, is_certain=False)


def test_rows_dated_where_nothing_else_is_are_strays() -> None:
    usual = np.repeat(np.arange(19_000, 19_400), 10)
    odd = np.array([0, 5, 19_700, 30_000])
    found, notes = strays.find_strays(np.concatenate([usual, odd]), today=20_000)

    assert np.flatnonzero(found).tolist() == [4000, 4001, 4002, 4003]
    assert notes == [
        "1 rows are dated after today: left out.",
        "2 rows are dated before 2022-01-08, far from all others: left out.",
        "1 rows are dated after 2023-02-11, far from all others: left out.",
    ]


def test_a_log_that_fades_or_lives_in_the_future_is_kept() -> None:
    fading = np.repeat(np.arange(200), (2000 * 0.95 ** np.arange(200) + 1).astype(int))
    future = np.repeat(np.arange(40_000, 40_100), 5)

    assert not strays.find_strays(fading, today=20_000)[0].any()
    assert not strays.find_strays(future, today=20_000)[0].any()
