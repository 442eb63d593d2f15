"""Counts calls in sliding windows: in Redis for all workers, or in this process.

A window is cut into slots; a slot's calls count until the whole slot has left the
window. So no stretch of the window's length ever holds more calls than the limit, at
the cost of one slot's time. Both ledgers follow the same rules (a test compares
them), each decision is one step, and times are milliseconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

# How long a person who was refused keeps a place free, past the wait he was told.
CLAIM_MS = 1_000

# When every place is taken, nobody knows when one comes free: look again then.
POLL_MS = 50


@dataclass(frozen=True, slots=True)
class WindowRule:
    """A window in whole numbers. keep_ms: how long a slot counts after its end.
    reserve: calls only interactive callers may use."""

    limit: int
    window_ms: int
    slot_ms: int
    keep_ms: int
    reserve: int


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a ledger. ticket names the caller, and its lease if granted."""

    cost: int
    interactive: bool
    ticket: str
    max_concurrent: int
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Decision:
    """wait_ms 0 = granted. rule: index of the window that refused, -1 = blocked by
    the provider, -2 = all places taken."""

    wait_ms: int
    rule: int = 0


class Ledger(Protocol):
    """Where calls are counted."""

    def acquire(self, request: Request) -> Decision:
        """Take cost calls and a place, or say how long to wait."""

    def release(self, ticket: str) -> None:
        """Free a place."""

    def renew(self, ticket: str, lease_ms: int) -> None:
        """Keep a place for longer."""

    def block(self, wait_ms: int) -> None:
        """Grant nothing for this long."""

    def cap(self, rule: int, remaining: int, for_ms: int) -> None:
        """The provider sees only so many calls left in this window: allow no more
        than that on top of our own count, for this long. Whoever is refused for it is
        told to come back by then at the latest."""


# ARGV[1] is a test's clock in milliseconds, or 0 for the server's.
_CLOCK = """
local now = tonumber(ARGV[1])
if now == 0 then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
"""

# KEYS: meta, leases, claims, one counter hash per window.
# ARGV: now or 0, cost, interactive, ticket, max_concurrent, lease_ms, claim_ms,
# poll_ms, then limit, slot_ms, keep_ms, reserve per window.
_ACQUIRE = (
    _CLOCK
    + """
local urgent = ARGV[3] == '1'
local wait, cause = 0, 0
local blocked = tonumber(redis.call('HGET', KEYS[1], 'blocked') or '0')
if blocked > now then wait, cause = blocked - now, -1 end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
local claimed = urgent and 0 or redis.call('ZCARD', KEYS[3])
local places = tonumber(ARGV[5])
if places > 0 then
  redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
  local free = places - redis.call('ZCARD', KEYS[2]) - claimed
  if free < 1 and wait < tonumber(ARGV[8]) then wait, cause = tonumber(ARGV[8]), -2 end
end
for i = 1, #KEYS - 3 do
  local at = 4 + i * 4
  local limit, slot = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  local keep, reserve = tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
  local cost = math.min(tonumber(ARGV[2]), limit)
  local kept = urgent and 0 or math.min(reserve, limit - cost) + claimed
  local free = limit - kept
  local room, lapse = free, 0
  local cap = redis.call('HMGET', KEYS[1], 'cap' .. i, 'until' .. i)
  if cap[1] and tonumber(cap[2]) > now then
    room, lapse = math.min(free, tonumber(cap[1]) - kept), tonumber(cap[2]) - now
  end
  local used, live = 0, {}
  local counts = redis.call('HGETALL', KEYS[i + 3])
  for j = 1, #counts, 2 do
    local start, count = tonumber(counts[j]), tonumber(counts[j + 1])
    if start + slot + keep <= now then
      redis.call('HDEL', KEYS[i + 3], counts[j])
    else
      used = used + count
      live[#live + 1] = {start, count}
    end
  end
  if used + cost > room then
    table.sort(live, function(a, b) return a[1] < b[1] end)
    local over, needed = used + cost - room, tonumber(ARGV[8])
    for _, row in ipairs(live) do
      over = over - row[2]
      needed = math.max(needed, row[1] + slot + keep - now)
      if over <= 0 then break end
    end
    -- Not our own calls are in the way, or they leave later than the cap ends.
    if lapse > 0 and (over > 0 or (lapse < needed and used + cost <= free)) then
      needed = lapse
    end
    if needed > wait then wait, cause = needed, i - 1 end
  end
end
if wait > 0 then
  if urgent then
    redis.call('ZADD', KEYS[3], now + wait + tonumber(ARGV[7]), ARGV[4])
    redis.call('PEXPIRE', KEYS[3], wait + tonumber(ARGV[7]) + 1000)
  end
  return {wait, cause}
end
for i = 1, #KEYS - 3 do
  local at = 4 + i * 4
  local slot, keep = tonumber(ARGV[at + 2]), tonumber(ARGV[at + 3])
  local cost = math.min(tonumber(ARGV[2]), tonumber(ARGV[at + 1]))
  redis.call('HINCRBY', KEYS[i + 3], string.format('%.0f', now - now % slot), cost)
  redis.call('PEXPIRE', KEYS[i + 3], slot + keep + 1000)
end
if places > 0 then
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[6]), ARGV[4])
  redis.call('PEXPIRE', KEYS[2], tonumber(ARGV[6]) + 1000)
end
redis.call('ZREM', KEYS[3], ARGV[4])
return {0, 0}
"""
)

