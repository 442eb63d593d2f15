"""What column names usually mean, per record type: tables, nothing else.

Keys are names in lower case with underscores; the first match by order of the table
wins a field. `Use` says how the cell becomes the field.
"""

from __future__ import annotations

from collections.abc import Sequence

TYPE_WORDS: dict[str, Sequence[str]] = {
    "object": ("churn", "churned", "cancellation", "cancellations"),
    "contact": (
        [
            "contact",
            "contacts",
            "person",
            "people",
            "user",
            "users",
            "member",
            "members",
            "lead",
            "leads",
        ]
    ),
    "subscription": ("subscription", "subscriptions", "plan", "plans", "licenses"),
    "invoice": ("invoice", "invoices", "bill", "bills", "payment", "payments"),
    "deal": ("deal", "deals", "opportunity", "opportunities", "pipeline"),
    "ticket": ("ticket", "tickets", "case", "cases", "issue", "issues"),
    "conversation": (
        [
            "conversation",
            "conversations",
            "chat",
            "chats",
            "call",
            "calls",
            "meeting",
            "meetings",
        ]
    ),
    "survey_response": (
        [
            "survey",
            "surveys",
            "nps",
            "csat",
            "ces",
            "feedback",
            "response",
            "responses",
            "rating",
            "ratings",
        ]
    ),
    "campaign_engagement": ("campaign", "campaigns", "newsletter", "mailing"),
    "event": (
        [
            "usage",
            "event",
            "events",
            "activity",
            "activities",
            "log",
            "logs",
            "order",
            "orders",
            "session",
            "sessions",
            "login",
            "logins",
            "telemetry",
            "action",
            "actions",
        ]
    ),
    "customer": (
        [
            "account",
            "accounts",
            "customer",
            "customers",
            "company",
            "companies",
            "client",
            "clients",
            "organization",
            "organizations",
            "organisation",
            "organisations",
            "tenant",
            "tenants",
        ]
    ),
}
"""Words in a file name -> record type, in order of preference."""

CUSTOMER_COLUMNS = [
    "customer_id",
    "account_id",
    "company_id",
    "client_id",
    "organization_id",
    "organisation_id",
    "org_id",
    "tenant_id",
    "customerid",
    "accountid",
    "companyid",
    "customer",
    "account",
    "company",
    "client",
    "customer_external_id",
    "account_number",
    "customer_number",
]
ID_COLUMNS = ("id", "external_id", "uuid", "guid", "key", "record_id", "number")
SINGULAR: dict[str, tuple[str, ...]] = {
    "customer": ("customer", "account", "company", "client", "organization", "tenant"),
    "contact": ("contact", "person", "user", "member", "lead"),
    "subscription": ("subscription", "license"),
    "invoice": ("invoice", "bill", "payment"),
    "deal": ("deal", "opportunity"),
    "ticket": ("ticket", "case", "issue"),
    "conversation": ("conversation", "chat", "call", "meeting"),
    "survey_response": ("response", "survey", "feedback", "survey_response"),
    "campaign_engagement": ("engagement", "campaign_engagement", "activity"),
    "event": ("event", "usage", "activity", "order", "log", "session", "action"),
    "object": ("churn_event", "event", "cancellation", "churn", "object"),
}
"""Record type -> what stands before _id in its own key column."""

_COMMON = {
    "updated_at": (
        "updated_at updated last_modified modified_at last_updated modified "
        "updated_date last_modified_date systemmodstamp"
    ),
}
_CONTACT_REF = {"contact_id": "contact_id user_id requester_id person_id"}

