"""What integrations do, counted under the specification's metric names."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypedDict

from churnguard import metrics
from integrations.http.call import CallFacts
from integrations.models import Integration, SyncRun


class Names(TypedDict):
    tenant_id: str
    integration_id: str
    adapter: str


def names_of(integration: Integration) -> Names:
    """The labels that say whose number it is."""
    return {
        "tenant_id": integration.organization.public_id,
        "integration_id": integration.public_id,
        "adapter": integration.provider_name,
    }


def run_asked_for(run: SyncRun) -> None:
    """A run was put into the queue."""
    metrics.sync_job("pending", **names_of(run.integration))


def run_changed(run: SyncRun, status: str) -> None:
    """A run is at work (processing) or has ended; other words are no change."""
    if status != "processing" and status not in metrics.TERMINAL:
        return
    duration_s = None
    if run.started_at is not None and status in metrics.TERMINAL:
        duration_s = (datetime.now(UTC) - run.started_at).total_seconds()
    metrics.sync_job(status, **names_of(run.integration), duration_s=duration_s)


def page_stored(
    integration: Integration, entity: str, *, created: int, updated: int
) -> None:
    """A page of records was committed."""
    metrics.sync_records(
        **names_of(integration), entity=entity, created=created, updated=updated
    )


def call_counter(integration: Integration | None) -> Callable[[CallFacts], None]:
    """What the outbound client tells about each try."""
    names: dict[str, str] = {}
    if integration is not None and integration.pk is not None:
        known = names_of(integration)
        names = {key: known[key] for key in ("tenant_id", "integration_id")}

    def count(facts: CallFacts) -> None:
        metrics.adapter_request(facts.adapter, facts.status, facts.duration_s, **names)

    return count
