"""Trying out a REST endpoint: records raw and mapped, the request, clear refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from rest_framework.test import APIClient

from churnguard.auth import create_api_key
from churnguard.models import Organization, User
from integrations import credentials, previews, registry
from integrations.models import Integration, StreamState
from tests.fakes.base import CANARY
from tests.fakes.rest import RestFake
from tests.fakes.server import FakeServer, Response
from tests.integrations.api.test_integrations import create
from tests.integrations.sync.scripted import Account

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def fake() -> RestFake:
    made = RestFake()
    made.seed(12)
    return made


@pytest.fixture
def rest(fake: RestFake, server: FakeServer) -> dict[str, Any]:
    """An IntegrationConfiguration of the fake."""
    return {
        "provider_name": "rest",
        "integration_name": "People",
        "settings": fake.settings(server.url),
        "credentials": {"custom_fields": fake.secrets()},
        "sync_config": {"sync_frequency": 0},
    }


def preview(client: APIClient, body: dict[str, Any], **more: Any) -> Any:
    return client.post("/api/system/preview", {**body, **more}, format="json")


def test_the_first_records_and_the_request_are_shown_and_nothing_is_stored(
    owner: APIClient, rest: dict[str, Any], server: FakeServer
) -> None:
    answer = preview(owner, rest, limit=3)

    assert answer.status_code == 200
    seen = answer.json()
    assert (seen["ok"], seen["code"], seen["stream"]) == (True, "ok", "people")
    assert seen["detail"] == (
        "people: 3 records read, and more follow; each can be stored."
    )
    assert seen["record_type"] == "contact"
    assert seen["fields"] == [
        "id", "full_name", "email", "company", "joined", "changed",
    ]  # fmt: skip
    assert seen["has_more"] is True
    first = seen["rows"][0]
    assert len(seen["rows"]) == 3
    assert first["raw"]["full_name"] == "Person 0"
    assert first["record"]["name"] == "Person 0"
    assert first["record"]["customer_id"] == "c0"
    assert first["record"]["joined_at"].startswith("2025-11-02T08:00:00")
    (sent,) = seen["requests"]
    assert (sent["method"], sent["status"]) == ("GET", 200)
    assert sent["url"] == f"{server.url}/v2/people?limit=3"
    assert sent["headers"]["authorization"] == "***"
    assert sent["headers"]["x-partner"] == "***"
    assert CANARY not in answer.content.decode()
    assert len(server.calls) == 1
    assert not Integration.objects.exists()


def test_the_kind_of_credentials_signs_the_request(
    owner: APIClient, rest: dict[str, Any], server: FakeServer
) -> None:
    del rest["settings"]["auth_type"]
    rest["credentials"] = {
        "credential_type": "basic_auth",
        "username": "ann",
        "password": "pw-12345",
    }

    preview(owner, rest)

    assert server.calls[0].headers["authorization"] == "Basic YW5uOnB3LTEyMzQ1"


def test_a_key_in_the_address_and_an_echoed_secret_are_masked(
    owner: APIClient, rest: dict[str, Any], fake: RestFake, server: FakeServer
) -> None:
    rest["settings"] |= {"auth_type": "query_key", "key_name": "sesame"}
    rest["credentials"] = {"custom_fields": {"api_key": "k9", "headers": {"X-A": "b1"}}}
    echo = {"data": {"items": [{"id": "p1", "full_name": f"Echo {CANARY}-key"}]}}
    rest["credentials"]["custom_fields"]["password"] = f"{CANARY}-key"
    server.fail("reply", response=Response(200, echo))

    text = preview(owner, rest).content.decode()

    assert server.calls[0].query["sesame"] == "k9"
    assert "k9" not in text
    assert "sesame=" in text
    assert '"b1"' not in text
    assert CANARY not in text


def test_a_record_that_cannot_be_stored_says_why(
    owner: APIClient, rest: dict[str, Any], fake: RestFake
) -> None:
    fake.objects["p00001"]["joined"] = "the day before"

    seen = preview(owner, rest, limit=2).json()

    assert seen["detail"].endswith("1 can be stored, 1 would be quarantined.")
    good, bad = seen["rows"]
    assert (good["error"], bad["record"]) == ("", None)
    assert "joined_at" in bad["error"]
    assert bad["raw"]["joined"] == "the day before"


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        ({"base_url": ""}, "config_error", "Enter the address of the API."),
        ({"endpoints": []}, "invalid_settings", "at least one endpoint"),
        ({"auth_type": "basic"}, "invalid_settings", "fill in username"),
        ({"auth_type": "magic"}, "invalid_settings", "must be one of none,"),
        ({"base_url": "http://10.1.2.3"}, "unsafe_url", "10.1.2.3"),
    ],
)
def test_what_keeps_it_from_asking_is_a_sentence(
    owner: APIClient,
    rest: dict[str, Any],
    server: FakeServer,
    change: dict[str, Any],
    code: str,
    told: str,
) -> None:
    rest["settings"] |= change
    seen = preview(owner, rest).json()

    assert (seen["ok"], seen["rows"]) == (False, [])
    assert told in seen["detail"]
    assert seen["code"] == code
    assert server.calls == []


@pytest.mark.parametrize(
    ("response", "code", "told", "status"),
    [
        (Response(401, {}), "authentication_failed", "", 401),
        (Response(404, {"message": "No such thing"}), "not_found", "404", 404),
        (Response(200, {"data": {"rows": []}}), "data_path", "“data.items”", 200),
        (Response(200, b"<html>Sign in</html>"), "not_json", "JSON", 200),
        (Response(500, {}), "provider_unavailable", "", 500),
        (Response(429, {}, {"Retry-After": "90"}), "rate_limited", "", 429),
    ],
)
def test_an_answer_that_is_no_use_is_explained_with_its_request(
    owner: APIClient,
    rest: dict[str, Any],
    server: FakeServer,
    response: Response,
    code: str,
    told: str,
    status: int,
) -> None:
    rest["settings"] |= {"auth_type": "bearer"}
    server.fail("reply", response=response, times=20)

    seen = preview(owner, rest).json()

    assert (seen["ok"], seen["rows"]) == (False, [])
    assert (seen["code"], told in seen["detail"]) == (code, True)
    assert len(seen["detail"]) > 20
    assert seen["requests"][0]["status"] == status
    assert seen["requests"][0]["url"].startswith(f"{server.url}/v2/people")
    assert CANARY not in str(seen)


def test_a_saved_integration_is_tried_with_changes_that_are_not_kept(
    owner: APIClient,
    rest: dict[str, Any],
    org: Organization,
    fake: RestFake,
    server: FakeServer,
) -> None:
    made = registry.create(org, rest, by="test")
    place = f"/api/integrations/{made.public_id}/preview"
    held = credentials.load(made)
    wrong = [{**rest["settings"]["endpoints"][0], "data_path": "nowhere"}]

    as_stored = owner.post(place, {"limit": 1}, format="json").json()
    changed = owner.post(place, {"settings": {"endpoints": wrong}}, format="json")
    fake.expire_token()
    other = owner.post(
        place, {"credentials": {"api_key": "another"}}, format="json"
    ).json()
    absent = owner.post(place, {"stream": "pets"}, format="json").json()

    assert as_stored["rows"][0]["raw"]["id"] == "p00000"
    assert changed.json()["code"] == "data_path"
    assert changed.json()["problems"] == {"endpoints": "no list at nowhere"}
    # Refused, then renewed with the stored refresh token, which works only once.
    assert other["ok"] is True
    assert [sent["status"] for sent in other["requests"]] == [401, 200, 200]
    kept = credentials.load(made)
    assert (kept["refresh_token"], kept["access_token"]) == (fake.refresh, fake.access)
    assert "api_key" not in kept
    assert kept["client_secret"] == held["client_secret"]
    assert absent["detail"] == (
        "There is no endpoint “pets” any more; there are people."
    )
    made.refresh_from_db()
    assert made.settings["endpoints"] == rest["settings"]["endpoints"]
    assert not StreamState.objects.filter(integration=made).exists()


def test_a_rule_is_tried_before_it_is_made(
    owner: APIClient, fake: RestFake, server: FakeServer
) -> None:
    rule = {
        "name": "People",
        "endpoint_url": f"{server.url}/v2/people",
        "headers": {
            "Authorization": f"Bearer {fake.access}",
            "X-Partner": f"partner-{CANARY}",
        },
        "data_path": "data.items",
        "field_mappings": {"name": "full_name"},
        "limit": 2,
    }

    seen = owner.post("/api/ingestion-rules/preview", rule, format="json").json()

    assert (seen["ok"], seen["record_type"]) == (True, "customer")
    assert [row["record"]["name"] for row in seen["rows"]] == ["Person 0", "Person 1"]
    assert CANARY not in str(seen)
    assert not Integration.objects.exists()


def test_other_providers_and_other_people_are_refused(
    account: Account,
    owner: APIClient,
    viewer: APIClient,
    stranger: APIClient,
    rest: dict[str, Any],
    body: dict[str, Any],
    org: Organization,
    api: Callable[..., APIClient],
    server: FakeServer,
) -> None:
    writer = api(key=create_api_key(org, "writer", ["write"])[1])
    scripted = create(owner, body)["integration_id"]
    made = registry.create(org, rest, by="test")
    place = f"/api/integrations/{made.public_id}/preview"

    wrong = owner.post(f"/api/integrations/{scripted}/preview", {}, format="json")
    many = preview(owner, rest, limit=previews.MOST + 1)

    assert (wrong.status_code, wrong.json()["code"]) == (400, "no_preview")
    assert many.status_code == 400
    for client in (viewer, writer):
        assert client.post(place, {}, format="json").status_code == 403
        assert preview(client, rest).status_code == 403
    assert stranger.post(place, {}, format="json").status_code == 404
    assert server.calls == []


@pytest.fixture
def form(fake: RestFake, server: FakeServer) -> dict[str, Any]:
    """The form of the page as a person fills it in."""
    import json

    values = fake.settings(server.url)
    return {
        "integration_name": "People",
        "field-base_url": values["base_url"],
        "field-auth_type": "bearer",
        "field-access_token": fake.access,
        "field-client_auth": "body",
        "field-headers": json.dumps(fake.secrets()["headers"]),
        "field-endpoints": json.dumps(values["endpoints"]),
    }


def test_the_page_shows_a_live_preview_while_adding(
    client: Client, alice: User, form: dict[str, Any], fake: RestFake
) -> None:
    client.force_login(alice)
    place = "/integrations/new/rest/"
    fake.objects["p00001"]["full_name"] = "<script>x</script>"

    empty = client.get(place)
    seen = client.post(place, {**form, "do": "preview"})
    wrong = client.post(place, {**form, "do": "preview", "preview-stream": "pets"})
    broken = client.post(place, {**form, "do": "preview", "field-endpoints": "[{"})

    assert b"Test with live preview" in empty.content
    assert (
        b"Test with live preview"
        not in client.get("/integrations/new/hubspot/").content
    )
    page = seen.content.decode()
    assert seen.status_code == 200
    assert "people: 5 records read, and more follow; each can be stored." in page
    assert "Person 0" in page
    assert "&lt;script&gt;x" in page
    assert "/v2/people?limit=5" in page
    assert CANARY not in page
    assert wrong.status_code == 422
    assert "There is no endpoint “pets” any more" in wrong.content.decode()
    assert broken.status_code == 422
    assert "This has to be put right first." in broken.content.decode()
    assert not Integration.objects.exists()


def test_the_page_shows_a_live_preview_while_editing(
    client: Client,
    alice: User,
    rest: dict[str, Any],
    org: Organization,
    form: dict[str, Any],
) -> None:
    made = registry.create(org, rest, by="test")
    client.force_login(alice)
    place = f"/integrations/{made.public_id}/settings/"
    sent = {**form, "form": "connection", "do": "preview"}
    del sent["field-access_token"], sent["field-headers"]

    seen = client.post(place, sent)
    refused = client.post(place, {**sent, "field-base_url": ""})

    assert seen.status_code == 200
    assert "Person 4" in seen.content.decode()
    assert CANARY not in seen.content.decode()
    assert refused.status_code == 422
    made.refresh_from_db()
    assert made.name == "People"
    assert made.settings["auth_type"] == "oauth2_refresh"
