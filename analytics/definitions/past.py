"""The metrics of health as they stood at a past cutoff, from facts before it.

The same definitions as `analytics.facts`, read point in time: only what happened
before the cutoff counts, and what keeps no time of its own is left out (renewal, a
scheduled cancellation, the last contact a CRM states, who is a champion), since its
present value would tell who left. A source counts as fresh from its first fact on:
imported history says when things happened, not when they were heard of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from psycopg import Cursor

from analytics.facts.base import DAY_S, CustomerFacts, M
from analytics.facts.engagement import replies_sql
from analytics.facts.service import SILENCE_HABIT
from analytics.facts.usage import HABIT_DAYS
from analytics.health import CAPS, Floats
from analytics.predict import fact_sql
from analytics.predict.labels import EPOCH

IntArray = NDArray[np.int64]

LEFT_OUT = (
    "Renewals, scheduled cancellations and champions are left out: the data do not say "
    "when they became known. Contact is counted from conversations, and every source "
    "as fresh."
)

_LIVING = "(x.deleted_at IS NULL OR x.deleted_at >= %(at)s)"
_OF = f"""
JOIN cg_customer_source s ON s.id = x.customer_source_id
WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND {_LIVING}
"""

_FEEDS = """
SELECT 'events', s.source_id, min(u.day) FROM cg_usage_day u
JOIN cg_customer_source s ON s.id = u.customer_source_id
WHERE u.organization_id = %(org)s AND u.n > 0 GROUP BY 2
UNION ALL
SELECT 'invoices', source_id, min(coalesce(issued_at, due_at))::date FROM cg_invoice
WHERE organization_id = %(org)s GROUP BY 2
UNION ALL
SELECT 'tickets', source_id, min(opened_at)::date FROM cg_ticket
WHERE organization_id = %(org)s GROUP BY 2
"""

_DAYS = """
SELECT d.customer_id, count(*) FILTER (WHERE d.day >= %(day)s::date - 28),
    count(*) FILTER (WHERE d.day < %(day)s::date - 28)
FROM (
    SELECT DISTINCT s.customer_id, u.day FROM cg_usage_day u
    JOIN cg_customer_source s ON s.id = u.customer_source_id
    WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND u.n > 0
    AND u.day < %(day)s AND u.day >= %(day)s::date - 118
) d GROUP BY 1
"""

_ENDS = """
SELECT s.customer_id, extract(epoch FROM min(f.first_at)),
    extract(epoch FROM max(l.last_at))
FROM cg_customer_source s
CROSS JOIN LATERAL (
    SELECT u.first_at FROM cg_usage_day u
    WHERE u.customer_source_id = s.id AND u.n > 0 AND u.day < %(day)s
    ORDER BY u.day, u.first_at LIMIT 1
) f
CROSS JOIN LATERAL (
    SELECT u.last_at FROM cg_usage_day u
    WHERE u.customer_source_id = s.id AND u.n > 0 AND u.day < %(day)s
    ORDER BY u.day DESC, u.last_at DESC LIMIT 1
) l
WHERE s.customer_id = ANY(%(ids)s::bigint[]) GROUP BY 1
"""

_BREADTH = """
SELECT customer_id,
    count(DISTINCT user_key) FILTER (
        WHERE last_day >= %(day)s::date - 28 AND user_key <> ''),
    bool_or(user_key <> ''),
    count(DISTINCT name) FILTER (
        WHERE last_day >= %(day)s::date - 28 AND first_day < %(day)s::date - 28),
    count(DISTINCT name) FILTER (
        WHERE first_day < %(day)s::date - 28 AND last_day >= %(day)s::date - 118)
FROM (
    SELECT s.customer_id, u.customer_source_id, u.name, u.user_key,
        min(u.day) AS first_day, max(u.day) AS last_day
    FROM cg_usage_day u JOIN cg_customer_source s ON s.id = u.customer_source_id
    WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND u.n > 0
    AND u.day < %(day)s AND u.day >= %(day)s::date - 365
    GROUP BY 1, 2, 3, 4
) seen GROUP BY 1
"""

_REVENUE = (
    fact_sql.VERSIONS
    + """
