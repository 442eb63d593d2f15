"""What the checks of each entity look at: its living rows beside what they refer to.

Every relation is limited to one organisation (`%(org)s`) and has the alias t for the
row itself, o for the customer record it belongs to (same source).
"""

from __future__ import annotations

from integrations.load.statements import TABLES

OPEN = "('active', 'trialing', 'past_due', 'paused')"
CHURN_KIND = "'churn|cancel(l)?ation|attrition'"
"""Kinds of kept objects that say that a customer left."""
_LEFT_WORDS = "('churned', 'cancelled', 'canceled', 'former', 'lost', 'ended')"
_HERE_WORDS = "('active', 'customer', 'paying', 'current', 'live')"
_LEFT_KEY = "'^(is_|has_)?(churn|churned|cancelled|canceled|former)(_flag)?$'"
_TRIAL_KEY = "'^(is_|on_|in_)?trial(ing)?(_flag)?$'"
_BACK_KEY = "'^(is_|was_)?(reactivat|win_?back)[a-z]*(_flag)?$'"

EVENTS_AT_MOST = 1_000_000
"""Usage events are checked on the newest of the last 30 days, at most this many."""


def flag(pattern: str) -> str:
    """SQL: what a yes/no field of the source's own says; NULL where there is none."""
    return (
        "(SELECT bool_or(f.value = 'true'::jsonb) FROM jsonb_each(t.custom) f "
        f"WHERE f.key ~* {pattern} AND jsonb_typeof(f.value) = 'boolean')"
    )


SAYS_LEFT = flag(_LEFT_KEY)
SAYS_TRIAL = flag(_TRIAL_KEY)
SAYS_BACK = flag(_BACK_KEY)

_OWNER = "LEFT JOIN cg_customer_source o ON o.id = t.customer_source_id"
_SUBSCRIPTIONS = f"""(
    SELECT cs.customer_id, count(*) AS n,
        count(*) FILTER (WHERE s.status IN {OPEN}) AS open,
        count(*) FILTER (WHERE s.status IN {OPEN} AND s.is_trial IS NOT TRUE
            AND s.status <> 'trialing' AND s.mrr_minor > 0) AS paying,
        count(*) FILTER (WHERE coalesce(s.ended_at, s.canceled_at) IS NOT NULL) AS ended
    FROM cg_subscription s JOIN cg_customer_source cs ON cs.id = s.customer_source_id
    WHERE s.organization_id = %(org)s AND s.deleted_at IS NULL GROUP BY 1
)"""
_PLANS = f"""(
    SELECT customer_source_id, array_agg(DISTINCT lower(plan)) AS plans
    FROM cg_subscription WHERE organization_id = %(org)s AND deleted_at IS NULL
        AND status IN {OPEN} AND plan <> '' GROUP BY 1
)"""
_DEPARTURES = f"""(
    SELECT customer_source_id, count(*) AS n FROM cg_source_object
    WHERE organization_id = %(org)s AND deleted_at IS NULL AND kind ~* {CHURN_KIND}
    GROUP BY 1
)"""
_CUSTOMER = f"""cg_customer_source t
LEFT JOIN cg_customer_source o ON o.id = t.id
LEFT JOIN {_SUBSCRIPTIONS} sub ON sub.customer_id = t.customer_id
LEFT JOIN {_PLANS} own ON own.customer_source_id = t.id
LEFT JOIN {_DEPARTURES} gone ON gone.customer_source_id = t.id
CROSS JOIN LATERAL (SELECT
    CASE WHEN t.churned_at <= now() THEN true
        WHEN lower(t.status) IN {_LEFT_WORDS} THEN true
        WHEN lower(t.lifecycle_stage) IN {_LEFT_WORDS} THEN true
        WHEN lower(t.status) IN {_HERE_WORDS} THEN false
        ELSE {SAYS_LEFT} END AS has_left,
    {SAYS_TRIAL} AS on_trial
) said"""
_SUBSCRIPTION = f"""cg_subscription t {_OWNER}
LEFT JOIN (
    SELECT source_id, subscription_id, currency, issued_at, total_minor,
        CASE WHEN days >= 25 THEN greatest(1, round(days / 30.4375)) ELSE days * 12
            / 365.0 END AS months
    FROM (
        SELECT i.*, row_number() OVER same_one AS nr,
            extract(epoch FROM i.issued_at - lead(i.issued_at) OVER same_one)
                / 86400.0 AS days
        FROM cg_invoice i WHERE i.organization_id = %(org)s AND i.deleted_at IS NULL
            AND i.subscription_id <> '' AND i.total_minor > 0
            AND i.status IN ('open', 'paid', 'uncollectible')
        WINDOW same_one AS (PARTITION BY i.source_id, i.subscription_id
            ORDER BY i.issued_at DESC, i.id DESC)
    ) invoice WHERE nr = 1 AND days > 0.5
) billed ON billed.source_id = t.source_id AND billed.subscription_id = t.external_id
LEFT JOIN LATERAL (
    SELECT c.mrr_minor FROM cg_subscription_change c
    WHERE c.subscription_id = t.id AND c.effective_at <= billed.issued_at
    ORDER BY c.effective_at DESC, c.id DESC LIMIT 1
) then_ ON billed.issued_at IS NOT NULL"""
_EVENT = f"""(
    SELECT e.*, e.event_id AS external_id FROM cg_usage_event e
    WHERE e.organization_id = %(org)s AND e.batch_id >= %(first_batch)s
) t {_OWNER}
LEFT JOIN cg_subscription s ON s.source_id = t.source_id
    AND s.external_id = t.properties->>'subscription_id' AND s.deleted_at IS NULL"""
_OBJECT = f"""cg_source_object t {_OWNER}
LEFT JOIN {_SUBSCRIPTIONS} sub ON sub.customer_id = o.customer_id"""

FIRST_BATCH = f"""
SELECT coalesce(min(id) FILTER (WHERE upto <= {EVENTS_AT_MOST}), max(id)) FROM (
    SELECT id, sum(events) OVER (ORDER BY id DESC) AS upto FROM cg_batch
    WHERE organization_id = %(org)s AND events > 0
        AND received_at > now() - interval '30 days'
) b"""
"""The oldest batch whose events are checked; NULL when there is none."""


def relation(entity: str) -> str:
    """FROM and WHERE of an entity's rows."""
    if entity == "event":
        return f"FROM {_EVENT} WHERE t.organization_id = %(org)s"
    own = {"customer": _CUSTOMER, "object": _OBJECT, "subscription": _SUBSCRIPTION}
    source = own.get(entity, f"{TABLES[entity]} t {_OWNER}")
    stub = " AND NOT t.is_stub" if entity == "customer" else ""
    return (
        f"FROM {source} WHERE t.organization_id = %(org)s "
        f"AND t.deleted_at IS NULL{stub}"
    )


def row_key(entity: str) -> str:
    """SQL of what orders the rows: unique within the entity."""
    return "t.event_key" if entity == "event" else "t.id"


def sent_by_source(entity: str, condition: str = "true") -> str:
    """SQL: whether the row's source has any such row, so that a link can resolve."""
    real = "NOT is_stub" if entity == "customer" else "true"
    return (
        f"t.source_id IN (SELECT source_id FROM {TABLES[entity]} WHERE "
        f"organization_id = %(org)s AND deleted_at IS NULL AND {real} AND {condition})"
    )
