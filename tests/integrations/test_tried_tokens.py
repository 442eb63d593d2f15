"""A refresh token that works once: trying it out must not spend it for good."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client
from rest_framework.test import APIClient

from churnguard.models import Organization, User
from integrations import credentials, runs, token_stores
from integrations.models import Credential, Integration, StreamState, TriedToken
from integrations.tokens import TokenSet
from monitoring import prune
from tests.fakes.base import CANARY
from tests.fakes.rest import RestFake
from tests.fakes.server import FakeServer

pytestmark = pytest.mark.django_db(transaction=True)

TYPED = f"rt-{CANARY}-1"


@pytest.fixture
def fake() -> RestFake:
    made = RestFake()
    made.seed(3)
    return made


@pytest.fixture
def form(fake: RestFake, server: FakeServer) -> dict[str, str]:
    """The connection page with a refresh token and no access token."""
    given = {**fake.settings(server.url), **fake.secrets()}
    del given["access_token"]
    return {
        "integration_name": "People",
        **{
            f"field-{name}": value if isinstance(value, str) else json.dumps(value)
            for name, value in given.items()
        },
    }


def test_what_a_test_was_given_is_what_saving_stores(
    client: Client, alice: User, fake: RestFake, form: dict[str, str]
) -> None:
    client.force_login(alice)
    for do in ("test", "test", "preview"):
        answer = client.post("/integrations/new/rest/", {**form, "do": do})
        assert answer.status_code == 200, answer.context["form"].errors
    assert fake.generation == 2
    assert not Integration.objects.exists()
    assert CANARY not in str(TriedToken.objects.values())
    assert TYPED not in answer.content.decode().replace(f'value="{TYPED}"', "")

    saved = client.post("/integrations/new/rest/", {**form, "do": "connect"})

    assert saved.status_code == 302
    integration = Integration.objects.get()
    held = credentials.load(integration)
    assert (held["refresh_token"], held["access_token"]) == (fake.refresh, fake.access)
    assert held["refresh_token"] == f"rt-{CANARY}-2"
    assert Credential.objects.get().expires_at is not None
    assert not TriedToken.objects.exists()
    StreamState.objects.update(is_enabled=True)
    fake.expire_token()
    assert runs.run_now(runs.start(integration, by="test").pk)
    assert integration.runs.get().status == "completed"
    assert fake.generation == 3


def test_saving_at_once_stores_what_its_own_test_was_given(
    client: Client, alice: User, fake: RestFake, form: dict[str, str]
) -> None:
    client.force_login(alice)

    client.post("/integrations/new/rest/", {**form, "do": "connect"})

    held = credentials.load(Integration.objects.get())
    assert held["refresh_token"] == fake.refresh == f"rt-{CANARY}-2"


def test_a_preview_by_api_hands_its_tokens_over(
    api: Any, alice: User, fake: RestFake, server: FakeServer
) -> None:
    owner: APIClient = api(alice)
    body = {
        "provider_name": "rest",
        "integration_name": "People",
        "settings": fake.settings(server.url),
        "credentials": {"custom_fields": fake.secrets() | {"access_token": ""}},
    }
    assert owner.post("/api/system/preview", body, format="json").json()["ok"]
    made = owner.post("/api/integrations", body, format="json")
    integration = Integration.objects.get(public_id=made.json()["integration_id"])
    place = f"/api/integrations/{integration.public_id}"

    held = credentials.load(integration)
    assert held["refresh_token"] == fake.refresh == f"rt-{CANARY}-2"

    # Another one is pasted, tried, and saved.
    fake.access, fake.refresh = "", f"rt-{CANARY}-again"
    secrets = {"custom_fields": {"refresh_token": fake.refresh}}
    tried = owner.post(f"{place}/preview", {"credentials": secrets}, format="json")
    assert tried.json()["ok"], tried.json()
    assert credentials.load(integration) == held
    assert (
        owner.patch(place, {"credentials": secrets}, format="json").status_code == 200
    )
    assert credentials.load(integration)["refresh_token"] == fake.refresh


def test_tokens_stay_with_the_organisation_that_tried_them(
    org: Organization, other_org: Organization
) -> None:
    store = token_stores.TriedTokens(org.pk, {"refresh_token": TYPED})
    store.save(TokenSet("at-2", "rt-2"))

    assert token_stores.take_tried(other_org.pk, {"refresh_token": TYPED}) == {}
    assert token_stores.take_tried(org.pk, {"refresh_token": "another"}) == {}
    taken = token_stores.take_tried(org.pk, {"refresh_token": TYPED})
    assert (taken["access_token"], taken["refresh_token"]) == ("at-2", "rt-2")
    assert token_stores.take_tried(org.pk, {"refresh_token": TYPED}) == {}


def test_an_interrupted_renewal_is_known_and_old_ones_are_forgotten(
    org: Organization,
) -> None:
    old = token_stores.TriedTokens(org.pk, {"refresh_token": "old"})
    old.save(TokenSet("at-2", "rt-2"))
    TriedToken.objects.update(updated_at=datetime.now(UTC) - timedelta(days=8))

    store = token_stores.TriedTokens(org.pk, {"refresh_token": TYPED})
    store.note_spending(TYPED)
    prune.tick()

    assert TriedToken.objects.count() == 1
    assert store.was_spent(TYPED)
    assert not store.was_spent("another")
    tokens = store.load()
    assert tokens is not None
    assert tokens.refresh_token == TYPED
    assert token_stores.take_tried(org.pk, {"refresh_token": TYPED}) == {}


def test_the_ring_turns_for_tried_tokens_too(
    org: Organization, settings: LazySettings
) -> None:
    store = token_stores.TriedTokens(org.pk, {"refresh_token": TYPED})
    store.save(TokenSet("at-2", "rt-2"))
    begun = token_stores.TriedTokens(org.pk, {"refresh_token": "another"})
    begun.note_spending("another")
    new = Fernet.generate_key().decode()
    settings.INTEGRATION_ENCRYPTION_KEY = [new, *settings.INTEGRATION_ENCRYPTION_KEY]

    call_command("rotate_encryption")

    settings.INTEGRATION_ENCRYPTION_KEY = [new]
    assert begun.was_spent("another")
    tokens = store.load()
    assert tokens is not None
    assert tokens.refresh_token == "rt-2"
