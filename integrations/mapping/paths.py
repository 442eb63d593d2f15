"""Reading one value out of a provider's object by a dotted path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Getter = Callable[[Any], Any]


def getter(path: str) -> Getter:
    """A function for "a.b.0.c"; it gives None where a part is missing.

    A key that itself contains dots is tried as a whole first.
    """
    parts = path.split(".")
    if len(parts) == 1:

        def plain(raw: Any) -> Any:
            # The exact type first: the abstract check costs more than all the rest.
            if type(raw) is dict or isinstance(raw, Mapping):
                return raw.get(path)
            return None

        return plain

    def dotted(raw: Any) -> Any:
        if type(raw) is dict and path in raw:
            return raw[path]
        at = raw
        for part in parts:
            if type(at) is dict or isinstance(at, Mapping):
                at = at.get(part)
            elif isinstance(at, (list, tuple)):
                at = _item(at, part)
            else:
                return None
        return at

    return dotted


def _item(rows: list[Any] | tuple[Any, ...], part: str) -> Any:
    digits = part.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9:
        return None
    index = int(part)
    return rows[index] if -len(rows) <= index < len(rows) else None
