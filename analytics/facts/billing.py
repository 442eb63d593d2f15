"""Billing metrics: past due, failed payments, plan change, renewal."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, OF, CustomerFacts, Links
from analytics.facts.reading import read
from analytics.health import CAPS, Floats
from analytics.revenue.pieces import RATES

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
_NOW = f"b.status IN {_LIVE} AND (b.ended_at IS NULL OR b.ended_at > %(now)s)"
_PLANS = f"""
WITH {RATES}
SELECT s.row, sum(b.mrr_minor) FILTER (WHERE {_NOW}) AS mrr,
    sum(old.mrr_minor) AS old_mrr,
    sum(b.mrr_minor * new_rate.factor) FILTER (WHERE {_NOW}) AS mrr_base,
    sum(old.mrr_minor * old_rate.factor) AS old_mrr_base,
    least(min(money.now) FILTER (WHERE {_NOW}), min(money.old)) = greatest(
        max(money.now) FILTER (WHERE {_NOW}), max(money.old)) AS is_one_currency,
    min(b.period_ends_at) FILTER (WHERE b.status IN {_LIVE}
        AND b.period_ends_at > %(now)s
        AND (b.auto_renew IS FALSE OR b.cancel_at IS NOT NULL)) AS renews_at,
    bool_or(b.cancel_at IS NOT NULL AND b.status IN {_LIVE}) AS cancels,
    bool_and(coalesce(b.ended_at, b.canceled_at) <= %(now)s
        AND coalesce(b.ended_at, b.canceled_at) IS NOT NULL) AS is_over,
    max(coalesce(b.ended_at, b.canceled_at)) AS over_at, max(last_change.at) AS at
FROM cg_subscription b {OF} b.customer_source_id
LEFT JOIN LATERAL (
    SELECT c.mrr_minor, c.status, c.currency FROM cg_subscription_change c
    WHERE c.subscription_id = b.id AND c.effective_at <= %(since)s
    ORDER BY c.effective_at DESC LIMIT 1
) old ON old.status IN {_LIVE} AND (b.ended_at IS NULL OR b.ended_at > %(since)s)
CROSS JOIN LATERAL (SELECT
    CASE WHEN b.mrr_minor IS NOT NULL
        THEN coalesce(nullif(upper(b.currency), ''), %(base)s) END AS now,
    CASE WHEN old.mrr_minor IS NOT NULL
        THEN coalesce(nullif(upper(old.currency), ''), %(base)s) END AS old
) money
LEFT JOIN rates new_rate ON new_rate.currency = money.now
LEFT JOIN rates old_rate ON old_rate.currency = money.old
LEFT JOIN LATERAL (
    SELECT max(c.effective_at) AS at FROM cg_subscription_change c
    WHERE c.subscription_id = b.id AND c.effective_at > %(since)s
) last_change ON true
WHERE b.deleted_at IS NULL GROUP BY 1
"""
"""Both sides of a change of plan at today's rates, so that rates alone change nothing.
Within one currency no rate is needed; beside others, one without a rate is left out,
as in the revenue report."""


def _epoch(*columns: str) -> str:
    return ", ".join(f"date_part('epoch', {name}) AS {name}" for name in columns)


def fill_billing(
    cur: Cursor,
    links: Links,
    now: datetime,
    facts: CustomerFacts,
    ages: dict[str, Floats],
    money: dict[str, Any],
) -> None:
    """Days past due, failed payments in 90 days, MRR against 90 days ago, renewal.

    money: `org`, `base` currency and `day` of the exchange rates.
    """
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
    _plan(cur, links, now, since, facts, money)


def _plan(
    cur: Cursor,
    links: Links,
    now: datetime,
    since: datetime,
    facts: CustomerFacts,
    money: dict[str, Any],
) -> None:
    found = read(
        cur,
        "SELECT row, CASE WHEN is_one_currency THEN mrr ELSE mrr_base END AS mrr, "
        "CASE WHEN is_one_currency THEN old_mrr ELSE old_mrr_base END AS old_mrr, "
        "cancels::int AS cancels, is_over::int AS is_over, "
        f"{_epoch('renews_at', 'over_at', 'at')} FROM ({_PLANS}) x",
        links.parameters(now=now, since=since, **money),
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
