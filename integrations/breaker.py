"""Gives a failing host a rest instead of more calls (circuit breaker).

Closed: calls pass; `threshold` failures in a row within `window_s` open it. Open: no
calls until the rest is over. Half-open: one call may try; its success closes, its
failure opens again for twice as long. Only lost connections, time-outs and 5xx count
as failures. The state of a (connection, host) is shared by all workers in Redis.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

import msgspec
from redis.exceptions import RedisError

from churnguard.errors import RestingError

log = logging.getLogger(__name__)

Mode = Literal["closed", "open", "half_open"]

_TTL_MS = 3_600_000
_CAS_TRIES = 5

_CAS = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""


class Settings(msgspec.Struct, frozen=True):
    """rest_s doubles with every opening in a row, up to max_rest_s. probe_s: after
    this a try without a result is given to somebody else (its worker died)."""

    threshold: int = 8
    window_s: float = 60.0
    rest_s: float = 30.0
    max_rest_s: float = 600.0
    probe_s: float = 120.0


class State(msgspec.Struct, frozen=True, array_like=True):
    """mode; failures in a row (closed); last_at: time of the last failure; until: end
    of the rest (open) or of the probe (half_open); openings in a row. Unix seconds."""

    mode: Mode = "closed"
    failures: int = 0
    last_at: float = 0.0
    until: float = 0.0
    openings: int = 0


CLOSED = State()
# Made once: msgspec crashes where threads work out a type for the first time together.
_STATE = msgspec.json.Decoder(State)


def before_call(state: State, now: float, settings: Settings) -> tuple[State, float]:
    """The next state, and how long to wait (0 = this call may go)."""
    if state.mode == "closed":
        return state, 0.0
    if now < state.until:
        return state, state.until - now
    probing = State(
        mode="half_open", until=now + settings.probe_s, openings=state.openings
    )
    return probing, 0.0


def after_call(state: State, healthy: bool, now: float, settings: Settings) -> State:
    """The next state. While open, late results of earlier calls change nothing."""
    if state.mode == "open":
        return state
    if healthy:
        return CLOSED
    if state.mode == "half_open":
        return _opened(state.openings + 1, now, settings)
    is_new = now - state.last_at > settings.window_s
    failures = 1 if is_new else state.failures + 1
    if failures >= settings.threshold:
        return _opened(1, now, settings)
    return State(failures=failures, last_at=now)


def _opened(openings: int, now: float, settings: Settings) -> State:
    rest_s = min(settings.rest_s * 2.0 ** min(openings - 1, 30), settings.max_rest_s)
    return State(mode="open", until=now + rest_s, openings=openings)


class CircuitBreaker:
    """The breaker of one connection; keeps a state per host.

    connection: public id of the integration. redis: a client with socket_timeout, or
    None for one process. When Redis is unreachable the state of this process counts.
    """

    def __init__(
        self,
        connection: str,
        *,
        redis: Any = None,
        settings: Settings | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.connection = connection
        self._settings = settings or Settings()
        self._now = now
        self._redis = redis
        self._cas = redis.register_script(_CAS) if redis is not None else None
        self._local: dict[str, State] = {}
        self._lock = threading.Lock()

    def before(self, host: str) -> None:
        """Pass, or raise RestingError with the rest still to wait."""
        wait_s = 0.0
        for _try in range(_CAS_TRIES):
            packed, state = self._load(host)
            following, wait_s = before_call(state, self._now(), self._settings)
            if following == state or self._swap(host, packed, state, following):
                break
        else:
            # Somebody else was faster at every try, so the probe is theirs.
            wait_s = self._settings.rest_s
        if wait_s > 0:
            raise RestingError(
                f"{host} failed several times in a row and gets a rest of "
                f"{wait_s:.0f} s.",
                retry_after_s=wait_s,
            )

    def after(self, host: str, *, healthy: bool) -> None:
        """Report a try that `before` has let pass."""
        # The usual case, and no news for anybody.
        if healthy and self._local.get(host, CLOSED) == CLOSED:
            return
        for _try in range(_CAS_TRIES):
            packed, state = self._load(host)
            following = after_call(state, healthy, self._now(), self._settings)
            if following == state:
                return
            if self._swap(host, packed, state, following):
                self._note(host, state, following)
                return

    def state(self, host: str) -> State:
        """The state as everybody sees it, for pages and checks."""
        return self._load(host)[1]

    def _load(self, host: str) -> tuple[bytes, State]:
        if self._redis is not None:
            try:
                packed = self._redis.get(self._key(host)) or b""
            except RedisError:
                return b"", self._local.get(host, CLOSED)
            state = _unpack(packed)
            self._local[host] = state
            return packed, state
        return b"", self._local.get(host, CLOSED)

    def _swap(self, host: str, packed: bytes, old: State, following: State) -> bool:
        """Store the new state unless somebody stored one since the old was read."""
        if self._cas is not None:
            try:
                args = [packed, msgspec.json.encode(following), _TTL_MS]
                if not self._cas(keys=[self._key(host)], args=args):
                    return False
                self._local[host] = following
                return True
            except RedisError:
                log.debug("breaker.redis_unreachable", extra={"host": host})
        with self._lock:
            if self._local.get(host, CLOSED) != old:
                return False
            self._local[host] = following
        return True

    def _note(self, host: str, old: State, new: State) -> None:
        if old.mode == new.mode:
            return
        facts = {
            "connection": self.connection,
            "host": host,
            "openings": new.openings,
        }
        if new.mode == "open":
            log.warning("breaker.opened", extra=facts)
        else:
            log.info("breaker.closed", extra=facts)

    def _key(self, host: str) -> str:
        return f"cg:breaker:{self.connection}:{host}"


def _unpack(packed: bytes | str) -> State:
    if not packed:
        return CLOSED
    try:
        return _STATE.decode(packed)
    except msgspec.DecodeError:
        # Written by another release: start afresh.
        return CLOSED
