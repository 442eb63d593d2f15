"""Who came back: cohorts by their first time, or by each time, and what followed.

Calendar: interval n is the n-th day, week or month after the cohort's own. Rolling:
interval n is the n-th stretch of 24 hours, 7 or 30 days since the member's first
event, counted from that event. A cell is finished when its interval is over for the
whole cohort; the average row weighs finished cells by cohort size.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from analytics.usage.scope import (
    BUCKET_SQL,
    Scope,
    bucket_of,
    bucket_start,
    choose,
    fetch,
    refuse,
    whole_number,
)

MODES = ("on", "on_or_after")
CLOCKS = ("calendar", "rolling")
COUNTINGS = ("birth", "recurring")
INTERVAL_DAYS = {"day": 1, "week": 7, "month": 30}
"""Length of a rolling interval, in days of 24 hours."""
MOST_INTERVALS = 60

_BIRTH = """birth AS (
    SELECT c, u, at, {bucket} AS cohort FROM (
        SELECT c, u, at, (at AT TIME ZONE %(zone)s)::date AS day FROM (
            SELECT s.customer_id AS c, {user} AS u, min(x.first_at) AS at
            {seen} GROUP BY 1, 2) firsts) dated
    WHERE day BETWEEN %(first)s AND %(last)s)"""

_RECURRING = """birth AS (
    SELECT DISTINCT s.customer_id AS c, {user} AS u, {bucket} AS cohort
    {days} AND x.day BETWEEN %(first)s AND %(last)s)"""

_CALENDAR = """
WITH {birth}, back AS (
    SELECT DISTINCT s.customer_id AS c, {user} AS u, {bucket} AS bucket
    {returns} AND x.day BETWEEN %(first)s AND %(today)s),
hits AS (SELECT b.cohort, b.c, b.u, r.bucket - b.cohort AS n
         FROM birth b JOIN back r ON r.c = b.c AND r.u = b.u AND r.bucket >= b.cohort)
"""

# A local day of 24 hours meets at most two rolling intervals, so its first and last
# event say which. Only a longer day (clock change) can hide one between them, and for
# those rows the stored events are read.
_ROLLING = """
WITH {birth}, spans AS (
    SELECT b.cohort, b.c, b.u, b.at, x.customer_source_id, x.name, x.user_key,
           x.first_at, x.last_at,
           floor(extract(epoch FROM x.first_at - b.at) / %(seconds)s)::int AS lo,
           floor(extract(epoch FROM x.last_at - b.at) / %(seconds)s)::int AS hi
    FROM birth b JOIN (SELECT s.customer_id AS c, {user} AS u, x.* {returns}
                       AND x.day BETWEEN %(first)s AND %(today)s) x
    ON x.c = b.c AND x.u = b.u),
hits AS (
    SELECT cohort, c, u, lo AS n FROM spans WHERE lo >= 0
    UNION SELECT cohort, c, u, hi FROM spans WHERE hi >= 0
    UNION SELECT p.cohort, p.c, p.u,
        floor(extract(epoch FROM e.ts - p.at) / %(seconds)s)::int
    FROM spans p JOIN cg_usage_event e ON e.organization_id = %(org)s
        AND e.customer_source_id = p.customer_source_id AND e.name = p.name
        AND e.user_key = p.user_key AND e.ts > p.first_at AND e.ts < p.last_at
    WHERE p.hi - p.lo >= 2 AND e.ts >= p.at)
"""

_COUNT = {
    "on": """
SELECT cohort, n, count(*) FROM hits WHERE n < %(intervals)s GROUP BY 1, 2""",
    "on_or_after": """
SELECT cohort, furthest, count(*) FROM (
    SELECT cohort, c, u, max(n) AS furthest FROM hits GROUP BY 1, 2, 3) members
