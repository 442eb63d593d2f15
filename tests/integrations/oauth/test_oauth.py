"""OAuth calls against a scripted authorisation server."""

from __future__ import annotations

import logging
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from churnguard.errors import AuthenticationError, ConfigError, TransientError
from integrations.oauth import (
    OAuthApp,
    TokenSet,
    authorization_url,
    client_credentials,
    exchange_code,
    jwt_bearer,
    new_pkce,
    new_state,
    pkce_challenge,
    refresh_tokens,
    revoke,
)
from tests.integrations.http.door import START, Provider, make_client

APP = OAuthApp(
    client_id="client-1",
    client_secret="secret-canary-1",
    authorize_url="https://login.example.com/authorize",
    token_url="https://login.example.com/token",
    revoke_url="https://login.example.com/revoke",
    scopes=("api", "refresh_token"),
)
REDIRECT = "https://churnguard.example/integrations/callback"


def granted(**fields) -> httpx.Response:
    answer = {"access_token": "access-canary-2", "expires_in": 1800}
    return httpx.Response(200, json=answer | fields)


def form_of(request: httpx.Request) -> dict[str, str]:
    return {
        name: values[0] for name, values in parse_qs(request.content.decode()).items()
    }


def test_challenge_is_the_one_of_the_standard():
    """RFC 7636 appendix B."""
    verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"

    assert pkce_challenge(verifier) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    pair = new_pkce()
    assert pkce_challenge(pair.verifier) == pair.challenge
    assert 43 <= len(pair.verifier) <= 128
    assert pair.verifier not in repr(pair)
    assert len({new_state() for _ in range(100)}) == 100


def test_authorization_url_has_state_and_challenge():
    pair = new_pkce()
    url = authorization_url(APP, redirect_uri=REDIRECT, state="s1", pkce=pair)

    parts = urlsplit(url)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == APP.authorize_url
    assert parse_qs(parts.query) == {
        "response_type": ["code"],
        "client_id": ["client-1"],
        "redirect_uri": [REDIRECT],
        "state": ["s1"],
        "scope": ["api refresh_token"],
        "code_challenge": [pair.challenge],
        "code_challenge_method": ["S256"],
    }
    assert "canary" not in url


def test_authorization_url_needs_a_client_id():
    with pytest.raises(ConfigError) as caught:
        authorization_url(OAuthApp(client_id=""), redirect_uri=REDIRECT, state="s")

    assert "client_id" in caught.value.fields


def test_code_becomes_tokens():
    provider = Provider(
        granted(
            refresh_token="refresh-canary-3",
            instance_url="https://acme.my.salesforce.com/",
            scope="api refresh_token",
            id="https://login.example.com/id/00D/005",
        )
    )

    tokens = exchange_code(
        make_client(provider),
        APP,
        code="code-canary",
        redirect_uri=REDIRECT,
        verifier="verifier-canary",
        now=START,
    )

    assert form_of(provider.requests[0]) == {
        "grant_type": "authorization_code",
        "code": "code-canary",
        "redirect_uri": REDIRECT,
        "code_verifier": "verifier-canary",
        "client_id": "client-1",
        "client_secret": "secret-canary-1",
    }
    assert tokens == TokenSet(
        access_token="access-canary-2",
        refresh_token="refresh-canary-3",
        expires_at=START + timedelta(seconds=1800),
        instance_url="https://acme.my.salesforce.com",
        scope="api refresh_token",
        raw=tokens.raw,
        issued_at=START,
    )
    assert tokens.raw["id"] == "https://login.example.com/id/00D/005"
    assert "canary" not in repr(tokens) + str(tokens.raw)


def test_json_body_and_basic_identification():
    provider = Provider(httpx.Response(201, json={"access_token": "a1"}))
    app = OAuthApp(
        client_id="client-1",
        client_secret="secret-1",
        token_url=APP.token_url,
        body="json",
        client_auth="basic",
        default_life_s=7200,
        extra_token={"expires_in": "172000"},
    )

    tokens = client_credentials(make_client(provider), app, now=START)

    request = provider.requests[0]
    assert request.headers["content-type"] == "application/json"
    assert request.headers["authorization"] == "Basic Y2xpZW50LTE6c2VjcmV0LTE="
    assert msgspec.json.decode(request.content) == {
        "grant_type": "client_credentials",
        "expires_in": "172000",
    }
    assert tokens.expires_at == START + timedelta(hours=2)


def test_rotated_refresh_token_replaces_the_old_one():
    old = TokenSet("a0", "r0", instance_url="https://acme.example", scope="api")
    provider = Provider(granted(refresh_token="r1"), granted())
    client = make_client(provider)

    rotated = refresh_tokens(client, APP, old, now=START)
    kept = refresh_tokens(client, APP, old, now=START)

    assert form_of(provider.requests[0])["refresh_token"] == "r0"
    assert rotated.refresh_token == "r1"
    assert kept.refresh_token == "r0"
    assert kept.instance_url == "https://acme.example"
    assert kept.scope == "api"


