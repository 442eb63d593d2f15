"""One connection of an organisation to one provider, and how it is to be synced."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from churnguard.ids import new_id
from churnguard.models import Organization, Source


class IntegrationStatus(models.TextChoices):
    """What a person sees first; every state but the last three needs nobody."""

    INACTIVE = "inactive", "Inactive"
    ACTIVE = "active", "Active"
    SYNCING = "syncing", "Syncing"
    PAUSED = "paused", "Paused"
    RATE_LIMITED = "rate_limited", "Rate limited"
    ERROR = "error", "Error"
    AUTHENTICATION_FAILED = "authentication_failed", "Reconnect needed"


class IntegrationType(models.TextChoices):
    """The specification's groups of providers."""

    CRM = "crm", "CRM"
    PAYMENT = "payment", "Payment"
    DATABASE = "database", "Database"
    EMAIL_MARKETING = "email_marketing", "Email marketing"
    SUPPORT = "support", "Support"
    ANALYTICS = "analytics", "Product analytics"
    FILE = "file", "Files"
    CUSTOM = "custom", "Custom"


class SyncMode(models.TextChoices):
    """scheduled behaves like incremental on the clock; real_time is incremental on
    the clock beside what webhooks and streams bring at once."""

    FULL = "full", "Full"
    INCREMENTAL = "incremental", "Incremental"
    REAL_TIME = "real_time", "Real time"
    SCHEDULED = "scheduled", "Scheduled"


def _integration_id() -> str:
    return new_id("int")


class Integration(models.Model):
    """The specification's IntegrationConfiguration with its SyncConfiguration."""

    id = models.BigAutoField(primary_key=True)
    public_id = models.CharField(max_length=64, default=_integration_id)
    """integration_id; a caller may bring its own, so unique per organisation."""
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="integrations"
    )
    name = models.CharField(max_length=200)
    integration_type = models.CharField(
        max_length=24, choices=IntegrationType, default=IntegrationType.CUSTOM
    )
    provider_name = models.CharField(max_length=40)
    """A key of `integrations.connectors.REGISTRY`."""
    source = models.ForeignKey(Source, on_delete=models.RESTRICT)
    """The name its facts are written under."""
    status = models.CharField(
        max_length=24, choices=IntegrationStatus, default=IntegrationStatus.INACTIVE
    )
    status_detail = models.TextField(blank=True, default="")
    """A sentence a person can act on; empty when all is well."""
    resumes_at = models.DateTimeField(null=True, blank=True)
    """When a rate-limited integration goes on by itself."""

    base_url = models.CharField(max_length=500, blank=True, default="")
    api_version = models.CharField(max_length=40, blank=True, default="")
    webhook_url = models.CharField(max_length=500, blank=True, default="")
    settings = models.JSONField(default=dict, blank=True)
    """The connector's own fields that are not secret."""
    entity_mappings = models.JSONField(default=dict, blank=True)
    """Provider object or stream -> record type of ours."""
    tags = ArrayField(models.CharField(max_length=60), default=list, blank=True)

    sync_mode = models.CharField(
        max_length=16, choices=SyncMode, default=SyncMode.INCREMENTAL
    )
    sync_frequency = models.IntegerField(default=3600)
    """Seconds between scheduled runs; 0 = only by hand."""
    batch_size = models.IntegerField(default=1000)
    retry_attempts = models.IntegerField(default=3)
    retry_backoff = models.IntegerField(default=60)
    """Seconds before the first retry; doubles with each further one, full jitter."""
    data_filters = models.JSONField(default=dict, blank=True)
    field_mappings = models.JSONField(default=dict, blank=True)
    """Unified field -> source field (or the other way round), for all streams."""
    incremental_field = models.CharField(max_length=120, blank=True, default="")
    """Overrides the stream's own cursor field; empty = the connector's choice."""
    last_sync_timestamp = models.DateTimeField(null=True, blank=True)
    requests_per_minute = models.IntegerField(default=60)
    concurrent_requests = models.IntegerField(default=5)

    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254, blank=True, default="")
    updated_at = models.DateTimeField(auto_now=True)
    discovered_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "int_integration"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "public_id"], name="integration_id_once"
            ),
            models.UniqueConstraint(fields=["source"], name="integration_source_once"),
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="integration_org_new")
        ]

    def __str__(self) -> str:
        return self.name


class MappingVersion(models.Model):
    """The field mapping of one stream as it once was; never edited, only followed."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="mapping_versions"
    )
    stream = models.CharField(max_length=120)
    version = models.IntegerField()
    spec = models.JSONField(default=dict)
    """What `integrations.mapping.compile_mapping` takes."""
    note = models.CharField(max_length=300, blank=True, default="")
    created_by = models.CharField(max_length=254, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "int_mapping_version"
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "stream", "version"], name="mapping_version_once"
            )
        ]
