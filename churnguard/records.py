"""The unified records: what every door (sync, ingest, webhook, file) hands to load.

One frozen struct per record type. Field names are the column names of the unified
model and the keys the ingest API accepts. Times are aware datetimes in UTC, money is
an integer in minor units of `currency` (ISO 4217, upper case), raw is the provider's
own JSON object.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """What all records share.

    external_id: the id inside the source, unique per (source, record type).
    version, updated_at: the source's own order; the higher one wins, whatever the
    order of arrival. deleted: the source says the object is gone (values are kept).
    custom: provider fields without a place in the unified model, JSON-safe.
    """

    external_id: str
    updated_at: datetime | None = None
    version: int | None = None
    deleted: bool = False
    custom: dict[str, Any] = {}
    raw: dict[str, Any] = {}

    TYPE: ClassVar[str] = ""


class CustomerRecord(Record, frozen=True, kw_only=True):
    """A company (account). `links` are ids of the same company elsewhere:
    {"salesforce": "001..", "stripe": "cus_.."} as the source itself states them."""

    TYPE: ClassVar[str] = "customer"
    name: str | None = None
    domain: str | None = None
    email: str | None = None
    phone: str | None = None
    country: str | None = None
    industry: str | None = None
    segment: str | None = None
    plan: str | None = None
    seats: int | None = None
    employees: int | None = None
    owner: str | None = None
    lifecycle_stage: str | None = None
    status: str | None = None
    signup_at: datetime | None = None
    churned_at: datetime | None = None
    parent_external_id: str | None = None
    links: dict[str, str] = {}


class ContactRecord(Record, frozen=True, kw_only=True):
    """A person at a customer. user_id: who they are in the product; links: ids of the
    same person elsewhere, as in `CustomerRecord`."""

    TYPE: ClassVar[str] = "contact"
    customer_id: str | None = None
    email: str | None = None
    name: str | None = None
    phone: str | None = None
    title: str | None = None
    role: str | None = None
    lifecycle_stage: str | None = None
    is_champion: bool | None = None
    opted_out: bool | None = None
    last_contacted_at: datetime | None = None
    joined_at: datetime | None = None
    user_id: str | None = None
    links: dict[str, str] = {}


class SubscriptionRecord(Record, frozen=True, kw_only=True):
    """status: trialing, active, past_due, paused, canceled, ended, incomplete.
    mrr_minor: normalised to one month, after recurring discounts."""

    TYPE: ClassVar[str] = "subscription"
    customer_id: str | None = None
    status: str | None = None
    plan: str | None = None
    quantity: int | None = None
    currency: str | None = None
    mrr_minor: int | None = None
    interval: str | None = None
    is_trial: bool | None = None
    auto_renew: bool | None = None
    started_at: datetime | None = None
    trial_ends_at: datetime | None = None
    period_starts_at: datetime | None = None
    period_ends_at: datetime | None = None
    cancel_at: datetime | None = None
    canceled_at: datetime | None = None
    ended_at: datetime | None = None
    cancel_reason: str | None = None


class InvoiceRecord(Record, frozen=True, kw_only=True):
    """status: draft, open, paid, void, uncollectible. lines: list of
    {amount_minor, currency, period_start, period_end, description, proration}, and
    usage: true where the line charges what was used."""

    TYPE: ClassVar[str] = "invoice"
    customer_id: str | None = None
    subscription_id: str | None = None
    number: str | None = None
    status: str | None = None
    currency: str | None = None
    total_minor: int | None = None
    paid_minor: int | None = None
    refunded_minor: int | None = None
    issued_at: datetime | None = None
    due_at: datetime | None = None
    paid_at: datetime | None = None
    failed_attempts: int | None = None
    last_failed_at: datetime | None = None
    lines: list[dict[str, Any]] = []


class DealRecord(Record, frozen=True, kw_only=True):
    """An opportunity. status: open, won, lost."""

    TYPE: ClassVar[str] = "deal"
    customer_id: str | None = None
    name: str | None = None
    stage: str | None = None
    status: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    opened_at: datetime | None = None
    close_at: datetime | None = None
    owner: str | None = None


class TicketRecord(Record, frozen=True, kw_only=True):
    """status: open, pending, on_hold, solved, closed. priority: low, normal, high,
    urgent. satisfaction_pct: 0-100, as the source's rating scale maps to it."""

    TYPE: ClassVar[str] = "ticket"
    customer_id: str | None = None
    contact_id: str | None = None
    subject: str | None = None
    status: str | None = None
    priority: str | None = None
    channel: str | None = None
    team: str | None = None
    assignee: str | None = None
    opened_at: datetime | None = None
    first_replied_at: datetime | None = None
    solved_at: datetime | None = None
    closed_at: datetime | None = None
    reopen_count: int | None = None
    reply_count: int | None = None
    is_escalated: bool | None = None
    is_first_contact_resolved: bool | None = None
    satisfaction_pct: float | None = None


