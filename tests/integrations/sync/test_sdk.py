"""The Python facade, used as the specification shows it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from churnguard.errors import ConfigError
from churnguard.models import AuditEntry, Organization
from integrations.models import Integration, SyncRun
from integrations.sdk import (
    APIIngestionRule,
    DataSyncMode,
    IntegrationConfiguration,
    IntegrationCredentials,
    IntegrationEngine,
    IntegrationStatus,
    IntegrationType,
    SyncConfiguration,
)
from tests.integrations.sync.conftest import work
from tests.integrations.sync.scripted import Account, ids

pytestmark = pytest.mark.django_db(transaction=True)


def config(org: Organization, **extra: Any) -> IntegrationConfiguration:
    return IntegrationConfiguration(
        integration_id="scripted_main",
        organization_id=org.public_id,
        integration_name="Scripted CRM",
        integration_type=IntegrationType.CRM,
        provider_name="scripted",
        credentials=IntegrationCredentials(
            credential_type="oauth2",
            access_token="your_access_token",
            refresh_token="your_refresh_token",
        ),
        sync_config=SyncConfiguration(
            sync_mode=DataSyncMode.INCREMENTAL, sync_frequency=3600, batch_size=2
        ),
        **extra,
    )


def test_register_sync_and_status(account: Account, org: Organization) -> None:
    account.rows = {"companies": ids(3)}
    engine = IntegrationEngine()

    async def begin() -> tuple[str, str, str]:
        made = await engine.register_integration(config(org, tags=["crm"]))
        sync_id = await engine.start_sync(made)
        return made, sync_id, await engine.start_sync(made)

    made, sync_id, again = asyncio.run(begin())
    work(SyncRun.objects.get(public_id=sync_id))
    status = asyncio.run(engine.get_sync_status(made))

    assert made == "scripted_main"
    assert again == sync_id
    assert (status["status"], status["progress"]) == ("active", 1.0)
    assert status["records_processed"] == 3
    row = Integration.objects.get()
    assert (row.batch_size, row.integration_type, row.tags) == (2, "crm", ["crm"])


def test_who_registered_it_and_whether_it_waits(
    account: Account, org: Organization
) -> None:
    engine = IntegrationEngine()
    paused = config(org, created_by="ops@acme", status=IntegrationStatus.PAUSED)

    asyncio.run(engine.register_integration(paused))

    row = Integration.objects.get()
    assert (row.status, row.created_by) == ("paused", "ops@acme")
    actors = AuditEntry.objects.filter(organization=org).values_list("actor", flat=True)
    assert set(actors) == {"ops@acme"}
    with pytest.raises(ConfigError, match="paused"):
        asyncio.run(engine.start_sync("scripted_main"))


def test_values_that_cannot_be_are_named(account: Account, org: Organization) -> None:
    wrong = config(org)
    wrong.integration_name = "x" * 201
    wrong.sync_config.batch_size = "many"  # type: ignore[assignment]

    with pytest.raises(ConfigError) as caught:
        asyncio.run(IntegrationEngine().register_integration(wrong))

    assert caught.value.fields == {
        "batch_size": "1 to 50000",
        "integration_name": "at most 200 characters",
    }
    assert not Integration.objects.exists()


def test_secrets_are_not_printed(org: Organization) -> None:
    assert "your_access_token" not in repr(config(org))


def test_unknown_organisations_and_integrations(
    account: Account, org: Organization
) -> None:
    engine = IntegrationEngine()
    wrong = config(org)
    wrong.organization_id = "org_nobody"

    with pytest.raises(ConfigError):
        asyncio.run(engine.register_integration(wrong))
    with pytest.raises(ConfigError):
        asyncio.run(engine.start_sync("nonesuch"))


def test_an_id_used_by_two_organisations_needs_the_organisation(
    account: Account, org: Organization, other_org: Organization
) -> None:
    for each in (org, other_org):
        asyncio.run(IntegrationEngine().register_integration(config(each)))

    with pytest.raises(ConfigError, match="Several"):
        asyncio.run(IntegrationEngine().get_sync_status("scripted_main"))
    mine = IntegrationEngine(other_org.public_id)
    assert asyncio.run(mine.get_sync_status("scripted_main"))["sync_id"] is None


def test_an_ingestion_rule_becomes_a_rest_integration(org: Organization) -> None:
    rule = APIIngestionRule(
        rule_id="customer_api_sync",
        organization_id=org.public_id,
        name="Customer API Sync",
        description="Sync customer data from external API",
        endpoint_url="https://api.external.com/customers",
        headers={"Authorization": "Bearer your_token"},
        response_format="json",
        data_path="customers",
        sync_frequency=1800,
        field_mappings={"customer_id": "external_customer_id"},
    )

    made = asyncio.run(IntegrationEngine().register_integration(rule))

    row = Integration.objects.get(public_id=made)
    assert (row.provider_name, row.sync_frequency) == ("rest", 1800)
    assert "your_token" not in str(row.settings)


def test_a_rule_may_ask_for_changes_page_by_page(org: Organization) -> None:
    rule = APIIngestionRule(
        rule_id="changes",
        organization_id=org.public_id,
        name="Changes",
        endpoint_url="https://api.external.com/search",
        http_method="post",
        response_format="JSON",
        sync_frequency=0,
        primary_key=["team", "no"],
        body={"kind": "all"},
        pagination={"type": "page", "param": "page", "in_body": True},
        incremental={"field": "changed", "param": "since"},
    )

    made = asyncio.run(IntegrationEngine().register_integration(rule))

    row = Integration.objects.get(public_id=made)
    assert (row.sync_mode, row.sync_frequency) == ("incremental", 0)
    (endpoint,) = row.settings["endpoints"]
    assert endpoint == {
        "record_type": "customer",
        "name": "changes",
        "endpoint_url": "https://api.external.com/search",
        "http_method": "POST",
        "response_format": "json",
        "primary_key": ["team", "no"],
        "body": {"kind": "all"},
        "pagination": {"type": "page", "param": "page", "in_body": True},
        "incremental": {"field": "changed", "param": "since"},
    }
