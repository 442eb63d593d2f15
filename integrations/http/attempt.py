"""One try of one call: room in the budgets, the breaker, the wire, the verdict."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import httpx

from churnguard.errors import (
    ChurnGuardError,
    ConfigError,
    RateLimitedError,
    TransientError,
)
from integrations.http.body import Reply, Stream, TruncatedError, read_body
from integrations.http.call import (
    Call,
    CallFacts,
    Lease,
    Outcome,
    redirect_call,
    same_origin,
    target_url,
)
from integrations.http.dialects import dialect_of, read_usage
from integrations.http.replies import error_of, may_retry

if TYPE_CHECKING:
    from integrations.http.client import Client

log = logging.getLogger(__name__)

T = TypeVar("T")
E = TypeVar("E", bound=BaseException)

USER_AGENT = "ChurnGuard/1.0"
MAX_REDIRECTS = 5
MAX_ERROR_BYTES = 1 << 20

# What providers ask for when a call has to be traced: Stripe's first.
_REQUEST_IDS = ("request-id", "x-request-id", "x-hubspot-correlation-id")
_NEVER_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_WIRE_ERRORS = (httpx.TransportError, TruncatedError)


@dataclass(frozen=True, slots=True)
class Tried(Generic[T]):
    """value or error, never both. token: the credential that was sent, for a
    refresh. may_repeat: the error is of a kind that another try can cure."""

    value: T | None = None
    error: ChurnGuardError | None = None
    token: str = ""
    may_repeat: bool = False


@dataclass(slots=True)
class _Wire:
    """The open answer of a try, and what is needed to judge it."""

    response: httpx.Response
    request: httpx.Request
    url: str


def try_buffered(
    client: Client, call: Call, number: int, as_json: bool
) -> Tried[Reply]:
    """Send once and read the whole answer."""

    def finish(wire: _Wire, deadline: float) -> Reply:
        reply = _reply(client, wire, client.max_body_bytes, deadline)
        if as_json and reply.status != 204:
            reply.json()
        return reply

    with ExitStack() as stack:
        return _attempt(client, call, number, stack, finish)


def try_stream(
    client: Client, call: Call, number: int
) -> Tried[AbstractContextManager[Stream]]:
    """Send once and hand out the open answer; its place in the budgets is kept until
    the returned context ends."""
    with ExitStack() as stack:
        leases: list[Lease] = []

        def finish(wire: _Wire, deadline: float) -> AbstractContextManager[Stream]:
            def renew() -> None:
                for lease in leases:
                    lease.renew()

            stream = Stream(
                wire.response,
                url=wire.url,
                translate=lambda exc: _wire_error(client, call, wire.url, exc),
                keep_alive=renew,
            )
            return _held(stack.pop_all(), stream)

        return _attempt(client, call, number, stack, finish, leases)


@contextmanager
def _held(stack: ExitStack, stream: Stream) -> Iterator[Stream]:
    with stack:
        yield stream


def _attempt(
    client: Client,
    call: Call,
    number: int,
    stack: ExitStack,
    finish: Callable[[_Wire, float], T],
    leases: list[Lease] | None = None,
) -> Tried[T]:
    base = client.origin
    url = target_url(base, call)
    _take_room(client, call, stack, [] if leases is None else leases)
    if client.breaker is not None:
        client.breaker.before(url.host)
    started = client.clock()
    deadline = started + client.total_timeout_s
    wire: _Wire | None = None
    tried: Tried[T]
    try:
        wire = _follow(client, call, url, base, stack)
        tried = _judge(client, call, wire, deadline, finish)
    except (httpx.LocalProtocolError, UnicodeEncodeError):
        # Its text holds the value, which may be a key.
        raise ConfigError(
            "A header or key has a character that cannot be sent, such as a line "
            "break; paste it again.",
            code="bad_header",
        ) from None
    except _WIRE_ERRORS as exc:
        tried = Tried(
            error=_wire_error(client, call, str(url), exc),
            may_repeat=call.may_repeat or isinstance(exc, _NEVER_SENT),
        )
    _report(client, call, url.host, number, started, wire, tried)
    return tried


def _take_room(
    client: Client, call: Call, stack: ExitStack, leases: list[Lease]
) -> None:
    for budget in client.budgets_for(call):
        lease = budget.acquire(
            cost=call.cost,
            interactive=client.interactive,
            max_wait_s=client.retry.max_wait_s,
        )
        stack.callback(lease.release)
        leases.append(lease)


def _follow(
    client: Client, call: Call, url: httpx.URL, base: str, stack: ExitStack
) -> _Wire:
    """Send, and follow redirects; each target is checked like the first one, and
    credentials and headers stay at the first origin."""
    first = url
    for _hop in range(MAX_REDIRECTS + 1):
        client.guard.check_url(str(url))
        trusted = same_origin(url, first)
        at_home = trusted and (not base or same_origin(url, httpx.URL(base)))
        request = _build(client, call, url, trusted=trusted, at_home=at_home)
        response = client.wire.handle_request(request)
        response.request = request
        if response.status_code not in (301, 302, 303, 307, 308):
            stack.callback(response.close)
            return _Wire(response, request, str(url))
        location = response.headers.get("location", "")
        status = response.status_code
        response.close()
        target = url.join(location)
        if url.scheme == "https" and target.scheme == "http":
            raise ConfigError(
                f"{client.label} redirects to an unencrypted address.",
                code="unsafe_url",
            )
        call, url = redirect_call(call, status), target
    raise ConfigError(
        f"{client.label} redirects more than {MAX_REDIRECTS} times; check the address.",
        code="too_many_redirects",
    )


def _build(
    client: Client, call: Call, url: httpx.URL, *, trusted: bool, at_home: bool
) -> httpx.Request:
    """trusted: the call's own headers may go there; at_home: credentials too."""
    # gzip alone, because Mixpanel refuses lists of encodings.
    headers = httpx.Headers({"User-Agent": USER_AGENT, "Accept-Encoding": "gzip"})
    if at_home:
        headers.update(client.headers)
    if trusted:
        headers.update(call.headers)
    if "accept" not in headers:
        headers["Accept"] = "application/json"
    request = httpx.Request(
        call.method,
        url,
        headers=headers,
        json=call.json,
        data=call.data,
        content=call.content,
        extensions={"timeout": _timeouts(client, call)},
    )
    if at_home and call.auth and client.auth is not None:
        client.auth(request)
    if token := _token(request):
        client.masks.add(token)
    return request


