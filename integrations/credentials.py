"""The secrets of a connection: written once, read by connectors, shown as hints.

Nothing here returns a secret to an edge (API, page, log): edges call `describe`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.db import connections, transaction
from django.db.utils import OperationalError

from churnguard import crypto
from churnguard.errors import TransientError
from integrations.connectors.base import Connector
from integrations.models import Credential, Integration, OAuthState
from integrations.tokens import TokenSet, token_fingerprint

LOCK_WAIT_S = 60
_LOCK_SPACE = 0x6367
_TOKEN_FIELDS = ("access_token", "refresh_token", "instance_url", "scope")
_local_locks: dict[int, threading.Lock] = {}
_local_locks_guard = threading.Lock()


def flatten(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """(credential_type, values) of the specification's IntegrationCredentials: its
    custom_fields stand beside the named ones; empty values are dropped."""
    values = {k: v for k, v in given.items() if k not in _ENVELOPE}
    values.update(given.get("custom_fields") or {})
    values = {k: v for k, v in values.items() if v not in (None, "")}
    return str(given.get("credential_type") or "api_key"), values


_ENVELOPE = ("credential_type", "custom_fields")


def split(
    connector: type[Connector], values: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(settings, secrets): a field the connector declares as open is a setting,
    everything else is kept secret."""
    is_open = {f.name for f in connector.fields if not f.secret}
    settings = {k: v for k, v in values.items() if k in is_open}
    return settings, {k: v for k, v in values.items() if k not in is_open}


def save(
    integration: Integration,
    secrets: Mapping[str, Any],
    *,
    credential_type: str = "",
    by: str = "system",
) -> Credential:
    """Store `secrets` over those already there; a value of None removes one."""
    now = datetime.now(UTC)
    with transaction.atomic():
        held = (
            Credential.objects.select_for_update()
            .filter(integration=integration)
            .first()
        )
        values = crypto.decrypt(held.blob) if held else {}
        hints = dict(held.hints) if held else {}
        for name, value in secrets.items():
            if value is None:
                values.pop(name, None)
                hints.pop(name, None)
            else:
                values[name] = value
                hints[name] = {"last4": _last4(value), "set_at": now.isoformat()}
        credential = held or Credential(integration=integration)
        credential.blob = crypto.encrypt(values)
        credential.hints = hints
        credential.credential_type = credential_type or credential.credential_type
        credential.expires_at = _moment(values.get("expires_at"))
        credential.set_by = by
        # Somebody set them anew: an interrupted renewal is of no importance any more.
        credential.spending = ""
        credential.version += 1 if held else 0
        credential.save()
    return credential


def load(integration: Integration) -> dict[str, Any]:
    """The plain secrets, {} where none are set. For connectors only."""
    held = Credential.objects.filter(integration=integration).first()
    return dict(crypto.decrypt(held.blob)) if held else {}


def describe(integration: Integration) -> dict[str, Any]:
    """What may be shown: {"credential_type", "expires_at", "fields": {name: {"set",
    "set_at", "last4"}}}."""
    held = Credential.objects.filter(integration=integration).first()
    if held is None:
        return {"credential_type": "none", "expires_at": None, "fields": {}}
    return {
        "credential_type": held.credential_type,
        "expires_at": held.expires_at,
        "fields": {
            name: {"set": True, "set_at": hint["set_at"], "last4": hint["last4"]}
            for name, hint in sorted(held.hints.items())
        },
    }


def secret_texts(secrets: Mapping[str, Any]) -> list[str]:
    """Every text in `secrets`, for masking logs and error sentences."""
    found: list[str] = []
    for value in secrets.values():
        if isinstance(value, Mapping):
            found.extend(secret_texts(value))
        elif isinstance(value, (list, tuple)):
            found.extend(str(item) for item in value)
        elif value not in (None, "") and not isinstance(value, bool):
            found.append(str(value))
    return found


