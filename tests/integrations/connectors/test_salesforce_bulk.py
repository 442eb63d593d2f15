"""Bulk API 2.0 through the whole engine: jobs that are read to the end in spite of a
killed worker, and incremental runs afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from django.conf import LazySettings

from churnguard.models import Organization
from integrations import connecting, runs
from integrations.http import Client
from integrations.models import RunStream, SyncRun
from tests.fakes.salesforce import SalesforceFake
from tests.integrations.contract import BATCH, Bench, connect, kill_worker

JOBS = "/services/data/v66.0/jobs/query"


@pytest.fixture
def bench(
    org: Organization, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1", "unix"]
    monkeypatch.setattr(connecting, "Client", partial(Client, sleep=lambda _s: None))
    fake = SalesforceFake()
    fake.polls = 0
    with fake.serve() as server:
        made = connect(org, fake, server)
        made.settings["bulk_threshold"] = 20
        made.save()
        yield Bench(fake, server, made)


def test_what_bulk_has_read_is_unchanged_for_rest(bench: Bench) -> None:
    ids = bench.fake.seed(25)

    in_bulk = bench.sync("full")
    bench.integration.settings["bulk_threshold"] = 1000
    bench.integration.save()
    by_rest = bench.sync("incremental")
    bench.fake.tick()
    bench.fake.change(ids[7], "Changed")
    bench.fake.remove(ids[8])
    changed = bench.sync("incremental")

    assert (in_bulk.inserted, bench.server.count(JOBS, "POST")) == (25, 1)
    assert (by_rest.inserted, by_rest.updated, by_rest.deleted) == (0, 0, 0)
    assert (changed.inserted, changed.updated, changed.deleted) == (0, 1, 1)


@pytest.mark.django_db(transaction=True)
def test_a_killed_worker_s_job_is_read_on(bench: Bench) -> None:
    ids = bench.fake.seed(35)
    run = runs.start(bench.integration, mode="full", streams=[bench.fake.stream])
    # The first page only holds the job's id.
    kill_worker(
        run, "before_commit:4", INTEGRATION_ALLOW_PRIVATE_HOSTS="127.0.0.1,unix"
    )
    assert len(bench.rows()) == 2 * BATCH

    SyncRun.objects.filter(pk=run.pk).update(lease_until=datetime.now(UTC))
    bench.work(run, tries=2)

    assert run.status == "completed", run.error_detail
    assert bench.rows() == bench.stored_ids(ids)
    part = RunStream.objects.get(run=run)
    assert (part.inserted, part.fetched) == (35, 35)
    assert bench.server.count(JOBS, "POST") == 1


def test_a_job_of_many_minutes_is_waited_for(bench: Bench) -> None:
    bench.integration.retry_attempts = 1
    bench.integration.save()
    bench.fake.polls = 21
    bench.fake.seed(25)

    part = bench.sync("full", tries=25)

    assert (part.status, part.inserted) == ("completed", 25), part.error_detail
    assert bench.server.count(JOBS, "POST") == 1


def test_a_job_that_was_deleted_meanwhile_is_made_anew(bench: Bench) -> None:
    bench.integration.retry_attempts = 0
    bench.integration.save()
    bench.sync("full")
    ids = bench.fake.seed(25)
    bench.fake.polls = 1000
    waiting = bench.sync("incremental")

    # The connection was paused for longer than results are kept.
    bench.fake.jobs.clear()
    bench.fake.polls = 0
    gone = bench.sync("incremental")
    found = bench.sync("incremental")

    assert [p.error_code for p in (waiting, gone, found)] == [
        "job_running",
        "job_gone",
        "",
    ]
    assert bench.rows() == bench.stored_ids(ids)
    assert bench.server.count(JOBS, "POST") == 2


def test_a_failed_job_is_not_looked_at_for_ever(bench: Bench) -> None:
    bench.sync("full")
    ids = bench.fake.seed(25)
    bench.fake.failure = "InternalServerError: retried 15 times"

    failed = bench.sync("incremental")
    bench.fake.failure = ""
    found = bench.sync("incremental")

    assert (failed.status, failed.error_code) == ("failed", "job_failed")
    assert "retried 15 times" in failed.error_detail
    assert (found.status, found.inserted) == ("completed", 25)
    assert bench.rows() == bench.stored_ids(ids)
