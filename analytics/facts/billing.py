"""Billing metrics: past due, failed payments, plan change, renewal."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
from psycopg import Cursor

from analytics.facts.base import DAY_S, CustomerFacts, M
from analytics.health import CAPS, Floats


def fill_billing(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    facts: CustomerFacts,
    ages: dict[str, Floats],
) -> None:
    """Days past due, failed payments in 90 days, MRR against 90 days ago, renewal."""
    since = now - timedelta(days=90)
    every = np.arange(len(index))
    paying = every[~np.isnan(ages["invoices"])]
    zeros = np.zeros(len(paying))
    facts.put(paying, "past_due", zeros, a=zeros)
    facts.put(paying, "failed_payments", zeros, a=zeros)
    cur.execute(
        "SELECT s.customer_id, min(i.due_at) FILTER (WHERE i.status IN ('open', "
        "'uncollectible') AND i.due_at < %(now)s AND i.paid_at IS NULL), "
        "coalesce(sum(i.failed_attempts) FILTER (WHERE coalesce(i.last_failed_at, "
        "i.due_at) > %(since)s), 0), max(i.last_failed_at) "
        "FROM cg_invoice i JOIN cg_customer_source s ON s.id = i.customer_source_id "
        "WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND i.deleted_at IS NULL GROUP BY 1",
        {"ids": ids, "now": now, "since": since},
    )
    past_due_cap = CAPS.index("past_due_30")
    for customer_id, due_at, failed, failed_at in cur.fetchall():
        row = index[customer_id]
        if due_at is not None:
            late = (now - due_at).total_seconds() / DAY_S
            facts.values[row, M["past_due"]] = facts.fact_a[row, M["past_due"]] = late
            facts.fact_at[row, M["past_due"]] = due_at.timestamp()
            facts.capped[row, past_due_cap] = late > 30
        facts.values[row, M["failed_payments"]] = float(failed)
        facts.fact_a[row, M["failed_payments"]] = float(failed)
        if failed_at is not None:
            facts.fact_at[row, M["failed_payments"]] = failed_at.timestamp()
    _plan(cur, ids, index, now, since, facts)


_LIVE = "('active', 'trialing', 'past_due')"


def _plan(
    cur: Cursor,
    ids: str,
    index: dict[int, int],
    now: datetime,
    since: datetime,
    facts: CustomerFacts,
) -> None:
    cur.execute(
        "SELECT s.customer_id, "
        f"sum(b.mrr_minor) FILTER (WHERE b.status IN {_LIVE} "
        "  AND (b.ended_at IS NULL OR b.ended_at > %(now)s)), "
        "sum(old.mrr_minor), "
        f"min(b.period_ends_at) FILTER (WHERE b.status IN {_LIVE} "
        "  AND b.period_ends_at > %(now)s AND (b.auto_renew IS FALSE "
        "  OR b.cancel_at IS NOT NULL)), "
        f"bool_or(b.cancel_at IS NOT NULL AND b.status IN {_LIVE}), "
        "bool_and(coalesce(b.ended_at, b.canceled_at) <= %(now)s "
        "  AND coalesce(b.ended_at, b.canceled_at) IS NOT NULL), "
        "max(coalesce(b.ended_at, b.canceled_at)), max(last_change.at) "
        "FROM cg_subscription b JOIN cg_customer_source s "
        "ON s.id = b.customer_source_id "
        "LEFT JOIN LATERAL (SELECT c.mrr_minor, c.status "
        "  FROM cg_subscription_change c WHERE c.subscription_id = b.id "
        "  AND c.effective_at <= %(since)s ORDER BY c.effective_at DESC LIMIT 1) old "
        f"ON old.status IN {_LIVE} AND (b.ended_at IS NULL OR b.ended_at > %(since)s) "
        "LEFT JOIN LATERAL (SELECT max(c.effective_at) AS at "
        "  FROM cg_subscription_change c WHERE c.subscription_id = b.id "
        "  AND c.effective_at > %(since)s) last_change ON true "
        "WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
        "AND b.deleted_at IS NULL GROUP BY 1",
        {"ids": ids, "now": now, "since": since},
    )
    cancel_cap = CAPS.index("cancellation_scheduled")
    for row_ in cur.fetchall():
        customer_id, mrr, old_mrr, renews_at, cancels, all_over, over_at, at = row_
        row = index[customer_id]
        new_value, old_value = float(mrr or 0), float(old_mrr or 0)
        if old_value > 0:
            column = M["plan_change"]
            facts.values[row, column] = new_value / old_value
            facts.fact_a[row, column] = new_value
            facts.fact_b[row, column] = old_value
            if at is not None:
                facts.fact_at[row, column] = at.timestamp()
        column = M["renewal"]
        if all_over:
            facts.values[row, column] = facts.fact_a[row, column] = 0.0
            facts.fact_b[row, column] = 1.0
            facts.fact_at[row, column] = over_at.timestamp()
        elif renews_at is not None:
            days = (renews_at - now).total_seconds() / DAY_S
            facts.values[row, column] = facts.fact_a[row, column] = days
            facts.fact_at[row, column] = renews_at.timestamp()
        facts.capped[row, cancel_cap] = bool(cancels) or bool(all_over)
