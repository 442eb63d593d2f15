"""The specification's Python facade: the same verbs as the API, for programs that run
inside the deployment (`django.setup()` first).

    engine = IntegrationEngine()
    integration_id = await engine.register_integration(config)
    sync_id = await engine.start_sync(integration_id)
    status = await engine.get_sync_status(integration_id)
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import transaction

from churnguard.errors import ConfigError
from churnguard.models import Organization
from integrations import controls, queries, registry, runs
from integrations.connectors.rest.rules import integration_of_rule
from integrations.models import Integration, IntegrationStatus, IntegrationType
from integrations.models import SyncMode as DataSyncMode

__all__ = [
    "APIIngestionRule",
    "DataSyncMode",
    "IntegrationConfiguration",
    "IntegrationCredentials",
    "IntegrationEngine",
    "IntegrationStatus",
    "IntegrationType",
    "SyncConfiguration",
]

ACTOR = "sdk"


@dataclass
class IntegrationCredentials:
    """What proves who we are; kept encrypted, never given back."""

    credential_type: str = "api_key"
    access_token: str | None = field(default=None, repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    custom_fields: dict[str, Any] = field(default_factory=dict, repr=False)

    def as_body(self) -> dict[str, Any]:
        """For the API; values that are not set are left out."""
        return {k: v for k, v in asdict(self).items() if v not in (None, "", {})}


@dataclass
class SyncConfiguration:
    """When and how to sync. sync_frequency and retry_backoff: seconds."""

    sync_mode: DataSyncMode = DataSyncMode.INCREMENTAL
    sync_frequency: int = 3600
    batch_size: int = field(
        default_factory=lambda: settings.INTEGRATION_DEFAULT_BATCH_SIZE
    )
    retry_attempts: int = field(
        default_factory=lambda: settings.INTEGRATION_DEFAULT_RETRY_ATTEMPTS
    )
    retry_backoff: int = 60
    data_filters: dict[str, Any] = field(default_factory=dict)
    field_mappings: dict[str, Any] = field(default_factory=dict)
    incremental_field: str = "updated_at"
    last_sync_timestamp: datetime | None = None
    requests_per_minute: int = 60
    concurrent_requests: int = 5

    def as_body(self) -> dict[str, Any]:
        """For the API. "updated_at" is the specification's word for the connector's
        own choice; last_sync_timestamp is an answer, not a wish."""
        body = asdict(self)
        body["sync_mode"] = str(self.sync_mode)
        del body["last_sync_timestamp"]
        if body["incremental_field"] == "updated_at":
            body["incremental_field"] = ""
        return body


@dataclass
class IntegrationConfiguration:
    """One connection. integration_id: empty = made for you. organization_id: as shown
    in the dashboard (org_..). status: PAUSED registers it paused; any other follows
    from what is filled in. created_by: for the audit log; created_at is an answer."""

    integration_id: str = ""
    organization_id: str = ""
    integration_name: str = ""
    integration_type: IntegrationType | None = None
    provider_name: str = ""
    status: IntegrationStatus = IntegrationStatus.INACTIVE
    credentials: IntegrationCredentials | None = None
    sync_config: SyncConfiguration = field(default_factory=SyncConfiguration)
    base_url: str = ""
    api_version: str = ""
    webhook_url: str = ""
    entity_mappings: dict[str, str] = field(default_factory=dict)
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    created_by: str = ""
    tags: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)

    def as_body(self) -> dict[str, Any]:
        """For the API."""
        body: dict[str, Any] = {
            "provider_name": self.provider_name,
            "sync_config": self.sync_config.as_body(),
            "settings": self.settings,
            "entity_mappings": self.entity_mappings,
            "tags": self.tags,
        }
        for name in ("integration_id", "integration_name", "base_url", "api_version"):
            if getattr(self, name):
                body[name] = getattr(self, name)
        if self.webhook_url:
            body["webhook_url"] = self.webhook_url
        if self.integration_type:
            body["integration_type"] = str(self.integration_type)
        if self.credentials is not None:
            body["credentials"] = self.credentials.as_body()
        return body


@dataclass
class APIIngestionRule:
    """An address to poll. sync_frequency: seconds, 0 = by hand; data_path: where the
    list is. What the specification leaves open, from record_type on, is as in the
    endpoints of the REST connector."""

    rule_id: str
    organization_id: str
    name: str
    description: str = ""
    endpoint_url: str = ""
    http_method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    response_format: str = "json"
    data_path: str = ""
    sync_frequency: int = 3600
    field_mappings: dict[str, Any] = field(default_factory=dict)
    record_type: str = "customer"
    primary_key: str | list[str] = ""
    pagination: dict[str, Any] = field(default_factory=dict)
    incremental: dict[str, Any] = field(default_factory=dict)
    params: dict[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)

    def as_body(self) -> dict[str, Any]:
        """The IntegrationConfiguration body that does what the rule says."""
        return integration_of_rule(asdict(self))


class IntegrationEngine:
    """Holds no state; any number may exist. organization_id: whose integrations
    `start_sync` and `get_sync_status` mean where ids are used by several."""

    def __init__(self, organization_id: str = "") -> None:
        self.organization_id = organization_id

    async def register_integration(
        self, config: IntegrationConfiguration | APIIngestionRule
    ) -> str:
        """Create the integration; returns its id. Raises ConfigError with `fields`."""
        made = await sync_to_async(self._register)(config)
        return made.public_id

    async def start_sync(
        self,
        integration_id: str,
        *,
        mode: str = "",
        streams: list[str] | None = None,
    ) -> str:
        """Queue a sync; returns its id, or that of the one already under way."""
        return await sync_to_async(self._start)(integration_id, mode, streams)

    async def get_sync_status(self, integration_id: str) -> dict[str, Any]:
        """The same answer as GET /api/integrations/{id}/sync/status."""
        return await sync_to_async(self._status)(integration_id)

    def _register(
        self, config: IntegrationConfiguration | APIIngestionRule
    ) -> Integration:
        wanted = config.organization_id or self.organization_id
        organization = Organization.objects.filter(public_id=wanted).first()
        if organization is None:
            raise ConfigError(
                f"There is no organisation “{wanted}”.",
                code="unknown_organization",
                fields={"organization_id": "unknown"},
            )
        by = getattr(config, "created_by", "") or ACTOR
        with transaction.atomic():
            made = registry.create(organization, config.as_body(), by=by)
            if getattr(config, "status", None) == IntegrationStatus.PAUSED:
                controls.pause(made, by=by)
        return made

    def _start(self, integration_id: str, mode: str, streams: list[str] | None) -> str:
        integration = self._find(integration_id)
        try:
            run = runs.start(integration, by=ACTOR, mode=mode, streams=streams)
        except runs.AlreadyRunningError as exc:
            if exc.run is None:
                raise
            return exc.run.public_id
        return run.public_id

    def _status(self, integration_id: str) -> dict[str, Any]:
        return queries.sync_status(self._find(integration_id))

    def _find(self, integration_id: str) -> Integration:
        rows = Integration.objects.select_related("organization", "source").filter(
            public_id=integration_id
        )
        if self.organization_id:
            rows = rows.filter(organization__public_id=self.organization_id)
        found = list(rows[:2])
        if len(found) != 1:
            raise ConfigError(
                f"There is no integration “{integration_id}”."
                if not found
                else f"Several organisations have an integration “{integration_id}”; "
                "give IntegrationEngine the organization_id.",
                code="unknown_integration",
            )
        return found[0]
