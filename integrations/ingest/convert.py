"""A sender's JSON object as a unified record: names, types and times put right.

Keys are those of `churnguard.records`, with `id` for external_id (and `customer_id`
for a customer's own id). A key that the type does not know goes to `custom`; of an
event, to `properties`.
"""

from __future__ import annotations

import math
import typing
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any

from churnguard.records import ENTITY_TYPES, RECORD_TYPES, EventRecord, Record
from integrations.ingest.times import parse_time

_KEPT = frozenset({"type", "id", "raw"})


class FieldProblem(Exception):
    """A record cannot be made: code, field, and a sentence."""

    def __init__(self, code: str, field: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field
        self.detail = detail


def type_of(obj: dict[str, Any]) -> str:
    """The record type of an object; absent = event. Raises FieldProblem."""
    kind = obj.get("type", "event")
    if not isinstance(kind, str) or kind not in RECORD_TYPES:
        raise FieldProblem(
            "unknown_type",
            "type",
            f"type is {_show(kind)}; legal are {', '.join(sorted(RECORD_TYPES))}.",
        )
    return kind


def external_id_of(obj: dict[str, Any], kind: str) -> str:
    """The record's own id as text, or "" where it has none that could be used."""
    for name in _id_names(kind):
        value = obj.get(name)
        if isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    return ""


def to_entity(obj: dict[str, Any], kind: str) -> Record:
    """The record in `obj`, of any type but event. Raises FieldProblem."""
    known = _fields(kind)
    external_id = external_id_of(obj, kind)
    if not external_id:
        names = " or ".join(_id_names(kind))
        raise FieldProblem("id_missing", "external_id", f"The record has no {names}.")
    values: dict[str, Any] = {"external_id": external_id, "raw": obj}
    custom = obj.get("custom")
    if custom is None:
        custom = {}
    if not isinstance(custom, dict):
        raise FieldProblem("wrong_type", "custom", "custom must be an object.")
    extra = {}
    for name, value in obj.items():
        convert = known.get(name)
        if convert is not None:
            if value is not None:
                values[name] = _convert(name, value, convert)
        elif name not in _KEPT and name not in _id_names(kind) and name != "custom":
            extra[name] = value
    values["custom"] = {**extra, **custom} if extra else custom
    return ENTITY_TYPES[kind](**values)


def to_event(obj: dict[str, Any]) -> dict[str, Any]:
    """The fields of an event: event_id, event, customer_id, user_id, timestamp, value
    (None where absent) and properties. Raises FieldProblem."""
    name = obj.get("event")
    if name is None:
        raise FieldProblem("event_missing", "event", "The event has no name (event).")
    properties = obj.get("properties")
    if properties is None:
        properties = {}
    if not isinstance(properties, dict):
        raise FieldProblem("wrong_type", "properties", "properties must be an object.")
    extra = {
        key: value
        for key, value in obj.items()
        if key not in _EVENT_FIELDS and key != "type" and key not in properties
    }
    out = {
        key: _convert(key, obj[key], convert) if obj.get(key) is not None else None
        for key, convert in _EVENT_FIELDS.items()
        if key != "properties"
    }
    out["properties"] = {**properties, **extra} if extra else properties
    return out


def _convert(name: str, value: Any, convert: Callable[[Any], Any]) -> Any:
    try:
        return convert(value)
    except (ValueError, TypeError, OverflowError) as exc:
        code = "bad_timestamp" if convert is parse_time else "wrong_type"
        raise FieldProblem(
            code, name, f"{name} is {_show(value)}, not {_EXPECTED[convert]}."
        ) from exc


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError
    return value if isinstance(value, str) else str(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, float) and not value.is_integer():
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    number = float(value)
    if not math.isfinite(number):
        raise ValueError
    return number


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in _TRUTHS:
        return _TRUTHS[value.lower()]
    if value in (0, 1):
        return bool(value)
    raise ValueError


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError
    return value


def _objects(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


_TRUTHS = {
    "true": True,
    "yes": True,
    "1": True,
    "false": False,
    "no": False,
    "0": False,
}
_EXPECTED: dict[Callable[[Any], Any], str] = {
    _text: "text",
    _integer: "a whole number",
    _number: "a finite number",
    _truth: "true or false",
    _object: "an object",
    _objects: "a list",
    parse_time: "an ISO 8601 time or a Unix time in seconds or milliseconds",
}
_BY_TYPE: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    int: _integer,
    float: _number,
    bool: _truth,
    datetime: parse_time,
}
_EVENT_FIELDS: dict[str, Callable[[Any], Any]] = {
    "event_id": _text,
    "event": _text,
    "timestamp": parse_time,
    "customer_id": _text,
    "user_id": _text,
    "value": _number,
    "properties": _object,
}
assert set(_EVENT_FIELDS) == set(EventRecord.__struct_fields__)


@lru_cache
def _fields(kind: str) -> dict[str, Callable[[Any], Any]]:
    record = ENTITY_TYPES[kind]
    hints = typing.get_type_hints(record)
    return {
        name: _converter(hints[name])
        for name in record.__struct_fields__
        if name not in {"external_id", "raw", "custom"}
    }


def _converter(hint: Any) -> Callable[[Any], Any]:
    options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
    if typing.get_origin(hint) in (dict, list):
        return _objects if typing.get_origin(hint) is list else _object
    return _BY_TYPE[options[0] if options else hint]


@lru_cache
def _id_names(kind: str) -> tuple[str, ...]:
    names = ("external_id", "id")
    return (*names, "customer_id") if kind == "customer" else names


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
