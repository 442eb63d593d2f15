"""Folding: rollups equal a plain GROUP BY over the events, whatever the batches."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection

from analytics import rollups
from churnguard import partitions
from churnguard.models import (
    Batch,
    Customer,
    CustomerSource,
    Organization,
    OrgDay,
    Source,
    StreamNote,
    UsageDay,
    UsageWindow,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


def make_ref(org: Organization, source: Source, external_id: str) -> CustomerSource:
    customer = Customer.objects.create(organization=org, name=external_id)
    return CustomerSource.objects.create(
        organization=org, source=source, external_id=external_id, customer=customer
    )


def store(
    org: Organization, source: Source, rows: list[tuple[CustomerSource, datetime, str]]
) -> Batch:
    """Put events and their ledger line in place, as the writer leaves them."""
    batch = Batch.objects.create(
        organization=org,
        source=source,
        origin="ingest",
        fetched=len(rows),
        inserted=len(rows),
        events=len(rows),
        received_at=NOW,
    )
    with connection.cursor() as cur:
        partitions.create_months(
            cur.cursor, {partitions.month_of(ts.date()) for _, ts, _ in rows}
        )
        cur.executemany(
            "INSERT INTO cg_usage_event (event_key, organization_id, source_id, "
            "customer_source_id, batch_id, name, event_id, user_key, ts, received_at, "
            "value) VALUES (%s, %s, %s, %s, %s, %s, %s, 'u1', %s, %s, 2)",
            [
                (
                    uuid.uuid4(),
                    org.pk,
                    source.pk,
                    ref.pk,
                    batch.pk,
                    name,
                    str(i),
                    ts,
                    NOW,
                )
                for i, (ref, ts, name) in enumerate(rows)
            ],
        )
    return batch


@pytest.fixture
def source(org: Organization) -> Source:
    return Source.objects.create(organization=org, name="web")


def test_rollups_equal_group_by_and_a_second_fold_adds_nothing(
    org: Organization, source: Source
) -> None:
    org.timezone = "Asia/Kolkata"
    org.save()
    dice = random.Random(7)
    refs = [make_ref(org, source, f"c{i}") for i in range(5)]
    for _ in range(4):
        rows = [
            (
                dice.choice(refs),
                NOW - timedelta(minutes=dice.randrange(200 * 24 * 60)),
                dice.choice(["login", "export"]),
            )
            for _ in range(150)
        ]
        store(org, source, rows)

    while rollups.fold(NOW):
        pass
    assert rollups.fold(NOW) == 0

    with connection.cursor() as cur:
        cur.execute(
            "SELECT customer_source_id, (ts AT TIME ZONE 'Asia/Kolkata')::date, name, "
            "count(*), sum(value) FROM cg_usage_event GROUP BY 1, 2, 3"
        )
        wanted = sorted(cur.fetchall())
        cur.execute(
            "SELECT (ts AT TIME ZONE 'Asia/Kolkata')::date, name, count(*) "
            "FROM cg_usage_event GROUP BY 1, 2"
        )
        wanted_org = sorted(cur.fetchall())
    found = sorted(
        UsageDay.objects.values_list(
            "customer_source_id", "day", "name", "n", "value_sum"
        )
    )
    assert found == wanted
    assert sorted(OrgDay.objects.values_list("day", "name", "n")) == wanted_org
    for ref in refs:
        window = UsageWindow.objects.get(pk=ref.pk)
        by_day: dict[date, int] = {}
        for pk, day, _name, n, _value in wanted:
            if pk == ref.pk:
                by_day[day] = by_day.get(day, 0) + n
        newest = max(by_day)
        assert window.base_day == newest - timedelta(days=127)
        assert window.days == [
            by_day.get(window.base_day + timedelta(days=i), 0) for i in range(128)
        ]
        assert window.events_total == sum(by_day.values())


def test_a_fold_marks_customers_stale_and_publishes_one_note(
    org: Organization, source: Source
) -> None:
    touched, other = make_ref(org, source, "a"), make_ref(org, source, "b")
    store(org, source, [(touched, NOW, "login"), (touched, NOW, "login")])

    assert rollups.fold(NOW) == 1

    touched.customer.refresh_from_db()
    other.customer.refresh_from_db()
    assert touched.customer.score_stale_at == NOW
    assert touched.customer.last_activity_at == NOW
    assert other.customer.score_stale_at is None
    note = StreamNote.objects.get(organization=org, channel="live-metrics")
    assert note.payload["events"] == 2
    assert note.payload["customers"] == 1
    assert note.payload["by_event"] == {"login": 2}


def test_a_late_event_fills_the_past_and_moves_nothing(
    org: Organization, source: Source
) -> None:
    ref = make_ref(org, source, "a")
    store(org, source, [(ref, NOW, "login")])
    rollups.fold(NOW)
    store(org, source, [(ref, NOW - timedelta(days=30), "login")])
    store(org, source, [(ref, NOW - timedelta(days=300), "login")])

    rollups.fold(NOW)

    window = UsageWindow.objects.get(pk=ref.pk)
    assert window.base_day == NOW.date() - timedelta(days=127)
    assert (window.days[127], window.days[97], sum(window.days)) == (1, 1, 2)
    assert window.first_event_at == NOW - timedelta(days=300)
    assert UsageDay.objects.filter(customer_source=ref).count() == 3