def _timeouts(client: Client, call: Call) -> dict[str, float]:
    read_s = call.read_timeout_s or client.read_timeout_s
    return {
        "connect": client.connect_timeout_s,
        "read": read_s,
        "write": read_s,
        "pool": client.connect_timeout_s,
    }


def _judge(
    client: Client,
    call: Call,
    wire: _Wire,
    deadline: float,
    finish: Callable[[_Wire, float], T],
) -> Tried[T]:
    """The value of a good answer, or the error a bad one stands for."""
    token = _token(wire.request)
    status = wire.response.status_code
    if status < 400 or status in call.ok:
        try:
            return Tried(value=finish(wire, deadline), token=token)
        except TransientError as exc:
            return Tried(error=exc, token=token, may_repeat=call.may_repeat)
    reply = _reply(client, wire, MAX_ERROR_BYTES, deadline)
    dialect = dialect_of(client.adapter)
    error = error_of(
        reply,
        label=client.label,
        dialect=dialect,
        redactor=client.masks,
        now=client.now(),
    )
    told = may_retry(reply, dialect)
    # A refused-for-now call was not carried out, so any method may come again.
    repeat = call.may_repeat or isinstance(error, RateLimitedError)
    return Tried(error=error, token=token, may_repeat=repeat if told is None else told)


def _reply(client: Client, wire: _Wire, max_bytes: int, deadline: float) -> Reply:
    def check_time() -> None:
        if client.clock() > deadline:
            raise httpx.ReadTimeout("The whole answer took too long")

    response = wire.response
    content = b""
    if wire.request.method != "HEAD":
        content = read_body(response, max_bytes=max_bytes, check_time=check_time)
    return Reply(response.status_code, response.headers, content, wire.url)


