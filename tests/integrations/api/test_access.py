"""The API and the pages agree on who may do what to integrations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.urls import get_resolver
from rest_framework.test import APIClient

from churnguard.auth import ROLE_RANK, ROLE_SCOPES, create_api_key
from churnguard.models import AuditEntry, Organization, User
from integrations import controls, credentials, runs
from integrations.models import Integration, SyncRun
from tests.integrations.api.test_integrations import create
from tests.integrations.pages.test_access import PRESSED, SEEN
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db(transaction=True)

# What the API does -> the page or button that does the same.
SAME = {
    ("api-integrations", "POST"): SEEN["/integrations/new/"],
    ("api-ingestion-rules", "POST"): SEEN["/integrations/new/"],
    ("api-system-preview", "POST"): SEEN["/integrations/new/"],
    ("api-ingestion-rules-preview", "POST"): SEEN["/integrations/new/"],
    ("api-integration-preview", "POST"): SEEN["/integrations/{crm}/settings/"],
    ("api-integration", "PATCH"): SEEN["/integrations/{crm}/settings/"],
    ("api-integration", "DELETE"): PRESSED["/integrations/{crm}/delete/"],
    ("api-integration-test", "POST"): PRESSED["/integrations/{crm}/test/"],
    ("api-test-connections", "POST"): PRESSED["/integrations/{crm}/test/"],
    ("api-integration-connect", "POST"): PRESSED["/integrations/{crm}/authorize/"],
    ("api-integration-revoke", "POST"): SEEN["/integrations/{crm}/settings/"],
    ("api-integration-pause", "POST"): PRESSED["/integrations/{crm}/pause/"],
    ("api-integration-resume", "POST"): PRESSED["/integrations/{crm}/resume/"],
    ("api-system-pause", "POST"): PRESSED["/integrations/bulk/"],
    ("api-system-resume", "POST"): PRESSED["/integrations/bulk/"],
    ("api-streams", "PATCH"): PRESSED["/integrations/{crm}/stream/"],
    ("api-streams-discover", "POST"): PRESSED["/integrations/{crm}/discover/"],
    ("api-stream-confirm-deletes", "POST"): PRESSED["/integrations/{crm}/brake/"],
    ("api-sync", "POST"): PRESSED["/integrations/{crm}/sync/"],
    ("api-sync-cancel", "POST"): PRESSED["/integrations/{crm}/cancel/"],
    ("api-stream-retry", "POST"): PRESSED["/syncs/{run}/retry/"],
    ("api-mapping", "PUT"): PRESSED["/integrations/{crm}/mapping/roll-back/"],
    ("api-mapping-rollback", "POST"): PRESSED["/integrations/{crm}/mapping/roll-back/"],
    ("api-uploads", "POST"): PRESSED["/integrations/{files}/files/upload/"],
    ("api-quarantine-replay", "POST"): PRESSED["/quarantine/bulk/"],
    ("api-quarantine-discard", "POST"): PRESSED["/quarantine/bulk/"],
}


def _scope(name: str, method: str) -> str:
    (pattern,) = [
        p
        for p in get_resolver("integrations.urls").url_patterns
        if getattr(p, "name", "") == name
    ]
    view = pattern.callback.view_class  # type: ignore[union-attr]
    assert method.lower() in dir(view), (name, method)
    scope: str = getattr(view, "required_scope", {}).get(method, "write")
    return scope


@pytest.mark.parametrize(("name", "method"), SAME)
def test_the_api_asks_for_what_the_page_asks_for(name: str, method: str) -> None:
    needed = _scope(name, method)

    least = min(
        (role for role, scopes in ROLE_SCOPES.items() if needed in scopes),
        key=ROLE_RANK.__getitem__,
    )
    assert least == SAME[name, method]


@pytest.fixture
def analyst(member: Callable[[str], User], api: Callable[..., APIClient]) -> APIClient:
    return api(member("analyst"))


@pytest.fixture
def writer(org: Organization, api: Callable[..., APIClient]) -> APIClient:
    return api(key=create_api_key(org, "writer", ["write"])[1])


def test_connections_are_made_changed_and_ended_by_admins_alone(
    account: Account,
    owner: APIClient,
    analyst: APIClient,
    writer: APIClient,
    body: dict[str, Any],
) -> None:
    made = create(owner, body)["integration_id"]
    place = f"/api/integrations/{made}"
    held = credentials.describe(Integration.objects.get())
    rule = {"rule_id": "r", "name": "R", "endpoint_url": "https://api.example.com/x"}
    tries: list[tuple[str, str, dict[str, Any]]] = [
        ("post", "/api/integrations", body),
        ("post", "/api/ingestion-rules", rule),
        ("patch", place, {"credentials": {"api_key": "another"}}),
        ("patch", place, {"integration_name": "Other"}),
        ("patch", f"{place}/streams", {"streams": {}}),
        ("post", f"{place}/pause", {}),
        ("delete", place, {}),
    ]

    for client in (analyst, writer):
        for method, url, sent in tries:
            answer = getattr(client, method)(url, sent, format="json")
            assert answer.status_code == 403, (method, url)
            assert answer.json()["code"] == "permission_denied"

    found = Integration.objects.get()
    assert (found.name, found.status) == ("Main", "active")
    assert credentials.describe(found) == held
    assert (
        owner.patch(place, {"integration_name": "Other"}, format="json").json()[
            "integration_name"
        ]
        == "Other"
    )


def test_an_analyst_and_a_writing_key_start_and_stop_syncs(
    account: Account,
    owner: APIClient,
    analyst: APIClient,
    writer: APIClient,
    viewer: APIClient,
    body: dict[str, Any],
) -> None:
    place = f"/api/integrations/{create(owner, body)['integration_id']}/sync"

    for client in (analyst, writer):
        assert client.post(place).status_code == 202
        assert client.post(f"{place}/cancel").status_code == 202
    assert viewer.post(place).status_code == 403
    assert SyncRun.objects.filter(status="cancelled").count() == 2
    assert SyncRun.objects.count() == 2


def test_several_are_paused_and_resumed_together(
    account: Account,
    owner: APIClient,
    stranger: APIClient,
    body: dict[str, Any],
    org: Organization,
) -> None:
    ids = [
        create(
            owner, {**body, "integration_name": f"N {n}", "integration_id": f"n{n}"}
        )["integration_id"]
        for n in range(3)
    ]
    run = runs.start(Integration.objects.get(public_id="n0"))
    controls.pause(Integration.objects.get(public_id="n1"), by="test")
    AuditEntry.objects.all().delete()

    answer = owner.post(
        "/api/system/pause", {"integrations": ["n0", "n1"]}, format="json"
    )

    assert answer.json() == {"changed": ["n0"]}
    statuses = dict(Integration.objects.values_list("public_id", "status"))
    assert statuses == {"n0": "paused", "n1": "paused", "n2": "active"}
    run.refresh_from_db()
    assert run.status == "cancelled"
    entries = AuditEntry.objects.values_list("action", "target_id")
    assert list(entries) == [("integration.paused", "n0")]

    refused = stranger.post(
        "/api/system/resume", {"integrations": ["n0"]}, format="json"
    )
    unknown = owner.post(
        "/api/system/resume", {"integrations": ["n0", "nope"]}, format="json"
    )
    empty = owner.post("/api/system/resume", {"integrations": []}, format="json")
    assert (refused.status_code, unknown.status_code) == (404, 404)
    assert empty.status_code == 400
    assert Integration.objects.get(public_id="n0").status == "paused"

    answer = owner.post("/api/system/resume", {"integrations": ids}, format="json")
    assert answer.json() == {"changed": ["n0", "n1"]}
    assert set(Integration.objects.values_list("status", flat=True)) == {"active"}


def test_resuming_does_not_finish_what_is_not_set_up(
    crm_without_password: Integration, owner: APIClient
) -> None:
    place = f"/api/integrations/{crm_without_password.public_id}"

    owner.post(f"{place}/pause")
    resumed = owner.post(f"{place}/resume").json()

    assert resumed["status"] == "inactive"
    assert resumed["status_detail"] == "Still to be filled in: database."


@pytest.fixture
def crm_without_password(org: Organization) -> Integration:
    from integrations import registry

    return registry.create(
        org,
        {
            "provider_name": "postgresql",
            "settings": {"host": "db.example", "username": "reader"},
            "credentials": {"custom_fields": {"password": "canary-horse-battery"}},
        },
        by="test",
    )


@pytest.mark.parametrize("taken", ["new", "bulk", "oauth"])
def test_ids_of_pages_are_no_integrations(
    account: Account, owner: APIClient, body: dict[str, Any], taken: str
) -> None:
    answer = owner.post(
        "/api/integrations", {**body, "integration_id": taken}, format="json"
    )

    assert answer.status_code == 400
    assert "integration_id" in answer.json()["fields"]
    assert Integration.objects.count() == 0


def test_the_page_pauses_and_resumes_the_ticked_ones(
    account: Account,
    owner: APIClient,
    body: dict[str, Any],
    client: Client,
    alice: User,
) -> None:
    for n in range(2):
        create(owner, {**body, "integration_name": f"N {n}", "integration_id": f"n{n}"})
    client.force_login(alice)

    nothing = client.post("/integrations/bulk/", {"do": "pause"}, follow=True)
    odd = client.post("/integrations/bulk/", {"do": "x", "id": "n0"}, follow=True)
    paused = client.post(
        "/integrations/bulk/",
        {"do": "pause", "id": ["n0", "n1"], "next": "/integrations/?q=N"},
        follow=True,
    )
    assert b"Tick at least one integration." in nothing.content
    assert b"Tick at least one integration." in odd.content
    assert paused.redirect_chain[0][0] == "/integrations/?q=N"
    assert b"2 integrations were paused." in paused.content
    assert set(Integration.objects.values_list("status", flat=True)) == {"paused"}
    again = client.post("/integrations/bulk/", {"do": "pause", "id": "n0"}, follow=True)
    assert b"none of them could be paused" in again.content
    resumed = client.post("/integrations/bulk/", {"do": "resume", "id": "n1"})
    assert resumed["Location"] == "/integrations/"
    assert dict(Integration.objects.values_list("public_id", "status")) == {
        "n0": "paused",
        "n1": "active",
    }
    foreign = client.post("/integrations/bulk/", {"do": "pause", "id": "a\x00b"})
    assert foreign.status_code == 404
    page = client.get("/integrations/").content.decode()
    assert page.count('form="bulk"') == 2
