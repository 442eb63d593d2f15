"""What a killed worker costs: at most one page read again, and nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.db.models import Sum

from churnguard.models import Batch, CustomerSource, Organization
from integrations import runs
from integrations.models import Integration, RunStream, SyncRun
from tests import exports
from tests.integrations.contract import kill_worker, start_worker
from tests.integrations.sync.conftest import work

pytestmark = pytest.mark.django_db(transaction=True)
ROWS, PAGE = 95, 10
POINTS = [
    "after_claim",
    "after_fetch:4",
    "before_commit",
    "before_commit:5",
    "after_commit:3",
    "before_end",
]


@pytest.fixture
def integration(org: Organization, tmp_path: Path) -> Integration:
    lines = ["account_id,name,seats"]
    lines += [f"a{n},Company {n},{n % 50 + 1}" for n in range(ROWS)]
    (tmp_path / "accounts.csv").write_text("\n".join(lines))
    return exports.connect_folder(org, tmp_path, "Accounts", batch_size=PAGE)


def assert_exactly_once(integration: Integration, run: SyncRun) -> None:
    assert run.status == "completed", run.error_detail
    part = RunStream.objects.get(run=run)
    assert (part.fetched, part.inserted) == (ROWS, ROWS)
    ledger = Batch.objects.filter(run_id=run.pk).aggregate(
        fetched=Sum("fetched"), inserted=Sum("inserted")
    )
    assert ledger == {"fetched": ROWS, "inserted": ROWS}
    assert CustomerSource.objects.filter(source=integration.source).count() == ROWS


@pytest.mark.parametrize("point", POINTS)
def test_a_kill_at_any_point_loses_and_doubles_nothing(
    integration: Integration, point: str
) -> None:
    run = runs.start(integration)

    kill_worker(run, point)

    run.refresh_from_db()
    assert run.status == "processing"
    assert runs.claim() is None
    SyncRun.objects.filter(pk=run.pk).update(
        lease_until=datetime.now(UTC) - timedelta(seconds=1)
    )
    work(run)
    assert run.fence == 2
    assert_exactly_once(integration, run)


@pytest.mark.parametrize("point", ["after_fetch:3", "before_commit:3"])
def test_a_worker_that_wakes_up_late_cannot_write(
    integration: Integration, point: str
) -> None:
    run = runs.start(integration)
    worker = start_worker(run, SYNC_LEASE_S="1", CHURNGUARD_PAUSE_AT=point)
    try:
        wait_for_state(worker.pid, "T")
        time.sleep(1.2)

        work(run)
        assert_exactly_once(integration, run)

        os.kill(worker.pid, signal.SIGCONT)
        output = worker.communicate(timeout=30)[0].decode()
    finally:
        worker.kill()
        worker.wait()
    # PostgreSQL ended the transaction that was open; outside of one the fence does it.
    told = "idle-in-transaction timeout" if "commit" in point else "sync.lease_lost"
    assert told in output
    run.refresh_from_db()
    assert_exactly_once(integration, run)


def test_sigkill_at_random_moments(integration: Integration) -> None:
    run = runs.start(integration)
    kills = 0
    for moment in (0.0, 0.02, 0.01):
        worker = start_worker(run)
        if not is_claimed_anew(run):
            break
        try:
            worker.wait(moment)
        except subprocess.TimeoutExpired:
            worker.send_signal(signal.SIGKILL)
            kills += 1
        worker.wait()
        worker.communicate()
        SyncRun.objects.filter(pk=run.pk, status="processing").update(
            lease_until=datetime.now(UTC) - timedelta(seconds=1)
        )

    work(run)

    assert kills >= 1
    assert_exactly_once(integration, run)


def is_claimed_anew(run: SyncRun) -> bool:
    """Wait until a worker has taken the run over; False when there is nothing left."""
    fence = run.fence
    for _ in range(3000):
        run.refresh_from_db()
        if run.fence > fence:
            return True
        if run.status == "completed":
            return False
        time.sleep(0.01)
    pytest.fail("nobody claimed the run")


def wait_for_state(pid: int, state: str) -> None:
    """Wait until the kernel shows the process in this state."""
    for _ in range(300):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if fields[0] == state:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} never came into state {state}")
