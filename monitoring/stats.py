"""The numbers of the overview page and of GET /api/dashboard/metrics: one function.

Everything is read from tables, for one organisation, over the last 24 hours up to
`as_of`. The answer is kept for a few seconds in the cache.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db import connection
from django.db.models import Case, Value, When

from analytics.queries import band_counts
from churnguard.models import Batch, Customer, Notice, Organization

KEEP_S = 5
WINDOW = timedelta(hours=24)
FLOW = (*Batch.COUNTERS, "events")
RUN_STATUSES = (
    "pending",
    "processing",
    "completed",
    "incomplete",
    "failed",
    "cancelled",
)
SEVERITIES = ("critical", "warning", "info")

_HOURS = f"""
SELECT date_trunc('hour', b.received_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
    {", ".join(f"sum({name})::bigint" for name in FLOW)}, max(b.received_at)
FROM cg_source s JOIN cg_batch b ON b.source_id = s.id AND b.received_at >= %s
WHERE s.organization_id = %s
GROUP BY 1
"""


def get_overall(organization: Organization) -> dict[str, Any]:
    """JSON-safe but for the aware datetimes; see the schema in `monitoring.api`.

    `hours` has 24 entries, oldest first, the last one still running.
    """
    key = f"overall:{organization.pk}"
    found = cache.get(key)
    if found is None:
        found = _read(organization, datetime.now(UTC))
        cache.set(key, found, timeout=KEEP_S)
    return dict(found)


def forget(organization: Organization) -> None:
    """Drop the kept answer; the next call reads."""
    cache.delete(f"overall:{organization.pk}")


def _read(organization: Organization, now: datetime) -> dict[str, Any]:
    bands = band_counts(organization)
    integrations = _counts(
        "SELECT status, count(*) FROM int_integration WHERE organization_id = %s "
        "GROUP BY status",
        [organization.pk],
    )
    runs = _counts(
        "SELECT status, count(*) FROM int_sync_run WHERE organization_id = %s "
        "AND created_at >= %s GROUP BY status",
        [organization.pk, now - WINDOW],
    )
    notices = dict.fromkeys(SEVERITIES, 0) | _counts(
        "SELECT severity, count(*) FROM cg_notice WHERE organization_id = %s "
        "AND resolved_at IS NULL GROUP BY severity",
        [organization.pk],
    )
    hours, newest = _hours(organization, now)
    return {
        "as_of": now,
        "customers": {
            "total": sum(bands.values()),
            "by_band": bands,
            "waiting_for_score": Customer.objects.filter(
                organization=organization, score_stale_at__isnull=False
            ).count(),
        },
        "integrations": {
            "total": sum(integrations.values()),
            "by_status": integrations,
        },
        "sync_jobs_24h": {
            "total": sum(runs.values()),
            "by_status": dict.fromkeys(RUN_STATUSES, 0) | runs,
        },
        "records_24h": {name: sum(hour[name] for hour in hours) for name in FLOW},
        "last_record_at": newest,
        "hours": hours,
        "quarantine_open": _one(
            "SELECT count(*) FROM cg_quarantine WHERE organization_id = %s "
            "AND state = 'open'",
            [organization.pk],
        ),
        "alerts_open": {"total": sum(notices.values()), "by_severity": notices},
    }


def list_open_notices(
    organization: Organization, most: int, *, without: str = ""
) -> list[Notice]:
    """The open notices, critical ones first, then the newest. without: a kind to
    leave out."""
    rank = Case(
        *(When(severity=word, then=Value(n)) for n, word in enumerate(SEVERITIES)),
        default=Value(len(SEVERITIES)),
    )
    rows = Notice.objects.filter(organization=organization, resolved_at__isnull=True)
    if without:
        rows = rows.exclude(kind=without)
    return list(rows.order_by(rank, "-pk")[:most])


def count_open_notices(organization: Organization, kind: str = "") -> int:
    """How many notices are open, of one kind or of each."""
    rows = Notice.objects.filter(organization=organization, resolved_at__isnull=True)
    return rows.filter(kind=kind).count() if kind else rows.count()


def _hours(
    organization: Organization, now: datetime
) -> tuple[list[dict[str, Any]], datetime | None]:
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=n) for n in range(23, -1, -1)]
    nothing = (0,) * len(FLOW)
    with connection.cursor() as cur:
        cur.execute(_HOURS, [starts[0], organization.pk])
        found = {row[0]: row[1:] for row in cur.fetchall()}
    hours = [
        {"hour": start, **dict(zip(FLOW, found.get(start, nothing), strict=False))}
        for start in starts
    ]
    newest = max((row[-1] for row in found.values()), default=None)
    if newest is None:
        newest = _one(
            "SELECT max(newest) FROM cg_source s CROSS JOIN LATERAL ("
            "SELECT received_at AS newest FROM cg_batch WHERE source_id = s.id "
            "ORDER BY received_at DESC LIMIT 1) b WHERE s.organization_id = %s",
            [organization.pk],
        )
    return hours, newest


def _counts(query: str, params: list[Any]) -> dict[str, int]:
    with connection.cursor() as cur:
        cur.execute(query, params)
        return dict(cur.fetchall())


def _one(query: str, params: list[Any]) -> Any:
    with connection.cursor() as cur:
        cur.execute(query, params)
        return cur.fetchone()[0]
