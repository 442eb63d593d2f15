"""Merges a source reports: kept while the loser stays gone, for identity to follow.

Facts are not touched: identity resolution re-points the loser to the winner's entity,
and back where the source or a person takes the merge apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from integrations.load import wire
from integrations.load.statements import TABLES
from integrations.quality import usable_ids

TYPES = ("customer", "contact")
"""Record types that stand for somebody."""

_ANY = (
    "SELECT EXISTS (SELECT FROM cg_source_merge WHERE source_id = %s "
    "AND record_type = %s)"
)
_KEEP = """
INSERT INTO cg_source_merge AS m (organization_id, source_id, record_type, loser,
    winner, seen_at)
SELECT %(org)s, %(source)s, %(type)s, loser, winner, %(now)s
FROM unnest(%(losers)s::text[], %(winners)s::text[]) AS given(loser, winner)
ORDER BY loser
ON CONFLICT (source_id, record_type, loser) DO UPDATE SET winner = excluded.winner,
    seen_at = excluded.seen_at
WHERE m.winner <> excluded.winner
RETURNING m.loser, m.winner
"""
_FORGET = """
DELETE FROM cg_source_merge m USING {table} t
WHERE m.source_id = %(source)s AND m.record_type = %(type)s
    AND m.loser = ANY(%(ids)s) AND t.source_id = m.source_id
    AND t.external_id = m.loser AND t.deleted_at IS NULL
    AND t.content_hash IS NOT NULL
RETURNING m.loser, m.winner
"""
_MARK = """
UPDATE {table} t SET identity_stale_at = coalesce(t.identity_stale_at, %(now)s)
FROM (
    SELECT id FROM {table} WHERE source_id = %(source)s
        AND external_id = ANY(%(ids)s)
    ORDER BY external_id FOR NO KEY UPDATE
) touched WHERE t.id = touched.id
"""


def keep(
    cur_or_conn: Any,
    *,
    org_id: int,
    source_id: int,
    record_type: str,
    merged: Mapping[str, str],
    alive: Iterable[str],
    now: datetime,
) -> None:
    """Remember `merged` ({loser: winner}), and forget merges whose loser is among the
    ids `alive` and stands in its table again. Inside the caller's transaction, after
    the page's records were written. Idempotent; other record types are left alone.
    """
    if record_type not in TYPES:
        return
    cur = wire.open_cursor(cur_or_conn)
    if not merged:
        cur.execute(_ANY, [source_id, record_type])
        if cur.fetchone() == (False,):
            return
    table = TABLES[record_type]
    values: dict[str, Any] = {
        "org": org_id,
        "source": source_id,
        "type": record_type,
        "now": now,
        "ids": wire.text_array(usable_ids(list(alive))),
    }
    changed: set[str] = set()
    cur.execute(_FORGET.format(table=table), values)
    changed.update(name for row in cur.fetchall() for name in row)
    pairs = {k: v for k, v in merged.items() if k != v and len(k) <= 255 >= len(v)}
    if pairs:
        values |= {"losers": list(pairs), "winners": list(pairs.values())}
        cur.execute(_KEEP, values)
        changed.update(name for row in cur.fetchall() for name in row)
    if changed:
        cur.execute(_MARK.format(table=table), {**values, "ids": sorted(changed)})
