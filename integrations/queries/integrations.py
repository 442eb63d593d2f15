"""Integrations: the list, one in full, its streams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection
from django.db.models import Count, Max, Q
from django.http import Http404

from churnguard.models import Organization, Quarantine, Schedule
from integrations import catalog, connectors, credentials, deletes, schedules
from integrations.models import Integration, IntegrationStatus, StreamState

LAST_RUNS = 12

_LAST_RUNS = """
SELECT r.integration_id, r.public_id, r.status, r.created_at, r.finished_at,
       coalesce(p.written, 0)
FROM unnest(%s::bigint[]) AS wanted(id)
CROSS JOIN LATERAL (
    SELECT * FROM int_sync_run r WHERE r.integration_id = wanted.id
    ORDER BY r.id DESC LIMIT %s
) r
LEFT JOIN LATERAL (
    SELECT sum(inserted + updated) AS written FROM int_run_stream p
    WHERE p.run_id = r.id
) p ON true
ORDER BY r.integration_id, r.id
"""
_TODAY = """
SELECT source_id, sum(inserted + updated) FROM cg_batch
WHERE source_id = ANY(%s) AND received_at >= %s GROUP BY source_id
"""


@cache
def provider_labels() -> dict[str, str]:
    """{provider_name: label} of every connector."""
    return {cls.name: cls.label for cls in connectors.all_connectors()}


def get_integration(organization: Organization, public_id: str) -> Integration:
    """The integration of this organisation. Raises Http404."""
    found = (
        Integration.objects.select_related("organization", "source")
        .filter(organization=organization, public_id=public_id)
        .first()
    )
    if found is None:
        raise Http404("No such integration.")
    return found


def list_integrations(
    organization: Organization,
    *,
    search: str = "",
    status: str = "",
    provider: str = "",
    integration_type: str = "",
) -> list[dict[str, Any]]:
    """Every integration with its state, newest first: integration_id,
    integration_name, provider_name, provider_label, integration_type, status,
    status_detail, resumes_at, schedule (text), next_run_at, last_success_at, streams,
    streams_failing, brakes, records_today, quarantined, tags, runs (the last 12, oldest
    first: sync_id, status, at, records)."""
    rows = Integration.objects.filter(organization=organization)
    if status:
        rows = rows.filter(status=status)
    if provider:
        rows = rows.filter(provider_name=provider)
    if integration_type:
        rows = rows.filter(integration_type=integration_type)
    if search:
        rows = rows.filter(
            Q(name__icontains=search)
            | Q(public_id__icontains=search)
            | Q(provider_name__icontains=search)
            | Q(tags__contains=[search])
        )
    found = list(rows.order_by("-pk"))
    facts = _Facts(organization, found)
    return [facts.row(integration) for integration in found]


def count_by_status(organization: Organization) -> dict[str, int]:
    """{status: how many}, every status named."""
    counts = dict.fromkeys(IntegrationStatus.values, 0)
    counts.update(
        Integration.objects.filter(organization=organization)
        .values_list("status")
        .annotate(n=Count("pk"))
    )
    return counts


def integration_body(integration: Integration) -> dict[str, Any]:
    """The specification's IntegrationConfiguration, secrets as hints only."""
    return {
        "integration_id": integration.public_id,
        "organization_id": integration.organization.public_id,
        "integration_name": integration.name,
        "integration_type": integration.integration_type,
        "provider_name": integration.provider_name,
        "status": integration.status,
        "status_detail": integration.status_detail,
        "resumes_at": integration.resumes_at,
        "source": integration.source.name,
        "base_url": integration.base_url,
        "api_version": integration.api_version,
        "webhook_url": integration.webhook_url,
        "settings": {
            name: value
            for name, value in integration.settings.items()
            if not name.startswith("_")
        },
        "credentials": credentials.describe(integration),
        "entity_mappings": integration.entity_mappings,
        "sync_config": {
            "sync_mode": integration.sync_mode,
            "sync_frequency": integration.sync_frequency,
            "batch_size": integration.batch_size,
            "retry_attempts": integration.retry_attempts,
            "retry_backoff": integration.retry_backoff,
            "data_filters": integration.data_filters,
            "field_mappings": integration.field_mappings,
            "incremental_field": integration.incremental_field,
            "last_sync_timestamp": integration.last_sync_timestamp,
            "requests_per_minute": integration.requests_per_minute,
            "concurrent_requests": integration.concurrent_requests,
        },
        "schedule": schedules.as_text(integration.sync_frequency),
        "created_at": integration.created_at,
        "created_by": integration.created_by,
        "updated_at": integration.updated_at,
        "tags": integration.tags,
    }


