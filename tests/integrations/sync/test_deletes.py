"""Deletes by each detector, and the brake."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from churnguard.errors import ConfigError
from churnguard.models import Batch, CustomerSource, Notice
from integrations import controls, deletes
from integrations.connectors.base import Stream
from integrations.models import Integration, RunStream, StreamSeen, StreamState
from tests.integrations.sync.conftest import stored, sync, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def companies(deletes: Any, **options: Any) -> tuple[Stream, ...]:
    options.setdefault("cursor_field", "at")
    return (Stream("companies", "customer", deletes=deletes, **options),)


def state_of(integration: Integration) -> StreamState:
    return StreamState.objects.select_related("integration__organization").get(
        integration=integration, name="companies"
    )


def open_notices() -> list[str]:
    return [notice.kind for notice in Notice.objects.filter(resolved_at=None)]


@pytest.fixture
def halved(account: Account, connect: Connect) -> Integration:
    """60 companies were read in full; the source has 30 of them left."""
    account.streams = companies("full")
    account.rows = {"companies": ids(60)}
    integration = connect(batch_size=25)
    sync(integration)
    account.rows = {"companies": ids(30)}
    return integration


def test_feed(account: Account, connect: Connect) -> None:
    account.streams = companies("feed")
    account.rows = {"companies": ids(5)}
    integration = connect()
    sync(integration)
    account.deleted = {"companies": ["c2", "c4", "never-seen"]}

    run = sync(integration)

    assert stored(integration) == {"c1", "c3", "c5"}
    assert stored(integration, alive=False) == set(ids(5))
    assert RunStream.objects.get(run=run).deleted == 2
    kept = CustomerSource.objects.get(source=integration.source, external_id="c2")
    assert kept.name == "Name c2"


def test_absence_from_a_full_read(account: Account, connect: Connect) -> None:
    account.streams = companies("full")
    account.rows = {"companies": ids(6)}
    integration = connect()
    sync(integration)
    account.rows = {"companies": ["c1", "c3", "c5", "c6", "c7"]}

    incremental = sync(integration)
    assert RunStream.objects.get(run=incremental).deleted == 0
    full = sync(integration, mode="full")

    assert RunStream.objects.get(run=full).deleted == 2
    assert stored(integration) == {"c1", "c3", "c5", "c6", "c7"}
    assert {kept.run_id for kept in StreamSeen.objects.all()} == {full.pk}
    assert sum(len(kept.ids) for kept in StreamSeen.objects.all()) == 5


def test_a_stream_without_a_cursor_shows_deletes_at_every_run(
    account: Account, connect: Connect
) -> None:
    account.streams = companies("full", cursor_field=None)
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    account.rows = {"companies": ids(3)}

    sync(integration)

    assert stored(integration) == set(ids(3))


def test_two_streams_of_one_type_do_not_bury_each_other(
    account: Account, connect: Connect
) -> None:
    account.streams = (
        Stream("companies", "customer", deletes="full"),
        Stream("partners", "customer", deletes="full"),
    )
    account.rows = {"companies": ids(3), "partners": ids(3, "x")}
    integration = connect()
    sync(integration)
    account.rows["companies"] = ids(2)

    sync(integration)

    assert stored(integration) == {"c1", "c2", "x1", "x2", "x3"}


def test_sweep_over_the_ids(account: Account, connect: Connect) -> None:
    account.streams = companies("sweep")
    account.rows = {"companies": ids(5)}
    integration = connect()
    sync(integration)
    account.rows = {"companies": ["c1", "c2", "c5", "c4", "c6"]}
    StreamState.objects.update(checked_deletes_at=None)

    run = sync(integration)

    assert run.status == "completed"
    assert stored(integration) == {"c1", "c2", "c4", "c5"}
    assert state_of(integration).checked_deletes_at is not None


def test_a_sweep_is_made_once_a_day(account: Account, connect: Connect) -> None:
    account.streams = companies("sweep")
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    account.rows = {"companies": ids(3)}

    sync(integration)

    assert stored(integration) == set(ids(4))


def test_after_a_complete_read_ids_are_listed_only_if_one_is_missing(
    account: Account, connect: Connect
) -> None:
    account.streams = companies("sweep")
    account.rows = {"companies": ids(5)}
    integration = connect()
    for mode in ("incremental", "full"):
        sync(integration, mode=mode)
        assert account.lists == 0
        assert state_of(integration).checked_deletes_at is not None

    account.rows = {"companies": ids(4)}
    sync(integration, mode="full")

    assert (account.lists, stored(integration)) == (1, set(ids(4)))
    sync(integration, mode="full")
    assert account.lists == 1
    StreamState.objects.update(checked_deletes_at=None)
    sync(integration)
    assert account.lists == 2


def test_what_comes_back_is_alive_again(account: Account, connect: Connect) -> None:
    account.streams = companies("full", cursor_field=None)
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    account.rows = {"companies": ids(3)}
    sync(integration)
    account.rows = {"companies": ids(4)}

    sync(integration)

    assert stored(integration) == set(ids(4))


def test_a_brake_waits_through_runs_that_look_for_no_absences(
    halved: Integration,
) -> None:
    sync(halved, mode="full")
    assert state_of(halved).status == "brake"

    sync(halved)

    assert state_of(halved).status == "brake"
    confirmed = work(controls.confirm_deletes(state_of(halved), by="test"))
    assert confirmed.status == "completed"
    assert stored(halved) == set(ids(30))


def test_what_was_restored_without_a_new_version_is_alive_again(
    account: Account, connect: Connect
) -> None:
    """Its tombstone has a date of its own, so its values alone would stay dead; what
    died within the hour may only not have left the list yet."""
    account.streams = companies("sweep")
    account.rows = {"companies": ids(5)}
    integration = connect()
    sync(integration)
    now = datetime.now(UTC)
    for name, age in (("c2", timedelta(hours=2)), ("c4", timedelta(minutes=50))):
        CustomerSource.objects.filter(external_id=name).update(
            deleted_at=now - age, deleted_version=7, updated_at=now - age
        )
    CustomerSource.objects.filter(external_id="c3").update(deleted_at=now)
    account.rows = {"companies": ["c1", "c2", "c4", "c5"]}
    StreamState.objects.update(checked_deletes_at=None)

    run = sync(integration)

    assert stored(integration) == {"c1", "c2", "c5"}
    part = RunStream.objects.get(run=run)
    assert (part.fetched, part.updated, part.deleted) == (1, 1, 0)
    line = Batch.objects.get(run_id=run.pk)
    assert (line.fetched, line.updated, line.deleted) == (1, 1, 0)


@pytest.mark.parametrize(("live", "limit"), [(10, 20), (66, 20), (67, 20), (1000, 300)])
def test_the_limit_of_the_brake(live: int, limit: int) -> None:
    assert deletes.brake_limit(live) == limit


def test_the_brake_stops_a_full_read_until_a_person_confirms(
    account: Account, halved: Integration
) -> None:
    run = sync(halved, mode="full")

    assert run.status == "incomplete"
    part = RunStream.objects.get(run=run)
    assert (part.status, part.deleted, part.error_code) == ("brake", 0, "delete_brake")
    assert stored(halved) == set(ids(60))
    state = state_of(halved)
    assert state.status == "brake"
    shown = deletes.describe(state)
    assert shown is not None
    assert (shown["would_delete"], shown["live"], shown["limit"]) == (30, 60, 20)
    assert open_notices() == ["delete_brake"]
    reads = len(account.reads)

    confirmed = work(controls.confirm_deletes(state, by="test"))

    assert confirmed.status == "completed"
    assert open_notices() == []
    assert stored(halved) == set(ids(30))
    assert len(account.reads) == reads
    state.refresh_from_db()
    assert (state.status, state.brake) == ("active", None)
    with pytest.raises(ConfigError, match="waiting"):
        controls.confirm_deletes(state, by="test")


def test_records_that_are_kept_leave_no_notice_and_no_sentence(
    halved: Integration,
) -> None:
    sync(halved, mode="full")
    halved.refresh_from_db()
    assert "would delete 30 of 60" in halved.status_detail

    controls.keep_records(state_of(halved), by="test")

    halved.refresh_from_db()
    assert halved.status_detail == ""
    assert open_notices() == []
    assert stored(halved) == set(ids(60))


def test_the_brake_stops_a_feed_before_its_page(
    account: Account, connect: Connect
) -> None:
    account.streams = companies("feed")
    account.rows = {"companies": ids(60)}
    integration = connect(batch_size=25)
    sync(integration)
    account.deleted = {"companies": ids(25)}

    run = sync(integration)

    assert RunStream.objects.get(run=run).status == "brake"
    assert stored(integration) == set(ids(60))

    confirmed = work(controls.confirm_deletes(state_of(integration), by="test"))

    assert confirmed.status == "completed"
    assert len(stored(integration)) == 35


def test_a_source_that_recovers_releases_the_brake(
    account: Account, connect: Connect
) -> None:
    account.streams = companies("full")
    account.rows = {"companies": ids(60)}
    integration = connect(batch_size=50)
    sync(integration)
    account.rows = {"companies": []}
    sync(integration, mode="full")
    assert state_of(integration).status == "brake"
    account.rows = {"companies": ids(60)}

    run = sync(integration, mode="full")

    assert run.status == "completed"
    assert stored(integration) == set(ids(60))
    assert state_of(integration).brake is None
