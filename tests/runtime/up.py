"""Runs the stand-in of `manage.py up` in a folder of its own, and looks at it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import psycopg

CHECKOUT = Path(__file__).resolve().parents[2]
STAND_IN = CHECKOUT / "tests" / "runtime" / "stand_in.py"
OURS = (
    "DATABASE_URL",
    "REDIS_URL",
    "CACHE_URL",
    "SECRET_KEY",
    "INTEGRATION_ENCRYPTION_KEY",
    "PROMETHEUS_MULTIPROC_DIR",
    "CHURNGUARD_TEST_SERVERS",
    "DJANGO_SETTINGS_MODULE",
)
"""What the test session set for itself and a fresh start must not see."""


class Up:
    """One data folder and, at most times, one supervisor on it."""

    def __init__(self, home: Path, **env: str) -> None:
        self.home = home
        self.port, self.ingest_port = free_port(), free_port()
        self.env = {
            **{name: value for name, value in os.environ.items() if name not in OURS},
            "PYTHONPATH": str(CHECKOUT),
            "CHURNGUARD_HOME": str(home),
            "DASHBOARD_PORT": str(self.port),
            "WEBHOOK_SERVER_PORT": str(self.ingest_port),
            **env,
        }
        self.log = home.with_name(f"{home.name}.log")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *arguments: str, **popen: Any) -> Up:
        """Start it and return at once."""
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(STAND_IN), "up", *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd="/",
                **popen,
            )
        return self

    def wait_until_ready(self) -> Up:
        self.wait_for("ChurnGuard is ready")
        return self

    def wait_for(self, text: str, *, timeout_s: float = 30.0) -> None:
        """Wait for `text` in its output; fails with the output if it never comes."""
        deadline = time.monotonic() + timeout_s
        while text not in self.said():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"no {text!r} in:\n{self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def finish(self, number: int = signal.SIGTERM) -> int:
        """Signal the supervisor and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def exit_code(self) -> int:
        """Wait for it to end by itself."""
        assert self.process is not None
        return self.process.wait(timeout=60)

    def run_note(self) -> dict[str, Any]:
        return json.loads((self.home / "run.json").read_text())

    def pid_of(self, name: str) -> int:
        return json.loads((self.home / "pids" / f"{name}.json").read_text())["pid"]

    def answer(self) -> str:
        """What the web role says."""
        address = f"http://127.0.0.1:{self.port}/"
        with urllib.request.urlopen(address, timeout=10) as reply:
            return reply.read().decode()

    def answers(self) -> bool:
        try:
            return self.answer().startswith("web ")
        except OSError:
            return False

    def database(self) -> psycopg.Connection[Any]:
        """A connection, as soon as one can be had."""
        address = self.run_note()["env"]["DATABASE_URL"]
        deadline = time.monotonic() + 30
        while True:
            try:
                return psycopg.connect(address, connect_timeout=5)
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def is_noted(self, name: str, *, besides: int) -> bool:
        """Whether a process other than `besides` is noted under `name`."""
        try:
            return self.pid_of(name) != besides
        except (FileNotFoundError, ValueError):
            return False

    def wait_until(self, holds: Callable[[], bool], *, timeout_s: float = 30) -> None:
        deadline = time.monotonic() + timeout_s
        while not holds():
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def survivors(self) -> list[str]:
        """Processes that still work on this folder, by command or environment."""
        mark = str(self.home)
        found = []
        for process in psutil.process_iter():
            try:
                words = [*process.cmdline(), process.environ().get("CHURNGUARD_HOME")]
                status = process.status()
            except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
                continue
            is_alive = process.pid != os.getpid() and status != psutil.STATUS_ZOMBIE
            if is_alive and any(mark in word for word in words if word):
                found.append(" ".join(filter(None, words)))
        return found

    def wait_until_gone(self, *, timeout_s: float = 30.0) -> None:
        """Wait until nothing works on the folder any more."""
        self.wait_until(lambda: not self.survivors(), timeout_s=timeout_s)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