, newest AS (
    SELECT DISTINCT ON (subscription_id) * FROM known
    ORDER BY subscription_id, effective_at DESC, id DESC
), older AS (
    SELECT DISTINCT ON (subscription_id) * FROM known
    WHERE effective_at <= %(at)s - interval '90 days'
    ORDER BY subscription_id, effective_at DESC, id DESC
)
SELECT n.customer_id,
    sum(n.mrr_minor) FILTER (WHERE n.status IN ('active', 'trialing', 'past_due')),
    sum(o.mrr_minor) FILTER (WHERE o.status IN ('active', 'trialing', 'past_due')),
    sum(n.quantity) FILTER (WHERE n.status IN ('active', 'trialing', 'past_due'))
FROM newest n LEFT JOIN older o ON o.subscription_id = n.subscription_id
GROUP BY 1
"""
)

_INVOICES = f"""
SELECT s.customer_id,
    extract(epoch FROM %(at)s - min(x.due_at) FILTER (WHERE x.due_at < %(at)s AND (
        x.paid_at >= %(at)s
        OR x.paid_at IS NULL AND x.status IN ('open', 'uncollectible')))) / 86400.0,
    coalesce(sum(x.failed_attempts) FILTER (
        WHERE coalesce(x.last_failed_at, x.due_at) > %(at)s - interval '90 days'
        AND coalesce(x.last_failed_at, x.due_at) < %(at)s), 0)
FROM cg_invoice x {_OF} AND coalesce(x.issued_at, x.due_at) < %(at)s GROUP BY 1
"""

_OPEN = """(coalesce(x.solved_at, x.closed_at) >= %(at)s
    OR coalesce(x.solved_at, x.closed_at) IS NULL
    AND coalesce(x.status, '') NOT IN ('solved', 'closed'))"""
_OVER = "coalesce(x.solved_at, x.closed_at) < %(at)s"
_TICKETS = f"""
SELECT s.customer_id,
    count(*) FILTER (WHERE x.priority = 'urgent' AND {_OPEN}),
    extract(epoch FROM %(at)s - min(x.opened_at) FILTER (
        WHERE x.priority = 'urgent' AND {_OPEN})) / 86400.0,
    count(*) FILTER (WHERE x.opened_at > %(at)s - interval '90 days'
        AND x.reopen_count IS NOT NULL),
    count(*) FILTER (WHERE x.opened_at > %(at)s - interval '90 days'
        AND x.reopen_count > 0 AND {_OVER}),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM
        x.first_replied_at - x.opened_at)) FILTER (
        WHERE x.opened_at > %(at)s - interval '90 days'
        AND x.first_replied_at < %(at)s) / 3600.0,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM
        coalesce(x.solved_at, x.closed_at) - x.opened_at)) FILTER (
        WHERE x.opened_at > %(at)s - interval '90 days' AND {_OVER}) / 3600.0,
    count(*) FILTER (WHERE x.opened_at > %(at)s - interval '28 days'),
    count(*) FILTER (WHERE x.opened_at > %(at)s - interval '118 days'
        AND x.opened_at <= %(at)s - interval '28 days')
FROM cg_ticket x {_OF} AND x.opened_at < %(at)s GROUP BY 1
"""

_CONTACT = f"""
SELECT s.customer_id, extract(epoch FROM %(at)s - max(x.started_at)) / 86400.0
FROM cg_conversation x {_OF}
AND x.direction IN ('both', 'in') AND x.started_at < %(at)s GROUP BY 1
"""

_REPLIES = replies_sql("s.customer_id", _OF)

_CAMPAIGNS = f"""
SELECT s.customer_id, count(*) FILTER (WHERE x.kind IN ('opened', 'clicked',
        'attended', 'submitted'))::float
    / nullif(count(*) FILTER (WHERE x.kind IN ('sent', 'delivered')), 0)
