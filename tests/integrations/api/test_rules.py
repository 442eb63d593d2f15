"""API ingestion rules: the specification's body in, a polled REST integration out."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from churnguard.models import Organization, Schedule
from integrations import credentials
from integrations.models import Integration
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db


@pytest.fixture
def rule(org: Organization) -> dict[str, Any]:
    return {
        "rule_id": "customer_api_sync",
        "organization_id": org.public_id,
        "name": "Customer API Sync",
        "description": "Sync customer data from external API",
        "endpoint_url": "https://api.external.com/customers",
        "http_method": "GET",
        "headers": {"Authorization": "Bearer canary-your_token"},
        "response_format": "json",
        "data_path": "customers",
        "sync_frequency": 1800,
        "field_mappings": {
            "customer_id": "external_customer_id",
            "email": "customer_email",
            "created_at": "registration_date",
        },
    }


def test_the_specifications_rule_polls_every_half_hour(
    account: Account, owner: APIClient, rule: dict[str, Any]
) -> None:
    answer = owner.post("/api/ingestion-rules", rule, format="json")

    assert answer.status_code == 201, answer.content
    made = answer.json()
    assert made["integration_id"] == "customer_api_sync"
    assert (made["provider_name"], made["status"]) == ("rest", "active")
    assert made["base_url"] == "https://api.external.com"
    assert made["sync_config"]["sync_mode"] == "full"
    assert made["schedule"] == "every 30 minutes"
    (endpoint,) = made["settings"]["endpoints"]
    for name in ("description", "endpoint_url", "http_method", "response_format"):
        assert endpoint[name] == rule[name]
    assert endpoint["field_mappings"] == rule["field_mappings"]
    assert "canary" not in answer.content.decode()
    row = Integration.objects.get()
    assert credentials.load(row)["headers"] == rule["headers"]
    assert Schedule.objects.get(kind="sync").every_s == 1800


def test_a_rule_with_changes_and_an_id_of_two_fields(
    account: Account, owner: APIClient, rule: dict[str, Any]
) -> None:
    rule |= {
        "sync_frequency": 0,
        "primary_key": ["team", "no"],
        "incremental": {"field": "changed", "param": "since"},
        "pagination": {"type": "page"},
    }

    made = owner.post("/api/ingestion-rules", rule, format="json").json()

    assert made["sync_config"]["sync_mode"] == "incremental"
    assert made["sync_config"]["sync_frequency"] == 0
    (endpoint,) = made["settings"]["endpoints"]
    assert endpoint["primary_key"] == ["team", "no"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"endpoint_url": "/customers"}, "endpoint_url"),
        ({"endpoint_url": "https://a:b@api.external.com/x"}, "endpoints"),
        ({"response_format": "yaml"}, "response_format"),
        ({"http_method": "DELETE"}, "http_method"),
        ({"record_type": "cow"}, "endpoints"),
        ({"pagination": {"type": "cursor"}}, "endpoints"),
        ({"primary_key": {"a": 1}}, "endpoints"),
        ({"sync_frequency": 5}, "sync_frequency"),
        ({"rule_id": "no slashes/please"}, "integration_id"),
    ],
)
def test_a_rule_that_cannot_work_is_refused_with_its_place(
    account: Account,
    owner: APIClient,
    rule: dict[str, Any],
    change: dict[str, Any],
    field: str,
) -> None:
    answer = owner.post("/api/ingestion-rules", rule | change, format="json")

    assert answer.status_code == 400, answer.content
    assert field in answer.json()["fields"]
    assert not Integration.objects.exists()


def test_a_rule_for_another_organisation_is_not_found(
    account: Account, owner: APIClient, rule: dict[str, Any], other_org: Organization
) -> None:
    rule["organization_id"] = other_org.public_id

    assert owner.post("/api/ingestion-rules", rule, format="json").status_code == 404
    assert not Integration.objects.exists()
