"""Where tokens live that renew themselves: those of a connection, and those of a
refresh token that is only tried out and may never be saved."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.utils import OperationalError

from churnguard import crypto
from churnguard.errors import TransientError
from integrations.models import Credential, TriedToken
from integrations.tokens import TokenSet, token_fingerprint

LOCK_WAIT_S = 60
_STORED_SPACE, _TRIED_SPACE = 0x6367, 0x6368
_TOKEN_FIELDS = ("access_token", "refresh_token", "instance_url", "scope")
_SHOWN = ("access_token", "refresh_token")
_local_locks: dict[tuple[int, int], threading.Lock] = {}
_local_locks_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The `TokenStore` of one credential, shared by every thread and process."""

    integration_id: int

    def load(self) -> TokenSet | None:
        held = self._rows().first()
        return _token_set(crypto.decrypt(held.blob) if held else {})

    def exclusive(self) -> AbstractContextManager[None]:
        return _exclusively(_STORED_SPACE, self.integration_id)

    def note_spending(self, refresh_token: str) -> None:
        self._rows().update(spending=token_fingerprint(refresh_token))

    def was_spent(self, refresh_token: str) -> bool:
        return _is_noted(self._rows(), refresh_token)

    def save(self, tokens: TokenSet) -> None:
        now = datetime.now(UTC)
        with transaction.atomic():
            held = self._rows().select_for_update().get()
            shown = {name: getattr(tokens, name) for name in _SHOWN}
            hints = {n: hint_of(value, now) for n, value in shown.items() if value}
            values = crypto.decrypt(held.blob) | _values_of(tokens, now)
            self._rows().update(
                blob=crypto.encrypt(values),
                hints=held.hints | hints,
                expires_at=tokens.expires_at,
                spending="",
                version=held.version + 1,
                refreshed_at=now,
                updated_at=now,
            )

    def _rows(self) -> QuerySet[Credential]:
        return Credential.objects.filter(integration_id=self.integration_id)


@dataclass(frozen=True, slots=True)
class TriedTokens:
    """The `TokenStore` of secrets that are tried out and stored nowhere else.

    Every test with the same refresh token goes on where the last one ended, and
    `take_tried` hands the newest tokens over when the refresh token is saved.
    """

    organization_id: int
    secrets: Mapping[str, Any] = field(repr=False)

    def load(self) -> TokenSet | None:
        held = self._rows().exclude(blob="").first()
        return _token_set(crypto.decrypt(held.blob) if held else self.secrets)

    def exclusive(self) -> AbstractContextManager[None]:
        key = zlib.crc32(f"{self.organization_id}/{self._mark}".encode())
        return _exclusively(_TRIED_SPACE, key)

    def note_spending(self, refresh_token: str) -> None:
        self._keep(spending=token_fingerprint(refresh_token))

    def was_spent(self, refresh_token: str) -> bool:
        return _is_noted(self._rows(), refresh_token)

    def save(self, tokens: TokenSet) -> None:
        values = _values_of(tokens, datetime.now(UTC))
        self._keep(blob=crypto.encrypt(values), spending="")

    @property
    def _mark(self) -> str:
        return token_fingerprint(str(self.secrets["refresh_token"]))

    def _keep(self, **values: str) -> None:
        TriedToken.objects.update_or_create(
            organization_id=self.organization_id, mark=self._mark, defaults=values
        )

    def _rows(self) -> QuerySet[TriedToken]:
        return TriedToken.objects.filter(
            organization_id=self.organization_id, mark=self._mark
        )


def take_tried(organization_id: int, secrets: Mapping[str, Any]) -> dict[str, Any]:
    """What to store in place of a refresh token among `secrets` that tests have
    renewed, {} where none has. From now on the caller keeps it."""
    token = secrets.get("refresh_token")
    if not token:
        return {}
    rows = TriedToken.objects.filter(
        organization_id=organization_id, mark=token_fingerprint(str(token))
    )
    with transaction.atomic():
        held = rows.select_for_update().exclude(blob="").first()
        rows.delete()
    return dict(crypto.decrypt(held.blob)) if held else {}


def hint_of(value: Any, now: datetime) -> dict[str, str]:
    """All that is ever shown of a secret."""
    text = str(value)
    is_long = isinstance(value, (str, int)) and len(text) >= 12
    return {"last4": text[-4:] if is_long else "", "set_at": now.isoformat()}


def moment_of(value: Any) -> datetime | None:
    """A stored time: ISO 8601 or epoch seconds; UTC where it does not say."""
    if not value:
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _token_set(values: Mapping[str, Any]) -> TokenSet | None:
    if not values.get("access_token") and not values.get("refresh_token"):
        return None
    return TokenSet(
        access_token=str(values.get("access_token") or ""),
        refresh_token=str(values.get("refresh_token") or ""),
        expires_at=moment_of(values.get("expires_at")),
        instance_url=str(values.get("instance_url") or ""),
        scope=str(values.get("scope") or ""),
        raw=values.get("token_raw") or {},
        issued_at=moment_of(values.get("issued_at")),
    )


def _values_of(tokens: TokenSet, now: datetime) -> dict[str, Any]:
    """Tokens as stored; what the provider left out keeps its old value."""
    given = {name: getattr(tokens, name) for name in _TOKEN_FIELDS}
    return {
        **{name: value for name, value in given.items() if value},
        "token_raw": tokens.raw,
        "expires_at": tokens.expires_at.isoformat() if tokens.expires_at else None,
        "issued_at": (tokens.issued_at or now).isoformat(),
    }


def _is_noted(rows: QuerySet[Any], refresh_token: str) -> bool:
    if not refresh_token:
        return False
    return rows.filter(spending=token_fingerprint(refresh_token)).exists()


@contextmanager
def _exclusively(space: int, key: int) -> Iterator[None]:
    """One thread of one process at a time.

    The lock among processes is on a connection of its own: it ends with the
    connection when the process dies, and holds no transaction open during the call
    to the provider.
    """
    with _local_locks_guard:
        lock = _local_locks.setdefault((space, key), threading.Lock())
    if not lock.acquire(timeout=LOCK_WAIT_S):
        raise TransientError("Another renewal of this access is still under way.")
    try:
        with _advisory_lock(space, key):
            yield
    finally:
        lock.release()


@contextmanager
def _advisory_lock(space: int, key: int) -> Iterator[None]:
    own = connections.create_connection("default")
    try:
        with own.cursor() as cur:
            cur.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
            cur.execute("SELECT pg_advisory_lock(%s, %s)", [space, key % 2**31])
            yield
    except OperationalError as exc:
        raise TransientError(
            "The access could not be renewed: the database did not give the lock."
        ) from exc
    finally:
        own.close()