GROUP BY 1, 2""",
}
_SIZES = """
UNION ALL SELECT cohort, NULL, count(*) FROM birth GROUP BY 1"""


@dataclass(frozen=True, slots=True)
class Question:
    """scope.first..last: the cohorts' days, whole buckets; scope.events: what begins
    a cohort; returns: what counts as coming back, () = any event."""

    scope: Scope
    mode: str = "on"
    clock: str = "calendar"
    interval: str = "week"
    counting: str = "birth"
    intervals: int = 12
    returns: tuple[str, ...] = ()


def read_question(scope: Scope, query: Any) -> Question:
    """From request parameters mode, clock, interval, counting, intervals,
    return_event. Raises ConfigError naming the parameters that are not valid."""
    fields: dict[str, str] = {}
    returns = tuple(name for name in query.getlist("return_event") if name)
    if "\x00" in "".join(returns):
        fields["return_event"] = "text without zero bytes"
    question = Question(
        scope=scope,
        mode=choose(query, "mode", MODES, fields),
        clock=choose(query, "clock", CLOCKS, fields),
        interval=choose(query, "interval", ("week", "day", "month"), fields),
        counting=choose(query, "counting", COUNTINGS, fields),
        intervals=whole_number(query, "intervals", 12, MOST_INTERVALS, fields),
        returns=returns,
    )
    if question.clock == "rolling" and question.counting == "recurring":
        fields["counting"] = "birth, as rolling intervals count from the first event"
    refuse(fields)
    return question


def retention(question: Question) -> dict[str, Any]:
    """{.., "cohorts": [{"start", "size", "cells": [{"interval", "members", "share",
    "is_finished"}]}], "average": [{"interval", "share", "cohorts", "members"}]}.

    A row holds the intervals that have begun. `average.share` is None where no cohort
    has finished; `members` there is the summed size of the finished cohorts.
    """
    question = _whole_buckets(question)
    scope = question.scope
    sizes, counts = _count(question)
    first = bucket_of(scope.first, question.interval)
    last = min(
        bucket_of(scope.last, question.interval),
        bucket_of(scope.today, question.interval),
    )
    cohorts = []
    for cohort in range(first, last + 1):
        cells = _row(question, cohort, sizes.get(cohort, 0), counts.get(cohort, {}))
        cohorts.append(
            {
                "start": bucket_start(cohort, question.interval).isoformat(),
                "size": sizes.get(cohort, 0),
                "cells": cells,
            }
        )
    return {
        **scope.head,
        "mode": question.mode,
        "clock": question.clock,
        "interval": question.interval,
        "counting": question.counting,
        "cohorts": cohorts,
        "average": _average(question, cohorts),
    }


def _whole_buckets(question: Question) -> Question:
    """Cohorts are whole buckets, so that a size never depends on where one asks."""
    scope, interval = question.scope, question.interval
    first = bucket_start(bucket_of(scope.first, interval), interval)
    after = bucket_start(bucket_of(scope.last, interval) + 1, interval)
    last = min(after - timedelta(days=1), max(scope.today, first))
    whole = replace(scope, first=first, last=last)
    return replace(question, scope=whole)


def _count(question: Question) -> tuple[dict[int, int], dict[int, dict[int, int]]]:
    """(cohort -> size, cohort -> interval -> members, or furthest interval -> members
    for "on or after")."""
    scope = question.scope
    bucket = BUCKET_SQL[question.interval]
    user = scope.member_user
    returns = replace(scope, events=question.returns).source(
        "cg_usage_day", active=True
    )
    returns = returns.replace("%(events)s", "%(returns)s")
    if question.counting == "birth":
        birth = _BIRTH.format(
            bucket=bucket.format(day="day"),
            user=user,
            seen=scope.source("an_usage_seen", active=True),
        )
    else:
        birth = _RECURRING.format(
            bucket=bucket.format(day="x.day"),
            user=user,
            days=scope.source("cg_usage_day", active=True) + " AND x.day <= %(today)s",
        )
    shape = _CALENDAR if question.clock == "calendar" else _ROLLING
    hits = shape.format(
        birth=birth, user=user, bucket=bucket.format(day="x.day"), returns=returns
    )
    values = {
        **scope.values,
        "returns": list(question.returns),
        "intervals": question.intervals,
        "seconds": INTERVAL_DAYS[question.interval] * 86400,
    }
    sizes: dict[int, int] = {}
    counts: dict[int, dict[int, int]] = defaultdict(dict)
    for cohort, n, members in fetch(hits + _COUNT[question.mode] + _SIZES, values):
        if n is None:
            sizes[cohort] = members
        else:
            counts[cohort][n] = members
    return sizes, counts


def _row(
    question: Question, cohort: int, size: int, counts: dict[int, int]
) -> list[dict[str, Any]]:
    cells = []
    for n in range(question.intervals):
        begins, ends = _cell_times(question, cohort, n)
        if begins > question.scope.now:
            break
        if question.mode == "on":
            members = counts.get(n, 0)
        else:
            members = sum(k for furthest, k in counts.items() if furthest >= n)
        cells.append(
            {
                "interval": n,
                "members": members,
                "share": round(members / size, 6) if size else None,
                "is_finished": ends <= question.scope.now,
            }
        )
    return cells


def _cell_times(question: Question, cohort: int, n: int) -> tuple[datetime, datetime]:
    """When interval n begins for the cohort's first member and ends for its last."""
    interval, zone = question.interval, question.scope.zone

    def local(bucket: int) -> datetime:
        day = bucket_start(bucket, interval)
        return datetime(day.year, day.month, day.day, tzinfo=zone)

    if question.clock == "calendar":
        return local(cohort + n), local(cohort + n + 1)
    length = timedelta(days=INTERVAL_DAYS[interval])
    # Elapsed time, so the sum is taken in UTC.
    begins, ends = local(cohort).astimezone(UTC), local(cohort + 1).astimezone(UTC)
    return begins + length * n, ends + length * (n + 1)


def _average(question: Question, cohorts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows = []
    for n in range(question.intervals):
        finished = [
            (row["size"], row["cells"][n]["members"])
            for row in cohorts
            if row["size"] and n < len(row["cells"]) and row["cells"][n]["is_finished"]
        ]
        size = sum(s for s, _ in finished)
        came = sum(m for _, m in finished)
        rows.append(
            {
                "interval": n,
                "share": round(came / size, 6) if size else None,
                "cohorts": len(finished),
                "members": size,
            }
        )
    return rows
