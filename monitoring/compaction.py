"""Merges ledger lines of past days: a commit of single events leaves a line each.

A day of one source becomes one line, or two where some of it came in late. Every
counter is the sum of the merged lines, so the ledger still adds up and every sum over a
day or more stays what it was. Lines of sync runs are left alone: they are the pages of
a run, and few.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.db import connection

from churnguard.models import Batch
from integrations.status import FRESH_WITHIN

log = logging.getLogger(__name__)

STEP = 5000
"""Lines merged per statement, so that no lock is held for long."""
KEPT_DAYS = 2
"""Days before today whose lines stay: pages show the last 24 hours by the minute."""

# Of events only what has been folded: the fold finds events by the number of the line.
_MERGED = """run_id IS NULL AND received_at < %(before)s
    AND (folded_at IS NOT NULL OR events = 0)"""
_SAME = """source_id, origin, stream, (received_at AT TIME ZONE 'UTC')::date,
    received_at - newest_at <= %(fresh)s"""
_FIND = f"""
SELECT {_SAME} FROM cg_batch WHERE {_MERGED}
GROUP BY 1, 2, 3, 4, 5 HAVING count(*) > 1 LIMIT %(groups)s
"""
_SUMS = (*Batch.TOTALS, "bytes", "events", "lines")
# The first line stays: readers of events take those with its number or a greater one.
_MERGE = f"""
WITH part AS MATERIALIZED (
    SELECT * FROM cg_batch
    WHERE source_id = %(source)s AND origin = %(origin)s AND stream = %(stream)s
        AND received_at >= %(start)s AND received_at < %(end)s AND {_MERGED}
        AND (received_at - newest_at <= %(fresh)s) IS NOT DISTINCT FROM %(is_fresh)s
    ORDER BY id LIMIT %(step)s FOR UPDATE SKIP LOCKED
), total AS (
    SELECT min(id) AS id, max(newest_at) AS newest_at, max(received_at) AS received_at,
        max(folded_at) AS folded_at, {", ".join(f"sum({n}) AS {n}" for n in _SUMS)}
    FROM part
), gone AS (
    DELETE FROM cg_batch b USING part, total
    WHERE b.id = part.id AND b.id <> total.id RETURNING b.id
), merged AS (
    UPDATE cg_batch b SET newest_at = total.newest_at, folded_at = total.folded_at,
        received_at = total.received_at, {", ".join(f"{n} = total.{n}" for n in _SUMS)}
    FROM total WHERE b.id = total.id AND EXISTS (SELECT FROM gone)
)
SELECT count(*) FROM gone
"""
_GROUPS = 100


def tick(now: datetime | None = None) -> int:
    """Merge a step of some days' lines. Returns the lines that went, so that it is
    called again at once while there are more. Idempotent; several may run."""
    at = now or datetime.now(UTC)
    before = datetime.combine(at.date() - timedelta(days=KEPT_DAYS), time(), UTC)
    given: dict[str, Any] = {
        "before": before,
        "fresh": FRESH_WITHIN,
        "step": STEP,
        "groups": _GROUPS,
    }
    total = 0
    with connection.cursor() as cur:
        cur.execute(_FIND, given)
        for source_id, origin, stream, day, is_fresh in cur.fetchall():
            start = datetime.combine(day, time(), UTC)
            cur.execute(
                _MERGE,
                given
                | {
                    "source": source_id,
                    "origin": origin,
                    "stream": stream,
                    "start": start,
                    "end": start + timedelta(days=1),
                    "is_fresh": is_fresh,
                },
            )
            total += cur.fetchone()[0]
    if total:
        log.info("compaction.merged", extra={"entity": "batch", "recordCount": total})
    return total
