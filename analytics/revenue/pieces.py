"""The one rule of what a subscription was worth when, as SQL.

Every stored version of a subscription becomes pieces of time [starts_at, ends_at) in
one state; only the states in COUNTED are recurring revenue. The first version known
also holds for the time back to the subscription's start.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from analytics.revenue.policy import Policy, get_policy
from analytics.segments.members import Members
from churnguard.currencies import THREE_DECIMAL, ZERO_DECIMAL
from churnguard.models import Organization

COUNTED = ("active", "past_due")
_COUNTED_SQL = "('active', 'past_due')"

# OFFSET 0 where an expression would else be computed again for each of its uses.
PIECES = """
subs AS (
    SELECT b.id, cs.customer_id, b.started_at, b.canceled_at, b.ended_at, b.deleted_at,
        b.status AS status_now, b.created_at,
        CASE WHEN b.is_trial THEN coalesce(b.trial_ends_at, 'infinity') END AS trial_to,
        b.trial_ends_at, b.plan, b.currency, b.mrr_minor
    FROM cg_subscription b
    LEFT JOIN cg_customer_source cs ON cs.id = b.customer_source_id
    WHERE b.organization_id = %(org)s {narrow}
), followed AS (
    SELECT s.*, v.*, lead(v.at) OVER w AS next_at, row_number() OVER w = 1 AS is_first,
        v.status = 'past_due' AND lag(v.status) OVER w IS DISTINCT FROM 'past_due'
            AS starts_run
    FROM subs s LEFT JOIN cg_subscription_change c ON c.subscription_id = s.id
    CROSS JOIN LATERAL (
        SELECT c.id AS change_id, c.effective_at AS at, c.known_at, c.status,
            c.plan AS plan_then, c.currency AS currency_stored, c.mrr_minor AS mrr_then
        WHERE c.id IS NOT NULL
        UNION ALL
        SELECT 0, coalesce(s.started_at, s.created_at), s.created_at, s.status_now,
            s.plan, s.currency, s.mrr_minor
        WHERE c.id IS NULL
    ) v
    WINDOW w AS (PARTITION BY s.id ORDER BY v.at, v.change_id)
), versions AS (
    SELECT f.*, coalesce(nullif(upper(currency_stored), ''), %(base)s) AS currency_then,
        max(CASE WHEN starts_run THEN greatest(at, CASE
            WHEN at = started_at THEN known_at END) END)
            OVER (PARTITION BY id ORDER BY at, change_id) AS due_since
    FROM followed f
), bounded AS (
    SELECT v.*, CASE WHEN is_first THEN coalesce(started_at, at)
            ELSE greatest(at, started_at) END AS lo,
        greatest(trial_to, CASE WHEN is_first AND trial_ends_at IS NOT NULL
            THEN least(trial_ends_at, at) END)
            AS trial_until,
        least(CASE WHEN finish <= %(now)s THEN finish END, deleted_at) AS finish_at
    FROM versions v CROSS JOIN LATERAL (SELECT CASE %(churn_date)s
        WHEN 'canceled_at' THEN coalesce(canceled_at, ended_at)
        ELSE coalesce(ended_at, CASE WHEN status_now IN ('canceled', 'ended')
            THEN canceled_at END) END AS finish) f
    OFFSET 0
), stated AS (
    SELECT b.*, least(coalesce(next_at, 'infinity'), finish_at) AS hi,
        CASE WHEN status = 'trialing' THEN 'trial'
            WHEN status IN ('active', 'past_due', 'paused') THEN status
            WHEN status IN ('canceled', 'ended') THEN
                CASE WHEN finish_at IS NOT NULL AND (is_first OR next_at IS NULL)
                    THEN 'active' ELSE 'over' END
            WHEN status IN ('incomplete', 'incomplete_expired', 'unpaid') THEN 'unpaid'
            ELSE 'unknown' END AS state,
        CASE WHEN status = 'past_due'
            THEN due_since + %(grace)s * interval '1 day' END AS grace_until
    FROM bounded b
    OFFSET 0
), pieces AS (
    SELECT x.id AS subscription_id, x.customer_id, coalesce(x.plan_then, '') AS plan,
        x.currency_then AS currency, x.mrr_then AS mrr_minor, p.state, p.starts_at,
        p.ends_at
    FROM stated x CROSS JOIN LATERAL (VALUES
        ('trial', x.lo, least(x.trial_until, x.hi), x.trial_until IS NOT NULL),
        (x.state, greatest(x.lo, x.trial_until), least(x.hi, x.grace_until), true),
        ('past_due_over', greatest(x.lo, x.trial_until, x.grace_until), x.hi,
            x.grace_until IS NOT NULL)
    ) p (state, starts_at, ends_at, holds)
    WHERE p.holds AND p.starts_at < p.ends_at AND p.starts_at <= %(now)s
)"""


def _codes(codes: frozenset[str]) -> str:
    return ", ".join(f"'{code}'" for code in sorted(codes))


def scale(column: str) -> str:
    """SQL: decimal places of the minor unit of the currency in `column`."""
    return (
        f"CASE WHEN {column} IN ({_codes(ZERO_DECIMAL)}) THEN 0 "
        f"WHEN {column} IN ({_codes(THREE_DECIMAL)}) THEN 3 ELSE 2 END"
    )


def rates(days: str) -> str:
    """SQL: `base` (places) and `rates` (currency, factor), minor units of the currency
    to minor units of the base.

    Of the rates that the condition `days` on r.day leaves, the newest until %(day)s
    counts, else the first one after it.
    """
    return f"""
