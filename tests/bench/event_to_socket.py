"""From an accepted event to the message on a WebSocket, idle and under load.

The whole product as `manage.py up` runs it: web, worker, beat, their servers. A probe
is one event with a name of its own; its clock starts when its 202 has come and ends
when a live-metrics message names it. The load is batches of 500 in step with a clock;
at times when the product takes less, the load falls behind, and the line says so.
    python -m tests.bench.event_to_socket [probes per rate] [events per second ..]
"""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from websockets.sync.client import ClientConnection, connect

from tests.bench.ingest_stage import EventMaker, show
from tests.crash.product import Product

RATES = (0, 2_000, 10_000)
"""Events per second beside the probes; the specification asks for 10,000."""
_BATCH = 500
_PATIENCE_S = 60.0
_KEPT_S = 3.0
"""uvicorn closes a connection that is idle for five."""
_AIM_S = 2.0


def run(probes: int = 200, rates: tuple[int, ...] = RATES) -> Iterator[str]:
    """The lines of the result table, as they are measured."""
    with _product() as product:
        facts = product.facts()
        address = f"ws://127.0.0.1:{product.port}/api/v1/stream/live-metrics"
        headers = {"Authorization": f"Bearer {facts['api_key']}"}
        with connect(address, additional_headers=headers, proxy=None) as socket:
            probe = Probe(facts, socket)
            probe.measure(min(20, probes))
            for rate in rates:
                yield _at_rate(probe, facts, probes, rate)


def _at_rate(probe: Probe, facts: dict[str, str], probes: int, rate: int) -> str:
    with Load(facts, rate) as load:
        waits = sorted(probe.measure(probes))
    p99 = waits[min(len(waits) - 1, int(len(waits) * 0.99))]
    middle = statistics.median(waits)
    verdict = "within" if middle <= _AIM_S else "NOT within"
    return (
        f"{f'load {rate:,} events/s (got {load.rate():,.0f})':<44}"
        f"p50 {middle * 1000:6,.0f} ms  p99 {p99 * 1000:6,.0f} ms  "
        f"max {waits[-1] * 1000:6,.0f} ms   median {verdict} {_AIM_S:.0f} s"
    )


class Sender:
    """One kept HTTP connection to the ingest door of the product."""

    def __init__(self, facts: dict[str, str]) -> None:
        host = facts["ingest_url"].removeprefix("http://").partition("/")[0]
        self._connection = http.client.HTTPConnection(host, timeout=_PATIENCE_S)
        self._used = time.perf_counter()
        self._headers = {
            "Authorization": f"Bearer {facts['api_key']}",
            "Content-Type": "application/json",
        }

    def send(self, body: bytes) -> None:
        """Returns when it is accepted. Raises RuntimeError on any answer but 202."""
        path = "/api/v1/data/ingest/bench"
        if time.perf_counter() - self._used > _KEPT_S:
            self._connection.close()
        self._connection.request("POST", path, body, self._headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self._used = time.perf_counter()
        if answer.status != 202:
            raise RuntimeError(f"unexpected answer {answer.status}: {said[:300]!r}")

    def close(self) -> None:
        self._connection.close()


class Probe:
    """Sends one marked event at a time and listens for it."""

    def __init__(self, facts: dict[str, str], socket: ClientConnection) -> None:
        self._sender = Sender(facts)
        self._socket = socket
        self._number = 0

    def measure(self, count: int) -> list[float]:
        """Seconds from the answer to the message, of `count` probes."""
        return [self._once() for _number in range(count)]

    def _once(self) -> float:
        self._number += 1
        name = f"probe {self._number}"
        event = {
            "event_id": name,
            "event": name,
            "customer_id": "cust-1",
            "timestamp": datetime.now(UTC).isoformat(),
        }
        self._sender.send(json.dumps(event).encode())
        accepted = time.perf_counter()
        deadline = accepted + _PATIENCE_S
        while time.perf_counter() < deadline:
            message = json.loads(self._socket.recv(timeout=_PATIENCE_S))
            if name in message.get("data", {}).get("by_event", {}):
                waited = time.perf_counter() - accepted
                # Not in step with the loops of the product.
                time.sleep(self._number % 7 * 0.03)
                return waited
        raise RuntimeError(f"{name} never came")


class Load:
    """A thread that sends batches in step with a clock. rate: events per second."""

    def __init__(self, facts: dict[str, str], rate: int) -> None:
        self._facts, self._wanted = facts, rate
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._sent = 0
        self._seconds = 1.0

    def __enter__(self) -> Load:
        if self._wanted:
            self._thread.start()
            # Let the product settle under it first.
            time.sleep(3)
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()
        if self._wanted:
            self._thread.join(_PATIENCE_S)

    def rate(self) -> float:
        """Events per second that were accepted."""
        return self._sent / self._seconds

    def _run(self) -> None:
        sender, maker = Sender(self._facts), EventMaker()
        started = time.perf_counter()
        while not self._stopping.is_set():
            sender.send(b"[" + b",".join(maker.events(_BATCH)) + b"]")
            self._sent += _BATCH
            self._seconds = time.perf_counter() - started
            self._stopping.wait(max(0.0, self._sent / self._wanted - self._seconds))
        sender.close()


@contextlib.contextmanager
def _product() -> Iterator[Product]:
    folder = Path(tempfile.mkdtemp(prefix="cgb-"))
    folder.chmod(0o711)
    product = Product(folder / "home", folder)
    product.env |= {"API_RATE_LIMITING_ENABLED": "false", "LOG_LEVEL": "WARNING"}
    try:
        product.start()
        product.wait_for("ChurnGuard is ready", timeout_s=300)
        yield product
    finally:
        if product.process is not None and product.process.poll() is None:
            product.finish()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    for line in run(*given[:1], *([tuple(given[1:])] if given[1:] else [])):
        show(line)
