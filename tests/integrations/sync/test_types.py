"""Which unified type a stream becomes: chosen on page and API, and effective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from churnguard.models import AuditEntry, Contact, CustomerSource, User
from integrations import catalog, controls, mappings, runs
from integrations.connectors.base import Stream
from integrations.models import Integration, StreamState, SyncRun
from tests.integrations.sync.conftest import stored, sync, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def companies(integration: Integration) -> StreamState:
    return StreamState.objects.select_related("integration__organization").get(
        integration=integration, name="companies"
    )


def test_another_type_holds_from_the_next_sync_on(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(3)}
    integration = connect()
    sync(integration)
    mappings.save(
        companies(integration),
        {
            "rules": [
                {"target": "industry", "transform": {"kind": "constant", "value": "x"}}
            ]
        },
        by="test",
    )

    controls.update_stream(
        companies(integration), {"record_type": "contact"}, by="test"
    )

    state = companies(integration)
    integration.refresh_from_db()
    assert integration.entity_mappings == {"companies": "contact"}
    assert (state.record_type, state.cursor, state.mapping_version) == (
        "contact",
        None,
        None,
    )
    assert sync(integration).status == "completed"
    assert set(Contact.objects.values_list("external_id", flat=True)) == set(ids(3))
    # What was stored as customers stays.
    assert stored(integration) == set(ids(3))
    (entry,) = AuditEntry.objects.filter(action="stream.updated")
    assert entry.before["record_type"] == "customer"
    assert entry.after["record_type"] == "contact"
    # Discovery, which this connector runs before each sync, keeps the choice.
    assert companies(integration).record_type == "contact"


def test_back_to_what_the_connector_says(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(1)}
    integration = connect(extra={"entity_mappings": {"contact": "Companies"}})
    sync(integration)
    assert companies(integration).record_type == "contact"

    controls.update_stream(companies(integration), {"record_type": ""}, by="test")
    sync(integration)

    integration.refresh_from_db()
    assert integration.entity_mappings == {}
    assert companies(integration).record_type == "customer"
    assert stored(integration) == {"c1"}


def test_entity_mappings_by_api_hold_without_a_discovery(
    account: Account, connect: Connect, api: Callable[..., APIClient], alice: User
) -> None:
    account.rows = {"companies": ids(2)}
    integration = connect()
    sync(integration)
    client = api(alice)

    answer = client.patch(
        "/api/integrations/main",
        {"entity_mappings": {"companies": "deal"}},
        format="json",
    )

    assert answer.status_code == 200
    assert companies(integration).record_type == "deal"
    assert companies(integration).cursor is None


def test_the_same_choice_again_costs_nothing(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(2)}
    integration = connect()
    sync(integration)
    before = companies(integration).cursor

    controls.update_stream(
        companies(integration), {"record_type": "customer"}, by="test"
    )

    assert before == companies(integration).cursor == {"seen": 2}


def test_types_change_between_syncs_only(
    account: Account, connect: Connect, api: Callable[..., APIClient], alice: User
) -> None:
    account.rows = {"companies": ids(2)}
    integration = connect()
    sync(integration)
    run = runs.start(integration)

    with pytest.raises(runs.AlreadyRunningError):
        controls.update_stream(
            companies(integration), {"record_type": "contact"}, by="test"
        )
    refused = api(alice).patch(
        "/api/integrations/main/streams",
        {"streams": {"companies": {"record_type": "contact", "enabled": False}}},
        format="json",
    )

    assert (refused.status_code, refused.json()["code"]) == (400, "already_running")
    state = companies(integration)
    assert (state.record_type, state.is_enabled) == ("customer", True)
    integration.refresh_from_db()
    assert integration.entity_mappings == {}
    assert work(run).status == "completed"


def test_impossible_types_are_refused(
    account: Account, connect: Connect, api: Callable[..., APIClient], alice: User
) -> None:
    account.streams = (*account.streams, Stream("logins", "event"))
    integration = connect()
    catalog.keep_streams(integration, account.streams)
    client = api(alice)

    def change(stream: str, record_type: str) -> Any:
        body = {"streams": {stream: {"record_type": record_type}}}
        return client.patch("/api/integrations/main/streams", body, format="json")

    assert change("companies", "planet").json()["code"] == "bad_entity_type"
    assert change("logins", "customer").json()["fields"] == {
        "record_type": "one of event"
    }
    listed = {
        row["stream"]: row["record_types"]
        for row in client.get("/api/integrations/main/streams").json()["results"]
    }
    assert listed["logins"] == ["event"]
    assert listed["companies"][0] == "customer"
    assert len(listed["companies"]) == 11


def test_the_pages_choose_types_and_leave_streams_out(
    account: Account, connect: Connect, client: Client, alice: User
) -> None:
    account.rows = {"companies": ids(2), "people": ids(2, "p")}
    integration = connect()
    catalog.keep_streams(integration, account.streams)
    client.force_login(alice)

    shown = client.get("/integrations/main/setup/").content.decode()
    assert 'name="type:companies"' in shown
    answer = client.post(
        "/integrations/main/setup/",
        {
            "sync_frequency": "0",
            "sync_mode": "incremental",
            "stream": "companies",
            "type:companies": "contact",
            "type:people": "contact",
        },
    )

    run = SyncRun.objects.get()
    assert answer["Location"] == f"/syncs/{run.public_id}/"
    work(run)
    assert set(Contact.objects.values_list("external_id", flat=True)) == set(ids(2))
    assert not CustomerSource.objects.filter(is_stub=False).exists()
    settings = "/integrations/main/settings/"
    back = client.post(
        "/integrations/main/stream/",
        {"stream": "companies", "record_type": "deal", "next": settings},
        follow=True,
    )
    assert back.redirect_chain[0][0] == settings
    assert b"companies becomes deal" in back.content
    assert companies(integration).record_type == "deal"
    wrong = client.post(
        "/integrations/main/stream/",
        {"stream": "companies", "record_type": "planet"},
        follow=True,
    )
    assert "cannot become “planet”" in wrong.content.decode()


def test_a_type_that_cannot_be_stops_the_setup(
    account: Account, connect: Connect, client: Client, alice: User
) -> None:
    integration = connect()
    catalog.keep_streams(integration, account.streams)
    client.force_login(alice)

    answer = client.post(
        "/integrations/main/setup/",
        {
            "sync_frequency": "0",
            "sync_mode": "incremental",
            "stream": "companies",
            "type:companies": "planet",
        },
    )

    assert answer.status_code == 422
    assert "cannot become “planet”" in answer.content.decode()
    assert not SyncRun.objects.exists()
    assert companies(integration).is_enabled
    assert StreamState.objects.get(integration=integration, name="people").is_enabled
