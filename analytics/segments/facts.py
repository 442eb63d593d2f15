"""Facts of customers as SQL: each statement gives (customer_id, ..) of an organisation.

Values are %(seg_org)s, %(seg_now)s (an instant), %(seg_today)s (a local day),
%(seg_base)s (the base currency); {p} stands for the names of a condition's own values.
No braces and no percent signs may be left, because reports put these into others.
"""

from __future__ import annotations

_LIVE = "('active', 'trialing', 'past_due')"

_OF_SOURCES = "JOIN cg_customer_source s ON s.id = x.customer_source_id"


def active_days(days: int) -> str:
    """n: local days with an event among the last `days`, today included; a day that
    two identities share counts once. days: at most 120, what a window surely holds."""
    first = f"(%(seg_today)s::date - {days - 1} - w.base_day + 1)"
    last = "(%(seg_today)s::date - w.base_day + 1)"
    slice_sql = f"w.days[greatest(1, {first}):{last}]"
    # The inner count runs for customers with several windows alone, and those are few.
    return (
        "SELECT s.customer_id, CASE WHEN count(*) = 1 "
        f"THEN max(cardinality(array_remove({slice_sql}, 0))) ELSE ("
        "SELECT count(DISTINCT w.base_day + u.i::int) FROM cg_customer_source o "
        "JOIN cg_usage_window w ON w.customer_source_id = o.id "
        "CROSS JOIN LATERAL unnest(w.days) WITH ORDINALITY u (n, i) "
        "WHERE o.customer_id = s.customer_id AND u.n > 0 "
        f"AND u.i BETWEEN {first} AND {last}) END AS n "
        "FROM cg_usage_window w "
        "JOIN cg_customer_source s ON s.id = w.customer_source_id "
        "WHERE w.organization_id = %(seg_org)s GROUP BY s.customer_id"
    )


LAST_SEEN = (
    "SELECT s.customer_id, max(x.last_event_at) AS at FROM cg_usage_window x "
    f"{_OF_SOURCES} WHERE x.organization_id = %(seg_org)s GROUP BY 1"
)

# Summed by identity first: joining each row to its identity costs more than reading it.
EVENTS = (
    "SELECT s.customer_id, sum(x.n) AS n FROM ("
    "SELECT d.customer_source_id, sum(d.n) AS n FROM cg_usage_day d "
    "WHERE d.organization_id = %(seg_org)s "
    "AND d.day > %(seg_today)s::date - %({p}_days)s::int "
    "AND d.day <= %(seg_today)s::date "
    "AND (%({p}_event)s::text = '' OR d.name = %({p}_event)s) GROUP BY 1) x "
    f"{_OF_SOURCES} GROUP BY 1"
)

OPEN_TICKETS = (
    f"SELECT s.customer_id, count(*) AS n FROM cg_ticket x {_OF_SOURCES} "
    "WHERE x.organization_id = %(seg_org)s AND x.deleted_at IS NULL "
    "AND x.solved_at IS NULL AND x.closed_at IS NULL "
    "AND coalesce(x.status, '') NOT IN ('solved', 'closed') GROUP BY 1"
)

CSAT = (
    "SELECT s.customer_id, sum(x.total) / sum(x.n) AS pct FROM ("
    "SELECT y.customer_source_id, sum(y.pct) AS total, count(*) AS n FROM ("
    "SELECT t.customer_source_id, t.satisfaction_pct AS pct, "
    "coalesce(t.solved_at, t.closed_at, t.opened_at) AS at "
    "FROM cg_ticket t WHERE t.organization_id = %(seg_org)s "
    "AND t.satisfaction_pct IS NOT NULL AND t.deleted_at IS NULL "
    "UNION ALL SELECT r.customer_source_id, 100 * (r.score - coalesce(r.scale_min, 0)) "
    "/ nullif(r.scale_max - coalesce(r.scale_min, 0), 0), r.answered_at "
    "FROM cg_survey_response r WHERE r.organization_id = %(seg_org)s "
    "AND r.kind = 'csat' AND r.deleted_at IS NULL) y "
    "WHERE y.at > %(seg_now)s::timestamptz - interval '180 days' "
    "AND y.at <= %(seg_now)s AND y.pct IS NOT NULL GROUP BY 1) x "
    f"{_OF_SOURCES} GROUP BY 1"
)
"""What the health score takes for CSAT."""

