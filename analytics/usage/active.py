"""Daily, weekly and monthly active members, and stickiness. Exact.

An active day counts in the windows of itself and the 6 (27) days after it, up to the
member's next active day: so one pass over the ordered days counts each member once in
every window.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from analytics.usage.scope import Scope, fetch, first_usage_day

WEEK = 7
MONTH = 28

_SPANS = """
WITH active AS (SELECT DISTINCT s.customer_id AS c, {user} AS u, x.day {source}
                AND x.day BETWEEN %(reach)s AND %(last)s),
spans AS (SELECT day, lead(day) OVER (PARTITION BY c, u ORDER BY day) AS later
          FROM active)
SELECT day, least(day + {week}, later), least(day + {month}, later), count(*)
FROM spans GROUP BY 1, 2, 3
"""

_FREQUENCY = """
SELECT days, count(*) FROM (
    SELECT s.customer_id, {user}, count(DISTINCT x.day) AS days {source}
    AND x.day BETWEEN %(since)s AND %(last)s GROUP BY 1, 2) member
GROUP BY 1
"""


def active(scope: Scope) -> dict[str, Any]:
    """{.., "points": [{"day", "dau", "wau", "mau", "stickiness", "wau_complete",
    "mau_complete", "is_running"}], "frequency": [{"days", "members"}]}.

    wau, mau: distinct members of the 7 (28) days that end with the day. stickiness:
    mean dau of those 28 days / mau, None without members. complete: the window begins
    on or after the organisation's first day of usage. frequency: how many members were
    active on exactly that many of the last 28 days, days 1..28.
    """
    since = scope.last - timedelta(days=MONTH - 1)
    # Twice the window: the mean behind the first stickiness needs 27 days before it.
    reach = scope.first - timedelta(days=2 * MONTH)
    values = {**scope.values, "reach": reach, "since": since}
    source = scope.source("cg_usage_day", active=True)
    rows = fetch(
        _SPANS.format(user=scope.member_user, source=source, week=WEEK, month=MONTH),
        values,
    )
    frequency = dict(
        fetch(_FREQUENCY.format(user=scope.member_user, source=source), values)
    )
    return {
        **scope.head,
        "points": _points(scope, reach, rows),
        "frequency": [
            {"days": n, "members": frequency.get(n, 0)} for n in range(1, MONTH + 1)
        ],
    }


def _points(
    scope: Scope, reach: date, rows: list[tuple[Any, ...]]
) -> list[dict[str, Any]]:
    length = (scope.last - reach).days + 1
    daily = [0] * (length + 1)
    week_steps = [0] * (length + 1)
    month_steps = [0] * (length + 1)
    for day, week_end, month_end, n in rows:
        i = (day - reach).days
        daily[i] += n
        week_steps[i] += n
        month_steps[i] += n
        week_steps[min((week_end - reach).days, length)] -= n
        month_steps[min((month_end - reach).days, length)] -= n
    began = first_usage_day(scope)
    points = []
    wau = mau = 0
    for i in range(length):
        wau += week_steps[i]
        mau += month_steps[i]
        day = reach + timedelta(days=i)
        if day < scope.first:
            continue
        mean = sum(daily[i - MONTH + 1 : i + 1]) / MONTH
        points.append(
            {
                "day": day.isoformat(),
                "dau": daily[i],
                "wau": wau,
                "mau": mau,
                "stickiness": round(mean / mau, 6) if mau else None,
                "wau_complete": _covers(began, day, WEEK),
                "mau_complete": _covers(began, day, MONTH),
                "is_running": day >= scope.today,
            }
        )
    return points


def _covers(began: date | None, day: date, window: int) -> bool:
    return began is not None and day - timedelta(days=window - 1) >= began