def list_streams(integration: Integration) -> list[dict[str, Any]]:
    """The streams in reading order: stream, label, record_type, record_types (what it
    may be stored as, the connector's choice first), enabled, gone, status,
    schedule, incremental_field, cursor_field, deletes, mapping_version, columns, drift,
    records_stored, last_success_at, last_error, last_error_code, last_error_at, brake.
    """
    return [
        {
            "stream": state.name,
            "label": state.label or state.name,
            "record_type": state.record_type,
            "record_types": catalog.types_for(state),
            "enabled": state.is_enabled,
            "gone": state.is_gone,
            "status": state.status,
            "sync_frequency": state.sync_frequency,
            "schedule": (
                "with the integration"
                if state.sync_frequency is None
                else schedules.as_text(state.sync_frequency)
            ),
            "cursor_field": state.cursor_field,
            "incremental_field": state.incremental_field,
            "deletes": state.deletes,
            "mapping_version": state.mapping_version,
            "columns": state.columns,
            "drift": state.drift,
            "records_stored": state.records_stored,
            "last_success_at": state.last_success_at,
            "last_error": state.last_error,
            "last_error_code": state.last_error_code,
            "last_error_at": state.last_error_at,
            "brake": deletes.describe(state),
        }
        for state in StreamState.objects.filter(integration=integration)
        .select_related("integration")
        .order_by("is_gone", "position", "pk")
    ]


class _Facts:
    """What the list shows beside the rows themselves; a fixed number of queries."""

    def __init__(self, organization: Organization, rows: list[Integration]) -> None:
        ids = [row.pk for row in rows]
        sources = [row.source_id for row in rows]
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._runs: dict[int, list[dict[str, Any]]] = defaultdict(list)
        with connection.cursor() as cur:
            cur.execute(_LAST_RUNS, [ids, LAST_RUNS])
            for integration_id, sync_id, status, at, ended, written in cur.fetchall():
                self._runs[integration_id].append(
                    {
                        "sync_id": sync_id,
                        "status": status,
                        "at": at,
                        "finished_at": ended,
                        "records": int(written),
                    }
                )
            cur.execute(_TODAY, [sources, today])
            self._today = {source: int(count) for source, count in cur.fetchall()}
        self._streams = {
            row["integration_id"]: row
            for row in StreamState.objects.filter(
                integration_id__in=ids, is_gone=False, is_enabled=True
            )
            .values("integration_id")
            .annotate(
                n=Count("pk"),
                failing=Count("pk", filter=Q(status="error")),
                brakes=Count("pk", filter=Q(status="brake")),
                last=Max("last_success_at"),
            )
        }
        self._quarantined = dict(
            Quarantine.objects.filter(
                organization=organization, source_id__in=sources, state="open"
            )
            .values_list("source_id")
            .annotate(n=Count("pk"))
        )
        self._due = dict(
            Schedule.objects.filter(
                organization=organization,
                kind=schedules.KIND,
                stream="",
                target_id__in=ids,
                is_enabled=True,
            ).values_list("target_id", "next_run_at")
        )

    def row(self, integration: Integration) -> dict[str, Any]:
        streams: Mapping[str, Any] = self._streams.get(integration.pk) or {}
        return {
            "integration_id": integration.public_id,
            "integration_name": integration.name,
            "provider_name": integration.provider_name,
            "provider_label": provider_labels().get(
                integration.provider_name, integration.provider_name
            ),
            "integration_type": integration.integration_type,
            "status": integration.status,
            "status_detail": integration.status_detail,
            "resumes_at": integration.resumes_at,
            "schedule": schedules.as_text(integration.sync_frequency),
            "next_run_at": self._due.get(integration.pk),
            "last_success_at": streams.get("last"),
            "streams": streams.get("n", 0),
            "streams_failing": streams.get("failing", 0),
            "brakes": streams.get("brakes", 0),
            "records_today": self._today.get(integration.source_id, 0),
            "quarantined": self._quarantined.get(integration.source_id, 0),
            "tags": integration.tags,
            "runs": self._runs[integration.pk],
        }
