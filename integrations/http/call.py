"""One outbound call as data, and what is reported about each try."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx

Outcome = Literal["success", "rate_limited", "connection_failure", "failure"]
ParamValue = str | int | float | bool | None
Params = Mapping[str, ParamValue | Sequence[ParamValue]]

IDEMPOTENT_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What to send.

    url: absolute, or a path under the client's base_url. params: None values are
    left out. json, data (form) or content: at most one. ok: statuses of 400 and more
    the caller wants to see as a reply. idempotent: True lets a POST be retried (a
    search); None = by method. cost: what the call takes from the budget. budget: name
    of an extra budget ("search"). auth: False sends no credentials.
    """

    method: str
    url: str
    params: Params | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    data: Mapping[str, Any] | None = None
    content: bytes | None = None
    ok: tuple[int, ...] = ()
    idempotent: bool | None = None
    cost: int = 1
    budget: str = ""
    auth: bool = True
    read_timeout_s: float | None = None

    @property
    def may_repeat(self) -> bool:
        """Whether sending it twice does no harm."""
        if self.idempotent is not None:
            return self.idempotent
        named = {name.lower() for name in self.headers}
        return self.method in IDEMPOTENT_METHODS or "idempotency-key" in named


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One try, for metrics. status 0 = no answer came. duration_s: until the body
    was read (until the headers, for streams)."""

    adapter: str
    host: str
    method: str
    status: int
    duration_s: float
    attempt: int
    outcome: Outcome


class Budget(Protocol):
    """What the client needs of `integrations.limits.Limiter`."""

    def acquire(
        self, *, cost: int = 1, interactive: bool = False, max_wait_s: float = 5.0
    ) -> Lease:
        """Wait for room; RateLimitedError if that takes longer than max_wait_s."""

    def report(
        self, *, limit: int, remaining: int, window_s: float, reset_s: float | None
    ) -> None:
        """Take over what the provider says about one window."""

    def block(self, wait_s: float) -> None:
        """No call of any worker for this long."""


class Lease(Protocol):
    """A place among the calls in flight."""

    def renew(self) -> None:
        """Keep the place of a long download."""

    def release(self) -> None:
        """Give the place back; safe to call twice."""


class Breaker(Protocol):
    """What the client needs of `integrations.breaker.CircuitBreaker`."""

    def before(self, host: str) -> None:
        """RestingError while the host is given a rest."""

    def after(self, host: str, *, healthy: bool) -> None:
        """Report one answered (True) or failed (False) try."""


def target_url(base_url: str, call: Call) -> httpx.URL:
    """base_url + path (a leading slash does not reset it), query parameters merged."""
    url = call.url
    if not url.startswith(("http://", "https://")):
        url = f"{base_url.rstrip('/')}/{url.lstrip('/')}" if url else base_url
    target = httpx.URL(url)
    params = {
        name: value for name, value in (call.params or {}).items() if value is not None
    }
    return target.copy_merge_params(params) if params else target


def same_origin(one: httpx.URL, other: httpx.URL) -> bool:
    """Scheme, host and port agree."""
    return (one.scheme, one.host, _port(one)) == (
        other.scheme,
        other.host,
        _port(other),
    )


def redirect_call(call: Call, status: int) -> Call:
    """The call that follows a redirect (RFC 9110 section 15.4)."""
    method = call.method
    if status == 303 or (status in (301, 302) and method == "POST"):
        return Call(
            method="HEAD" if method == "HEAD" else "GET",
            url=call.url,
            headers=call.headers,
            ok=call.ok,
            auth=call.auth,
            read_timeout_s=call.read_timeout_s,
        )
    return call


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)
