"""How numbers, money and times read."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest

from churnguard import formats

NOW = datetime(2026, 11, 20, 15, 40, tzinfo=UTC)


def plain(text: str) -> str:
    """Typographic spaces as ordinary ones, the true minus as a hyphen."""
    return text.replace("\u202f", " ").replace("\u00a0", " ").replace("\u2212", "-")


@pytest.mark.parametrize(
    ("value", "text"),
    [(19353, "19 353"), (0, "0"), (-1200, "-1 200"), (None, "–"), (1.26, "1")],
)
def test_numbers_are_grouped(value: float | None, text: str) -> None:
    assert plain(formats.number(value)) == text


def test_not_a_number_is_a_dash() -> None:
    assert formats.number(float("nan")) == "–"
    assert formats.number(float("inf")) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (999, "999"),
        (9999, "9 999"),
        (44751, "44.8k"),
        (440_000, "440k"),
        (19_353_000, "19.4m"),
        (-12_000, "-12.0k"),
        (3.14, "3.1"),
        (None, "–"),
    ],
)
def test_large_numbers_are_shortened(value: float | None, text: str) -> None:
    assert plain(formats.compact(value)) == text


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (129900, "EUR", "€1 299.00"),
        (-5, "USD", "-$0.05"),
        (1500, "JPY", "¥1 500"),
        (1500, "KWD", "1.500 KWD"),
        (1500, "chf", "15.00 CHF"),
        (None, "EUR", "–"),
    ],
)
def test_money_has_the_places_of_its_currency(
    minor: int | None, currency: str, text: str
) -> None:
    assert plain(formats.money(minor, currency)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0123, "12 ms"),
        (1.5, "1.5 s"),
        (59, "59 s"),
        (250, "4 min 10 s"),
        (3600, "1 h"),
        (90_061, "1 d 1 h"),
        (-60, "-1 min"),
        (None, "–"),
    ],
)
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert plain(formats.duration(seconds)) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2, "just now"),
        (42, "42 s ago"),
        (119, "1 min ago"),
        (7199, "1 h ago"),
        (86400 * 400, "1 y ago"),
        (-240, "in 4 min"),
    ],
)
def test_ages_are_rounded_down(seconds: int, text: str) -> None:
    assert plain(formats.ago(NOW - timedelta(seconds=seconds), NOW)) == text


def test_points_are_exact() -> None:
    assert plain(formats.points(7.5)) == "-7.5"
    assert plain(formats.points(21)) == "-21"
    assert formats.points(0) == "0"
    assert formats.points(None) == "0"
    assert formats.figure(70.25) == "70.25"
    assert formats.figure(100) == "100"
    assert formats.figure(None) == "–"


def test_percent_takes_a_ratio() -> None:
    assert plain(formats.percent(0.019)) == "1.9 %"
    assert plain(formats.percent(1, 0)) == "100 %"
    assert formats.percent(None) == "–"


def test_times_are_utc() -> None:
    east = datetime.fromisoformat("2026-11-20T17:40:05+02:00")
    assert formats.utc(east) == "2026-11-20 15:40:05 UTC"
    assert formats.utc(date(2026, 11, 20)) == "2026-11-20"
