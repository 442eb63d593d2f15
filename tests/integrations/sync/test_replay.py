"""Replaying what was refused while the source goes on changing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from churnguard.models import CustomerSource, Quarantine
from integrations import registry, replay
from integrations.models import Integration
from tests.integrations.sync.conftest import sync
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def raw(name: str, seats: int) -> dict[str, Any]:
    return {"id": "c1", "name": name, "seats": seats}


def read(account: Account, integration: Integration, **values: Any) -> None:
    account.rows = {"companies": ["c1"]}
    account.raws = {"c1": raw(**values)}
    sync(integration, mode="full")


def row() -> Quarantine:
    return Quarantine.objects.get(external_id="c1")


def stored() -> tuple[str, int]:
    kept = CustomerSource.objects.get(external_id="c1")
    return kept.name, kept.seats


def test_a_repaired_record_replaces_what_was_stored_before_it(
    account: Account, connect: Connect
) -> None:
    integration = connect()
    read(account, integration, name="First", seats=1)
    read(account, integration, name="Second", seats=-2)
    edits = {row().pk: raw("Second", 2)}

    done = replay.replay(integration.organization, [row().pk], by="ann", edits=edits)

    assert (done.stored, done.failed) == ([row().pk], [])
    assert stored() == ("Second", 2)


def test_a_repair_that_comes_too_late_replaces_nothing(
    account: Account, connect: Connect
) -> None:
    integration = connect()
    read(account, integration, name="Old", seats=-1)
    read(account, integration, name="New", seats=9)
    edits = {row().pk: raw("Old", 1)}

    done = replay.replay(integration.organization, [row().pk], by="ann", edits=edits)

    assert done.stored == []
    assert [failed["code"] for failed in done.failed] == ["newer_stored"]
    assert stored() == ("New", 9)
    assert row().state == "open"


def test_what_the_source_has_sent_anew_is_closed(
    account: Account, connect: Connect
) -> None:
    integration = connect()
    read(account, integration, name="Old", seats=-1)
    # The check that refused it is gone.
    Quarantine.objects.update(raw=raw("Old", 1))
    read(account, integration, name="New", seats=9)
    org = integration.organization

    dry = replay.replay(org, [row().pk], by="ann", dry_run=True)
    assert (dry.skipped, row().state) == ([row().pk], "open")
    done = replay.replay(org, [row().pk], by="ann")

    assert (done.stored, done.failed, done.skipped) == ([], [], [row().pk])
    assert (stored(), row().state) == (("New", 9), "replayed")


def test_filters_hold_for_what_is_replayed(account: Account, connect: Connect) -> None:
    integration = connect()
    read(account, integration, name="Two", seats=-2)
    filters = {"companies:name": {"ne": "Two"}}
    registry.update(integration, {"sync_config": {"data_filters": filters}}, by="test")
    edits = {row().pk: raw("Two", 2)}

    done = replay.replay(integration.organization, [row().pk], by="ann", edits=edits)

    assert [failed["code"] for failed in done.failed] == ["filtered"]
    assert not CustomerSource.objects.filter(external_id="c1", is_stub=False).exists()
