"""Runs: pages, failures, waits, cancelling, fences."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    RateLimitedError,
    RestingError,
    TransientError,
)
from churnguard.models import Batch, Contact, Notice, RunKey, StreamNote
from integrations import controls, progress, runs
from integrations import sync as engine
from integrations.connectors.base import Page, ReadRequest, Stream
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests.integrations.sync.conftest import stored, sync, work
from tests.integrations.sync.scripted import Account, ScriptedConnector, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def fail_at(page: int, error: Exception, *, stream: str = "companies", times: int = 1):
    left = [times]

    def before_page(name: str, number: int, _request: ReadRequest) -> None:
        if name == stream and number == page and left[0]:
            left[0] -= 1
            raise error

    return before_page


def test_a_run_stores_every_page_with_its_ledger(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(5), "people": ids(3, "p")}
    integration = connect()

    run = sync(integration)

    assert run.status == "completed"
    assert integration.status == "active"
    assert stored(integration) == set(ids(5))
    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.pages, part.fetched, part.inserted, part.total) == (3, 5, 5, 5)
    lines = Batch.objects.filter(run_id=run.pk, stream="companies").order_by("page")
    assert [(line.page, line.fetched) for line in lines] == [(1, 2), (2, 2), (3, 1)]
    state = StreamState.objects.get(integration=integration, name="companies")
    assert state.cursor == {"seen": 5}
    assert (state.status, state.records_stored) == ("active", 5)
    assert integration.last_sync_timestamp is not None
    assert not RunKey.objects.filter(run_id=run.pk).exists()


def test_an_incremental_run_goes_on_from_the_cursor(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    account.rows["companies"] = ids(5)

    run = sync(integration)

    assert RunStream.objects.get(run=run, stream="companies").fetched == 1
    assert account.reads[-2][1].cursor == {"seen": 4}


def test_a_full_run_reads_all_and_writes_nothing_new(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)

    run = sync(integration, mode="full")

    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.fetched, part.unchanged, part.inserted, part.updated) == (4, 4, 0, 0)
    assert account.reads[-2][1].mode == "full"


def test_a_back_fill_leaves_the_position_alone(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4)}
    integration = connect()
    sync(integration)
    since = datetime(2026, 1, 1, tzinfo=UTC)

    run = sync(integration, streams=["companies"], since=since, trigger="backfill")

    assert run.status == "completed"
    name, request = account.reads[-1]
    assert (name, request.cursor, request.since) == ("companies", None, since)
    state = StreamState.objects.get(integration=integration, name="companies")
    assert state.cursor == {"seen": 4}


def test_settings_reach_the_connector(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(1)}
    integration = connect(
        batch_size=7,
        concurrent_requests=3,
        incremental_field="changed",
        data_filters={"name": {"ne": "x"}},
    )

    sync(integration)

    request = account.reads[0][1]
    assert (request.batch_size, request.concurrent_requests) == (7, 3)
    assert request.incremental_field == "changed"
    assert request.filters == {"name": {"ne": "x"}}


def test_data_filters_are_counted_as_filtered(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4), "people": ids(2, "p")}
    account.raws = {"c2": {"id": "c2", "name": "Two", "tier": "free"}}
    integration = connect(data_filters={"companies:name": {"ne": "Two"}})

    run = sync(integration)

    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.fetched, part.inserted, part.filtered) == (4, 3, 1)
    assert stored(integration) == {"c1", "c3", "c4"}
    assert RunStream.objects.get(run=run, stream="people").filtered == 0


def test_field_mappings_change_what_is_stored(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ["c1"]}
    account.raws = {"c1": {"id": "c1", "name": "One", "Trade": "Toys"}}
    integration = connect(field_mappings={"industry": "Trade"})

    sync(integration)

    assert (
        integration.source.customersource_set.get(external_id="c1").industry == "Toys"
    )


def test_entity_mappings_change_the_record_type(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ["x1"]}
    integration = connect(extra={"entity_mappings": {"companies": "contact"}})

    sync(integration)

    assert stored(integration) == set()
    assert Contact.objects.get(source=integration.source).name == "Name x1"


def test_a_failing_stream_leaves_the_others(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(4), "people": ids(2, "p")}
    account.before_page = fail_at(1, ConfigError("No access to companies."), times=9)
    integration = connect()

    run = sync(integration)

    assert run.status == "incomplete"
    assert run.error_detail == "companies: No access to companies."
    status = {part.stream: part.status for part in RunStream.objects.filter(run=run)}
    assert status == {"companies": "failed", "people": "completed"}
    assert stored(integration) == {"c1", "c2"}
    assert Contact.objects.filter(source=integration.source).count() == 2
    assert integration.status == "active"
    assert Notice.objects.get(resolved_at=None).kind == "sync_failed"


def test_a_bug_in_one_stream_is_loud_and_contained(
    account: Account, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    account.rows = {"companies": ids(2), "people": ids(2, "p")}
    account.before_page = fail_at(0, KeyError("boom"))
    integration = connect()

    run = sync(integration)

    assert run.status == "incomplete"
    assert "boom" not in run.error_detail
    assert any(record.exc_info for record in caplog.records)


def test_transient_failures_are_tried_again_up_to_retry_attempts(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4)}
    account.before_page = fail_at(1, TransientError("Gone away."), times=99)
    integration = connect(retry_attempts=2)
    run = runs.start(integration)

    work(run)
    assert (run.status, run.attempts) == ("pending", 1)
    work(run)
    assert (run.status, run.attempts) == ("pending", 2)
    work(run)

    assert run.status == "incomplete"
    assert run.error_code == "transient"
    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.status, part.attempts) == ("failed", 3)
    assert not runs.run_now(run.pk)


def test_a_host_that_rests_costs_no_try(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(4), "people": ids(2, "p")}
    rest = RestingError("The host gets a rest of 120 s.", retry_after_s=120)
    account.before_page = fail_at(1, rest, times=3)
    integration = connect(retry_attempts=0)
    run = runs.start(integration)

    for _ in range(3):
        work(run)
        assert (run.status, run.attempts) == ("pending", 0)
        wait = run.run_at - datetime.now(UTC)
        assert timedelta(seconds=115) < wait <= timedelta(seconds=120)
        integration.refresh_from_db()
        assert "gets a rest of 120 s. The next try is at" in integration.status_detail
    work(run)

    assert run.status == "completed"
    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.fetched, part.attempts, part.error_code) == (4, 0, "")


def test_a_filter_that_cannot_be_is_refused(connect: Connect) -> None:
    with pytest.raises(ConfigError) as caught:
        connect(data_filters={"tier": {"in": 5}})
    assert caught.value.fields == {"data_filters": "no list in tier"}


def test_progress_gives_the_attempts_back(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(8)}
    failed: set[int] = set()

    def once_per_page(name: str, number: int, _request: ReadRequest) -> None:
        if name == "companies" and number not in failed:
            failed.add(number)
            raise TransientError("Gone away.")

    account.before_page = once_per_page
    integration = connect(retry_attempts=1)
    run = runs.start(integration)

    work(run, tries=6)

    assert run.status == "completed"
    assert failed == {0, 1, 2, 3}
    assert RunStream.objects.get(run=run, stream="companies").fetched == 8


@pytest.mark.parametrize("cursors", [[{}], [{"at": 1}, {"at": 2}]])
def test_a_position_that_does_not_move_on_is_given_up(
    account: Account,
    connect: Connect,
    monkeypatch: pytest.MonkeyPatch,
    cursors: list[dict[str, int]],
) -> None:
    """Pages are stored, but each try begins and breaks where one did before."""
    tries: list[int] = []

    def standing(
        self: ScriptedConnector, stream: Stream, _request: ReadRequest
    ) -> Iterator[Page]:
        tries.append(1)
        for number, cursor in enumerate(cursors):
            raw = {"id": f"c{number}", "name": "One"}
            yield Page(records=[self.parse(stream, raw)], cursor=cursor)
        raise TransientError("Gone away.")

    monkeypatch.setattr(ScriptedConnector, "read", standing)
    account.streams = account.streams[:1]
    integration = connect(retry_attempts=3)
    run = runs.start(integration)

    work(run, tries=50)

    assert run.status == "failed"
    assert run.error_detail.endswith(
        "Gone away. Given up after 4 tries without progress."
    )
    assert len(tries) == 4
    integration.refresh_from_db()
    assert integration.status == "error"
    assert integration.status_detail == run.error_detail
    state = StreamState.objects.get(integration=integration, name="companies")
    assert (state.status, state.last_error_code) == ("error", "transient")


def test_a_worker_lost_at_the_same_place_again_and_again_fails(
    account: Account, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One page is stored each time, with the same position, before the worker dies."""

    class Killed(BaseException):
        """As sudden as a kill, but this process lives on."""

    def deadly(
        self: ScriptedConnector, stream: Stream, _request: ReadRequest
    ) -> Iterator[Page]:
        yield Page(records=[self.parse(stream, {"id": "c1"})], cursor={"at": 1})
        raise Killed

    monkeypatch.setattr(ScriptedConnector, "read", deadly)
    account.streams = account.streams[:1]
    integration = connect()
    run = runs.start(integration)
    deaths = 0

    for _ in range(3 * runs.MOST_CRASHES):
        SyncRun.objects.filter(pk=run.pk).update(lease_until=datetime.now(UTC))
        try:
            runs.run_now(run.pk)
        except Killed:
            deaths += 1

    run.refresh_from_db()
    assert (run.status, run.error_code) == ("failed", "worker_lost")
    assert deaths <= runs.MOST_CRASHES + 2


