"""Schedules: each due time starts one run, whoever looks."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from churnguard.errors import AuthenticationError, ConfigError
from churnguard.models import Schedule
from integrations import controls, registry, runs, schedules
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests.integrations.sync.conftest import sync, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def make_due(integration: Integration, stream: str = "") -> datetime:
    due = datetime.now(UTC) - timedelta(seconds=5)
    Schedule.objects.filter(target_id=integration.pk, stream=stream).update(
        next_run_at=due
    )
    return due


def test_an_integration_has_a_schedule_row(account: Account, connect: Connect) -> None:
    integration = connect(sync_frequency=900)

    row = Schedule.objects.get(kind="sync", target_id=integration.pk)

    assert (row.every_s, row.is_enabled, row.stream) == (900, True, "")


def test_two_clocks_start_a_due_sync_once(account: Account, connect: Connect) -> None:
    integration = connect(sync_frequency=900)
    due = make_due(integration)
    counts: list[int] = []

    def clock() -> None:
        counts.extend(schedules.tick() for _ in range(10))
        connection.close()

    threads = [threading.Thread(target=clock) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(counts) == 1
    run = SyncRun.objects.get()
    assert (run.trigger, run.scheduled_for) == ("schedule", due)
    row = Schedule.objects.get(target_id=integration.pk)
    assert row.next_run_at == due + timedelta(seconds=900)


def test_missed_times_are_not_made_up_for(account: Account, connect: Connect) -> None:
    integration = connect(sync_frequency=60)
    due = datetime.now(UTC) - timedelta(seconds=630)
    Schedule.objects.filter(target_id=integration.pk).update(next_run_at=due)

    assert schedules.tick() == 1
    assert schedules.tick() == 0

    row = Schedule.objects.get(target_id=integration.pk)
    assert row.next_run_at == due + timedelta(seconds=660)


def test_nothing_piles_up_while_a_sync_runs(account: Account, connect: Connect) -> None:
    integration = connect(sync_frequency=3600)
    runs.start(integration)
    make_due(integration)

    assert schedules.tick() == 0

    assert SyncRun.objects.count() == 1
    row = Schedule.objects.get(target_id=integration.pk)
    assert row.next_run_at - datetime.now(UTC) <= timedelta(seconds=60)
    assert row.next_run_at > datetime.now(UTC)


def test_a_stream_with_its_own_clock_runs_alone(
    account: Account, connect: Connect
) -> None:
    account.rows = {"companies": ids(1), "people": ids(1, "p")}
    integration = connect(sync_frequency=3600)
    sync(integration)
    state = StreamState.objects.get(integration=integration, name="people")
    controls.update_stream(state, {"sync_frequency": 300}, by="test")

    make_due(integration, "people")
    assert schedules.tick() == 1
    alone = work(SyncRun.objects.latest("pk"))
    make_due(integration)
    assert schedules.tick() == 1
    rest = work(SyncRun.objects.latest("pk"))

    assert [p.stream for p in RunStream.objects.filter(run=alone)] == ["people"]
    assert [p.stream for p in RunStream.objects.filter(run=rest)] == ["companies"]


def test_a_paused_integration_is_left_alone(account: Account, connect: Connect) -> None:
    integration = connect(sync_frequency=60)
    controls.pause(integration, by="test")
    make_due(integration)

    assert schedules.tick() == 0
    with pytest.raises(ConfigError, match="paused"):
        runs.start(integration)

    controls.resume(integration, by="test")
    assert schedules.tick() == 1


def test_refused_credentials_are_not_tried_all_the_time(
    account: Account, connect: Connect
) -> None:
    integration = connect(sync_frequency=60)
    account.rows = {"companies": ids(1)}
    account.before_page = refuse
    make_due(integration)
    assert schedules.tick() == 1
    work(SyncRun.objects.get())
    make_due(integration)

    assert schedules.tick() == 0

    row = Schedule.objects.get(target_id=integration.pk)
    assert row.last_run_at is not None
    assert row.next_run_at == row.last_run_at + timedelta(hours=1)
    Schedule.objects.update(last_run_at=row.last_run_at - timedelta(hours=1))
    make_due(integration)
    assert schedules.tick() == 1
    work(SyncRun.objects.latest("pk"))

    registry.update(integration, {"credentials": {"api_key": "right"}}, by="test")

    row.refresh_from_db()
    assert row.next_run_at <= datetime.now(UTC) + timedelta(seconds=60)
    account.before_page = lambda *_: None
    make_due(integration)
    assert schedules.tick() == 1


def refuse(*_: object) -> None:
    raise AuthenticationError("Reconnect, please.")


def test_removing_an_integration_removes_its_clock(
    account: Account, connect: Connect
) -> None:
    integration = connect(sync_frequency=60)
    make_due(integration)
    schedules.remove(integration)

    assert schedules.tick() == 0


@pytest.mark.parametrize(
    ("every_s", "text"),
    [
        (0, "by hand"),
        (60, "every minute"),
        (900, "every 15 minutes"),
        (3600, "every hour"),
        (86_400, "every day"),
        (90, "every 90 seconds"),
    ],
)
def test_a_schedule_in_words(every_s: int, text: str) -> None:
    assert schedules.as_text(every_s) == text


@pytest.mark.parametrize("every_s", [-1, 1, 59, 367 * 86_400])
def test_intervals_out_of_reason_are_refused(every_s: int) -> None:
    with pytest.raises(ConfigError):
        schedules.check_frequency(every_s)
