"""Pages of new rows: stored in one piece, and one by one where that does not work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import OperationalError, connection

from churnguard.models import Batch, Contact, Quarantine
from churnguard.records import ContactRecord
from integrations import columns, load, runs
from integrations.connectors.base import ReadRequest, Stream
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests.integrations.sync.conftest import sync, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]
PAGE = columns.LEAST + 10


@pytest.fixture
def people(account: Account) -> Account:
    """Three pages of contacts, read in full each time, their absence a deletion."""
    account.streams = (Stream("people", "contact", deletes="full"),)
    account.by_row = True
    account.rows = {"people": ids(3 * PAGE)}
    return account


@pytest.fixture
def integration(people: Account, connect: Connect) -> Integration:
    return connect(batch_size=PAGE)


def counts(run: SyncRun) -> dict[str, int]:
    """What the run says it did; the ledger has to say the same."""
    part = RunStream.objects.get(run=run)
    found = {name: getattr(part, name) for name in Batch.TOTALS}
    for name, count in found.items():
        lines = Batch.objects.filter(run_id=run.pk).values_list(name, flat=True)
        assert sum(lines) == count, name
    return {name: count for name, count in found.items() if count}


def rows(integration: Integration) -> list[Any]:
    """The contacts, without what no two runs have in common."""
    return list(
        Contact.objects.filter(source=integration.source)
        .order_by("external_id")
        .values_list(
            *("external_id", "name", "customer_source__external_id", "custom"),
            *("raw", "links", "content_hash", "source_version", "deleted_at"),
        )
    )


def test_new_rows_are_stored_without_making_records(
    people: Account, integration: Integration
) -> None:
    begun = datetime.now(UTC)
    run = sync(integration)

    assert counts(run) == {"fetched": 3 * PAGE, "inserted": 3 * PAGE}
    assert people.made == []
    found = Contact.objects.get(external_id="c7")
    assert (found.name, found.raw) == ("Name c7", {"id": "c7", "name": "Name c7"})
    assert found.customer_source is not None
    assert found.customer_source.external_id == "c1"
    assert found.customer_source.customer.score_stale_at is not None
    assert found.identity_stale_at is not None
    for at in (found.created_at, found.updated_at, found.identity_stale_at):
        assert begun <= at <= datetime.now(UTC)
    state = StreamState.objects.get(integration=integration)
    assert state.records_stored == 3 * PAGE
    assert {column["name"] for column in state.columns} == {"id", "name"}
    assert counts(sync(integration)) == {"fetched": 3 * PAGE, "unchanged": 3 * PAGE}


def test_the_rows_are_those_of_single_records(
    people: Account, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    people.raws = {"c5": {"id": "c5", "name": "Tab\there, back\\slash, “Ü”\n"}}
    integration = connect(batch_size=PAGE)
    sync(integration)
    in_blocks = rows(integration)
    assert people.made == []
    Contact.objects.all().delete()
    StreamState.objects.update(records_stored=0)
    monkeypatch.setattr(columns, "LEAST", 10**6)

    assert counts(sync(integration))["inserted"] == 3 * PAGE

    assert len(people.made) == 3 * PAGE
    assert rows(integration) == in_blocks


def test_a_page_with_a_bad_row_refuses_only_that(
    people: Account, integration: Integration
) -> None:
    people.raws = {"c3": {"id": "c3", "name": "NUL \0"}}

    found = counts(sync(integration))

    assert found == {
        "fetched": 3 * PAGE,
        "inserted": 3 * PAGE - 1,
        "quarantined": 1,
    }
    assert Quarantine.objects.get().external_id == "c3"
    # The other pages were stored in one piece.
    assert people.made == ids(PAGE)


def test_a_row_that_stands_there_already_is_no_second_one(
    people: Account, integration: Integration
) -> None:
    """Another way in has stored one before the first sync."""
    load.write(
        connection,
        org_id=integration.organization_id,
        source_id=integration.source_id,
        origin="ingest",
        items=[ContactRecord(external_id="c2", name="Older", customer_id="c1")],
        received_at=datetime.now(UTC),
    )

    found = counts(sync(integration))

    assert found == {"fetched": 3 * PAGE, "inserted": 3 * PAGE - 1, "updated": 1}
    assert Contact.objects.get(external_id="c2").name == "Name c2"


def test_an_id_of_two_pages_is_stored_once(
    people: Account, integration: Integration
) -> None:
    people.rows = {"people": [*ids(PAGE), "c1", *ids(PAGE - 1, "d")]}

    found = counts(sync(integration))

    assert found == {
        "fetched": 2 * PAGE,
        "inserted": 2 * PAGE - 1,
        "unchanged": 1,
    }


def test_changed_rows_stand_beside_new_ones(
    people: Account, integration: Integration
) -> None:
    people.rows = {"people": ids(PAGE)}
    sync(integration)
    people.raws = {"c4": {"id": "c4", "name": "Other"}}
    people.rows = {"people": ids(3 * PAGE)}

    found = counts(sync(integration))

    assert found == {
        "fetched": 3 * PAGE,
        "inserted": 2 * PAGE,
        "updated": 1,
        "unchanged": PAGE - 1,
    }
    assert people.made == ["c4"]


def test_a_lost_connection_puts_the_page_off(
    people: Account, integration: Integration
) -> None:
    """The database hangs up while a page is on its way: the run is let go, nothing of
    the page is stored, and the next worker goes on with it."""

    def hang_up(_stream: str, number: int, _request: ReadRequest) -> None:
        if number == 1:
            people.before_page = lambda *_: None
            with other_connection() as cur:
                cur.execute("SELECT pg_terminate_backend(%s)", [backend()])
            time.sleep(0.1)

    people.before_page = hang_up
    run = runs.start(integration)
    with pytest.raises(OperationalError):
        runs.run_now(run.pk)
    run.refresh_from_db()
    assert (run.status, Contact.objects.count()) == ("pending", PAGE)

    work(run)

    assert_complete(run)


def test_a_page_that_loses_a_lock_is_put_off(
    people: Account, integration: Integration
) -> None:
    """As after a deadlock: no fault of the stream, and nothing a person need do."""
    with connection.cursor() as cur:
        cur.execute("SET lock_timeout = '200ms'")
    run = runs.start(integration)
    try:
        with other_connection() as cur:
            cur.execute("BEGIN; LOCK TABLE cg_contact IN EXCLUSIVE MODE")
            with pytest.raises(OperationalError):
                runs.run_now(run.pk)
    finally:
        connection.close()
    run.refresh_from_db()
    assert (run.status, run.attempts) == ("pending", 0)
    assert RunStream.objects.get(run=run).error_code == ""

    work(run)

    assert_complete(run)


@contextmanager
def other_connection() -> Iterator[Any]:
    other = connection.copy()
    try:
        with other.cursor() as cur:
            yield cur
    finally:
        other.close()


def backend() -> int:
    with connection.cursor() as cur:
        cur.execute("SELECT pg_backend_pid()")
        return int(cur.fetchone()[0])


def assert_complete(run: SyncRun) -> None:
    run.refresh_from_db()
    assert run.status == "completed"
    assert counts(run) == {"fetched": 3 * PAGE, "inserted": 3 * PAGE}
    part = RunStream.objects.get(run=run)
    assert (part.pages, part.error_code) == (3, "")


def test_the_page_that_people_hear_of_waits_for_the_disk(
    people: Account, integration: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others may be lost with the last half second of a server that crashes: rows,
    cursor and ledger line together."""
    modes: list[str] = []
    write = load.write

    def watched(*args: Any, **options: Any) -> Any:
        with connection.cursor() as cur:
            cur.execute("SHOW synchronous_commit")
            modes.append(cur.fetchone()[0])
        return write(*args, **options)

    monkeypatch.setattr(load, "write", watched)
    monkeypatch.setattr("integrations.progress.NOTE_EVERY_S", 3600)
    with connection.cursor() as cur:
        # The server of the tests never waits.
        cur.execute("SET synchronous_commit = on")
    try:
        sync(integration)
        monkeypatch.setattr("integrations.progress.NOTE_EVERY_S", 0)
        sync(integration)
    finally:
        with connection.cursor() as cur:
            cur.execute("RESET synchronous_commit")

    assert modes == ["off", "off", "off", "on", "on", "on"]