def test_back_off_doubles_with_full_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, float]] = []
    monkeypatch.setattr(
        runs.random, "uniform", lambda low, high: asked.append((low, high)) or high
    )

    waits = [runs.backoff_s(60, attempt) for attempt in (1, 2, 3, 4, 20)]

    assert waits == [60, 120, 240, 480, 3600]
    assert {low for low, _high in asked} == {0}


def test_retry_waits_for_its_back_off(
    account: Account, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs.random, "uniform", lambda _low, high: high)
    account.rows = {"companies": ids(2)}
    account.before_page = fail_at(0, TransientError("Gone away."))
    integration = connect(retry_backoff=600)
    before = datetime.now(UTC)

    run = sync(integration)

    assert run.status == "pending"
    wait = run.run_at - before
    assert timedelta(seconds=600) <= wait <= timedelta(seconds=620)
    assert not runs.run_now(run.pk)


def test_rate_limit_waits_as_told_without_using_an_attempt(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4)}
    account.before_page = fail_at(
        1, RateLimitedError("Slow down.", retry_after_s=300), times=3
    )
    integration = connect(retry_attempts=0)
    before = datetime.now(UTC)

    run = sync(integration)

    assert (run.status, run.attempts) == ("pending", 0)
    assert integration.status == "rate_limited"
    assert integration.resumes_at == run.run_at
    assert run.run_at >= before + timedelta(seconds=300)
    work(run, tries=3)
    integration.refresh_from_db()
    assert run.status == "completed"
    assert (integration.status, integration.resumes_at) == ("active", None)
    assert RunStream.objects.get(run=run, stream="companies").fetched == 4


