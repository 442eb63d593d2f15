"""The specification's Python examples, run as they are written there."""

from __future__ import annotations

import ast
import asyncio
import dataclasses
import inspect
import re
import typing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from churnguard.errors import ConfigError
from churnguard.models import Organization
from integrations import connecting, queries, registry, sdk
from integrations.models import Integration, SyncRun
from integrations.sdk import IntegrationConfiguration, IntegrationEngine

pytestmark = pytest.mark.django_db(transaction=True)
GUIDE = Path("spec") / "integration-connectors-guide.md"
SNIPPETS = re.compile(r"```python\n(.*?)```", re.DOTALL)
ENDPOINTS = [{"name": "people", "endpoint_url": "/people"}]
IMPORTS = re.compile(r"from server\.integrations\.[\w.]+ import")


def run_example(shared: Path, named: str, **given: Any) -> dict[str, Any]:
    """Execute the first example that holds `named`, with more names than those of the
    facade; returns its names."""
    guide = shared / GUIDE
    if not guide.is_file():
        pytest.skip(f"no specification in {shared}")
    (code, *_rest) = [s for s in SNIPPETS.findall(guide.read_text()) if named in s]
    names: dict[str, Any] = {name: getattr(sdk, name) for name in sdk.__all__}
    names |= {"__name__": __name__, **given}
    compiled = compile(
        IMPORTS.sub("from integrations.sdk import", code),
        named,
        "exec",
        flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
    )
    asyncio.run(_awaited(compiled, names))
    return names


async def _awaited(compiled: Any, names: dict[str, Any]) -> None:
    result = eval(compiled, names)
    if inspect.isawaitable(result):
        await result


@pytest.fixture
def their_org(monkeypatch: pytest.MonkeyPatch) -> Organization:
    """The organisation the examples name."""
    monkeypatch.setattr("integrations.runs._nudge", lambda _run_id: None)
    return Organization.objects.create(name="Acme", public_id="org_123")


@pytest.mark.parametrize("name", ["IntegrationConfiguration", "SyncConfiguration"])
def test_the_fields_are_those_of_the_specification(
    shared_data: Path, name: str
) -> None:
    """In the same order, with the same defaults."""
    names = {**vars(dataclasses), **vars(typing), "datetime": datetime}
    theirs = run_example(shared_data, f"class {name}:", **names)[name]
    ours = getattr(sdk, name)

    wanted = [field.name for field in dataclasses.fields(theirs)]
    assert [field.name for field in dataclasses.fields(ours)][: len(wanted)] == wanted
    made = ours()
    for field in dataclasses.fields(theirs):
        if field.default is not dataclasses.MISSING:
            assert getattr(made, field.name) == field.default, field.name
        elif field.default_factory in (dict, list):
            assert getattr(made, field.name) == field.default_factory(), field.name


def test_every_field_reaches_the_integration(their_org: Organization) -> None:
    config = IntegrationConfiguration(
        "billing",
        "org_123",
        "Billing",
        sdk.IntegrationType.PAYMENT,
        "stripe",
        credentials=sdk.IntegrationCredentials("api_key", api_key="rk_test_12345678"),
        sync_config=sdk.SyncConfiguration(
            sdk.DataSyncMode.SCHEDULED,
            900,
            50,
            2,
            30,
            {"customers:name": {"ne": "Test"}},
            {"industry": "metadata.trade"},
            "created",
            None,
            90,
            3,
        ),
        base_url="https://stripe.example",
        api_version="2026-10-28.endive",
        webhook_url="https://cg.example/webhooks/stripe/org_123",
        entity_mappings={"customers": "contact"},
        created_by="ops@acme",
        tags=["money"],
        settings={"discounts": "none"},
    )

    asyncio.run(IntegrationEngine().register_integration(config))

    body = queries.integration_body(Integration.objects.get())
    assert (body["integration_name"], body["status"]) == ("Billing", "active")
    sync_config = dataclasses.asdict(config.sync_config)
    assert body["sync_config"] == {**sync_config, "sync_mode": "scheduled"}
    for name in (
        "integration_id",
        "organization_id",
        "integration_type",
        "provider_name",
        "base_url",
        "api_version",
        "webhook_url",
        "entity_mappings",
        "created_by",
        "tags",
        "settings",
    ):
        assert body[name] == getattr(config, name), name
    assert body["credentials"]["credential_type"] == "api_key"
    assert body["credentials"]["fields"].keys() == {"api_key"}


def test_the_basic_usage(shared_data: Path, their_org: Organization) -> None:
    names = run_example(shared_data, "engine.start_sync(integration_id)")

    row = Integration.objects.get(organization=their_org)
    assert row.public_id == names["integration_id"] == "salesforce_main"
    assert (row.name, row.integration_type) == ("Salesforce CRM", "crm")
    assert SyncRun.objects.get().public_id == names["sync_id"]
    assert names["status"]["integration_id"] == "salesforce_main"


