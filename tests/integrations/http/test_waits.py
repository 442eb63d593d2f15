"""Retry-After, reset headers and back-off."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrations.http.waits import (
    MAX_WAIT_S,
    RetryPolicy,
    header_wait_s,
    jittered,
    parse_reset,
    parse_retry_after,
)

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 0.5 ", 0.5),
        ("-3", 0.0),
        ("999999999", MAX_WAIT_S),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Sun, 01 Mar 2026 14:02:00 +0200", 120.0),
        ("Sunday, 01-Mar-26 12:02:00 GMT", 120.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("1_000", None),
    ],
)
def test_retry_after(value, expected):
    assert parse_retry_after(value, NOW) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("41", 41.0),
        (str(int(NOW.timestamp()) + 30), 30.0),
        (str((int(NOW.timestamp()) + 30) * 1000), 30.0),
        (str(int(NOW.timestamp()) - 30), 0.0),
        ("2026-03-01T12:01:00Z", 60.0),
        ("2026-03-01T12:01:00", 60.0),
        ("Sun, 01 Mar 2026 12:02:00 GMT", 120.0),
        ("later", None),
        (None, None),
    ],
)
def test_reset(value, expected):
    assert parse_reset(value, NOW) == expected


@given(value=st.text() | st.floats().map(str) | st.integers().map(str))
def test_parsers_never_crash_and_stay_in_range(value):
    for wait_s in (parse_retry_after(value, NOW), parse_reset(value, NOW)):
        assert wait_s is None or 0.0 <= wait_s <= MAX_WAIT_S


@given(
    wait_s=st.integers(0, 86_400),
    hours=st.integers(-12, 14),
)
def test_a_date_means_the_same_in_every_zone(wait_s, hours):
    zone = timezone(timedelta(hours=hours))
    value = format_datetime((NOW + timedelta(seconds=wait_s)).astimezone(zone))

    assert parse_retry_after(value, NOW) == wait_s


def test_longest_hint_wins():
    headers = {"retry-after": "3", "x-reset": "9"}

    assert header_wait_s(headers, ("x-reset", "x-other"), NOW) == 9
    assert header_wait_s({}, ("x-reset",), NOW) is None


@given(attempt=st.integers(1, 10_000), share=st.floats(0, 1))
def test_backoff_is_bounded(attempt, share):
    policy = RetryPolicy(max_wait_s=5.0, base_s=0.5)

    assert 0 <= policy.backoff_s(attempt, lambda: share) <= 5.0


def test_backoff_doubles_and_jitter_only_adds():
    policy = RetryPolicy(max_wait_s=100.0, base_s=1.0)

    assert [policy.backoff_s(n, lambda: 1.0) for n in (1, 2, 3, 4)] == [1, 2, 4, 8]
    assert jittered(10.0, lambda: 0.0) == 10.0
    assert jittered(10.0, lambda: 1.0) == 11.0
