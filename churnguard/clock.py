"""Due times of schedules written as "02:00", "sun 03:00" or "1 04:00" (UTC)."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FORM = re.compile(
    r"^(?:(mon|tue|wed|thu|fri|sat|sun|[1-9]|1\d|2[0-8]) )?(\d\d):(\d\d)$"
)


def next_time(at_utc: str, after: datetime) -> datetime:
    """The first due time strictly after `after` (aware). Day of month is 1 to 28.

    Raises ValueError for any other form.
    """
    match = _FORM.match(at_utc)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise ValueError(
            f"{at_utc!r} is not a time such as '02:00', 'sun 03:00' or '1 04:00'."
        )
    day, hour, minute = match[1], int(match[2]), int(match[3])
    start = after.astimezone(UTC).replace(
        hour=hour, minute=minute, second=0, microsecond=0
    )
    for ahead in range(32):
        moment = start + timedelta(days=ahead)
        fits = (
            day is None
            or (day in _DAYS and moment.weekday() == _DAYS.index(day))
            or (day.isdigit() and moment.day == int(day))
        )
        if fits and moment > after:
            return moment
    raise AssertionError("every form is due within 32 days")
