"""Funnels equal a search by hand through every attempt."""

from __future__ import annotations

import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.usage.funnel import funnel, read_question
from churnguard.errors import ConfigError
from churnguard.models import Organization
from tests.analytics.usage.conftest import Retail
from tests.analytics.usage.events import Event, member, scope_of, store_and_fold

NOW = datetime(2011, 12, 20, 12, tzinfo=UTC)


def ask(org: Organization, now: datetime, query: str) -> dict[str, Any]:
    return funnel(read_question(scope_of(org, now, query), QueryDict(query)))


def expected(
    events: list[Event],
    unit: str,
    zone: ZoneInfo,
    steps: list[str],
    window_days: int,
    first: date,
    last: date,
    exclude: list[str] | None = None,
) -> tuple[list[int], list[float | None]]:
    """(members that reached each step, median seconds from the step before)."""
    journeys: dict[Any, list[Event]] = defaultdict(list)
    for event in sorted(events, key=lambda e: (e.at, e.event_id)):
        who = member(event, unit)
        if who is not None:
            journeys[who].append(event)
    chosen = []
    for journey in journeys.values():
        attempts = []
        for i, start in enumerate(journey):
            day = start.at.astimezone(zone).date()
            if start.name != steps[0] or not first <= day <= last:
                continue
            times = [start.at]
            for event in journey[i + 1 :]:
                if len(times) == len(steps) or event.name in (exclude or ()):
                    break
                late = event.at - start.at > timedelta(days=window_days)
                if event.name == steps[len(times)] and not late:
                    times.append(event.at)
            attempts.append(times)
        if attempts:
            # max keeps the first of equals: the first that completed or went furthest.
            chosen.append(max(attempts, key=len))
    reached = [sum(len(times) > n for times in chosen) for n in range(len(steps))]
    medians: list[float | None] = [None]
    for n in range(1, len(steps)):
        waits = [
            (times[n] - times[n - 1]).total_seconds()
            for times in chosen
            if len(times) > n
        ]
        medians.append(round(statistics.median(waits), 3) if waits else None)
    return reached, medians


def figures(found: dict[str, Any]) -> tuple[list[int], list[float | None]]:
    return (
        [step["members"] for step in found["steps"]],
        [step["median_s"] for step in found["steps"]],
    )


@pytest.mark.parametrize("unit", ["customer", "user"])
@pytest.mark.parametrize("steps", ["order,order", "order,return,order", "return,order"])
@pytest.mark.parametrize("window_days", [1, 30])
def test_every_step_of_online_retail_equals_the_reference(
    retail: Retail, unit: str, steps: str, window_days: int
) -> None:
    found = ask(
        retail.org,
        NOW,
        f"unit={unit}&from=2010-02-01&to=2011-06-30&steps={steps}"
        f"&window_days={window_days}",
    )

    assert figures(found) == expected(
        retail.events,
        unit,
        retail.zone,
        steps.split(","),
        window_days,
        date(2010, 2, 1),
        date(2011, 6, 30),
    )
    assert found["members"] > 500
    assert found["completed"] > 20
    assert found["open"] == 0


@pytest.mark.parametrize("unit", ["customer", "user"])
def test_exclusion_on_online_retail_equals_the_reference(
    retail: Retail, unit: str
) -> None:
    found = ask(
        retail.org,
        NOW,
        f"unit={unit}&from=2010-02-01&to=2011-06-30&steps=order,order,order"
        "&window_days=60&exclude=return",
    )

    assert figures(found) == expected(
        retail.events,
        unit,
        retail.zone,
        ["order"] * 3,
        60,
        date(2010, 2, 1),
        date(2011, 6, 30),
        ["return"],
    )
    assert found["completed"] > 20


def at(hour: float) -> datetime:
    return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(hours=hour)


