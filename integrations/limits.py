"""Fleet-wide budgets of provider calls.

A provider counts calls per account (portal, project, organisation), not per worker.
A `Limiter` of the same account shares its windows with all workers through Redis;
the provider's own headers can only tighten it. Interactive calls (webhooks, a person
at a screen) go first: a refused one keeps a place free until it comes back, and long
windows keep a share for them at all times.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from redis.exceptions import RedisError

from churnguard.errors import RateLimitedError
from integrations.limits_ledger import (
    Decision,
    Ledger,
    LocalLedger,
    RedisLedger,
    Request,
    WindowRule,
)

log = logging.getLogger(__name__)

T = TypeVar("T")

SECOND_S, MINUTE_S, HOUR_S, DAY_S = 1.0, 60.0, 3600.0, 86_400.0

# Slots per window: the share of the quota that rounding costs, at most.
SLOTS = 100

# Share of long windows kept for interactive calls; short ones free up soon enough.
LONG_RESERVE = 0.05

# Without Redis each process may use this share, as it cannot know the others.
LOCAL_SHARE = 0.2

# How long the provider's own count of a window is believed without a newer one: what
# others have used may be free again, and only a call can tell.
LONGEST_CAP_S = HOUR_S

# How long to stay with the local counts before Redis is asked again.
RETRY_REDIS_S = 5.0


@dataclass(frozen=True, slots=True)
class Window:
    """At most `limit` calls in any `seconds`.

    reserve_share: kept for interactive calls; None = 5 % from an hour up, else none.
    slack_s: how much later than sent a call may be counted by the provider; None =
    2 % of the window between 50 and 200 ms.
    """

    limit: int
    seconds: float
    reserve_share: float | None = None
    slack_s: float | None = None

    def rule(self, share: float = 1.0) -> WindowRule:
        """The window in whole numbers, with a share of its limit."""
        if self.limit < 1 or self.seconds <= 0:
            raise ValueError(f"A window of {self.limit} calls in {self.seconds} s.")
        window_ms = round(self.seconds * 1000)
        slack_s = self.slack_s
        if slack_s is None:
            slack_s = min(0.2, max(0.05, 0.02 * self.seconds))
        reserve_share = self.reserve_share
        if reserve_share is None:
            reserve_share = LONG_RESERVE if self.seconds >= HOUR_S else 0.0
        limit = max(1, int(self.limit * share))
        return WindowRule(
            limit=limit,
            window_ms=window_ms,
            slot_ms=max(1, window_ms // SLOTS),
            keep_ms=window_ms + round(slack_s * 1000),
            reserve=min(int(limit * reserve_share), limit - 1),
        )


def per_second(limit: int) -> Window:
    """limit calls in any second."""
    return Window(limit, SECOND_S)


def per_minute(limit: int) -> Window:
    """limit calls in any minute."""
    return Window(limit, MINUTE_S)


def per_hour(limit: int) -> Window:
    """limit calls in any hour."""
    return Window(limit, HOUR_S)


def per_day(limit: int) -> Window:
    """limit calls in any 24 hours."""
    return Window(limit, DAY_S)


class Limiter:
    """The budget of one account at one provider.

    account: key shared by all workers, e.g. "hubspot:1234". redis: a client with
    socket_timeout set, or None for one process. max_concurrent: calls in flight, 0 =
    any number; a place held longer than lease_s without `renew` is free again.
    """

    def __init__(
        self,
        account: str,
        windows: Sequence[Window],
        *,
        redis: Any = None,
        max_concurrent: int = 0,
        lease_s: float = 120.0,
        local_share: float = LOCAL_SHARE,
        now_ms: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        rand: Callable[[], float] = random.random,
    ) -> None:
        self.account = account
        self.windows = tuple(windows)
        self._max_concurrent = max_concurrent
        self._lease_ms = round(lease_s * 1000)
        self._clock, self._sleep, self._rand = clock, sleep, rand
        self._shared: Ledger | None = None
        self._redis_again_s = 0.0
        self._is_down = False
        share = 1.0
        if redis is not None:
            rules = [window.rule() for window in self.windows]
            self._shared = RedisLedger(redis, account, rules, now_ms=now_ms)
            share = local_share
        rules = [window.rule(share) for window in self.windows]
        self._local = LocalLedger(tuple(rules))
        if now_ms is not None:
            self._local.now_ms = now_ms
        self._local_concurrent = (
            max(1, int(max_concurrent * share)) if max_concurrent else 0
        )

    def try_acquire(
        self, *, cost: int = 1, interactive: bool = False, ticket: str = ""
    ) -> tuple[Decision, Lease]:
        """One look without waiting; the lease counts only if wait_ms is 0."""
        ticket = ticket or uuid.uuid4().hex

        def ask(ledger: Ledger) -> tuple[Decision, Lease]:
            is_local = ledger is self._local
            places = self._local_concurrent if is_local else self._max_concurrent
            request = Request(cost, interactive, ticket, places, self._lease_ms)
            decision = ledger.acquire(request)
            return decision, Lease(self, ledger, ticket if places else "")

        return self._on_ledger(ask)

    def acquire(
        self, *, cost: int = 1, interactive: bool = False, max_wait_s: float = 5.0
    ) -> Lease:
        """Wait for room, at most max_wait_s in all.

        Raises RateLimitedError with retry_after_s where that is not enough.
        """
        ticket = uuid.uuid4().hex
        deadline = self._clock() + max_wait_s
        while True:
            decision, lease = self.try_acquire(
                cost=cost, interactive=interactive, ticket=ticket
            )
            if decision.wait_ms == 0:
                return lease
            wait_s = decision.wait_ms / 1000
            if self._clock() + wait_s > deadline:
                raise RateLimitedError(
                    self._sentence(decision), code="budget_used", retry_after_s=wait_s
                )
            # A few milliseconds apart, so that waiters do not all ask at once.
            self._sleep(wait_s + self._rand() * 0.02)

    def report(
        self, *, limit: int, remaining: int, window_s: float, reset_s: float | None
    ) -> None:
        """Follow the provider's count where it is lower than ours.

        Others may use the same account. window_s 0 = not told. Costs a round trip
        only once more than half of the window is used.
        """
        if remaining < 1 and reset_s:
            self.block(reset_s)
        if remaining * 2 >= limit:
            return
        for index, window in enumerate(self.windows):
            if abs(window.seconds - window_s) <= 0.05 * window.seconds:
                believed_s = min(window.seconds, LONGEST_CAP_S)
                if reset_s is not None:
                    # From then on the provider counts anew.
                    believed_s = min(believed_s, reset_s)
                self._cap(index, remaining, round(believed_s * 1000))

    def block(self, wait_s: float) -> None:
        """No call of any worker for wait_s (the provider said so)."""
        wait_ms = round(wait_s * 1000)
        self._on_ledger(lambda ledger: ledger.block(wait_ms))

    def _cap(self, index: int, remaining: int, for_ms: int) -> None:
        self._on_ledger(lambda ledger: ledger.cap(index, remaining, for_ms))

    def _on_ledger(self, step: Callable[[Ledger], T]) -> T:
        """Run one step in Redis, or locally while Redis cannot be reached."""
        if self._shared is None or self._clock() < self._redis_again_s:
            return step(self._local)
        try:
            answer = step(self._shared)
        except RedisError as exc:
            self._redis_again_s = self._clock() + RETRY_REDIS_S
            if not self._is_down:
                self._is_down = True
                log.warning(
                    "limits.redis_unreachable",
                    extra={"account": self.account, "error": type(exc).__name__},
                )
            return step(self._local)
        if self._is_down:
            self._is_down = False
            log.info("limits.redis_back", extra={"account": self.account})
        return answer

    def _sentence(self, decision: Decision) -> str:
        wait = f"the next call is possible in {decision.wait_ms / 1000:.0f} s"
        if decision.rule == -1:
            return f"The provider asked for a pause; {wait}."
        if decision.rule == -2:
            return f"All {self._max_concurrent} allowed calls are in flight; {wait}."
        window = self.windows[decision.rule]
        return (
            f"The budget of {window.limit} calls in {window.seconds:g} s is used up; "
            f"{wait}."
        )


class Lease:
    """A place among the calls in flight; give it back when the call has ended."""

    __slots__ = ("_ledger", "_limiter", "_renewed_s", "_ticket")

    def __init__(self, limiter: Limiter, ledger: Ledger, ticket: str) -> None:
        self._limiter = limiter
        self._ledger = ledger
        self._ticket = ticket
        self._renewed_s = limiter._clock()

    def renew(self) -> None:
        """Keep the place; cheap to call often (it acts three times a lease)."""
        now_s = self._limiter._clock()
        lease_ms = self._limiter._lease_ms
        if self._ticket and (now_s - self._renewed_s) * 3000 >= lease_ms:
            self._renewed_s = now_s
            self._quietly(lambda: self._ledger.renew(self._ticket, lease_ms))

    def release(self) -> None:
        """Give the place back; safe to call twice."""
        if self._ticket:
            ticket, self._ticket = self._ticket, ""
            self._quietly(lambda: self._ledger.release(ticket))

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.release()

    def _quietly(self, step: Callable[[], None]) -> None:
        try:
            step()
        except RedisError:
            # The lease ends by itself after lease_s.
            log.debug("limits.lease_lost", extra={"account": self._limiter.account})
