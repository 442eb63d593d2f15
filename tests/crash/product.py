"""The real `manage.py up` on a folder of its own, and what it is fed while it is hit.

Clients repeat what was not acknowledged, as every sender must; each acknowledged event
id is remembered, so that what is stored can be held against it.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.runtime.up import CHECKOUT, Up

SERVICES = ("web", "worker", "beat", "valkey-bus", "postgres")
EVENTS = 20
"""Events in one ingest request."""
FIRST_ROWS, MORE_ROWS, PAGE = 3_000, 500, 25
"""Rows of the file in the first sync, rows more in each next one, rows on a page."""


class Product(Up):
    """Every start has a log of its own, `life-<n>.log` beside the folder."""

    def __init__(self, home: Path, exports: Path) -> None:
        super().__init__(
            home,
            CHURNGUARD_STATE_DIR=str(home.with_name("state")),
            FILE_SOURCE_ROOTS=str(exports),
            SYNC_LEASE_S="3",
        )
        self.exports = exports
        self.lives = 0
        self.hits: list[str] = []

    def start(self, *arguments: str, **popen: Any) -> Product:
        self.lives += 1
        self.log = self.home.with_name(f"life-{self.lives}.log")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(CHECKOUT / "manage.py"), "up", "--empty"],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                **popen,
            )
        return self

    def wait_until_ready(self) -> Product:
        self.wait_for("ChurnGuard is ready", timeout_s=300)
        return self

    def facts(self) -> dict[str, str]:
        return json.loads((self.home / "demo.json").read_text())

    def kill(self, name: str) -> None:
        """SIGKILL a service, at a moment when it lives."""
        victim = 0

        def is_hit() -> bool:
            nonlocal victim
            try:
                victim = self.pid_of(name)
                os.kill(victim, signal.SIGKILL)
            except (FileNotFoundError, ValueError, ProcessLookupError):
                return False
            return True

        self.wait_until(is_hit, timeout_s=60)
        # Its heir may be hit again; the dead one may not be counted twice.
        self.wait_until(lambda: self.is_noted(name, besides=victim), timeout_s=60)
        self.hits.append(name)

    def kill_supervisor_and_start(self) -> None:
        """SIGKILL the supervisor and start the next at once, as a person would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.hits.append("supervisor")
        self.start().wait_until_ready()


class Sender(threading.Thread, ABC):
    """Runs until told to stop; what went wrong for good is in `faults`."""

    def __init__(self, name: str, facts: dict[str, str], number: int) -> None:
        super().__init__(name=name, daemon=True)
        self.facts = facts
        self.random = random.Random(number)
        self.stopping = threading.Event()
        self.faults: list[str] = []

    def run(self) -> None:
        headers = {"Authorization": f"Bearer {self.facts['api_key']}"}
        with httpx.Client(timeout=15, headers=headers, trust_env=False) as client:
            while not self.stopping.is_set() and not self.faults:
                self.work(client)

    @abstractmethod
    def work(self, client: httpx.Client) -> None:
        """One round: new things sent and acknowledged."""

    def insist(self, ask: Callable[[], httpx.Response], *good: int) -> httpx.Response:
        """Ask until the answer is one of `good`; any other than "later" is a fault."""
        deadline = time.monotonic() + 120
        answer = None
        while time.monotonic() < deadline:
            try:
                answer = ask()
            except httpx.HTTPError:
                time.sleep(0.1)
                continue
            if answer.status_code in good:
                return answer
            if answer.status_code not in (429, 503):
                break
            time.sleep(0.2)
        said = "nothing" if answer is None else f"{answer.status_code} {answer.text}"
        self.faults.append(f"{self.name} was told {said}"[:500])
        raise SystemExit


class IngestClient(Sender):
    """Sends new events one request after another, and repeats some that had landed."""

    def __init__(self, facts: dict[str, str], number: int) -> None:
        super().__init__(f"web{number}", facts, number)
        self.requests: list[bytes] = []
        self.acknowledged: set[str] = set()
        self.began = datetime.now(UTC)

    def work(self, client: httpx.Client) -> None:
        body, ids = self._new_request()
        self._send(client, body)
        self.acknowledged |= ids
        self.requests.append(body)
        if self.random.random() < 0.1:
            self._send(client, self.random.choice(self.requests))
        time.sleep(0.05)

    def _send(self, client: httpx.Client, body: bytes) -> None:
        address = f"{self.facts['ingest_url']}{self.name}"
        headers = {"Content-Type": "application/json"}
        answer = self.insist(
            lambda: client.post(address, content=body, headers=headers), 202
        ).json()
        if answer["accepted"] + answer["duplicates"] != EVENTS:
            self.faults.append(f"{self.name}: {answer}")

    def _new_request(self) -> tuple[bytes, set[str]]:
        first = len(self.requests) * EVENTS
        events = [
            {
                "event_id": f"{self.name}-{number}",
                "event": f"step {number % 3}",
                "customer_id": f"c{number % 40}",
                "user_id": f"u{number % 7}",
                "timestamp": (
                    self.began - timedelta(minutes=number * 13 % 4000)
                ).isoformat(),
                "value": number % 5,
            }
            for number in range(first, first + EVENTS)
        ]
        return json.dumps(events).encode(), {event["event_id"] for event in events}


class FileSync(Sender):
    """Reads a growing CSV again and again, each time by a run of its own."""

    def __init__(self, facts: dict[str, str], folder: Path) -> None:
        super().__init__("accounts", facts, 0)
        self.folder = folder
        self.rows: list[int] = []
        """Rows of the file at each run that has ended."""
        self.address = f"{facts['dashboard_url']}api/integrations"

    def connect(self) -> None:
        """Add the integration; before anything is killed."""
        self._write(1)
        body = {
            "integration_id": "crm",
            "provider_name": "file",
            "settings": {"path": str(self.folder)},
            "sync_config": {
                "sync_mode": "full",
                "batch_size": PAGE,
                "sync_frequency": 0,
                "retry_attempts": 100,
                "retry_backoff": 0,
            },
        }
        headers = {"Authorization": f"Bearer {self.facts['api_key']}"}
        answer = httpx.post(
            self.address, json=body, headers=headers, timeout=15, trust_env=False
        )
        assert answer.status_code == 201, answer.text

    def work(self, client: httpx.Client) -> None:
        rows = FIRST_ROWS + MORE_ROWS * len(self.rows)
        self._write(rows)
        sync = f"{self.address}/crm/sync"
        # 409: the request that got no answer had started it.
        self.insist(lambda: client.post(sync, json={}), 202, 409)
        while self._is_active(client):
            time.sleep(0.2)
        self.rows.append(rows)

    def _is_active(self, client: httpx.Client) -> bool:
        answer = self.insist(lambda: client.get(f"{self.address}/crm/runs"), 200)
        newest = answer.json()["results"][0]
        if newest["status"] in ("pending", "processing"):
            return True
        if newest["status"] != "completed":
            self.faults.append(f"a run ended: {newest}")
            raise SystemExit
        return False

    def _write(self, rows: int) -> None:
        lines = ["account_id,name,seats"]
        lines += [f"a{n},Company {n},{n % 50 + 1}" for n in range(rows)]
        (self.folder / "accounts.csv").write_text("\n".join(lines))
