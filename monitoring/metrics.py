"""/metrics: what all processes of this machine counted, and depths read at scrape.

Counters come from the files under PROMETHEUS_MULTIPROC_DIR (prometheus_client's
multiprocess mode); gauges of depth and age come from PostgreSQL and the broker, kept
for two seconds, because a value in a file would say what one process last believed.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import prometheus_client
import redis
from django.conf import settings
from django.db import DatabaseError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils.crypto import constant_time_compare
from prometheus_client import CollectorRegistry, multiprocess
from prometheus_client.core import GaugeMetricFamily
from redis.exceptions import RedisError

KEEP_S = 2.0
_LOOPBACK = ("127.0.0.1", "::1", "")
"""The last is a request over a unix socket."""
_COUNT_MOST = 100_000
"""A dead-letter queue longer than this is reported as this long."""

DEPTHS = f"""
SELECT 'sync', count(*), min(run_at) FROM int_sync_run
WHERE status = 'pending' AND run_at <= now()
UNION ALL
SELECT 'rollup', count(*), min(received_at) FROM cg_batch
WHERE folded_at IS NULL AND events > 0
UNION ALL
SELECT 'scoring', count(*), min(score_stale_at) FROM cg_customer
WHERE score_stale_at IS NOT NULL
UNION ALL
SELECT 'quarantine', count(*), min(first_seen_at) FROM (
    SELECT first_seen_at FROM cg_quarantine WHERE state = 'open' LIMIT {_COUNT_MOST}
) AS open
"""
_DEAD_LETTERS = ("quarantine",)

Depth = tuple[str, int, float]
"""Queue, messages in it, age of the oldest in seconds (0 when empty)."""


def read_depths() -> list[Depth]:
    """Depth and oldest age of each queue, in the order of DEPTHS."""
    with connection.cursor() as cur:
        cur.execute(
            f"SELECT queue, n, coalesce(extract(epoch FROM now() - oldest), 0)::float8 "
            f"FROM ({DEPTHS}) AS depth (queue, n, oldest)"
        )
        return [(queue, n, max(0.0, age_s)) for queue, n, age_s in cur.fetchall()]


def read_broker_depth() -> int | None:
    """Messages waiting in Celery's queue; None while the broker is not reachable."""
    client = redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=1, socket_connect_timeout=1
    )
    try:
        return int(client.llen("celery"))
    except (RedisError, OSError):
        return None
    finally:
        client.close()


class DepthCollector:
    """The gauges read at scrape, at most KEEP_S old."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._families: list[GaugeMetricFamily] = []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._lock:
            if time.monotonic() - self._read_at > KEEP_S:
                self._families = _read_families()
                self._read_at = time.monotonic()
            yield from self._families


def _read_families() -> list[GaugeMetricFamily]:
    depth = GaugeMetricFamily(
        "service_bus_queue_depth", "Messages that wait in a queue.", labels=["queue"]
    )
    dead = GaugeMetricFamily(
        "service_bus_dlq_depth", "Messages set aside as unusable.", labels=["queue"]
    )
    age = GaugeMetricFamily(
        "service_bus_oldest_age_seconds",
        "Age of the oldest message of a queue.",
        labels=["queue"],
    )
    statuses = GaugeMetricFamily(
        "integrations_by_status", "Integrations in a status.", labels=["status"]
    )
    beat = GaugeMetricFamily(
        "worker_heartbeat_age_seconds", "Age of the youngest sign of a worker."
    )
    families = [depth, dead, age, statuses, beat]
    try:
        for queue, count, oldest_s in read_depths():
            (dead if queue in _DEAD_LETTERS else depth).add_metric([queue], count)
            age.add_metric([queue], oldest_s)
        with connection.cursor() as cur:
            cur.execute("SELECT status, count(*) FROM int_integration GROUP BY status")
            for status, count in cur.fetchall():
                statuses.add_metric([status], count)
            cur.execute(
                "SELECT extract(epoch FROM now() - max(at))::float8 FROM cg_heartbeat "
                "WHERE role = 'worker'"
            )
            (age_s,) = cur.fetchone()
            if age_s is not None:
                beat.add_metric([], age_s)
    except DatabaseError:
        # The scrape must answer when PostgreSQL is gone: the gauges are absent then,
        # and `up` and the readiness probe say why.
        families = [depth]
    waiting = read_broker_depth()
    if waiting is not None:
        depth.add_metric(["celery"], waiting)
    return families


_depths = DepthCollector()


def multiprocess_folder() -> str:
    """Where processes share what they count; empty when each counts for itself."""
    return os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")


def render() -> bytes:
    """All metrics in Prometheus' text format."""
    if multiprocess_folder():
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)
        counted = prometheus_client.generate_latest(registry)
    else:
        counted = prometheus_client.generate_latest()
    read = CollectorRegistry(auto_describe=False)
    read.register(_depths)
    return counted + prometheus_client.generate_latest(read)


def metrics(request: HttpRequest) -> HttpResponse:
    """GET /metrics: with METRICS_TOKEN as a bearer token, or, where none is set, from
    this machine only and not through a proxy."""
    if not _may_scrape(request):
        body = {
            "detail": "Send METRICS_TOKEN as a bearer token.",
            "code": "not_authenticated",
            "fields": {},
        }
        return JsonResponse(body, status=401, headers={"WWW-Authenticate": "Bearer"})
    return HttpResponse(render(), content_type=prometheus_client.CONTENT_TYPE_LATEST)


def _may_scrape(request: HttpRequest) -> bool:
    if settings.METRICS_TOKEN:
        given = request.headers.get("Authorization", "")
        return constant_time_compare(given, f"Bearer {settings.METRICS_TOKEN}")
    if "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    return request.META.get("REMOTE_ADDR", "") in _LOOPBACK
