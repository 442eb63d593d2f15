"""A segment's definition: from JSON to a checked tree.

A node is a condition {"field", "op", "value"} (and "event", "days" or "path" where the
field asks for them), {"and": [nodes]}, {"or": [nodes]} or {"not": node}. What is unset
meets no condition but "!=", "not_in" and "is_not_set".
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from analytics.segments.fields import FIELD_BY_NAME, Field
from churnguard.errors import ConfigError

MOST_CONDITIONS = 50
DEEPEST = 6
MOST_VALUES = 200
LONGEST_TEXT = 300
LONGEST_PATH = 5
MOST_DAYS = 3650
MOST_EVENT_DAYS = 800
LARGEST = 10**15

Errors = dict[str, str]


@dataclass(frozen=True, slots=True)
class Condition:
    """sort: how the value compares (text, number, time, flag or none). value: one, a
    tuple for in, not_in and between, None for is_set and is_not_set."""

    field: Field
    op: str
    value: Any
    sort: str
    event: str = ""
    days: int = 0
    path: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """All (and) or any (or) of the nodes."""

    word: str
    nodes: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    node: Node


Node = Condition | Group | Negation


def parse(definition: Any, at: str = "definition") -> Node:
    """The checked tree. Raises ConfigError that names each fault by its path, as in
    “definition.and.0.value”."""
    errors: Errors = {}
    reader = _Reader(errors)
    node = reader.node(definition, at, 1)
    if reader.conditions > MOST_CONDITIONS:
        errors[at] = f"at most {MOST_CONDITIONS} conditions"
    if errors or node is None:
        raise ConfigError(
            "This definition is not valid.", code="invalid_definition", fields=errors
        )
    return node


class _Reader:
    def __init__(self, errors: Errors) -> None:
        self.errors = errors
        self.conditions = 0

    def node(self, given: Any, at: str, depth: int) -> Node | None:
        if not isinstance(given, dict):
            self.errors[at] = "an object: a condition, or one of and, or, not"
            return None
        if depth > DEEPEST:
            self.errors[at] = f"at most {DEEPEST} levels"
            return None
        words = [word for word in ("and", "or", "not") if word in given]
        if not words:
            return self.condition(given, at)
        if len(given) != 1:
            self.errors[at] = "exactly one of and, or, not, and nothing beside it"
            return None
        (word,) = words
        if word == "not":
            inner = self.node(given["not"], f"{at}.not", depth + 1)
            return None if inner is None else Negation(inner)
        return self.group(word, given[word], f"{at}.{word}", depth)

    def group(self, word: str, given: Any, at: str, depth: int) -> Node | None:
        if not isinstance(given, list) or not given:
            self.errors[at] = "a list with at least one condition"
            return None
        if len(given) > MOST_CONDITIONS:
            self.errors[at] = f"at most {MOST_CONDITIONS} conditions"
            return None
        nodes = [self.node(one, f"{at}.{n}", depth + 1) for n, one in enumerate(given)]
        if any(node is None for node in nodes):
            return None
        return Group(word, tuple(node for node in nodes if node is not None))

    def condition(self, given: dict[str, Any], at: str) -> Condition | None:
        self.conditions += 1
        before = len(self.errors)
        name, op = given.get("field"), given.get("op")
        field = FIELD_BY_NAME.get(name) if isinstance(name, str) else None
        if field is None:
            self.errors[f"{at}.field"] = "one of the fields of /segments/fields"
            return None
        if not isinstance(op, str) or op not in field.ops:
            self.errors[f"{at}.op"] = f"one of {', '.join(field.ops)}"
            return None
        allowed = {"field", "op", "value", *field.asks}
        for key in given:
            if key not in allowed:
                self.errors[f"{at}.{key[:80]}"] = "not known here"
        extra = {ask: _ASKS[ask](given.get(ask)) for ask in field.asks}
        for ask, found in extra.items():
            if isinstance(found, _Fault):
                self.errors[f"{at}.{ask}"] = found.text
        value: Any = None
        sort = "none"
        if op in ("is_set", "is_not_set"):
            if given.get("value") is not None:
                self.errors[f"{at}.value"] = "nothing: this operator takes no value"
        else:
            sort = sort_of(field, op, given.get("value"))
            value = _value(field, op, sort, given.get("value"))
            if isinstance(value, _Fault):
                self.errors[f"{at}.value"] = value.text
        if len(self.errors) > before:
            return None
        return Condition(field, op, value, sort, **extra)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What would be right instead."""

    text: str


