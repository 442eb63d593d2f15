"""The history of subscriptions: one row per version that differs from the one before.

A version that arrives late gets its place by the source's time, so the history does
not depend on the order of arrival.
"""

from __future__ import annotations

from datetime import datetime

from psycopg import Cursor

from integrations.load.entities import encode_records
from integrations.load.lots import Entry
from integrations.load.statements import staged

_VALUES = ("status", "plan", "quantity", "currency", "mrr_minor")

_STATEMENT = f"""
WITH s AS MATERIALIZED (
    SELECT t.id, s.*, s.place AS nr, coalesce(s.source_updated_at,
            CASE WHEN c.id IS NULL THEN s.started_at END,
            %(received)s + s.place * interval '1 microsecond') AS effective_at
    FROM {staged("subscription")}
    JOIN cg_subscription t
        ON t.source_id = %(source)s AND t.external_id = s.external_id
    LEFT JOIN LATERAL (
        SELECT id FROM cg_subscription_change c WHERE c.subscription_id = t.id LIMIT 1
    ) c ON true
), ordered AS (
    SELECT s.*, lag(s.place) OVER w AS sibling,
        {", ".join(f"lag(s.{name}) OVER w AS before_{name}" for name in _VALUES)}
    FROM s WINDOW w AS (PARTITION BY s.id ORDER BY s.effective_at, s.place)
)
INSERT INTO cg_subscription_change (organization_id, subscription_id, effective_at,
    known_at, {", ".join(_VALUES)})
SELECT %(org)s, o.id, o.effective_at, %(received)s,
    {", ".join(f"o.{name}" for name in _VALUES)}
FROM ordered o LEFT JOIN LATERAL (
    SELECT c.* FROM cg_subscription_change c
    WHERE c.subscription_id = o.id AND c.effective_at <= o.effective_at
    ORDER BY c.effective_at DESC, c.id DESC LIMIT 1
) p ON true
WHERE CASE WHEN o.sibling IS NOT NULL
    THEN ({", ".join(f"o.{name}" for name in _VALUES)}) IS DISTINCT FROM
        ({", ".join(f"o.before_{name}" for name in _VALUES)})
    ELSE p.id IS NULL OR ({", ".join(f"o.{name}" for name in _VALUES)})
        IS DISTINCT FROM ({", ".join(f"p.{name}" for name in _VALUES)})
    END
ORDER BY o.id, o.effective_at, o.place
"""


def record_changes(
    cur: Cursor,
    entries: list[Entry],
    *,
    org_id: int,
    source_id: int,
    received_at: datetime,
) -> None:
    """Add the versions in `entries` to the history. Idempotent per version."""
    if not entries:
        return
    cur.execute(
        _STATEMENT,
        {
            "org": org_id,
            "source": source_id,
            "received": received_at,
            "rows": encode_records(entries),
            "stored_ids": [e.stored_id for e in entries],
            "content": [e.content for e in entries],
            "refs": [None] * len(entries),
            "places": [e.index for e in entries],
        },
    )