FROM cg_campaign_engagement x {_OF}
AND x.occurred_at > %(at)s - interval '90 days' AND x.occurred_at < %(at)s GROUP BY 1
"""

_ANSWERS = f"""
WITH answers AS (
    SELECT s.customer_id, x.kind, x.score, x.answered_at AS at,
        coalesce(x.contact_id, x.external_id) AS who,
        x.score - coalesce(x.scale_min, 0) AS over, x.scale_max - coalesce(
            x.scale_min, 0) AS span, coalesce(x.scale_max, 100)
            - coalesce(x.scale_min, 0) AS pulse_span
    FROM cg_survey_response x {_OF} AND x.answered_at < %(at)s
), ratings AS (
    SELECT s.customer_id, x.satisfaction_pct AS pct,
        coalesce(x.solved_at, x.closed_at, x.opened_at) AS at
    FROM cg_ticket x {_OF} AND x.satisfaction_pct IS NOT NULL
    AND coalesce(x.solved_at, x.closed_at, x.opened_at) < %(at)s
    UNION ALL
    SELECT customer_id, 100 * over / nullif(span, 0), at FROM answers
    WHERE kind = 'csat'
), newest AS (
    SELECT DISTINCT ON (customer_id, who) customer_id, score, at FROM answers
    WHERE kind = 'nps' ORDER BY customer_id, who, at DESC
)
SELECT customer_id, 'csat', avg(pct), max(at) FROM ratings
WHERE at > %(at)s - interval '180 days' AND pct IS NOT NULL GROUP BY 1
UNION ALL
SELECT customer_id, 'nps', avg(score), max(at) FROM newest GROUP BY 1
UNION ALL
SELECT * FROM (SELECT DISTINCT ON (customer_id) customer_id, 'pulse',
    100 * over / nullif(pulse_span, 0), at FROM answers
    WHERE kind = 'pulse' ORDER BY customer_id, at DESC) pulse
