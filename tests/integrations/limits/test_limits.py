"""Budgets: never more than the provider allows, hardly less, people first."""

from __future__ import annotations

import threading
import time

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from churnguard.errors import RateLimitedError
from integrations.limits import (
    Limiter,
    Window,
    per_day,
    per_hour,
    per_minute,
    per_second,
)
from integrations.limits_ledger import RedisLedger
from tests.integrations.limits.fleet import Clock, Fleet, SlidingProvider


def limiter_on(store, clock: Clock, *windows: Window, account="acme", **options):
    return Limiter(
        account,
        windows,
        redis=store,
        now_ms=clock.now_ms,
        clock=clock.clock,
        sleep=clock.sleep,
        rand=lambda: 0.0,
        **options,
    )


def granted(limiter: Limiter, tries: int, **options) -> int:
    decisions = (limiter.try_acquire(**options)[0] for _ in range(tries))
    return sum(decision.wait_ms == 0 for decision in decisions)


def fleet_of(count: int, window: Window, store) -> Fleet:
    fleet = Fleet([])
    if store is None:
        shared_one = Limiter("acme", [window], now_ms=lambda: fleet.now_ms)
        fleet.limiters = [shared_one] * count
    else:
        fleet.limiters = [
            Limiter("acme", [window], redis=store, now_ms=lambda: fleet.now_ms)
            for _ in range(count)
        ]
    return fleet


def test_16_workers_use_the_quota_and_are_never_refused(store):
    provider = SlidingProvider(100, 10_000)

    fleet_of(16, Window(100, 10), store).run(provider, 60)

    assert provider.refused == 0
    assert provider.accepted >= 0.95 * 600


@pytest.mark.parametrize(
    ("limit", "window_s", "least"), [(25, 1, 0.90), (190, 10, 0.95), (700, 60, 0.95)]
)
def test_other_quotas_too(shared, limit, window_s, least):
    provider = SlidingProvider(limit, window_s * 1000)
    seconds = 6 * window_s

    fleet_of(8, Window(limit, window_s), shared).run(
        provider, seconds, latency_ms=lambda rng: rng.randint(5, 40)
    )

    assert provider.refused == 0
    assert provider.accepted >= least * limit * 6


@pytest.mark.slow
def test_16_threads_against_the_clock(shared):
    provider = SlidingProvider(100, 10_000)
    lock = threading.Lock()
    end_s = time.monotonic() + 40

    def work() -> None:
        limiter = Limiter("acme", [Window(100, 10)], redis=shared)
        while time.monotonic() < end_s:
            try:
                with limiter.acquire(max_wait_s=15):
                    time.sleep(0.005)
                    with lock:
                        provider.arrive(round(time.monotonic() * 1000))
            except RateLimitedError:
                continue

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert provider.refused == 0
    assert provider.accepted >= 0.95 * 400


@pytest.mark.parametrize(
    ("report", "least", "most"), [(True, 0, 10), (False, 100, 1000)]
)
def test_use_by_others_is_seen_in_the_headers(shared, report, least, most):
    """A tool that does not ask us takes 40 calls at once every ten seconds. Only our
    own refused calls are counted."""
    provider = SlidingProvider(100, 10_000)
    fleet = fleet_of(8, Window(100, 10), shared)
    refused = 0

    for _window in range(4):
        for _ in range(40):
            provider.arrive(fleet.now_ms)
        before = provider.refused
        fleet.run(provider, 10, report=report)
        refused += provider.refused - before

    assert least <= refused <= most
    assert provider.accepted >= 0.85 * 400


def test_window_fills_and_frees(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(10, 10))

    assert granted(limiter, 12) == 10
    clock.ms += 9_999
    assert granted(limiter, 1) == 0
    clock.ms += 302
    assert granted(limiter, 12) == 10


def test_all_windows_must_have_room(store):
    clock = Clock()
    limiter = limiter_on(store, clock, per_second(3), per_minute(5))

    assert granted(limiter, 5) == 3
    clock.ms += 1_100
    assert granted(limiter, 5) == 2
    with pytest.raises(RateLimitedError, match="5 calls in 60 s") as caught:
        limiter.acquire()
    assert caught.value.code == "budget_used"
    assert 58 < caught.value.retry_after_s < 61


def test_accounts_do_not_share(store):
    clock = Clock()

    assert granted(limiter_on(store, clock, per_hour(2), account="a"), 3) == 2
    assert granted(limiter_on(store, clock, per_hour(2), account="b"), 3) == 2


def test_workers_share_an_account(shared):
    clock = Clock()

    first = limiter_on(
        shared,
        clock,
        per_hour(
            10,
        ),
    )
    second = limiter_on(shared, clock, per_hour(10))

    assert granted(first, 6) + granted(second, 6) == 10


def test_acquire_waits_in_place_but_not_too_long(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(2, 1))

    for _ in range(4):
        limiter.acquire(max_wait_s=2.0)

    assert sum(clock.slept) == pytest.approx(1.06, abs=0.02)
    with pytest.raises(RateLimitedError):
        limiter.acquire(max_wait_s=0.5)


def test_cost_is_taken_and_never_larger_than_the_window(store):
    clock = Clock()
    limiter = limiter_on(store, clock, per_minute(10))

    assert granted(limiter, 1, cost=8) == 1
    assert granted(limiter, 1, cost=3) == 0
    clock.ms += 61_000
    assert granted(limiter, 1, cost=99) == 1


