"""The secrets of a connection: written once, read by connectors, shown as hints.

Nothing here returns a secret to an edge (API, page, log): edges call `describe`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from churnguard import crypto
from churnguard.errors import ConfigError
from integrations import token_stores
from integrations.connectors.base import Connector
from integrations.models import Credential, Integration, OAuthState, TriedToken


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


_PROOFS = ("refresh_token", "client_secret", "private_key")
"""What access tokens are granted for."""
_GRANTED = ("access_token", "expires_at", "issued_at")
_AUTH_TYPES: dict[str, dict[str, tuple[str, ...]]] = {
    "api_key": {"header_key": ("api_key",)},
    "basic_auth": {"basic": ("username",)},
    "bearer_token": {"bearer": ("access_token",)},
    "oauth2": {
        "oauth2_refresh": ("refresh_token", "token_url"),
        "oauth2_client_credentials": ("client_secret", "token_url"),
        "bearer": ("access_token",),
    },
}
"""credential_type -> {auth_type: what it needs}, the first that has it."""


def implied(
    connector: type[Connector], given: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings that follow from the specification's credential_type: auth_type of a
    connector that has the choice, where the caller made none.

    given: IntegrationCredentials. settings: as the caller sent them.
    """
    has_choice = any(field.name == "auth_type" for field in connector.fields)
    if not has_choice or "auth_type" in settings:
        return {}
    kind, values = flatten(given)
    held = {**settings, **values}
    for auth_type, needed in _AUTH_TYPES.get(kind, {}).items():
        if all(held.get(name) for name in needed):
            return {"auth_type": auth_type}
    return {}


def save(
    integration: Integration,
    secrets: Mapping[str, Any],
    *,
    credential_type: str = "",
    by: str = "system",
) -> Credential:
    """Store `secrets` over those already there; a value of None removes one. In place
    of a refresh token that a test has spent, the tokens it was renewed to are stored.
    An access token that was granted for what is replaced is forgotten. Raises
    ConfigError for an expires_at that is no time.
    """
    now = datetime.now(UTC)
    with transaction.atomic():
        held = (
            Credential.objects.select_for_update()
            .filter(integration=integration)
            .first()
        )
        values = crypto.decrypt(held.blob) if held else {}
        hints = dict(held.hints) if held else {}
        renewed = token_stores.take_tried(integration.organization_id, secrets)
        changed = {**secrets, **renewed}
        if _replaces_grant(values, changed):
            changed |= dict.fromkeys(_GRANTED)
        for name, value in changed.items():
            if value is None:
                values.pop(name, None)
                hints.pop(name, None)
            else:
                values[name] = value
                hints[name] = token_stores.hint_of(value, now)
        credential = held or Credential(integration=integration)
        credential.blob = crypto.encrypt(values)
        credential.hints = hints
        credential.credential_type = credential_type or credential.credential_type
        credential.expires_at = _expiry(values)
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


def ends_at(integration: Integration) -> datetime | None:
    """When the access ends unless a person acts; None where it renews itself."""
    held = Credential.objects.filter(integration=integration).first()
    if held is None or held.refreshed_at or held.credential_type == "oauth2":
        return None
    return held.expires_at


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
    # One without tokens only notes that a renewal has begun.
    for tried in TriedToken.objects.exclude(blob="").only("pk", "blob"):
        TriedToken.objects.filter(pk=tried.pk).update(blob=crypto.rotate(tried.blob))
    for state in OAuthState.objects.exclude(verifier="").only("pk", "verifier"):
        OAuthState.objects.filter(pk=state.pk).update(
            verifier=crypto.rotate(state.verifier)
        )
    return count


def _replaces_grant(held: Mapping[str, Any], changed: Mapping[str, Any]) -> bool:
    """Whether the access token held may be another account's from now on."""
    if "access_token" in changed or not held.get("access_token"):
        return False
    # One without issued_at was pasted, and needs nothing but itself.
    proofs = _PROOFS if held.get("issued_at") else _PROOFS[:1]
    return any(changed.get(name) not in (None, held.get(name)) for name in proofs)


def _expiry(values: Mapping[str, Any]) -> datetime | None:
    given = values.get("expires_at")
    try:
        return token_stores.moment_of(given)
    except (ValueError, OverflowError, OSError) as exc:
        raise ConfigError(
            "expires_at must be an ISO time, such as 2026-01-31T12:00:00Z, or seconds "
            "since 1970.",
            code="invalid_settings",
            fields={"expires_at": "not a time"},
        ) from exc
