"""Feature adoption: how many use each event, how much, and how soon."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from analytics.usage.scope import Scope, fetch

_USE = """
WITH uses AS (SELECT x.name, s.customer_id AS c, {user} AS u, sum(x.n) AS n,
                     count(DISTINCT x.day) AS days
              {days} AND x.day BETWEEN %(first)s AND %(last)s {among}
              GROUP BY 1, 2, 3),
firsts AS (SELECT x.name, s.customer_id AS c, {user} AS u, min(x.first_at) AS at
           {seen} GROUP BY 1, 2, 3),
begun AS (SELECT c, u, min(at) AS at FROM firsts GROUP BY 1, 2)
SELECT uses.name, count(*), sum(uses.n)::bigint, sum(uses.days)::bigint,
       percentile_cont(0.5) WITHIN GROUP (
           ORDER BY extract(epoch FROM firsts.at - begun.at)::float8),
       count(*) FILTER (WHERE (firsts.at AT TIME ZONE %(zone)s)::date >= %(first)s)
FROM uses JOIN firsts USING (name, c, u) JOIN begun USING (c, u)
GROUP BY 1 ORDER BY 2 DESC, 1
"""

_AMONG = """
AND (s.customer_id, {user}) IN (SELECT s.customer_id, {user} {active}
                                AND x.day BETWEEN %(first)s AND %(last)s)
"""

_ACTIVE = """
SELECT count(*) FROM (SELECT DISTINCT s.customer_id, {user} {active}
                      AND x.day BETWEEN %(first)s AND %(last)s) members
"""


def adoption(scope: Scope) -> dict[str, Any]:
    """{.., "active", "features": [{"event", "adopters", "breadth", "new_adopters",
    "events", "depth", "active_days", "median_first_use_s"}]}, the widest first.

    active: members with any event on the scope's days that makes one active. breadth:
    those of them who use it / active; adopters are counted among the active alone.
    depth: events per adopter; active_days: mean days of use per adopter.
    new_adopters: those whose first use ever is on the scope's days.
    median_first_use_s: seconds from a member's first event ever to their first use,
    over the adopters. An event filter narrows the features, never what is active.
    """
    anything = replace(scope, events=())
    among = ""
    if scope.qualifying.sql:
        among = _AMONG.format(
            user=scope.member_user, active=anything.source("cg_usage_day", active=True)
        )
    parts = {
        "among": among,
        "user": scope.member_user,
        "days": anything.source("cg_usage_day"),
        "seen": anything.source("an_usage_seen"),
        "active": anything.source("cg_usage_day", active=True),
    }
    ((active,),) = fetch(_ACTIVE.format(**parts), scope.values)
    return {
        **scope.head,
        "active": active,
        "features": [
            {
                "event": name,
                "adopters": adopters,
                "breadth": round(adopters / active, 6),
                "new_adopters": new,
                "events": events,
                "depth": round(events / adopters, 6),
                "active_days": round(days / adopters, 6),
                "median_first_use_s": round(median_s, 3),
            }
            for name, adopters, events, days, median_s, new in fetch(
                _USE.format(**parts), scope.values
            )
            if not scope.events or name in scope.events
        ],
    }
