"""Support and sentiment metrics."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, OF, CustomerFacts, Links
from analytics.facts.reading import read
from analytics.health import CAPS, Floats

SILENCE_HABIT = 3.0
"""Usual tickets in 28 days from which silence says something: it is chance in less than
5 % of months."""
_TICKETS = f"""
SELECT s.row,
    count(*) FILTER (WHERE o.urgent) AS urgent,
    date_part('epoch', min(t.opened_at) FILTER (WHERE o.urgent)) AS urgent_at,
    count(*) FILTER (WHERE t.opened_at > %(d90)s AND t.reopen_count IS NOT NULL)
        AS counted,
    count(*) FILTER (WHERE t.opened_at > %(d90)s AND t.reopen_count > 0) AS reopened,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY
        date_part('epoch', t.first_replied_at - t.opened_at))
        FILTER (WHERE t.opened_at > %(d90)s) AS reply,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY
        date_part('epoch', coalesce(t.solved_at, t.closed_at) - t.opened_at))
        FILTER (WHERE t.opened_at > %(d90)s) AS solve,
    count(*) FILTER (WHERE t.opened_at > %(d28)s) AS volume,
    count(*) FILTER (WHERE t.opened_at > %(d118)s AND t.opened_at <= %(d28)s) AS older,
    date_part('epoch', max(t.opened_at)) AS at
FROM cg_ticket t {OF} t.customer_source_id
CROSS JOIN LATERAL (SELECT t.priority = 'urgent' AND t.solved_at IS NULL
    AND t.closed_at IS NULL
    AND coalesce(t.status, '') NOT IN ('solved', 'closed') AS urgent) o
WHERE t.deleted_at IS NULL GROUP BY 1
"""
_CSAT = f"""
SELECT row, avg(pct) AS value, count(*) AS n, date_part('epoch', max(at)) AS at FROM (
    SELECT s.row, t.satisfaction_pct AS pct,
        coalesce(t.solved_at, t.closed_at, t.opened_at) AS at
    FROM cg_ticket t {OF} t.customer_source_id
    WHERE t.satisfaction_pct IS NOT NULL AND t.deleted_at IS NULL
    UNION ALL
    SELECT s.row, 100 * (r.score - coalesce(r.scale_min, 0))
        / nullif(r.scale_max - coalesce(r.scale_min, 0), 0), r.answered_at
    FROM cg_survey_response r {OF} r.customer_source_id
    WHERE r.kind = 'csat' AND r.deleted_at IS NULL
) x WHERE at > %(d180)s AND at <= %(now)s AND pct IS NOT NULL GROUP BY 1
"""
_NPS = f"""
SELECT row, avg(score) AS value, count(*) AS n,
    date_part('epoch', max(answered_at)) AS at
FROM (
    SELECT DISTINCT ON (s.row, coalesce(r.contact_id, r.external_id))
        s.row, r.score, r.answered_at
    FROM cg_survey_response r {OF} r.customer_source_id
    WHERE r.kind = 'nps' AND r.answered_at <= %(now)s AND r.deleted_at IS NULL
    ORDER BY s.row, coalesce(r.contact_id, r.external_id), r.answered_at DESC
) newest GROUP BY 1
"""
_PULSE = f"""
SELECT DISTINCT ON (s.row) s.row, 100 * (r.score - coalesce(r.scale_min, 0))
    / nullif(coalesce(r.scale_max, 100) - coalesce(r.scale_min, 0), 0) AS value,
    1 AS n, date_part('epoch', r.answered_at) AS at
FROM cg_survey_response r {OF} r.customer_source_id
WHERE r.kind = 'pulse' AND r.answered_at <= %(now)s AND r.deleted_at IS NULL
ORDER BY s.row, r.answered_at DESC
"""
_ANSWERS = {"csat": _CSAT, "nps": _NPS, "pulse": _PULSE}


def fill_support(
    cur: Cursor, links: Links, now: datetime, facts: CustomerFacts, age: Floats
) -> None:
    """Open urgent tickets, reopen rate, first reply and resolution (median hours over
    90 days), and 28-day volume against own 90-day habit: a surge, or silence of those
    who usually write."""
    connected = np.flatnonzero(~np.isnan(age))
    zeros = np.zeros(len(connected))
    facts.put(connected, "urgent_open", zeros, a=zeros)
    found = read(
        cur,
        _TICKETS,
        links.parameters(
            d28=now - timedelta(days=28),
            d90=now - timedelta(days=90),
            d118=now - timedelta(days=118),
        ),
        (
            "row",
            "urgent",
            "urgent_at",
            "counted",
            "reopened",
            "reply",
            "solve",
            "volume",
            "older",
            "at",
        ),
    )
    rows = found["row"].astype(np.int64)
    opened, counted, reopened = (
        found[name] for name in ("urgent_at", "counted", "reopened")
    )
    reply_h, solve_h = found["reply"] / 3600.0, found["solve"] / 3600.0
    volume, older, at = (found[name] for name in ("volume", "older", "at"))
    with np.errstate(divide="ignore", invalid="ignore"):
        reopen = np.where(counted > 0, reopened / counted, np.nan)
    habit = older * 28.0 / 90.0
    surge = np.where(older >= 3, volume / np.fmax(habit, 1.0), np.nan)
    silence = np.where(
        habit >= SILENCE_HABIT, volume / np.fmax(habit, SILENCE_HABIT), np.nan
    )
    facts.put(rows, "urgent_open", found["urgent"], a=found["urgent"], at=opened)
    facts.put(rows, "reopen_rate", reopen, a=reopened, b=counted, at=at)
    facts.put(rows, "first_reply", reply_h, a=reply_h, at=at)
    facts.put(rows, "resolution", solve_h, a=solve_h, at=at)
    facts.put(rows, "ticket_volume", surge, a=volume, b=habit, at=at)
    facts.put(rows, "ticket_silence", silence, a=volume, b=habit, at=at)
    overdue = ~np.isnan(opened) & ((now.timestamp() - opened) > 5 * DAY_S)
    facts.capped[rows, CAPS.index("urgent_overdue")] = overdue


def fill_sentiment(
    cur: Cursor, links: Links, now: datetime, facts: CustomerFacts
) -> None:
    """CSAT mean over 180 days in percent, NPS mean of each contact's newest answer
    (0..10), the team's newest pulse in percent. Age is the newest answer's."""
    parameters = links.parameters(now=now, d180=now - timedelta(days=180))
    for metric, sql in _ANSWERS.items():
        found = read(cur, sql, parameters, ("row", "value", "n", "at"))
        is_told = ~(np.isnan(found["value"]) | np.isnan(found["at"]))
        rows, value, n, at = (column[is_told] for column in found.values())
        facts.put(
            rows.astype(np.int64),
            metric,
            value,
            a=value,
            b=n,
            at=at,
            age=(now.timestamp() - at) / DAY_S,
        )
