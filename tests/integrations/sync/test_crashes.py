"""What a killed worker costs: at most one page read again, and nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection
from django.db.models import Sum

from churnguard.models import Batch, CustomerSource, Organization
from integrations import registry, runs
from integrations.models import Integration, RunStream, SyncRun
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


def database_url() -> str:
    """The address of the test database, for another process."""
    name = connection.settings_dict["NAME"]
    parts = urlsplit(os.environ["DATABASE_URL"])
    return urlunsplit(parts._replace(path=f"/{name}"))


def start_worker(run: SyncRun, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integrations.run_once", str(run.pk)],
        env={**os.environ, "DATABASE_URL": database_url(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


@pytest.fixture
def integration(org: Organization, tmp_path: Path) -> Integration:
    lines = ["account_id,name,seats"]
    lines += [f"a{n},Company {n},{n % 50 + 1}" for n in range(ROWS)]
    (tmp_path / "accounts.csv").write_text("\n".join(lines))
    return registry.create(
        org,
        {
            "integration_name": "Accounts",
            "provider_name": "file",
            "settings": {"path": str(tmp_path)},
            "sync_config": {"batch_size": PAGE, "sync_frequency": 0},
        },
        by="test",
        trusted_root=tmp_path,
    )


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

    worker = start_worker(run, CHURNGUARD_CRASH_AT=point)
    output = worker.communicate(timeout=60)[0].decode()

    assert worker.returncode == 137, output[-2000:]
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
    for moment in (0.9, 1.3, 1.1):
        worker = start_worker(run)
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


def wait_for_state(pid: int, state: str) -> None:
    """Wait until the kernel shows the process in this state."""
    for _ in range(300):
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        if fields[0] == state:
            return
        time.sleep(0.1)
    pytest.fail(f"process {pid} never came into state {state}")