"""


@dataclass(frozen=True, slots=True)
class Feeds:
    """Kind of fact -> source id -> the first day (since 1970) it has such a fact."""

    first_day: dict[str, dict[int, int]]


def load_feeds(cur: Cursor, org_id: int) -> Feeds:
    """Since when each source delivers what."""
    cur.execute(_FEEDS, {"org": org_id})
    found: dict[str, dict[int, int]] = {"events": {}, "invoices": {}, "tickets": {}}
    for kind, source_id, day in cur.fetchall():
        if day is not None:
            found[kind][source_id] = (day - EPOCH).days
    return Feeds(found)


def gather_past(
    cur: Cursor, org_id: int, customers: IntArray, day: int, timezone: str, feeds: Feeds
) -> CustomerFacts:
    """All metrics of these customers at local midnight of `day` (days since 1970)."""
    cutoff = EPOCH + timedelta(days=day)
    cur.execute("SELECT %s::timestamp AT TIME ZONE %s", [cutoff, timezone])
    row = cur.fetchone()
    assert row is not None
    at: datetime = row[0]
    index = {int(customer): place for place, customer in enumerate(customers)}
    parameters = {
        "org": org_id,
        "ids": f"{{{','.join(map(str, customers.tolist()))}}}",
        "at": at,
        "now": at,
        "day": cutoff,
    }
    facts = CustomerFacts.empty(len(customers))
    facts.age_days[:] = 0.0

    def ask(sql: str) -> list[tuple[Any, ...]]:
        cur.execute(sql, parameters)
        return cur.fetchall()

    connected = _connected(ask, index, day, feeds)
    _usage(ask, index, at, connected["events"], facts)
    _billing(ask, index, connected["invoices"], facts)
    _support(ask, index, connected["tickets"], facts)
    for sql, metric in ((_CONTACT, "last_contact"), (_CAMPAIGNS, "campaigns")):
        found = ask(sql)
        facts.put(_places(found, index), metric, _column(found, 1))
    found = ask(_REPLIES)
    facts.put(_places(found, index), "replies", _column(found, 2) / _column(found, 1))
    for customer, metric, value, heard_at in ask(_ANSWERS):
        if value is not None:
            place, column = index[customer], M[metric]
            facts.values[place, column] = float(value)
            age = (at - heard_at).total_seconds() / DAY_S
            facts.age_days[place, column] = age
    return facts


Ask = Callable[[str], list[tuple[Any, ...]]]


def _places(found: list[tuple[Any, ...]], index: dict[int, int]) -> IntArray:
    return np.array([index[row[0]] for row in found], dtype=np.int64)


def _column(found: list[tuple[Any, ...]], position: int) -> Floats:
    return np.array(
        [np.nan if row[position] is None else float(row[position]) for row in found]
    )


def _connected(
    ask: Ask, index: dict[int, int], day: int, feeds: Feeds
) -> dict[str, NDArray[np.bool_]]:
    out = {kind: np.zeros(len(index), dtype=bool) for kind in feeds.first_day}
    for customer, source in ask(
        "SELECT DISTINCT customer_id, source_id FROM cg_customer_source "
        "WHERE customer_id = ANY(%(ids)s::bigint[])"
    ):
        for kind, first_day in feeds.first_day.items():
            if first_day.get(source, day) < day:
                out[kind][index[customer]] = True
    return out


def _usage(
    ask: Ask,
    index: dict[int, int],
    at: datetime,
    connected: NDArray[np.bool_],
    facts: CustomerFacts,
) -> None:
    """As `facts.usage`: own habit, own gap, seats, breadth."""
    n, now_s = len(index), at.timestamp()
    recent, older = np.zeros(n), np.zeros(n)
    found = ask(_DAYS)
    rows = _places(found, index)
    recent[rows], older[rows] = _column(found, 1), _column(found, 2)
    first, last = np.full(n, np.nan), np.full(n, np.nan)
    found = ask(_ENDS)
    rows = _places(found, index)
    first[rows], last[rows] = _column(found, 1), _column(found, 2)
    history = np.where(np.isnan(first), 0.0, (now_s - first) / DAY_S)
    span = np.clip(history - 28.0, HABIT_DAYS, 90.0)
    habit = np.where(history >= 28 + HABIT_DAYS, older * 28.0 / span, np.nan)
    gone = connected & ~np.isnan(first) & (recent == 0)
    came = connected & ~np.isnan(first) & ~gone
    facts.ordinary[:, M["active_days"]] = came & np.isnan(habit)
    facts.ordinary[:, M["recency_gap"]] = came & (history < HABIT_DAYS)
    active = recent + older
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(gone, 0.0, np.where(habit > 0, recent / habit, np.nan))
        is_usual = (active >= 3) & (history >= HABIT_DAYS)
        usual = np.where(is_usual, np.clip(history, 1.0, 118.0) / active, np.nan)
        gap = (now_s - last) / DAY_S / np.fmax(usual, 1.0)
    gap = np.where(gone & np.isnan(usual), 4.0, gap)
    gap = np.where(gone | is_usual, gap, np.nan)
    every = np.flatnonzero(connected)
    facts.put(every, "active_days", share[every])
    facts.put(every, "recency_gap", gap[every])
    seats = np.full(n, np.nan)
    found = ask(_REVENUE)
    rows = _places(found, index)
    seats[rows] = _column(found, 3)
    new, old = np.nan_to_num(_column(found, 1)), np.nan_to_num(_column(found, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        facts.put(rows, "plan_change", np.where(old > 0, new / old, np.nan))
    found = [row for row in ask(_BREADTH) if connected[index[row[0]]]]
    rows = _places(found, index)
    users, used, adopted = (_column(found, place) for place in (1, 3, 4))
    has_users = np.array([bool(row[2]) for row in found], dtype=bool)
    paid = seats[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        facts.put(
            rows, "seats_used", np.where(has_users & (paid > 0), users / paid, np.nan)
        )
        facts.put(
            rows, "feature_breadth", np.where(adopted > 0, used / adopted, np.nan)
        )


def _billing(
    ask: Ask,
    index: dict[int, int],
    connected: NDArray[np.bool_],
    facts: CustomerFacts,
) -> None:
    paying = np.flatnonzero(connected)
    facts.put(paying, "past_due", np.zeros(len(paying)))
    facts.put(paying, "failed_payments", np.zeros(len(paying)))
    found = ask(_INVOICES)
    rows = _places(found, index)
    late = np.nan_to_num(_column(found, 1))
    facts.put(rows, "past_due", late)
    facts.put(rows, "failed_payments", _column(found, 2))
    facts.capped[rows, CAPS.index("past_due_30")] = late > 30


def _support(
    ask: Ask,
    index: dict[int, int],
    connected: NDArray[np.bool_],
    facts: CustomerFacts,
) -> None:
    every = np.flatnonzero(connected)
    facts.put(every, "urgent_open", np.zeros(len(every)))
    found = ask(_TICKETS)
    rows = _places(found, index)
    urgent, oldest, counted, reopened, reply, solve, volume, before = (
        _column(found, place) for place in range(1, 9)
    )
    habit = before * 28.0 / 90.0
    with np.errstate(divide="ignore", invalid="ignore"):
        facts.put(
            rows, "reopen_rate", np.where(counted > 0, reopened / counted, np.nan)
        )
    facts.put(rows, "urgent_open", urgent)
    facts.put(rows, "first_reply", reply)
    facts.put(rows, "resolution", solve)
    surge = np.where(before >= 3, volume / np.fmax(habit, 1.0), np.nan)
    facts.put(rows, "ticket_volume", surge)
    silence = np.where(
        habit >= SILENCE_HABIT, volume / np.fmax(habit, SILENCE_HABIT), np.nan
    )
    facts.put(rows, "ticket_silence", silence)
    facts.capped[rows, CAPS.index("urgent_overdue")] = oldest > 5
