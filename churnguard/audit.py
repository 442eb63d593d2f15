"""The audit log: who changed what, from what to what, with secrets masked."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from churnguard import crypto
from churnguard.models import AuditEntry, Organization


def actor_of(request: HttpRequest) -> str:
    """The e-mail address of the signed-in user, or "key:<name>"."""
    key = getattr(request, "api_key", None)
    if key is not None:
        return f"key:{key.name}"
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return str(user.email)
    return "anonymous"


def record(
    who: HttpRequest | str,
    action: str,
    *,
    organization: Organization | None,
    target_type: str,
    target_id: str,
    before: dict[str, Any] | None = None,
    after: dict[str, Any] | None = None,
) -> AuditEntry:
    """Write one entry, in the caller's transaction. Only changed keys are kept when
    both sides are given."""
    if before is not None and after is not None:
        changed = {
            k for k in before.keys() | after.keys() if before.get(k) != after.get(k)
        }
        before = {k: v for k, v in before.items() if k in changed}
        after = {k: v for k, v in after.items() if k in changed}
    request_id = "" if isinstance(who, str) else getattr(who, "request_id", "")
    return AuditEntry.objects.create(
        organization=organization,
        actor=who if isinstance(who, str) else actor_of(who),
        action=action,
        target_type=target_type,
        target_id=target_id,
        before=crypto.mask(before),
        after=crypto.mask(after),
        request_id=request_id,
    )
