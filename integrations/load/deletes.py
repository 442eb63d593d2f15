"""The keys a run has seen, inferred deletions, and rows that are there again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from psycopg import Cursor

from integrations.load import wire
from integrations.load.statements import INFERRED, TABLES

_REMEMBER = """
INSERT INTO cg_run_key (run_id, stream, key, content)
SELECT %(run)s, %(stream)s, k.key, k.content
FROM unnest(%(keys)s::text[], %(content)s::bigint[]) AS k(key, content)
ORDER BY k.key ON CONFLICT DO NOTHING RETURNING key
"""
_BURY = """
UPDATE {table} t SET deleted_at = %(at)s, deleted_version = %(inferred)s,
    updated_at = %(at)s
FROM (
    SELECT id FROM {table} WHERE source_id = %(source)s
        AND external_id = ANY(%(ids)s) AND deleted_at IS NULL
        AND organization_id = %(org)s
    ORDER BY external_id FOR NO KEY UPDATE
) gone WHERE t.id = gone.id AND t.deleted_at IS NULL RETURNING {ref}
"""
_REVIVE = """
UPDATE {table} t SET deleted_at = NULL, deleted_version = NULL, updated_at = %(at)s
FROM (
    SELECT id FROM {table} WHERE source_id = %(source)s
        AND external_id = ANY(%(ids)s) AND deleted_at IS NOT NULL
        AND content_hash IS NOT NULL AND organization_id = %(org)s
    ORDER BY external_id FOR NO KEY UPDATE
) back WHERE t.id = back.id AND t.deleted_at IS NOT NULL RETURNING {ref}
"""
_LIVE = """
SELECT count(*) FROM {table} t
WHERE t.organization_id = %(org)s AND t.source_id = %(source)s
    AND t.deleted_at IS NULL AND t.content_hash IS NOT NULL
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


def count_live(
    cur_or_conn: Any, *, org_id: int, source_id: int, record_type: str
) -> int:
    """How many rows of this type the source has alive; what the brake compares with."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(
        _LIVE.format(table=TABLES[record_type]), {"org": org_id, "source": source_id}
    )
    row = cur.fetchone()
    return int(row[0]) if row else 0


def mark_ids(
    cur: Cursor,
    *,
    alive: bool,
    org_id: int,
    source_id: int,
    record_type: str,
    external_ids: Sequence[str],
    at: datetime,
) -> list[int | None]:
    """Set undated tombstones, or take tombstones away, whoever dated them; values stay.
    Returns the identity of each row that was otherwise before. Idempotent.

    Any record of the source that arrives later revives what was buried here. Of the
    dead, only rows that have values come back.
    """
    if not external_ids:
        return []
    ref = "t.id" if record_type == "customer" else "t.customer_source_id"
    cur.execute(
        (_REVIVE if alive else _BURY).format(table=TABLES[record_type], ref=ref),
        {
            "org": org_id,
            "source": source_id,
            "ids": list(external_ids),
            "at": at,
            "inferred": INFERRED,
        },
    )
    return [row[0] for row in cur.fetchall()]
