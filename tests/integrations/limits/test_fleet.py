"""Real worker processes against a real server: budgets, one refresh, one breaker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.conf import LazySettings

from churnguard.models import Organization
from tests import servers
from tests.fakes.rest import RestFake
from tests.fakes.server import Request, Response, serving
from tests.integrations.contract import connect
from tests.integrations.limits.fleet import SlidingProvider

pytestmark = pytest.mark.slow


class Counted:
    """A provider with a sliding window; each arrival takes a little while."""

    def __init__(self, limit: int, window_s: float) -> None:
        self.window = SlidingProvider(limit, round(window_s * 1000))
        self._lock = threading.Lock()

    def handle(self, _request: Request) -> Response:
        with self._lock:
            fits = self.window.arrive(round(time.monotonic() * 1000))
        return Response(200, {"ok": True}) if fits else Response(429, {})


class Broken:
    """Answers 503 while `is_down`; counts the calls that reached it."""

    def __init__(self) -> None:
        self.is_down = True
        self.calls = 0
        self._lock = threading.Lock()

    def handle(self, _request: Request) -> Response:
        with self._lock:
            self.calls += 1
        return Response(503 if self.is_down else 200, {})


@contextmanager
def workers(
    count: int, *what: str, module: str = "limits.worker", **env: str
) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that are ready to begin."""
    made = [
        subprocess.Popen(
            [sys.executable, "-m", f"tests.integrations.{module}", *what],
            env={**os.environ, **env},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for each in made:
            assert each.stdout is not None
            assert each.stdout.readline() == "ready\n"
        yield made
    finally:
        for each in made:
            each.kill()
            each.wait(10)


def go(made: list[subprocess.Popen[str]], seconds: float) -> list[dict[str, Any]]:
    """Let them work that long together; what each of them says."""
    until_s = time.time() + seconds
    for each in made:
        assert each.stdin is not None
        each.stdin.write(f"{until_s}\n")
        each.stdin.flush()
    told = []
    for each in made:
        assert each.stdout is not None
        told.append(json.loads(each.stdout.readline()))
    return told


def test_16_processes_use_95_percent_of_a_quota_and_are_never_refused() -> None:
    provider = Counted(100, 10.0)
    with serving(provider) as server:
        asked = ("spend", server.url, os.environ["REDIS_URL"], "100", "10")
        with workers(16, *asked) as made:
            told = go(made, 40.0)

    assert provider.window.refused == 0
    assert 0.95 * 400 <= provider.window.accepted <= 400 + 100
    assert sum(each["refused"] for each in told) <= 16
    # Nobody is left out.
    assert sum(each["called"] > 0 for each in told) == 16


def test_8_processes_leave_a_broken_host_alone_together() -> None:
    provider = Broken()
    with (
        serving(provider) as server,
        workers(8, "knock", server.url, os.environ["REDIS_URL"]) as made,
    ):
        told = go(made, 5.0)

    # 8 failures open it for 30 s; calls that were under way may still arrive.
    assert 8 <= provider.calls <= 16
    turned_away = sum(each.get("circuit_open", 0) for each in told)
    assert turned_away > 100
    assert all(each.get("circuit_open") for each in told)


@pytest.mark.django_db(transaction=True)
def test_200_callers_in_4_processes_renew_an_access_once(
    org: Organization, settings: LazySettings
) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    fake = RestFake()
    fake.seed(5)
    with fake.serve() as server:
        integration = connect(org, fake, server, concurrent_requests=100)
        fake.expire_token()
        server.calls.clear()
        with workers(
            4,
            str(integration.pk),
            module="renew_together",
            DATABASE_URL=servers.database_url(),
            INTEGRATION_ALLOW_PRIVATE_HOSTS="127.0.0.1",
        ) as made:
            for each in made:
                assert each.stdin is not None
                each.stdin.write("go\n")
                each.stdin.flush()
            told = [each.stdout.readline().strip() for each in made if each.stdout]

    assert told == ["50"] * 4
    assert server.count("/oauth/token") == 1
