"""The unified entities beside the customer. Columns mirror `churnguard.records`.

All rows are written by `integrations.load` alone; `customer_source` says whose they
are. Uniqueness is (source, external_id): a source belongs to one organisation.
"""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from churnguard.fields import SentJSONField
from churnguard.models.customers import CustomerSource, Person, Source
from churnguard.models.tenancy import Organization


class SourceRow(models.Model):
    """Columns that every entity shares; see docs in ARCHITECTURE.md."""

    id = models.BigAutoField(primary_key=True)
    # No index of their own: the unique key and the indexes below begin with them.
    # Nor constraints: the ledger line of the same transaction has them, identities go
    # only with their organisation, and checking each row is a third of an insert.
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    source = models.ForeignKey(
        Source, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    external_id = models.CharField(max_length=255)
    customer_source = models.ForeignKey(
        CustomerSource,
        on_delete=models.SET_NULL,
        null=True,
        db_index=False,
        db_constraint=False,
    )
    source_version = models.BigIntegerField(null=True)
    source_updated_at = models.DateTimeField(null=True)
    content_hash = models.BigIntegerField(null=True)
    custom = models.JSONField(default=dict)
    raw = SentJSONField(default=dict)
    deleted_at = models.DateTimeField(null=True)
    deleted_version = models.BigIntegerField(null=True)
    """Version of the tombstone; the smallest bigint where the deletion was inferred,
    so that any later record of the source revives the row."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_id"], name="%(class)s_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["customer_source"],
                name="%(class)s_customer",
                condition=models.Q(customer_source__isnull=False),
            ),
            models.Index(fields=["organization", "id"], name="%(class)s_org"),
            models.Index(
                fields=["source"],
                name="%(class)s_dead",
                condition=models.Q(deleted_at__isnull=False),
            ),
        ]


class Contact(SourceRow):
    person = models.ForeignKey(
        Person, on_delete=models.SET_NULL, null=True, related_name="contacts"
    )
    """Null until identity resolution has seen the contact."""
    identity_stale_at = models.DateTimeField(null=True, db_default=Now())
    """As in `CustomerSource`."""
    email = models.TextField(null=True)
    name = models.TextField(null=True)
    phone = models.TextField(null=True)
    title = models.TextField(null=True)
    role = models.TextField(null=True)
    lifecycle_stage = models.TextField(null=True)
    is_champion = models.BooleanField(null=True)
    opted_out = models.BooleanField(null=True)
    last_contacted_at = models.DateTimeField(null=True)
    joined_at = models.DateTimeField(null=True)
    user_id = models.TextField(null=True)
    links = models.JSONField(default=dict)

    class Meta(SourceRow.Meta):
        db_table = "cg_contact"
        indexes = [
            *SourceRow.Meta.indexes,
            models.Index(
                fields=["identity_stale_at"],
                name="contact_stale",
                condition=models.Q(identity_stale_at__isnull=False),
            ),
        ]


class PersonLink(models.Model):
    """Append-only log of which contact belonged to which person, as `IdentityLink`."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    contact = models.ForeignKey(
        Contact, on_delete=models.CASCADE, related_name="identity_links", db_index=False
    )
    person = models.ForeignKey(Person, on_delete=models.CASCADE)
    rule = models.CharField(max_length=40)
    evidence = models.JSONField(default=dict)
    created_by = models.CharField(max_length=254, default="system")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        db_table = "cg_person_link"
        indexes = [models.Index(fields=["contact", "-id"], name="person_link_ref")]


class Subscription(SourceRow):
    status = models.TextField(null=True)
    plan = models.TextField(null=True)
    quantity = models.BigIntegerField(null=True)
    currency = models.TextField(null=True)
    mrr_minor = models.BigIntegerField(null=True)
    interval = models.TextField(null=True)
    is_trial = models.BooleanField(null=True)
    auto_renew = models.BooleanField(null=True)
    started_at = models.DateTimeField(null=True)
    trial_ends_at = models.DateTimeField(null=True)
    period_starts_at = models.DateTimeField(null=True)
    period_ends_at = models.DateTimeField(null=True)
    cancel_at = models.DateTimeField(null=True)
    canceled_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    cancel_reason = models.TextField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_subscription"


