"""The hub's reads: notes as ready messages, straight from PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import psycopg
from django.db import connections

Key = tuple[int, str]

QUERY_TIMEOUT_S = 10.0
FETCH_MOST = 2000
"""Notes read at once over all channels."""

_COLUMNS = """
n.organization_id, n.channel, n.seq,
to_char(n.created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
n.payload::text
"""


@dataclass(slots=True, frozen=True)
class Note:
    """`text` is the message as sockets get it."""

    key: Key
    seq: int
    text: str


async def connect() -> psycopg.AsyncConnection:
    """A connection of the hub's own, in autocommit, to Django's default database."""
    given: dict[str, Any] = connections["default"].get_connection_params()
    params = {
        name: value
        for name, value in given.items()
        if name not in ("cursor_factory", "context", "prepare_threshold")
    }
    params["connect_timeout"] = 5
    return await psycopg.AsyncConnection.connect(
        **params, autocommit=True, application_name="churnguard-hub"
    )


async def current(conn: psycopg.AsyncConnection, key: Key) -> int:
    """The last sequence number of a channel; 0 before its first note."""
    found = await conn.execute(
        "SELECT seq FROM cg_stream_sequence "
        "WHERE organization_id = %s AND channel = %s",
        key,
    )
    row = await found.fetchone()
    return row[0] if row else 0


async def newer(conn: psycopg.AsyncConnection, behind: dict[Key, int]) -> list[Note]:
    """Notes after each key's number, in order per key; FETCH_MOST at most."""
    keys = list(behind)
    found = await conn.execute(
        f"SELECT {_COLUMNS} FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) "
        "AS k (org, channel, seq) JOIN LATERAL (SELECT * FROM cg_stream_note n "
        "WHERE n.organization_id = k.org AND n.channel = k.channel AND n.seq > k.seq "
        "ORDER BY n.seq LIMIT %s) n ON true "
        "ORDER BY n.organization_id, n.channel, n.seq LIMIT %s",
        [
            [key[0] for key in keys],
            [key[1] for key in keys],
            list(behind.values()),
            FETCH_MOST,
            FETCH_MOST,
        ],
    )
    return [_note(row) for row in await found.fetchall()]


async def replay(
    conn: psycopg.AsyncConnection, key: Key, since: int, upto: int
) -> list[Note]:
    """The notes of `key` with since < seq <= upto that still exist, in order."""
    found = await conn.execute(
        f"SELECT {_COLUMNS} FROM cg_stream_note n WHERE n.organization_id = %s "
        "AND n.channel = %s AND n.seq > %s AND n.seq <= %s ORDER BY n.seq",
        [*key, since, upto],
    )
    return [_note(row) for row in await found.fetchall()]


def _note(row: tuple[int, str, int, str, str]) -> Note:
    org_id, channel, seq, at, payload = row
    text = (
        f'{{"type":"note","channel":"{channel}","seq":{seq},"at":"{at}",'
        f'"data":{payload}}}'
    )
    return Note((org_id, channel), seq, text)
