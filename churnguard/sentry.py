"""Error reports to Sentry: only with SENTRY_DSN, and without secrets or people."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from churnguard.logs import redact

_DROPPED = ("user", "server_name")
_REQUEST_KEPT = ("method", "url")


def start() -> bool:
    """Switch reports on where SENTRY_DSN is set; True when on. Idempotent."""
    if not settings.SENTRY_DSN:
        return False
    # Only processes that report pay for the import.
    import sentry_sdk

    sentry_sdk.init(
        dsn=settings.SENTRY_DSN,
        include_local_variables=False,
        max_request_body_size="never",
        traces_sample_rate=0.0,
        before_send=clean,  # type: ignore[arg-type]
        before_breadcrumb=clean_breadcrumb,
    )
    return True


def clean(event: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
    """The event without persons, headers, cookies, query strings and secrets."""
    for name in _DROPPED:
        event.pop(name, None)
    request = event.get("request")
    if isinstance(request, dict):
        event["request"] = {k: request[k] for k in _REQUEST_KEPT if k in request}
    cleaned = redact(event)
    return cleaned if isinstance(cleaned, dict) else event


def clean_breadcrumb(crumb: dict[str, Any], _hint: dict[str, Any]) -> dict[str, Any]:
    """The breadcrumb with its secrets masked."""
    return dict(redact(crumb))
