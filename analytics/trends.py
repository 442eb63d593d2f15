"""Usage over time, from the coarsest rollup that answers the question exactly.

1h reads stored events by minute, 24h the hourly rollup, longer frames the daily one
(months for 12m). A customer or segment filter reads the per-customer days, or the
events for the two short frames. Buckets are in the organisation's time zone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.cache import cache
from django.db import connection

from analytics.segments.members import Members
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization


@dataclass(frozen=True, slots=True)
class Frame:
    """unit: the bucket (minute, hour, day, month); count: buckets shown."""

    unit: str
    count: int
    cache_s: int


FRAMES = {
    "1h": Frame("minute", 60, 2),
    "24h": Frame("hour", 24, 5),
    "7d": Frame("day", 7, 10),
    "30d": Frame("day", 30, 10),
    "90d": Frame("day", 90, 30),
    "12m": Frame("month", 12, 60),
}
_SERIES_MOST = 12


@dataclass(frozen=True, slots=True)
class Question:
    """event, segment: exact names or ""; customer: one customer or None; members:
    those of a saved segment, None = all."""

    timeframe: str
    event: str = ""
    segment: str = ""
    customer: Customer | None = None
    members: Members | None = None


def usage_trend(
    organization: Organization, question: Question, now: datetime
) -> dict[str, Any]:
    """{"timeframe", "bucket", "timezone", "from", "to", "as_of", "total",
    "previous_total", "change_pct", "points": [{"at", "events", "value"}], "series":
    [{"event", "total", "values"}]}.

    `at` is the start of the bucket (ISO 8601 with offset); `to` is exclusive;
    previous_total covers the same length before `from`; series are the 12 most
    frequent events, values aligned with points. Answers may be a few seconds old:
    as_of says when they were computed. Raises ConfigError for an unknown timeframe.
    """
    frame = FRAMES.get(question.timeframe)
    if frame is None:
        raise ConfigError(
            f"“{question.timeframe}” is not a timeframe. Use one of "
            f"{', '.join(FRAMES)}.",
            code="invalid_timeframe",
            fields={"timeframe": f"one of {', '.join(FRAMES)}"},
        )
    customer_pk = question.customer.pk if question.customer else 0
    key = (
        f"trend:{organization.pk}:{organization.timezone}:{question.timeframe}:"
        f"{customer_pk}:{question.event.encode().hex()[:120]}:"
        f"{question.segment.encode().hex()[:120]}:"
        f"{question.members.key if question.members else ''}"
    )
    cached = cache.get(key)
    if cached is not None:
        return dict(cached)
    answer = _compute(organization, question, frame, now)
    cache.set(key, answer, frame.cache_s)
    return answer


def buckets(frame: Frame, now: datetime, zone: ZoneInfo) -> list[datetime]:
    """count + 1 bucket starts in local time, oldest first; the last is the exclusive
    end, so the running bucket is included."""
    local = now.astimezone(zone)
    if frame.unit == "month":
        index = local.year * 12 + local.month - 1
        return [
            datetime(i // 12, i % 12 + 1, 1, tzinfo=zone)
            for i in range(index - frame.count + 1, index + 2)
        ]
    if frame.unit == "day":
        today = local.date()
        days = [today - timedelta(days=n) for n in range(frame.count - 1, -2, -1)]
        return [datetime(d.year, d.month, d.day, tzinfo=zone) for d in days]
    step = timedelta(hours=1) if frame.unit == "hour" else timedelta(minutes=1)
    floor = now.replace(second=0, microsecond=0)
    if frame.unit == "hour":
        floor = floor.replace(minute=0)
    return [(floor - step * n).astimezone(zone) for n in range(frame.count - 1, -2, -1)]


def _compute(
    organization: Organization, question: Question, frame: Frame, now: datetime
) -> dict[str, Any]:
    zone = ZoneInfo(organization.timezone)
    edges = buckets(frame, now, zone)
    length = edges[-1] - edges[0]
    rows = _read(organization, question, frame, edges[0] - length, edges[-1], zone)
    position = {_key(frame, edge): i for i, edge in enumerate(edges[:-1])}
    totals = [0] * frame.count
    values = [0.0] * frame.count
    by_event: dict[str, list[int]] = {}
    previous = 0
    for at, name, n, value in rows:
        i = position.get(_key(frame, at) if isinstance(at, datetime) else at)
        if i is None:
            previous += n
            continue
        totals[i] += n
        values[i] += value
        by_event.setdefault(name, [0] * frame.count)[i] += n
    total = sum(totals)
    top = sorted(by_event.items(), key=lambda item: (-sum(item[1]), item[0]))
    return {
        "timeframe": question.timeframe,
        "bucket": frame.unit,
        "timezone": organization.timezone,
        "from": edges[0].isoformat(),
        "to": edges[-1].isoformat(),
        "as_of": now.isoformat(),
        "total": total,
        "previous_total": previous,
        "change_pct": round((total / previous - 1) * 100, 1) if previous else None,
        "points": [
            {"at": edges[i].isoformat(), "events": totals[i], "value": values[i]}
            for i in range(frame.count)
        ],
        "series": [
            {"event": name, "total": sum(counts), "values": counts}
            for name, counts in top[:_SERIES_MOST]
        ],
    }


def _key(frame: Frame, at: datetime) -> Any:
    if frame.unit == "month":
        return (at.year, at.month)
    if frame.unit == "day":
        return at.date()
    return at.timestamp()


def _read(
    organization: Organization,
    question: Question,
    frame: Frame,
    start: datetime,
    end: datetime,
    zone: ZoneInfo,
) -> list[tuple[Any, str, int, float]]:
    """(bucket key or start, event name, n, value sum) rows in [start, end)."""
    where = []
    values: dict[str, Any] = {
        "org": organization.pk,
        "start": start,
        "end": end,
        "first_day": start.astimezone(zone).date(),
        "end_day": end.astimezone(zone).date(),
        "zone": organization.timezone,
        "unit": frame.unit,
    }
    if question.event:
        where.append("x.name = %(event)s")
        values["event"] = question.event
    narrow = ""
    if question.customer is not None or question.segment or question.members:
        narrow = (
            " JOIN cg_customer_source s ON s.id = x.customer_source_id "
            "JOIN cg_customer c ON c.id = s.customer_id AND c.organization_id = %(org)s"
        )
        if question.customer is not None:
            where.append("c.id = %(customer)s")
            values["customer"] = question.customer.pk
        if question.segment:
            where.append("c.segment = %(segment)s")
            values["segment"] = question.segment
        if question.members is not None:
            where.append(f"s.customer_id IN ({question.members.sql})")
            values |= question.members.values
    if frame.unit in ("minute", "hour") and (narrow or frame.unit == "minute"):
        sql = (
            "SELECT date_trunc(%(unit)s, x.ts), x.name, count(*), "
            "coalesce(sum(x.value), 0) FROM cg_usage_event x{join} "
            "WHERE x.organization_id = %(org)s AND x.ts >= %(start)s "
            "AND x.ts < %(end)s{more} GROUP BY 1, 2"
        )
    elif frame.unit == "hour":
        sql = (
            "SELECT x.hour, x.name, x.n, x.value_sum FROM cg_org_hour x{join} "
            "WHERE x.organization_id = %(org)s AND x.hour >= %(start)s "
            "AND x.hour < %(end)s{more}"
        )
    else:
        table = "cg_usage_day" if narrow else "cg_org_day"
        sql = (
            "SELECT x.day, x.name, sum(x.n)::bigint, sum(x.value_sum) "
            f"FROM {table} x{{join}} WHERE x.organization_id = %(org)s "
            "AND x.day >= %(first_day)s AND x.day < %(end_day)s{more} GROUP BY 1, 2"
        )
    more = "".join(f" AND {part}" for part in where)
    with connection.cursor() as cur:
        cur.execute(sql.format(join=narrow, more=more), values)
        rows = cur.fetchall()
    if frame.unit == "month":
        return [((day.year, day.month), name, n, v) for day, name, n, v in rows]
    return rows
