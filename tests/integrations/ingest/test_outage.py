"""PostgreSQL stopped and started again: refused meanwhile, nothing lost, no repair."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from churnguard.auth import hash_key
from churnguard.runtime import processes
from churnguard.runtime.postgres import EmbeddedPostgres
from churnguard.runtime.services import start_and_wait
from integrations.ingest import database
from integrations.ingest import door as fast_door
from integrations.ingest.committer import committer, writer_state
from tests import servers
from tests.integrations.ingest.conftest import send_to_asgi

KEY = "cg_key_of_the_outage_test"
_ORGANIZATION = """
INSERT INTO cg_organization (id, public_id, name, timezone, base_currency, settings,
    created_at) VALUES (1, 'org_1', 'Own', 'UTC', 'USD', '{}', now())
"""
_KEY = """
INSERT INTO cg_api_key (public_id, organization_id, name, prefix, key_hash, scopes,
    created_at) VALUES ('key_1', 1, 'k', 'cg', %s, '{ingest}', now())
"""


class OwnServer:
    """A PostgreSQL of this test's own, migrated, with one key."""

    def __init__(self) -> None:
        self.postgres = EmbeddedPostgres(servers.temporary_home(), durable=False)
        self.postgres.prepare()
        self.start()

    def start(self) -> None:
        self.process = start_and_wait(self.postgres.service(), timeout_s=60)

    def stop(self) -> None:
        processes.stop(self.process, first=self.postgres.service().stop_signal)

    def connect(self, *_args: Any) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.dsn, autocommit=True)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OwnServer]:
    own = OwnServer()
    manage = Path(__file__).resolve().parents[3] / "manage.py"
    subprocess.run(
        [sys.executable, str(manage), "migrate", "--skip-checks", "-v", "0"],
        env={**os.environ, "DATABASE_URL": own.postgres.dsn},
        check=True,
        timeout=120,
    )
    with own.connect() as conn:
        conn.execute(_ORGANIZATION)
        conn.execute(_KEY, [hash_key(KEY)])
    monkeypatch.setattr(database, "connect", own.connect)
    yield own
    committer().drain()
    fast_door.forget_keys()
    own.stop()


@pytest.mark.slow
def test_a_stopped_database_is_a_503_and_then_all_is_well(server: OwnServer) -> None:
    def send(number: int) -> int:
        body = {"event_id": f"e{number}", "event": "x", "customer_id": f"c{number}"}
        reply = send_to_asgi(body, key=KEY)
        assert reply.status == 202 or int(reply.headers["retry-after"]) >= 1
        return reply.status

    answers = [send(number) for number in range(10)]
    server.stop()
    answers += [send(number) for number in range(10, 16)]
    assert writer_state()["database"] == "down"
    server.start()
    deadline = time.monotonic() + 30
    while send(16) != 202 and time.monotonic() < deadline:
        time.sleep(0.1)
    answers += [202, *(send(number) for number in range(17, 20))]

    assert answers == [202] * 10 + [503] * 6 + [202] * 4
    assert writer_state()["database"] == "up"
    with server.connect() as conn:
        stored = conn.execute(
            "SELECT event_id, count(*) FROM cg_usage_event GROUP BY 1"
        ).fetchall()
    acknowledged = [*range(10), *range(16, 20)]
    assert sorted(stored) == sorted((f"e{number}", 1) for number in acknowledged)