def _report(
    client: Client,
    call: Call,
    host: str,
    number: int,
    started: float,
    wire: _Wire | None,
    tried: Tried[Any],
) -> None:
    """Tell breaker, budgets, metrics and log how the try went."""
    status = wire.response.status_code if wire is not None else 0
    broken = wire is None or status >= 500 or _is_wire_failure(tried.error)
    if client.breaker is not None:
        client.breaker.after(host, healthy=not broken)
    if wire is not None:
        _feed_budgets(client, call, wire, tried.error)
    facts = CallFacts(
        adapter=client.adapter,
        host=host,
        method=call.method,
        status=status,
        duration_s=client.clock() - started,
        attempt=number,
        outcome=_outcome(tried.error, broken),
    )
    if client.observer is not None:
        client.observer(facts)
    log.debug(
        "http.call",
        extra={
            "adapter": facts.adapter,
            "host": host,
            "status": status,
            "duration_s": round(facts.duration_s, 4),
            "attempt": number,
            "outcome": facts.outcome,
            "request_id": _request_id(wire),
        },
    )


def _request_id(wire: _Wire | None) -> str:
    """The provider's name for the call; "" where it gave none."""
    headers = wire.response.headers if wire is not None else httpx.Headers()
    return next((headers[name] for name in _REQUEST_IDS if name in headers), "")


def _feed_budgets(
    client: Client, call: Call, wire: _Wire, error: ChurnGuardError | None
) -> None:
    usages = read_usage(wire.response.headers, dialect_of(client.adapter), client.now())
    for usage in usages:
        about = client.extra.get(usage.budget)
        meant = () if about is None else (about,)
        for budget in meant if usage.budget else client.budgets_for(call):
            budget.report(
                limit=usage.limit,
                remaining=usage.remaining,
                window_s=usage.window_s,
                reset_s=usage.reset_s,
            )
    if isinstance(error, RateLimitedError) and error.retry_after_s:
        # A named budget has its own limit at the provider; the rest may go on.
        named = client.extra.get(call.budget) if call.budget else None
        blocked = client.budgets if named is None else (named,)
        for budget in blocked:
            budget.block(error.retry_after_s)


def _is_wire_failure(error: ChurnGuardError | None) -> bool:
    return error is not None and error.code in ("timeout", "connection_lost")


def _outcome(error: ChurnGuardError | None, broken: bool) -> Outcome:
    if error is None:
        return "success"
    if isinstance(error, RateLimitedError):
        return "rate_limited"
    return "connection_failure" if broken else "failure"


def _wire_error(
    client: Client, call: Call, url: str, exc: Exception
) -> ChurnGuardError:
    """A sentence for what went wrong on the way."""
    host = httpx.URL(url).host
    told = _cause(exc, TransientError)
    if told is not None:
        return told
    if _cause(exc, ssl.SSLCertVerificationError) is not None:
        return ConfigError(
            f"The certificate of {host} is not valid; check the address.",
            code="tls_failed",
        )
    if isinstance(exc, _NEVER_SENT):
        return TransientError(
            f"{client.label} could not be reached at {host}.", code="unreachable"
        )
    if isinstance(exc, httpx.TimeoutException):
        wait_s = call.read_timeout_s or client.read_timeout_s
        return TransientError(
            f"{client.label} did not answer in time ({wait_s:g} s).", code="timeout"
        )
    detail = client.masks.clean(str(exc), limit=200)
    return TransientError(
        f"The connection to {client.label} broke off: {detail}.",
        code="connection_lost",
    )


def _cause(exc: BaseException | None, kind: type[E]) -> E | None:
    """The first exception of that kind in the chain."""
    while exc is not None and not isinstance(exc, kind):
        exc = exc.__cause__ or exc.__context__
    return exc


def _token(request: httpx.Request) -> str:
    value: str = request.headers.get("authorization", "")
    return value.partition(" ")[2]
