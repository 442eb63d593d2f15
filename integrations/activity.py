"""What an organisation's connections did of late: the figures above the list, the
chart of records per minute, and the ledger of one integration."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection

from churnguard.api import keyset_by_id
from churnguard.models import Batch, Organization
from integrations.models import Integration

WINDOW = timedelta(hours=24)
FAILURE_TARGET = 0.1
"""Share of failed syncs that the specification allows."""

_ENDED = """
SELECT status, count(*) FROM int_sync_run
WHERE organization_id = %s AND finished_at >= %s GROUP BY status
"""
_RECORDS = """
SELECT coalesce(sum(inserted + updated), 0)::bigint
FROM cg_source s JOIN cg_batch b ON b.source_id = s.id AND b.received_at >= %s
WHERE s.organization_id = %s
"""
_AGES = """
WITH ages AS (
    SELECT extract(epoch FROM %(now)s - max(t.last_success_at))::float8 AS age_s,
           i.sync_frequency AS every_s
    FROM int_integration i JOIN int_stream_state t ON t.integration_id = i.id
    WHERE i.organization_id = %(org)s AND i.sync_frequency > 0
      AND i.status NOT IN ('paused', 'inactive') AND t.is_enabled AND NOT t.is_gone
    GROUP BY i.id HAVING max(t.last_success_at) IS NOT NULL
)
SELECT count(*), percentile_cont(0.95) WITHIN GROUP (ORDER BY age_s), min(every_s),
       count(*) FILTER (WHERE age_s > 2 * every_s)
FROM ages
"""
_MINUTES = """
SELECT floor(extract(epoch FROM b.received_at) / 60)::bigint,
       sum(inserted + updated)::bigint
FROM cg_source s JOIN cg_batch b ON b.source_id = s.id AND b.received_at >= %s
WHERE s.organization_id = %s
GROUP BY 1
"""
_SUMS = """
SELECT coalesce(sum(lines), 0)::bigint, {sums} FROM cg_batch WHERE source_id = %s
"""


@dataclass(frozen=True, slots=True)
class Day:
    """The last 24 hours of syncs. records_today: stored since midnight UTC, through
    every door. freshness_p95_s: age of the newest success of scheduled integrations,
    None where nothing is scheduled; late: how many missed two of their intervals."""

    ended: int
    completed: int
    incomplete: int
    failed: int
    cancelled: int
    records_today: int
    scheduled: int
    freshness_p95_s: float | None
    shortest_interval_s: int | None
    late: int

    @property
    def failure_ratio(self) -> float | None:
        """Failed of those that ended by themselves; None before there were any."""
        counted = self.ended - self.cancelled
        return self.failed / counted if counted else None

    @property
    def is_failing(self) -> bool:
        return (self.failure_ratio or 0) >= FAILURE_TARGET


def last_day(organization: Organization, now: datetime) -> Day:
    """The figures of the 24 hours before `now`."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    with connection.cursor() as cur:
        cur.execute(_ENDED, [organization.pk, now - WINDOW])
        by_status = dict(cur.fetchall())
        cur.execute(_RECORDS, [midnight, organization.pk])
        (records,) = cur.fetchone()
        cur.execute(_AGES, {"org": organization.pk, "now": now})
        scheduled, p95_s, shortest_s, late = cur.fetchone()
    return Day(
        ended=sum(by_status.values()),
        completed=by_status.get("completed", 0),
        incomplete=by_status.get("incomplete", 0),
        failed=by_status.get("failed", 0),
        cancelled=by_status.get("cancelled", 0),
        records_today=records,
        scheduled=scheduled,
        freshness_p95_s=p95_s,
        shortest_interval_s=shortest_s,
        late=late,
    )


def per_minute(organization: Organization, now: datetime) -> list[tuple[int, int]]:
    """(epoch second of the minute, records stored) for the last 24 hours, oldest
    first, one per minute; empty where nothing came at all."""
    last = int(now.timestamp()) // 60
    first = last - 24 * 60 + 1
    with connection.cursor() as cur:
        cur.execute(_MINUTES, [now - WINDOW, organization.pk])
        found = {minute: count for minute, count in cur.fetchall() if minute >= first}
    if not found:
        return []
    return [(minute * 60, found.get(minute, 0)) for minute in range(first, last + 1)]


def ledger_of(
    integration: Integration, *, cursor: str | None = None, limit: int = 50
) -> tuple[list[dict[str, Any]], str | None]:
    """Committed pages of an integration's source, newest first, and the next cursor:
    batch_id, origin, run_id, stream, page, received_at, and the counters."""
    found, following = keyset_by_id(
        Batch.objects.filter(
            organization_id=integration.organization_id, source=integration.source_id
        ),
        cursor=cursor,
        limit=limit,
    )
    runs: dict[int | None, str] = dict(
        integration.runs.filter(pk__in={line.run_id for line in found}).values_list(
            "pk", "public_id"
        )
    )
    return [
        {
            "batch_id": line.pk,
            "origin": line.origin,
            "sync_id": runs.get(line.run_id),
            "stream": line.stream,
            "page": line.page,
            "received_at": line.received_at,
            **{name: getattr(line, name) for name in Batch.TOTALS},
        }
        for line in found
    ], following


def ledger_sums(integration: Integration) -> dict[str, int]:
    """{batches, fetched, inserted, ..} over the whole ledger of the source."""
    sums = ", ".join(f"coalesce(sum({name}), 0)::bigint" for name in Batch.TOTALS)
    with connection.cursor() as cur:
        cur.execute(_SUMS.format(sums=sums), [integration.source_id])
        return dict(zip(("batches", *Batch.TOTALS), cur.fetchone(), strict=True))
