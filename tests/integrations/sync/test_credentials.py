"""Secrets at rest, shared renewal, rotation of the ring, the OAuth round trip."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.test import RequestFactory

from churnguard.errors import AuthenticationError, ConfigError
from churnguard.models import User
from integrations import connect as connecting_flow
from integrations import credentials, oauth
from integrations.models import Credential, Integration, OAuthState
from integrations.token_stores import StoredTokens
from integrations.tokens import TokenKeeper, TokenSet
from tests.integrations.sync import scripted
from tests.integrations.sync.scripted import CANARY, Account

pytestmark = pytest.mark.django_db(transaction=True)
Connect = Callable[..., Integration]


def test_secrets_are_encrypted_and_hinted(account: Account, connect: Connect) -> None:
    integration = connect()

    row = Credential.objects.get(integration=integration)

    assert CANARY not in row.blob
    assert credentials.load(integration) == {"api_key": CANARY}
    assert credentials.describe(integration)["fields"]["api_key"]["last4"] == "cret"


def test_short_secrets_have_no_hint_and_none_removes(
    account: Account, connect: Connect
) -> None:
    integration = connect()

    credentials.save(integration, {"pin": "1234", "api_key": None}, by="test")

    fields = credentials.describe(integration)["fields"]
    assert set(fields) == {"pin"}
    assert fields["pin"]["last4"] == ""
    assert credentials.load(integration) == {"pin": "1234"}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("2026-01-31T12:00:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        (1769860800, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("soon", None),
        (1e30, None),
        ({"at": 1}, None),
    ],
)
def test_a_token_ends_when_its_owner_says(
    account: Account, connect: Connect, given: Any, kept: datetime | None
) -> None:
    integration = connect()

    if kept is None:
        with pytest.raises(ConfigError) as caught:
            credentials.save(integration, {"expires_at": given}, by="test")
        assert caught.value.fields == {"expires_at": "not a time"}
        assert credentials.load(integration) == {"api_key": CANARY}
    else:
        credentials.save(integration, {"expires_at": given}, by="test")
    assert Credential.objects.get().expires_at == kept


def test_the_ring_is_rotated_while_old_secrets_work(
    account: Account, connect: Connect, settings: Any
) -> None:
    integration = connect()
    old = settings.INTEGRATION_ENCRYPTION_KEY
    new = Fernet.generate_key().decode()
    settings.INTEGRATION_ENCRYPTION_KEY = [new, *old]
    assert credentials.load(integration) == {"api_key": CANARY}

    call_command("rotate_encryption")

    settings.INTEGRATION_ENCRYPTION_KEY = [new]
    assert credentials.load(integration) == {"api_key": CANARY}
    settings.INTEGRATION_ENCRYPTION_KEY = old
    with pytest.raises(ConfigError):
        credentials.load(integration)


def expired(integration: Integration) -> StoredTokens:
    credentials.save(
        integration,
        {
            "access_token": "old-access",
            "refresh_token": "old-refresh",
            "expires_at": (datetime.now(UTC) - timedelta(hours=1)).isoformat(),
        },
        by="test",
    )
    return StoredTokens(integration.pk)


def granted(integration: Integration) -> StoredTokens:
    """An access that works for an hour."""
    store = expired(integration)
    store.save(
        TokenSet(
            access_token="of-the-old-account",
            refresh_token="old-refresh",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )
    )
    return store


@pytest.mark.parametrize("name", ["refresh_token", "client_secret", "private_key"])
def test_a_new_proof_ends_what_was_granted_for_the_old_one(
    account: Account, connect: Connect, name: str
) -> None:
    integration = connect()
    granted(integration)

    credentials.save(integration, {name: "of-the-new-account"}, by="ann")

    held = credentials.load(integration)
    assert held[name] == "of-the-new-account"
    assert held.keys() & {"access_token", "expires_at", "issued_at"} == set()
    assert Credential.objects.get().expires_at is None
    assert "access_token" not in credentials.describe(integration)["fields"]


@pytest.mark.parametrize(
    "changed",
    [
        {"api_key": "another-key"},
        {"refresh_token": "old-refresh"},
        {"refresh_token": "new-refresh", "access_token": "of-the-old-account"},
    ],
)
def test_other_changes_leave_the_access_alone(
    account: Account, connect: Connect, changed: dict[str, str]
) -> None:
    integration = connect()
    granted(integration)

    credentials.save(integration, changed, by="ann")

    assert credentials.load(integration)["access_token"] == "of-the-old-account"


def test_a_pasted_token_needs_no_client(account: Account, connect: Connect) -> None:
    integration = connect()
    credentials.save(integration, {"access_token": "pasted"}, by="ann")

    credentials.save(integration, {"client_secret": "for-later"}, by="ann")
    assert credentials.load(integration)["access_token"] == "pasted"
    credentials.save(integration, {"refresh_token": "of-another"}, by="ann")
    assert "access_token" not in credentials.load(integration)


def test_many_callers_renew_once(account: Account, connect: Connect) -> None:
    store = expired(connect())
    asked: list[str] = []
    found: list[str] = []

    def grant(current: TokenSet | None) -> TokenSet:
        assert current is not None
        asked.append(current.refresh_token)
        return TokenSet(
            access_token="new-access",
            refresh_token="new-refresh",
            expires_at=datetime.now(UTC) + timedelta(hours=1),
        )

    keeper = TokenKeeper(store=store, grant=grant, now=lambda: datetime.now(UTC))

    def call() -> None:
        found.append(keeper.access_token())
        connection.close()

    threads = [threading.Thread(target=call) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == ["new-access"] * 200
    assert asked == ["old-refresh"]
    kept = store.load()
    assert kept is not None
    assert kept.refresh_token == "new-refresh"
    assert Credential.objects.get().spending == ""


def test_a_refresh_lost_in_a_crash_is_told_apart(
    account: Account, connect: Connect
) -> None:
    store = expired(connect())

    def die(_current: TokenSet | None) -> TokenSet:
        raise KeyboardInterrupt

    def refuse(_current: TokenSet | None) -> TokenSet:
        raise AuthenticationError("invalid_grant")

    def keeper(grant: Callable[..., TokenSet]) -> TokenKeeper:
        return TokenKeeper(store=store, grant=grant, now=lambda: datetime.now(UTC))

    with pytest.raises(KeyboardInterrupt):
        keeper(die).access_token()
    assert store.was_spent("old-refresh")

    with pytest.raises(AuthenticationError) as caught:
        keeper(refuse).access_token()

    assert caught.value.code == "refresh_token_lost"


APP = oauth.OAuthApp(
    client_id="app",
    client_secret="app-secret",
    authorize_url="https://login.example/authorize",
    token_url="https://login.example/token",
)


@pytest.fixture
def oauth_provider(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> list[dict[str, Any]]:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(
        scripted.ScriptedConnector,
        "oauth_app",
        classmethod(lambda cls, settings, secrets: APP),
    )

    def exchange(_client: Any, _app: Any, **options: Any) -> TokenSet:
        asked.append(options)
        return TokenSet(access_token="granted-access-1", refresh_token="granted-r1")

    monkeypatch.setattr(oauth, "exchange_code", exchange)
    return asked


def test_the_oauth_round_trip(
    oauth_provider: list[dict[str, Any]],
    connect: Connect,
    alice: User,
    charlie: User,
    rf: RequestFactory,
) -> None:
    integration = connect()
    Integration.objects.update(status="authentication_failed")
    back = "https://cg.example/integrations/oauth/callback/"
    url = connecting_flow.begin(integration, user=alice, redirect_uri=back)
    query = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
    assert query["code_challenge_method"] == "S256"
    assert query["state"] not in str(OAuthState.objects.values())
    request = rf.get("/")
    request.user = alice
    given = {
        "state": query["state"],
        "code": "c0de",
        "organization": integration.organization,
        "request": request,
    }

    with pytest.raises(AuthenticationError) as caught:
        connecting_flow.finish(**given, user=charlie)
    assert caught.value.code == "bad_state"
    connected = connecting_flow.finish(**given, user=alice)

    assert connected.status == "active"
    assert credentials.load(connected)["access_token"] == "granted-access-1"
    (asked,) = oauth_provider
    assert asked["redirect_uri"] == back
    assert oauth.pkce_challenge(asked["verifier"]) == query["code_challenge"]
    with pytest.raises(AuthenticationError):
        connecting_flow.finish(**given, user=alice)


def test_an_old_round_trip_is_refused(
    oauth_provider: list[dict[str, Any]],
    connect: Connect,
    alice: User,
    rf: RequestFactory,
) -> None:
    integration = connect()
    url = connecting_flow.begin(integration, user=alice, redirect_uri="https://x/")
    state = parse_qs(urlsplit(url).query)["state"][0]
    OAuthState.objects.update(expires_at=datetime.now(UTC))
    request = rf.get("/")
    request.user = alice

    with pytest.raises(AuthenticationError):
        connecting_flow.finish(
            state=state,
            code="c",
            user=alice,
            organization=integration.organization,
            request=request,
        )
    assert oauth_provider == []


def test_providers_without_oauth_say_so(
    account: Account, connect: Connect, alice: User
) -> None:
    integration = connect()
    with pytest.raises(ConfigError) as caught:
        connecting_flow.begin(integration, user=alice, redirect_uri="https://x/")
    assert caught.value.code == "no_oauth"

    with pytest.raises(ConfigError) as caught:
        connecting_flow.revoke(integration, request="test")
    assert caught.value.code == "no_oauth"
    integration.refresh_from_db()
    assert integration.status == "active"
