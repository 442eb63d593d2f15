"""What support did: tickets opened on given local days, by team, customer and week.

A measure whose fact is unknown for a ticket leaves that ticket out of its
denominator; `known` counts say how many tickets are behind each share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from analytics.usage.scope import Scope, bucket_of, bucket_start, fetch

MOST_ROWS = 200
_NOT_OURS = ("unit", "qualifying")
"""What a scope says that has no bearing on tickets."""

# percentile_cont leaves out what is null, and so must what keeps it from going below 0.
_ELAPSED = """
percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN {end} < t.opened_at THEN 0
    ELSE extract(epoch FROM {end} - t.opened_at)::float8 END)
"""

_MEASURES = f"""
count(*), count(*) FILTER (WHERE t.solved_at IS NULL AND t.closed_at IS NULL),
count(t.first_replied_at), {_ELAPSED.format(end="t.first_replied_at")},
count(coalesce(t.solved_at, t.closed_at)),
{_ELAPSED.format(end="coalesce(t.solved_at, t.closed_at)")},
count(t.is_first_contact_resolved),
count(*) FILTER (WHERE t.is_first_contact_resolved),
count(t.satisfaction_pct), avg(t.satisfaction_pct),
count(t.is_escalated), count(*) FILTER (WHERE t.is_escalated)
"""

_TICKETS = """
FROM cg_ticket t
LEFT JOIN cg_customer_source s ON s.id = t.customer_source_id
LEFT JOIN cg_customer c ON c.id = s.customer_id
WHERE t.organization_id = %(org)s AND t.deleted_at IS NULL
AND t.opened_at >= (%(first)s::date::timestamp AT TIME ZONE %(zone)s)
AND t.opened_at < ((%(last)s::date + 1)::timestamp AT TIME ZONE %(zone)s)
"""

_NARROW = (
    ("team", " AND coalesce(t.team, '') = %(team)s"),
    ("segment", " AND c.segment = %(segment)s"),
)
_MEMBERS = " AND s.customer_id IN ({sql})"


@dataclass(frozen=True, slots=True)
class Measures:
    """Medians in seconds, shares 0..1, csat_pct 0..100; None = nothing known."""

    volume: int
    open: int
    replied: int
    first_response_median_s: float | None
    resolved: int
    resolution_median_s: float | None
    first_contact_known: int
    first_contact_share: float | None
    rated: int
    csat_pct: float | None
    escalation_known: int
    escalations: int


def support(scope: Scope, team: str = "") -> dict[str, Any]:
    """{"timezone", "from", "to", "as_of", "total": {measures}, "teams": [{"team",
    measures}], "customers": [{"customer_id", "name", measures}], "weeks": [{"start",
    measures}]}.

    team: only this one, "" = all. customers: the 200 with most tickets; a ticket
    without a customer counts in the total, its team and its week alone.
    """
    (total,) = _read(scope, team, "")
    weeks = {row[0]: row[1] for row in _keyed(scope, team, _WEEK, "1")}
    first, last = bucket_of(scope.first, "week"), bucket_of(scope.last, "week")
    starts = [bucket_start(n, "week") for n in range(first, last + 1)]
    head = {key: value for key, value in scope.head.items() if key not in _NOT_OURS}
    return {
        **head,
        "total": _body(total),
        "teams": [
            {"team": name, **_body(measures)}
            for name, measures in _keyed(
                scope, team, "coalesce(t.team, '')", "2 DESC, 1"
            )
        ],
        "customers": [
            {"customer_id": key[0], "name": key[1], **_body(measures)}
            for key, measures in _keyed(
                scope, team, "ARRAY[c.public_id, c.name]", "2 DESC, 1", " AND c.id > 0"
            )
        ],
        "weeks": [
            {"start": start.isoformat(), **_body(weeks.get(start, _NOTHING))}
            for start in starts
        ],
    }


_WEEK = "date_trunc('week', t.opened_at AT TIME ZONE %(zone)s)::date"
_NOTHING = Measures(0, 0, 0, None, 0, None, 0, None, 0, None, 0, 0)


def _keyed(
    scope: Scope, team: str, key: str, order: str, more: str = ""
) -> list[tuple[Any, Measures]]:
    limit = "" if key == _WEEK else f" LIMIT {MOST_ROWS}"
    rows = _rows(scope, team, f"{key},", f"{more} GROUP BY 1 ORDER BY {order}{limit}")
    return [(row[0], _measures(row[1:])) for row in rows]


def _read(scope: Scope, team: str, more: str) -> list[Measures]:
    return [_measures(row) for row in _rows(scope, team, "", more)]


def _rows(scope: Scope, team: str, key: str, more: str) -> list[tuple[Any, ...]]:
    values = {**scope.values, "team": team}
    narrow = "".join(sql for name, sql in _NARROW if values[name])
    if scope.members is not None:
        narrow += _MEMBERS.format(sql=scope.members.sql)
    return fetch(f"SELECT {key} {_MEASURES} {_TICKETS}{narrow}{more}", values)


def _measures(row: tuple[Any, ...]) -> Measures:
    volume, still_open, replied, reply_s, resolved, solve_s, *rest = row
    known, at_first, rated, csat, escalation_known, escalations = rest
    return Measures(
        volume=volume,
        open=still_open,
        replied=replied,
        first_response_median_s=None if reply_s is None else round(reply_s, 3),
        resolved=resolved,
        resolution_median_s=None if solve_s is None else round(solve_s, 3),
        first_contact_known=known,
        first_contact_share=round(at_first / known, 6) if known else None,
        rated=rated,
        csat_pct=None if csat is None else round(csat, 6),
        escalation_known=escalation_known,
        escalations=escalations,
    )


def _body(measures: Measures) -> dict[str, Any]:
    return {name: getattr(measures, name) for name in Measures.__slots__}