class SubscriptionChange(models.Model):
    """Every stored version of a subscription, for movements and point-in-time
    features. known_at is when we stored it, effective_at when the source says."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    subscription = models.ForeignKey(
        Subscription, on_delete=models.CASCADE, related_name="changes", db_index=False
    )
    effective_at = models.DateTimeField()
    known_at = models.DateTimeField()
    status = models.TextField(null=True)
    plan = models.TextField(null=True)
    quantity = models.BigIntegerField(null=True)
    currency = models.TextField(null=True)
    mrr_minor = models.BigIntegerField(null=True)

    class Meta:
        db_table = "cg_subscription_change"
        indexes = [
            models.Index(
                fields=["subscription", "effective_at"], name="subscription_change_at"
            )
        ]


class Invoice(SourceRow):
    subscription_id_ext = models.TextField(null=True, db_column="subscription_id")
    number = models.TextField(null=True)
    status = models.TextField(null=True)
    currency = models.TextField(null=True)
    total_minor = models.BigIntegerField(null=True)
    paid_minor = models.BigIntegerField(null=True)
    refunded_minor = models.BigIntegerField(null=True)
    issued_at = models.DateTimeField(null=True)
    due_at = models.DateTimeField(null=True)
    paid_at = models.DateTimeField(null=True)
    failed_attempts = models.BigIntegerField(null=True)
    last_failed_at = models.DateTimeField(null=True)
    lines = models.JSONField(default=list)

    class Meta(SourceRow.Meta):
        db_table = "cg_invoice"


class Deal(SourceRow):
    name = models.TextField(null=True)
    stage = models.TextField(null=True)
    status = models.TextField(null=True)
    amount_minor = models.BigIntegerField(null=True)
    currency = models.TextField(null=True)
    opened_at = models.DateTimeField(null=True)
    close_at = models.DateTimeField(null=True)
    owner = models.TextField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_deal"


class Ticket(SourceRow):
    contact_id_ext = models.TextField(null=True, db_column="contact_id")
    subject = models.TextField(null=True)
    status = models.TextField(null=True)
    priority = models.TextField(null=True)
    channel = models.TextField(null=True)
    team = models.TextField(null=True)
    assignee = models.TextField(null=True)
    opened_at = models.DateTimeField(null=True)
    first_replied_at = models.DateTimeField(null=True)
    solved_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    reopen_count = models.BigIntegerField(null=True)
    reply_count = models.BigIntegerField(null=True)
    is_escalated = models.BooleanField(null=True)
    is_first_contact_resolved = models.BooleanField(null=True)
    satisfaction_pct = models.FloatField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_ticket"


class Conversation(SourceRow):
    contact_id_ext = models.TextField(null=True, db_column="contact_id")
    kind = models.TextField(null=True)
    subject = models.TextField(null=True)
    status = models.TextField(null=True)
    direction = models.TextField(null=True)
    owner = models.TextField(null=True)
    started_at = models.DateTimeField(null=True)
    last_message_at = models.DateTimeField(null=True)
    closed_at = models.DateTimeField(null=True)
    message_count = models.BigIntegerField(null=True)
    rating_pct = models.FloatField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_conversation"


class SurveyResponse(SourceRow):
    contact_id_ext = models.TextField(null=True, db_column="contact_id")
    kind = models.TextField(null=True)
    score = models.FloatField(null=True)
    scale_min = models.FloatField(null=True)
    scale_max = models.FloatField(null=True)
    comment = models.TextField(null=True)
    answered_at = models.DateTimeField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_survey_response"


class CampaignEngagement(SourceRow):
    contact_id_ext = models.TextField(null=True, db_column="contact_id")
    campaign = models.TextField(null=True)
    kind = models.TextField(null=True)
    occurred_at = models.DateTimeField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_campaign_engagement"


class SourceObject(SourceRow):
    """A provider object without a place in the unified model, kept selectable.
    external_id is unique per kind: load stores it as "<kind>:<id>"."""

    kind = models.TextField(default="")
    occurred_at = models.DateTimeField(null=True)

    class Meta(SourceRow.Meta):
        db_table = "cg_source_object"
