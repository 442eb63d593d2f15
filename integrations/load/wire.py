"""PostgreSQL's binary formats, for the two places where psycopg's adaptation of Python
lists costs more than the statement: long arrays, and the rows of a COPY.

Formats: postgresql.org/docs/current/sql-copy.html (binary), and array_recv in
src/backend/utils/adt/arrayfuncs.c (ndim, flags, element oid, length, lower bound).
"""

from __future__ import annotations

import struct
import weakref
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import psycopg
from psycopg import Connection, Cursor
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import tuple_row

PG_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
COPY_HEADER = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"
COPY_TRAILER = b"\xff\xff"
INT8, TEXT, FLOAT8, TIMESTAMPTZ, UUID, JSONB = 20, 25, 701, 1184, 2950, 3802
_EMPTY = struct.Struct(">iiI")
_HEAD = struct.Struct(">iiIii")
_SIZE = struct.Struct(">i").pack
_BIGINT = struct.Struct(">iq").pack
_NULL = b"\xff\xff\xff\xff"


class UuidArray(bytes):
    """A ready uuid[] parameter."""


class Int8Array(bytes):
    """A ready bigint[] parameter."""


class TextArray(bytes):
    """A ready text[] parameter."""


class FloatArray(bytes):
    """A ready double precision[] parameter."""


class TimeArray(bytes):
    """A ready timestamptz[] parameter."""


class JsonbArray(bytes):
    """A ready jsonb[] parameter."""


class _ArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


_DUMPERS = {
    cls: type(f"_{cls.__name__}Dumper", (_ArrayDumper,), {"oid": oid})
    for cls, oid in (
        (UuidArray, 2951),
        (Int8Array, 1016),
        (TextArray, 1009),
        (FloatArray, 1022),
        (TimeArray, 1185),
        (JsonbArray, 3807),
    )
}
"""Parameter class -> dumper with the oid of the array type."""


_prepared: weakref.WeakSet[Connection[Any]] = weakref.WeakSet()
# Connections that know our parameter classes.


def uuid_array(values: list[bytes]) -> UuidArray:
    """values: 16 bytes each."""
    return UuidArray(_array(UUID, values, b"\0\0\0\x10"))


def int8_array(values: list[bytes]) -> Int8Array:
    """values: 8 bytes each, big-endian signed."""
    return Int8Array(_array(INT8, values, b"\0\0\0\x08"))


def text_array(values: Iterable[str]) -> TextArray:
    """A text[] parameter."""
    encoded = list(map(str.encode, values))
    return TextArray(array_of(TEXT, [_SIZE(len(each)) + each for each in encoded]))


def bigint_array(values: Iterable[int | None]) -> Int8Array:
    """A bigint[] parameter."""
    return Int8Array(
        array_of(INT8, [_NULL if n is None else _BIGINT(8, n) for n in values])
    )


def array_of(oid: int, elements: list[bytes]) -> bytes:
    """An array of `oid`; elements: each with its 4-byte length before it, -1 = null."""
    if not elements:
        return _EMPTY.pack(0, 0, oid)
    return _HEAD.pack(1, 1, oid, len(elements), 1) + b"".join(elements)


def micros(moment: datetime) -> int:
    """Microseconds since 2000-01-01 UTC, PostgreSQL's timestamptz."""
    passed = moment - PG_EPOCH
    return (
        passed.days * 86_400_000_000 + passed.seconds * 1_000_000 + passed.microseconds
    )


def open_cursor(cur_or_conn: Any) -> Cursor[tuple[Any, ...]]:
    """A server-side-binding cursor on the psycopg connection behind `cur_or_conn`.

    cur_or_conn: a psycopg connection or cursor, or Django's wrapper of either.
    """
    conn = cur_or_conn
    while not isinstance(conn, Connection):
        conn = conn.connection
    if conn not in _prepared:
        for cls, dumper in _DUMPERS.items():
            conn.adapters.register_dumper(cls, dumper)
        _prepared.add(conn)
    return psycopg.Cursor(conn, row_factory=tuple_row)


def chunks(rows: Iterable[bytes], *, most: int = 1000) -> Iterator[bytes]:
    """Rows of a binary COPY joined into a few large writes, header and trailer in."""
    buffer = [COPY_HEADER]
    for row in rows:
        buffer.append(row)
        if len(buffer) >= most:
            yield b"".join(buffer)
            buffer.clear()
    buffer.append(COPY_TRAILER)
    yield b"".join(buffer)


def _array(oid: int, values: list[bytes], size: bytes) -> bytes:
    if not values:
        return _EMPTY.pack(0, 0, oid)
    return _HEAD.pack(1, 0, oid, len(values), 1) + size + size.join(values)
