"""What every API answer shares: the error body and keyset pages."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import math
from typing import Any, TypeVar

from django.core.exceptions import PermissionDenied
from django.db import OperationalError
from django.db.models import Model, Q, QuerySet
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.response import Response
from rest_framework.views import exception_handler as drf_handler

from churnguard.errors import ConfigError, RateLimitedError, TransientError

log = logging.getLogger(__name__)
M = TypeVar("M", bound=Model)


def problem(
    detail: str,
    code: str,
    http_status: int,
    *,
    fields: dict[str, Any] | None = None,
    retry_after_s: float | None = None,
) -> Response:
    """The one error body: {"detail", "code", "fields"}."""
    headers = {}
    if retry_after_s is not None:
        headers["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return Response(
        {"detail": detail, "code": code, "fields": fields or {}},
        status=http_status,
        headers=headers,
    )


def exception_handler(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Turn what a view raises into the error body; bugs stay 500s and are logged."""
    if isinstance(exc, RateLimitedError):
        return problem(exc.message, exc.code, 429, retry_after_s=exc.retry_after_s or 1)
    if isinstance(exc, ConfigError):
        return problem(exc.message, exc.code, 400, fields=dict(exc.fields))
    if isinstance(exc, TransientError):
        return problem(exc.message, exc.code, 503, retry_after_s=exc.retry_after_s or 5)
    if isinstance(exc, OperationalError):
        log.error("api.database_unavailable", extra={"error": type(exc).__name__})
        return problem(
            "The database is not reachable. Try again shortly.",
            "database_unavailable",
            503,
            retry_after_s=5,
        )
    if isinstance(exc, Http404):
        return problem("Not found.", "not_found", status.HTTP_404_NOT_FOUND)
    if isinstance(exc, PermissionDenied):
        return problem(str(exc) or "Not allowed.", "permission_denied", 403)
    response = drf_handler(exc, context)
    if response is None:
        return None
    if isinstance(exc, exceptions.ValidationError):
        fields = exc.detail if isinstance(exc.detail, dict) else {"": exc.detail}
        response.data = {
            "detail": "Some fields are not valid.",
            "code": "invalid",
            "fields": fields,
        }
        return response
    if isinstance(exc, exceptions.APIException):
        detail = exc.detail if isinstance(exc.detail, str) else exc.default_detail
        code = getattr(detail, "code", None) or exc.default_code
        response.data = {"detail": str(detail), "code": code, "fields": {}}
    return response


def encode_cursor(values: list[Any]) -> str:
    """An opaque cursor for JSON-safe `values`."""
    return base64.urlsafe_b64encode(json.dumps(values).encode()).decode().rstrip("=")


def decode_cursor(text: str, length: int) -> list[Any]:
    """The values of a cursor. Raises ConfigError (a 400) when it is not one of ours."""
    try:
        values = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error):
        values = None
    if not isinstance(values, list) or len(values) != length:
        raise ConfigError(
            "This cursor is not valid. Use the `next` value of the previous page.",
            code="invalid_cursor",
            fields={"cursor": "not valid"},
        )
    return values


def page_limit(text: str | None, *, default: int = 50, most: int = 500) -> int:
    """The `limit` parameter as an int in 1..most. Raises ConfigError otherwise."""
    if text is None or text == "":
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise ConfigError(
            f"limit must be a whole number from 1 to {most}.",
            code="invalid_limit",
            fields={"limit": f"1 to {most}"},
        )
    return int(text)


def keyset_by_id(
    rows: QuerySet[M], *, cursor: str | None, limit: int
) -> tuple[list[M], str | None]:
    """Newest first by primary key: (rows, next cursor or None)."""
    if cursor:
        (last,) = decode_cursor(cursor, 1)
        if not isinstance(last, int) or isinstance(last, bool) or abs(last) > 2**62:
            raise ConfigError("This cursor is not valid.", code="invalid_cursor")
        rows = rows.filter(Q(pk__lt=last))
    found = list(rows.order_by("-pk")[: limit + 1])
    more = len(found) > limit
    found = found[:limit]
    return found, encode_cursor([found[-1].pk]) if more and found else None
