"""Integrations over HTTP: the specification's shapes, roles, strangers, secrets."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection as database
from rest_framework.test import APIClient

from churnguard.auth import create_api_key
from churnguard.errors import AuthenticationError
from churnguard.models import AuditEntry, Organization, Schedule, Source
from integrations.models import Credential, Integration
from integrations.sdk import SyncConfiguration
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db
CANARY = "canary-77aa31"


def create(client: APIClient, body: dict[str, Any], status: int = 201) -> Any:
    answer = client.post("/api/integrations", body, format="json")
    assert answer.status_code == status, answer.content
    return answer.json()


def test_create_answers_the_configuration_without_secrets(
    account: Account, owner: APIClient, body: dict[str, Any], org: Organization
) -> None:
    made = create(owner, body)

    assert made["integration_id"].startswith("int_")
    assert made["organization_id"] == org.public_id
    assert (made["integration_name"], made["status"]) == ("Main", "active")
    assert made["sync_config"]["sync_frequency"] == 3600
    assert made["settings"] == {"region": "eu"}
    hints = made["credentials"]["fields"]
    assert set(hints) == {"access_token", "client_secret"}
    assert hints["access_token"]["set"] is True
    assert hints["access_token"]["last4"] == "cess"
    assert Schedule.objects.get(kind="sync").every_s == 3600
    assert Source.objects.get().name == "main"


def test_the_operator_sets_what_an_integration_has_by_default(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    org: Organization,
    settings: Any,
) -> None:
    settings.INTEGRATION_DEFAULT_BATCH_SIZE = 250
    settings.INTEGRATION_DEFAULT_RETRY_ATTEMPTS = 7
    chosen = create(owner, body)["sync_config"]
    del body["sync_config"]["batch_size"]
    left_open = create(owner, body)["sync_config"]

    assert (chosen["batch_size"], chosen["retry_attempts"]) == (1000, 7)
    assert (left_open["batch_size"], left_open["retry_attempts"]) == (250, 7)
    facade = SyncConfiguration()
    assert (facade.batch_size, facade.retry_attempts) == (250, 7)


def test_a_brought_id_is_unique_in_its_organisation(
    account: Account,
    owner: APIClient,
    stranger: APIClient,
    body: dict[str, Any],
    other_org: Organization,
) -> None:
    body["integration_id"] = "salesforce_main"
    assert create(owner, body)["integration_id"] == "salesforce_main"

    assert create(owner, body, 400)["code"] == "duplicate_id"
    body["organization_id"] = other_org.public_id
    assert create(stranger, body)["integration_id"] == "salesforce_main"


def test_another_organisation_in_the_body_is_not_found(
    account: Account, owner: APIClient, body: dict[str, Any], other_org: Organization
) -> None:
    body["organization_id"] = other_org.public_id

    assert create(owner, body, 404)["code"] == "not_found"
    assert not Integration.objects.exists()


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"provider_name": "nonesuch"}, "provider_name"),
        ({"integration_type": "toaster"}, "integration_type"),
        ({"sync_config": {"sync_frequency": 5}}, "sync_frequency"),
        ({"sync_config": {"batch_size": 0}}, "sync_config"),
        ({"sync_config": {"data_filters": {"a": {"like": 1}}}}, "data_filters"),
        ({"settings": {"colour": "red"}}, "colour"),
        ({"settings": {"_trusted_root": "/"}}, "_trusted_root"),
        ({"settings": {"region": "mars"}}, "region"),
        ({"settings": {"api_key": "x"}}, "api_key"),
        ({"integration_id": "a b"}, "integration_id"),
        ({"entity_mappings": 3}, "entity_mappings"),
        ({"entity_mappings": {"firms": "costumer"}}, "entity_mappings.firms"),
        ({"tags": [{"a": 1}]}, "tags"),
        ({"integration_name": "nul \0"}, "integration_name"),
    ],
)
def test_what_is_not_valid_is_named(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    change: dict[str, Any],
    field: str,
) -> None:
    answer = create(owner, {**body, **change}, 400)

    assert field in answer["fields"], answer
    assert not Integration.objects.exists()


def test_update_changes_what_it_names(
    account: Account, owner: APIClient, body: dict[str, Any]
) -> None:
    url = f"/api/integrations/{create(owner, body)['integration_id']}"

    answer = owner.patch(
        url,
        {
            "integration_name": "Renamed",
            "settings": {"region": "us"},
            "credentials": {"access_token": "another-access-0042"},
            "sync_config": {"sync_frequency": 900},
        },
        format="json",
    ).json()

    assert answer["integration_name"] == "Renamed"
    assert answer["settings"] == {"region": "us"}
    assert answer["sync_config"]["batch_size"] == 1000
    assert answer["credentials"]["fields"]["access_token"]["last4"] == "0042"
    assert "client_secret" in answer["credentials"]["fields"]
    assert answer["credentials"]["credential_type"] == "oauth2"
    assert Schedule.objects.get(kind="sync").every_s == 900
    assert owner.patch(url, {"provider_name": "x"}, format="json").status_code == 400
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"integration.created", "integration.updated"} <= actions


def test_delete_takes_secrets_and_schedules_along(
    account: Account, owner: APIClient, body: dict[str, Any]
) -> None:
    url = f"/api/integrations/{create(owner, body)['integration_id']}"

    assert owner.delete(url).status_code == 204

    assert owner.get(url).status_code == 404
    assert not Credential.objects.exists()
    assert not Schedule.objects.filter(kind="sync").exists()
    assert Source.objects.exists()


def test_addresses_work_with_and_without_a_slash(
    account: Account, owner: APIClient, body: dict[str, Any]
) -> None:
    made = create(owner, body)["integration_id"]

    for url in (f"/api/integrations/{made}", "/api/integrations", "/api/catalog"):
        assert owner.get(url).status_code == 200
        assert owner.get(f"{url}/").status_code == 200


READS = (
    "/api/integrations/{id}",
    "/api/integrations/{id}/streams",
    "/api/integrations/{id}/runs",
    "/api/integrations/{id}/sync/status",
    "/api/dashboard/integration/{id}",
)
WRITES = (
    "/api/integrations/{id}/sync",
    "/api/integrations/{id}/test",
    "/api/integrations/{id}/pause",
    "/api/integrations/{id}/resume",
)


@pytest.mark.parametrize("url", READS)
def test_members_read_and_strangers_find_nothing(
    account: Account,
    owner: APIClient,
    viewer: APIClient,
    stranger: APIClient,
    api: Callable[..., APIClient],
    body: dict[str, Any],
    url: str,
) -> None:
    url = url.format(id=create(owner, body)["integration_id"])

    assert owner.get(url).status_code == 200
    assert viewer.get(url).status_code == 200
    assert stranger.get(url).status_code == 404
    assert api().get(url).status_code == 401


@pytest.mark.parametrize("url", WRITES)
def test_viewers_may_not_act_and_strangers_find_nothing(
    account: Account,
    owner: APIClient,
    viewer: APIClient,
    stranger: APIClient,
    api: Callable[..., APIClient],
    body: dict[str, Any],
    url: str,
) -> None:
    url = url.format(id=create(owner, body)["integration_id"])

    assert viewer.post(url).status_code == 403
    assert stranger.post(url).status_code == 404
    assert api().post(url).status_code == 401
    assert owner.post(url).status_code in (200, 202)


def test_only_admins_delete(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    org: Organization,
    api: Any,
) -> None:
    url = f"/api/integrations/{create(owner, body)['integration_id']}"
    _key, writer = create_api_key(org, "writer", ["write"])
    _key, admin = create_api_key(org, "admin", ["admin"])

    assert api(key=writer).delete(url).status_code == 403
    assert api(key=admin).delete(url).status_code == 204


def test_a_list_is_the_organisations_own(
    account: Account, owner: APIClient, stranger: APIClient, body: dict[str, Any]
) -> None:
    create(owner, body)

    (row,) = owner.get("/api/integrations").json()["results"]

    assert row["integration_name"] == "Main"
    assert row["schedule"] == "every hour"
    assert row["provider_label"] == "Scripted"
    assert stranger.get("/api/integrations").json()["results"] == []
    for query, count in (("search=mai", 1), ("status=error", 0), ("type=crm", 1)):
        found = owner.get(f"/api/integrations?{query}").json()["results"]
        assert len(found) == count, query
    assert owner.get("/api/integrations?search=%00").status_code == 400


def test_the_list_takes_a_fixed_number_of_queries(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    django_assert_max_num_queries: Any,
) -> None:
    for number in range(5):
        create(owner, {**body, "integration_name": f"Number {number}"})

    with django_assert_max_num_queries(12):
        rows = owner.get("/api/integrations").json()["results"]

    assert len(rows) == 5


def test_a_connection_test_says_what_to_do(
    account: Account, owner: APIClient, body: dict[str, Any]
) -> None:
    made = create(owner, body)["integration_id"]

    good = owner.post(f"/api/integrations/{made}/test").json()
    assert good == {
        "integration_id": made,
        "ok": True,
        "code": "ok",
        "detail": "Connected to Scripted.",
    }

    def refuse() -> str:
        raise AuthenticationError("The key canary-77aa31-access is not known; renew.")

    account.checks = refuse
    bad = owner.post("/api/system/test-connections").json()
    assert (bad["ok"], bad["failed"]) == (0, 1)
    assert bad["results"][0]["detail"] == "The key •••••• is not known; renew."
    status = owner.get(f"/api/integrations/{made}").json()["status"]
    assert status == "authentication_failed"


def test_no_secret_leaves_the_vault(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    made = create(owner, body)["integration_id"]
    answers = [
        owner.get(f"/api/integrations/{made}").content,
        owner.get("/api/integrations").content,
        owner.get(f"/api/dashboard/integration/{made}").content,
        owner.patch(
            f"/api/integrations/{made}",
            {"credentials": {"api_key": f"{CANARY}-again"}},
            format="json",
        ).content,
    ]

    assert not any(CANARY.encode() in answer for answer in answers)
    assert CANARY not in caplog.text
    assert not any(CANARY in json.dumps(vars(r), default=str) for r in caplog.records)
    with database.cursor() as cur:
        cur.execute(
            "SELECT table_name FROM information_schema.tables "
            "WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
        )
        for (table,) in cur.fetchall():
            cur.execute(
                f'SELECT count(*) FROM "{table}" t WHERE t::text LIKE %s',
                [f"%{CANARY}%"],
            )
            assert cur.fetchone()[0] == 0, table


def test_the_catalogue_lists_fields(account: Account, viewer: APIClient) -> None:
    rows = {
        row["provider_name"]: row
        for row in viewer.get("/api/catalog").json()["results"]
    }

    assert {field["name"] for field in rows["scripted"]["fields"]} == {
        "region",
        "api_key",
    }
    assert rows["file"]["label"] == "Files"
