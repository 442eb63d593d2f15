"""A stage for ingest benches: a durable PostgreSQL of its own, servers, and clients.

Clients are plain non-blocking sockets in one epoll loop, because a client library
costs more than the server under test.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import select
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg

from churnguard.runtime import processes
from churnguard.runtime.account import server_account
from churnguard.runtime.postgres import EmbeddedPostgres
from churnguard.runtime.services import start_and_wait

CHECKOUT = Path(__file__).resolve().parents[2]
PATH = "/api/v1/data/ingest/web"
KEY = "cg_key_of_the_bench"
CUSTOMERS = 5_000
PLAIN_TABLE = """
CREATE TABLE bench_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, organization_id bigint NOT NULL,
    source text NOT NULL, event_id text NOT NULL, customer_id text NOT NULL,
    name text NOT NULL, ts timestamptz NOT NULL, received_at timestamptz NOT NULL,
    properties jsonb NOT NULL, UNIQUE (organization_id, source, event_id));
CREATE INDEX ON bench_event (organization_id, customer_id, ts);
CREATE INDEX ON bench_event (organization_id, ts)
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What the clients saw: answers per second of wall time, latencies in ms."""

    requests: int
    seconds: float
    latencies_ms: list[float]

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


class Stage:
    """PostgreSQL with the product's tables, one organisation and one key."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="cgb-"))
        if server_account(self.home / "postgres") is not None:
            self.home.chmod(0o711)
        self.postgres = EmbeddedPostgres(self.home)
        self.postgres.prepare()
        self._process = start_and_wait(self.postgres.service(), timeout_s=60)
        self.env = {
            **os.environ,
            "PYTHONPATH": str(CHECKOUT),
            "DJANGO_SETTINGS_MODULE": "churnguard.settings",
            "DATABASE_URL": self.postgres.dsn,
            "SECRET_KEY": "a key for benches only",
            "INTEGRATION_ENCRYPTION_KEY": base64.urlsafe_b64encode(bytes(32)).decode(),
            "CHURNGUARD_HOME": str(self.home),
            "API_RATE_LIMITING_ENABLED": "false",
            "LOG_LEVEL": "WARNING",
        }
        os.environ.update(self.env)
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--skip-checks", "-v", "0"],
            env=self.env,
            cwd=CHECKOUT,
            check=True,
        )
        self._fill()

    def close(self) -> None:
        processes.stop(self._process, first=self.postgres.service().stop_signal)
        shutil.rmtree(self.home, ignore_errors=True)

    def connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.postgres.dsn, autocommit=True)

    @contextlib.contextmanager
    def serve(
        self, app: str, *, settings: str = "churnguard.settings"
    ) -> Iterator[int]:
        """Run `app` by uvicorn in a process of its own; yields its port."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        options = ["--port", str(port), "--no-access-log", "--log-level", "warning"]
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", app, *options, "--backlog", "2048"],
            env={**self.env, "DJANGO_SETTINGS_MODULE": settings},
            cwd=CHECKOUT,
        )
        try:
            _wait_for(port)
            yield port
        finally:
            process.terminate()
            process.wait(30)

    def meet_customers(self) -> None:
        """Have every customer of `EventMaker` made, as in a source in daily use."""
        from integrations import load
        from integrations.load import customers

        with self.connect() as conn, conn.transaction():
            source_id = load.source_id(conn, org_id=self.org.pk, name="web")
            customers.find_or_create(
                conn.cursor(),
                org_id=self.org.pk,
                source_id=source_id,
                external_ids=[f"cust-{number}" for number in range(CUSTOMERS)],
                now=datetime.now(UTC),
            )

    def empty(self) -> None:
        """Take out every event, so that each round starts alike."""
        with self.connect() as conn:
            conn.execute("TRUNCATE cg_usage_event, cg_event_key, cg_batch, bench_event")
            conn.execute("CHECKPOINT")

    def _fill(self) -> None:
        # Django settings are read only now, when the environment is set.
        import django

        django.setup()
        from churnguard.auth import hash_key
        from churnguard.models import ApiKey, Organization

        self.org = Organization.objects.create(name="Bench")
        ApiKey.objects.create(
            organization=self.org,
            name="bench",
            prefix=KEY[:9],
            key_hash=hash_key(KEY),
            scopes=["ingest"],
        )
        with self.connect() as conn:
            conn.execute(PLAIN_TABLE)
        self.meet_customers()


class EventMaker:
    """Event JSON of about 345 bytes with 8 properties; every id is new."""

    def __init__(self, seed: int = 1) -> None:
        rnd = random.Random(seed)
        now = datetime.now(UTC)
        self._next = random.SystemRandom().getrandbits(40) << 20
        self._bodies = []
        for _number in range(4096):
            body = {
                "event_id": "IDENTIFIER",
                "event": rnd.choice(
                    ["login", "export", "report_viewed", "invite_sent"]
                ),
                "customer_id": f"cust-{rnd.randrange(CUSTOMERS)}",
                "user_id": f"user-{rnd.randrange(50_000)}",
                "timestamp": (
                    now - timedelta(seconds=rnd.randrange(86_400))
                ).isoformat(),
                "properties": {
                    "page": "/dashboard/overview",
                    "duration_ms": rnd.randrange(10_000),
                    "plan": rnd.choice(["team", "enterprise"]),
                    "region": "eu-west-1",
                    "version": "4.12.0",
                    "is_mobile": False,
                    "variant": "b",
                    "rows": rnd.randrange(100),
                },
            }
            text = json.dumps(body).encode()
            self._bodies.append(tuple(text.split(b"IDENTIFIER")))

    def events(self, count: int) -> list[bytes]:
        out = []
        bodies, first = self._bodies, self._next
        for number in range(first, first + count):
            # Random ids, as most senders use: sequential ones would flatter us.
            spread = number * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF
            before, after = bodies[spread & 4095]
            out.append(b"%s%032x%s" % (before, spread << 64 | number, after))
        self._next += count
        return out


def request(body: bytes, **headers: str) -> bytes:
    """The bytes of one HTTP request; headers override the usual ones."""
    lines = {
        "Host": "127.0.0.1",
        "Authorization": f"Bearer {KEY}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {PATH} HTTP/1.1\r\n{head}\r\n".encode() + body


def drive(port: int, requests: Sequence[bytes], *, connections: int) -> Served:
    """Send every request once over kept connections, one in flight on each.

    Raises RuntimeError on any answer but 2xx.
    """
    poll = select.epoll()
    socks: dict[int, socket.socket] = {}
    out: dict[int, memoryview] = {}
    partial: dict[int, bytes] = {}
    sent_at: dict[int, float] = {}
    latencies: list[float] = []
    waiting = iter(requests)
    for _number in range(min(connections, len(requests))):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        socks[sock.fileno()] = sock
        poll.register(sock, select.EPOLLIN)
    clock = time.perf_counter
    started = clock()

    def push(fd: int, data: memoryview) -> None:
        with contextlib.suppress(BlockingIOError):
            data = data[socks[fd].send(data) :]
        if data:
            out[fd] = data
            poll.modify(fd, select.EPOLLIN | select.EPOLLOUT)
        elif fd in out:
            del out[fd]
            poll.modify(fd, select.EPOLLIN)

    for fd in socks:
        sent_at[fd] = clock()
        push(fd, memoryview(next(waiting)))
    while len(latencies) < len(requests):
        for fd, happened in poll.poll(30):
            if happened & select.EPOLLOUT:
                push(fd, out[fd])
            if not happened & select.EPOLLIN:
                continue
            answer = partial.pop(fd, b"") + socks[fd].recv(1 << 16)
            if answer[9:10] != b"2":
                raise RuntimeError(f"unexpected answer: {answer[:400]!r}")
            if not _is_complete(answer):
                partial[fd] = answer
                continue
            now = clock()
            latencies.append((now - sent_at[fd]) * 1000)
            following = next(waiting, None)
            if following is not None:
                sent_at[fd] = now
                push(fd, memoryview(following))
    seconds = clock() - started
    for sock in socks.values():
        sock.close()
    poll.close()
    return Served(len(requests), seconds, latencies)


def _is_complete(answer: bytes) -> bool:
    head = answer.find(b"\r\n\r\n")
    if head < 0:
        return False
    fields = answer[: head + 2].lower()
    start = fields.index(b"content-length: ") + 16
    length = int(fields[start : fields.index(b"\r\n", start)])
    return len(answer) >= head + 4 + length


def row(name: str, rates: Sequence[float], base: Sequence[float] | None = None) -> str:
    """One line of a result table: median [min..max] per second, ratio to `base`."""
    middle = statistics.median(rates)
    ratio = f"{middle / statistics.median(base):6.2f}" if base else "      "
    return f"{name:<52}{middle:>10,.0f}  [{min(rates):,.0f}..{max(rates):,.0f}] {ratio}"


def show(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)),
        ):
            return
        time.sleep(0.05)
    raise RuntimeError(f"no server on port {port}")
