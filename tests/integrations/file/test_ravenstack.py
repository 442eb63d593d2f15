"""A real export through the file connector: every row of every file accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection
from pytest_django.plugin import DjangoDbBlocker

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
from integrations.models import Integration, RunStream, SyncRun
from tests import exports

FILES = (
    "accounts",
    "churn_events",
    "feature_usage",
    "subscriptions",
    "support_tickets",
)


@pytest.fixture(scope="module")
def imported(
    shared_data: Path, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[tuple[Integration, SyncRun]]:
    """The export and its first run, committed for the module; removed at the end."""
    with django_db_blocker.unblock():
        org = Organization.objects.create(name="RavenStack")
        integration = exports.connect_ravenstack(org, shared_data)
        run = exports.sync(integration)
    yield integration, run
    with django_db_blocker.unblock():
        org.delete()
        with connection.cursor() as cur:
            cur.execute("TRUNCATE cg_usage_event, cg_event_key")


@pytest.fixture
def ravenstack(imported: tuple[Integration, SyncRun], db: None) -> Integration:
    return Integration.objects.get(pk=imported[0].pk)


@pytest.fixture
def first(imported: tuple[Integration, SyncRun], db: None) -> SyncRun:
    return SyncRun.objects.get(pk=imported[1].pk)


def test_every_row_is_accounted_for(first: SyncRun, shared_data: Path) -> None:
    truth = {name: exports.read_ravenstack(shared_data, name) for name in FILES}
    ids = Counter(row["usage_id"] for row in truth["feature_usage"])
    repeated = sum(count - 1 for count in ids.values())

    assert first.status == "completed"
    parts = {
        part.stream.removeprefix("ravenstack_"): part
        for part in RunStream.objects.filter(run=first)
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
    assert Quarantine.objects.filter(run_id=first.pk).count() == usage.quarantined
    ledger = Batch.objects.filter(run_id=first.pk)
    assert sum(line.fetched for line in ledger) == sum(map(len, truth.values()))


def test_tables_follow_from_the_ledger(
    ravenstack: Integration, shared_data: Path
) -> None:
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

    row = exports.read_ravenstack(shared_data, "support_tickets")[2]
    ticket = Ticket.objects.get(source_id=source, external_id=row["ticket_id"])
    assert ticket.priority == row["priority"]
    assert ticket.satisfaction_pct == (float(row["satisfaction_score"]) - 1) / 4 * 100
    assert ticket.first_replied_at is not None
    waited = ticket.first_replied_at - ticket.opened_at
    assert waited.total_seconds() == 60 * int(row["first_response_time_minutes"])
    row = exports.read_ravenstack(shared_data, "subscriptions")[0]
    sub = Subscription.objects.get(source_id=source, external_id=row["subscription_id"])
    assert (sub.mrr_minor, sub.currency) == (int(row["mrr_amount"]) * 100, "USD")
    assert sub.customer_source.external_id == row["account_id"]


def test_second_run_writes_nothing(ravenstack: Integration) -> None:
    stamps = dict(CustomerSource.objects.values_list("pk", "updated_at"))
    kept = Quarantine.objects.count()

    again = exports.sync(ravenstack)
    full = exports.sync(ravenstack, mode="full")

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