FIELDS: dict[str, dict[str, str]] = {
    "customer": {
        "name": (
            "account_name customer_name company_name company name organization_name "
            "organisation_name client_name"
        ),
        "domain": "domain website url web_site",
        "email": "email email_address contact_email billing_email",
        "phone": "phone phone_number telephone",
        "country": "country country_code billing_country",
        "industry": "industry sector vertical",
        "segment": "segment customer_segment tier size",
        "plan": "plan plan_tier plan_name subscription_plan product contract",
        "seats": "seats seat_count licenses license_count",
        "employees": "employees employee_count number_of_employees headcount",
        "owner": "owner account_owner csm account_manager owner_name customer_success",
        "lifecycle_stage": "lifecycle_stage lifecycle stage",
        "status": "status account_status customer_status",
        "signup_at": (
            "signup_date signup_at signed_up_at sign_up_date customer_since created_at "
            "created_date created_on created start_date joined_at"
        ),
        "churned_at": "churned_at churn_date cancelled_at canceled_at cancel_date",
        "parent_external_id": "parent_id parent_account_id parent_external_id",
    },
    "contact": {
        "email": "email email_address mail e_mail",
        "name": "name full_name contact_name user_name",
        "phone": "phone phone_number mobile telephone",
        "title": "title job_title position",
        "role": "role user_role",
        "lifecycle_stage": "lifecycle_stage lifecycle stage",
        "is_champion": "is_champion champion",
        "opted_out": "opted_out unsubscribed email_opt_out",
        "last_contacted_at": "last_contacted_at last_contact_date last_contacted",
        "joined_at": "joined_at created_at created_date created signup_date created_on",
    },
    "subscription": {
        "status": "status subscription_status state",
        "plan": "plan plan_tier plan_name product product_name plan_id",
        "quantity": "quantity seats seat_count licenses units",
        "currency": "currency currency_code",
        "mrr_minor": (
            "mrr mrr_amount monthly_amount monthly_price monthly_charges "
            "monthly_recurring_revenue mrr_usd mrr_eur amount_per_month"
        ),
        "interval": "interval billing_frequency billing_interval billing_period term",
        "is_trial": "is_trial trial trial_flag",
        "auto_renew": "auto_renew auto_renew_flag autorenew auto_renewal",
        "started_at": "start_date started_at start created_at created_date started",
        "trial_ends_at": "trial_end trial_ends_at trial_end_date",
        "period_starts_at": "current_period_start period_start",
        "period_ends_at": "current_period_end period_end renewal_date renews_at",
        "cancel_at": "cancel_at",
        "canceled_at": "canceled_at cancelled_at cancel_date cancellation_date",
        "ended_at": "end_date ended_at end ended",
        "cancel_reason": "cancel_reason cancellation_reason churn_reason",
    },
    "invoice": {
        "subscription_id": "subscription_id subscription",
        "number": "number invoice_number invoice_no",
        "status": "status invoice_status state",
        "currency": "currency currency_code",
        "total_minor": (
            "total amount total_amount amount_due invoice_amount total_due amount_usd "
            "amount_eur"
        ),
        "paid_minor": "amount_paid paid_amount paid",
        "refunded_minor": "amount_refunded refund_amount refunded",
        "issued_at": "issued_at invoice_date issue_date date created_at created",
        "due_at": "due_at due_date due payment_due_date",
        "paid_at": "paid_at paid_date payment_date",
        "failed_attempts": "failed_attempts attempt_count failed_payments",
    },
    "deal": {
        "name": "name deal_name opportunity_name title",
        "stage": "stage deal_stage stage_name pipeline_stage",
        "status": "status deal_status state",
        "amount_minor": "amount value deal_value amount_usd amount_eur deal_amount",
        "currency": "currency currency_code",
        "opened_at": "opened_at created_at created_date created open_date",
        "close_at": "close_date closed_at closed_date expected_close_date close_at",
        "owner": "owner deal_owner owner_name",
    },
    "ticket": {
        **_CONTACT_REF,
        "subject": "subject title summary",
        "status": "status ticket_status state",
        "priority": "priority severity urgency",
        "channel": "channel via source",
        "team": "team group group_name queue",
        "assignee": "assignee assigned_to agent owner",
        "opened_at": "submitted_at opened_at created_at created_date created open_date",
        "first_replied_at": "first_replied_at first_response_at first_reply_at",
        "solved_at": "solved_at resolved_at resolution_date solved",
        "closed_at": "closed_at closed_date close_date closed",
        "reopen_count": "reopen_count reopens reopened",
        "reply_count": "reply_count replies",
        "is_escalated": "is_escalated escalated escalation_flag escalation",
        "is_first_contact_resolved": "is_first_contact_resolved first_contact_resolved",
        "satisfaction_pct": (
            "satisfaction_score satisfaction csat csat_score satisfaction_rating rating"
        ),
    },
    "conversation": {
        **_CONTACT_REF,
        "kind": "kind type conversation_type activity_type",
        "subject": "subject title summary",
        "status": "status state",
        "direction": "direction",
        "owner": "owner assignee agent",
        "started_at": "started_at created_at date start_time created start_date",
        "last_message_at": "last_message_at last_reply_at",
        "closed_at": "closed_at ended_at end_time",
        "message_count": "message_count messages",
        "rating_pct": "rating csat satisfaction_score",
    },
    "survey_response": {
        **_CONTACT_REF,
        "kind": "kind type survey_type survey",
        "score": "score nps nps_score csat csat_score rating ces ces_score",
        "comment": "comment feedback feedback_text text answer verbatim",
        "answered_at": (
            "answered_at responded_at response_date submitted_at date created_at "
            "survey_date timestamp"
        ),
    },
    "campaign_engagement": {
        **_CONTACT_REF,
        "campaign": "campaign campaign_name campaign_id",
        "kind": "kind event action type status",
        "occurred_at": "occurred_at timestamp date event_time created_at event_date",
    },
    "object": {
        "occurred_at": (
            "occurred_at churn_date event_date date timestamp created_at cancelled_at"
        ),
    },
    "event": {
        "event": "event event_name event_type feature_name feature action activity",
        "timestamp": (
            "timestamp ts occurred_at event_time event_date usage_date time date "
            "datetime created_at order_date invoicedate activity_date"
        ),
        "user_id": "user_id user userid contact_id member_id",
        "value": "value usage_count count amount quantity units total",
    },
}
"""Record type -> field -> the column names that mean it, most telling first."""