def test_refused_credentials_stop_the_run_and_ask_for_a_person(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(4), "people": ids(2, "p")}
    account.before_page = fail_at(1, AuthenticationError("Reconnect, please."))
    integration = connect()

    run = sync(integration)

    assert (run.status, run.error_code) == ("failed", "authentication_failed")
    assert integration.status == "authentication_failed"
    assert integration.status_detail == "Reconnect, please."
    assert Notice.objects.get(resolved_at=None).kind == "credential_failed"
    assert stored(integration) == {"c1", "c2"}
    assert not Contact.objects.exists()

    again = sync(integration)

    assert again.status == "completed"
    assert integration.status == "active"
    assert not Notice.objects.filter(resolved_at=None).exists()
    assert stored(integration) == set(ids(4))


def test_a_test_that_goes_well_ends_the_call_for_a_person(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(2)}
    account.before_page = fail_at(0, AuthenticationError("Reconnect, please."))
    integration = connect()
    sync(integration)
    assert Notice.objects.filter(resolved_at=None).exists()

    assert controls.test(integration, by="test").ok

    assert integration.status == "active"
    assert not Notice.objects.filter(resolved_at=None).exists()


def test_streams_with_the_same_trouble_are_named_together(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(2), "people": ids(2, "p")}

    def refuse(_name: str, _number: int, _request: ReadRequest) -> None:
        raise ConfigError("No access.")

    account.before_page = refuse
    integration = connect()

    run = sync(integration)

    assert run.error_detail == "companies, people: No access."
    notice = Notice.objects.get(resolved_at=None)
    assert notice.title == f"A sync of {integration.name} failed"


def test_one_run_at_a_time(account: Account, connect: Connect) -> None:
    integration = connect()
    first = runs.start(integration)

    with pytest.raises(runs.AlreadyRunningError) as caught:
        runs.start(integration)

    assert caught.value.run == first
    assert SyncRun.objects.count() == 1


def test_cancel_between_pages_keeps_what_is_stored(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(8)}
    integration = connect()
    run = runs.start(integration)

    def cancel(name: str, number: int, _request: ReadRequest) -> None:
        if number == 2:
            SyncRun.objects.get(pk=run.pk)
            assert runs.request_cancel(run)

    account.before_page = cancel
    work(run)
    integration.refresh_from_db()

    assert run.status == "cancelled"
    assert stored(integration) == set(ids(4))
    assert integration.status == "active"
    assert {part.status for part in RunStream.objects.filter(run=run)} == {"cancelled"}


