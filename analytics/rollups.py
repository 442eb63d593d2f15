"""Folding stored events into the rollups, each batch exactly once.

A batch is folded in the transaction that marks it folded, so a kill leaves either
nothing or everything. One folder works at a time (advisory lock): two could meet on
the same rollup rows in different orders.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from psycopg import Cursor

from churnguard.stream import notes

log = logging.getLogger(__name__)

WINDOW_DAYS = 128
"""Length of UsageWindow.days; the SQL functions of migration 0002 know it too."""

_LOCK = 7_220_002
_BATCHES = 2_000
_EVENTS = 150_000
"""Most of a lot: a longer one updates each customer's rows less often, but keeps them
locked longer."""

_CLAIM = """
WITH due AS (
    SELECT id, events, sum(events) OVER (ORDER BY id) AS running
    FROM (SELECT id, events FROM cg_batch
          WHERE folded_at IS NULL AND events > 0 ORDER BY id LIMIT %s) first
)
UPDATE cg_batch SET folded_at = %s
WHERE id IN (SELECT id FROM due WHERE running - events < %s)
RETURNING id
"""

_STAGE_TABLE = """
CREATE TEMP TABLE IF NOT EXISTS fold_stage (
    organization_id bigint, ref bigint, day date, hour timestamptz, name text,
    user_key text, n bigint, value_sum double precision,
    first_at timestamptz, last_at timestamptz
) ON COMMIT DELETE ROWS
"""

_STAGE = """
INSERT INTO fold_stage
SELECT e.organization_id, e.customer_source_id, (e.ts AT TIME ZONE o.timezone)::date,
       date_trunc('hour', e.ts), e.name, e.user_key, count(*),
       coalesce(sum(e.value), 0), min(e.ts), max(e.ts)
FROM cg_usage_event e JOIN cg_organization o ON o.id = e.organization_id
WHERE e.batch_id = ANY(%s)
GROUP BY 1, 2, 3, 4, 5, 6
"""

_UPSERTS = (
    """
INSERT INTO cg_org_hour AS t (organization_id, hour, name, n, value_sum)
SELECT organization_id, hour, name, sum(n), sum(value_sum)
FROM fold_stage GROUP BY 1, 2, 3
ON CONFLICT (organization_id, hour, name) DO UPDATE
SET n = t.n + excluded.n, value_sum = t.value_sum + excluded.value_sum
""",
    """
INSERT INTO cg_org_day AS t (organization_id, day, name, n, value_sum)
SELECT organization_id, day, name, sum(n), sum(value_sum)
FROM fold_stage GROUP BY 1, 2, 3
ON CONFLICT (organization_id, day, name) DO UPDATE
SET n = t.n + excluded.n, value_sum = t.value_sum + excluded.value_sum
""",
    """
INSERT INTO cg_usage_day AS t (organization_id, customer_source_id, day, name,
                               user_key, n, value_sum, first_at, last_at)
SELECT organization_id, ref, day, name, user_key, sum(n), sum(value_sum),
       min(first_at), max(last_at)
FROM fold_stage WHERE ref IS NOT NULL GROUP BY 1, 2, 3, 4, 5 ORDER BY 2, 3, 4, 5
ON CONFLICT (customer_source_id, day, name, user_key) DO UPDATE
SET n = t.n + excluded.n, value_sum = t.value_sum + excluded.value_sum,
    first_at = least(t.first_at, excluded.first_at),
    last_at = greatest(t.last_at, excluded.last_at)
""",
    """
INSERT INTO an_usage_seen AS t (organization_id, customer_source_id, name, user_key,
                                first_at, last_at, n)
SELECT organization_id, ref, name, user_key, min(first_at), max(last_at), sum(n)
FROM fold_stage WHERE ref IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 2, 3, 4
ON CONFLICT (customer_source_id, name, user_key) DO UPDATE
SET n = t.n + excluded.n, first_at = least(t.first_at, excluded.first_at),
    last_at = greatest(t.last_at, excluded.last_at)
""",
    """
INSERT INTO cg_usage_window (customer_source_id, organization_id, base_day, days,
                             first_event_at, last_event_at, events_total)
