"""How much each key may send: a token bucket per key, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_MOST_KEYS = 10_000


class RecordBudget:
    """`per_minute` records per key, a full minute's worth at once at most.

    A request is let in while anything is left and charged afterwards by what it held,
    so the size of a request need not be known before it is read.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = float(per_minute)
        self._per_s = per_minute / 60
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> float:
        """0 if the key may send now, else the seconds until it may."""
        with self._lock:
            left = self._refill(key)
        return 0.0 if left >= 1 else max(1.0, (1 - left) / self._per_s)

    def charge(self, key: str, records: int) -> None:
        """Take what a request held off the key's budget."""
        with self._lock:
            self._left[key] = (self._refill(key) - records, self._clock())

    def _refill(self, key: str) -> float:
        now = self._clock()
        known = self._left.get(key)
        if known is None:
            if len(self._left) >= _MOST_KEYS:
                self._left.clear()
            return self._most
        left, at = known
        return min(self._most, left + (now - at) * self._per_s)
