"""What every connector must do, shown through the real engine for each of them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from django.conf import LazySettings
from django.db import connection

from churnguard.models import Organization
from integrations import connecting, connectors, runs
from integrations.http import Client, RetryPolicy
from integrations.models import Integration, RunStream, StreamState, SyncRun
from tests import fakes
from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.server import Response
from tests.integrations.contract import BATCH, Bench, connect, kill_worker

NO_FAKE = {"file"}
"""Connectors that talk to no provider; they have suites of their own."""

MakeBench = Callable[..., Bench]


def test_every_connector_has_a_fake() -> None:
    assert set(fakes.FAKES) | NO_FAKE == set(connectors.REGISTRY)


@pytest.fixture(params=sorted(fakes.FAKES))
def bench(
    request: pytest.FixtureRequest,
    org: Organization,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1", "unix"]
    fast = RetryPolicy(max_attempts=4, base_s=0.001, max_wait_s=2.0)
    monkeypatch.setattr(
        connecting,
        "Client",
        partial(Client, retry=fast, read_timeout_s=0.4, sleep=lambda _s: None),
    )
    fake: FakeProvider = fakes.load(request.param)()
    with fake.serve() as server:
        yield Bench(fake, server, connect(org, fake, server))


def need(bench: Bench, what: str) -> None:
    """Skip what the provider cannot do, with the fake's own reason."""
    if not getattr(bench.fake, f"supports_{what}"):
        pytest.skip(bench.fake.why_not[what])


def test_check_says_who_we_are(bench: Bench) -> None:
    found = connecting.check(bench.integration)

    assert found.ok, found.sentence
    assert found.sentence.startswith("Connected to ")
    assert CANARY not in found.sentence


def test_check_with_refused_credentials_is_a_sentence_for_a_person(
    bench: Bench,
) -> None:
    bench.fake.refuse_credentials(bench.server)

    found = connecting.check(bench.integration)

    assert (found.ok, found.code) == (False, "authentication_failed")
    assert len(found.sentence) > 20
    # By the name people know it by.
    assert connectors.get(bench.fake.name).label in found.sentence
    assert CANARY not in found.sentence


def test_discovery_lists_the_streams(bench: Bench) -> None:
    states = {s.name: s for s in StreamState.objects.all()}

    assert bench.fake.stream in states
    assert states[bench.fake.stream].record_type == bench.fake.record_type


def test_a_full_read_stores_everything_once(bench: Bench) -> None:
    ids = bench.fake.seed(25)

    part = bench.sync("full")

    assert (part.status, part.fetched, part.inserted) == ("completed", 25, 25)
    assert bench.rows() == bench.stored_ids(ids)
    assert bench.integration.status == "active"


def test_an_unchanged_account_writes_nothing_again(bench: Bench) -> None:
    bench.fake.seed(25)
    bench.sync("full")
    before = bench.written_at()

    for mode in ("full", "incremental"):
        part = bench.sync(mode)
        assert (part.status, part.inserted, part.updated, part.deleted) == (
            "completed",
            0,
            0,
            0,
        )
    assert bench.written_at() == before
    assert bench.quarantined() == []


def test_incremental_reads_changes_and_loses_no_equal_times(bench: Bench) -> None:
    need(bench, "incremental")
    ids = bench.fake.seed(25)
    bench.sync()
    # As many objects of one change time as fit on two pages, the first of them at the
    # very time the cursor stands on.
    late = [bench.fake.add(100 + n) for n in range(2 * BATCH)]
    bench.fake.tick()
    bench.fake.change(ids[3], "Changed Name")

    part = bench.sync()

    assert part.status == "completed", part.error_detail
    assert (part.inserted, part.updated) == (2 * BATCH, 1)
    assert bench.rows() == bench.stored_ids([*ids, *late])


def test_a_deleted_object_is_marked_and_its_values_kept(bench: Bench) -> None:
    need(bench, "delete")
    ids = bench.fake.seed(12)
    bench.sync()
    StreamState.objects.update(checked_deletes_at=None)
    bench.fake.tick()
    bench.fake.remove(ids[4])

    for mode in ("incremental", "full"):
        part = bench.sync(mode)
        assert part.status == "completed", part.error_detail

    assert bench.rows() == bench.stored_ids([i for i in ids if i != ids[4]])
    assert bench.stored_id(ids[4]) in bench.rows(alive=False)