SELECT ref, organization_id, max(day) - 127, array_fill(0, ARRAY[128]),
       min(first_at), max(last_at), 0
FROM fold_stage f WHERE ref IS NOT NULL AND NOT EXISTS (
    SELECT FROM cg_usage_window w WHERE w.customer_source_id = f.ref)
GROUP BY 1, 2
ON CONFLICT (customer_source_id) DO NOTHING
""",
    """
UPDATE cg_usage_window w
SET days = cg_window_add(w.base_day, w.days, f.day_list, f.n_list),
    base_day = greatest(w.base_day, f.newest - 127),
    first_event_at = least(w.first_event_at, f.first_at),
    last_event_at = greatest(w.last_event_at, f.last_at),
    events_total = w.events_total + f.n
FROM (SELECT ref, array_agg(day) AS day_list, array_agg(n::int) AS n_list,
             max(day) AS newest, min(first_at) AS first_at, max(last_at) AS last_at,
             sum(n) AS n
      FROM (SELECT ref, day, sum(n) AS n, min(first_at) AS first_at,
                   max(last_at) AS last_at
            FROM fold_stage WHERE ref IS NOT NULL GROUP BY 1, 2) per_day
      GROUP BY 1) f
WHERE w.customer_source_id = f.ref
""",
    # Unconditional: the row lock is what orders this mark against a scorer at work.
    """
UPDATE cg_customer c
SET score_stale_at = coalesce(c.score_stale_at, %(now)s),
    last_activity_at = greatest(c.last_activity_at, f.last_at)
FROM (SELECT s.customer_id, max(st.last_at) AS last_at
      FROM fold_stage st JOIN cg_customer_source s ON s.id = st.ref
      GROUP BY 1) f
WHERE c.id = f.customer_id
""",
)

_TOTALS = """
SELECT organization_id, sum(n)::bigint, count(DISTINCT ref)::bigint, max(last_at),
       (SELECT jsonb_object_agg(name, n) FROM (
            SELECT name, sum(n)::bigint AS n FROM fold_stage i
            WHERE i.organization_id = o.organization_id
            GROUP BY 1 ORDER BY 2 DESC LIMIT 10) top)
FROM fold_stage o GROUP BY 1
"""


def fold(now: datetime | None = None) -> int:
    """Loop: fold the oldest unfolded batches (about 60,000 events at a time).

    Returns the number of batches folded; 0 when there are none or another worker is
    folding. Marks the touched customers' scores stale and publishes one live-metrics
    note per organisation, all in one transaction.
    """
    at = now or datetime.now(UTC)
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute("SELECT pg_try_advisory_xact_lock(%s)", [_LOCK])
        if not cur.fetchone()[0]:
            return 0
        cur.execute(_CLAIM, [_BATCHES, at, _EVENTS])
        batch_ids = [row[0] for row in cur.fetchall()]
        if not batch_ids:
            return 0
        cur.execute("SET LOCAL work_mem = '128MB'")
        fold_batches(cur, batch_ids, at)
    return len(batch_ids)


def fold_batches(cur: Cursor, batch_ids: list[int], at: datetime) -> int:
    """Add the events of these batches to every rollup; returns the events folded."""
    cur.execute(_STAGE_TABLE)
    cur.execute("DELETE FROM fold_stage")
    cur.execute(_STAGE, [batch_ids])
    for statement in _UPSERTS:
        cur.execute(statement, {"now": at})
    cur.execute(_TOTALS)
    events = 0
    for org_id, n, customers, newest_at, by_name in cur.fetchall():
        events += n
        notes.publish(
            cur,
            org_id,
            "live-metrics",
            [_metrics_note(n, customers, newest_at, by_name, at)],
        )
    return events


def _metrics_note(
    n: int, customers: int, newest_at: datetime, by_name: Any, at: datetime
) -> dict[str, Any]:
    counts = json.loads(by_name) if isinstance(by_name, str) else by_name
    return {
        "type": "metrics",
        "events": n,
        "customers": customers,
        "by_event": counts,
        "newest_event_at": newest_at.isoformat(),
        "as_of": at.isoformat(),
    }