base AS (
    SELECT {scale("%(base)s::text")} AS places
), rates AS (
    SELECT %(base)s::text AS currency, 1::numeric AS factor
    UNION ALL
    (SELECT DISTINCT ON (r.currency) r.currency,
        r.rate * power(10::numeric, base.places - {scale("r.currency")})
    FROM cg_exchange_rate r, base
    WHERE r.organization_id = %(org)s AND r.currency <> %(base)s AND {days}
    ORDER BY r.currency, r.day > %(day)s, abs(r.day - %(day)s::date))
)"""


RATES = rates("r.day <= %(day)s")

CUSTOMER_MRR = f"""
WITH {PIECES}, {RATES}, sums AS (
    SELECT customer_id, currency, sum(mrr_minor) AS minor FROM pieces
    WHERE state IN {_COUNTED_SQL} AND starts_at <= %(at)s AND ends_at > %(at)s
    GROUP BY 1, 2
)
SELECT s.customer_id, sum(round(s.minor * r.factor))::bigint AS mrr
FROM sums s JOIN rates r USING (currency)
WHERE s.customer_id IS NOT NULL AND s.minor IS NOT NULL GROUP BY 1
"""
"""(customer_id, mrr): minor units of the base at the instant %(at)s. Customers without
a counted subscription, or without any rate for one, have no row."""


def of_customers(sql: str) -> str:
    """The statement for the customers in %(ids)s alone."""
    return sql.replace("{narrow}", "AND cs.customer_id = ANY(%(ids)s::bigint[])")


def of_everyone(sql: str) -> str:
    """The statement for all customers of the organisation."""
    return sql.replace("{narrow}", "")


def of_members(sql: str, members: Members | None) -> str:
    """The statement for the members of a saved segment, None = everyone; their values
    come on top of `parameters`."""
    narrow = f"AND cs.customer_id IN ({members.sql})" if members else ""
    return sql.replace("{narrow}", narrow)


def invoices_of(sql: str, members: Members | None) -> str:
    """A statement over cg_invoice whose {members} narrows it likewise."""
    narrow = (
        "AND customer_source_id IN (SELECT cs.id FROM cg_customer_source cs "
        f"WHERE cs.customer_id IN ({members.sql}))"
        if members
        else ""
    )
    return sql.replace("{members}", narrow)


def parameters(
    organization: Organization, now: datetime, policy: Policy | None = None
) -> dict[str, Any]:
    """What PIECES needs. now: aware; nothing after it has happened yet."""
    chosen = policy or get_policy(organization)
    return {
        "org": organization.pk,
        "base": organization.base_currency.upper(),
        "now": now,
        "grace": chosen.past_due_grace_days,
        "churn_date": chosen.churn_date,
    }
