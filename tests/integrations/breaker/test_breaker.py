"""The circuit breaker: its rules as a state machine, then shared by workers."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import httpx
import pytest
import redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from redis.backoff import NoBackoff
from redis.retry import Retry

from churnguard.errors import TransientError
from integrations.breaker import (
    CLOSED,
    CircuitBreaker,
    Settings,
    State,
    after_call,
    before_call,
)
from integrations.http import RetryPolicy
from tests import examples
from tests.integrations.http.door import Provider, make_client

HOST = "api.example.com"
RULES = Settings(
    threshold=3, window_s=60.0, rest_s=30.0, max_rest_s=100.0, probe_s=20.0
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


class BreakerMachine(RuleBasedStateMachine):
    """Calls start and end in any order; a second, simpler model says what must hold."""

    @initialize()
    def start(self) -> None:
        self.state = CLOSED
        self.now = 0.0
        self.in_flight = 0
        self.probes: list[float] = []
        self.failures_in_row = 0
        self.rests: list[float] = []

    @rule(seconds=st.floats(0, 45))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def call(self) -> None:
        mode = self.state.mode
        self.state, wait_s = before_call(self.state, self.now, RULES)
        assert wait_s >= 0
        if wait_s > 0:
            assert mode != "closed"
            assert wait_s <= max(RULES.max_rest_s, RULES.probe_s) + 1e-6
            return
        self.in_flight += 1
        if self.state.mode == "half_open":
            # One probe at a time, unless the last one got lost.
            assert all(self.now - at >= RULES.probe_s for at in self.probes)
            self.probes = [self.now]

    @precondition(lambda self: self.in_flight)
    @rule(healthy=st.booleans())
    def answer(self, healthy: bool) -> None:
        old, self.in_flight = self.state, self.in_flight - 1
        self.state = after_call(old, healthy, self.now, RULES)
        if old.mode == "open":
            assert self.state == old
        elif healthy:
            assert self.state == CLOSED
            self.probes, self.rests, self.failures_in_row = [], [], 0
        elif old.mode == "half_open":
            assert self.state.mode == "open"
            self._opened()
        else:
            self.failures_in_row += 1
            if self.state.mode == "open":
                assert self.failures_in_row >= RULES.threshold
                self._opened()

    @invariant()
    def rests_grow_to_their_bound(self) -> None:
        if getattr(self, "rests", None):
            assert self.rests == [30.0, 60.0, 100.0, *[100.0] * 99][: len(self.rests)]

    def _opened(self) -> None:
        self.probes, self.failures_in_row = [], 0
        self.rests.append(round(self.state.until - self.now, 6))


BreakerMachine.TestCase.settings = settings(
    max_examples=examples.out_of(200), stateful_step_count=40, deadline=None
)
TestBreakerMachine = BreakerMachine.TestCase


def test_failures_far_apart_do_not_add_up():
    state = CLOSED
    for now in (0.0, 61.0, 122.0, 183.0):
        state = after_call(state, False, now, RULES)

    assert state == State(failures=1, last_at=183.0)


@pytest.fixture
def shared() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
    yield client
    client.close()


@pytest.fixture(params=["redis", "local"])
def store(request, shared) -> redis.Redis | None:
    return shared if request.param == "redis" else None


def breaker_on(store, clock: Clock, connection: str = "int_1") -> CircuitBreaker:
    return CircuitBreaker(connection, redis=store, settings=RULES, now=clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.before(HOST)
        breaker.after(HOST, healthy=False)


def test_opens_half_opens_and_closes(store):
    clock = Clock()
    breaker = breaker_on(store, clock)

    fail(breaker, 3)
    with pytest.raises(TransientError, match="gets a rest") as caught:
        breaker.before(HOST)
    assert caught.value.code == "circuit_open"
    assert caught.value.retry_after_s == 30

    clock.now_s += 30
    breaker.before(HOST)
    assert breaker.state(HOST).mode == "half_open"
    with pytest.raises(TransientError):
        breaker.before(HOST)

    breaker.after(HOST, healthy=True)
    assert breaker.state(HOST) == CLOSED
    breaker.before(HOST)


def test_failed_probe_doubles_the_rest(store):
    clock = Clock()
    breaker = breaker_on(store, clock)
    fail(breaker, 3)

    clock.now_s += 30
    fail(breaker, 1)

    with pytest.raises(TransientError) as caught:
        breaker.before(HOST)
    assert caught.value.retry_after_s == 60


def test_a_success_between_failures_keeps_it_closed(store):
    breaker = breaker_on(store, Clock())

    for _ in range(4):
        fail(breaker, 2)
        breaker.before(HOST)
        breaker.after(HOST, healthy=True)

    assert breaker.state(HOST) == CLOSED


def test_lost_probe_is_given_to_another_worker(shared):
    clock = Clock()
    first, second = breaker_on(shared, clock), breaker_on(shared, clock)
    fail(first, 3)
    clock.now_s += 30
    first.before(HOST)

    with pytest.raises(TransientError):
        second.before(HOST)
    clock.now_s += 20
    second.before(HOST)


def test_workers_share_it_and_connections_and_hosts_do_not(shared):
    clock = Clock()
    fail(breaker_on(shared, clock), 3)

    with pytest.raises(TransientError):
        breaker_on(shared, clock).before(HOST)
    breaker_on(shared, clock, "int_2").before(HOST)
    breaker_on(shared, clock).before("other.example.com")


def test_one_of_many_threads_gets_the_probe(shared):
    clock = Clock()
    fail(breaker_on(shared, clock), 3)
    clock.now_s += 30
    passed, barrier = [], threading.Barrier(12)

    def ask() -> None:
        breaker = breaker_on(shared, clock)
        barrier.wait()
        try:
            breaker.before(HOST)
        except TransientError:
            return
        passed.append(1)

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(passed) == 1


def test_without_redis_each_process_decides_alone():
    clock = Clock()
    nowhere = redis.Redis(
        unix_socket_path="/nonexistent/redis.sock", retry=Retry(NoBackoff(), 0)
    )
    breaker = breaker_on(nowhere, clock)

    fail(breaker, 3)

    with pytest.raises(TransientError):
        breaker.before(HOST)


def test_state_of_another_release_is_a_fresh_start(shared):
    shared.set(f"cg:breaker:int_1:{HOST}", b'{"what": 1}')

    assert breaker_on(shared, Clock()).state(HOST) == CLOSED


@pytest.mark.parametrize(
    ("answer", "opens"),
    [
        (httpx.Response(500), True),
        (httpx.ConnectError("no"), True),
        (httpx.ReadTimeout("slow"), True),
        (httpx.Response(404), False),
        (httpx.Response(429, headers={"Retry-After": "60"}), False),
        (httpx.Response(401), False),
        (httpx.Response(200, text="<html>"), False),
    ],
)
def test_only_broken_answers_count(answer, opens):
    provider = Provider(*[answer] * 3)
    breaker = breaker_on(None, Clock())
    client = make_client(provider, breaker=breaker, retry=RetryPolicy(max_attempts=1))
    for _ in range(3):
        with pytest.raises(Exception, match=r"."):
            client.get_json("/x")

    assert (breaker.state(HOST).mode == "open") is opens
    if opens:
        with pytest.raises(TransientError) as caught:
            client.get_json("/x")
        assert caught.value.code == "circuit_open"
        assert len(provider.requests) == 3