def test_a_lost_answer_to_a_refresh_is_not_asked_again():
    provider = Provider(httpx.ReadTimeout("lost"))

    with pytest.raises(TransientError):
        refresh_tokens(make_client(provider), APP, TokenSet("a0", "r0"), now=START)

    assert len(provider.requests) == 1


def test_a_server_error_is_transient_and_client_credentials_are_repeated():
    with pytest.raises(TransientError):
        refresh_tokens(
            make_client(Provider(httpx.Response(503))),
            APP,
            TokenSet("a0", "r0"),
            now=START,
        )

    provider = Provider(httpx.Response(503), granted())
    tokens = client_credentials(make_client(provider), APP, now=START)
    assert tokens.access_token == "access-canary-2"


@pytest.mark.parametrize(
    ("status", "answer", "words"),
    [
        (400, {"error": "invalid_grant"}, "has ended this access .* connect again"),
        (
            400,
            {"error": "invalid_grant", "error_description": "expired refresh-canary"},
            "has ended this access",
        ),
        (400, {"status": "BAD_REFRESH_TOKEN", "message": "gone"}, "has ended this"),
        (401, {"error": "invalid_client"}, "client id and secret"),
        (400, {"error": "invalid_client_id"}, "client id and secret"),
        (400, {"error": "unsupported_grant_type"}, "gave no access"),
        (403, {}, "gave no access"),
        (200, {"error": "bad_verification_code"}, "gave no access"),
    ],
)
def test_refusals_say_what_to_do(status, answer, words):
    provider = Provider(httpx.Response(status, json=answer))

    with pytest.raises(AuthenticationError, match=words) as caught:
        refresh_tokens(
            make_client(provider), APP, TokenSet("a0", "refresh-canary"), now=START
        )

    assert "canary" not in str(caught.value)


def test_html_instead_of_tokens_is_transient():
    provider = Provider(httpx.Response(200, text="<html>maintenance</html>"))

    with pytest.raises(TransientError) as caught:
        client_credentials(make_client(provider), APP, now=START)

    assert caught.value.code == "not_json"


def test_without_a_refresh_token_a_person_must_connect():
    with pytest.raises(AuthenticationError, match="connect again"):
        refresh_tokens(make_client(Provider()), APP, TokenSet("a0"), now=START)


@pytest.mark.parametrize(
    ("expires_in", "life_s"),
    [
        ("3600", 3600),
        (0, None),
        (-1, None),
        ("never", None),
        (None, None),
        (1e12, None),
    ],
)
def test_odd_lifetimes(expires_in, life_s):
    provider = Provider(granted(expires_in=expires_in))

    tokens = client_credentials(make_client(provider), APP, now=START)

    expected = None if life_s is None else START + timedelta(seconds=life_s)
    assert tokens.expires_at == expected


@pytest.fixture(scope="module")
def private_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def test_jwt_bearer_signs_for_the_user(private_key):
    pem = private_key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    provider = Provider(granted(instance_url="https://acme.my.salesforce.com"))

    tokens = jwt_bearer(
        make_client(provider),
        APP,
        subject="sync@acme.example",
        audience="https://login.salesforce.com",
        private_key_pem=pem,
        now=START,
    )

    form = form_of(provider.requests[0])
    assert form["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
    assert set(form) == {"grant_type", "assertion"}
    claims = jwt.decode(
        form["assertion"],
        private_key.public_key(),
        algorithms=["RS256"],
        audience="https://login.salesforce.com",
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "client-1"
    assert claims["sub"] == "sync@acme.example"
    assert claims["exp"] == int(START.timestamp()) + 180
    assert tokens.instance_url == "https://acme.my.salesforce.com"


def test_unreadable_key_is_explained_without_quoting_it():
    with pytest.raises(ConfigError) as caught:
        jwt_bearer(
            make_client(Provider()),
            APP,
            subject="s",
            audience="a",
            private_key_pem="-----BEGIN KEY canary",
            now=START,
        )

    assert caught.value.code == "bad_private_key"
    assert "private_key" in caught.value.fields
    assert "canary" not in repr(caught.value)
    assert caught.value.__cause__ is None


def test_revoke_never_raises():
    provider = Provider(
        httpx.Response(200), httpx.Response(400, json={}), *[httpx.Response(500)] * 4
    )
    client = make_client(provider)

    assert revoke(client, APP, "tok-1") is True
    assert form_of(provider.requests[0])["token"] == "tok-1"
    assert revoke(client, APP, "tok-1") is False
    assert revoke(client, APP, "tok-1") is False
    assert revoke(client, OAuthApp(client_id="x"), "tok-1") is False


def test_nothing_secret_reaches_the_log(caplog):
    caplog.set_level(logging.DEBUG)
    provider = Provider(
        granted(refresh_token="refresh-canary-3"),
        httpx.Response(400, json={"error": "invalid_grant", "error_description": "x"}),
    )
    client = make_client(provider)

    exchange_code(client, APP, code="code-canary", redirect_uri=REDIRECT, now=START)
    with pytest.raises(AuthenticationError):
        refresh_tokens(client, APP, TokenSet("a", "refresh-canary-3"), now=START)

    assert "canary" not in caplog.text + str([r.__dict__ for r in caplog.records])