def test_long_windows_keep_a_reserve_for_people(store):
    clock = Clock()
    limiter = limiter_on(store, clock, per_day(100))

    assert granted(limiter, 200) == 95
    assert granted(limiter, 200, interactive=True) == 5


def test_a_refused_person_is_served_before_workers(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(1, 1))
    limiter.acquire()

    decision, _lease = limiter.try_acquire(interactive=True, ticket="person")
    clock.ms += decision.wait_ms

    assert granted(limiter, 1) == 0
    assert granted(limiter, 1, interactive=True, ticket="person") == 1
    clock.ms += 1_100
    assert granted(limiter, 1) == 1


def test_a_person_who_left_blocks_nobody_for_long(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(1, 1))
    limiter.acquire()

    decision, _lease = limiter.try_acquire(interactive=True)
    clock.ms += decision.wait_ms + 1_001

    assert granted(limiter, 1) == 1


def test_places_in_flight_are_bounded_and_come_back(store):
    clock = Clock()
    limiter = limiter_on(store, clock, max_concurrent=5, lease_s=60, local_share=1.0)
    leases = [limiter.acquire() for _ in range(5)]

    with pytest.raises(RateLimitedError, match="All 5 allowed calls"):
        limiter.acquire(max_wait_s=0.01)
    leases[0].release()
    leases[0].release()
    assert granted(limiter, 2) == 1


def test_a_lost_worker_gives_its_place_back(store):
    clock = Clock()
    limiter = limiter_on(store, clock, max_concurrent=1, lease_s=60)
    lease = limiter.acquire()

    clock.ms += 40_000
    lease.renew()
    clock.ms += 40_000
    assert granted(limiter, 1) == 0
    clock.ms += 20_001
    assert granted(limiter, 1) == 1


def test_providers_pause_holds_for_everybody(shared):
    clock = Clock()
    limiter_on(shared, clock, per_hour(100)).block(30)

    other = limiter_on(shared, clock, per_hour(100))
    with pytest.raises(RateLimitedError, match="asked for a pause") as caught:
        other.acquire()
    assert caught.value.retry_after_s == 30
    clock.ms += 30_001
    assert granted(other, 1) == 1


def test_reset_moment_of_an_empty_window_is_a_pause(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(100, 10))

    limiter.report(limit=100, remaining=0, window_s=10.0, reset_s=4.0)

    assert granted(limiter, 1) == 0
    clock.ms += 10_400
    assert granted(limiter, 1) == 1


def test_headers_only_tighten_the_matching_window(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(100, 10), per_day(1000))

    limiter.report(limit=100, remaining=3, window_s=10.0, reset_s=None)
    assert granted(limiter, 10) == 3

    clock.ms += 20_000
    limiter.report(limit=500, remaining=240, window_s=10.0, reset_s=None)
    assert granted(limiter, 200) == 100


def test_a_day_others_have_used_up_is_asked_again_after_an_hour(store):
    clock = Clock()
    limiter = limiter_on(store, clock, per_day(1000))
    assert granted(limiter, 10) == 10

    # 50 are kept for people, so none is left for workers.
    limiter.report(limit=1000, remaining=30, window_s=86_400.0, reset_s=None)

    with pytest.raises(RateLimitedError) as caught:
        limiter.acquire()
    assert caught.value.retry_after_s == 3_600
    assert granted(limiter, 1, interactive=True) == 1
    clock.ms += 3_600_000
    assert granted(limiter, 1) == 1


def test_unreachable_redis_means_a_careful_local_budget(caplog):
    clock = Clock()
    nowhere = redis.Redis(
        unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0)
    )
    limiter = limiter_on(nowhere, clock, per_minute(50), max_concurrent=20)

    assert granted(limiter, 50) == 4
    warnings = [r for r in caplog.records if r.message == "limits.redis_unreachable"]
    assert len(warnings) == 1

    clock.ms += 6_000
    granted(limiter, 1)
    clock.ms += 6_000
    granted(limiter, 1)
    warnings = [r for r in caplog.records if r.message == "limits.redis_unreachable"]
    assert len(warnings) == 1


def test_redis_is_used_again_once_it_is_back(shared):
    clock = Clock()
    limiter = limiter_on(shared, clock, per_minute(50))
    ledger, limiter._shared = (
        limiter._shared,
        RedisLedger(
            redis.Redis(
                unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0)
            ),
            "acme",
            [per_minute(50).rule()],
            now_ms=clock.now_ms,
        ),
    )
    assert granted(limiter, 20) == 10

    limiter._shared = ledger
    assert granted(limiter, 5) == 0
    clock.ms += 5_001
    assert granted(limiter, 60) == 50


def test_the_wait_told_is_enough(store):
    clock = Clock()
    limiter = limiter_on(store, clock, Window(5, 10))
    for step_ms in (0, 130, 970, 2_000, 400):
        clock.ms += step_ms
        limiter.acquire()

    decision, _lease = limiter.try_acquire(cost=3)
    clock.ms += decision.wait_ms - 1
    assert granted(limiter, 1, cost=3) == 0
    clock.ms += 1
    assert granted(limiter, 1, cost=3) == 1


@pytest.mark.parametrize("window", [Window(0, 1), Window(1, 0)])
def test_impossible_windows_are_refused(window):
    with pytest.raises(ValueError, match="A window of"):
        Limiter("acme", [window])
