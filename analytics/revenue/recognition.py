"""Revenue recognised by day: straight line over [start, end), exact to the cent.

Day k of n has recognised round(total * k / n) so far (half away from zero), and a
period's part is the difference of two such sums; so the parts always add up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta


@dataclass(frozen=True, slots=True)
class Line:
    """An invoice line net of discounts and without tax. end is exclusive; a line with
    end <= start is earned on its start day."""

    amount: int
    start: date
    end: date

    @property
    def days(self) -> int:
        return max(1, (self.end - self.start).days)


def recognised_until(line: Line, day: date) -> int:
    """Minor units earned before `day`."""
    passed = min(max((day - line.start).days, 0), line.days)
    return _rounded(line.amount * passed, line.days)


def recognised_between(line: Line, start: date, end: date) -> int:
    """Minor units earned in [start, end)."""
    return recognised_until(line, end) - recognised_until(line, start)


def deferred_at(line: Line, day: date) -> int:
    """Minor units not earned before `day`."""
    return line.amount - recognised_until(line, day)


def by_month(line: Line) -> Iterator[tuple[date, int]]:
    """(first day of month, minor units) for each month the line touches."""
    month = line.start.replace(day=1)
    last = max(line.end, line.start + timedelta(days=1))
    while month < last:
        following = _next_month(month)
        part = recognised_between(line, month, following)
        yield month, part
        month = following


def stop(line: Line, day: date) -> tuple[int, int]:
    """(recognised, deferred left) of a line that is stopped on `day`."""
    recognised = recognised_until(line, day)
    return recognised, line.amount - recognised


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


def _rounded(numerator: int, denominator: int) -> int:
    quotient, rest = divmod(abs(numerator) * 2 + denominator, 2 * denominator)
    del rest
    return quotient if numerator >= 0 else -quotient
