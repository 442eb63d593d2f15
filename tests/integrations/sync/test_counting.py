"""What a run counts shows on /metrics."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from churnguard.models import Organization
from integrations.models import Integration
from tests.integrations.sync.conftest import sync
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
    assert counts["sync_jobs_total", "all", "processing"] == 2
    assert counts["sync_jobs_total", "all", "completed"] == 2
    assert counts["sync_jobs_processed_total", "all", "completed"] == 2
    assert counts["sync_latency_ms_count", "", "completed"] == 2
    assert counts["sync_records_created_total", "customer", "success"] == 5
    assert ("sync_jobs_failed_total", "all", "failed") not in counts