def test_merged_objects_leave_one(bench: Bench) -> None:
    need(bench, "merge")
    ids = bench.fake.seed(12)
    bench.sync()
    StreamState.objects.update(checked_deletes_at=None)
    bench.fake.tick()
    bench.fake.merge(ids[2], ids[3])

    for mode in ("incremental", "full"):
        assert bench.sync(mode).status == "completed"

    assert bench.rows() == bench.stored_ids([i for i in ids if i != ids[2]])


def test_an_expired_token_is_renewed_in_the_middle_of_a_read(bench: Bench) -> None:
    need(bench, "refresh")
    ids = bench.fake.seed(25)
    bench.fake.expire_token()

    part = bench.sync("full")

    assert part.status == "completed", part.error_detail
    assert bench.rows() == bench.stored_ids(ids)
    # The renewed (and rotated) tokens were kept: nothing has to be renewed again.
    assert bench.sync("full").status == "completed"


def test_an_access_that_ends_between_two_pages_is_renewed(bench: Bench) -> None:
    need(bench, "refresh")
    ids = bench.fake.seed(25)
    bench.server.fail(
        "reply", bench.fake.list_path, response=bench.fake.unauthorized(), after=1
    )
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])

    bench.work(run)

    part = RunStream.objects.get(run=run)
    assert (run.status, part.error_detail) == ("completed", "")
    # The read went on where it was: no page came twice.
    assert (part.fetched, part.attempts) == (25, 0)
    assert bench.rows() == bench.stored_ids(ids)
    assert bench.server.faults == []


def test_a_lost_refresh_token_asks_a_person(bench: Bench) -> None:
    need(bench, "refresh")
    bench.fake.seed(5)
    bench.fake.expire_token()
    bench.fake.lose_refresh()

    bench_run = runs.start(bench.integration, streams=[bench.fake.stream])
    bench.work(bench_run)

    assert bench_run.status == "failed"
    assert bench.integration.status == "authentication_failed"
    assert CANARY not in bench.integration.status_detail


def test_credentials_refused_in_a_run_stop_it_for_a_person(bench: Bench) -> None:
    bench.fake.seed(25)
    bench.fake.refuse_credentials(bench.server)

    run = runs.start(bench.integration, streams=[bench.fake.stream])
    bench.work(run)

    assert run.status == "failed"
    assert bench.integration.status == "authentication_failed"
    assert CANARY not in bench.integration.status_detail


def test_a_used_up_quota_waits_and_costs_no_attempt(bench: Bench) -> None:
    need(bench, "quota")
    ids = bench.fake.seed(25)
    bench.server.fail(
        "reply", bench.fake.list_path, response=bench.fake.quota(), times=1
    )
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])

    bench.work(run)
    assert (run.status, run.attempts) == ("pending", 0)
    assert bench.integration.status == "rate_limited"
    assert bench.integration.resumes_at > datetime.now(UTC)

    bench.work(run)
    assert run.status == "completed", run.error_detail
    assert bench.rows() == bench.stored_ids(ids)


@pytest.mark.parametrize("retry_after", ["90", None])
def test_too_many_requests_is_obeyed(bench: Bench, retry_after: str | None) -> None:
    need(bench, "quota")
    ids = bench.fake.seed(25)
    bench.server.fail(
        "reply",
        bench.fake.list_path,
        response=bench.fake.too_many(retry_after),
        times=1 if retry_after else 2,
    )
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])

    bench.work(run)
    if retry_after:
        assert (run.status, run.attempts) == ("pending", 0)
        wait = run.run_at - datetime.now(UTC)
        assert timedelta(seconds=80) < wait < timedelta(seconds=130)

    bench.work(run, tries=3) if run.status == "pending" else None
    assert run.status == "completed", run.error_detail
    assert bench.rows() == bench.stored_ids(ids)


