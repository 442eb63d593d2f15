"""One note of about 200 bytes to 1,000 sockets: until the last one has it.

Ours (a row in PostgreSQL, committed, then the hub) against a raw broadcast without
accounts or a database. Clients offer no compression.
    python -m tests.bench.fanout [sockets] [notes per round] [rounds]
"""

from __future__ import annotations

import base64
import contextlib
import os
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import redis

from tests.bench.bus import serving_bus
from tests.bench.fanout_baseline import TOPIC
from tests.bench.ingest_stage import CHECKOUT, KEY, Stage, _wait_for, show

DATA = {
    "type": "health",
    "id": "cus_" + "0" * 26,
    "score": 41,
    "was": 63,
    "why": "x" * 60,
}
CHANNEL = "health-scores"


class Crowd:
    """Connected websocket clients, read by one epoll loop."""

    def __init__(self, port: int, count: int, path: str, headers: str) -> None:
        self.poll = select.epoll()
        self.socks: dict[int, socket.socket] = {}
        self.rest: dict[int, bytes] = {}
        nonce = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {nonce}\r\n{headers}\r\n"
        )
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), timeout=30)
            sock.sendall(request.encode())
            self._enter(sock)

    def close(self) -> None:
        for sock in self.socks.values():
            sock.close()
        self.poll.close()

    def wait(self, frames_each: int, timeout_s: float = 60) -> list[float]:
        """Read until every client had so many frames; the moments of the last ones."""
        missing = dict.fromkeys(self.socks, frames_each)
        moments: list[float] = []
        deadline = time.perf_counter() + timeout_s
        while missing:
            if time.perf_counter() > deadline:
                raise RuntimeError(f"{len(missing)} clients are still waiting")
            for fd, _event in self.poll.poll(1):
                data = self.rest[fd] + self.socks[fd].recv(1 << 16)
                count, self.rest[fd] = _count_frames(data)
                if not count or fd not in missing:
                    continue
                missing[fd] -= count
                if missing[fd] <= 0:
                    del missing[fd]
                    moments.append(time.perf_counter())
        return moments

    def _enter(self, sock: socket.socket) -> None:
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(4096)
        head, _, rest = answer.partition(b"\r\n\r\n")
        if b" 101 " not in head:
            raise RuntimeError(f"unexpected answer: {head!r}")
        self.rest[sock.fileno()] = rest
        self.socks[sock.fileno()] = sock
        self.poll.register(sock, select.EPOLLIN)


def run(sockets: int = 1000, notes: int = 8, rounds: int = 5) -> list[str]:
    """The lines of the result table."""
    with serving_bus() as url:
        os.environ["REDIS_URL"] = os.environ["CACHE_URL"] = url
        stage = Stage()
        try:
            return _measure(stage, redis.Redis.from_url(url), sockets, notes, rounds)
        finally:
            stage.close()


def _measure(
    stage: Stage, client: redis.Redis, sockets: int, notes: int, rounds: int
) -> list[str]:
    from churnguard.models import ApiKey
    from churnguard.stream.notes import nudge, publish

    ApiKey.objects.update(scopes=["read"])
    text = f'{{"type":"note","data":{DATA}}}'
    conn = stage.connect()

    def ours() -> None:
        with conn.transaction():
            publish(conn, stage.org.pk, CHANNEL, [DATA])
        nudge([(stage.org.pk, CHANNEL)])

    def raw() -> None:
        client.publish(TOPIC, text)

    figures: dict[str, list[list[float]]] = {"raw broadcast": [], "our hub": []}
    for number in range(rounds + 1):
        with _baseline() as port:
            crowd = Crowd(port, sockets, "/", "")
            found = _round(crowd, raw, notes)
        if number:
            figures["raw broadcast"] += found
        with stage.serve("churnguard.asgi:application") as port:
            header = f"Authorization: Bearer {KEY}\r\n"
            crowd = Crowd(port, sockets, f"/api/v1/stream/{CHANNEL}", header)
            crowd.wait(1)
            found = _round(crowd, ours, notes)
        if number:
            figures["our hub"] += found
    base = statistics.median(max(one) for one in figures["raw broadcast"])
    return [
        _line(f"{name}, {sockets} sockets", found, base)
        for name, found in figures.items()
    ]


def _round(crowd: Crowd, send: Callable[[], None], notes: int) -> list[list[float]]:
    """Latencies in ms of every client, per note; the first note warms up."""
    found = []
    for number in range(notes + 1):
        started = time.perf_counter()
        send()
        moments = crowd.wait(1)
        if number:
            found.append([(moment - started) * 1000 for moment in moments])
        time.sleep(0.1)
    crowd.close()
    return found


def _line(name: str, found: list[list[float]], base: float) -> str:
    every = sorted(ms for one in found for ms in one)
    last = [max(one) for one in found]
    middle = statistics.median(last)
    return (
        f"{name:<40} p50 {every[len(every) // 2]:6.1f} ms  "
        f"p99 {every[len(every) * 99 // 100]:6.1f} ms  last {middle:6.1f} ms "
        f"[{min(last):.1f}..{max(last):.1f}]  {middle / base:5.2f}"
    )


def _count_frames(data: bytes) -> tuple[int, bytes]:
    """Text frames in `data`, and the bytes of a frame that is not complete."""
    count = place = 0
    while len(data) - place >= 2:
        size, head = data[place + 1] & 127, 2
        if size == 126:
            if len(data) - place < 4:
                break
            size, head = int.from_bytes(data[place + 2 : place + 4]), 4
        if len(data) - place < head + size:
            break
        count += data[place] & 15 == 1
        place += head + size
    return count, data[place:]


@contextlib.contextmanager
def _baseline() -> Iterator[int]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.fanout_baseline", str(port)], cwd=CHECKOUT
    )
    try:
        _wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait(30)


if __name__ == "__main__":
    show(*run(*(int(argument) for argument in sys.argv[1:4])))
