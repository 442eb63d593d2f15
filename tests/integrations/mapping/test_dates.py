"""Dates as sources write them."""

from __future__ import annotations

import contextlib
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.mapping.dates import parse_time, zone_of

NOON = datetime(2026, 3, 4, 12, 30, tzinfo=UTC)
DAY = datetime(2026, 3, 4, tzinfo=UTC)
BERLIN = zone_of("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-03-04T12:30:00Z", NOON),
        ("2026-03-04T12:30:00.000+0000", NOON),
        ("2026-03-04 12:30:00+00", NOON),
        ("2026-03-04 12:30:00 UTC", NOON),
        ("2026-03-04T14:30:00+02:00", NOON),
        ("2026-03-04T12:30Z", NOON),
        ("2026-03-04 12:30", NOON),
        ("2026-03-04T12:30:00.123456789Z", NOON.replace(microsecond=123456)),
        ("2026-03-04", DAY),
        ("20260304", DAY),
        (20260304, DAY),
        ("2026/03/04", DAY),
        ("2026/3/4 12:30", NOON),
        ("31/12/2026", datetime(2026, 12, 31, tzinfo=UTC)),
        ("12/31/2026", datetime(2026, 12, 31, tzinfo=UTC)),
        ("12/31/2026 12:30 PM", datetime(2026, 12, 31, 12, 30, tzinfo=UTC)),
        ("12/31/26 12:05 am", datetime(2026, 12, 31, 0, 5, tzinfo=UTC)),
        ("3/3/2026", datetime(2026, 3, 3, tzinfo=UTC)),
        ("04.03.2026", DAY),
        ("4.3.2026 12:30", NOON),
        ("4 Mar 2026", DAY),
        ("March 4, 2026", DAY),
        ("Mar 4th, 2026", DAY),
        ("Mar 4 2026 12:30 PM", NOON),
        ("Wed, 04 Mar 2026 12:30:00 GMT", NOON),
        ("Wed, 04 Mar 2026 14:30:00 +0200", NOON),
        (1772627400, NOON),
        (1772627400000, NOON),
        (1772627400000000, NOON),
        ("1772627400", NOON),
        ("1772627400.0", NOON),
        (Decimal(1772627400), NOON),
        (date(2026, 3, 4), DAY),
        (datetime(2026, 3, 4, 14, 30, tzinfo=timezone(timedelta(hours=2))), NOON),
        (datetime(2026, 3, 4, 12, 30), NOON),
    ],
)
def test_read(value, expected):
    found = parse_time(value)

    assert found == expected
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "value",
    [
        *("", "soon", "2026-02-30", "2026-13-01", "1 2 3", "12:30", "03.2026", "12345"),
        *("99/99/2026", "2026-03-04T25:00", "0000-00-00", "2026"),
        *(True, None, [], float("nan"), 1e300),
    ],
)
def test_not_a_date(value):
    with pytest.raises(ValueError, match=r"."):
        parse_time(value)


def test_two_readings_are_refused_until_a_person_decides():
    with pytest.raises(ValueError, match="two ways"):
        parse_time("03/04/2026")
    assert parse_time("03/04/2026", day_first=False) == datetime(2026, 3, 4, tzinfo=UTC)
    assert parse_time("03/04/2026", day_first=True) == datetime(2026, 4, 3, tzinfo=UTC)


def test_zone_applies_to_times_without_one():
    assert parse_time("2026-03-04 13:30", zone=BERLIN) == NOON
    assert parse_time("2026-07-01 14:30", zone=BERLIN).hour == 12
    assert parse_time("2026-03-04T12:30Z", zone=BERLIN) == NOON
    assert parse_time("2026-03-04", zone=BERLIN) == DAY - timedelta(hours=1)


def test_formats_are_exact():
    assert parse_time("04|03|26", formats=["%d|%m|%y"]) == DAY
    with pytest.raises(ValueError, match="does not match"):
        parse_time("2026-03-04", formats=["%d|%m|%y"])


def test_units_of_numbers():
    assert parse_time(1, unit="s") == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert parse_time("1500", unit="ms").microsecond == 500_000
    assert parse_time(1772627400000, unit="ms") == NOON


def test_unknown_zone():
    with pytest.raises(ValueError, match="is not a time zone"):
        zone_of("Mars/Olympus")


MOMENTS = st.datetimes(
    datetime(1971, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)
).map(lambda moment: moment.replace(microsecond=0))


@given(moment=MOMENTS, hours=st.integers(-12, 14))
def test_every_form_of_a_moment_is_the_same_moment(moment, hours):
    there = moment.astimezone(timezone(timedelta(hours=hours)))

    assert parse_time(there) == moment
    assert parse_time(there.isoformat()) == moment
    assert parse_time(there.isoformat(" ")) == moment
    assert parse_time(format_datetime(there)) == moment
    assert parse_time(int(moment.timestamp()), unit="s") == moment


@given(value=st.text() | st.floats() | st.integers() | st.binary() | st.none())
def test_only_value_error_is_raised(value):
    with contextlib.suppress(ValueError):
        assert parse_time(value).tzinfo is UTC
