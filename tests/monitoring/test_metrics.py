"""The exposition: names, labels, how many series, who may read it."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from churnguard import metrics
from churnguard.models import Customer, Organization
from monitoring.metrics import DepthCollector
from tests.monitoring.worlds import make_batch, make_integration, make_run

pytestmark = pytest.mark.django_db

SPECIFIED = {
    "sync_jobs_total",
    "sync_jobs_processed_total",
    "sync_jobs_failed_total",
    "sync_records_created_total",
    "sync_records_updated_total",
    "sync_latency_ms",
    "sync_jobs_by_integration_total",
    "adapter_requests_total",
    "adapter_request_duration_seconds",
    "adapter_rate_limit_hits_total",
    "adapter_connection_failures_total",
    "service_bus_queue_depth",
    "service_bus_messages_processed_total",
    "service_bus_messages_failed_total",
    "service_bus_dlq_depth",
}
LABELS = {"tenant_id", "integration_id", "adapter_type", "entity", "status"}


def _samples(client: Client) -> list[Any]:
    text = client.get("/metrics").content.decode()
    families = text_string_to_metric_families(text)
    return [sample for family in families for sample in family.samples]


def _value(samples: list[Any], name: str, **labels: str) -> float:
    (found,) = [
        s.value
        for s in samples
        if s.name == name and labels.items() <= s.labels.items()
    ]
    return float(found)


def _count_everything(tenant: str, integration: str) -> None:
    ids = {"tenant_id": tenant, "integration_id": integration}
    names = {**ids, "adapter": "hubspot"}
    metrics.prepare_integration(**names)
    for status in ("pending", "processing", *metrics.TERMINAL):
        metrics.sync_job(status, **names, duration_s=400)
    for entity in ("customer", "contact", "deal", "ticket", "invoice", "event"):
        metrics.sync_records(**names, entity=entity, created=2, updated=1)
        for http_status in (200, 404, 429, 503, 0):
            metrics.adapter_request("hubspot", http_status, 0.2, **ids, entity=entity)
    metrics.bus_message("celery", is_ok=True)
    metrics.bus_message("celery", is_ok=False)


def test_the_specified_names_and_labels_are_there(client: Client) -> None:
    _count_everything("org_names", "int_names")

    samples = _samples(client)

    found = {sample.name for sample in samples}
    for name in SPECIFIED - {"sync_latency_ms", "adapter_request_duration_seconds"}:
        assert name in found
    for name in ("sync_latency_ms", "adapter_request_duration_seconds"):
        assert {f"{name}_bucket", f"{name}_count", f"{name}_sum"} <= found
    mine = [s for s in samples if s.labels.get("tenant_id") == "org_names"]
    for sample in mine:
        carried = set(sample.labels) - {"le"}
        assert carried in (LABELS, LABELS - {"entity"})
    assert not [name for name in found if name.endswith("_created")]


def test_counts_are_exact_and_buckets_straddle_five_minutes(client: Client) -> None:
    _count_everything("org_exact", "int_exact")

    samples = _samples(client)

    mine = {"tenant_id": "org_exact", "status": "failed"}
    assert _value(samples, "sync_jobs_total", **mine) == 1
    assert _value(samples, "sync_jobs_failed_total", **mine) == 1
    assert _value(samples, "sync_latency_ms_bucket", **mine, le="300000.0") == 0
    assert _value(samples, "sync_latency_ms_bucket", **mine, le="600000.0") == 1
    assert _value(samples, "sync_latency_ms_sum", **mine) == 400_000
    assert _value(samples, "sync_duration_seconds_sum", **mine) == 400
    entity = {"tenant_id": "org_exact", "entity": "contact"}
    assert _value(samples, "sync_records_created_total", **entity) == 2
    assert _value(samples, "adapter_rate_limit_hits_total", **entity) == 1
    assert _value(samples, "adapter_connection_failures_total", **entity) == 1
    ended = [
        s.value
        for s in samples
        if s.name == "sync_jobs_processed_total"
        and s.labels["tenant_id"] == "org_exact"
    ]
    assert sum(ended) == 4


def test_an_integration_has_at_most_400_series(client: Client) -> None:
    _count_everything("org_many", "int_many")

    samples = _samples(client)

    assert len([s for s in samples if s.labels.get("tenant_id") == "org_many"]) <= 400


def test_a_first_failure_is_a_rise(client: Client) -> None:
    metrics.prepare_integration(
        tenant_id="org_zero", integration_id="int_zero", adapter="stripe"
    )

    samples = _samples(client)

    assert _value(samples, "sync_jobs_failed_total", tenant_id="org_zero") == 0


@pytest.mark.parametrize(
    ("mode", "label"),
    [("id", "org_a"), ("hash", "671b8040d49d"), ("off", "")],
)
def test_tenants_are_shown_hashed_or_left_out(
    settings: Any, mode: str, label: str
) -> None:
    settings.METRICS_TENANT_LABEL = mode

    assert metrics.tenant_label("org_a") == label


def test_what_another_process_counts_is_real(client: Client) -> None:
    code = (
        "import django; django.setup();"
        "from churnguard import metrics;"
        "[metrics.bus_message('elsewhere', is_ok=True) for _ in range(400)]"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", code], check=True, env=os.environ)

    samples = _samples(client)

    name = "service_bus_messages_processed_total"
    assert _value(samples, name, queue="elsewhere") == 800


def test_depths_are_read_from_the_tables(org: Organization) -> None:
    integration = make_integration(org, "Files")
    make_run(integration, "pending", None)
    make_batch(integration.source, datetime.now(UTC), inserted=3, events=3)
    Customer.objects.create(organization=org, score_stale_at=datetime.now(UTC))

    families = {family.name: family for family in DepthCollector().collect()}

    depth = families["service_bus_queue_depth"].samples
    assert {s.labels["queue"]: s.value for s in depth} == {
        "sync": 1,
        "rollup": 1,
        "scoring": 1,
        "celery": 0,
    }
    (dead,) = families["service_bus_dlq_depth"].samples
    assert (dead.labels, dead.value) == ({"queue": "quarantine"}, 0)
    (status,) = families["integrations_by_status"].samples
    assert (status.labels, status.value) == ({"status": "active"}, 1)
    assert families["worker_heartbeat_age_seconds"].samples == []


def test_who_may_scrape(client: Client, settings: Any) -> None:
    def status(**headers: str) -> int:
        return client.get("/metrics", **headers).status_code

    assert status() == 200
    assert status(REMOTE_ADDR="192.0.2.1") == 401
    assert status(HTTP_X_FORWARDED_FOR="192.0.2.1") == 401

    settings.METRICS_TOKEN = "a-token"
    assert status() == 401
    assert status(HTTP_AUTHORIZATION="Bearer wrong") == 401
    assert status(HTTP_AUTHORIZATION="Bearer a-token", REMOTE_ADDR="192.0.2.1") == 200
