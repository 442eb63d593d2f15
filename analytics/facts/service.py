"""Support, engagement and sentiment metrics."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, CustomerFacts, M, column_of, row_numbers
from analytics.health import CAPS, Floats


def fill_support(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    facts: CustomerFacts,
    age: Floats,
) -> None:
    """Open urgent tickets, reopen rate, first reply and resolution (median hours over
    90 days), and 28-day volume against own 90-day habit."""
    every = np.arange(len(index))
    connected = every[~np.isnan(age)]
    zeros = np.zeros(len(connected))
    facts.put(connected, "urgent_open", zeros, a=zeros)
    cur.execute(
        "SELECT s.customer_id, "
        "count(*) FILTER (WHERE t.priority = 'urgent' AND t.solved_at IS NULL "
        "  AND t.closed_at IS NULL AND coalesce(t.status, '') NOT IN "
        "  ('solved', 'closed')), "
        "min(t.opened_at) FILTER (WHERE t.priority = 'urgent' AND t.solved_at IS NULL "
        "  AND t.closed_at IS NULL AND coalesce(t.status, '') NOT IN "
        "  ('solved', 'closed')), "
        "count(*) FILTER (WHERE t.opened_at > %(d90)s AND t.reopen_count IS NOT NULL), "
        "count(*) FILTER (WHERE t.opened_at > %(d90)s AND t.reopen_count > 0), "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM "
        "  t.first_replied_at - t.opened_at)) FILTER (WHERE t.opened_at > %(d90)s), "
        "percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM "
        "  coalesce(t.solved_at, t.closed_at) - t.opened_at)) "
        "  FILTER (WHERE t.opened_at > %(d90)s), "
        "count(*) FILTER (WHERE t.opened_at > %(d28)s), "
        "count(*) FILTER (WHERE t.opened_at > %(d118)s AND t.opened_at <= %(d28)s), "
        "extract(epoch FROM max(t.opened_at)) "
        "FROM cg_ticket t JOIN cg_customer_source s ON s.id = t.customer_source_id "
        "WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND t.deleted_at IS NULL GROUP BY 1",
        {
            "ids": ids,
            "d28": now - timedelta(days=28),
            "d90": now - timedelta(days=90),
            "d118": now - timedelta(days=118),
        },
    )
    found = cur.fetchall()
    if not found:
        return
    rows = row_numbers(found, index)
    urgent, counted, reopened = (column_of(found, i) for i in (1, 3, 4))
    reply_h, solve_h = (column_of(found, i) / 3600.0 for i in (5, 6))
    volume, older, at = (column_of(found, i) for i in (7, 8, 9))
    opened = np.array(
        [np.nan if row[2] is None else row[2].timestamp() for row in found]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        reopen = np.where(counted > 0, reopened / counted, np.nan)
    habit = older * 28.0 / 90.0
    surge = np.where(older >= 3, volume / np.fmax(habit, 1.0), np.nan)
    facts.put(rows, "urgent_open", urgent, a=urgent, at=np.fmin(opened, opened))
    facts.put(rows, "reopen_rate", reopen, a=reopened, b=counted, at=at)
    facts.put(rows, "first_reply", reply_h, a=reply_h, at=at)
    facts.put(rows, "resolution", solve_h, a=solve_h, at=at)
    facts.put(rows, "ticket_volume", surge, a=volume, b=habit, at=at)
    overdue = ~np.isnan(opened) & ((now.timestamp() - opened) > 5 * DAY_S)
    facts.capped[rows, CAPS.index("urgent_overdue")] = overdue


def fill_engagement(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    facts: CustomerFacts,
) -> None:
    """Days since two-way contact, and opened or clicked per mail sent in 90 days."""
    cur.execute(
        "SELECT customer_id, max(at) FROM ("
        "SELECT s.customer_id, coalesce(c.last_message_at, c.started_at) AS at "
        "FROM cg_conversation c JOIN cg_customer_source s "
        "ON s.id = c.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND c.direction IN ('both', 'in') AND c.deleted_at IS NULL "
        "UNION ALL "
        "SELECT s.customer_id, c.last_contacted_at FROM cg_contact c "
        "JOIN cg_customer_source s ON s.id = c.customer_source_id "
        "WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND c.deleted_at IS NULL) x "
        "WHERE at IS NOT NULL AND at <= %(now)s GROUP BY 1",
        {"ids": ids, "now": now},
    )
    for customer_id, at in cur.fetchall():
        row, column = index[customer_id], M["last_contact"]
        days = (now - at).total_seconds() / DAY_S
        facts.values[row, column] = facts.fact_a[row, column] = days
        facts.fact_at[row, column] = at.timestamp()
        facts.age_days[row, column] = 0.0
    cur.execute(
        "SELECT s.customer_id, count(*) FILTER (WHERE e.kind IN ('sent', "
        "'delivered')), count(*) FILTER (WHERE e.kind IN ('opened', 'clicked', "
        "'attended', 'submitted')), extract(epoch FROM max(e.occurred_at)) "
        "FROM cg_campaign_engagement e JOIN cg_customer_source s "
        "ON s.id = e.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND e.occurred_at > %(since)s AND e.deleted_at IS NULL GROUP BY 1",
        {"ids": ids, "since": now - timedelta(days=90)},
    )
    column = M["campaigns"]
    for customer_id, sent, answered, at in cur.fetchall():
        if not sent:
            continue
        row = index[customer_id]
        facts.values[row, column] = answered / sent
        facts.fact_a[row, column], facts.fact_b[row, column] = answered, sent
        facts.fact_at[row, column] = float(at)
        facts.age_days[row, column] = 0.0


def fill_sentiment(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    facts: CustomerFacts,
) -> None:
    """CSAT mean over 180 days in percent, NPS mean of each contact's newest answer
    (0..10), the team's newest pulse in percent. Age is the newest answer's."""
    cur.execute(
        "SELECT customer_id, 'csat', avg(pct), count(*), max(at) FROM ("
        "SELECT s.customer_id, t.satisfaction_pct AS pct, coalesce(t.solved_at, "
        "t.closed_at, t.opened_at) AS at FROM cg_ticket t JOIN cg_customer_source s "
        "ON s.id = t.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND t.satisfaction_pct IS NOT NULL AND t.deleted_at IS NULL "
        "UNION ALL "
        "SELECT s.customer_id, 100 * (r.score - coalesce(r.scale_min, 0)) / "
        "nullif(r.scale_max - coalesce(r.scale_min, 0), 0), r.answered_at "
        "FROM cg_survey_response r JOIN cg_customer_source s "
        "ON s.id = r.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND r.kind = 'csat' AND r.deleted_at IS NULL) x "
        "WHERE at > %(d180)s AND at <= %(now)s AND pct IS NOT NULL GROUP BY 1 "
        "UNION ALL "
        "SELECT customer_id, 'nps', avg(score), count(*), max(answered_at) FROM ("
        "SELECT DISTINCT ON (s.customer_id, coalesce(r.contact_id, r.external_id)) "
        "s.customer_id, r.score, r.answered_at "
        "FROM cg_survey_response r JOIN cg_customer_source s "
        "ON s.id = r.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND r.kind = 'nps' AND r.answered_at <= %(now)s AND r.deleted_at IS NULL "
        "ORDER BY s.customer_id, coalesce(r.contact_id, r.external_id), "
        "r.answered_at DESC) newest GROUP BY 1 "
        "UNION ALL "
        "SELECT * FROM (SELECT DISTINCT ON (s.customer_id) s.customer_id, 'pulse', "
        "100 * (r.score - coalesce(r.scale_min, 0)) / nullif(coalesce(r.scale_max, "
        "100) - coalesce(r.scale_min, 0), 0), 1, r.answered_at "
        "FROM cg_survey_response r JOIN cg_customer_source s "
        "ON s.id = r.customer_source_id WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND r.kind = 'pulse' AND r.answered_at <= %(now)s AND r.deleted_at IS NULL "
        "ORDER BY s.customer_id, r.answered_at DESC) pulse",
        {"ids": ids, "now": now, "d180": now - timedelta(days=180)},
    )
    for customer_id, metric, value, count, at in cur.fetchall():
        if value is None or at is None:
            continue
        row, column = index[customer_id], M[metric]
        facts.values[row, column] = facts.fact_a[row, column] = float(value)
        facts.fact_b[row, column] = float(count)
        facts.fact_at[row, column] = at.timestamp()
        facts.age_days[row, column] = (now - at).total_seconds() / DAY_S