for _type, _fields in FIELDS.items():
    if _type != "event":
        _fields.update(_COMMON)

MINUTES_AFTER = {
    "first_response_time_minutes": ("first_replied_at", "opened_at"),
    "first_reply_time_minutes": ("first_replied_at", "opened_at"),
    "first_response_minutes": ("first_replied_at", "opened_at"),
}
"""Columns that hold a duration: column -> (field it gives, field it counts from)."""

WORDS: dict[tuple[str, str], dict[str, str]] = {
    ("subscription", "status"): {
        "trial": "trialing",
        "in_trial": "trialing",
        "past due": "past_due",
        "overdue": "past_due",
        "unpaid": "past_due",
        "cancelled": "canceled",
        "churned": "canceled",
        "expired": "ended",
        "inactive": "ended",
        "on hold": "paused",
        "live": "active",
    },
    ("invoice", "status"): {
        "due": "open",
        "unpaid": "open",
        "overdue": "open",
        "sent": "open",
        "outstanding": "open",
        "voided": "void",
        "cancelled": "void",
        "canceled": "void",
        "written off": "uncollectible",
        "bad debt": "uncollectible",
    },
    ("ticket", "status"): {
        "new": "open",
        "in progress": "open",
        "waiting": "pending",
        "on-hold": "on_hold",
        "hold": "on_hold",
        "on hold": "on_hold",
        "resolved": "solved",
        "done": "solved",
    },
    ("ticket", "priority"): {
        "medium": "normal",
        "moderate": "normal",
        "critical": "urgent",
        "highest": "urgent",
        "lowest": "low",
        "p1": "urgent",
        "p2": "high",
        "p3": "normal",
        "p4": "low",
    },
    ("deal", "status"): {
        "closed won": "won",
        "closedwon": "won",
        "closed lost": "lost",
        "closedlost": "lost",
        "in progress": "open",
    },
    ("subscription", "interval"): {
        "monthly": "month",
        "annual": "year",
        "annually": "year",
        "yearly": "year",
        "quarterly": "quarter",
        "weekly": "week",
    },
}
"""(record type, field) -> what sources write -> our word; other words stay."""
