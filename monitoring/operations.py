"""Reads behind GET /api/admin/integrations/*: what syncs did, how well, how fast.

For one organisation. "24h" and trends cover the last 24 hours by UTC hour; a job
counts in the hour in which it ended. Rates are percentages of ended jobs.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import prometheus_client
from django.db import connection
from prometheus_client import CollectorRegistry, multiprocess

from churnguard.metrics import tenant_label
from churnguard.models import Organization
from monitoring import stats
from monitoring.metrics import multiprocess_folder, read_depths

_CONNECTIONS = {
    "authentication_failed": "authentication_failed",
    "error": "error",
    "rate_limited": "rate_limited",
    "inactive": "not_connected",
}
LATE_FACTOR = 2
"""A scheduled integration is late after this many of its intervals."""

_ENDED = """
SELECT date_trunc('hour', finished_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC',
       count(*), count(*) FILTER (WHERE status = 'failed'),
       avg(extract(epoch FROM finished_at - started_at))::float8,
       percentile_cont(0.95) WITHIN GROUP (
           ORDER BY extract(epoch FROM finished_at - started_at))::float8
FROM int_sync_run
WHERE organization_id = %s AND finished_at >= %s AND status <> 'cancelled'
GROUP BY 1
"""
_RUNS = """
SELECT r.public_id AS sync_id, i.public_id AS integration_id, i.name,
       i.provider_name AS provider, r.trigger, r.mode, r.status, r.created_at,
       r.started_at, r.finished_at,
       extract(epoch FROM coalesce(r.finished_at, now()) - r.started_at)::float8
           AS duration_s,
       coalesce(p.fetched, 0) AS fetched, coalesce(p.inserted, 0) AS created,
       coalesce(p.updated, 0) AS updated, coalesce(p.quarantined, 0) AS failed,
       r.error_code, r.error_detail
FROM int_sync_run r
JOIN int_integration i ON i.id = r.integration_id
LEFT JOIN LATERAL (
    SELECT sum(fetched)::bigint AS fetched, sum(inserted)::bigint AS inserted,
           sum(updated)::bigint AS updated, sum(quarantined)::bigint AS quarantined
    FROM int_run_stream WHERE run_id = r.id
) p ON true
WHERE r.organization_id = %s
"""
_PER_INTEGRATION = """
SELECT i.public_id AS integration_id, i.name, i.provider_name AS provider,
       count(r.id) AS runs,
       coalesce(sum(p.fetched), 0)::bigint AS records,
       avg(extract(epoch FROM r.finished_at - r.started_at))::float8 AS avg_duration_s,
       percentile_cont(0.95) WITHIN GROUP (
           ORDER BY extract(epoch FROM r.finished_at - r.started_at))::float8
           AS p95_duration_s,
       (sum(p.fetched) / nullif(sum(extract(
           epoch FROM r.finished_at - r.started_at)), 0))::float8 AS records_per_s
FROM int_integration i
JOIN int_sync_run r ON r.integration_id = i.id AND r.finished_at >= %s
LEFT JOIN LATERAL (
    SELECT sum(fetched)::bigint AS fetched FROM int_run_stream WHERE run_id = r.id
) p ON true
WHERE i.organization_id = %s
GROUP BY i.id
ORDER BY records DESC, i.id
"""


def get_stats(organization: Organization, now: datetime) -> dict[str, Any]:
    """Integrations and jobs by status, the busiest integrations, the error rate."""
    overall = stats.get_overall(organization)
    return {
        "as_of": now,
        "integrations": overall["integrations"],
        "sync_jobs_24h": overall["sync_jobs_24h"],
        "top_integrations": _per_integration(organization, now)[:10],
        "error_rate_trend": [
            {name: hour[name] for name in ("hour", "ended", "failed", "error_rate_pct")}
            for hour in _trend(organization, now)
        ],
    }


def list_health(organization: Organization, now: datetime) -> list[dict[str, Any]]:
    """One row per integration, those that need somebody first."""
    rows = _dicts(
        "SELECT i.public_id AS integration_id, i.name, i.provider_name AS provider, "
        "i.status, i.status_detail, i.sync_frequency AS sync_frequency_s, "
        "i.created_at, "
        "(SELECT max(finished_at) FROM int_sync_run WHERE integration_id = i.id "
        "AND status = 'completed') AS last_successful_sync, "
        "(SELECT count(*) FROM int_sync_run WHERE integration_id = i.id "
        "AND status IN ('failed', 'incomplete') AND finished_at >= %s) "
        "AS error_count_24h FROM int_integration i WHERE i.organization_id = %s "
        "ORDER BY i.id",
        [now - stats.WINDOW, organization.pk],
    )
    for row in rows:
        row["connection_status"] = _CONNECTIONS.get(row["status"], "connected")
        row["is_late"] = is_late(row, now)
    rows.sort(key=lambda row: (row["connection_status"] == "connected", row["is_late"]))
    return rows


def is_late(row: dict[str, Any], now: datetime) -> bool:
    """Whether a scheduled integration has had no success for LATE_FACTOR intervals.

    `row` has status, sync_frequency_s, last_successful_sync and created_at.
    """
    if not row["sync_frequency_s"] or row["status"] in ("inactive", "paused"):
        return False
    since = row["last_successful_sync"] or row["created_at"]
    return now - since > timedelta(seconds=LATE_FACTOR * row["sync_frequency_s"])


def get_activity(
    organization: Organization, now: datetime, *, limit: int
) -> dict[str, Any]:
    """Jobs at work, the last `limit` ended ones, their sums, and durations by hour."""
    active = _dicts(
        f"{_RUNS} AND r.status IN ('pending', 'processing') ORDER BY r.id DESC",
        [organization.pk],
    )
    history = _dicts(
        f"{_RUNS} AND r.status NOT IN ('pending', 'processing') "
        "ORDER BY r.id DESC LIMIT %s",
        [organization.pk, limit],
    )
    return {
        "as_of": now,
        "active": active,
        "history": history,
        "totals": {
            name: sum(row[name] for row in history)
            for name in ("created", "updated", "failed")
        },
        "duration_trend": [
            {name: hour[name] for name in ("hour", "ended", "avg_s", "p95_s")}
            for hour in _trend(organization, now)
        ],
    }


def get_errors(
    organization: Organization, now: datetime, *, limit: int
) -> dict[str, Any]:
    """The last `limit` errors of streams and jobs, the commonest kinds, the trend."""
    recent = _dicts(
        "SELECT coalesce(p.finished_at, p.page_at, r.finished_at, r.created_at) AS at, "
        "i.public_id AS integration_id, i.name, r.public_id AS sync_id, p.stream, "
        "p.error_code, p.error_detail FROM int_run_stream p "
        "JOIN int_sync_run r ON r.id = p.run_id "
        "JOIN int_integration i ON i.id = r.integration_id "
        "WHERE r.organization_id = %s AND p.error_code <> '' "
        "ORDER BY p.id DESC LIMIT %s",
        [organization.pk, limit],
    )
    top = _dicts(
        "SELECT error_code, count(*) AS n, count(DISTINCT integration_id) AS "
        "integrations, max(coalesce(finished_at, created_at)) AS last_at FROM ("
        "SELECT p.error_code, r.integration_id, p.finished_at, r.created_at "
        "FROM int_run_stream p JOIN int_sync_run r ON r.id = p.run_id "
        "WHERE r.organization_id = %s AND r.created_at >= %s AND p.error_code <> ''"
        ") AS e GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 20",
        [organization.pk, now - stats.WINDOW],
    )
    trend = _trend(organization, now)
    return {
        "as_of": now,
        "recent": recent,
        "top_error_types": top,
        "failed_jobs_24h": sum(hour["failed"] for hour in trend),
        "error_rate_trend": [
            {name: hour[name] for name in ("hour", "ended", "failed", "error_rate_pct")}
            for hour in trend
        ],
    }


def get_performance(organization: Organization, now: datetime) -> dict[str, Any]:
    """Durations and rates per integration, queues now, latency per adapter."""
    return {
        "as_of": now,
        "integrations": _per_integration(organization, now),
        "queues": [
            {"queue": queue, "depth": depth, "oldest_age_s": round(age_s, 1)}
            for queue, depth, age_s in read_depths()
        ],
        "adapters": _adapter_latency(organization),
    }


def _per_integration(organization: Organization, now: datetime) -> list[dict[str, Any]]:
    return _dicts(_PER_INTEGRATION, [now - stats.WINDOW, organization.pk])


def _trend(organization: Organization, now: datetime) -> list[dict[str, Any]]:
    last = now.replace(minute=0, second=0, microsecond=0)
    starts = [last - timedelta(hours=n) for n in range(23, -1, -1)]
    with connection.cursor() as cur:
        cur.execute(_ENDED, [organization.pk, starts[0]])
        found = {row[0]: row[1:] for row in cur.fetchall()}
    hours = []
    for start in starts:
        ended, failed, avg_s, p95_s = found.get(start, (0, 0, None, None))
        rate = round(100 * failed / ended, 2) if ended else None
        hours.append(
            {
                "hour": start,
                "ended": ended,
                "failed": failed,
                "error_rate_pct": rate,
                "avg_s": avg_s,
                "p95_s": p95_s,
            }
        )
    return hours


def _adapter_latency(organization: Organization) -> list[dict[str, Any]]:
    """From the counters of this machine, since its processes started."""
    registry = prometheus_client.REGISTRY
    if multiprocess_folder():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
    tenant = tenant_label(organization.public_id)
    sums: dict[str, list[float]] = {}
    for family in registry.collect():
        if family.name != "adapter_request_duration_seconds":
            continue
        for sample in family.samples:
            place = {"_sum": 0, "_count": 1}.get(sample.name[len(family.name) :])
            if place is not None and sample.labels["tenant_id"] == tenant:
                totals = sums.setdefault(sample.labels["adapter_type"], [0.0, 0.0])
                totals[place] += sample.value
    return [
        {"adapter": name, "requests": int(count), "avg_s": round(total / count, 4)}
        for name, (total, count) in sorted(sums.items())
        if count
    ]


def _dicts(query: str, params: Sequence[Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cur:
        cur.execute(query, params)
        names = [column.name for column in cur.description]
        return [dict(zip(names, row, strict=True)) for row in cur.fetchall()]
