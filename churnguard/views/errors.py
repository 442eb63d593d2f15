"""Error pages; under /api/ the same errors are the JSON body of every API error."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

_TEXT = {
    400: ("bad_request", "The request could not be understood."),
    403: ("permission_denied", "You may not do this."),
    404: ("not_found", "There is nothing at this address."),
    500: ("server_error", "Something went wrong on our side. It has been logged."),
}


def _answer(request: HttpRequest, status: int, detail: str = "") -> HttpResponse:
    code, text = _TEXT[status]
    detail = detail or text
    if request.path.startswith(("/api/", "/webhooks/")):
        body = {"detail": detail, "code": code, "fields": {}}
        return JsonResponse(body, status=status)
    context = {
        "status": status,
        "detail": detail,
        "request_id": getattr(request, "request_id", ""),
    }
    # Without the request no context processor asks a database that may be the cause.
    page = render_to_string(
        f"errors/{status}.html", context, None if status == 500 else request
    )
    return HttpResponse(page, status=status)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 403, str(exception))


def expired_form(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form without a valid CSRF token: of another sign-in, or from elsewhere."""
    page = render_to_string("errors/expired_form.html", {}, request)
    return HttpResponse(page, status=403)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, 500)
