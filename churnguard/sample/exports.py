"""The export files: which tool, which columns, and how each maps to our fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from churnguard.sample import tables
from churnguard.sample.tables import Row
from churnguard.sample.users import support_users
from churnguard.sample.world import BILLING, CRM, SUPPORT, Customer

Transform = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    """target: field of the unified record, "" where the file connector shall keep the
    column as a custom field."""

    header: str
    target: str = ""
    transform: Transform | None = None


@dataclass(frozen=True, slots=True)
class Export:
    """One file. rows: cells in the order of `columns`."""

    name: str
    source: str
    record_type: str
    columns: tuple[Column, ...]
    rows: Callable[[Iterable[Customer]], Iterator[Row]]
    constants: tuple[tuple[str, Any], ...] = ()

    def column(self, header: str) -> int:
        """The place of a column. Raises ValueError when there is none."""
        return [one.header for one in self.columns].index(header)

    def mapping(self) -> dict[str, Any]:
        """{"record_type", "rules"} as the file connector takes it."""
        rules: list[dict[str, Any]] = []
        for one in self.columns:
            if one.target:
                rule: dict[str, Any] = {"target": one.target, "source": one.header}
                if one.transform:
                    rule["transform"] = one.transform
                rules.append(rule)
        for target, value in self.constants:
            rules.append(
                {"target": target, "transform": {"kind": "constant", "value": value}}
            )
        return {"record_type": self.record_type, "rules": rules}


def _date(form: str = "") -> Transform:
    return {"kind": "date", "formats": [form]} if form else {"kind": "date"}


def _money(currency_column: str) -> Transform:
    return {"kind": "money", "currency_source": currency_column}


def _lookup(**table: Any) -> Transform:
    return {
        "kind": "lookup",
        "table": {key.replace("_", " "): value for key, value in table.items()},
    }


NUMBER: Transform = {"kind": "number"}
FLAG: Transform = {"kind": "boolean"}
LOWER: Transform = {"kind": "lower"}
TRIM: Transform = {"kind": "trim"}
US_DAY, US_TIME = _date("%m/%d/%Y"), _date("%m/%d/%Y %I:%M %p")
ISO, PLAIN = _date(), _date("%Y-%m-%d %H:%M:%S")
EPOCH: Transform = {"kind": "date", "unit": "s"}

EXPORTS: tuple[Export, ...] = (
    Export(
        "crm_accounts.csv",
        CRM,
        "customer",
        (
            Column("Account ID", "external_id"),
            Column("Company Name", "name", TRIM),
            Column("Website", "domain"),
            Column("Phone", "phone"),
            Column("Billing Country", "country"),
            Column("Industry", "industry"),
            Column("Segment", "segment"),
            Column("Employees", "employees", NUMBER),
            Column("Account Owner", "owner"),
            Column("Lifecycle Stage", "lifecycle_stage", LOWER),
            Column("Parent Account ID", "parent_external_id"),
            Column("Licensed Seats", "seats", NUMBER),
            Column("Plan", "plan"),
            Column("Created Date", "signup_at", US_DAY),
            Column("Churn Date", "churned_at", US_DAY),
            Column("Last Modified Date", "updated_at", US_TIME),
        ),
        tables.crm_accounts,
    ),
    Export(
        "crm_contacts.csv",
        CRM,
        "contact",
        (
            Column("Contact ID", "external_id"),
            Column("Account ID", "customer_id"),
            Column("Full Name", "name"),
            Column("Email", "email", LOWER),
            Column("Phone", "phone"),
            Column("Title", "title"),
            Column("Role", "role"),
            Column("Champion", "is_champion", FLAG),
            Column("Status", "lifecycle_stage", LOWER),
            Column("Email Opt Out", "opted_out", FLAG),
            Column("Last Activity", "last_contacted_at", _date("%Y-%m-%d")),
            Column("Created Date", "joined_at", _date("%Y-%m-%d")),
        ),
        tables.crm_contacts,
    ),
    Export(
        "crm_deals.ndjson",
        CRM,
        "deal",
        (
            Column("Id", "external_id"),
            Column("AccountId", "customer_id"),
            Column("Name", "name"),
            Column("Type"),
            Column(
                "StageName",
                "status",
                _lookup(
                    Closed_Won="won",
                    Closed_Lost="lost",
                    Negotiation="open",
                    Proposal="open",
                ),
            ),
            Column("Amount", "amount_minor", _money("CurrencyIsoCode")),
            Column("CurrencyIsoCode", "currency"),
            Column("CreatedDate", "opened_at", ISO),
            Column("CloseDate", "close_at", _date("%Y-%m-%d")),
            Column("OwnerName", "owner"),
            Column("LastModifiedDate", "updated_at", ISO),
        ),
        tables.crm_deals,
    ),
    Export(
        "campaign_engagement.csv",
        CRM,
        "campaign_engagement",
        (
            Column("Engagement ID", "external_id"),
            Column("Account ID", "customer_id"),
            Column("Contact ID", "contact_id"),
            Column("Campaign", "campaign"),
            Column("Action", "kind", LOWER),
            Column("Occurred", "occurred_at", _date("%b %d, %Y %I:%M %p")),
        ),
        tables.campaign_engagement,
    ),
    Export(
        "billing_customers.csv",
        BILLING,
        "customer",
        (
            Column("Customer ID", "external_id"),
            Column("Name", "name"),
            Column("Email", "email", LOWER),
            Column("Currency"),
            Column("Country", "country"),
            Column("CRM Account (metadata)", "links.crm"),
            Column("Created", "signup_at", PLAIN),
        ),
        tables.billing_customers,
    ),
    Export(
        "billing_subscriptions.csv",
        BILLING,
        "subscription",
        (
            Column("Subscription ID", "external_id"),
            Column("Customer ID", "customer_id"),
            Column("Status", "status"),
            Column("Plan", "plan"),
            Column("Quantity", "quantity", NUMBER),
            Column("Currency", "currency"),
            Column("MRR", "mrr_minor", _money("Currency")),
            Column("Interval", "interval"),
            Column("Auto Renew", "auto_renew", FLAG),
            Column("Started", "started_at", PLAIN),
            Column("Current Period Start", "period_starts_at", PLAIN),
            Column("Current Period End", "period_ends_at", PLAIN),
            Column("Cancel At", "cancel_at", PLAIN),
            Column("Canceled At", "canceled_at", PLAIN),
            Column("Ended At", "ended_at", PLAIN),
            Column("Cancellation Reason", "cancel_reason"),
            Column("Updated", "updated_at", PLAIN),
        ),
        tables.billing_subscriptions,
        (("is_trial", False),),
    ),
    Export(
        "billing_invoices.ndjson",
        BILLING,
        "invoice",
        (
            Column("id", "external_id"),
            Column("number", "number"),
            Column("customer", "customer_id"),
            Column("subscription", "subscription_id"),
            Column("status", "status"),
            Column("currency", "currency"),
            Column("total", "total_minor", _money("currency")),
            Column("amount_paid", "paid_minor", _money("currency")),
            Column("amount_refunded", "refunded_minor", _money("currency")),
            Column("created", "issued_at", EPOCH),
            Column("due_date", "due_at", EPOCH),
            Column("paid_at", "paid_at", EPOCH),
            Column("failed_attempts", "failed_attempts", NUMBER),
            Column("last_failed_at", "last_failed_at", EPOCH),
            Column("lines", "lines"),
            Column("updated", "updated_at", EPOCH),
        ),
        tables.billing_invoices,
    ),
    Export(
        "support_organizations.csv",
        SUPPORT,
        "customer",
        (
            Column("Organization ID", "external_id"),
            Column("Name", "name"),
            Column("Domains", "domain", LOWER),
            Column("External ID", "links.crm"),
            Column("Created At", "signup_at", ISO),
        ),
        tables.support_organizations,
    ),
    Export(
        "support_tickets.csv.gz",
        SUPPORT,
        "ticket",
        (
            Column("Ticket ID", "external_id"),
            Column("Organization ID", "customer_id"),
            Column("Requester ID", "contact_id"),
            Column("Subject", "subject"),
            Column("Status", "status", LOWER),
            Column("Priority", "priority", LOWER),
            Column("Channel", "channel"),
            Column("Assignee", "assignee"),
            Column("Created At", "opened_at", ISO),
            Column("First Reply At", "first_replied_at", ISO),
            Column("Solved At", "solved_at", ISO),
            Column("Reopens", "reopen_count", NUMBER),
            Column("Replies", "reply_count", NUMBER),
            Column("Escalated", "is_escalated", FLAG),
            Column("One Touch", "is_first_contact_resolved", FLAG),
            Column(
                "Satisfaction",
                "satisfaction_pct",
                _lookup(Good=100, Bad=0, Unoffered=None),
            ),
            Column("Updated At", "updated_at", ISO),
        ),
        tables.support_tickets,
    ),
    Export(
        "support_conversations.json",
        SUPPORT,
        "conversation",
        (
            Column("id", "external_id"),
            Column("organization_id", "customer_id"),
            Column("contact_id", "contact_id"),
            Column("type", "kind"),
            Column("subject", "subject"),
            Column("state", "status"),
            Column("direction", "direction"),
            Column("owner", "owner"),
            Column("created_at", "started_at", EPOCH),
            Column("last_message_at", "last_message_at", EPOCH),
            Column("messages", "message_count", NUMBER),
            Column("rating_percent", "rating_pct", NUMBER),
        ),
        tables.support_conversations,
    ),
    Export(
        "surveys.csv",
        SUPPORT,
        "survey_response",
        (
            Column("Response ID", "external_id"),
            Column("Organization ID", "customer_id"),
            Column("Respondent ID", "contact_id"),
            Column("Survey", "kind", LOWER),
            Column("Score", "score", NUMBER),
            Column("Scale Min", "scale_min", NUMBER),
            Column("Scale Max", "scale_max", NUMBER),
            Column("Comment", "comment"),
            Column("Answered", "answered_at", _date("%d.%m.%Y %H:%M")),
        ),
        tables.surveys,
    ),
    Export(
        "support_users.csv",
        SUPPORT,
        "contact",
        (
            Column("User ID", "external_id"),
            Column("Organization ID", "customer_id"),
            Column("Name", "name"),
            Column("Email", "email", LOWER),
            Column("Phone", "phone"),
            Column("External ID", "user_id"),
            Column("Created At", "joined_at", ISO),
        ),
        support_users,
    ),
)
"""Customers come before what refers to them, per source."""


def mappings() -> dict[str, dict[str, Any]]:
    """File name -> {"record_type", "rules"}."""
    return {export.name: export.mapping() for export in EXPORTS}
