"""The keys a run has seen, what it has not seen, and inferred deletions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from psycopg import Cursor

from integrations.load import customers, wire
from integrations.load.statements import INFERRED, TABLES

_REMEMBER = """
INSERT INTO cg_run_key (run_id, stream, key, content)
SELECT %(run)s, %(stream)s, k.key, k.content
FROM unnest(%(keys)s::text[], %(content)s::bigint[]) AS k(key, content)
ORDER BY k.key ON CONFLICT DO NOTHING RETURNING key
"""
_MARK = """
UPDATE {table} t SET deleted_at = %(at)s, deleted_version = %(inferred)s,
    updated_at = %(at)s
FROM (
    SELECT id FROM {table} WHERE source_id = %(source)s
        AND external_id = ANY(%(ids)s) AND deleted_at IS NULL
        AND organization_id = %(org)s
    ORDER BY external_id FOR NO KEY UPDATE
) gone WHERE t.id = gone.id AND t.deleted_at IS NULL RETURNING {ref}
"""
_MISSING = """
SELECT t.external_id FROM {table} t
WHERE t.organization_id = %(org)s AND t.source_id = %(source)s
    AND t.deleted_at IS NULL AND t.content_hash IS NOT NULL {kind}
    AND NOT EXISTS (
        SELECT FROM cg_run_key k WHERE k.run_id = %(run)s AND k.stream = %(stream)s
            AND k.key = %(prefix)s || t.external_id)
ORDER BY t.external_id LIMIT %(limit)s
"""
_LIVE = """
SELECT count(*) FROM {table} t
WHERE t.organization_id = %(org)s AND t.source_id = %(source)s
    AND t.deleted_at IS NULL AND t.content_hash IS NOT NULL {kind}
"""


def key_of(record_type: str, stored_id: str) -> str:
    """The key of a record in `cg_run_key`."""
    return f"{record_type}:{stored_id}"


def remember(
    cur: Cursor, *, run_id: int, stream: str, keys: dict[str, int | None]
) -> dict[str, int | None]:
    """Keep the keys (with content hashes) of a run.

    Returns those that were there already, with the content kept for them.
    """
    cur.execute(
        _REMEMBER,
        {
            "run": run_id,
            "stream": stream,
            "keys": wire.text_array(keys),
            "content": wire.bigint_array(keys.values()),
        },
    )
    new = {row[0] for row in cur.fetchall()}
    if len(new) == len(keys):
        return {}
    cur.execute(
        "SELECT key, content FROM cg_run_key "
        "WHERE run_id = %s AND stream = %s AND key = ANY(%s)",
        [run_id, stream, [key for key in keys if key not in new]],
    )
    return dict(cur.fetchall())


def remember_ids(
    cur_or_conn: Any, *, run_id: int, stream: str, record_type: str, ids: Iterable[str]
) -> None:
    """Note ids that exist at the source (an id-only sweep). Idempotent.

    ids: as stored, so "<kind>:<id>" for objects.
    """
    keys: dict[str, int | None] = {key_of(record_type, each): None for each in ids}
    if keys:
        cur = wire.open_cursor(cur_or_conn)
        remember(cur, run_id=run_id, stream=stream, keys=keys)


def missing_ids(
    cur_or_conn: Any,
    *,
    org_id: int,
    source_id: int,
    record_type: str,
    run_id: int,
    stream: str,
    kind: str = "",
    limit: int = 100_000,
) -> list[str]:
    """Stored ids, alive, whose key the run has not seen; at most `limit`, in order.

    kind: for record_type "object", the kind whose objects the stream holds.
    """
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(
        _MISSING.format(table=TABLES[record_type], kind=_kind_filter(kind)),
        {
            "org": org_id,
            "source": source_id,
            "run": run_id,
            "stream": stream,
            "prefix": key_of(record_type, ""),
            "kind": kind,
            "limit": limit,
        },
    )
    return [row[0] for row in cur.fetchall()]


def count_live(
    cur_or_conn: Any, *, org_id: int, source_id: int, record_type: str, kind: str = ""
) -> int:
    """How many rows of this type the source has alive; what the brake compares with."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(
        _LIVE.format(table=TABLES[record_type], kind=_kind_filter(kind)),
        {"org": org_id, "source": source_id, "kind": kind},
    )
    row = cur.fetchone()
    return int(row[0]) if row else 0


def mark_deleted(
    cur_or_conn: Any,
    *,
    org_id: int,
    source_id: int,
    record_type: str,
    external_ids: Sequence[str],
    at: datetime,
) -> int:
    """Set undated tombstones; values stay. Returns how many rows were alive before.

    Any record of the source that arrives later revives its row. Idempotent.
    """
    cur = wire.open_cursor(cur_or_conn)
    refs = bury_ids(
        cur,
        org_id=org_id,
        source_id=source_id,
        record_type=record_type,
        external_ids=external_ids,
        at=at,
    )
    customers.mark_stale(cur, (ref for ref in refs if ref), at)
    return len(refs)


def bury_ids(
    cur: Cursor,
    *,
    org_id: int,
    source_id: int,
    record_type: str,
    external_ids: Sequence[str],
    at: datetime,
) -> list[int | None]:
    """`mark_deleted` without marking customers: the identity of each row it buried."""
    if not external_ids:
        return []
    ref = "t.id" if record_type == "customer" else "t.customer_source_id"
    cur.execute(
        _MARK.format(table=TABLES[record_type], ref=ref),
        {
            "org": org_id,
            "source": source_id,
            "ids": list(external_ids),
            "at": at,
            "inferred": INFERRED,
        },
    )
    return [row[0] for row in cur.fetchall()]


def forget_keys(cur_or_conn: Any, *, run_id: int) -> int:
    """Drop the keys of a run that has ended; returns how many."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute("DELETE FROM cg_run_key WHERE run_id = %s", [run_id])
    return cur.rowcount


def _kind_filter(kind: str) -> str:
    return "AND t.kind = %(kind)s" if kind else ""
