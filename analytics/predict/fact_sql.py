"""The queries behind `predict.features`: facts before a cutoff, one row a customer.

Parameters: org, base (its currency), ids (array literal of customer ids), at (cutoff,
aware), day (the cutoff as local date). A row deleted by its source counts until the
deletion.
"""

from __future__ import annotations

from analytics.revenue.pieces import rates

# Before the first rate the first one: a level that is known at scoring only would tell
# training from scoring.
_RATES = rates("true")

_CURRENCY = "coalesce(nullif(upper({}.currency), ''), %(base)s)"

_OF = (
    "JOIN cg_customer_source s ON s.id = x.customer_source_id "
    "WHERE s.customer_id = ANY(%(ids)s::bigint[]) "
    "AND (x.deleted_at IS NULL OR x.deleted_at >= %(at)s) "
)

USAGE = """
WITH days AS (
    SELECT s.customer_id, u.day, sum(u.n) AS n FROM cg_usage_day u
    JOIN cg_customer_source s ON s.id = u.customer_source_id
    WHERE s.customer_id = ANY(%(ids)s::bigint[])
    AND u.day < %(day)s AND u.day >= %(day)s::date - 365 AND u.n > 0
    GROUP BY 1, 2
), names AS (
    SELECT s.customer_id,
        count(DISTINCT u.user_key) FILTER (
            WHERE u.day >= %(day)s::date - 28 AND u.user_key <> '') AS users_now,
        count(DISTINCT u.user_key) FILTER (
            WHERE u.day < %(day)s::date - 28 AND u.user_key <> '') AS users_before,
        count(DISTINCT u.name) FILTER (WHERE u.day >= %(day)s::date - 28) AS now,
        count(DISTINCT u.name) FILTER (WHERE u.day < %(day)s::date - 28) AS before
    FROM cg_usage_day u JOIN cg_customer_source s ON s.id = u.customer_source_id
    WHERE s.customer_id = ANY(%(ids)s::bigint[])
    AND u.day < %(day)s AND u.day >= %(day)s::date - 56 AND u.n > 0
    GROUP BY 1
)
SELECT d.customer_id, %(day)s::date - max(d.day),
    count(*) FILTER (WHERE d.day >= %(day)s::date - 7),
    count(*) FILTER (WHERE d.day >= %(day)s::date - 28),
    count(*) FILTER (WHERE d.day >= %(day)s::date - 90),
    ln((coalesce(sum(d.n) FILTER (WHERE d.day >= %(day)s::date - 28), 0) + 1) / 28.0
        / ((coalesce(sum(d.n) FILTER (WHERE d.day < %(day)s::date - 28
            AND d.day >= %(day)s::date - 118), 0) + 3) / 90.0)),
    coalesce(max(n.users_now), 0),
    ln((coalesce(max(n.users_now), 0) + 1.0)
        / (coalesce(max(n.users_before), 0) + 1.0)),
    coalesce(max(n.now), 0),
    ln((coalesce(max(n.now), 0) + 1.0) / (coalesce(max(n.before), 0) + 1.0)),
    CASE WHEN count(*) > 2
        THEN (max(d.day) - min(d.day))::float / (count(*) - 1) END
FROM days d LEFT JOIN names n ON n.customer_id = d.customer_id
GROUP BY 1
"""

# A version counts if it was stored before the cutoff, or if it was back-filled (stored
# days after it took effect): then its own time is all there is.
VERSIONS = """
WITH versions AS (
    SELECT c.subscription_id, b.source_id, b.started_at, s.customer_id,
        c.effective_at, c.id, c.status, c.mrr_minor, c.quantity, c.currency
    FROM cg_subscription_change c JOIN cg_subscription b ON b.id = c.subscription_id
    JOIN cg_customer_source s ON s.id = b.customer_source_id
    WHERE c.organization_id = %(org)s AND c.effective_at < %(at)s
    AND (c.known_at < %(at)s OR c.known_at > c.effective_at + interval '2 days')
), firsts AS (
    SELECT DISTINCT ON (subscription_id) subscription_id, effective_at, status
    FROM versions ORDER BY subscription_id, effective_at, id
), whole AS (
    SELECT b.source_id FROM cg_subscription b
    LEFT JOIN firsts first ON first.subscription_id = b.id
    WHERE b.organization_id = %(org)s AND b.started_at < %(at)s
    GROUP BY 1
    HAVING avg(coalesce((first.effective_at <= b.started_at + interval '2 days'
        AND first.status IN ('active', 'trialing', 'past_due', 'incomplete'))::int, 0))
        >= 0.95
), known AS (
    SELECT v.* FROM versions v JOIN whole w ON w.source_id = v.source_id
    WHERE v.customer_id = ANY(%(ids)s::bigint[])
)
"""

