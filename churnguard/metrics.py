"""Prometheus metrics under the specification's names, for all apps to count with.

Counters and histograms live in files under PROMETHEUS_MULTIPROC_DIR when the launcher
sets it, so that what workers count is real on /metrics (see `monitoring.metrics`).
Tenant and integration ids are shown, hashed or left out by METRICS_TENANT_LABEL.
Histograms carry no entity: series per integration stay below 400.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Any

from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()

TERMINAL = ("completed", "incomplete", "failed", "cancelled")
"""Statuses that end a job: their sum counts each job once."""

_INTEGRATION = ["tenant_id", "integration_id", "adapter_type"]
_ALL = [*_INTEGRATION, "entity", "status"]
_SYNC_MS = (
    500,
    1_000,
    2_500,
    5_000,
    10_000,
    30_000,
    60_000,
    120_000,
    300_000,
    600_000,
    1_800_000,
)
"""Straddle the 5 minutes of the slow-sync rule, or the rule could never fire."""

SYNC_JOBS = Counter(
    "sync_jobs_total", "Sync jobs, one count per change of status.", _ALL
)
SYNC_JOBS_PROCESSED = Counter(
    "sync_jobs_processed_total", "Sync jobs that ended.", _ALL
)
SYNC_JOBS_FAILED = Counter("sync_jobs_failed_total", "Sync jobs that failed.", _ALL)
SYNC_RECORDS_CREATED = Counter(
    "sync_records_created_total", "Records that a sync inserted.", _ALL
)
SYNC_RECORDS_UPDATED = Counter(
    "sync_records_updated_total", "Records that a sync changed.", _ALL
)
SYNC_JOBS_BY_INTEGRATION = Counter(
    "sync_jobs_by_integration_total",
    "Sync jobs that ended, by type of integration.",
    ["adapter_type", "status"],
)
SYNC_LATENCY_MS = Histogram(
    "sync_latency_ms",
    "Time from the start of a sync job to its end, in milliseconds.",
    [*_INTEGRATION, "status"],
    buckets=_SYNC_MS,
)
SYNC_DURATION_SECONDS = Histogram(
    "sync_duration_seconds",
    "Time from the start of a sync job to its end, in seconds.",
    [*_INTEGRATION, "status"],
    buckets=[ms / 1000 for ms in _SYNC_MS],
)
ADAPTER_REQUESTS = Counter(
    "adapter_requests_total", "Requests to a provider's API.", _ALL
)
ADAPTER_REQUEST_SECONDS = Histogram(
    "adapter_request_duration_seconds",
    "Time of one request to a provider's API.",
    [*_INTEGRATION, "status"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
ADAPTER_RATE_LIMIT_HITS = Counter(
    "adapter_rate_limit_hits_total", "Answers that told us to slow down.", _ALL
)
ADAPTER_CONNECTION_FAILURES = Counter(
    "adapter_connection_failures_total", "Requests that got no answer.", _ALL
)
BUS_PROCESSED = Counter(
    "service_bus_messages_processed_total", "Messages handled.", ["queue"]
)
BUS_FAILED = Counter(
    "service_bus_messages_failed_total", "Messages whose handler failed.", ["queue"]
)
INGEST_REQUESTS = Counter(
    "ingest_requests_total",
    "Ingest requests by HTTP status.",
    ["tenant_id", "status"],
)
INGEST_RECORDS = Counter(
    "ingest_records_total",
    "Ingested records: accepted, duplicate or quarantined.",
    ["tenant_id", "status"],
)
INGEST_COMMIT_SECONDS = Histogram(
    "ingest_commit_seconds",
    "Time of one group commit of the ingest writer.",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
STREAM_SOCKETS = Gauge(
    "stream_sockets", "Connected websockets.", multiprocess_mode="livesum"
)
STREAM_RESYNCS = Counter(
    "stream_resyncs_total", "Times a slow client had to be told to resync."
)


def tenant_label(public_id: str) -> str:
    """A tenant's or integration's public id as METRICS_TENANT_LABEL allows it: as it
    is (id), 12 hex digits of its SHA-256 (hash) or "" (off)."""
    return _label(public_id, settings.METRICS_TENANT_LABEL)


def sync_job(
    status: str,
    *,
    tenant_id: str,
    integration_id: str,
    adapter: str,
    entity: str = "all",
    duration_s: float | None = None,
) -> None:
    """A job changed to `status` (pending, processing or one of TERMINAL). Ids are
    public ids; `duration_s` goes with a terminal status."""
    labels = _integration(tenant_id, integration_id, adapter)
    full = {**labels, "entity": entity, "status": status}
    SYNC_JOBS.labels(**full).inc()
    if status not in TERMINAL:
        return
    SYNC_JOBS_PROCESSED.labels(**full).inc()
    SYNC_JOBS_BY_INTEGRATION.labels(adapter_type=adapter, status=status).inc()
    if status == "failed":
        SYNC_JOBS_FAILED.labels(**full).inc()
    if duration_s is not None:
        SYNC_LATENCY_MS.labels(**labels, status=status).observe(duration_s * 1000)
        SYNC_DURATION_SECONDS.labels(**labels, status=status).observe(duration_s)


def sync_records(
    *,
    tenant_id: str,
    integration_id: str,
    adapter: str,
    entity: str,
    created: int = 0,
    updated: int = 0,
) -> None:
    """A committed page of a sync inserted and changed so many records."""
    labels = _integration(tenant_id, integration_id, adapter)
    labels |= {"entity": entity, "status": "success"}
    if created:
        SYNC_RECORDS_CREATED.labels(**labels).inc(created)
    if updated:
        SYNC_RECORDS_UPDATED.labels(**labels).inc(updated)


def prepare_integration(*, tenant_id: str, integration_id: str, adapter: str) -> None:
    """Start an integration's job counters at 0, so that its first failure shows as a
    rise and not as a series that was always 1."""
    labels = _integration(tenant_id, integration_id, adapter) | {"entity": "all"}
    for status in ("pending", "processing", *TERMINAL):
        SYNC_JOBS.labels(**labels, status=status)
    SYNC_JOBS_FAILED.labels(**labels, status="failed")
    for status in TERMINAL:
        SYNC_JOBS_PROCESSED.labels(**labels, status=status)


def adapter_request(
    adapter: str,
    http_status: int,
    duration_s: float,
    *,
    tenant_id: str = "",
    integration_id: str = "",
    entity: str = "",
) -> None:
    """One request to a provider; `http_status` is 0 when no answer came."""
    status = _outcome(http_status)
    labels = _integration(tenant_id, integration_id, adapter)
    full = {**labels, "entity": entity, "status": status}
    ADAPTER_REQUESTS.labels(**full).inc()
    ADAPTER_REQUEST_SECONDS.labels(**labels, status=status).observe(duration_s)
    if status == "rate_limited":
        ADAPTER_RATE_LIMIT_HITS.labels(**full).inc()
    if status == "no_answer":
        ADAPTER_CONNECTION_FAILURES.labels(**full).inc()


def ingest_requests(http_status: int, *, tenant_id: str = "", count: int = 1) -> None:
    """So many ingest requests were answered. tenant_id: "" where nobody is known."""
    INGEST_REQUESTS.labels(tenant_label(tenant_id), str(http_status)).inc(count)


def ingest_records(
    *, tenant_id: str, accepted: int = 0, duplicates: int = 0, quarantined: int = 0
) -> None:
    """What became of the records of committed requests."""
    tenant = tenant_label(tenant_id)
    counts = (
        ("accepted", accepted),
        ("duplicate", duplicates),
        ("quarantined", quarantined),
    )
    for status, count in counts:
        if count:
            INGEST_RECORDS.labels(tenant, status).inc(count)


def ingest_commit(duration_s: float) -> None:
    """One group commit of the ingest writer took so long."""
    INGEST_COMMIT_SECONDS.observe(duration_s)


def bus_message(queue: str, *, is_ok: bool) -> None:
    """A message of `queue` was handled, well or not."""
    BUS_PROCESSED.labels(queue).inc()
    if not is_ok:
        BUS_FAILED.labels(queue).inc()


def count_celery_tasks() -> None:
    """Count what Celery runs, and tidy up the files of worker children that end."""
    # Celery is only loaded by the processes that call this once the apps are ready.
    from celery.signals import task_failure, task_success, worker_process_shutdown

    task_success.connect(_task_ended_well, dispatch_uid="churnguard.metrics")
    task_failure.connect(_task_failed, dispatch_uid="churnguard.metrics")
    worker_process_shutdown.connect(_child_ended, dispatch_uid="churnguard.metrics")


def _task_ended_well(**_: Any) -> None:
    bus_message("celery", is_ok=True)


def _task_failed(**_: Any) -> None:
    bus_message("celery", is_ok=False)


def _child_ended(pid: int | None = None, **_: Any) -> None:
    from prometheus_client import multiprocess, values  # only in worker children

    if pid is not None and values.ValueClass is not values.MutexValue:
        multiprocess.mark_process_dead(pid)


def _integration(tenant_id: str, integration_id: str, adapter: str) -> dict[str, str]:
    return {
        "tenant_id": tenant_label(tenant_id),
        "integration_id": tenant_label(integration_id),
        "adapter_type": adapter,
    }


def _outcome(http_status: int) -> str:
    if http_status == 0:
        return "no_answer"
    if http_status == 429:
        return "rate_limited"
    if http_status >= 500:
        return "server_error"
    return "client_error" if http_status >= 400 else "success"


@lru_cache(maxsize=10_000)
def _label(public_id: str, mode: str) -> str:
    if mode == "off" or not public_id:
        return ""
    if mode == "hash":
        return hashlib.sha256(public_id.encode()).hexdigest()[:12]
    return public_id
