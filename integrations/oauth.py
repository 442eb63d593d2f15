"""OAuth 2: the calls to an authorisation server.

Authorise (RFC 6749, PKCE RFC 7636), code exchange, refresh with rotation, client
credentials, JWT bearer (RFC 7523) and revocation (RFC 7009). Tokens, their store and
the one refresh for everybody are in `integrations.tokens`.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlencode, urlsplit

import jwt

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    TransientError,
)
from integrations.http import Call, Client, Reply
from integrations.tokens import MemoryTokenStore, TokenKeeper, TokenSet, TokenStore

__all__ = [
    "MemoryTokenStore",
    "OAuthApp",
    "Pkce",
    "TokenKeeper",
    "TokenSet",
    "TokenStore",
    "authorization_url",
    "client_credentials",
    "exchange_code",
    "jwt_bearer",
    "new_pkce",
    "new_state",
    "pkce_challenge",
    "refresh_tokens",
    "revoke",
]

JWT_LIFE_S = 180
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

# The provider says: this code or refresh token is not valid (any more).
_STALE_GRANTS = frozenset(
    {"invalid_grant", "bad_refresh_token", "bad_auth_code", "expired_token"}
)
_BAD_CLIENTS = frozenset(
    {
        "invalid_client",
        "invalid_client_id",
        "bad_client_id",
        "bad_client_secret",
        "unauthorized_client",
    }
)
_SECRET_KEYS = ("access_token", "refresh_token", "id_token", "token")
_SENT_SECRETS = ("code", "code_verifier", "refresh_token", "assertion", "token")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthApp:
    """A client registered at a provider, and how the provider wants to be asked.

    client_auth: where id and secret go (form fields, or HTTP Basic). body: form, or
    json (Zendesk). default_life_s: used where the answer names no expiry
    (Salesforce); None = such tokens do not expire. pkce: send a code challenge.
    extra_authorize, extra_token: sent beside the standard's own parameters.
    """

    client_id: str
    client_secret: str = ""
    authorize_url: str = ""
    token_url: str = ""
    revoke_url: str = ""
    scopes: tuple[str, ...] = ()
    scope_separator: str = " "
    client_auth: Literal["body", "basic"] = "body"
    body: Literal["form", "json"] = "form"
    default_life_s: float | None = None
    pkce: bool = True
    extra_authorize: Mapping[str, str] = field(default_factory=dict)
    extra_token: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pkce:
    """verifier: stays here until the exchange; challenge: goes to the browser."""

    verifier: str = field(repr=False)
    challenge: str


def new_pkce() -> Pkce:
    """A fresh S256 pair."""
    verifier = secrets.token_urlsafe(48)
    return Pkce(verifier, pkce_challenge(verifier))


def pkce_challenge(verifier: str) -> str:
    """BASE64URL(SHA256(verifier)) without padding (RFC 7636 section 4.2)."""
    digest = hashlib.sha256(verifier.encode("ascii")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def new_state() -> str:
    """An unguessable value that ties the callback to this browser session."""
    return secrets.token_urlsafe(32)


def authorization_url(
    app: OAuthApp, *, redirect_uri: str, state: str, pkce: Pkce | None = None
) -> str:
    """Where to send the browser. ConfigError if the app lacks id or address."""
    if not app.client_id or not app.authorize_url:
        raise ConfigError(
            "The OAuth client id or the authorisation address is missing.",
            fields={"client_id": "Enter the client id of your OAuth app."},
        )
    params = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": redirect_uri,
        "state": state,
    }
    if app.scopes:
        params["scope"] = app.scope_separator.join(app.scopes)
    if pkce is not None and app.pkce:
        params["code_challenge"] = pkce.challenge
        params["code_challenge_method"] = "S256"
    params.update(app.extra_authorize)
    joiner = "&" if urlsplit(app.authorize_url).query else "?"
    return f"{app.authorize_url}{joiner}{urlencode(params)}"


def exchange_code(
    client: Client,
    app: OAuthApp,
    *,
    code: str,
    redirect_uri: str,
    verifier: str = "",
    now: datetime,
) -> TokenSet:
    """Turn the callback's code into tokens. AuthenticationError if it is stale."""
    fields = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": redirect_uri,
    }
    if verifier:
        fields["code_verifier"] = verifier
    return _grant(client, app, fields, now=now, repeat=False)


def refresh_tokens(
    client: Client, app: OAuthApp, tokens: TokenSet, *, now: datetime
) -> TokenSet:
    """A new pair for the old one.

    Sent once, never repeated after a lost answer: the refresh token may be spent.
    A provider that does not rotate leaves the refresh token and instance as they are.
    """
    if not tokens.refresh_token:
        raise AuthenticationError(
            "The access has expired and cannot be renewed; connect again."
        )
    fields = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    fresh = _grant(client, app, fields, now=now, repeat=False)
    return replace(
        fresh,
        refresh_token=fresh.refresh_token or tokens.refresh_token,
        instance_url=fresh.instance_url or tokens.instance_url,
        scope=fresh.scope or tokens.scope,
    )


def client_credentials(client: Client, app: OAuthApp, *, now: datetime) -> TokenSet:
    """A token for the app itself; there is no refresh token, ask again instead."""
    fields = {"grant_type": "client_credentials"}
    if app.scopes:
        fields["scope"] = app.scope_separator.join(app.scopes)
    return _grant(client, app, fields, now=now, repeat=True)


