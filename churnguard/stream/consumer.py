"""The websockets `/api/v1/stream/{live-metrics,alerts,health-scores}`.

Messages are JSON objects:
    {"type": "hello", "channel", "seq"}               first; seq is where we are now
    {"type": "note", "channel", "seq", "at", "data"}  one event; seq rises by one
    {"type": "heartbeat", "channel", "seq", "at"}     every 20 s
    {"type": "resync", "channel", "seq"}              you missed some: read again
`?since=SEQ` replays the notes after SEQ before live ones. Close codes: 4400 bad
parameter, 4401 not signed in (or no longer), 4403 not allowed, 4404 no such channel,
1013 try again later. Credentials: see `churnguard.stream.access`.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any
from urllib.parse import parse_qs

import psycopg
from channels.consumer import AsyncConsumer
from channels.exceptions import StopConsumer
from channels.routing import URLRouter
from channels.sessions import CookieMiddleware
from django.db import Error as DatabaseError
from django.urls import re_path

from churnguard.stream import access, hub
from churnguard.stream.notes import CHANNELS

log = logging.getLogger(__name__)

_SEQ_MOST = 2**62


class StreamConsumer(AsyncConsumer):
    """One client of one channel: lets it in, replays, then writes what the hub puts
    on its queue. What the client sends is ignored."""

    _socket: hub.Socket | None = None
    _writer: asyncio.Task[None] | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            if self._writer is not None:
                self._writer.cancel()
            if self._socket is not None:
                await hub.get_hub().leave(self._socket)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """Clients have nothing to say: what they send costs us nothing."""
        if message["type"] != "websocket.receive":
            await super().dispatch(message)

    async def websocket_connect(self, _event: dict[str, Any]) -> None:
        offered = self.scope.get("subprotocols", [])
        answer: dict[str, Any] = {"type": "websocket.accept"}
        if access.SUBPROTOCOL in offered:
            answer["subprotocol"] = access.SUBPROTOCOL
        # A close before the accept would reach the client as a bare HTTP 403.
        await self.send(answer)
        channel = self.scope["url_route"]["kwargs"]["channel"]
        if channel not in CHANNELS:
            await self._refuse(4404, f"Channels are {', '.join(CHANNELS)}.")
            return
        try:
            since = _since(self.scope.get("query_string", b""))
        except ValueError as exc:
            await self._refuse(4400, str(exc))
            return
        try:
            await self._enter(channel, since)
        except (psycopg.Error, DatabaseError, TimeoutError) as exc:
            log.warning("stream.refused", extra={"error": type(exc).__name__})
            await self._refuse(1013, "The database is not reachable.")
        except OSError:
            # uvicorn's ClientDisconnected: gone before we could say hello.
            return

    async def websocket_disconnect(self, _event: dict[str, Any]) -> None:
        raise StopConsumer

    async def _enter(self, channel: str, since: int | None) -> None:
        found = await access.identify(self.scope)
        if isinstance(found, access.Refusal):
            await self._refuse(found.code, found.reason)
            return
        socket = hub.Socket((found.org_id, channel), found)
        seq, missed = await hub.get_hub().join(socket, since)
        self._socket = socket
        await self._say(hub.message("hello", channel, seq))
        if missed is None:
            await self._say(hub.resync(channel, seq))
        for note in missed or ():
            await self._say(note.text)
        self._writer = asyncio.create_task(self._write(socket))

    async def _write(self, socket: hub.Socket) -> None:
        send, queue, wake = self.base_send, socket.queue, socket.wake
        try:
            while not socket.close_code:
                while queue:
                    await send({"type": "websocket.send", "text": queue.popleft()})
                wake.clear()
                if not queue and not socket.close_code:
                    await wake.wait()
            await self._refuse(socket.close_code, "Your access has ended.")
        except OSError:
            # uvicorn raises ClientDisconnected, an OSError; the disconnect event
            # follows and tidies up.
            return

    async def _say(self, text: str) -> None:
        await self.base_send({"type": "websocket.send", "text": text})

    async def _refuse(self, code: int, reason: str) -> None:
        await self.base_send(
            {"type": "websocket.close", "code": code, "reason": reason}
        )


def _since(query: bytes) -> int | None:
    given = parse_qs(query.decode("latin-1")).get("since")
    if given is None:
        return None
    text = given[-1]
    if not (text.isascii() and text.isdigit()) or int(text) > _SEQ_MOST:
        raise ValueError("since must be a sequence number: a whole number from 0.")
    return int(text)


websocket_urlpatterns = [
    re_path(r"^api/v1/stream/(?P<channel>[a-z-]+)/?$", StreamConsumer.as_asgi()),
    re_path(r"^(?P<channel>.*)$", StreamConsumer.as_asgi()),
]
application = CookieMiddleware(URLRouter(websocket_urlpatterns))
