"""From an answer to an error: one table for all providers.

401                         AuthenticationError
429, quota answers          RateLimitedError
403                         ConfigError permission_denied
404, 400, 422, other 4xx    ConfigError bad_request / not_found / ...
408, 409, 423, 425, 477     TransientError
5xx                         TransientError
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from churnguard.errors import (
    AuthenticationError,
    ChurnGuardError,
    ConfigError,
    RateLimitedError,
    TransientError,
)
from integrations.http.body import Reply
from integrations.http.dialects import Dialect, quota_sign
from integrations.http.redact import Redactor
from integrations.http.waits import header_wait_s

# 423: HubSpot object locks; 477: HubSpot account migration (sends Retry-After).
TRANSIENT_STATUSES = frozenset({408, 409, 421, 423, 425, 477})

_REFUSALS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "rejected the request"),
    402: ("plan_required", "says the plan does not include this"),
    403: ("permission_denied", "does not let this connection read it"),
    404: ("not_found", "does not know this address"),
    405: ("bad_request", "does not allow this method"),
    410: ("gone", "has retired this address or version"),
    413: ("bad_request", "says the request is too large"),
    414: ("bad_request", "says the address is too long"),
    422: ("bad_request", "rejected the values of the request"),
    501: ("bad_request", "does not support this request"),
}
_CODE_KEYS = ("errorCode", "code", "type", "category", "error", "status")
_MESSAGE_KEYS = (
    "error_description",
    "message",
    "detail",
    "description",
    "title",
    "error",
)


class RefusedError(ConfigError):
    """A 4xx the provider meant. `status`, `reply` and `provider_code` (its own error
    code, such as INVALID_FIELD, or "") let a connector react to a known case."""

    code = "refused"

    def __init__(self, message: str, *, code: str, reply: Reply, provider_code: str):
        super().__init__(message, code=code)
        self.status = reply.status
        self.reply = reply
        self.provider_code = provider_code


def error_of(
    reply: Reply, *, label: str, dialect: Dialect, redactor: Redactor, now: datetime
) -> ChurnGuardError | None:
    """The error a status of 400 and more stands for; None below.

    label: the provider's name for the sentence.
    """
    if reply.status < 400:
        return None
    code, message = _provider_words(reply)
    told = redactor.clean(f" ({code}: {message})" if message else "", limit=400)
    limited = _limited(reply, label, told, dialect, now)
    if limited is not None:
        return limited
    status = reply.status
    if status == 401:
        return AuthenticationError(
            f"{label} did not accept the credentials{told}. Reconnect, or enter a "
            "valid key."
        )
    if status == 403 and dialect.bare_403_is_busy and not reply.is_json:
        return TransientError(
            f"{label} is overloaded and answered 403 without an explanation.",
            code="provider_unavailable",
        )
    if status in TRANSIENT_STATUSES or (status >= 500 and status != 501):
        return TransientError(
            f"{label} answered {status}{told}; it should work again later.",
            code="conflict" if status in (409, 423) else "provider_unavailable",
            retry_after_s=header_wait_s(reply.headers, (), now),
        )
    slug, verb = _REFUSALS.get(status, ("refused", f"answered {status}"))
    return RefusedError(
        f"{label} {verb}{told}.", code=slug, reply=reply, provider_code=code
    )


def may_retry(reply: Reply, dialect: Dialect) -> bool | None:
    """The provider's own word on a retry (Stripe), or None."""
    told = reply.headers.get(dialect.should_retry) if dialect.should_retry else None
    return {"true": True, "false": False}.get((told or "").lower())


def _limited(
    reply: Reply, label: str, told: str, dialect: Dialect, now: datetime
) -> RateLimitedError | None:
    sign = quota_sign(reply.status, reply.text[:4000], dialect)
    if sign is None and reply.status != 429:
        return None
    wait_s = header_wait_s(reply.headers, dialect.reset, now)
    if wait_s is None:
        wait_s = sign.wait_s if sign else dialect.default_wait_s
    reason = f" ({sign.reason})" if sign else told
    return RateLimitedError(
        f"{label} asks us to slow down{reason}.", retry_after_s=wait_s
    )


def _provider_words(reply: Reply) -> tuple[str, str]:
    """The provider's error code and message, from any of the usual JSON shapes."""
    try:
        body = msgspec.json.decode(reply.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return str(reply.status), _plain_text(reply)
    nodes = list(_error_nodes(body))
    code = next(_strings(nodes, _CODE_KEYS), str(reply.status))
    message = next(_strings(nodes, _MESSAGE_KEYS), "")
    return code, message


def _error_nodes(body: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Dicts that may describe the error, the most specific first."""
    if isinstance(body, list) and body:
        yield from _error_nodes(body[0], depth + 1)
    elif isinstance(body, dict) and depth < 4:
        for key in ("error", "errors"):
            if isinstance(body.get(key), (dict, list)):
                yield from _error_nodes(body[key], depth + 1)
        yield body


def _strings(nodes: list[dict[str, Any]], keys: tuple[str, ...]) -> Iterator[str]:
    for node in nodes:
        for key in keys:
            if isinstance(node.get(key), str) and node[key].strip():
                yield " ".join(node[key].split())


def _plain_text(reply: Reply) -> str:
    text = " ".join(reply.text[:300].split())
    return "" if text.startswith("<") else text
