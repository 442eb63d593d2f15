"""The same answers by brute force over a list of events, without SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tests.analytics.usage.events import Event, member

Times = dict[Any, list[datetime]]


def times_of(events: Sequence[Event], unit: str, names: Sequence[str] = ()) -> Times:
    """Each member's event times."""
    times: Times = defaultdict(list)
    for event in events:
        who = member(event, unit)
        if who is not None and (not names or event.name in names):
            times[who].append(event.at)
    return times


def active_counts(
    events: Sequence[Event],
    unit: str,
    zone: ZoneInfo,
    days: Sequence[date],
    names: Sequence[str] = (),
) -> list[tuple[int, int, int, float | None]]:
    """(dau, wau, mau, stickiness) of each day."""
    by_day: dict[date, set[Any]] = defaultdict(set)
    for who, times in times_of(events, unit, names).items():
        for at in times:
            by_day[at.astimezone(zone).date()].add(who)

    def within(day: date, window: int) -> set[Any]:
        return set().union(*(by_day[day - timedelta(days=n)] for n in range(window)))

    rows = []
    for day in days:
        mau = len(within(day, 28))
        total = sum(len(by_day[day - timedelta(days=n)]) for n in range(28))
        rows.append(
            (
                len(by_day[day]),
                len(within(day, 7)),
                mau,
                round(total / 28 / mau, 6) if mau else None,
            )
        )
    return rows


def start_of(day: date, interval: str) -> date:
    """The first day of the calendar bucket."""
    if interval == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if interval == "month" else day


def next_start(start: date, interval: str) -> date:
    """The first day of the bucket after the one that begins at `start`."""
    if interval == "month":
        return (start + timedelta(days=31)).replace(day=1)
    return start + timedelta(days=1 if interval == "day" else 7)


def retention_cells(
    events: Sequence[Event],
    unit: str,
    zone: ZoneInfo,
    *,
    mode: str,
    clock: str,
    interval: str,
    counting: str,
    intervals: int,
    starts: Sequence[date],
    begin: Sequence[str] = (),
    back: Sequence[str] = (),
) -> list[tuple[int, list[int]]]:
    """(size, members per interval) of the cohort of each start."""
    begun = times_of(events, unit, begin)
    came = times_of(events, unit, back)
    cohorts: dict[date, set[Any]] = defaultdict(set)
    for who, times in begun.items():
        for at in [min(times)] if counting == "birth" else times:
            cohorts[start_of(at.astimezone(zone).date(), interval)].add(who)
    length = timedelta(days={"day": 1, "week": 7, "month": 30}[interval])
    buckets = {
        who: {start_of(at.astimezone(zone).date(), interval) for at in times}
        for who, times in came.items()
    }
    latest = max((max(met) for met in buckets.values()), default=date.min)
    rows = []
    for start in starts:
        position: dict[date, int] = {}
        bucket = start
        while bucket <= latest:
            position[bucket] = len(position)
            bucket = next_start(bucket, interval)
        counts = [0] * intervals
        for who in cohorts[start]:
            if clock == "calendar":
                met = buckets.get(who, set())
                hits = {position[bucket] for bucket in met if bucket in position}
            else:
                born = min(begun[who])
                hits = {(at - born) // length for at in came.get(who, [])}
                hits = {n for n in hits if n >= 0}
            for n in range(intervals):
                if mode == "on":
                    counts[n] += n in hits
                else:
                    counts[n] += any(hit >= n for hit in hits)
        rows.append((len(cohorts[start]), counts))
    return rows
