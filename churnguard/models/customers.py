"""Customers and their identities in each source.

Facts point at a `CustomerSource` (one customer as one source knows it); which
`Customer` that is, is a link that can be re-pointed. So a merge or a split rewrites
no fact, and undoing it restores every number.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from churnguard.fields import SentJSONField
from churnguard.ids import new_id
from churnguard.models.tenancy import Organization


def _customer_id() -> str:
    return new_id("cus")


def _person_id() -> str:
    return new_id("per")


class Source(models.Model):
    """A named origin of data in one organisation; {source_system} of the ingest API
    and the name an integration writes under."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=40, default="ingest")
    """The provider name, or "ingest"."""
    first_seen_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "cg_source"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "name"], name="source_name_once"
            )
        ]

    def __str__(self) -> str:
        return self.name


class Customer(models.Model):
    """An account: the living picture. Resolved from its sources by identity rules;
    score columns are the newest `HealthScore`, copied here for lists."""

    public_id = models.CharField(max_length=64, unique=True, default=_customer_id)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    name = models.CharField(max_length=300, blank=True)
    domain = models.CharField(max_length=253, blank=True)
    email = models.CharField(max_length=320, blank=True)
    country = models.CharField(max_length=80, blank=True)
    industry = models.CharField(max_length=120, blank=True)
    segment = models.CharField(max_length=80, blank=True)
    plan = models.CharField(max_length=120, blank=True)
    owner = models.CharField(max_length=200, blank=True)
    lifecycle_stage = models.CharField(max_length=80, blank=True)
    seats = models.IntegerField(null=True, blank=True)
    signup_at = models.DateTimeField(null=True, blank=True)
    churned_at = models.DateTimeField(null=True, blank=True)
    mrr_minor = models.BigIntegerField(null=True, blank=True)
    """Current MRR in the organisation's base currency, minor units."""
    custom = models.JSONField(default=dict, blank=True)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL, db_index=False
    )
    """Set while another customer has absorbed this one; hidden from lists."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    score = models.SmallIntegerField(null=True, blank=True)
    band = models.CharField(max_length=16, default="unknown")
    trend = models.SmallIntegerField(null=True, blank=True)
    """Score now minus the score 7 days ago, in points."""
    coverage_pct = models.SmallIntegerField(null=True, blank=True)
    scored_at = models.DateTimeField(null=True, blank=True)
    score_stale_at = models.DateTimeField(null=True, blank=True)
    churn_probability = models.FloatField(null=True, blank=True)
    risk_minor = models.BigIntegerField(null=True, blank=True)
    last_activity_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        # Every score rewrites the row, and with it each index: so only the orders
        # that pages use most have one, and names are searched by scanning.
        db_table = "cg_customer"
        indexes = [
            models.Index(fields=["organization", "name", "id"], name="customer_name"),
            models.Index(fields=["organization", "score", "id"], name="customer_score"),
            models.Index(
                fields=["organization", "churn_probability", "id"],
                name="customer_churn",
            ),
            models.Index(
                fields=["score_stale_at"],
                name="customer_stale",
                condition=Q(score_stale_at__isnull=False),
            ),
            models.Index(
                fields=["merged_into"],
                name="customer_merged",
                condition=Q(merged_into__isnull=False),
            ),
            models.Index(fields=["organization", "domain"], name="customer_domain"),
        ]

    def __str__(self) -> str:
        return self.name or self.public_id


class CustomerSource(models.Model):
    """One customer as one source knows it. Made by the first fact that names it
    (then `is_stub`), filled in by the source's own customer record."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.CASCADE, db_index=False)
    external_id = models.CharField(max_length=255)
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="sources"
    )
    is_stub = models.BooleanField(default=True)
    source_version = models.BigIntegerField(null=True)
    source_updated_at = models.DateTimeField(null=True)
    content_hash = models.BigIntegerField(null=True)
    name = models.TextField(null=True)
    domain = models.TextField(null=True)
    email = models.TextField(null=True)
    phone = models.TextField(null=True)
    country = models.TextField(null=True)
    industry = models.TextField(null=True)
    segment = models.TextField(null=True)
    plan = models.TextField(null=True)
    seats = models.BigIntegerField(null=True)
    employees = models.BigIntegerField(null=True)
    owner = models.TextField(null=True)
    lifecycle_stage = models.TextField(null=True)
    status = models.TextField(null=True)
    signup_at = models.DateTimeField(null=True)
    churned_at = models.DateTimeField(null=True)
    parent_external_id = models.TextField(null=True)
    links = models.JSONField(default=dict)
    custom = models.JSONField(default=dict)
    raw = SentJSONField(default=dict)
    identity_stale_at = models.DateTimeField(null=True)
    """Set by a database trigger when what identifies the row changes; identity
    resolution clears it."""
    deleted_at = models.DateTimeField(null=True)
    deleted_version = models.BigIntegerField(null=True)
    """Version of the tombstone; the smallest bigint where the deletion was inferred,
    so that any later record of the source revives the row."""
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "cg_customer_source"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "external_id"], name="customer_source_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["organization", "external_id"], name="customer_source_ext"
            ),
            models.Index(fields=["organization", "domain"], name="cust_source_domain"),
            models.Index(fields=["organization", "email"], name="cust_source_email"),
            models.Index(
                fields=["identity_stale_at"],
                name="cust_source_stale",
                condition=Q(identity_stale_at__isnull=False),
            ),
            models.Index(
                fields=["source"],
                name="cust_source_dead",
                condition=Q(deleted_at__isnull=False),
            ),
        ]


class IdentityLink(models.Model):
    """Append-only log of which source identity belonged to which customer, why, and
    from when to when. The open row (valid_to null) equals CustomerSource.customer."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    customer_source = models.ForeignKey(
        CustomerSource,
        on_delete=models.CASCADE,
        related_name="identity_links",
        db_index=False,
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    rule = models.CharField(max_length=40)
    evidence = models.JSONField(default=dict)
    created_by = models.CharField(max_length=254, default="system")
    valid_from = models.DateTimeField()
    valid_to = models.DateTimeField(null=True)

    class Meta:
        db_table = "cg_identity_link"
        indexes = [
            models.Index(fields=["customer_source", "-id"], name="identity_link_ref")
        ]


class SourceMerge(models.Model):
    """Two records that the source itself has made one: the loser is gone there, and
    what names it means the winner. Forgotten when the loser comes back."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.CASCADE, db_index=False)
    record_type = models.CharField(max_length=40)
    """customer or contact: the types with an identity."""
    loser = models.CharField(max_length=255)
    winner = models.CharField(max_length=255)
    seen_at = models.DateTimeField()

    class Meta:
        db_table = "cg_source_merge"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "record_type", "loser"], name="source_merge_once"
            )
        ]
        indexes = [
            models.Index(
                fields=["source", "record_type", "winner"], name="source_merge_winner"
            )
        ]


class Person(models.Model):
    """A human being whom one or more sources know as a contact. Which contacts those
    are is a link that can be re-pointed, as with customers; what is said of a person
    is read from the contacts."""

    public_id = models.CharField(max_length=64, unique=True, default=_person_id)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    merged_into = models.ForeignKey(
        "self", null=True, blank=True, on_delete=models.SET_NULL
    )
    """Set while another person has absorbed this one."""
    created_at = models.DateTimeField()

    class Meta:
        db_table = "cg_person"

    def __str__(self) -> str:
        return self.public_id
