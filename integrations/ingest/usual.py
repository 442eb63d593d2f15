"""The usual event, decoded and checked in one step: the hot path of every door.

What is unusual in any way is not judged here; it takes the slow way in `decode`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

from integrations import quality
from integrations.ingest.texts import parse_loosely
from integrations.ingest.times import parse_time
from integrations.load import PreparedEvent
from integrations.load.events import content_of
from integrations.load.wire import PG_EPOCH
from integrations.load.wire import micros as micros_of

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=quality.MOST_ID)]
_User = Annotated[str, msgspec.Meta(max_length=quality.MOST_ID)]


class UsualEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event with the documented keys and no others."""

    event: _Id
    type: str = "event"
    event_id: _Id | int | None = None
    customer_id: _Id | int | None = None
    user_id: _User | int | None = None
    timestamp: datetime | int | float | None = None
    value: float | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")


ONE = msgspec.json.Decoder(UsualEvent)
MANY = msgspec.json.Decoder(list[UsualEvent])


class Preparer:
    """Makes the events of one body ready for the writer.

    received_at: aware. has_escapes: whether the body has a `\\u` anywhere, the only way
    to write a NUL in JSON.
    """

    def __init__(self, received_at: datetime, *, has_escapes: bool) -> None:
        self._earliest = micros_of(quality.EARLIEST_EVENT)
        self._latest = micros_of(received_at + quality.AHEAD)
        self._has_escapes = has_escapes

    def prepare(self, event: UsualEvent) -> PreparedEvent | None:
        """The event, checked, or None for what takes a closer look."""
        event_id, name, moment = event.event_id, event.event, event.timestamp
        customer, user, value = event.customer_id, event.user_id, event.value
        properties = bytes(event.properties)
        if (
            event_id is None
            or moment is None
            or event.type != "event"
            or properties[:1] != b"{"
        ):
            return None
        if type(moment) is not datetime or moment.tzinfo is not UTC:
            try:
                moment = parse_time(moment)
            except ValueError:
                return None
        # wire.micros, without the call.
        passed = moment - PG_EPOCH
        micros = (
            passed.days * 86_400_000_000
            + passed.seconds * 1_000_000
            + passed.microseconds
        )
        if not self._earliest <= micros <= self._latest:
            return None
        if type(event_id) is not str:
            event_id = str(event_id)
        if customer is not None and type(customer) is not str:
            customer = str(customer)
        if user is None:
            user = ""
        elif type(user) is not str:
            user = str(user)
        if self._has_escapes and (
            b"\\u" in properties
            # A NUL in any of them would be the fifth.
            or f"{event_id}\0{name}\0{customer}\0{user}\0".count("\0") != 4
        ):
            return None
        content = content_of(name, customer, user, micros, value, properties)
        return PreparedEvent(
            event_id, name, moment, micros, customer, user, value, properties, content
        )


def as_object(event: UsualEvent) -> dict[str, Any]:
    """The event as the slow way reads it."""
    obj = {
        name: value
        for name in event.__struct_fields__
        if name != "properties" and (value := getattr(event, name)) is not None
    }
    obj["properties"] = parse_loosely(bytes(event.properties))
    return obj