SUBSCRIPTIONS = (
    VERSIONS
    + f"""
, {_RATES}, newest AS (
    SELECT DISTINCT ON (subscription_id) * FROM known
    ORDER BY subscription_id, effective_at DESC, id DESC
), older AS (
    SELECT DISTINCT ON (subscription_id) * FROM known
    WHERE effective_at < %(at)s - interval '90 days'
    ORDER BY subscription_id, effective_at DESC, id DESC
)
SELECT n.customer_id,
    sum(n.mrr_minor * now.factor) FILTER (WHERE n.status IN ('active', 'past_due'))
        / power(10::numeric, max(base.places)),
    ln((coalesce(sum(n.mrr_minor * coalesce(now.factor, 1)) FILTER (
            WHERE n.status IN ('active', 'past_due')), 0) + 100.0)
        / (nullif(sum(o.mrr_minor * coalesce(old.factor, 1)) FILTER (
            WHERE o.status IN ('active', 'past_due')), 0) + 100.0)),
    sum(n.quantity) FILTER (WHERE n.status IN ('active', 'past_due'))
FROM newest n CROSS JOIN base
LEFT JOIN older o ON o.subscription_id = n.subscription_id
LEFT JOIN rates now ON now.currency = {_CURRENCY.format("n")}
LEFT JOIN rates old ON old.currency = {_CURRENCY.format("o")}
GROUP BY 1
"""
)

# What a subscription is billed for each time is told by its invoices: its interval is
# overwritten when the plan changes.
RENEWAL = f"""
WITH bills AS (
    SELECT s.customer_id, x.subscription_id, x.issued_at, x.issued_at - lag(x.issued_at)
        OVER (PARTITION BY s.customer_id, x.subscription_id
            ORDER BY x.issued_at, x.id) AS gap
    FROM cg_invoice x {_OF}
    AND x.issued_at < %(at)s AND x.total_minor > 0 AND x.status IS DISTINCT FROM 'draft'
), newest AS (
    SELECT DISTINCT ON (customer_id, subscription_id) customer_id, issued_at,
        coalesce(gap, %(at)s - issued_at) AS length, gap IS NULL AS is_first
    FROM bills ORDER BY customer_id, subscription_id, issued_at DESC
), planned AS (
    SELECT customer_id, issued_at + CASE WHEN length > interval '120 days'
        THEN interval '365.25 days' WHEN length > interval '45 days'
        THEN interval '91.3125 days' WHEN NOT is_first
        THEN interval '30.4375 days' END AS at FROM newest
)
SELECT customer_id,
    min(greatest(extract(epoch FROM at - %(at)s) / 86400.0, 0))
FROM planned WHERE at > %(at)s - interval '45 days' GROUP BY 1
"""

INVOICES = f"""
WITH {_RATES}, bills AS (
    SELECT s.customer_id, x.*, x.total_minor * r.factor AS base_minor,
        x.total_minor * coalesce(r.factor, 1) AS size
    FROM cg_invoice x LEFT JOIN rates r ON r.currency = {_CURRENCY.format("x")} {_OF}
    AND x.issued_at < %(at)s AND x.status IS DISTINCT FROM 'draft'
), newest AS (
    SELECT DISTINCT ON (customer_id) customer_id, base_minor, size FROM bills
    WHERE total_minor > 0 ORDER BY customer_id, issued_at DESC, id DESC
), older AS (
    SELECT DISTINCT ON (customer_id) customer_id, size FROM bills
    WHERE total_minor > 0 AND issued_at < %(at)s - interval '90 days'
    ORDER BY customer_id, issued_at DESC, id DESC
)
SELECT b.customer_id,
    coalesce(sum(b.failed_attempts) FILTER (WHERE b.last_failed_at < %(at)s
        AND b.last_failed_at >= %(at)s - interval '90 days'), 0),
    count(*) FILTER (WHERE b.due_at < %(at)s
        AND b.due_at >= %(at)s - interval '180 days'
        AND (b.paid_at IS NULL OR b.paid_at >= %(at)s) AND b.total_minor > 0),
    count(*) FILTER (WHERE b.paid_at < %(at)s
        AND b.paid_at >= %(at)s - interval '180 days'
        AND b.paid_at > b.due_at + interval '3 days'),
    max(n.base_minor) / power(10::numeric, max(base.places)),
    ln((max(n.size) + 100.0) / (max(o.size) + 100.0))
FROM bills b CROSS JOIN base LEFT JOIN newest n ON n.customer_id = b.customer_id
LEFT JOIN older o ON o.customer_id = b.customer_id
GROUP BY 1
"""