@pytest.mark.parametrize(
    ("named", "provider"),
    [
        ("salesforce_config", "salesforce"),
        ("hubspot_config", "hubspot"),
        ("stripe_config", "stripe"),
        ("mysql_config", "mysql"),
    ],
)
def test_an_example_configuration_is_complete(
    shared_data: Path, their_org: Organization, named: str, provider: str
) -> None:
    config = run_example(shared_data, f"{named} =")[named]
    assert isinstance(config, IntegrationConfiguration)

    engine = IntegrationEngine(their_org.public_id)
    made = asyncio.run(engine.register_integration(config))

    row = Integration.objects.get(public_id=made)
    assert (row.provider_name, row.status, row.status_detail) == (
        provider,
        "active",
        "",
    )


def test_an_address_is_host_and_port_until_it_changes(
    their_org: Organization,
) -> None:
    def register(base_url: str) -> Integration:
        body = {
            "provider_name": "mysql",
            "base_url": base_url,
            "settings": {"database": "shop", "username": "reader"},
        }
        return registry.create(their_org, body, by="test")

    made = register("mysql.company.com:3307")
    assert connecting.connector_settings(made)["host"] == "mysql.company.com"
    assert connecting.connector_settings(made)["port"] == 3307
    registry.update(made, {"base_url": "mysql://db2.company.com"}, by="test")
    made.refresh_from_db()
    assert made.settings["host"] == "db2.company.com"
    assert "port" not in made.settings
    assert register("/run/mysqld.sock").settings["host"] == "/run/mysqld.sock"
    assert register("[2001:db8::1]:3306").settings["host"] == "2001:db8::1"
    with pytest.raises(ConfigError) as caught:
        register("db:many")
    assert set(caught.value.fields) == {"base_url"}


def test_an_address_among_the_settings_can_be_changed_like_any_other(
    their_org: Organization,
) -> None:
    settings = {"base_url": "https://one.example", "endpoints": ENDPOINTS}
    made = registry.create(
        their_org, {"provider_name": "rest", "settings": settings}, by="test"
    )
    assert made.base_url == "https://one.example"

    registry.update(made, {"base_url": "https://two.example"}, by="test")

    made.refresh_from_db()
    assert connecting.connector_settings(made)["base_url"] == "https://two.example"


@pytest.mark.parametrize(
    ("credential_type", "values", "auth_type"),
    [
        ("basic_auth", {"username": "ann", "password": "pw-12345"}, "basic"),
        ("bearer_token", {"access_token": "t-12345"}, "bearer"),
        ("api_key", {"api_key": "k-12345"}, "header_key"),
        ("oauth2", {"access_token": "t-12345"}, "bearer"),
        (
            "oauth2",
            {
                "refresh_token": "r-12345",
                "custom_fields": {"client_id": "c", "token_url": "https://id.example"},
            },
            "oauth2_refresh",
        ),
        (
            "oauth2",
            {
                "custom_fields": {
                    "client_id": "c",
                    "client_secret": "s-12345",
                    "token_url": "https://id.example",
                }
            },
            "oauth2_client_credentials",
        ),
        (
            "api_key",
            {"api_key": "k-12345", "custom_fields": {"auth_type": "query_key"}},
            "query_key",
        ),
        ("custom", {"custom_fields": {"headers": {"X-Key": "k-12345"}}}, None),
    ],
)
def test_the_kind_of_credentials_says_how_an_api_is_signed(
    their_org: Organization,
    credential_type: str,
    values: dict[str, Any],
    auth_type: str | None,
) -> None:
    config = IntegrationConfiguration(
        organization_id="org_123",
        provider_name="rest",
        base_url="https://api.example.com",
        credentials=sdk.IntegrationCredentials(credential_type, **values),
        settings={"endpoints": ENDPOINTS},
    )

    asyncio.run(IntegrationEngine().register_integration(config))

    assert Integration.objects.get().settings.get("auth_type") == auth_type


def test_the_example_rule(shared_data: Path, their_org: Organization) -> None:
    rule = run_example(shared_data, "rule = APIIngestionRule(")["rule"]

    asyncio.run(IntegrationEngine().register_integration(rule))

    row = Integration.objects.get(public_id="customer_api_sync")
    assert (row.status, row.sync_frequency) == ("active", 1800)
    (endpoint,) = row.settings["endpoints"]
    assert endpoint["data_path"] == "customers"
    assert endpoint["field_mappings"]["email"] == "customer_email"


def test_the_tuned_sync_configuration(shared_data: Path) -> None:
    tuned = run_example(shared_data, "sync_config = SyncConfiguration(")["sync_config"]

    assert (tuned.batch_size, tuned.concurrent_requests) == (500, 3)
    assert (tuned.requests_per_minute, tuned.retry_attempts) == (120, 2)
