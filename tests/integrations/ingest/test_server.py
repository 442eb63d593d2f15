"""The fast door behind a real server: chunks, Expect, early refusal, keep-alive."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from churnguard.models import UsageEvent
from integrations.ingest import door as fast_door
from tests.integrations.ingest.conftest import PREFIX


@pytest.fixture
def port(key: str) -> Iterator[int]:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    server = uvicorn.Server(
        uvicorn.Config(fast_door.app, lifespan="on", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
    thread.start()
    deadline = time.monotonic() + 10
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    yield listener.getsockname()[1]
    server.should_exit = True
    thread.join(10)
    listener.close()


def event(number: int) -> bytes:
    return json.dumps({"event_id": f"e{number}", "event": "x"}).encode()


def read_reply(response: http.client.HTTPResponse) -> tuple[int, dict[str, Any]]:
    return response.status, json.loads(response.read())


def test_chunked_bodies_and_kept_connections(port: int, key: str) -> None:
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    headers = {"Authorization": f"Bearer {key}"}
    for number in range(3):
        body = event(number)
        pieces = iter([body[:5], body[5:9], body[9:]])
        client.request(
            "POST", PREFIX + "web", pieces, headers=headers, encode_chunked=True
        )
        status, answer = read_reply(client.getresponse())
        assert (status, answer["accepted"]) == (202, 1)
    client.close()

    assert UsageEvent.objects.count() == 3


def test_expect_is_answered_before_the_body_and_only_when_welcome(
    port: int, key: str
) -> None:
    def head(length: int, sent_key: str) -> bytes:
        return (
            f"POST {PREFIX}web HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n"
            f"Expect: 100-continue\r\nX-API-Key: {sent_key}\r\n"
            "Content-Type: application/json\r\n\r\n"
        ).encode()

    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(head(len(event(1)), key))
        assert sock.recv(1000).startswith(b"HTTP/1.1 100 ")
        sock.sendall(event(1))
        assert sock.recv(1000).startswith(b"HTTP/1.1 202 ")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(head(10**9, key))
        assert sock.recv(1000).startswith(b"HTTP/1.1 413 ")
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(head(10, "cg_wrong"))
        assert sock.recv(1000).startswith(b"HTTP/1.1 401 ")


def test_a_client_that_leaves_half_way_does_not_stop_the_next(
    port: int, key: str
) -> None:
    for _again in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
            sock.sendall(
                f"POST {PREFIX}web HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
                f"X-API-Key: {key}\r\n\r\n{{".encode()
            )
    client = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    client.request("POST", PREFIX + "web", event(1), {"X-API-Key": key})
    status, answer = read_reply(client.getresponse())
    client.close()

    assert (status, answer["accepted"]) == (202, 1)
    assert UsageEvent.objects.count() == 1
