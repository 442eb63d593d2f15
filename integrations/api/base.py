"""What the views share: the organisation, safe parameters, the documented errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from django.urls import URLPattern, path, register_converter
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.views import APIView

from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.models import Organization
from churnguard.schema import ErrorSerializer
from integrations import queries, storable
from integrations.models import Integration, StreamState

ADMIN = dict.fromkeys(("POST", "PUT", "PATCH", "DELETE"), "admin")
"""`required_scope` of what the pages leave to admins: connections and their state."""


class PublicId:
    """Path converter of public ids."""

    regex = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(PublicId, "public_id")


_SENTENCES = {
    400: "Something in the request is not valid; `fields` names it.",
    401: "No API key or an unknown one, and not signed in.",
    403: "The key or the role lacks the scope.",
    404: "Not in this organisation.",
    409: "Not in this state; `code` says why (already_running, paused, inactive).",
    413: "The file is too large.",
    429: "Too many requests; see Retry-After.",
    503: "The provider or the database cannot be reached now; see Retry-After.",
}


def errors(*statuses: int) -> dict[int, OpenApiResponse]:
    """The documented error answers: those of every view and `statuses`."""
    return {
        status: OpenApiResponse(ErrorSerializer, _SENTENCES[status])
        for status in sorted({400, 401, 403, 429, *statuses})
    }


def text_query(name: str, description: str) -> OpenApiParameter:
    """A documented query parameter."""
    return OpenApiParameter(name, str, description=description)


PAGING = [
    text_query("cursor", "The `next` of the previous page."),
    OpenApiParameter("limit", int, description="Rows per page, 1 to 500."),
]


class OrgView(APIView):
    """A view of one organisation's data; a stranger's object is a 404."""

    @property
    def organization(self) -> Organization:
        return organization_of(self.request)

    def integration(self, public_id: str) -> Integration:
        return queries.get_integration(self.organization, public_id)

    def require_own(self, organization_id: str | None) -> None:
        """Another organisation's id is as good as one that does not exist."""
        if organization_id not in (None, self.organization.public_id):
            raise Http404("No such organisation.")

    def stream(self, public_id: str, name: str) -> StreamState:
        found = None
        if "\0" not in name:
            found = (
                StreamState.objects.select_related(
                    "integration__organization", "integration__source"
                )
                .filter(integration=self.integration(public_id), name=name)
                .first()
            )
        if found is None:
            raise Http404("No such stream.")
        return found

    def text(self, name: str) -> str:
        """A query parameter; ConfigError where it cannot be a text of ours."""
        value: str = self.request.query_params.get(name, "")
        if "\0" in value or not value.isprintable() or len(value) > 500:
            raise ConfigError(
                f"{name} has characters that cannot be searched for.",
                code="invalid_parameter",
                fields={name: "not valid"},
            )
        return value

    def page(self) -> tuple[str | None, int]:
        """(cursor, limit) of a keyset page."""
        cursor = self.text("cursor") or None
        return cursor, page_limit(self.request.query_params.get("limit"))

    def body(
        self, serializer: type[serializers.Serializer], request: Request
    ) -> dict[str, Any]:
        """The checked body, only what was sent."""
        form = serializer(data=request.data, partial=False)
        form.is_valid(raise_exception=True)
        return dict(form.validated_data)


class JsonObject(serializers.DictField):
    """A JSON object that PostgreSQL can keep."""

    def to_internal_value(self, data: Any) -> Any:
        value = super().to_internal_value(data)
        return check_json(value)


class JsonValue(serializers.JSONField):
    """Any JSON that PostgreSQL can keep."""

    def to_internal_value(self, data: Any) -> Any:
        return check_json(super().to_internal_value(data))


def check_json(value: Any) -> Any:
    """`value`, or a ValidationError where it cannot be stored."""
    if fault := storable.why_not(value):
        raise serializers.ValidationError(fault)
    return value


def routes(table: Mapping[str, Any]) -> list[URLPattern]:
    """Each address without a trailing slash, as documented, and quietly with one."""
    found: list[URLPattern] = []
    for route, view in table.items():
        name = "api-" + getattr(view, "url_name", view.__name__.lower())
        found.append(path(route, view.as_view(), name=name))
        found.append(path(f"{route}/", view.as_view(schema=None)))
    return found
