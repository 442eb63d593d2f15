"""Schema drift: new fields and changed types are seen and told."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from integrations import drift
from integrations.connectors.base import Column, Stream
from integrations.models import Integration, StreamState
from tests.integrations.sync.conftest import sync
from tests.integrations.sync.scripted import Account, ids


@pytest.mark.django_db(transaction=True)
def test_unknown_fields_are_kept_and_reported(
    account: Account, connect: Callable[..., Integration]
) -> None:
    account.rows = {"companies": ["c1"]}
    account.raws = {"c1": {"id": "c1", "name": "One"}}
    integration = connect()
    sync(integration)
    state = StreamState.objects.get(integration=integration, name="companies")
    assert {c["name"] for c in state.columns} == {"id", "name"}
    assert state.drift == []
    account.rows = {"companies": ["c1", "c2", "c3"]}
    account.raws |= {
        "c2": {"id": "c2", "name": "Two", "Tier__c": "gold"},
        "c3": {"id": "c3", "name": {"first": "Three"}},
    }

    sync(integration)

    state.refresh_from_db()
    found = {(n["field"], n["kind"], n["was"], n["now"]) for n in state.drift}
    assert found == {("Tier__c", "added", "", "string")}
    raw = integration.source.customersource_set.get(external_id="c2").raw
    assert raw["Tier__c"] == "gold"


def test_a_changed_type_is_noted_once() -> None:
    watch = drift.Watch([{"name": "seats", "type": "integer"}])

    assert watch.see([{"seats": 3}, {"seats": 4.5}]) is False
    assert watch.see([{"seats": [1]}, {"seats": [2]}]) is True
    assert watch.see([{"seats": [3]}]) is False

    (note,) = watch.notes
    assert (note["field"], note["kind"], note["was"], note["now"]) == (
        "seats",
        "type",
        "integer",
        "array",
    )


def test_discovery_tells_what_came_and_went() -> None:
    known = [{"name": "id", "type": "string"}, {"name": "old", "type": "string"}]

    notes = drift.compare_discovery(
        known, (Column("id", "boolean"), Column("new", "number"), Column("id2", "json"))
    )

    assert {(n["field"], n["kind"]) for n in notes} == {
        ("new", "added"),
        ("id2", "added"),
        ("old", "gone"),
    }


@pytest.mark.django_db(transaction=True)
def test_a_field_that_only_the_data_show_stays(
    account: Account, connect: Callable[..., Integration]
) -> None:
    """Discovery before every run lists `id` alone; the objects have `plan` too."""
    account.streams = (
        Stream("companies", "customer", columns=(Column("id", "string"),)),
    )
    account.rows = {"companies": ["c1"]}
    account.raws = {"c1": {"id": "c1", "plan": "pro"}}
    integration = connect()

    for _ in range(3):
        sync(integration, mode="full")
        state = StreamState.objects.get(integration=integration, name="companies")
        assert [c["name"] for c in state.columns] == ["id", "plan"]
        assert [(n["field"], n["kind"]) for n in state.drift] == [("plan", "added")]
    # Once discovery lists it, its absence means something.
    account.streams = (
        Stream("companies", "customer", columns=(Column("plan", "string"),)),
    )
    sync(integration, mode="full")
    account.streams = (
        Stream("companies", "customer", columns=(Column("id", "string"),)),
    )
    account.raws = {"c1": {"id": "c1"}}
    sync(integration, mode="full")
    state.refresh_from_db()
    assert [(n["field"], n["kind"]) for n in state.drift][-1] == ("plan", "gone")
    assert [c["name"] for c in state.columns] == ["id"]


def test_order_follows_dependencies() -> None:
    from integrations.catalog import in_order

    usage = Stream("usage", "event", depends_on=("subs",))
    subs = Stream("subs", "subscription", depends_on=("accounts",))
    accounts = Stream("accounts", "customer")
    loop = Stream("loop", "object", depends_on=("loop2",))
    loop2 = Stream("loop2", "object", depends_on=("loop",))

    names = [s.name for s in in_order([usage, loop, subs, accounts, loop2])]

    assert names.index("accounts") < names.index("subs") < names.index("usage")
    assert sorted(names) == ["accounts", "loop", "loop2", "subs", "usage"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("chosen", "cursor"), [("", None), ("changed", {"seen": 3}), ("at", {"seen": 3})]
)
def test_another_order_of_changes_is_read_from_its_start(
    account: Account,
    connect: Callable[..., Integration],
    chosen: str,
    cursor: dict[str, int] | None,
) -> None:
    account.streams = (Stream("companies", "customer", cursor_field="at"),)
    account.rows = {"companies": ids(3)}
    integration = connect(incremental_field=chosen)
    sync(integration)
    sync(integration)
    assert account.reads[-1][1].cursor == {"seen": 3}
    account.streams = (Stream("companies", "customer", cursor_field="changed"),)

    sync(integration)

    assert account.reads[-1][1].cursor == cursor
    sync(integration)
    assert account.reads[-1][1].cursor == {"seen": 3}
