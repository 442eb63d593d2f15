"""Who is asking, for which organisation, and what they may do.

Machines send `Authorization: Bearer cg_…` or `X-API-Key`; people have a session. Both
end as `request.organization` plus a set of scopes, and every query starts there.
"""

from __future__ import annotations

import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from churnguard.models import ApiKey, Membership, Organization, User

ROLE_RANK = {"viewer": 0, "analyst": 1, "admin": 2, "owner": 3}
ROLE_SCOPES: dict[str, frozenset[str]] = {
    "viewer": frozenset({"read"}),
    "analyst": frozenset({"read", "write", "ingest"}),
    "admin": frozenset({"read", "write", "ingest", "admin"}),
    "owner": frozenset({"read", "write", "ingest", "admin"}),
}
_IMPLIED = {
    "admin": {"admin", "write", "read", "ingest"},
    "write": {"write", "read"},
}
KEY_PREFIX = "cg_"
_LAST_USED_EVERY = timedelta(minutes=1)


def hash_key(plain: str) -> str:
    """SHA-256 hex; keys carry 256 random bits, so no salt or stretching is needed."""
    return hashlib.sha256(plain.encode()).hexdigest()


def create_api_key(
    organization: Organization,
    name: str,
    scopes: Iterable[str],
    *,
    created_by: User | None = None,
    expires_at: datetime | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; the plain text is returned once and stored nowhere."""
    plain = KEY_PREFIX + secrets.token_urlsafe(32)
    key = ApiKey.objects.create(
        organization=organization,
        name=name,
        prefix=plain[:9],
        key_hash=hash_key(plain),
        scopes=sorted(set(scopes)),
        created_by=created_by,
        expires_at=expires_at,
    )
    return key, plain


def expand_scopes(scopes: Iterable[str]) -> frozenset[str]:
    """Scopes with those they imply: admin > write > read; admin > ingest."""
    out: set[str] = set()
    for scope in scopes:
        out |= _IMPLIED.get(scope, {scope})
    return frozenset(out)


def find_api_key(plain: str) -> ApiKey | None:
    """The live key (not revoked, not expired) with this plain text, or None."""
    key = (
        ApiKey.objects.select_related("organization")
        .filter(key_hash=hash_key(plain), revoked_at__isnull=True)
        .first()
    )
    if key is None or (key.expires_at and key.expires_at <= timezone.now()):
        return None
    return key


def touch(key: ApiKey) -> None:
    """Remember that the key was used, at most once a minute."""
    now = timezone.now()
    if key.last_used_at is None or now - key.last_used_at > _LAST_USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=now)


def key_from_headers(authorization: str, x_api_key: str) -> str | None:
    """The API key of a request's headers; None when there is none."""
    if x_api_key:
        return x_api_key.strip()
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    return None


class ApiKeyAuthentication(BaseAuthentication):
    """A key in `Authorization: Bearer` or `X-API-Key`; a bad one is a 401."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        plain = key_from_headers(
            request.META.get("HTTP_AUTHORIZATION", ""),
            request.META.get("HTTP_X_API_KEY", ""),
        )
        if plain is None:
            return None
        key = find_api_key(plain)
        if key is None:
            raise exceptions.AuthenticationFailed(
                "This API key is unknown, expired or revoked."
            )
        touch(key)
        http: Any = request._request
        http.api_key = key
        http.organization = key.organization
        http.scopes = expand_scopes(key.scopes)
        http.role = None
        return (key.created_by, key)

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class SessionOrgAuthentication(SessionAuthentication):
    """A signed-in person acting for the organisation their session has chosen."""

    def authenticate(self, request: Request) -> tuple[Any, Any] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        http: Any = request._request
        membership = getattr(http, "membership", None)
        if membership is None:
            raise exceptions.PermissionDenied("You belong to no organisation.")
        http.scopes = ROLE_SCOPES[membership.role]
        http.role = membership.role
        return found

    def authenticate_header(self, request: Request) -> str:
        return "Bearer"


class RoleOrScope(BasePermission):
    """The scope a view's method needs: `required_scope = {"GET": "read", ...}`."""

    DEFAULT = {"GET": "read", "HEAD": "read", "OPTIONS": "read"}

    def has_permission(self, request: Request, view: Any) -> bool:
        scopes = getattr(request._request, "scopes", None)
        if scopes is None:
            raise exceptions.NotAuthenticated(
                "Send an API key as `Authorization: Bearer cg_…`, or sign in."
            )
        table = {**self.DEFAULT, **getattr(view, "required_scope", {})}
        needed = table.get(request.method or "GET", "write")
        self.message = f"This needs the scope “{needed}”."
        return needed in scopes


def organization_of(request: HttpRequest | Request) -> Organization:
    """The organisation the request acts for. Raises Http404 when there is none."""
    http = getattr(request, "_request", request)
    organization = getattr(http, "organization", None)
    if organization is None:
        raise Http404("No organisation.")
    return organization


def has_role(request: HttpRequest, role: str) -> bool:
    """Whether the signed-in member has `role` or a higher one."""
    membership: Membership | None = getattr(request, "membership", None)
    return membership is not None and ROLE_RANK[membership.role] >= ROLE_RANK[role]


def org_view(
    view: Callable[..., HttpResponse] | None = None, *, role: str = "viewer"
) -> Any:
    """Decorate a page: signed in, member of an organisation, of at least `role`.

    Too low a role raises PermissionDenied (the 403 page says which role is needed);
    someone without any membership is sent to the page that explains it.
    """

    def wrap(inner: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
        @functools.wraps(inner)
        def page(request: Any, *args: Any, **kwargs: Any) -> HttpResponse:
            if getattr(request, "membership", None) is None:
                raise PermissionDenied(
                    "You are signed in, but you belong to no organisation yet. Ask an "
                    "owner for an invitation link."
                )
            if not has_role(request, role):
                raise PermissionDenied(
                    f"This page needs the role {role} or higher; you are "
                    f"{request.membership.role}."
                )
            return inner(request, *args, **kwargs)

        return login_required(page)

    return wrap(view) if view is not None else wrap
