"""Which days a revenue report covers, and how they are cut."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

from churnguard.errors import ConfigError

INTERVALS = ("month", "day")
GROUPS = ("plan", "segment")
DAYS_MOST = 400
MONTHS_MOST = 120


@dataclass(frozen=True, slots=True)
class Period:
    """Days [start, end) of the organisation's calendar."""

    start: date
    end: date

    @property
    def months(self) -> float:
        """How long: whole calendar months count as such, other days by the mean month
        of 365.25 / 12 days."""
        if self.start.day == self.end.day == 1:
            years = self.end.year - self.start.year
            return float(12 * years + self.end.month - self.start.month)
        return (self.end - self.start).days / 30.4375


@dataclass(frozen=True, slots=True)
class Question:
    """Days [start, end), cut by interval (months are clipped to the range); group:
    plan, segment or "". segment_id: only the members of this saved segment now, by id
    or slug, "" = all."""

    start: date
    end: date
    interval: str = "month"
    group: str = ""
    segment_id: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str], today: date) -> Question:
        """From `from`, `to` (its last day), `interval`, `group`, `segment_id`; the
        default is the last 12 months with this one. Raises ConfigError that names
        each bad field."""
        fields: dict[str, str] = {}
        interval = query.get("interval") or "month"
        if interval not in INTERVALS:
            fields["interval"] = f"one of {', '.join(INTERVALS)}"
        group = query.get("group") or ""
        if group and group not in GROUPS:
            fields["group"] = f"one of {', '.join(GROUPS)}"
        days: dict[str, date] = {}
        for name in ("from", "to"):
            text = query.get(name) or ""
            try:
                if text:
                    days[name] = date.fromisoformat(text)
            except ValueError:
                fields[name] = "a date like 2026-11-01"
                continue
            if text and not 1990 <= days[name].year <= 2100:
                fields[name] = "a year from 1990 to 2100"
                del days[name]
        last = days.get("to", today)
        usual = months_before(last.replace(day=1), 11)
        if interval == "day":
            usual = last - timedelta(days=29)
        first = days.get("from", usual)
        if not fields and first > last:
            fields["from"] = "not after to"
        if not fields and (last - first).days >= (
            DAYS_MOST if interval == "day" else 31 * MONTHS_MOST
        ):
            fields["from"] = (
                f"at most {DAYS_MOST} days or {MONTHS_MOST} months before to"
            )
        if fields:
            raise ConfigError(
                "Some parameters are not valid.", code="invalid", fields=fields
            )
        saved = (query.get("segment_id") or "")[:200]
        return cls(first, last + timedelta(days=1), interval, group, saved)

    def periods(self) -> list[Period]:
        """Oldest first; together they are the whole range."""
        found = []
        start = self.start
        while start < self.end:
            step = start + timedelta(days=1)
            if self.interval == "month":
                step = (start.replace(day=1) + timedelta(days=32)).replace(day=1)
            found.append(Period(start, min(step, self.end)))
            start = found[-1].end
        return found


def months_before(month: date, count: int) -> date:
    """The first day of the month `count` months before the one of `month`."""
    index = month.year * 12 + month.month - 1 - count
    return date(index // 12, index % 12 + 1, 1)
