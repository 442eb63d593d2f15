"""Funnels: how many members do one event after the other, in order, within a window.

Events are ordered by time, then event id, then our key. An attempt begins at a first
step and takes the earliest next step after the one before; an event is one step only.
The member's attempt that counts is the first that completes; where none does, the
first of those that went furthest. The window is elapsed time since the first step. An
excluded event ends an attempt: no step after it is taken.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from django.db import connection, transaction

from analytics.usage.scope import Scope, refuse, whole_number

MOST_STEPS = 10
MOST_WINDOW_DAYS = 366

_EVENTS = """
SELECT s.customer_id, {user}, x.name, x.ts {source}
AND x.ts >= %(starts)s AND x.ts < %(until)s
ORDER BY 1, 2, x.ts, x.event_id COLLATE "C", x.event_key
"""


@dataclass(frozen=True, slots=True)
class Question:
    """steps: event names in order, a name may repeat; exclude: none of them. Attempts
    begin on the scope's days; their later steps may fall after them."""

    scope: Scope
    steps: tuple[str, ...]
    window_days: int = 7
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Attempt:
    """times: of the steps taken, at least one. is_barred: an excluded event came."""

    times: tuple[datetime, ...]
    is_barred: bool = False


def read_question(scope: Scope, query: Any) -> Question:
    """From request parameters steps and exclude (names with commas between, or
    repeated) and window_days. Raises ConfigError naming the parameters that are not
    valid."""
    fields: dict[str, str] = {}
    steps, exclude = _names(query, "steps"), _names(query, "exclude")
    if not 2 <= len(steps) <= MOST_STEPS or "\x00" in "".join(steps):
        fields["steps"] = f"2 to {MOST_STEPS} event names with commas between"
    if len(exclude) > MOST_STEPS or "\x00" in "".join(exclude):
        fields["exclude"] = f"at most {MOST_STEPS} event names with commas between"
    elif set(exclude) & set(steps):
        fields["exclude"] = "events that are no step"
    window_days = whole_number(query, "window_days", 7, MOST_WINDOW_DAYS, fields)
    refuse(fields)
    return Question(scope, steps, window_days, exclude)


def funnel(question: Question) -> dict[str, Any]:
    """{.., "steps": [{"step", "event", "members", "share", "share_of_previous",
    "median_s"}], "members", "completed", "open"}.

    share: of the members that began. median_s: seconds from the step before, None for
    the first and where nobody came. open: members not completed whose window runs on.
    """
    attempts = [
        attempt
        for events in _by_member(question)
        if (attempt := best_attempt(question, events)) is not None
    ]
    count = len(question.steps)
    reached = [sum(len(a.times) > n for a in attempts) for n in range(count)]
    return {
        **question.scope.head,
        "window_days": question.window_days,
        "exclude": list(question.exclude),
        "members": len(attempts),
        "completed": reached[-1],
        "open": sum(_is_open(question, attempt) for attempt in attempts),
        "steps": [
            {
                "step": n + 1,
                "event": name,
                "members": reached[n],
                "share": _share(reached[n], reached[0]),
                "share_of_previous": _share(reached[n], reached[max(n - 1, 0)]),
                "median_s": _median_s(attempts, n),
            }
            for n, name in enumerate(question.steps)
        ],
    }


def best_attempt(
    question: Question, events: Sequence[tuple[str, datetime]]
) -> Attempt | None:
    """The attempt that counts for a member with these (name, time), in order; None
    when no attempt begins on the scope's days."""
    positions: dict[str, list[int]] = {}
    for i, (name, _) in enumerate(events):
        positions.setdefault(name, []).append(i)
    starts, ends = _edges(question)
    window = timedelta(days=question.window_days)
    barred = sorted(i for name in question.exclude for i in positions.get(name, ()))
    best: Attempt | None = None
    for start in positions.get(question.steps[0], []):
        began = events[start][1]
        if not starts <= began < ends:
            continue
        taken = [start]
        at_bar = bisect_right(barred, start)
        bar = barred[at_bar] if at_bar < len(barred) else len(events)
        for name in question.steps[1:]:
            places = positions.get(name, [])
            after = bisect_right(places, taken[-1])
            if after == len(places) or places[after] > bar:
                break
            if events[places[after]][1] - began > window:
                break
            taken.append(places[after])
        if best is None or len(taken) > len(best.times):
            best = Attempt(tuple(events[i][1] for i in taken), bar < len(events))
        if len(taken) == len(question.steps):
            break
    return best


def _by_member(question: Question) -> Iterator[list[tuple[str, datetime]]]:
    """Each member's events of the steps, in order; read in chunks, so that memory
    holds one member at a time."""
    names = dict.fromkeys((*question.steps, *question.exclude))
    scope = replace(question.scope, events=tuple(names))
    starts, ends = _edges(question)
    until = ends + timedelta(days=question.window_days, microseconds=1)
    values = {
        **scope.values,
        "starts": starts,
        "until": min(until, scope.now + timedelta(microseconds=1)),
    }
    sql = _EVENTS.format(user=scope.member_user, source=scope.source("cg_usage_event"))
    with transaction.atomic(), connection.chunked_cursor() as cur:
        cur.execute(sql, values)
        for _, rows in groupby(cur, key=lambda row: (row[0], row[1])):
            yield [(name, at) for _, _, name, at in rows]


def _names(query: Any, parameter: str) -> tuple[str, ...]:
    given = query.getlist(parameter)
    parts = given[0].split(",") if len(given) == 1 else given
    return tuple(part.strip() for part in parts if part.strip())


def _edges(question: Question) -> tuple[datetime, datetime]:
    """When the first local day begins and the last one ends, in UTC."""
    scope = question.scope
    first, after = scope.first, scope.last + timedelta(days=1)
    return (
        datetime(first.year, first.month, first.day, tzinfo=scope.zone).astimezone(UTC),
        datetime(after.year, after.month, after.day, tzinfo=scope.zone).astimezone(UTC),
    )


def _is_open(question: Question, attempt: Attempt) -> bool:
    window = timedelta(days=question.window_days)
    unfinished = len(attempt.times) < len(question.steps) and not attempt.is_barred
    return unfinished and attempt.times[0] + window > question.scope.now


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None


def _median_s(attempts: list[Attempt], step: int) -> float | None:
    taken = [
        (a.times[step] - a.times[step - 1]).total_seconds()
        for a in attempts
        if step and len(a.times) > step
    ]
    return round(statistics.median(taken), 3) if taken else None
