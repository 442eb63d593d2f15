"""How long to wait: Retry-After, reset headers and full-jitter back-off.

Facts: RFC 9110 section 10.2.3 (Retry-After: seconds or an HTTP date); reset headers
come as seconds from now, unix seconds or unix milliseconds, told apart by size.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

# A wait beyond a day is a broken header or a reset far away: ask again tomorrow.
MAX_WAIT_S = 86_400.0

# Above these a number is a moment, not a duration (2001-09-09 in seconds and in ms).
_UNIX_SECONDS = 1e9
_UNIX_MILLISECONDS = 1e12


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """max_attempts counts the first try. base_s doubles with each attempt; the sleep
    is uniform in 0..that. max_wait_s bounds every single sleep in place: a longer
    wait is raised, and the engine puts the run aside meanwhile."""

    max_attempts: int = 4
    base_s: float = 0.5
    max_wait_s: float = 5.0

    def backoff_s(self, attempt: int, rand: Callable[[], float]) -> float:
        """Sleep before try number attempt + 1 (attempt counts from 1)."""
        ceiling = min(self.max_wait_s, self.base_s * 2.0 ** min(attempt - 1, 30))
        return rand() * ceiling


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait (0 to MAX_WAIT_S), or None for absent and unreadable values.

    now: aware. A date in the past means 0.
    """
    if value is None or not (text := value.strip()):
        return None
    seconds = _number(text)
    if seconds is not None:
        return _clamp(seconds)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return _clamp((moment - now).total_seconds())
    except OverflowError:
        return None


def parse_reset(value: str | None, now: datetime) -> float | None:
    """Seconds until a reset header's moment (0 to MAX_WAIT_S), or None.

    Understands "41", "1700000000", "1700000000000", ISO times and HTTP dates.
    """
    if value is None or not (text := value.strip()):
        return None
    number = _number(text)
    if number is None:
        return _until_iso(text, now)
    if number >= _UNIX_MILLISECONDS:
        number = number / 1000 - now.timestamp()
    elif number >= _UNIX_SECONDS:
        number -= now.timestamp()
    return _clamp(number)


def header_wait_s(
    headers: Mapping[str, str], reset_names: tuple[str, ...], now: datetime
) -> float | None:
    """The longest wait any known header asks for, or None if none does."""
    waits = [parse_retry_after(headers.get("retry-after"), now)]
    waits += [parse_reset(headers.get(name), now) for name in reset_names]
    known = [wait for wait in waits if wait is not None]
    return max(known) if known else None


def jittered(wait_s: float, rand: Callable[[], float] = random.random) -> float:
    """A little later than asked, so that waiters do not come back all at once."""
    return wait_s + rand() * min(1.0, 0.1 * wait_s + 0.05)


def _until_iso(text: str, now: datetime) -> float | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return parse_retry_after(text, now)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        return _clamp((moment - now).total_seconds())
    except OverflowError:
        return None


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and "_" not in text else None


def _clamp(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_WAIT_S)
