"""Lifecycle: per interval, who is new, returning, resurrecting or dormant.

New: the first active interval ever. Returning: active in the one before, too.
Resurrecting: active again after at least one interval without. Dormant: active in the
one before, not in this one.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from analytics.usage.scope import (
    BUCKET_SQL,
    Scope,
    bucket_of,
    bucket_start,
    fetch,
)

_STATES = """
WITH active AS (SELECT DISTINCT s.customer_id AS c, {user} AS u, {bucket} AS b
                {days} AND x.day BETWEEN %(before)s AND %(until)s),
births AS (SELECT c, u, {birth} AS b FROM (
    SELECT s.customer_id AS c, {user} AS u,
           (min(x.first_at) AT TIME ZONE %(zone)s)::date AS day {seen}
    GROUP BY 1, 2) first_days),
around AS (SELECT c, u, b, lag(b) OVER w AS earlier, lead(b) OVER w AS later
           FROM active WINDOW w AS (PARTITION BY c, u ORDER BY b))
SELECT a.b,
       count(*) FILTER (WHERE a.b = births.b),
       count(*) FILTER (WHERE a.b > births.b AND a.earlier = a.b - 1),
       count(*) FILTER (WHERE a.b > births.b AND a.earlier IS DISTINCT FROM a.b - 1),
       count(*) FILTER (WHERE a.later IS DISTINCT FROM a.b + 1)
FROM around a JOIN births ON births.c = a.c AND births.u = a.u
GROUP BY 1
"""


def lifecycle(scope: Scope, interval: str) -> dict[str, Any]:
    """{.., "interval", "buckets": [{"start", "new", "returning", "resurrecting",
    "dormant", "active", "is_finished"}]} for the whole intervals that touch the
    scope's days and have begun. dormant of a running interval is "so far"."""
    first = bucket_of(scope.first, interval)
    last = min(bucket_of(scope.last, interval), bucket_of(scope.today, interval))
    begins = bucket_start(first, interval)
    ends = bucket_start(last + 1, interval) - timedelta(days=1)
    whole = replace(scope, first=begins, last=max(begins, min(ends, scope.today)))
    sql = _STATES.format(
        user=scope.member_user,
        bucket=BUCKET_SQL[interval].format(day="x.day"),
        birth=BUCKET_SQL[interval].format(day="day"),
        days=scope.source("cg_usage_day", active=True),
        seen=scope.source("an_usage_seen", active=True),
    )
    values = {
        **whole.values,
        "before": bucket_start(first - 1, interval),
        "until": whole.last,
    }
    found = {row[0]: row[1:] for row in fetch(sql, values)}
    nobody = (0, 0, 0, 0)
    buckets = []
    for bucket in range(first, last + 1):
        new, returning, resurrecting, _ = found.get(bucket, nobody)
        buckets.append(
            {
                "start": bucket_start(bucket, interval).isoformat(),
                "new": new,
                "returning": returning,
                "resurrecting": resurrecting,
                "dormant": found.get(bucket - 1, nobody)[3],
                "active": new + returning + resurrecting,
                "is_finished": bucket_start(bucket + 1, interval) <= scope.today,
            }
        )
    return {**whole.head, "interval": interval, "buckets": buckets}
