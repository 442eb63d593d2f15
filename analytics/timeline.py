"""One customer's history over all sources, newest first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from churnguard.models import Customer

_PARTS: dict[str, str] = {
    "event": (
        "SELECT x.ts, 'event', s.source_id, x.name, "
        "jsonb_build_object('user', x.user_key, 'properties', x.properties) "
        "FROM cg_usage_event x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.ts < %(before)s ORDER BY x.ts DESC LIMIT %(limit)s"
    ),
    "ticket": (
        "SELECT x.opened_at, 'ticket', s.source_id, "
        "coalesce(x.subject, x.external_id), "
        "jsonb_build_object('status', x.status, 'priority', x.priority, "
        "'satisfaction_pct', x.satisfaction_pct) "
        "FROM cg_ticket x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.opened_at < %(before)s ORDER BY x.opened_at DESC LIMIT %(limit)s"
    ),
    "invoice": (
        "SELECT x.issued_at, 'invoice', s.source_id, "
        "coalesce(x.number, x.external_id), "
        "jsonb_build_object('status', x.status, 'total_minor', x.total_minor, "
        "'currency', x.currency, 'due_at', x.due_at) "
        "FROM cg_invoice x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.issued_at < %(before)s ORDER BY x.issued_at DESC LIMIT %(limit)s"
    ),
    "subscription": (
        "SELECT h.effective_at, 'subscription', s.source_id, "
        "coalesce(h.plan, x.external_id), jsonb_build_object('status', h.status, "
        "'mrr_minor', h.mrr_minor, 'currency', h.currency, 'quantity', h.quantity) "
        "FROM cg_subscription_change h JOIN cg_subscription x "
        "ON x.id = h.subscription_id JOIN refs s ON s.id = x.customer_source_id "
        "WHERE h.effective_at < %(before)s ORDER BY h.effective_at DESC LIMIT %(limit)s"
    ),
    "conversation": (
        "SELECT x.started_at, 'conversation', s.source_id, "
        "coalesce(x.subject, x.kind, x.external_id), "
        "jsonb_build_object('kind', x.kind, "
        "'direction', x.direction, 'status', x.status) "
        "FROM cg_conversation x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.started_at < %(before)s ORDER BY x.started_at DESC LIMIT %(limit)s"
    ),
    "survey_response": (
        "SELECT x.answered_at, 'survey_response', s.source_id, "
        "coalesce(x.kind, 'survey'), jsonb_build_object('score', x.score, 'scale_max', "
        "x.scale_max, 'comment', x.comment) "
        "FROM cg_survey_response x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.answered_at < %(before)s ORDER BY x.answered_at DESC LIMIT %(limit)s"
    ),
    "deal": (
        "SELECT coalesce(x.close_at, x.opened_at), 'deal', s.source_id, "
        "coalesce(x.name, x.external_id), jsonb_build_object('stage', x.stage, "
        "'status', x.status, 'amount_minor', x.amount_minor, 'currency', x.currency) "
        "FROM cg_deal x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE coalesce(x.close_at, x.opened_at) < %(before)s "
        "ORDER BY 1 DESC LIMIT %(limit)s"
    ),
    "campaign_engagement": (
        "SELECT x.occurred_at, 'campaign_engagement', s.source_id, "
        "coalesce(x.campaign, x.external_id), jsonb_build_object('kind', x.kind) "
        "FROM cg_campaign_engagement x JOIN refs s ON s.id = x.customer_source_id "
        "WHERE x.occurred_at < %(before)s ORDER BY x.occurred_at DESC LIMIT %(limit)s"
    ),
}
KINDS = tuple(_PARTS)


@dataclass(frozen=True, slots=True)
class Moment:
    """kind: a key of KINDS; source: its name; facts: what the row says, by kind."""

    at: datetime
    kind: str
    source: str
    title: str
    facts: dict[str, Any]


def list_moments(
    customer: Customer,
    *,
    before: datetime,
    kinds: tuple[str, ...] = KINDS,
    limit: int = 50,
) -> list[Moment]:
    """At most `limit` moments strictly before `before`, newest first."""
    parts = " UNION ALL ".join(f"({_PARTS[kind]})" for kind in kinds)
    with connection.cursor() as cur:
        cur.execute(
            "WITH refs AS (SELECT id, source_id FROM cg_customer_source "
            "WHERE customer_id = %(customer)s) "
            f"SELECT m.*, src.name FROM ({parts}) AS m (at, kind, source_id, title, "
            "facts) JOIN cg_source src ON src.id = m.source_id "
            "ORDER BY m.at DESC LIMIT %(limit)s",
            {"customer": customer.pk, "before": before, "limit": limit},
        )
        rows = cur.fetchall()
    return [
        Moment(at=at, kind=kind, source=source, title=title, facts=json.loads(facts))
        for at, kind, _source_id, title, facts, source in rows
    ]
