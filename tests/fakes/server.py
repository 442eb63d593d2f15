"""An HTTP server on loopback in front of a fake provider, with faults on demand.

Real sockets, so that connectors in other processes and SDKs can be tested as they
run. Faults are played once each, in order, on requests whose path they name.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    """path without query; query: name -> last value; headers: lower-case names."""

    method: str
    path: str
    query: dict[str, str]
    queries: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body) if self.body else None

    def form(self) -> dict[str, str]:
        return {k: v[-1] for k, v in parse_qs(self.body.decode()).items()}


@dataclass(frozen=True, slots=True)
class Response:
    """body: bytes or JSON-able."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)

    def encoded(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return json.dumps(self.body).encode()


@dataclass(slots=True)
class Fault:
    """What goes wrong instead of (or to) the answer.

    kind: reply (answer `response`), hang (no answer until the client gives up),
    reset (connection reset), truncated (half of the real body), garbage (HTML with
    status 200). path: prefix it applies to. after: matching requests let through
    first. times: how often it is played.
    """

    kind: str
    path: str = "/"
    response: Response | None = None
    after: int = 0
    times: int = 1


class Provider(Protocol):
    """What a fake must do."""

    def handle(self, request: Request) -> Response: ...


class FakeServer:
    """Serves one provider; `calls` has every request, `faults` is played as listed."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.calls: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> FakeServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopped.set()
        self._http.shutdown()
        self._http.server_close()

    def fail(self, kind: str, path: str = "/", **options: Any) -> None:
        """Queue a fault."""
        self.faults.append(Fault(kind, path, **options))

    def count(self, path: str, method: str | None = None) -> int:
        """Requests so far under a path prefix."""
        return sum(
            call.path.startswith(path) and method in (None, call.method)
            for call in self.calls
        )

    def take_fault(self, request: Request) -> Fault | None:
        with self._lock:
            self.calls.append(request)
            for fault in self.faults:
                if not request.path.startswith(fault.path):
                    continue
                if fault.after:
                    fault.after -= 1
                    continue
                fault.times -= 1
                if fault.times <= 0:
                    self.faults.remove(fault)
                return fault
        return None

    def wait_stopped(self, timeout_s: float) -> None:
        self._stopped.wait(timeout_s)


@contextmanager
def serving(provider: Provider) -> Iterator[FakeServer]:
    """A started server, stopped at the end."""
    server = FakeServer(provider).start()
    try:
        yield server
    finally:
        server.stop()


def _handler(server: FakeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Headers and body leave in two writes; waiting for the ACK costs 40 ms.
        disable_nagle_algorithm = True
        wbufsize = 1 << 16

        def log_message(self, format: str, *args: Any) -> None:
            """Quiet."""

        def _go(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            queries = parse_qs(parts.query, keep_blank_values=True)
            request = Request(
                method=self.command,
                path=parts.path,
                query={k: v[-1] for k, v in queries.items()},
                queries=queries,
                headers={k.lower(): v for k, v in self.headers.items()},
                body=self.rfile.read(length) if length else b"",
            )
            fault = server.take_fault(request)
            if fault is None:
                self._send(server.provider.handle(request))
            elif fault.kind == "reply":
                assert fault.response is not None
                self._send(fault.response)
            elif fault.kind == "hang":
                server.wait_stopped(30)
                self.close_connection = True
            elif fault.kind == "reset":
                self.connection.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                )
                self.close_connection = True
                self.connection.close()
            elif fault.kind == "truncated":
                self._send(server.provider.handle(request), cut=True)
            elif fault.kind == "garbage":
                self._send(Response(200, b"<html>oops", {"Content-Type": "text/html"}))
            else:
                raise AssertionError(f"no fault {fault.kind}")

        def _send(self, response: Response, *, cut: bool = False) -> None:
            body = response.encoded()
            self.send_response(response.status)
            names = {name.lower() for name in response.headers}
            if "content-type" not in names:
                self.send_header("Content-Type", "application/json")
            for name, value in response.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body[: len(body) // 2] if cut else body)
            self.wfile.flush()
            if cut:
                self.close_connection = True

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _go

    return Handler
