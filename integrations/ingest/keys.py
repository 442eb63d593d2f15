"""Who sends: API keys by their hash, remembered for a few seconds.

A revoked key is refused at most `HARD_S` after its revocation, whatever happens; a
key in steady use is looked up again in the background every `SOFT_S`.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from churnguard.auth import expand_scopes, hash_key
from integrations.ingest import database
from integrations.ingest.answers import IngestError

SOFT_S = 2.0
HARD_S = 5.0
_MOST_KEYS = 10_000

_FIND = (
    "SELECT k.id, organization_id, o.public_id, scopes, expires_at "
    "FROM cg_api_key k JOIN cg_organization o ON o.id = k.organization_id "
    "WHERE key_hash = %s AND revoked_at IS NULL"
)
_TOUCH = (
    "UPDATE cg_api_key SET last_used_at = now() WHERE id = %s "
    "AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')"
)


@dataclass(frozen=True, slots=True)
class Access:
    """What a key may do. key_id: what the rate limit counts by; tenant_id: public id
    of the organisation."""

    key_id: str
    org_id: int
    tenant_id: str
    scopes: frozenset[str]
    expires_at: datetime | None = None


@dataclass(slots=True)
class _Known:
    access: Access | None
    at: float
    refreshing: bool = False


class KeyCache:
    """Thread-safe; `find_cached` never blocks on the database, `look_up` does."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._lock = threading.Lock()
        self._conn: psycopg.Connection[Any] | None = None

    def find_cached(self, key: str) -> tuple[bool, Access | None, bool]:
        """(whether it is known, its access or None, whether the caller should look it
        up again in the background)."""
        known = self._known.get(key)
        if known is None:
            return False, None, False
        age = time.monotonic() - known.at
        if age > HARD_S:
            return False, None, False
        refresh = age > SOFT_S and not known.refreshing
        if refresh:
            known.refreshing = True
        return True, known.access, refresh

    def look_up(self, key: str) -> Access | None:
        """Ask the database. Raises IngestError (503) when it does not answer."""
        digest = hash_key(key)
        with self._lock:
            started = time.monotonic()
            try:
                access = self._ask(digest)
            except psycopg.OperationalError:
                # The connection may have died of a restart: once more on a new one.
                self._drop()
                try:
                    access = self._ask(digest)
                except psycopg.OperationalError as exc:
                    self._drop()
                    raise unavailable() from exc
            if len(self._known) >= _MOST_KEYS:
                self._known.clear()
            self._known[key] = _Known(access, started)
        return access

    def close(self) -> None:
        """Forget everything and close the connection."""
        with self._lock:
            self._known.clear()
            self._drop()

    def _ask(self, digest: str) -> Access | None:
        if self._conn is None or self._conn.closed:
            self._conn = database.connect("churnguard ingest keys")
        row = self._conn.execute(_FIND, [digest]).fetchone()
        if row is None:
            return None
        key_id, org_id, tenant_id, scopes, expires_at = row
        self._conn.execute(_TOUCH, [key_id])
        return Access(str(key_id), org_id, tenant_id, expand_scopes(scopes), expires_at)

    def _drop(self) -> None:
        if self._conn is not None:
            self._conn.close()
            self._conn = None


def check(access: Access | None, *, now: datetime | None = None) -> Access:
    """The access, if it may ingest. Raises IngestError: 401, 403."""
    if access is None or (
        access.expires_at is not None
        and access.expires_at <= (now or datetime.now(UTC))
    ):
        raise IngestError(
            401,
            "authentication_failed",
            "This API key is unknown, expired or revoked.",
        )
    if "ingest" not in access.scopes:
        raise IngestError(403, "permission_denied", "This needs the scope “ingest”.")
    return access


def unavailable() -> IngestError:
    """503: the database does not answer; nothing was stored."""
    return IngestError(
        503,
        "database_unavailable",
        "The database is not reachable. Nothing was stored; send it again shortly.",
        retry_after_s=2,
    )
