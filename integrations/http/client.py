"""The one door to other systems: every outbound HTTP call of a connector goes here.

For each try: budgets, circuit breaker, address guard, signing, time-outs, bounded
body; then the answer becomes a `Reply` or one of our errors. Retries are bounded, use
full jitter, and no single sleep is longer than `retry.max_wait_s`: a longer wait is
raised with `retry_after_s`, and the engine puts the run aside meanwhile.
"""

from __future__ import annotations

import dataclasses
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import httpx

from churnguard.errors import AuthenticationError, TransientError
from integrations.http.attempt import Tried, try_buffered, try_stream
from integrations.http.auth import AuthHook
from integrations.http.body import Reply, Stream
from integrations.http.call import Breaker, Budget, Call, CallFacts
from integrations.http.redact import Redactor
from integrations.http.waits import RetryPolicy, jittered
from integrations.netguard import Guard, GuardedTransport

if TYPE_CHECKING:
    import requests

log = logging.getLogger(__name__)

T = TypeVar("T")


def utc_now() -> datetime:
    """The wall clock, aware."""
    return datetime.now(UTC)


@dataclasses.dataclass(kw_only=True)
class Client:
    """A connection's HTTP client; thread-safe, cheap to vary with `using`.

    adapter: provider name; chooses the rate-limit dialect and labels metrics. title:
    its name in sentences.
    base_url: address that paths are appended to, or a function (an instance address
    that comes with the token). auth: a hook of `integrations.http.auth`, applied only
    at base_url's origin (everywhere if base_url is empty). refresh: called once per
    call after a 401 with the refused token; returns once a newer one is in place, or
    raises AuthenticationError. budgets: asked for every call; extra: asked too by
    calls that name one. secrets: values to mask. transport: replaces the guarded one
    in tests. total_timeout_s: bounds a whole buffered answer.
    """

    adapter: str = ""
    title: str = ""
    base_url: str | Callable[[], str] = ""
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)
    auth: AuthHook | None = None
    refresh: Callable[[str], None] | None = None
    secrets: Any = ()
    budgets: tuple[Budget, ...] = ()
    extra: Mapping[str, Budget] = dataclasses.field(default_factory=dict)
    make_budget: Callable[..., Budget] | None = None
    breaker: Breaker | None = None
    guard: Guard = dataclasses.field(default_factory=Guard)
    retry: RetryPolicy = dataclasses.field(default_factory=RetryPolicy)
    interactive: bool = False
    observer: Callable[[CallFacts], None] | None = None
    connect_timeout_s: float = 10.0
    read_timeout_s: float = 60.0
    total_timeout_s: float = 300.0
    max_body_bytes: int = 64 << 20
    verify_tls: bool = True
    transport: httpx.BaseTransport | None = None
    redactor: Redactor | None = None
    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    rand: Callable[[], float] = random.random

    def __post_init__(self) -> None:
        # Kept in the fields, so that clients made by `using` share both.
        if self.transport is None:
            self.transport = GuardedTransport(self.guard, verify=self.verify_tls)
        if self.redactor is None:
            self.redactor = Redactor()
        self.redactor.add_all(self.secrets)

    def using(self, **changes: Any) -> Client:
        """A client with other settings that shares sockets, masks and budgets.

        guard and verify_tls act on new sockets only: set them on the first client.
        """
        return dataclasses.replace(self, **changes)

    def with_budget(self, account: str, *windows: Any, **options: Any) -> Client:
        """A client whose every call also asks a budget shared by all workers.

        account: what the provider counts by (portal, project, organisation id).
        windows: `integrations.limits.Window`; options: max_concurrent. name="search"
        makes it a budget for calls with budget="search" only.
        """
        name = options.pop("name", "")
        if self.make_budget is None:
            return self
        key = (
            f"{self.adapter}:{account}:{name}" if name else f"{self.adapter}:{account}"
        )
        budget = self.make_budget(key, windows, **options)
        if name:
            return self.using(extra={**self.extra, name: budget})
        return self.using(budgets=(*self.budgets, budget))

    def get(self, url: str, **options: Any) -> Reply:
        """GET; options are the fields of `Call`."""
        return self.send(Call(method="GET", url=url, **options))

    def post(self, url: str, **options: Any) -> Reply:
        """POST; pass idempotent=True for searches and queries."""
        return self.send(Call(method="POST", url=url, **options))

    def get_json(self, url: str, **options: Any) -> Any:
        """The decoded JSON of a GET; a body cut short is fetched again."""
        return self.send(Call(method="GET", url=url, **options), as_json=True).json()

    def post_json(self, url: str, **options: Any) -> Any:
        """The decoded JSON of a POST."""
        return self.send(Call(method="POST", url=url, **options), as_json=True).json()

    def send(self, call: Call, *, as_json: bool = False) -> Reply:
        """Make the call and read the whole answer.

        as_json: an answer that is no JSON counts as a failed try, unless it is a 204
        without content. Raises ConfigError
        (RefusedError for a 4xx), AuthenticationError, RateLimitedError with
        retry_after_s, TransientError.
        """
        return self._until_done(call, lambda n: try_buffered(self, call, n, as_json))

    @contextmanager
    def stream(self, method: str, url: str, **options: Any) -> Iterator[Stream]:
        """An answer to read in pieces, in constant memory; retried until its headers
        have come, not after."""
        call = Call(method=method, url=url, **options)
        with self._until_done(call, lambda n: try_stream(self, call, n)) as stream:
            yield stream

    def requests_session(self) -> requests.Session:
        """A session for SDKs that take one; its traffic goes through this client."""
        # Only SDK connectors need requests loaded.
        from integrations.http.sdk import DoorSession

        return DoorSession(self)

    def close(self) -> None:
        """Close idle sockets (also of clients made from this one)."""
        self.wire.close()

    @property
    def label(self) -> str:
        """The provider's name in sentences."""
        named = self.title or self.adapter.replace("_", " ").capitalize()
        return named or "The service"

    @property
    def origin(self) -> str:
        """base_url as it is now."""
        return self.base_url() if callable(self.base_url) else self.base_url

    @property
    def wire(self) -> httpx.BaseTransport:
        """The transport in use."""
        assert self.transport is not None
        return self.transport

    @property
    def masks(self) -> Redactor:
        """The redactor in use."""
        assert self.redactor is not None
        return self.redactor

    def budgets_for(self, call: Call) -> tuple[Budget, ...]:
        """The budgets this call takes from; a name without a budget takes none."""
        named = self.extra.get(call.budget) if call.budget else None
        return self.budgets if named is None else (named, *self.budgets)

    def _until_done(self, call: Call, one_try: Callable[[int], Tried[T]]) -> T:
        number, refreshed = 1, False
        while True:
            tried = one_try(number)
            if tried.error is None:
                return tried.value  # type: ignore[return-value]
            if self._can_refresh(call, tried) and not refreshed:
                refreshed = True
                self.refresh(tried.token)  # type: ignore[misc]
                continue
            wait_s = self._wait_s(tried, number)
            if wait_s is None:
                raise tried.error
            log.info(
                "http.retry",
                extra={
                    "adapter": self.adapter,
                    "attempt": number,
                    "code": tried.error.code,
                    "wait_s": round(wait_s, 3),
                },
            )
            self.sleep(wait_s)
            number += 1

    def _can_refresh(self, call: Call, tried: Tried[T]) -> bool:
        is_refused = isinstance(tried.error, AuthenticationError)
        return is_refused and call.auth and self.refresh is not None

    def _wait_s(self, tried: Tried[T], number: int) -> float | None:
        """Seconds to sleep before the next try; None if there must be none."""
        error = tried.error
        if not isinstance(error, TransientError) or not tried.may_repeat:
            return None
        if number >= self.retry.max_attempts:
            return None
        if error.retry_after_s is None:
            return self.retry.backoff_s(number, self.rand)
        if error.retry_after_s > self.retry.max_wait_s:
            return None
        return min(jittered(error.retry_after_s, self.rand), self.retry.max_wait_s)
