"""A raw ASGI function that decodes and validates events, and stores nothing."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


class Event(msgspec.Struct):
    event_id: str
    event: str
    customer_id: str
    timestamp: datetime
    user_id: str = ""
    properties: msgspec.Raw = msgspec.Raw(b"{}")


_one = msgspec.json.Decoder(Event)
_many = msgspec.json.Decoder(list[Event])
_OK = [(b"content-type", b"application/json"), (b"content-length", b"2")]


async def decode_only(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read, decode, answer 202."""
    if scope["type"] != "http":
        return
    body = b""
    more = True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    (_many if body[:1] == b"[" else _one).decode(body)
    await send({"type": "http.response.start", "status": 202, "headers": _OK})
    await send({"type": "http.response.body", "body": b"{}"})
