"""Pieces of the OpenAPI description that every app uses."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers


class ErrorSerializer(serializers.Serializer):
    """The body of every error."""

    detail = serializers.CharField(help_text="A sentence a person can act on.")
    code = serializers.CharField(help_text="A stable slug.")
    fields = serializers.DictField(  # type: ignore[assignment]
        help_text="Field name to what is wrong with it."
    )


ERRORS = {
    400: OpenApiResponse(ErrorSerializer, "A parameter or field is not valid."),
    401: OpenApiResponse(ErrorSerializer, "No or an unknown API key, not signed in."),
    403: OpenApiResponse(ErrorSerializer, "The key or role lacks the scope."),
    404: OpenApiResponse(ErrorSerializer, "Not in this organisation."),
    429: OpenApiResponse(ErrorSerializer, "Too many requests; see Retry-After."),
}

PAGE = [
    OpenApiParameter("cursor", str, description="The `next` of the previous page."),
    OpenApiParameter("limit", int, description="1 to 500, default 50."),
]


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How a key is sent, for the description."""

    target_class = "churnguard.auth.ApiKeyAuthentication"
    name = "ApiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "cg_…",
            "description": "An API key; the header X-API-Key takes it, too.",
        }


class SessionScheme(OpenApiAuthenticationExtension):
    """A signed-in browser, for the description."""

    target_class = "churnguard.auth.SessionOrgAuthentication"
    name = "Session"

    def get_security_definition(self, auto_schema: Any) -> dict[str, Any]:
        return {
            "type": "apiKey",
            "in": "cookie",
            "name": settings.SESSION_COOKIE_NAME,
            "description": "Changes also need the header X-CSRFToken.",
        }
