"""What a usage question counts: whom, which events, which days.

A member is a customer, or a user of a customer: the pair of customer and user key.
Events that name no user count for customers only. Days are calendar days of the
organisation's time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db import connection

from analytics.segments.members import Members, read_members
from analytics.usage.qualifying import EVERYTHING, Qualifying, qualifying_of
from churnguard.errors import ConfigError
from churnguard.models import Organization

UNITS = ("customer", "user")
INTERVALS = ("day", "week", "month")
LONGEST_DAYS = 800
_MONDAY = date(1970, 1, 5)

BUCKET_SQL = {
    "day": "({day} - date '1970-01-05')",
    # Exact, and a fifth quicker than by numeric.
    "week": "floor(({day} - date '1970-01-05') / 7.0::float8)::int",
    "month": "(extract(year FROM {day}) * 12 + extract(month FROM {day}) - 1)::int",
}
"""The number of the calendar bucket of a date; consecutive buckets differ by one."""


@dataclass(frozen=True, slots=True)
class Scope:
    """first, last: local days, inclusive. events: names that count, () = all.
    qualifying: what counts as being active where no events are named.
    segment: value of Customer.segment, "" = all. members: those of a saved segment,
    None = all. now: when the question is asked."""

    organization: Organization
    unit: str
    first: date
    last: date
    now: datetime
    events: tuple[str, ...] = ()
    segment: str = ""
    members: Members | None = None
    qualifying: Qualifying = EVERYTHING

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.organization.timezone)

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    @property
    def days(self) -> list[date]:
        return [
            self.first + timedelta(days=n)
            for n in range((self.last - self.first).days + 1)
        ]

    def source(self, table: str, *, active: bool = False) -> str:
        """FROM and WHERE of rows `x` of a table with customer_source_id, narrowed to
        this scope but for its days; the member is (s.customer_id, `member_user`).
        active: only events that make somebody active, unless events are named."""
        where = ["x.organization_id = %(org)s"]
        join = "JOIN cg_customer_source s ON s.id = x.customer_source_id"
        if self.unit == "user":
            where.append("x.user_key <> ''")
        if self.events:
            where.append("x.name = ANY(%(events)s)")
        elif active and self.qualifying.sql:
            where.append(self.qualifying.sql)
        if self.segment:
            join += " JOIN cg_customer c ON c.id = s.customer_id"
            where.append("c.segment = %(segment)s")
        if self.members is not None:
            where.append(f"s.customer_id IN ({self.members.sql})")
        return f"FROM {table} x {join} WHERE {' AND '.join(where)}"

    @property
    def member_user(self) -> str:
        """The SQL of a member's second part."""
        return "x.user_key" if self.unit == "user" else "''::text"

    @property
    def values(self) -> dict[str, Any]:
        return {
            **(self.members.values if self.members else {}),
            "org": self.organization.pk,
            "events": list(self.events),
            "qualifying": list(self.qualifying.events),
            "segment": self.segment,
            "first": self.first,
            "last": self.last,
            "today": self.today,
            "now": self.now,
            "zone": self.organization.timezone,
        }

    @property
    def head(self) -> dict[str, Any]:
        """What every answer begins with."""
        return {
            "unit": self.unit,
            "timezone": self.organization.timezone,
            "from": self.first.isoformat(),
            "to": self.last.isoformat(),
            "as_of": self.now.isoformat(),
            "qualifying": self.qualifying.body,
        }


def read_scope(
    organization: Organization, query: Any, now: datetime, *, days: int = 30
) -> Scope:
    """From request parameters unit, from, to, event (repeatable), segment, segment_id.

    Without dates: the last `days` local days, today included. Raises ConfigError
    naming the parameters that are not valid.
    """
    today = now.astimezone(ZoneInfo(organization.timezone)).date()
    fields: dict[str, str] = {}
    unit = query.get("unit") or "customer"
    if unit not in UNITS:
        fields["unit"] = "one of customer, user"
    last = _day(query, "to", today, fields)
    first = _day(query, "from", last - timedelta(days=days - 1), fields)
    if not fields and first > last:
        fields["from"] = "not after “to”"
    if not fields and (last - first).days >= LONGEST_DAYS:
        fields["from"] = f"at most {LONGEST_DAYS} days before “to”"
    events = tuple(name for name in query.getlist("event") if name)
    segment = query.get("segment") or ""
    if "\x00" in "".join(events):
        fields["event"] = "text without zero bytes"
    if "\x00" in segment:
        fields["segment"] = "text without zero bytes"
    refuse(fields)
    members = read_members(organization, query.get("segment_id"), now)
    qualifying = qualifying_of(organization)
    return Scope(
        organization, unit, first, last, now, events, segment, members, qualifying
    )


def choose(
    query: Any, name: str, legal: tuple[str, ...], fields: dict[str, str]
) -> str:
    """A parameter that is one of `legal`, the first without one; else a note in
    `fields`."""
    value = query.get(name) or legal[0]
    if value not in legal:
        fields[name] = f"one of {', '.join(legal)}"
        return legal[0]
    return str(value)


def whole_number(
    query: Any, name: str, default: int, most: int, fields: dict[str, str]
) -> int:
    """A parameter that is a whole number from 1 to `most`; else a note in `fields`."""
    text = query.get(name) or str(default)
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:9]) <= most:
        fields[name] = f"a whole number from 1 to {most}"
        return default
    return int(text)


def refuse(fields: dict[str, str]) -> None:
    """Raise ConfigError when a parameter was noted as not valid."""
    if fields:
        raise ConfigError(
            "Some parameters are not valid.", code="invalid", fields=fields
        )


def bucket_of(day: date, interval: str) -> int:
    """What BUCKET_SQL computes."""
    if interval == "month":
        return day.year * 12 + day.month - 1
    days = (day - _MONDAY).days
    return days if interval == "day" else days // 7


def bucket_start(bucket: int, interval: str) -> date:
    """The first day of a bucket; weeks begin on Monday."""
    if interval == "month":
        return date(bucket // 12, bucket % 12 + 1, 1)
    return _MONDAY + timedelta(days=bucket * (7 if interval == "week" else 1))


def fetch(sql: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cur:
        cur.execute(sql, values)
        return list(cur.fetchall())


def first_usage_day(scope: Scope) -> date | None:
    """The local day of the organisation's first usage that makes somebody active; None
    before any."""
    narrow = f" AND {scope.qualifying.sql}" if scope.qualifying.sql else ""
    rows = fetch(
        "SELECT min(x.day) FROM cg_usage_day x "
        f"WHERE x.organization_id = %(org)s{narrow}",
        scope.values,
    )
    first: date | None = rows[0][0]
    return first


def _day(query: Any, name: str, default: date, fields: dict[str, str]) -> date:
    text = query.get(name)
    if not text:
        return default
    try:
        day = date.fromisoformat(text)
    except ValueError:
        day = date.min
    if not 1971 <= day.year <= 2199:
        fields[name] = "a day as YYYY-MM-DD"
        return default
    return day
