"""Status and quality numbers, from rows counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from rest_framework.test import APIClient

from churnguard.models import Organization, User
from churnguard.records import CustomerRecord, EventRecord, TicketRecord
from integrations import load

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
Api = Callable[..., APIClient]


@pytest.fixture
def filled(org: Organization) -> None:
    """Source "crm": a page two days ago and one half a minute ago; "web" is silent."""
    source_id = load.source_id(connection, org_id=org.pk, name="crm", kind="hubspot")
    load.source_id(connection, org_id=org.pk, name="web")

    def write(received_at: datetime, *items: Any) -> None:
        load.write(
            connection,
            org_id=org.pk,
            source_id=source_id,
            origin="sync",
            items=items,
            received_at=received_at,
        )

    old = NOW - timedelta(days=2)
    opened = old - timedelta(hours=1)
    write(
        old,
        CustomerRecord(external_id="c1", name="Acme", domain="acme.com"),
        CustomerRecord(external_id="c2", name="Bolt"),
        TicketRecord(
            external_id="t1", customer_id="c1", status="open", opened_at=opened
        ),
        TicketRecord(external_id="t2", status="broken"),
    )
    fresh = NOW - timedelta(seconds=30)
    event = EventRecord(
        event_id="e1",
        event="login",
        customer_id="c1",
        timestamp=NOW - timedelta(seconds=90),
    )
    anonymous = EventRecord(event_id="e2", event="login", timestamp=event.timestamp)
    write(fresh, event, anonymous, event, event)


@time_machine.travel(NOW, tick=False)
def test_status_counts_what_the_ledger_and_the_tables_hold(
    filled: None, bob: User, api: Api
) -> None:
    body = api(bob).get("/api/v1/data/status/crm").json()

    assert body.pop("first_seen_at")
    assert body == {
        "source_system": "crm",
        "kind": "hubspot",
        "state": "active",
        "last_received_at": "2026-03-10T11:59:30Z",
        "newest_record_at": "2026-03-10T11:58:30Z",
        "lag_s": 90.0,
        "records": {
            "last_minute": {"records": 4, "per_second": 0.067},
            "last_hour": {"records": 4, "per_second": 0.001},
            "last_24h": {"records": 4, "per_second": 0.0},
        },
        "totals": {
            "batches": 2,
            "fetched": 8,
            "inserted": 5,
            "updated": 0,
            "unchanged": 0,
            "duplicate": 2,
            "quarantined": 1,
            "filtered": 0,
            "deleted": 0,
        },
        "stored": {"customer": 2, "ticket": 1, "event": 2},
        "quarantine": {"unknown_status": 1},
    }


@time_machine.travel(NOW, tick=False)
def test_a_silent_source_has_no_numbers_and_says_so(
    filled: None, bob: User, api: Api
) -> None:
    body = api(bob).get("/api/v1/data/status/web").json()

    assert (body["state"], body["lag_s"], body["newest_record_at"]) == (
        "never",
        None,
        None,
    )
    assert body["stored"] == {}


@time_machine.travel(NOW, tick=False)
def test_quality_is_counted_per_source_and_day(
    filled: None, bob: User, api: Api
) -> None:
    body = api(bob).get("/api/v1/data/quality/metrics").json()

    assert (body["first_day"], body["last_day"]) == ("2026-02-09", "2026-03-10")
    today, before = body["results"]
    assert today == {
        "source_system": "crm",
        "day": "2026-03-10",
        "records": 4,
        "completeness_pct": 50.0,
        "validity_pct": 100.0,
        "uniqueness_pct": 50.0,
        "timeliness_pct": 100.0,
        "lag_p50_s": 60.0,
        "quarantined": {},
    }
    # 3 of 4 fields of two customers, 3 of 4 of a ticket; one of four refused; the
    # records carry no time of their source, so timeliness is not measured.
    assert before["completeness_pct"] == 75.0
    assert (before["validity_pct"], before["uniqueness_pct"]) == (75.0, 100.0)
    assert (before["timeliness_pct"], before["lag_p50_s"]) == (None, None)
    assert before["quarantined"] == {"unknown_status": 1}


@time_machine.travel(NOW, tick=False)
def test_quality_can_be_narrowed(filled: None, bob: User, api: Api) -> None:
    def days(**query: str) -> list[str]:
        body = api(bob).get("/api/v1/data/quality/metrics", query).json()
        return [row["day"] for row in body["results"]]

    assert days(to="2026-03-09") == ["2026-03-08"]
    assert days(**{"from": "2026-03-09"}) == ["2026-03-10"]
    assert days(source="web") == []


@pytest.mark.parametrize(
    "query",
    [
        {"from": "soon"},
        {"to": "2026-13-01"},
        {"from": "2026-03-02", "to": "2026-03-01"},
        {"from": "2020-01-01", "to": "2026-03-01"},
        {"to": "0001-01-01"},
    ],
)
def test_impossible_ranges_are_a_400(
    bob: User, api: Api, query: dict[str, str]
) -> None:
    reply = api(bob).get("/api/v1/data/quality/metrics", query)

    assert reply.status_code == 400
    assert sorted(reply.json()) == ["code", "detail", "fields"]


@pytest.mark.parametrize(
    "url", ["/api/v1/data/status/crm", "/api/v1/data/quality/metrics?source=crm"]
)
def test_strangers_see_nothing(
    filled: None, bob: User, charlie: User, api: Api, url: str
) -> None:
    assert api(bob).get(url).status_code == 200
    assert api(charlie).get(url).status_code == 404
    assert api().get(url).status_code == 401
    assert api(bob).get("/api/v1/data/status/nothing").status_code == 404
