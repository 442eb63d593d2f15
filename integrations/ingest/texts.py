"""The parts of an event as they are stored, and as their sender wrote them."""

from __future__ import annotations

import json
import math
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from integrations.ingest.answers import IngestError
from integrations.ingest.convert import FieldProblem
from integrations.load import PreparedEvent
from integrations.load.sorting import has_nul

_any = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(order="deterministic")
_MOST_ERROR_TEXT = 300


def event_as_sent(event: PreparedEvent) -> dict[str, Any]:
    obj: dict[str, Any] = {
        "type": "event",
        "event_id": event.event_id,
        "event": event.name,
        "customer_id": event.customer_id,
        "user_id": event.user_id or None,
        "timestamp": event.ts.isoformat() if event.has_own_time else None,
        "value": event.value,
        "properties": parse_loosely(event.properties),
    }
    return {name: value for name, value in obj.items() if value is not None}


def encode_properties(properties: dict[str, Any]) -> bytes:
    try:
        text = _encoder.encode(properties)
    except (UnicodeEncodeError, ValueError, OverflowError) as exc:
        raise FieldProblem(
            "bad_text", "properties", "A text in properties cannot be stored."
        ) from exc
    except RecursionError as exc:
        raise FieldProblem(
            "too_deep", "properties", "properties are nested too deeply."
        ) from exc
    if has_nul(text):
        raise FieldProblem(
            "bad_text", "properties", "A text in properties has a NUL character."
        )
    return text


def content_id(
    name: str,
    customer_id: str | None,
    user_id: str,
    moment: datetime | None,
    value: float | None,
    properties: bytes,
) -> str:
    """An id that the same content always has, whatever its spacing and key order."""
    parts = [
        name,
        customer_id,
        user_id,
        None if moment is None else moment.isoformat(),
        value,
        parse_loosely(properties),
    ]
    try:
        text = _encoder.encode(parts)
    except UnicodeEncodeError:
        text = repr(parts).encode("utf-8", "surrogatepass")
    return f"content_{blake2b(text, digest_size=16).hexdigest()}"


def check_numbers(value: Any) -> None:
    """Raise FieldProblem where a number is larger than any float: it would be lost."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, float) and not math.isfinite(each):
            raise FieldProblem(
                "number_out_of_range", "", "A number in the record is too large."
            )
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each


def parse_loosely(text: bytes) -> Any:
    """`text` parsed as far as it can be; else the text itself. text: JSON by form."""
    try:
        return _any.decode(text)
    except (msgspec.DecodeError, RecursionError):
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            return text.decode("utf-8", "replace")


def parse_json(text: bytes, cause: Exception | None = None) -> Any:
    """`text` by Python's own parser, which takes lone surrogates.

    Raises IngestError (400) when it is not JSON or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_no_constant)
    except RecursionError as exc:
        raise IngestError(
            400, "too_deep", "The body is nested more deeply than is taken."
        ) from exc
    except ValueError as exc:
        reason = str(cause if isinstance(cause, msgspec.DecodeError) else exc)
        raise IngestError(
            400, "not_json", f"This is not JSON: {reason[:_MOST_ERROR_TEXT]}"
        ) from exc


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
