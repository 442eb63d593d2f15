"""A scripted provider, and an integration with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from churnguard.models import CustomerSource, Organization
from integrations import connectors, registry, runs
from integrations.models import Integration, SyncRun
from tests.integrations.sync import scripted


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[scripted.Account]:
    monkeypatch.setitem(
        connectors.REGISTRY, "scripted", f"{scripted.__name__}:ScriptedConnector"
    )
    monkeypatch.setattr(scripted, "ACCOUNT", scripted.Account())
    # Tests say themselves when a run is worked on.
    monkeypatch.setattr(runs, "_nudge", lambda _run_id: None)
    return scripted.ACCOUNT


@pytest.fixture
def connect(org: Organization, account: scripted.Account) -> Callable[..., Integration]:
    """`connect(batch_size=2)` -> an integration with the scripted account."""

    def make(**sync_config: Any) -> Integration:
        extra = sync_config.pop("extra", {})
        return registry.create(
            org,
            {
                "integration_id": "main",
                "provider_name": "scripted",
                "credentials": {"api_key": scripted.CANARY},
                "sync_config": {
                    "batch_size": 2,
                    "retry_backoff": 0,
                    "sync_frequency": 0,
                    **sync_config,
                },
                **extra,
            },
            by="test",
        )

    return make


def work(run: SyncRun, tries: int = 1) -> SyncRun:
    """Work on a run, skipping the waits between tries."""
    for _ in range(tries):
        SyncRun.objects.filter(pk=run.pk, status="pending").update(
            run_at=datetime.now(UTC)
        )
        if not runs.run_now(run.pk):
            break
    run.refresh_from_db()
    return run


def sync(integration: Integration, tries: int = 1, **options: Any) -> SyncRun:
    run = runs.start(integration, **options)
    work(run, tries)
    integration.refresh_from_db()
    return run


def stored(integration: Integration, *, alive: bool = True) -> set[str]:
    """External ids of the customers stored (stubs of contacts left out)."""
    rows = CustomerSource.objects.filter(source=integration.source, is_stub=False)
    if alive:
        rows = rows.filter(deleted_at=None)
    return set(rows.values_list("external_id", flat=True))
