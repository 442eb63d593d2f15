"""Query results as numpy columns: one binary value a column, not an object a cell."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from psycopg import Cursor

from analytics.health import Floats, Ints

_COPY_HEAD = 21
"""Bytes of a binary COPY before the first field of its first row."""
_ARRAY_HEAD = 5
"""Words before the items of a binary array of one dimension: dimensions, null flag,
type, length, first index (postgres src/backend/utils/adt/arrayfuncs.c, array_send)."""


def read(
    cur: Cursor, sql: str, parameters: Mapping[str, Any], names: tuple[str, ...]
) -> dict[str, Floats]:
    """Column name -> (rows,) floats; null is NaN. sql: a query with columns `names`
    that are numbers; whole ones are exact below 2**53."""
    columns = ", ".join(map(_column, names))
    row = _only_row(cur, f"SELECT {columns} FROM ({sql}) found", parameters)
    return {name: _floats(data) for name, data in zip(names, row, strict=True)}


def read_days(
    cur: Cursor, sql: str, parameters: Mapping[str, Any], names: tuple[str, ...], n: int
) -> tuple[dict[str, Floats], Ints]:
    """As `read`, and (rows, n) whole numbers of the query's column `days`, an int[] of
    exactly n items."""
    columns = ", ".join(map(_column, names))
    *row, packed = _only_row(
        cur,
        f"SELECT {columns}, string_agg(array_send(found.days), '') FROM ({sql}) found",
        parameters,
    )
    item = np.dtype([("size", ">i4"), ("value", ">i4")])
    line = np.dtype([("head", ">i4", (_ARRAY_HEAD,)), ("item", item, (n,))])
    return (
        {name: _floats(data) for name, data in zip(names, row, strict=True)},
        np.frombuffer(packed, line)["item"]["value"].astype(np.int64),
    )


def _column(name: str) -> str:
    return f"string_agg(float8send(coalesce(found.{name}::float8, 'NaN')), '')"


def _floats(data: bytes) -> Floats:
    return np.frombuffer(data, ">f8").astype(float)


def _only_row(cur: Cursor, sql: str, parameters: Mapping[str, Any]) -> list[bytes]:
    # By COPY, because a cursor that binds on the client has no binary results.
    with cur.copy(f"COPY ({sql}) TO STDOUT (FORMAT binary)", parameters) as copy:
        data = b"".join(copy)
    (count,) = struct.unpack_from(">h", data, _COPY_HEAD - 2)
    fields, at = [], _COPY_HEAD
    for _number in range(count):
        (size,) = struct.unpack_from(">i", data, at)
        at += 4
        fields.append(data[at : at + max(size, 0)])
        at += max(size, 0)
    return fields
