"""Who may listen: an API key or a session, for one organisation.

A key comes in `Authorization: Bearer`, in `X-API-Key`, or, for clients that can set no
header, as the subprotocols `churnguard, bearer.<key>`. Not in the address: addresses
end up in logs and histories. A session counts only from our own pages (Origin).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import psycopg
from channels.db import database_sync_to_async
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.db import SessionStore
from django.http.request import split_domain_port, validate_host

from churnguard.auth import expand_scopes, find_api_key, key_from_headers, touch
from churnguard.middleware import SESSION_KEY
from churnguard.models import Membership

SUBPROTOCOL = "churnguard"
_BEARER = "bearer."


@dataclass(slots=True, frozen=True)
class Credential:
    """What a socket was let in with; looked at again while it stays open."""

    org_id: int
    key_id: int | None = None
    session_key: str | None = None
    user_id: int | None = None


@dataclass(slots=True, frozen=True)
class Refusal:
    """Why a socket is not let in: a close code and a sentence."""

    code: int
    reason: str


@database_sync_to_async
def identify(scope: Mapping[str, Any]) -> Credential | Refusal:
    """The credential of a websocket scope with `cookies`, or why there is none."""
    headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
    plain = key_from_headers(
        headers.get("authorization", ""), headers.get("x-api-key", "")
    ) or _key_from_subprotocols(scope.get("subprotocols", []))
    if plain:
        return _by_key(plain)
    session_key = scope["cookies"].get(settings.SESSION_COOKIE_NAME)
    if not session_key:
        return Refusal(4401, "Sign in, or send an API key.")
    if not _is_own_origin(headers.get("origin", ""), headers.get("host", "")):
        return Refusal(4403, "This page may not use the session.")
    return _by_session(session_key)


async def still_valid(
    conn: psycopg.AsyncConnection, credentials: set[Credential]
) -> set[Credential]:
    """Those of `credentials` that would still be let in, by one query per kind."""
    keys = [c for c in credentials if c.key_id is not None]
    found = await conn.execute(
        "SELECT id FROM cg_api_key WHERE id = ANY(%s) AND revoked_at IS NULL "
        "AND (expires_at IS NULL OR expires_at > now())",
        [[c.key_id for c in keys]],
    )
    live_keys = {row[0] for row in await found.fetchall()}
    people = [c for c in credentials if c.key_id is None]
    found = await conn.execute(
        "SELECT s.session_key, m.organization_id FROM unnest(%s::text[], %s::bigint[], "
        "%s::bigint[]) AS c (session_key, user_id, org_id) "
        "JOIN django_session s ON s.session_key = c.session_key "
        "AND s.expire_date > now() "
        "JOIN cg_membership m ON m.user_id = c.user_id "
        "AND m.organization_id = c.org_id "
        "JOIN cg_user u ON u.id = c.user_id AND u.is_active",
        [
            [c.session_key for c in people],
            [c.user_id for c in people],
            [c.org_id for c in people],
        ],
    )
    live_people = {(row[0], row[1]) for row in await found.fetchall()}
    return {c for c in keys if c.key_id in live_keys} | {
        c for c in people if (c.session_key, c.org_id) in live_people
    }


def _key_from_subprotocols(offered: list[str]) -> str | None:
    for name in offered:
        if name.startswith(_BEARER):
            return name.removeprefix(_BEARER)
    return None


def _by_key(plain: str) -> Credential | Refusal:
    key = find_api_key(plain)
    if key is None:
        return Refusal(4401, "This API key is unknown, expired or revoked.")
    if "read" not in expand_scopes(key.scopes):
        return Refusal(4403, "This needs an API key with the scope read.")
    touch(key)
    return Credential(key.organization_id, key_id=key.pk)


def _by_session(session_key: str) -> Credential | Refusal:
    session = SessionStore(session_key)
    user = get_user(cast(Any, SimpleNamespace(session=session)))
    if not user.is_authenticated:
        return Refusal(4401, "Your session has ended. Sign in again.")
    chosen = session.get(SESSION_KEY)
    joined = list(
        Membership.objects.filter(user=user)
        .order_by("pk")
        .values_list("organization_id", flat=True)
    )
    if not joined:
        return Refusal(4403, "You belong to no organisation.")
    org_id = chosen if chosen in joined else joined[0]
    return Credential(org_id, session_key=session_key, user_id=user.pk)


def _is_own_origin(origin: str, host: str) -> bool:
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    allowed = settings.ALLOWED_HOSTS or ["localhost", "127.0.0.1", "[::1]"]
    domain, _port = split_domain_port(host)
    return (
        bool(host)
        and validate_host(domain, allowed)
        and (urlsplit(origin).netloc == host)
    )
