"""PostgreSQL's binary formats, for the two places where psycopg's adaptation of Python
lists costs more than the statement: long arrays, and the rows of a COPY.

Formats: postgresql.org/docs/current/sql-copy.html (binary), and array_recv in
src/backend/utils/adt/arrayfuncs.c (ndim, flags, element oid, length, lower bound).
"""

from __future__ import annotations

import struct
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
_UUID, _INT8 = 2950, 20
_EMPTY = struct.Struct(">iiI")
_HEAD = struct.Struct(">iiIii")


class UuidArray(bytes):
    """A ready uuid[] parameter."""


class Int8Array(bytes):
    """A ready bigint[] parameter."""


class _UuidArrayDumper(Dumper):
    format = Format.BINARY
    oid = 2951

    def dump(self, obj: Any) -> bytes:
        return bytes(obj)


class _Int8ArrayDumper(_UuidArrayDumper):
    oid = 1016


def uuid_array(values: list[bytes]) -> UuidArray:
    """values: 16 bytes each."""
    return UuidArray(_array(_UUID, values, b"\0\0\0\x10"))


def int8_array(values: list[bytes]) -> Int8Array:
    """values: 8 bytes each, big-endian signed."""
    return Int8Array(_array(_INT8, values, b"\0\0\0\x08"))


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
    cur = psycopg.Cursor(conn, row_factory=tuple_row)
    cur.adapters.register_dumper(UuidArray, _UuidArrayDumper)
    cur.adapters.register_dumper(Int8Array, _Int8ArrayDumper)
    return cur


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
