"""A real export through the file connector: every row of every file accounted for."""

from __future__ import annotations

import csv
import gzip
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from churnguard.models import (
    Batch,
    CustomerSource,
    Organization,
    Quarantine,
    SourceObject,
    Subscription,
    Ticket,
    UsageEvent,
)
from integrations import registry, runs
from integrations.models import Integration, RunStream, SyncRun

pytestmark = pytest.mark.django_db(transaction=True)

FILES = (
    "accounts",
    "churn_events",
    "feature_usage",
    "subscriptions",
    "support_tickets",
)


@pytest.fixture
def ravenstack(org: Organization, shared_data: Path) -> Integration:
    folder = shared_data / "data"
    return registry.create(
        org,
        {
            "integration_id": "ravenstack",
            "integration_name": "RavenStack",
            "provider_name": "file",
            "settings": {"path": str(folder), "pattern": "ravenstack_*"},
            "sync_config": {"sync_frequency": 0},
        },
        by="test",
        trusted_root=folder,
    )


def sync(integration: Integration, mode: str = "") -> SyncRun:
    run = runs.start(integration, mode=mode)
    while runs.run_now(run.pk):
        pass
    run.refresh_from_db()
    return run


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    path = next((folder / "data").glob(f"ravenstack_{name}.csv*"))
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def test_every_row_is_accounted_for(ravenstack: Integration, shared_data: Path) -> None:
    truth = {name: rows_of(shared_data, name) for name in FILES}
    ids = Counter(row["usage_id"] for row in truth["feature_usage"])
    repeated = sum(count - 1 for count in ids.values())

    run = sync(ravenstack)

    assert run.status == "completed"
    parts = {
        part.stream.removeprefix("ravenstack_"): part
        for part in RunStream.objects.filter(run=run)
    }
    assert {name: part.fetched for name, part in parts.items()} == {
        name: len(truth[name]) for name in FILES
    }
    usage = parts.pop("feature_usage")
    for name, part in parts.items():
        assert part.inserted == len(truth[name]), name
        assert part.quarantined == part.duplicate == part.filtered == 0, name
    assert repeated > 0
    assert usage.inserted == len(ids)
    assert usage.quarantined + usage.duplicate == repeated
    assert Quarantine.objects.filter(run_id=run.pk).count() == usage.quarantined
    ledger = Batch.objects.filter(run_id=run.pk)
    assert sum(line.fetched for line in ledger) == sum(map(len, truth.values()))


def test_tables_follow_from_the_ledger(
    ravenstack: Integration, shared_data: Path
) -> None:
    sync(ravenstack)

    source = ravenstack.source_id
    customers = CustomerSource.objects.filter(source_id=source)
    assert customers.count() == 500
    assert not customers.filter(is_stub=True).exists()
    assert Subscription.objects.filter(source_id=source).count() == 5000
    assert Ticket.objects.filter(source_id=source).count() == 2000
    assert SourceObject.objects.filter(source_id=source).count() == 600
    events = UsageEvent.objects.filter(source_id=source)
    assert events.count() == 24979
    assert not events.filter(customer_source_id=None).exists()

    row = rows_of(shared_data, "support_tickets")[2]
    ticket = Ticket.objects.get(source_id=source, external_id=row["ticket_id"])
    assert ticket.priority == row["priority"]
    assert ticket.satisfaction_pct == (float(row["satisfaction_score"]) - 1) / 4 * 100
    assert ticket.first_replied_at is not None
    waited = ticket.first_replied_at - ticket.opened_at
    assert waited.total_seconds() == 60 * int(row["first_response_time_minutes"])
    first = rows_of(shared_data, "subscriptions")[0]
    sub = Subscription.objects.get(
        source_id=source, external_id=first["subscription_id"]
    )
    assert (sub.mrr_minor, sub.currency) == (int(first["mrr_amount"]) * 100, "USD")
    assert sub.customer_source.external_id == first["account_id"]


def test_second_run_writes_nothing(ravenstack: Integration) -> None:
    sync(ravenstack)
    stamps = dict(CustomerSource.objects.values_list("pk", "updated_at"))
    kept = Quarantine.objects.count()

    again = sync(ravenstack)
    full = sync(ravenstack, mode="full")

    assert (again.status, full.status) == ("completed", "completed")
    for run in (again, full):
        written = [
            (part.inserted, part.updated) for part in RunStream.objects.filter(run=run)
        ]
        assert written == [(0, 0)] * 5
    assert all(part.fetched == 0 for part in RunStream.objects.filter(run=again))
    assert sum(part.fetched for part in RunStream.objects.filter(run=full)) == 33100
    assert dict(CustomerSource.objects.values_list("pk", "updated_at")) == stamps
    assert Quarantine.objects.count() == kept