# KEYS: meta, the window's counter hash. ARGV: now or 0, number of the window (0 =
# block everything), remaining, for_ms, slot_ms, keep_ms.
_LIMIT = (
    _CLOCK
    + """
local till = now + tonumber(ARGV[4])
if ARGV[2] == '0' then
  local blocked = tonumber(redis.call('HGET', KEYS[1], 'blocked') or '0')
  redis.call('HSET', KEYS[1], 'blocked', string.format('%.0f', math.max(till, blocked)))
else
  local used = 0
  local counts = redis.call('HGETALL', KEYS[2])
  for j = 1, #counts, 2 do
    if tonumber(counts[j]) + tonumber(ARGV[5]) + tonumber(ARGV[6]) > now then
      used = used + tonumber(counts[j + 1])
    end
  end
  redis.call('HSET', KEYS[1], 'cap' .. ARGV[2], used + tonumber(ARGV[3]),
    'until' .. ARGV[2], string.format('%.0f', till))
end
redis.call('PEXPIRE', KEYS[1], 172800000)
return 1
"""
)


# KEYS: leases. ARGV: now or 0, ticket, lease_ms.
_RENEW = (
    _CLOCK
    + """
redis.call('ZADD', KEYS[1], 'XX', now + tonumber(ARGV[3]), ARGV[2])
return redis.call('PEXPIRE', KEYS[1], tonumber(ARGV[3]) + 1000)
"""
)


