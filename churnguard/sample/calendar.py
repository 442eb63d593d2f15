"""The span of time a sample company covers, counted in days and weeks."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

DAYS = 548
"""Eighteen months."""


@dataclass(frozen=True, slots=True)
class Span:
    """now: aware UTC, the last moment anything may happen. start: midnight UTC of
    the day `DAYS` before; day 0 and week 0 begin there."""

    now: datetime
    start: datetime

    @classmethod
    def ending(cls, now: datetime) -> Span:
        """The span that ends at `now`. Raises ValueError for a naive time."""
        if now.tzinfo is None:
            raise ValueError(f"now needs a time zone, got {now}.")
        end = now.astimezone(UTC).replace(microsecond=0)
        first = end - timedelta(days=DAYS)
        return cls(end, first.replace(hour=0, minute=0, second=0))

    @property
    def days(self) -> int:
        """Days begun, today included."""
        return DAYS + 1

    @property
    def weeks(self) -> int:
        """Weeks begun, this one included."""
        return DAYS // 7 + 1

    def at(self, day: float) -> datetime:
        """The moment `day` days after the start, to the second; may be negative."""
        return self.start + timedelta(seconds=round(day * 86_400))

    def day_of(self, moment: datetime) -> float:
        return (moment - self.start).total_seconds() / 86_400

    def week_of(self, moment: datetime) -> int:
        """The week of a moment, clipped to the span."""
        return min(max(int(self.day_of(moment) // 7), 0), self.weeks - 1)


def add_months(moment: datetime, months: int) -> datetime:
    """The same day and time `months` later; the day must be 28 or less."""
    total = moment.year * 12 + moment.month - 1 + months
    return moment.replace(year=total // 12, month=total % 12 + 1)
