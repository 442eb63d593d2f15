"""Billing metrics: past due, failed payments, plan change, renewal."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, OF, CustomerFacts, Links
from analytics.facts.reading import read
from analytics.health import CAPS, Floats

_INVOICES = f"""
SELECT s.row, min(i.due_at) FILTER (WHERE i.status IN ('open', 'uncollectible')
    AND i.due_at < %(now)s AND i.paid_at IS NULL) AS due_at,
    coalesce(sum(i.failed_attempts) FILTER (
        WHERE coalesce(i.last_failed_at, i.due_at) > %(since)s), 0) AS failed,
    max(i.last_failed_at) AS failed_at
FROM cg_invoice i {OF} i.customer_source_id
WHERE i.deleted_at IS NULL GROUP BY 1
"""
_LIVE = "('active', 'trialing', 'past_due')"
_PLANS = f"""
SELECT s.row, sum(b.mrr_minor) FILTER (WHERE b.status IN {_LIVE}
        AND (b.ended_at IS NULL OR b.ended_at > %(now)s)) AS mrr,
    sum(old.mrr_minor) AS old_mrr,
    min(b.period_ends_at) FILTER (WHERE b.status IN {_LIVE}
        AND b.period_ends_at > %(now)s
        AND (b.auto_renew IS FALSE OR b.cancel_at IS NOT NULL)) AS renews_at,
    bool_or(b.cancel_at IS NOT NULL AND b.status IN {_LIVE}) AS cancels,
    bool_and(coalesce(b.ended_at, b.canceled_at) <= %(now)s
        AND coalesce(b.ended_at, b.canceled_at) IS NOT NULL) AS is_over,
    max(coalesce(b.ended_at, b.canceled_at)) AS over_at, max(last_change.at) AS at
FROM cg_subscription b {OF} b.customer_source_id
LEFT JOIN LATERAL (
    SELECT c.mrr_minor, c.status FROM cg_subscription_change c
    WHERE c.subscription_id = b.id AND c.effective_at <= %(since)s
    ORDER BY c.effective_at DESC LIMIT 1
) old ON old.status IN {_LIVE} AND (b.ended_at IS NULL OR b.ended_at > %(since)s)
LEFT JOIN LATERAL (
    SELECT max(c.effective_at) AS at FROM cg_subscription_change c
    WHERE c.subscription_id = b.id AND c.effective_at > %(since)s
) last_change ON true
WHERE b.deleted_at IS NULL GROUP BY 1
"""


def _epoch(*columns: str) -> str:
    return ", ".join(f"date_part('epoch', {name}) AS {name}" for name in columns)


def fill_billing(
    cur: Cursor,
    links: Links,
    now: datetime,
    facts: CustomerFacts,
    ages: dict[str, Floats],
) -> None:
    """Days past due, failed payments in 90 days, MRR against 90 days ago, renewal."""
    since = now - timedelta(days=90)
    paying = np.flatnonzero(~np.isnan(ages["invoices"]))
    zeros = np.zeros(len(paying))
    facts.put(paying, "past_due", zeros, a=zeros)
    facts.put(paying, "failed_payments", zeros, a=zeros)
    found = read(
        cur,
        f"SELECT row, failed, {_epoch('due_at', 'failed_at')} FROM ({_INVOICES}) x",
        links.parameters(now=now, since=since),
        ("row", "due_at", "failed", "failed_at"),
    )
    rows, due_at = found["row"].astype(np.int64), found["due_at"]
    facts.put(
        rows,
        "failed_payments",
        found["failed"],
        a=found["failed"],
        at=found["failed_at"],
    )
    is_due = ~np.isnan(due_at)
    rows, due_at = rows[is_due], due_at[is_due]
    late = (now.timestamp() - due_at) / DAY_S
    facts.put(rows, "past_due", late, a=late, at=due_at)
    facts.capped[rows, CAPS.index("past_due_30")] = late > 30
    _plan(cur, links, now, since, facts)


def _plan(
    cur: Cursor, links: Links, now: datetime, since: datetime, facts: CustomerFacts
) -> None:
    found = read(
        cur,
        "SELECT row, mrr, old_mrr, cancels::int AS cancels, is_over::int AS is_over, "
        f"{_epoch('renews_at', 'over_at', 'at')} FROM ({_PLANS}) x",
        links.parameters(now=now, since=since),
        ("row", "mrr", "old_mrr", "cancels", "is_over", "renews_at", "over_at", "at"),
    )
    rows = found["row"].astype(np.int64)
    new, old = np.nan_to_num(found["mrr"]), np.nan_to_num(found["old_mrr"])
    had = old > 0
    facts.put(
        rows[had],
        "plan_change",
        new[had] / old[had],
        a=new[had],
        b=old[had],
        at=found["at"][had],
    )
    over = found["is_over"] == 1
    zeros = np.zeros(int(over.sum()))
    facts.put(
        rows[over], "renewal", zeros, a=zeros, b=zeros + 1.0, at=found["over_at"][over]
    )
    renews = ~over & ~np.isnan(found["renews_at"])
    at = found["renews_at"][renews]
    days = (at - now.timestamp()) / DAY_S
    facts.put(rows[renews], "renewal", days, a=days, at=at)
    facts.capped[rows, CAPS.index("cancellation_scheduled")] = over | (
        found["cancels"] == 1
    )