class RedisLedger:
    """Shared by every worker; one round trip a decision, timed by the server.

    now_ms replaces the server's clock in tests. Raises redis.RedisError.
    """

    def __init__(
        self,
        redis: Any,
        key: str,
        rules: Sequence[WindowRule],
        *,
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._redis = redis
        self._rules = tuple(rules)
        self._now_ms = now_ms or (lambda: 0)
        # One hash tag keeps the keys of an account on one node of a cluster.
        base = f"cg:limit:{{{key}}}"
        self._meta, self._leases = f"{base}:meta", f"{base}:leases"
        self._claims = f"{base}:claims"
        self._counters = [f"{base}:{rule.window_ms}" for rule in self._rules]
        self._acquire = redis.register_script(_ACQUIRE)
        self._limit = redis.register_script(_LIMIT)
        self._renew = redis.register_script(_RENEW)

    def acquire(self, request: Request) -> Decision:
        args: list[Any] = [
            self._now_ms(),
            request.cost,
            int(request.interactive),
            request.ticket,
            request.max_concurrent,
            request.lease_ms,
            CLAIM_MS,
            POLL_MS,
        ]
        for rule in self._rules:
            args += [rule.limit, rule.slot_ms, rule.keep_ms, rule.reserve]
        keys = [self._meta, self._leases, self._claims, *self._counters]
        wait_ms, rule_index = self._acquire(keys=keys, args=args)
        return Decision(int(wait_ms), int(rule_index))

    def release(self, ticket: str) -> None:
        self._redis.zrem(self._leases, ticket)

    def renew(self, ticket: str, lease_ms: int) -> None:
        self._renew(keys=[self._leases], args=[self._now_ms(), ticket, lease_ms])

    def block(self, wait_ms: int) -> None:
        args = [self._now_ms(), 0, 0, wait_ms, 0, 0]
        self._limit(keys=[self._meta, self._meta], args=args)

    def cap(self, rule: int, remaining: int, for_ms: int) -> None:
        of = self._rules[rule]
        args = [self._now_ms(), rule + 1, remaining, for_ms, of.slot_ms, of.keep_ms]
        self._limit(keys=[self._meta, self._counters[rule]], args=args)


@dataclass(slots=True)
class LocalLedger:
    """The same for one process; used where no Redis is set or it cannot be reached."""

    rules: tuple[WindowRule, ...]
    now_ms: Callable[[], int] = lambda: int(time.monotonic() * 1000)
    _counts: list[dict[int, int]] = field(init=False)
    _caps: dict[int, tuple[int, int]] = field(default_factory=dict)
    _leases: dict[str, int] = field(default_factory=dict)
    _claims: dict[str, int] = field(default_factory=dict)
    _blocked_ms: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._counts = [{} for _ in self.rules]

    def acquire(self, request: Request) -> Decision:
        with self._lock:
            now = self.now_ms()
            decision = self._decide(request, now)
            if decision.wait_ms == 0:
                self._take(request, now)
            elif request.interactive:
                until_ms = now + decision.wait_ms + CLAIM_MS
                self._claims[request.ticket] = until_ms
            return decision

    def release(self, ticket: str) -> None:
        with self._lock:
            self._leases.pop(ticket, None)

    def renew(self, ticket: str, lease_ms: int) -> None:
        with self._lock:
            if ticket in self._leases:
                self._leases[ticket] = self.now_ms() + lease_ms

    def block(self, wait_ms: int) -> None:
        with self._lock:
            self._blocked_ms = max(self._blocked_ms, self.now_ms() + wait_ms)

    def cap(self, rule: int, remaining: int, for_ms: int) -> None:
        with self._lock:
            now = self.now_ms()
            used = sum(self._live(rule, now).values())
            self._caps[rule] = (used + remaining, now + for_ms)

    def _decide(self, request: Request, now: int) -> Decision:
        wait, cause = max(0, self._blocked_ms - now), -1
        self._claims = {t: end for t, end in self._claims.items() if end > now}
        claimed = 0 if request.interactive else len(self._claims)
        if request.max_concurrent > 0:
            self._leases = {t: end for t, end in self._leases.items() if end > now}
            free = request.max_concurrent - len(self._leases) - claimed
            if free < 1 and wait < POLL_MS:
                wait, cause = POLL_MS, -2
        for index in range(len(self.rules)):
            needed = self._needed_ms(index, request, claimed, now)
            if needed > wait:
                wait, cause = needed, index
        return Decision(wait, cause if wait else 0)

    def _needed_ms(self, index: int, request: Request, claimed: int, now: int) -> int:
        rule = self.rules[index]
        cost = min(request.cost, rule.limit)
        kept = 0
        if not request.interactive:
            kept = min(rule.reserve, rule.limit - cost) + claimed
        free = rule.limit - kept
        cap, until_ms = self._caps.get(index, (0, 0))
        lapse = max(0, until_ms - now)
        room = min(free, cap - kept) if lapse else free
        live = self._live(index, now)
        used = sum(live.values())
        over = used + cost - room
        if over <= 0:
            return 0
        needed = POLL_MS
        for start in sorted(live):
            over -= live[start]
            needed = max(needed, start + rule.slot_ms + rule.keep_ms - now)
            if over <= 0:
                break
        if lapse and (over > 0 or (lapse < needed and used + cost <= free)):
            return lapse
        return needed

    def _live(self, index: int, now: int) -> dict[int, int]:
        rule = self.rules[index]
        ended = now - rule.slot_ms - rule.keep_ms
        live = {at: count for at, count in self._counts[index].items() if at > ended}
        self._counts[index] = live
        return live

    def _take(self, request: Request, now: int) -> None:
        for counts, rule in zip(self._counts, self.rules, strict=True):
            start = now - now % rule.slot_ms
            counts[start] = counts.get(start, 0) + min(request.cost, rule.limit)
        if request.max_concurrent > 0:
            self._leases[request.ticket] = now + request.lease_ms
        self._claims.pop(request.ticket, None)