def sort_of(field: Field, op: str, value: Any) -> str:
    """How the value compares: by the field, for own fields by the operator and the
    JSON type of the value."""
    if field.kind in ("text", "choice", "set"):
        return "text"
    if field.kind in ("number", "money"):
        return "number"
    if field.kind == "time" or op in ("before", "after", "in_last_days",
                                      "in_next_days"):  # fmt: skip
        return "time"
    if op in ("contains", "starts_with"):
        return "text"
    one = value[0] if isinstance(value, list) and value else value
    if isinstance(one, str) and op == "between":
        return "time"
    if op in ("<", "<=", ">", ">=", "between"):
        return "number"
    if isinstance(one, bool):
        return "flag"
    return "number" if isinstance(one, int | float) else "text"


def _value(field: Field, op: str, sort: str, given: Any) -> Any:
    """The value as Python compares it, or what is wrong with it."""
    if op in ("in_last_days", "in_next_days"):
        return _whole(given, MOST_DAYS)
    read = _READERS[sort]
    if op in ("in", "not_in"):
        if sort == "flag":
            return _Fault("a list of texts or of numbers")
        if not isinstance(given, list) or not 1 <= len(given) <= MOST_VALUES:
            return _Fault(f"a list of 1 to {MOST_VALUES} values")
        return _each([read(field, one) for one in given])
    if op == "between":
        if not isinstance(given, list) or len(given) != 2:
            return _Fault("a list of two values, the smaller first")
        pair = _each([read(field, one) for one in given])
        if not isinstance(pair, _Fault) and pair[0] > pair[1]:
            return _Fault("a list of two values, the smaller first")
        return pair
    return read(field, given)


def _each(values: list[Any]) -> Any:
    for value in values:
        if isinstance(value, _Fault):
            return _Fault(f"{value.text}, each")
    return tuple(values)


def _read_text(field: Field, given: Any) -> Any:
    if field.choices:
        if not isinstance(given, str) or given not in field.choices:
            return _Fault(f"one of {', '.join(field.choices)}")
        return given
    if not _is_text(given):
        return _Fault(f"a text of 1 to {LONGEST_TEXT} characters")
    return given.upper() if field.name == "currency" else given


def _read_number(_field: Field, given: Any) -> Any:
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or abs(given) > LARGEST:
        return _Fault("a number")
    return given


def _read_day(_field: Field, given: Any) -> Any:
    try:
        day = date.fromisoformat(given) if isinstance(given, str) else date.min
    except ValueError:
        day = date.min
    if not 1971 <= day.year <= 2199:
        return _Fault("a day as YYYY-MM-DD")
    return day


def _read_flag(_field: Field, given: Any) -> Any:
    return given if isinstance(given, bool) else _Fault("true or false")


_READERS: dict[str, Callable[[Field, Any], Any]] = {
    "text": _read_text,
    "number": _read_number,
    "time": _read_day,
    "flag": _read_flag,
}


def _whole(given: Any, most: int) -> Any:
    is_whole = isinstance(given, int) and not isinstance(given, bool)
    if not is_whole or not 1 <= given <= most:
        return _Fault(f"a whole number from 1 to {most}")
    return given


def _event(given: Any) -> Any:
    if given in (None, ""):
        return ""
    if not _is_text(given):
        return _Fault(f"an event name of at most {LONGEST_TEXT} characters, or empty")
    return given


def _path(given: Any) -> Any:
    if (
        not isinstance(given, list)
        or not 1 <= len(given) <= LONGEST_PATH
        or not all(_is_text(key) for key in given)
    ):
        return _Fault(f"a list of 1 to {LONGEST_PATH} names")
    return tuple(given)


_ASKS: dict[str, Callable[[Any], Any]] = {
    "event": _event,
    "days": lambda given: _whole(given, MOST_EVENT_DAYS),
    "path": _path,
}


def _is_text(given: Any) -> bool:
    """Not empty, not too long, and something PostgreSQL can hold."""
    if not isinstance(given, str) or not 1 <= len(given) <= LONGEST_TEXT:
        return False
    return not any(char == "\x00" or "\ud800" <= char <= "\udfff" for char in given)
