"""Integrations, runs and ledger lines as rows, for tests of what is read from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from churnguard.models import Batch, Organization, Source
from integrations.models import Integration, RunStream, StreamState, SyncRun


def make_integration(org: Organization, name: str, **more: Any) -> Integration:
    """An active integration with a source of its own, hourly."""
    source = Source.objects.create(organization=org, name=name.lower(), kind="file")
    given = {"provider_name": "file", "status": "active", **more}
    return Integration.objects.create(
        organization=org, name=name, source=source, **given
    )


def make_run(
    integration: Integration,
    status: str,
    ended_at: datetime | None,
    *,
    seconds: float = 10,
    counts: dict[str, int] | None = None,
    error_code: str = "",
) -> SyncRun:
    """A run with one stream "contacts" that ended at `ended_at` (None: at work)."""
    started_at = (ended_at or datetime.now().astimezone()) - timedelta(seconds=seconds)
    run = SyncRun.objects.create(
        organization=integration.organization,
        integration=integration,
        status=status,
        run_at=started_at,
        started_at=started_at,
        finished_at=ended_at,
        error_code=error_code,
    )
    SyncRun.objects.filter(pk=run.pk).update(created_at=started_at)
    state, _ = StreamState.objects.get_or_create(
        organization=integration.organization,
        integration=integration,
        name="contacts",
        defaults={"record_type": "contact"},
    )
    RunStream.objects.create(
        run=run,
        state=state,
        stream="contacts",
        status=status,
        finished_at=ended_at,
        error_code=error_code,
        error_detail="It said no." if error_code else "",
        **(counts or {}),
    )
    return run


def make_batch(source: Source, at: datetime, **counts: int) -> Batch:
    """A ledger line received at `at`; `fetched` follows from the counts."""
    parts = ("inserted", "updated", "unchanged", "duplicate", "quarantined", "filtered")
    return Batch.objects.create(
        organization=source.organization,
        source=source,
        origin="ingest",
        received_at=at,
        fetched=sum(counts.get(name, 0) for name in parts),
        **counts,
    )