TICKETS = f"""
SELECT s.customer_id,
    count(*) FILTER (WHERE x.opened_at >= %(at)s - interval '28 days'),
    count(*) FILTER (WHERE x.opened_at >= %(at)s - interval '90 days'),
    count(*) FILTER (WHERE x.opened_at >= %(at)s - interval '90 days'
        AND x.priority IN ('urgent', 'high')),
    coalesce(sum(x.reopen_count) FILTER (WHERE coalesce(x.closed_at, x.solved_at)
        < %(at)s AND coalesce(x.closed_at, x.solved_at)
        >= %(at)s - interval '90 days'), 0),
    count(*) FILTER (WHERE coalesce(x.solved_at, x.closed_at) IS NULL
        OR coalesce(x.solved_at, x.closed_at) >= %(at)s),
    avg(x.satisfaction_pct) FILTER (WHERE coalesce(x.closed_at, x.solved_at)
        < %(at)s AND coalesce(x.closed_at, x.solved_at)
        >= %(at)s - interval '180 days')
FROM cg_ticket x {_OF} AND x.opened_at < %(at)s
GROUP BY 1
"""

CONVERSATIONS = f"""
SELECT s.customer_id,
    count(*) FILTER (WHERE x.started_at >= %(at)s - interval '90 days'),
    extract(epoch FROM %(at)s - max(x.started_at)) / 86400.0
FROM cg_conversation x {_OF} AND x.started_at < %(at)s
GROUP BY 1
"""

MAILS = f"""
SELECT s.customer_id,
    count(*) FILTER (WHERE x.occurred_at >= %(at)s - interval '90 days'
        AND x.kind IN ('open', 'opened', 'click', 'clicked', 'reply', 'replied')),
    extract(epoch FROM %(at)s - max(x.occurred_at) FILTER (
        WHERE x.kind IN ('open', 'opened', 'click', 'clicked', 'reply', 'replied'))
    ) / 86400.0
FROM cg_campaign_engagement x {_OF} AND x.occurred_at < %(at)s
GROUP BY 1
"""

SURVEYS = f"""
WITH answers AS (
    SELECT s.customer_id, x.answered_at, x.id, 100.0 * (x.score
        - coalesce(x.scale_min, 0)) / nullif(coalesce(x.scale_max,
        CASE WHEN x.kind = 'nps' THEN 10 ELSE 5 END) - coalesce(x.scale_min, 0), 0)
        AS pct
    FROM cg_survey_response x {_OF} AND x.answered_at < %(at)s
)
SELECT customer_id, (array_agg(pct ORDER BY answered_at DESC, id DESC))[1],
    avg(pct) FILTER (WHERE answered_at >= %(at)s - interval '365 days'),
    extract(epoch FROM %(at)s - max(answered_at)) / 86400.0
FROM answers GROUP BY 1
"""

TENURE = """
SELECT f.customer_id, extract(epoch FROM %(at)s - min(f.at)) / 86400.0 FROM (
    SELECT s.customer_id, s.signup_at AS at FROM cg_customer_source s
    WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND s.signup_at < %(at)s
    UNION ALL
    SELECT s.customer_id, b.started_at FROM cg_subscription b
    JOIN cg_customer_source s ON s.id = b.customer_source_id
    WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND b.started_at < %(at)s
    UNION ALL
    SELECT s.customer_id, first.day::timestamptz FROM cg_customer_source s
    CROSS JOIN LATERAL (SELECT min(u.day) AS day FROM cg_usage_day u
        WHERE u.customer_source_id = s.id AND u.day < %(day)s) first
    WHERE s.customer_id = ANY(%(ids)s::bigint[]) AND first.day IS NOT NULL
) f GROUP BY 1
"""

QUERIES: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "usage",
        USAGE,
        (
            "days_since_use",
            "active_days_7",
            "active_days_28",
            "active_days_90",
            "usage_trend",
            "users_28",
            "users_trend",
            "features_28",
            "features_trend",
            "usual_gap_days",
        ),
    ),
    ("billing", SUBSCRIPTIONS, ("mrr", "mrr_change_90", "seats")),
    ("billing", RENEWAL, ("days_to_renewal",)),
    (
        "billing",
        INVOICES,
        (
            "failed_payments_90",
            "overdue_invoices",
            "late_payments_180",
            "billed_last",
            "billed_change",
        ),
    ),
    (
        "support",
        TICKETS,
        (
            "tickets_28",
            "tickets_90",
            "urgent_90",
            "reopened_90",
            "open_tickets",
            "ticket_rating_180",
        ),
    ),
    ("engagement", CONVERSATIONS, ("conversations_90", "days_since_conversation")),
    ("engagement", MAILS, ("mails_answered_90", "days_since_mail")),
    ("sentiment", SURVEYS, ("survey_last", "survey_mean_365", "days_since_survey")),
    ("tenure", TENURE, ("tenure_days",)),
)
"""(group, statement, names of its columns after the customer id)."""
