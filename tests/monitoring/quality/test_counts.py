"""Accuracy by the number of records a provider says it has."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.db import connection

from churnguard.models import Organization, Source
from integrations.models import Integration, RunStream, StreamState, SyncRun
from monitoring.quality import fresh

pytestmark = pytest.mark.django_db


def full_read(org: Organization, provider: str, *, total: int, stored: int) -> Source:
    """A complete read of a provider that says it has `total` customers."""
    source = Source.objects.create(organization=org, name=provider)
    integration = Integration.objects.create(
        organization=org, name=provider, provider_name=provider, source=source
    )
    state = StreamState.objects.create(
        organization=org,
        integration=integration,
        name="customers",
        record_type="customer",
    )
    run = SyncRun.objects.create(
        organization=org,
        integration=integration,
        mode="full",
        status="completed",
        run_at=datetime.now(UTC),
    )
    RunStream.objects.create(
        run=run,
        state=state,
        stream=state.name,
        status="completed",
        reads_all=True,
        total=total,
        fetched=stored,
        inserted=stored,
    )
    return source


def test_only_real_counts_are_held_against_what_is_here(org: Organization) -> None:
    crm = full_read(org, "hubspot", total=200, stored=150)
    full_read(org, "postgresql", total=1000, stored=10)
    full_read(org, "mysql", total=10, stored=1000)

    with connection.cursor() as cur:
        found = fresh.reference(cur, org.pk)

    assert found.keys() == {(crm.pk, "customer")}
    level = found[crm.pk, "customer"]
    assert (level.checked, level.failed, level.score_pct) == (200, 50, 75.0)
