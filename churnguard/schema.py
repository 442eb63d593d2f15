"""Pieces of the OpenAPI description that every app uses."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers


class ErrorSerializer(serializers.Serializer):
    """The body of every error."""

    detail = serializers.CharField(help_text="A sentence a person can act on.")
    code = serializers.CharField(help_text="A stable slug.")
    fields = serializers.DictField(help_text="Field name to what is wrong with it.")


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
