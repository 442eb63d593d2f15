"""Drives the websocket application in this process, as a client would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser
from django.db import connection, connections, transaction
from django.test import Client

from churnguard.stream import notes
from churnguard.stream.consumer import application

WAIT_S = 5.0


class Listener:
    """One connected socket. `closed` is (code, reason) once the server closed it."""

    def __init__(
        self,
        channel: str,
        *,
        query: str = "",
        key: str | None = None,
        session: str | None = None,
        origin: str | None = "http://testserver",
        subprotocols: list[str] | None = None,
    ) -> None:
        headers = [(b"host", b"testserver")]
        if origin is not None:
            headers.append((b"origin", origin.encode()))
        if key is not None:
            headers.append((b"authorization", f"Bearer {key}".encode()))
        if session is not None:
            cookie = f"{settings.SESSION_COOKIE_NAME}={session}"
            headers.append((b"cookie", cookie.encode()))
        scope = {
            "type": "websocket",
            "path": f"/api/v1/stream/{channel}",
            "query_string": query.lstrip("?").encode(),
            "headers": headers,
            "subprotocols": subprotocols or [],
        }
        self.socket = ApplicationCommunicator(application, scope)
        self.subprotocol: str | None = None

    async def __aenter__(self) -> Listener:
        await self.socket.send_input({"type": "websocket.connect"})
        answer = await self.socket.receive_output(timeout=WAIT_S)
        assert answer["type"] == "websocket.accept"
        self.subprotocol = answer.get("subprotocol")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.socket.wait(timeout=WAIT_S)

    async def next(self) -> dict[str, Any]:
        """The next message; heartbeats too."""
        message = await self.socket.receive_output(timeout=WAIT_S)
        return json.loads(message["text"])

    async def take(self, count: int) -> list[dict[str, Any]]:
        return [await self.next() for _ in range(count)]

    async def closed(self) -> int:
        """The close code the server sent as its next message."""
        message = await self.socket.receive_output(timeout=WAIT_S)
        assert message["type"] == "websocket.close"
        return int(message["code"])

    async def silence(self) -> bool:
        return await self.socket.receive_nothing(timeout=0.2)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run an async scenario to its end in a loop of its own."""

    async def main() -> None:
        async with asyncio.timeout(30):
            await scenario()
        await sync_to_async(connections.close_all)()

    asyncio.run(main())


@sync_to_async
def publish(org_id: int, channel: str, *payloads: dict[str, Any]) -> int | None:
    """Commit notes as a web request or a worker would."""
    with transaction.atomic():
        return notes.publish(connection, org_id, channel, payloads)


def session_of(user: AbstractBaseUser) -> str:
    """The session key of `user`, signed in."""
    client = Client()
    client.force_login(user)
    return client.cookies[settings.SESSION_COOKIE_NAME].value
