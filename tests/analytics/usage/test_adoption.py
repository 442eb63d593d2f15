"""Lifecycle and adoption equal a count by hand."""

from __future__ import annotations

import statistics
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.usage.adoption import adoption
from analytics.usage.lifecycle import lifecycle
from churnguard.models import Organization
from tests.analytics.usage import reference
from tests.analytics.usage.conftest import Retail
from tests.analytics.usage.events import Event, member, scope_of, store_and_fold

NOW = datetime(2011, 12, 20, 9, tzinfo=UTC)
STATES = ("new", "returning", "resurrecting", "dormant")


def states_by_hand(
    events: list[Event], unit: str, zone: ZoneInfo, interval: str, starts: list[date]
) -> list[tuple[int, ...]]:
    """(new, returning, resurrecting, dormant) of the interval from each start."""
    journeys = [
        {reference.start_of(at.astimezone(zone).date(), interval) for at in times}
        for times in reference.times_of(events, unit).values()
    ]
    rows = []
    for start in starts:
        earlier = reference.start_of(start - timedelta(days=1), interval)
        counts = dict.fromkeys(STATES, 0)
        for active in journeys:
            if start not in active:
                counts["dormant"] += earlier in active
            elif min(active) == start:
                counts["new"] += 1
            else:
                counts["returning" if earlier in active else "resurrecting"] += 1
        rows.append(tuple(counts[state] for state in STATES))
    return rows


def starts_of(buckets: list[dict[str, Any]]) -> list[date]:
    return [date.fromisoformat(row["start"]) for row in buckets]


def adoption_by_hand(
    events: list[Event], unit: str, zone: ZoneInfo, first: date, last: date
) -> tuple[int, dict[str, tuple[Any, ...]]]:
    """(active, event -> (adopters, new, events, days, median seconds))."""
    uses: dict[str, dict[Any, list[datetime]]] = defaultdict(lambda: defaultdict(list))
    begun: dict[Any, datetime] = {}
    for event in events:
        who = member(event, unit)
        if who is not None:
            uses[event.name][who].append(event.at)
            begun[who] = min(begun.get(who, event.at), event.at)
    active: set[Any] = set()
    found = {}
    for name, by_member in uses.items():
        n = days = new = 0
        waits = []
        for who, times in by_member.items():
            used = [
                day
                for at in times
                if first <= (day := at.astimezone(zone).date()) <= last
            ]
            if used:
                active.add(who)
                n += len(used)
                days += len(set(used))
                new += min(times).astimezone(zone).date() >= first
                waits.append((min(times) - begun[who]).total_seconds())
        if waits:
            median = round(statistics.median(waits), 3)
            found[name] = (len(waits), new, n, days, median)
    return len(active), found


def adoption_figures(found: dict[str, Any]) -> tuple[int, dict[str, tuple[Any, ...]]]:
    return found["active"], {
        row["event"]: (
            row["adopters"],
            row["new_adopters"],
            row["events"],
            round(row["active_days"] * row["adopters"]),
            row["median_first_use_s"],
        )
        for row in found["features"]
    }


@pytest.mark.parametrize("unit", ["customer", "user"])
@pytest.mark.parametrize(
    ("interval", "first"),
    [("day", "2011-10-01"), ("week", "2009-12-01"), ("month", "2009-12-01")],
)
def test_every_lifecycle_cell_of_online_retail_equals_the_reference(
    retail: Retail, unit: str, interval: str, first: str
) -> None:
    scope = scope_of(retail.org, NOW, f"unit={unit}&from={first}&to=2011-12-20")

    buckets = lifecycle(scope, interval)["buckets"]

    assert [tuple(row[s] for s in STATES) for row in buckets] == states_by_hand(
        retail.events, unit, retail.zone, interval, starts_of(buckets)
    )
    assert len(buckets) == {"day": 81, "week": 108, "month": 25}[interval]
    assert [row["is_finished"] for row in buckets[-2:]] == [True, False]


@pytest.mark.parametrize("unit", ["customer", "user"])
def test_adoption_of_online_retail_equals_the_reference(
    retail: Retail, unit: str
) -> None:
    scope = scope_of(retail.org, NOW, f"unit={unit}&from=2010-06-01&to=2011-03-31")

    found = adoption(scope)

    assert adoption_figures(found) == adoption_by_hand(
        retail.events, unit, retail.zone, date(2010, 6, 1), date(2011, 3, 31)
    )
    assert [row["event"] for row in found["features"]] == ["order", "return"]
    for row in found["features"]:
        assert row["breadth"] == round(row["adopters"] / found["active"], 6)
        assert row["depth"] == round(row["events"] / row["adopters"], 6)


@pytest.mark.django_db
@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from(["", "u1", "u2"]),
            st.sampled_from(["open", "save"]),
            st.integers(0, 60 * 24 * 4),
        ),
        min_size=1,
        max_size=60,
    ),
    unit=st.sampled_from(["customer", "user"]),
    interval=st.sampled_from(["day", "week", "month"]),
    zone=st.sampled_from(["America/New_York", "Asia/Kolkata"]),
)
def test_random_histories_equal_the_reference(
    rows: list[tuple[str, str, str, int]], unit: str, interval: str, zone: str
) -> None:
    org = Organization.objects.create(name="Random", timezone=zone)
    start = datetime(2026, 2, 20, tzinfo=UTC)
    events = [
        Event(c, u, name, start + timedelta(minutes=15 * quarter), str(n))
        for n, (c, u, name, quarter) in enumerate(rows)
    ]
    store_and_fold(org, events)
    scope = scope_of(
        org,
        datetime(2026, 7, 1, tzinfo=UTC),
        f"unit={unit}&from=2026-03-01&to=2026-04-10",
    )

    buckets = lifecycle(scope, interval)["buckets"]

    assert [tuple(row[s] for s in STATES) for row in buckets] == states_by_hand(
        events, unit, ZoneInfo(zone), interval, starts_of(buckets)
    )
    assert adoption_figures(adoption(scope)) == adoption_by_hand(
        events, unit, ZoneInfo(zone), scope.first, scope.last
    )