@pytest.mark.parametrize("kind", ["errors", "hang", "reset", "truncated", "garbage"])
def test_a_passing_fault_costs_no_record(bench: Bench, kind: str) -> None:
    need(bench, "fault")
    ids = bench.fake.seed(25)
    path = bench.fake.list_path
    if kind == "errors":
        bench.server.fail("reply", path, response=Response(500, {}), times=3)
    else:
        bench.server.fail(kind, path)
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])

    bench.work(run, tries=3)

    assert run.status == "completed", run.error_detail
    part = RunStream.objects.get(run=run)
    assert part.inserted == 25
    assert bench.rows() == bench.stored_ids(ids)


def test_a_dead_provider_ends_in_a_failed_run_with_a_reason(bench: Bench) -> None:
    bench.fake.seed(5)
    bench.integration.settings |= bench.fake.go_down(bench.server)
    bench.integration.save()
    run = runs.start(bench.integration, streams=[bench.fake.stream])

    bench.work(run, tries=10)

    assert run.status == "failed"
    assert run.error_detail
    assert CANARY not in run.error_detail
    assert bench.rows() == set()


def test_a_repeated_page_stops_with_an_error(bench: Bench) -> None:
    need(bench, "stuck")
    bench.fake.seed(25)
    bench.fake.stuck = True
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])

    bench.work(run)

    assert run.status == "failed"
    assert run.error_code == "repeated_cursor"
    assert len(bench.server.calls) < 30


def test_an_unknown_field_is_kept_and_reported(bench: Bench) -> None:
    need(bench, "extend")
    ids = bench.fake.seed(3)
    bench.sync("full")
    bench.fake.tick()
    bench.fake.extend(ids[1])

    assert bench.sync("full").status == "completed"

    state = StreamState.objects.get(name=bench.fake.stream)
    assert "brand_new_field" in str(state.columns) + str(state.drift)


def test_a_value_of_the_wrong_type_is_quarantined_alone(bench: Bench) -> None:
    need(bench, "spoil")
    ids = bench.fake.seed(12)
    bench.fake.tick()
    bench.fake.spoil(ids[6])

    part = bench.sync("full")

    assert (part.status, part.inserted, part.quarantined) == ("completed", 11, 1)
    (held,) = bench.quarantined()
    assert held.external_id.endswith(ids[6])
    assert held.code
    assert held.detail


def test_the_secrets_are_nowhere(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.fake.seed(5)
    bench.sync("full")
    bench.fake.refuse_credentials(bench.server)
    run = runs.start(bench.integration, streams=[bench.fake.stream])
    bench.work(run)

    assert any(CANARY in str(value) for value in bench.fake.secrets().values())
    assert CANARY not in caplog.text
    assert CANARY not in "".join(str(vars(record)) for record in caplog.records)
    with connection.cursor() as cur:
        cur.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public'"
        )
        for (table,) in cur.fetchall():
            cur.execute(
                f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s',
                [f"%{CANARY}%"],
            )
            assert cur.fetchone()[0] == 0, table


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", sorted(fakes.FAKES))
def test_a_killed_worker_costs_at_most_one_page(
    name: str, org: Organization, settings: LazySettings
) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1", "unix"]
    fake: FakeProvider = fakes.load(name)()
    with fake.serve() as server:
        bench = Bench(fake, server, connect(org, fake, server))
        ids = fake.seed(35)
        run = runs.start(bench.integration, mode="full", streams=[fake.stream])
        server.calls.clear()
        kill_worker(
            run, "before_commit:3", INTEGRATION_ALLOW_PRIVATE_HOSTS="127.0.0.1,unix"
        )
        assert len(bench.rows()) == 2 * BATCH
        killed_after = server.count(fake.list_path)

        SyncRun.objects.filter(pk=run.pk).update(lease_until=datetime.now(UTC))
        bench.work(run, tries=2)

        assert run.status == "completed", run.error_detail
        assert bench.rows() == bench.stored_ids(ids)
        part = RunStream.objects.get(run=run)
        assert part.inserted == 35
        assert part.fetched <= 35 + BATCH
        reread = server.count(fake.list_path) - killed_after
        assert reread <= 4, [call.path for call in server.calls]


def test_the_suite_sees_integrations_as_users_do(bench: Bench) -> None:
    assert Integration.objects.get().provider_name == bench.fake.name
