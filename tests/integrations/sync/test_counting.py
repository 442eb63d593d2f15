"""What a run counts shows on /metrics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from churnguard.models import Organization
from integrations import runs
from integrations.models import Integration
from tests.integrations.sync.conftest import sync, work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)


def _counts(client: Client, org: Organization) -> dict[tuple[str, str, str], float]:
    """{(metric, entity, status): value} of this organisation, zeros left out."""
    text = client.get("/metrics").content.decode()
    return {
        (s.name, s.labels.get("entity", ""), s.labels.get("status", "")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.labels.get("tenant_id") == org.public_id
        and s.value
        and "le" not in s.labels
        and s.name.endswith(("_total", "_count"))
    }


def test_a_run_and_its_records_are_counted(
    client: Client,
    org: Organization,
    account: Account,
    connect: Callable[..., Integration],
) -> None:
    account.rows = {"companies": ids(5)}
    integration = connect()

    sync(integration)
    sync(integration, mode="full")

    counts = _counts(client, org)
    assert counts["sync_jobs_total", "all", "pending"] == 2
    assert counts["sync_jobs_total", "all", "processing"] == 2
    assert counts["sync_jobs_total", "all", "completed"] == 2
    assert counts["sync_jobs_processed_total", "all", "completed"] == 2
    assert counts["sync_latency_ms_count", "", "completed"] == 2
    assert counts["sync_records_created_total", "customer", "success"] == 5
    assert ("sync_jobs_failed_total", "all", "failed") not in counts


def test_a_run_cancelled_before_it_began_is_counted(
    client: Client,
    org: Organization,
    account: Account,
    connect: Callable[..., Integration],
) -> None:
    integration = connect()
    sync(integration)
    before = _counts(client, org)

    waiting = runs.start(integration)
    assert runs.request_cancel(waiting)
    assert not runs.request_cancel(waiting)

    counts = _counts(client, org)
    changed = {k: v - before.get(k, 0) for k, v in counts.items() if v != before.get(k)}
    assert changed == {
        ("sync_jobs_total", "all", "pending"): 1,
        ("sync_jobs_total", "all", "cancelled"): 1,
        ("sync_jobs_processed_total", "all", "cancelled"): 1,
    }


def test_a_run_cancelled_at_work_is_counted_once(
    client: Client,
    org: Organization,
    account: Account,
    connect: Callable[..., Integration],
) -> None:
    account.rows = {"companies": ids(5)}
    integration = connect()
    run = runs.start(integration)
    account.before_page = lambda *_: runs.request_cancel(run)

    work(run)

    counts = _counts(client, org)
    assert run.status == "cancelled"
    assert counts["sync_jobs_total", "all", "cancelled"] == 1
    assert counts["sync_jobs_processed_total", "all", "cancelled"] == 1