def jwt_bearer(
    client: Client,
    app: OAuthApp,
    *,
    subject: str,
    audience: str,
    private_key_pem: str,
    now: datetime,
    algorithm: str = "RS256",
) -> TokenSet:
    """A token for a user who approved the app beforehand (Salesforce, Google).

    ConfigError if the key cannot be read.
    """
    claims = {
        "iss": app.client_id,
        "sub": subject,
        "aud": audience,
        "iat": int(now.timestamp()),
        "exp": int(now.timestamp()) + JWT_LIFE_S,
    }
    try:
        assertion = jwt.encode(claims, private_key_pem, algorithm=algorithm)
    except (ValueError, TypeError, jwt.PyJWTError):
        # The original error may quote the key.
        raise ConfigError(
            "The private key cannot be read; paste the whole PEM file, from "
            "-----BEGIN to END-----, without a passphrase.",
            code="bad_private_key",
            fields={"private_key": "Not a PEM private key."},
        ) from None
    fields = {"grant_type": JWT_GRANT, "assertion": assertion}
    return _grant(client, app, fields, now=now, repeat=True, identify=False)


def revoke(client: Client, app: OAuthApp, token: str) -> bool:
    """End a token at the provider. False if it could not be confirmed; the local copy
    should be deleted either way."""
    if not app.revoke_url or not token:
        return False
    try:
        reply = _post(client, app, app.revoke_url, {"token": token}, repeat=True)
    except (ConfigError, TransientError):
        return False
    return reply.status < 400


def _grant(
    client: Client,
    app: OAuthApp,
    fields: dict[str, str],
    *,
    now: datetime,
    repeat: bool,
    identify: bool = True,
) -> TokenSet:
    """Ask the token address; repeat: sending twice does no harm."""
    if not app.token_url:
        raise ConfigError("The token address of the OAuth app is missing.")
    sent = {**fields, **app.extra_token}
    reply = _post(client, app, app.token_url, sent, repeat=repeat, identify=identify)
    answer = _object(reply)
    error = str(answer.get("error") or answer.get("status") or "")
    token = answer.get("access_token") or answer.get("token")
    if reply.status >= 400 or not isinstance(token, str) or not token:
        raise _refusal(client, reply, error, answer)
    tokens = TokenSet(
        access_token=token,
        refresh_token=str(answer.get("refresh_token") or ""),
        expires_at=_expiry(app, answer, now),
        instance_url=str(answer.get("instance_url") or "").rstrip("/"),
        scope=_scope(answer),
        raw={key: value for key, value in answer.items() if key not in _SECRET_KEYS},
        issued_at=now,
    )
    client.masks.add_all([tokens.access_token, tokens.refresh_token])
    return tokens


def _post(
    client: Client,
    app: OAuthApp,
    url: str,
    fields: dict[str, Any],
    *,
    repeat: bool,
    identify: bool = True,
) -> Reply:
    headers = {"Accept": "application/json"}
    client.masks.add_all([app.client_secret, *map(fields.get, _SENT_SECRETS)])
    if identify and app.client_auth == "basic":
        pair = f"{app.client_id}:{app.client_secret}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
    elif identify:
        fields = {**fields, "client_id": app.client_id}
        if app.client_secret:
            fields["client_secret"] = app.client_secret
    payload: dict[str, Any] = {"json" if app.body == "json" else "data": fields}
    call = Call(
        method="POST",
        url=url,
        headers=headers,
        ok=(400, 401, 403, 404),
        idempotent=repeat,
        auth=False,
        **payload,
    )
    return client.send(call)


def _refusal(
    client: Client, reply: Reply, error: str, answer: dict[str, Any]
) -> ConfigError | TransientError:
    """What a person must do about an answer without a token."""
    words = answer.get("error_description") or answer.get("message") or ""
    told = client.masks.clean(f" ({error}: {words})" if words else f" ({error})")
    told = told if error else ""
    slug = error.lower()
    if slug in _STALE_GRANTS:
        return AuthenticationError(
            f"{client.label} has ended this access{told}; connect again."
        )
    if slug in _BAD_CLIENTS or reply.status == 401:
        return AuthenticationError(
            f"{client.label} does not accept the OAuth client id and secret{told}; "
            "check both and connect again."
        )
    if reply.status < 400 and not answer:
        return TransientError(
            f"{client.label} answered the token request with something that is no "
            "JSON.",
            code="not_json",
        )
    return AuthenticationError(
        f"{client.label} gave no access ({reply.status}){told}; check the settings of "
        "the OAuth app and connect again."
    )


def _object(reply: Reply) -> dict[str, Any]:
    try:
        body = reply.json()
    except TransientError:
        return {}
    return body if isinstance(body, dict) else {}


def _expiry(app: OAuthApp, answer: dict[str, Any], now: datetime) -> datetime | None:
    try:
        life_s = float(answer["expires_in"])
    except (KeyError, TypeError, ValueError):
        if app.default_life_s is None:
            return None
        life_s = app.default_life_s
    # Some providers send 0 for "does not expire"; beyond ten years is the same.
    if not 0 < life_s < 315_360_000:
        return None
    return now + timedelta(seconds=life_s)


def _scope(answer: dict[str, Any]) -> str:
    scope = answer.get("scope") or answer.get("scopes") or ""
    return " ".join(map(str, scope)) if isinstance(scope, list) else str(scope)
