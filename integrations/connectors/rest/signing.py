"""How requests to a REST API are signed, from the connection's settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import httpx
import msgspec

from churnguard.errors import ConfigError
from integrations.http import Client, basic, bearer, header_key, query_key
from integrations.http.auth import AuthHook
from integrations.oauth import (
    MemoryTokenStore,
    OAuthApp,
    TokenKeeper,
    TokenSet,
    client_credentials,
    refresh_tokens,
)

KINDS = (
    ("none", "None"),
    ("header_key", "Key in a header"),
    ("query_key", "Key in the address"),
    ("basic", "User and password"),
    ("bearer", "Bearer token"),
    ("oauth2_client_credentials", "OAuth 2 client credentials"),
    ("oauth2_refresh", "OAuth 2 refresh token"),
)
_NEEDS: dict[str, tuple[str, ...]] = {
    "header_key": ("api_key",),
    "query_key": ("api_key",),
    "basic": ("username",),
    "bearer": ("access_token",),
    "oauth2_client_credentials": ("client_id", "client_secret", "token_url"),
    "oauth2_refresh": ("refresh_token", "client_id", "token_url"),
}
DEFAULT_HEADER = "X-Api-Key"
DEFAULT_PARAM = "api_key"


def signed(
    client: Client,
    settings: Mapping[str, Any],
    secrets: Mapping[str, Any],
    *,
    now: Callable[[], datetime],
    token_store: Any,
) -> Client:
    """The client with headers and credentials. Raises ConfigError for missing ones."""
    values = {**settings, **secrets}
    kind = str(values.get("auth_type") or "none")
    faults = {name: "required" for name in _NEEDS.get(kind, ()) if not values.get(name)}
    if faults:
        raise ConfigError(
            f"For this kind of authentication fill in {', '.join(sorted(faults))}.",
            code="invalid_settings",
            fields=faults,
        )
    hooks: list[AuthHook] = [
        header_key(name, value) for name, value in headers_of(secrets).items()
    ]
    name = str(values.get("key_name") or "")
    changes: dict[str, Any] = {}
    if kind == "header_key":
        hooks.append(header_key(name or DEFAULT_HEADER, str(values["api_key"])))
    elif kind == "query_key":
        hooks.append(query_key(name or DEFAULT_PARAM, str(values["api_key"])))
    elif kind == "basic":
        hooks.append(basic(str(values["username"]), str(values.get("password") or "")))
    elif kind == "bearer":
        hooks.append(bearer(str(values["access_token"])))
    elif kind.startswith("oauth2_"):
        keeper = _keeper(client, kind, values, now=now, token_store=token_store)
        hooks.append(bearer(keeper.access_token))
        changes["refresh"] = keeper.renew
    if hooks:
        changes["auth"] = _all(hooks)
    return client.using(**changes)


def headers_of(secrets: Mapping[str, Any]) -> dict[str, str]:
    """The connection's own headers (kept secret, since keys stand in them)."""
    return _texts(secrets, "headers", 'such as {"X-Tenant": "acme"}')


def without_key(url: str, settings: Mapping[str, Any]) -> str:
    """A next address without the key that some APIs repeat in it, for the cursor."""
    if settings.get("auth_type") != "query_key":
        return url
    name = str(settings.get("key_name") or DEFAULT_PARAM)
    return str(httpx.URL(url).copy_remove_param(name))


def _keeper(
    client: Client,
    kind: str,
    values: Mapping[str, Any],
    *,
    now: Callable[[], datetime],
    token_store: Any,
) -> TokenKeeper:
    app = OAuthApp(
        client_id=str(values["client_id"]),
        client_secret=str(values.get("client_secret") or ""),
        token_url=str(values["token_url"]),
        scopes=tuple(str(values.get("scope") or "").split()),
        client_auth="basic" if values.get("client_auth") == "basic" else "body",
        extra_token=_texts(values, "token_params", 'such as {"audience": "…"}'),
    )
    if token_store is None:
        token_store = MemoryTokenStore(
            TokenSet(
                access_token=str(values.get("access_token") or ""),
                refresh_token=str(values.get("refresh_token") or ""),
            )
        )

    def grant(old: TokenSet | None) -> TokenSet:
        if kind == "oauth2_client_credentials":
            return client_credentials(client, app, now=now())
        held = old or TokenSet("", str(values["refresh_token"]))
        return refresh_tokens(client, app, held, now=now())

    return TokenKeeper(store=token_store, grant=grant, now=now)


def _all(hooks: list[AuthHook]) -> AuthHook:
    def sign(request: httpx.Request) -> None:
        for hook in hooks:
            hook(request)

    return sign


def _texts(values: Mapping[str, Any], name: str, example: str) -> dict[str, str]:
    """A field that holds an object of texts, or its JSON."""
    given = values.get(name) or {}
    if isinstance(given, str):
        try:
            given = msgspec.json.decode(given)
        except msgspec.DecodeError:
            given = None
    if isinstance(given, Mapping):
        return {str(key): str(value) for key, value in given.items()}
    raise ConfigError(
        f"{name} must be an object, {example}.",
        code="invalid_settings",
        fields={name: "not an object"},
    )
