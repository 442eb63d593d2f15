"""Request context: a request id, the log context, and the acting organisation."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponse
from django_htmx.middleware import HtmxDetails

from churnguard.models import Membership, Organization, User

_SAFE_ID = re.compile(r"^[A-Za-z0-9_-]{8,64}$")
SESSION_KEY = "organization_id"


class PageRequest(HttpRequest):
    """A member's request, as pages behind `churnguard.auth.org_view` get it."""

    user: User
    organization: Organization
    membership: Membership
    memberships: list[Membership]
    request_id: str
    htmx: HtmxDetails


class RequestContextMiddleware:
    """Gives each request an id (X-Request-ID, echoed) and clears the log context."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        given = request.headers.get("X-Request-ID", "")
        request.request_id = given if _SAFE_ID.match(given) else uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.request_id)
        response = self.get_response(request)
        response["X-Request-ID"] = request.request_id
        return response


class OrganizationMiddleware:
    """Sets request.membership, request.organization and request.memberships for a
    signed-in person: the organisation chosen in the session, else the oldest."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: Any) -> HttpResponse:
        request.membership = None
        request.organization = None
        request.memberships = []
        if request.user.is_authenticated:
            request.memberships = list(
                Membership.objects.filter(user=request.user)
                .select_related("organization")
                .order_by("pk")
            )
            chosen = request.session.get(SESSION_KEY)
            for membership in request.memberships:
                if request.membership is None or membership.organization_id == chosen:
                    request.membership = membership
            if request.membership is not None:
                request.organization = request.membership.organization
                structlog.contextvars.bind_contextvars(
                    tenant_id=request.organization.public_id
                )
        return self.get_response(request)