@dataclass(frozen=True, slots=True)
class StoredTokens:
    """The `TokenStore` of one credential, shared by every thread and process.

    `exclusive` is one advisory lock per process on a connection of its own: it ends
    with the connection when the process dies, and holds no transaction open during
    the call to the provider.
    """

    integration_id: int

    def load(self) -> TokenSet | None:
        values = self._values()
        if not values.get("access_token") and not values.get("refresh_token"):
            return None
        return TokenSet(
            access_token=values.get("access_token", ""),
            refresh_token=values.get("refresh_token", ""),
            expires_at=_moment(values.get("expires_at")),
            instance_url=values.get("instance_url", ""),
            scope=values.get("scope", ""),
            raw=values.get("token_raw", {}),
            issued_at=_moment(values.get("issued_at")),
        )

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with _local_locks_guard:
            lock = _local_locks.setdefault(self.integration_id, threading.Lock())
        if not lock.acquire(timeout=LOCK_WAIT_S):
            raise TransientError("Another renewal of this access is still under way.")
        try:
            with _advisory_lock(self.integration_id):
                yield
        finally:
            lock.release()

    def note_spending(self, refresh_token: str) -> None:
        self._rows().update(spending=token_fingerprint(refresh_token))

    def was_spent(self, refresh_token: str) -> bool:
        if not refresh_token:
            return False
        mark = token_fingerprint(refresh_token)
        return self._rows().filter(spending=mark).exists()

    def save(self, tokens: TokenSet) -> None:
        now = datetime.now(UTC)
        with transaction.atomic():
            held = self._rows().select_for_update().get()
            values = crypto.decrypt(held.blob)
            hints = dict(held.hints)
            for name in _TOKEN_FIELDS:
                value = getattr(tokens, name)
                if value:
                    values[name] = value
            for name in ("access_token", "refresh_token"):
                if getattr(tokens, name):
                    hints[name] = {
                        "last4": _last4(getattr(tokens, name)),
                        "set_at": now.isoformat(),
                    }
            values["token_raw"] = tokens.raw
            values["expires_at"] = _iso(tokens.expires_at)
            values["issued_at"] = _iso(tokens.issued_at or now)
            self._rows().update(
                blob=crypto.encrypt(values),
                hints=hints,
                expires_at=tokens.expires_at,
                spending="",
                version=held.version + 1,
                refreshed_at=now,
                updated_at=now,
            )

    def _rows(self) -> Any:
        return Credential.objects.filter(integration_id=self.integration_id)

    def _values(self) -> dict[str, Any]:
        held = self._rows().first()
        return crypto.decrypt(held.blob) if held else {}


@contextmanager
def _advisory_lock(integration_id: int) -> Iterator[None]:
    own = connections.create_connection("default")
    try:
        with own.cursor() as cur:
            cur.execute(f"SET lock_timeout = '{LOCK_WAIT_S}s'")
            cur.execute(
                "SELECT pg_advisory_lock(%s, %s)",
                [_LOCK_SPACE, integration_id % 2**31],
            )
            yield
    except OperationalError as exc:
        raise TransientError(
            "The access could not be renewed: the database did not give the lock."
        ) from exc
    finally:
        own.close()


def _last4(value: Any) -> str:
    text = str(value)
    return text[-4:] if isinstance(value, (str, int)) and len(text) >= 12 else ""


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _moment(value: Any) -> datetime | None:
    if not value:
        return None
    if isinstance(value, (int, float)):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def rotate_all() -> int:
    """Encrypt every secret anew with the first key, one row at a time. Returns how
    many. Raises ConfigError when a row's key is not in the ring."""
    count = 0
    for pk in list(Credential.objects.order_by("pk").values_list("pk", flat=True)):
        with transaction.atomic():
            held = Credential.objects.select_for_update().filter(pk=pk).first()
            if held is not None:
                held.blob = crypto.rotate(held.blob)
                held.save(update_fields=["blob"])
                count += 1
    for state in OAuthState.objects.exclude(verifier="").only("pk", "verifier"):
        OAuthState.objects.filter(pk=state.pk).update(
            verifier=crypto.rotate(state.verifier)
        )
    return count
