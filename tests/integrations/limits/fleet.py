"""A provider that counts exactly, and a fleet of workers on simulated time."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from integrations.limits import Limiter

START_MS = 1_000_000_000


class Clock:
    """Milliseconds that only the test moves; sleeping moves them too."""

    def __init__(self) -> None:
        self.ms = START_MS
        self.slept: list[float] = []

    def now_ms(self) -> int:
        return self.ms

    def clock(self) -> float:
        return self.ms / 1000

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.ms += round(wait_s * 1000)


class SlidingProvider:
    """Allows `limit` arrivals in any `window_ms`; counts what it must refuse."""

    def __init__(self, limit: int, window_ms: int) -> None:
        self.limit, self.window_ms = limit, window_ms
        self.accepted = self.refused = 0
        self._arrivals: deque[int] = deque()

    def arrive(self, now_ms: int) -> bool:
        while self._arrivals and self._arrivals[0] <= now_ms - self.window_ms:
            self._arrivals.popleft()
        if len(self._arrivals) >= self.limit:
            self.refused += 1
            return False
        self._arrivals.append(now_ms)
        self.accepted += 1
        return True

    @property
    def remaining(self) -> int:
        return self.limit - len(self._arrivals)


@dataclass
class Fleet:
    """Workers that call as fast as they may; `now_ms` is the simulated clock."""

    limiters: list[Limiter]
    seed: int = 7
    now_ms: int = 1_000_000_000
    waits_ms: list[int] = field(default_factory=list)

    def run(
        self,
        provider: SlidingProvider,
        seconds: float,
        *,
        latency_ms: Callable[[random.Random], int] = lambda rng: rng.randint(5, 80),
        report: bool = False,
    ) -> None:
        """Every worker calls without a pause for that long."""
        rng = random.Random(self.seed)
        end_ms = self.now_ms + round(seconds * 1000)
        queue: list[tuple[int, int, str]] = []
        for worker in range(len(self.limiters)):
            heapq.heappush(queue, (self.now_ms + rng.randint(0, 20), worker, "ask"))
        while queue and queue[0][0] < end_ms:
            self.now_ms, worker, step = heapq.heappop(queue)
            limiter = self.limiters[worker]
            if step == "ask":
                decision, _lease = limiter.try_acquire()
                self.waits_ms.append(decision.wait_ms)
                if decision.wait_ms:
                    later = decision.wait_ms + rng.randint(0, 20)
                    heapq.heappush(queue, (self.now_ms + later, worker, "ask"))
                else:
                    later = latency_ms(rng)
                    heapq.heappush(queue, (self.now_ms + later, worker, "arrive"))
            else:
                provider.arrive(self.now_ms)
                if report:
                    limiter.report(
                        limit=provider.limit,
                        remaining=provider.remaining,
                        window_s=provider.window_ms / 1000,
                        reset_s=None,
                    )
                heapq.heappush(queue, (self.now_ms + latency_ms(rng), worker, "ask"))
        self.now_ms = end_ms
