"""A worker process of the fleet: calls a provider through the outbound door as fast as
its budget lets it, or knocks at a host behind the shared breaker. Run as a module: says
"ready", waits for a line with the time to stop at, and prints one line of JSON."""

from __future__ import annotations

import json
import sys
import time

import redis

from churnguard.errors import ChurnGuardError
from integrations.breaker import CircuitBreaker
from integrations.http import Client, RetryPolicy
from integrations.limits import Limiter, Window
from integrations.netguard import Guard


def spend(url: str, redis_url: str, limit: int, window_s: float) -> None:
    """Call without a pause until it is time to stop."""
    store = redis.Redis.from_url(redis_url, socket_timeout=5)
    limiter = Limiter("fleet", [Window(limit, window_s)], redis=store)
    client = Client(
        adapter="fleet",
        base_url=url,
        guard=Guard(allow_private=("127.0.0.1",)),
        budgets=(limiter,),
        retry=RetryPolicy(max_attempts=1, max_wait_s=2 * window_s),
    )
    called = refused = 0
    until_s = _begin()
    while time.time() < until_s:
        try:
            client.get("/x")
            called += 1
        except ChurnGuardError:
            refused += 1
    client.close()
    sys.stdout.write(json.dumps({"called": called, "refused": refused}) + "\n")


def knock(url: str, redis_url: str) -> None:
    """Call a host behind the shared breaker, quickly while it lets us."""
    store = redis.Redis.from_url(redis_url, socket_timeout=5)
    client = Client(
        adapter="fleet",
        base_url=url,
        guard=Guard(allow_private=("127.0.0.1",)),
        breaker=CircuitBreaker("fleet", redis=store),
        retry=RetryPolicy(max_attempts=1, base_s=0.001),
    )
    codes: dict[str, int] = {}
    until_s = _begin()
    while time.time() < until_s:
        try:
            client.get("/x")
            code = "ok"
        except ChurnGuardError as exc:
            code = exc.code
        codes[code] = codes.get(code, 0) + 1
        if code != "ok":
            time.sleep(0.01)
    client.close()
    sys.stdout.write(json.dumps(codes) + "\n")


def _begin() -> float:
    """Wait until all are there; the wall clock's time to stop at."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    return float(sys.stdin.readline())


if __name__ == "__main__":
    what, *given = sys.argv[1:]
    if what == "spend":
        spend(given[0], given[1], int(given[2]), float(given[3]))
    else:
        knock(given[0], given[1])
