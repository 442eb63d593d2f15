"""Due times, by examples from a calendar."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from churnguard.clock import next_time

# 2026-11-20 is a Friday.
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("form", "after", "due"),
    [
        ("02:00", NOON, datetime(2026, 11, 21, 2, tzinfo=UTC)),
        ("12:00", NOON, datetime(2026, 11, 21, 12, tzinfo=UTC)),
        ("12:01", NOON, datetime(2026, 11, 20, 12, 1, tzinfo=UTC)),
        ("sun 03:00", NOON, datetime(2026, 11, 22, 3, tzinfo=UTC)),
        (
            "sun 03:00",
            datetime(2026, 11, 22, 3, tzinfo=UTC),
            datetime(2026, 11, 29, 3, tzinfo=UTC),
        ),
        ("1 04:00", NOON, datetime(2026, 12, 1, 4, tzinfo=UTC)),
        (
            "28 04:00",
            datetime(2026, 12, 28, 5, tzinfo=UTC),
            datetime(2027, 1, 28, 4, tzinfo=UTC),
        ),
    ],
)
def test_next_time(form: str, after: datetime, due: datetime) -> None:
    assert next_time(form, after) == due


@pytest.mark.parametrize(
    "form", ["", "2:00", "24:00", "02:60", "31 04:00", "foo 01:00"]
)
def test_other_forms_are_refused(form: str) -> None:
    with pytest.raises(ValueError, match="not a time"):
        next_time(form, NOON)
