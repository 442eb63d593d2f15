"""JSON as services really send it.

Beside what the standard allows: a byte order mark, another charset than UTF-8, NaN and
Infinity (Python, R), numbers beyond a double, and halves of surrogate pairs (texts that
JavaScript cut inside an emoji).
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any

import msgspec

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# Python refuses to read longer ones.
_MOST_DIGITS = 4000


def decode_text(content: bytes, type: Any = Any, *, charset: str = "") -> Any:
    """The value, checked against a msgspec type. NaN and Infinity are None, numbers
    that fit nowhere are text, half a surrogate pair is U+FFFD.

    charset: what the sender says. Raises msgspec.DecodeError (ValidationError for
    another type), UnicodeDecodeError.
    """
    try:
        return msgspec.json.decode(content, type=type)
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            text = content.decode(encoding_of(content, charset))
            found = _read(text)
        except (ValueError, RecursionError):
            found = msgspec.UNSET
        if found is msgspec.UNSET:
            raise
    return found if type is Any else msgspec.convert(found, type)


def encoding_of(start: bytes, charset: str = "") -> str:
    """The encoding of a text by its byte order mark, else as the sender says."""
    marked = next((name for mark, name in _BOMS if start.startswith(mark)), "")
    return marked or charset or "utf-8"


def _read(text: str) -> Any:
    value = json.loads(
        text,
        parse_constant=lambda _name: None,
        parse_float=_number,
        parse_int=lambda digits: int(digits) if len(digits) < _MOST_DIGITS else digits,
    )
    return _whole(value) if "\\u" in text else value


def _number(text: str) -> Any:
    number = float(text)
    return number if math.isfinite(number) else text


def _whole(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(item) for item in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(item) for name, item in value.items()}
    return value