class ConversationRecord(Record, frozen=True, kw_only=True):
    """A chat, call, mail thread, meeting or task. direction: in, out, both."""

    TYPE: ClassVar[str] = "conversation"
    customer_id: str | None = None
    contact_id: str | None = None
    kind: str | None = None
    subject: str | None = None
    status: str | None = None
    direction: str | None = None
    owner: str | None = None
    started_at: datetime | None = None
    last_message_at: datetime | None = None
    closed_at: datetime | None = None
    message_count: int | None = None
    rating_pct: float | None = None


class SurveyResponseRecord(Record, frozen=True, kw_only=True):
    """kind: nps (0-10), csat, ces, pulse. score: within scale_min..scale_max."""

    TYPE: ClassVar[str] = "survey_response"
    customer_id: str | None = None
    contact_id: str | None = None
    kind: str | None = None
    score: float | None = None
    scale_min: float | None = None
    scale_max: float | None = None
    comment: str | None = None
    answered_at: datetime | None = None


class CampaignEngagementRecord(Record, frozen=True, kw_only=True):
    """kind: sent, delivered, opened, clicked, bounced, unsubscribed, complained,
    attended, submitted."""

    TYPE: ClassVar[str] = "campaign_engagement"
    customer_id: str | None = None
    contact_id: str | None = None
    campaign: str | None = None
    kind: str | None = None
    occurred_at: datetime | None = None


class ObjectRecord(Record, frozen=True, kw_only=True):
    """A provider object with no place in the unified model (product, pipeline,
    association, table row): kept raw and selectable under its `kind`."""

    TYPE: ClassVar[str] = "object"
    kind: str = ""
    customer_id: str | None = None
    occurred_at: datetime | None = None


class EventRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Something a customer did. event_id: exact-dedupe key inside the source.
    customer_id, user_id: ids inside the source. value: optional amount to sum."""

    TYPE: ClassVar[str] = "event"
    event_id: str
    event: str
    timestamp: datetime
    customer_id: str | None = None
    user_id: str | None = None
    value: float | None = None
    properties: dict[str, Any] = {}


AnyRecord = Record | EventRecord

RECORD_TYPES: dict[str, type[Record] | type[EventRecord]] = {
    cls.TYPE: cls
    for cls in (
        CustomerRecord,
        ContactRecord,
        SubscriptionRecord,
        InvoiceRecord,
        DealRecord,
        TicketRecord,
        ConversationRecord,
        SurveyResponseRecord,
        CampaignEngagementRecord,
        ObjectRecord,
        EventRecord,
    )
}

ENTITY_TYPES: dict[str, type[Record]] = {
    name: cls for name, cls in RECORD_TYPES.items() if issubclass(cls, Record)
}

__all__ = [
    "ENTITY_TYPES",
    "RECORD_TYPES",
    "AnyRecord",
    "CampaignEngagementRecord",
    "ContactRecord",
    "ConversationRecord",
    "CustomerRecord",
    "DealRecord",
    "EventRecord",
    "InvoiceRecord",
    "ObjectRecord",
    "Record",
    "SubscriptionRecord",
    "SurveyResponseRecord",
    "TicketRecord",
]
