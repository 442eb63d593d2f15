"""Driving one connector through the real engine against its fake, for the suite."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import redis
from django.conf import settings as django_settings
from django.db import connection

from churnguard.models import Organization, Quarantine, Source
from integrations import catalog, connecting, connectors, credentials, runs
from integrations.load.statements import TABLES
from integrations.models import Integration, RunStream, SyncRun
from tests import servers
from tests.fakes.base import FakeProvider
from tests.fakes.server import FakeServer

FINAL = ("completed", "incomplete", "failed", "cancelled")
BATCH = 10


@dataclass
class Bench:
    """One integration, its fake and the server between them."""

    fake: FakeProvider
    server: FakeServer
    integration: Integration

    def sync(self, mode: str = "", *, tries: int = 1) -> RunStream:
        """Run once (waits between tries are skipped) and return the stream's part."""
        run = runs.start(self.integration, mode=mode, streams=[self.fake.stream])
        self.work(run, tries)
        return RunStream.objects.get(run=run)

    def work(self, run: SyncRun, tries: int = 1) -> None:
        for _ in range(tries):
            SyncRun.objects.filter(pk=run.pk).update(run_at=datetime.now(UTC))
            _end_pauses()
            assert runs.run_now(run.pk)
            run.refresh_from_db()
            if run.status in FINAL:
                break
        self.integration.refresh_from_db()

    def rows(self, *, alive: bool = True) -> set[str]:
        """External ids stored for the stream's record type."""
        table = TABLES[self.fake.record_type]
        where = " AND deleted_at IS NULL" if alive else ""
        with connection.cursor() as cur:
            cur.execute(
                f"SELECT external_id FROM {table} WHERE source_id = %s{where}",
                [self.integration.source_id],
            )
            return {row[0] for row in cur.fetchall()}

    def written_at(self) -> dict[str, datetime]:
        """External id -> when its row was last written."""
        table = TABLES[self.fake.record_type]
        with connection.cursor() as cur:
            cur.execute(
                f"SELECT external_id, updated_at FROM {table} WHERE source_id = %s",
                [self.integration.source_id],
            )
            return dict(cur.fetchall())

    def quarantined(self) -> list[Quarantine]:
        return list(Quarantine.objects.filter(source_id=self.integration.source_id))

    def stored_id(self, external_id: str) -> str:
        """The id as stored (objects carry their kind)."""
        if self.fake.record_type == "object":
            return f"{self.fake.stream}:{external_id}"
        return external_id

    def stored_ids(self, external_ids: list[str]) -> set[str]:
        return {self.stored_id(external_id) for external_id in external_ids}


def _end_pauses() -> None:
    """As if the time a provider asked for, or is given, had passed for all workers."""
    bus = redis.Redis.from_url(django_settings.REDIS_URL, socket_timeout=5)
    for pattern in ("cg:limit:*", "cg:breaker:*"):
        if keys := bus.keys(pattern):
            bus.delete(*keys)
    bus.close()


def connect(
    org: Organization, fake: FakeProvider, server: FakeServer, **overrides: Any
) -> Integration:
    """An integration of the fake's provider with its streams discovered."""
    given = {
        "batch_size": BATCH,
        "requests_per_minute": 1_000_000,
        "retry_backoff": 0,
        **overrides,
    }
    settings = fake.settings(server.url)
    integration = Integration.objects.create(
        organization=org,
        name=fake.name,
        provider_name=fake.name,
        integration_type=connectors.get(fake.name).integration_type,
        source=Source.objects.create(organization=org, name=f"{fake.name}_main"),
        status="active",
        base_url=settings.pop("base_url", ""),
        settings=settings,
        **given,
    )
    credentials.save(integration, fake.secrets())
    catalog.keep_streams(integration, connecting.discover(integration))
    server.calls.clear()
    return integration


def start_worker(run: SyncRun, **env: str) -> subprocess.Popen[bytes]:
    """A process of its own that works on `run`; `env` is added to its environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integrations.run_once", str(run.pk)],
        env={**os.environ, "DATABASE_URL": servers.database_url(), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_worker(run: SyncRun, point: str, **env: str) -> None:
    """Let a worker begin `run` and die at a crash point."""
    worker = start_worker(run, CHURNGUARD_CRASH_AT=point, **env)
    output = worker.communicate(timeout=60)[0].decode()
    assert worker.returncode == 137, output[-2000:]