@pytest.mark.django_db
def test_the_first_completed_attempt_counts(org: Organization) -> None:
    store_and_fold(
        org,
        [
            Event("late", "", "a", at(1), "1"),
            Event("late", "", "a", at(30), "2"),
            Event("late", "", "b", at(31), "3"),
            Event("tie", "", "b", at(5), "1"),
            Event("tie", "", "a", at(5), "2"),
            Event("order", "", "a", at(5), "1"),
            Event("order", "", "b", at(5), "2"),
            Event("edge", "", "a", at(1), "1"),
            Event("edge", "", "b", at(25), "2"),
            Event("open", "", "a", at(40), "1"),
        ],
    )

    found = ask(org, at(50), "from=2026-03-01&to=2026-03-03&steps=a,b&window_days=1")

    assert [s["members"] for s in found["steps"]] == [5, 3]
    assert found["steps"][1]["share"] == 0.6
    assert found["steps"][1]["median_s"] == 3600
    assert found["open"] == 1


@pytest.mark.django_db
def test_an_excluded_event_ends_the_attempt_and_another_may_begin(
    org: Organization,
) -> None:
    store_and_fold(
        org,
        [
            Event("ended", "", "a", at(1), "1"),
            Event("ended", "", "refund", at(2), "2"),
            Event("ended", "", "b", at(3), "3"),
            Event("again", "", "a", at(1), "1"),
            Event("again", "", "refund", at(2), "2"),
            Event("again", "", "a", at(3), "3"),
            Event("again", "", "b", at(4), "4"),
            Event("before", "", "refund", at(1), "1"),
            Event("before", "", "a", at(2), "2"),
            Event("before", "", "b", at(3), "3"),
            Event("before", "", "refund", at(4), "4"),
            Event("open", "", "a", at(40), "1"),
        ],
    )
    query = "from=2026-03-01&to=2026-03-03&steps=a,b&window_days=1"

    found = ask(org, at(50), f"{query}&exclude=refund")

    assert [s["members"] for s in found["steps"]] == [4, 2]
    assert found["exclude"] == ["refund"]
    assert found["open"] == 1
    assert ask(org, at(50), query)["completed"] == 3
    with pytest.raises(ConfigError) as caught:
        ask(org, at(50), f"{query}&exclude=b")
    assert caught.value.fields == {"exclude": "events that are no step"}


@pytest.mark.django_db
def test_bad_steps_are_named(org: Organization) -> None:
    for query in ("", "steps=a", "steps=" + ",".join("abcdefghijk")):
        with pytest.raises(ConfigError) as caught:
            ask(org, NOW, query)
        assert set(caught.value.fields) == {"steps"}
    with pytest.raises(ConfigError) as caught:
        ask(org, NOW, "steps=a,b&window_days=0")
    assert set(caught.value.fields) == {"window_days"}


@pytest.mark.django_db
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("xy"),
            st.sampled_from(["", "u1"]),
            st.sampled_from("abcde"),
            st.integers(0, 60),
        ),
        min_size=1,
        max_size=60,
    ),
    unit=st.sampled_from(["customer", "user"]),
    steps=st.lists(st.sampled_from("abc"), min_size=2, max_size=4),
    window_days=st.integers(1, 4),
    exclude=st.sampled_from([[], ["d"], ["d", "e"]]),
)
def test_random_histories_equal_the_reference(
    rows: list[tuple[str, str, str, int]],
    unit: str,
    steps: list[str],
    window_days: int,
    exclude: list[str],
) -> None:
    org = Organization.objects.create(name="Random", timezone="America/New_York")
    events = [
        Event(c, u, name, at(4 * quarter), f"{n:03d}")
        for n, (c, u, name, quarter) in enumerate(rows)
    ]
    store_and_fold(org, events)

    found = ask(
        org,
        at(1000),
        f"unit={unit}&from=2026-03-02&to=2026-03-07&steps={','.join(steps)}"
        f"&window_days={window_days}&exclude={','.join(exclude)}",
    )

    assert figures(found) == expected(
        events,
        unit,
        ZoneInfo("America/New_York"),
        steps,
        window_days,
        date(2026, 3, 2),
        date(2026, 3, 7),
        exclude,
    )
