"""API keys as people manage them: listed, made, revoked, each with an audit entry."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from churnguard import audit
from churnguard.auth import create_api_key
from churnguard.errors import ConfigError
from churnguard.models import ApiKey, Organization

SCOPES = {
    "ingest": "Send records to the ingest API",
    "read": "Read customers, scores, runs and streams",
    "write": "Read and change integrations and customers, start syncs",
    "admin": "All of it, and members, keys and the audit log",
}


def list_keys(organization: Organization) -> QuerySet[ApiKey]:
    """All keys, newest first, revoked ones too."""
    return organization.api_keys.select_related("created_by").order_by("-pk")


def get_state(key: ApiKey, now: datetime | None = None) -> str:
    """active, expired or revoked."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= (now or timezone.now()):
        return "expired"
    return "active"


def create(
    request: HttpRequest,
    organization: Organization,
    name: str,
    scopes: Iterable[str],
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; (row, plain text), the latter shown once.

    Raises ConfigError for an unknown or missing scope, an empty name, or an end that
    has passed.
    """
    chosen = sorted(set(scopes))
    problems = {}
    if not chosen or not set(chosen) <= set(SCOPES):
        problems["scopes"] = f"one or more of {', '.join(SCOPES)}"
    if not name.strip() or len(name) > 120:
        problems["name"] = "1 to 120 characters"
    if expires_at is not None and expires_at <= timezone.now():
        problems["expires_at"] = "must be in the future"
    if problems:
        raise ConfigError("Some fields are not valid.", code="invalid", fields=problems)
    user = request.user if request.user and request.user.is_authenticated else None
    with transaction.atomic():
        key, plain = create_api_key(
            organization, name.strip(), chosen, created_by=user, expires_at=expires_at
        )
        audit.record(
            request,
            "api_key.created",
            organization=organization,
            target_type="api_key",
            target_id=key.public_id,
            after={
                "name": key.name,
                "prefix": key.prefix,
                "scopes": chosen,
                "expires_at": expires_at.isoformat() if expires_at else None,
            },
        )
    return key, plain


def revoke(request: HttpRequest | str, key: ApiKey) -> bool:
    """End a key at once; False when it was revoked already."""
    with transaction.atomic():
        ended = ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        )
        if ended:
            audit.record(
                request,
                "api_key.revoked",
                organization=key.organization,
                target_type="api_key",
                target_id=key.public_id,
                before={"name": key.name, "prefix": key.prefix, "scopes": key.scopes},
            )
    return bool(ended)