def test_a_waiting_run_is_cancelled_at_once(account: Account, connect: Connect) -> None:
    integration = connect()
    run = runs.start(integration)

    assert runs.request_cancel(run)

    run.refresh_from_db()
    assert run.status == "cancelled"
    assert not runs.run_now(run.pk)
    assert not runs.request_cancel(run)


def test_a_stopping_worker_gives_the_run_back_at_a_page_border(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(8)}
    integration = connect()
    run = runs.start(integration)
    claimed = runs.claim()
    assert claimed is not None
    borders = [0]

    def must_stop() -> bool:
        borders[0] += 1
        return borders[0] == 2

    assert engine.execute(claimed, must_stop=must_stop) == "released"

    run.refresh_from_db()
    assert (run.status, run.lease_until) == ("pending", None)
    assert stored(integration) == set(ids(4))
    work(run)
    assert run.status == "completed"
    assert RunStream.objects.get(run=run, stream="companies").fetched == 8


def test_a_zombie_cannot_write(account: Account, connect: Connect) -> None:
    account.rows = {"companies": ids(6)}
    integration = connect()
    run = runs.start(integration)
    zombie = runs.claim()
    assert zombie is not None
    other: list[str] = []

    def lose_the_lease(name: str, number: int, _request: ReadRequest) -> None:
        if number == 1 and not other:
            other.append("took over")
            SyncRun.objects.filter(pk=run.pk).update(
                lease_until=datetime.now(UTC) - timedelta(seconds=1)
            )
            # The other worker, in a thread and on a connection of its own.
            thread = threading.Thread(target=_take_over, args=(run.pk, other))
            thread.start()
            thread.join()

    account.before_page = lose_the_lease
    result = engine.execute(zombie, must_stop=lambda: False)

    assert result == "lost"
    assert other == ["took over", "completed"]
    run.refresh_from_db()
    assert (run.status, run.fence) == ("completed", zombie.fence + 1)
    part = RunStream.objects.get(run=run, stream="companies")
    assert (part.fetched, part.inserted) == (6, 6)
    assert stored(integration) == set(ids(6))


def _take_over(run_id: int, log: list[str]) -> None:
    try:
        claimed = runs.claim(run_id)
        assert claimed is not None
        log.append(engine.execute(claimed, must_stop=lambda: False))
    finally:
        connection.close()


def test_the_lease_is_renewed_during_a_long_page(
    account: Account, connect: Connect, settings: Any
) -> None:
    settings.SYNC_LEASE_S = 1
    account.rows = {"companies": ids(2)}
    integration = connect()
    waiting = threading.Event()

    def slow(name: str, number: int, _request: ReadRequest) -> None:
        if name == "companies":
            waiting.wait(2.5)
            assert runs.claim() is None

    account.before_page = slow

    run = sync(integration)

    assert (run.status, run.fence) == ("completed", 1)


def test_a_run_that_kills_its_worker_again_and_again_fails(
    account: Account, connect: Connect
) -> None:
    integration = connect()
    run = runs.start(integration)
    for _ in range(runs.MOST_CRASHES + 1):
        claimed = runs.claim()
        assert claimed is not None
        SyncRun.objects.filter(pk=run.pk).update(
            lease_until=datetime.now(UTC) - timedelta(seconds=1)
        )

    work(run)

    assert (run.status, run.error_code) == ("failed", "worker_lost")


def test_live_notes_follow_the_run(
    account: Account, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "NOTE_EVERY_S", 0)
    account.rows = {"companies": ids(4)}
    integration = connect()

    run = sync(integration)

    notes = [n.payload for n in StreamNote.objects.order_by("seq")]
    assert {note["id"] for note in notes} == {run.public_id}
    assert [note["status"] for note in notes][-1] == "completed"
    assert [note["records"] for note in notes if "records" in note] == [2, 4]


def test_work_runs_in_slots(
    account: Account, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    account.rows = {"companies": ids(4)}
    integration = connect()
    run = runs.start(integration)
    monkeypatch.setattr(runs, "_made", [threading.BoundedSemaphore(1)])

    assert runs.work() == 1

    for thread in threading.enumerate():
        if thread.name == f"sync-{run.pk}":
            thread.join(20)
    run.refresh_from_db()
    assert run.status == "completed"
    assert runs.work() == 0


def test_discovery_keeps_choices_and_marks_what_is_gone(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(1)}
    integration = connect()
    sync(integration)
    StreamState.objects.filter(name="people").update(is_enabled=False)
    account.streams = (Stream("people", "contact"), Stream("deals", "deal"))

    run = sync(integration)

    states = {s.name: s for s in StreamState.objects.filter(integration=integration)}
    assert states["companies"].is_gone
    assert not states["people"].is_enabled
    assert [p.stream for p in RunStream.objects.filter(run=run)] == ["deals"]
