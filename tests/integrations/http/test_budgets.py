"""The door together with budgets: places, pauses, headers, parallel calls."""

from __future__ import annotations

import threading
import time as real_time

import httpx
import pytest

from churnguard.errors import ConfigError, RateLimitedError, TransientError
from integrations.http import ordered_map
from integrations.limits import Limiter, Window, per_minute
from tests.integrations.http.door import Provider, Time, make_client


def limited_client(provider, *windows: Window, **options):
    """(client, limiter, time) that share one clock."""
    time = Time()
    limiter = Limiter(
        "acme",
        windows,
        now_ms=lambda: round(time.passed_s * 1000),
        clock=time.clock,
        sleep=time.sleep,
        rand=lambda: 0.0,
        **options,
    )
    return make_client(provider, time=time, budgets=(limiter,)), limiter, time


def free_places(limiter: Limiter, count: int) -> int:
    decisions = [limiter.try_acquire()[0] for _ in range(count)]
    return sum(decision.wait_ms == 0 for decision in decisions)


def test_each_try_takes_from_the_budget():
    client, _limiter, time = limited_client(Provider(httpx.Response(500)), Window(2, 1))

    client.get("/x")
    client.get("/x")

    assert time.slept[0] == 0.5
    assert sum(time.slept) == pytest.approx(1.06, abs=0.02)


def test_used_up_budget_is_raised_before_the_call():
    provider = Provider()
    client, _limiter, _time = limited_client(provider, per_minute(1))
    client.get("/x")

    with pytest.raises(RateLimitedError, match="1 calls in 60 s"):
        client.get("/x")
    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200), httpx.Response(404), httpx.ReadTimeout("x"), ValueError("x")],
)
def test_place_is_given_back_however_the_call_ends(answer):
    client, limiter, _time = limited_client(Provider(*[answer] * 4), max_concurrent=1)

    try:
        client.get("/x")
    except (ConfigError, TransientError, ValueError):
        pass

    assert free_places(limiter, 2) == 1


def test_stream_keeps_its_place_until_it_is_read():
    client, limiter, time = limited_client(
        Provider(httpx.Response(200, content=iter([b"a\n"] * 5))),
        max_concurrent=1,
        lease_s=30,
    )

    with client.stream("GET", "/x") as stream:
        for _line in stream.iter_lines():
            time.passed_s += 20
            assert limiter.try_acquire()[0].wait_ms > 0
    assert free_places(limiter, 2) == 1


def test_pause_of_one_worker_holds_for_all():
    provider = Provider(httpx.Response(429, headers={"Retry-After": "30"}))
    client, limiter, time = limited_client(provider, per_minute(100))

    with pytest.raises(RateLimitedError):
        client.get("/x")
    assert limiter.try_acquire()[0].wait_ms == 30_000
    time.passed_s += 30.001
    client.get("/x")


def test_headers_reach_the_budget():
    headers = {
        "X-HubSpot-RateLimit-Max": "100",
        "X-HubSpot-RateLimit-Remaining": "2",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
    }
    client, limiter, _time = limited_client(
        Provider(httpx.Response(200, headers=headers)), Window(100, 10)
    )

    client.get("/x")

    assert free_places(limiter, 10) == 2


def test_named_budget_limits_only_its_calls():
    made = []

    def make_budget(key, windows, **options):
        made.append((key, options))
        return Limiter(key, windows, **options)

    provider = Provider()
    client = make_client(provider, make_budget=make_budget)
    client = client.with_budget("portal1", per_minute(100), max_concurrent=5)
    client = client.with_budget("portal1", per_minute(1), name="search")

    client.get("/search", budget="search")
    client.get("/list")
    with pytest.raises(RateLimitedError):
        client.get("/search", budget="search")
    client.get("/list")

    assert made == [
        ("hubspot:portal1", {"max_concurrent": 5}),
        ("hubspot:portal1:search", {}),
    ]
    assert len(provider.requests) == 3


def test_a_header_about_a_named_budget_reaches_that_one_only():
    time, made = Time(), {}

    def make_budget(key, windows, **options):
        clock = {"clock": time.clock, "sleep": time.sleep, "rand": lambda: 0.0}
        now_ms = {"now_ms": lambda: round(time.passed_s * 1000)}
        made[key] = Limiter(key, windows, **clock, **now_ms, **options)
        return made[key]

    told = {"Zendesk-RateLimit-incremental-exports": "total=10; remaining=2; resets=5"}
    client = make_client(
        Provider(httpx.Response(200, headers=told)),
        time=time,
        adapter="zendesk",
        make_budget=make_budget,
    )
    client = client.with_budget("acme", per_minute(100))
    client = client.with_budget("acme", per_minute(10), name="export")

    client.get("/incremental/users", budget="export")

    assert free_places(made["zendesk:acme"], 20) == 20
    assert free_places(made["zendesk:acme:export"], 20) == 2
    # From then on the provider counts anew.
    time.passed_s += 5.001
    assert free_places(made["zendesk:acme:export"], 20) == 7


def test_parallel_results_come_in_order_and_bounded():
    lock, running, peak, started = threading.Lock(), 0, 0, 0

    def work(number: int) -> int:
        nonlocal running, peak, started
        with lock:
            running, started = running + 1, started + 1
            peak = max(peak, running)
        real_time.sleep(0.002 * (5 - number % 5))
        with lock:
            running -= 1
        return number * number

    results = ordered_map(work, range(1000), workers=4)

    assert [next(results) for _ in range(40)] == [n * n for n in range(40)]
    assert peak == 4
    assert started <= 50
    results.close()


def test_parallel_error_comes_in_its_place():
    def work(number: int) -> int:
        if number == 3:
            raise TransientError("three")
        return number

    results = ordered_map(work, range(100), workers=4)
    found = [next(results) for _ in range(3)]
    with pytest.raises(TransientError):
        next(results)

    assert found == [0, 1, 2]
    assert list(ordered_map(work, [0, 1], workers=1)) == [0, 1]