OVERDUE = (
    f"SELECT s.customer_id, count(*) AS n FROM cg_invoice x {_OF_SOURCES} "
    "WHERE x.organization_id = %(seg_org)s AND x.deleted_at IS NULL "
    "AND x.status IN ('open', 'uncollectible') AND x.paid_at IS NULL "
    "AND x.due_at < %(seg_now)s GROUP BY 1"
)

TERMS = (
    "SELECT s.customer_id, "
    "min(x.period_ends_at) FILTER (WHERE x.period_ends_at >= %(seg_now)s) "
    "AS renewal_at, min(x.cancel_at) AS cancel_at "
    f"FROM cg_subscription x {_OF_SOURCES} WHERE x.organization_id = %(seg_org)s "
    f"AND x.deleted_at IS NULL AND x.status IN {_LIVE} "
    "AND (x.ended_at IS NULL OR x.ended_at > %(seg_now)s) GROUP BY 1"
)

CURRENCY = (
    f"SELECT DISTINCT s.customer_id FROM cg_subscription x {_OF_SOURCES} "
    "WHERE x.organization_id = %(seg_org)s AND x.deleted_at IS NULL"
)
CURRENCY_IS = (
    " AND coalesce(nullif(upper(x.currency), ''), %(seg_base)s) = ANY(%({p})s::text[])"
)

SOURCE = (
    "SELECT DISTINCT s.customer_id FROM cg_customer_source s "
    "JOIN cg_source o ON o.id = s.source_id "
    "WHERE s.organization_id = %(seg_org)s AND s.deleted_at IS NULL"
)
SOURCE_IS = " AND (o.name = ANY(%({p})s::text[]) OR o.kind = ANY(%({p})s::text[]))"

EXTERNAL_ID = (
    "SELECT DISTINCT s.customer_id FROM cg_customer_source s "
    "WHERE s.organization_id = %(seg_org)s"
)
EXTERNAL_ID_IS = " AND s.external_id = ANY(%({p})s::text[])"

HIGH_FROM = (
    "least(0.5, (SELECT percentile_disc(0.9) WITHIN GROUP (ORDER BY "
    "x.churn_probability) FROM cg_customer x WHERE x.organization_id = %(seg_org)s "
    "AND x.merged_into_id IS NULL AND x.churn_probability IS NOT NULL))"
)
"""From which probability on the built-in segment high_risk takes a customer."""

RISK_BAND = (
    "CASE WHEN c.churn_probability IS NULL THEN 'unknown' "
    f"WHEN c.churn_probability >= {HIGH_FROM} THEN 'high' "
    f"WHEN c.churn_probability >= 0.5 * {HIGH_FROM} THEN 'medium' ELSE 'low' END"
)


def component(metrics: tuple[str, ...]) -> str:
    """score: 0-100 of the metrics of one health component in the newest ledger of
    customer c, weighted, before ageing. For a lateral join."""
    names = ", ".join(f"'{name}'" for name in metrics)
    return (
        "SELECT sum((p.line->>1)::float8 * (p.line->>3)::float8) "
        "/ nullif(sum((p.line->>3)::float8), 0) AS score "
        "FROM (SELECT h.parts FROM an_health_score h WHERE h.customer_id = c.id "
        "AND c.score IS NOT NULL ORDER BY h.at DESC LIMIT 1) h "
        "CROSS JOIN LATERAL jsonb_array_elements(h.parts) p (line) "
        f"WHERE p.line->>0 IN ({names})"
    )
