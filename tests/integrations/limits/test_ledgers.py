"""The counting itself: both ledgers agree, and no window is ever overfull."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrations.limits import Window
from integrations.limits_ledger import LocalLedger, RedisLedger, Request
from tests import examples
from tests.integrations.limits.fleet import Clock

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["ask", "ask", "ask", "person", "release", "block", "cap"]),
        st.integers(0, 700),
        st.integers(1, 4),
    ),
    max_size=60,
)


@settings(
    deadline=None,
    max_examples=examples.out_of(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_both_ledgers_decide_alike(shared, steps):
    shared.flushall()
    clock = Clock()
    rules = (
        Window(5, 1).rule(),
        Window(12, 4, reserve_share=0.2).rule(),
    )
    ledgers = [
        RedisLedger(shared, "acme", rules, now_ms=clock.now_ms),
        LocalLedger(rules, clock.now_ms),
    ]
    for number, (kind, later_ms, amount) in enumerate(steps):
        clock.ms += later_ms
        answers = []
        for ledger in ledgers:
            if kind in ("ask", "person"):
                request = Request(amount, kind == "person", f"t{number}", 4, 900)
                answers.append(ledger.acquire(request))
            elif kind == "release":
                ledger.release(f"t{number - amount}")
            elif kind == "block":
                ledger.block(amount * 100)
            else:
                ledger.cap(amount % 2, amount, 800)
        assert len(set(answers)) <= 1


@settings(deadline=None, max_examples=examples.out_of(60))
@given(
    gaps=st.lists(st.integers(0, 3000), min_size=1, max_size=120),
    limit=st.integers(1, 12),
)
def test_no_window_ever_holds_more_than_its_limit(gaps, limit):
    clock = Clock()
    ledger = LocalLedger((Window(limit, 10).rule(),), clock.now_ms)
    grants = []
    for gap in gaps:
        clock.ms += gap
        if ledger.acquire(Request(1, False, "t", 0, 1)).wait_ms == 0:
            grants.append(clock.ms)

    for start in grants:
        assert sum(start <= at < start + 10_000 for at in grants) <= limit
