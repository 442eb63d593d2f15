"""Retention cells equal a count by hand for every cohort and interval."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.http import QueryDict
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.usage.retention import read_question, retention
from churnguard.errors import ConfigError
from churnguard.models import Organization
from tests.analytics.usage import reference
from tests.analytics.usage.conftest import Retail
from tests.analytics.usage.events import Event, scope_of, store_and_fold

NOW = datetime(2011, 12, 20, 12, tzinfo=UTC)
KINDS = [
    ("calendar", "birth"),
    ("calendar", "recurring"),
    ("rolling", "birth"),
]


def ask(org: Organization, now: datetime, query: str) -> dict[str, Any]:
    return retention(read_question(scope_of(org, now, query), QueryDict(query)))


def cells(found: dict[str, Any]) -> list[tuple[int, list[int]]]:
    return [
        (row["size"], [c["members"] for c in row["cells"]]) for row in found["cohorts"]
    ]


def expected(
    events: list[Event], found: dict[str, Any], zone: ZoneInfo, **more: Any
) -> list[tuple[int, list[int]]]:
    """The reference, cut where the cells have not begun."""
    rows = reference.retention_cells(
        events,
        found["unit"],
        zone,
        mode=found["mode"],
        clock=found["clock"],
        interval=found["interval"],
        counting=found["counting"],
        intervals=len(found["average"]),
        starts=[date.fromisoformat(row["start"]) for row in found["cohorts"]],
        **more,
    )
    return [
        (size, counts[: len(row["cells"])])
        for (size, counts), row in zip(rows, found["cohorts"], strict=True)
    ]


@pytest.mark.parametrize("mode", ["on", "on_or_after"])
@pytest.mark.parametrize(("clock", "counting"), KINDS)
@pytest.mark.parametrize(
    ("interval", "span"),
    [
        ("day", "from=2010-09-20&to=2010-11-10&intervals=40"),
        ("week", "from=2009-12-01&to=2011-12-20&intervals=60"),
        ("month", "from=2009-12-01&to=2011-12-20&intervals=25"),
    ],
)
@pytest.mark.parametrize("unit", ["customer", "user"])
def test_every_cell_of_online_retail_equals_the_reference(
    retail: Retail,
    unit: str,
    interval: str,
    span: str,
    clock: str,
    counting: str,
    mode: str,
) -> None:
    found = ask(
        retail.org,
        NOW,
        f"unit={unit}&interval={interval}&clock={clock}&counting={counting}"
        f"&mode={mode}&{span}",
    )

    assert cells(found) == expected(retail.events, found, retail.zone)
    assert sum(row["size"] for row in found["cohorts"]) > 100


def test_start_and_return_events_differ(retail: Retail) -> None:
    found = ask(
        retail.org,
        NOW,
        "interval=month&from=2009-12-01&to=2011-12-20&event=order&return_event=return",
    )

    assert cells(found) == expected(
        retail.events, found, retail.zone, begin=("order",), back=("return",)
    )
    assert 0 < found["cohorts"][0]["cells"][0]["members"] < found["cohorts"][0]["size"]


@pytest.mark.django_db
def test_average_row_weighs_finished_cells_by_size(org: Organization) -> None:
    monday = datetime(2026, 3, 2, 12, tzinfo=UTC)

    def week(n: int) -> datetime:
        return monday + timedelta(weeks=n)

    store_and_fold(
        org,
        [
            *[Event(c, "", "x", week(0), c) for c in "abc"],
            Event("d", "", "x", week(1), "d"),
            Event("a", "", "x", week(1), "a2"),
            Event("d", "", "x", week(2), "d2"),
        ],
    )

    found = ask(
        org, week(2) + timedelta(days=1), "from=2026-03-02&to=2026-03-17&intervals=3"
    )

    assert cells(found) == [(3, [3, 1, 0]), (1, [1, 1]), (0, [0])]
    finished = [[c["is_finished"] for c in row["cells"]] for row in found["cohorts"]]
    assert finished == [[True, True, False], [True, False], [False]]
    assert [(a["share"], a["cohorts"], a["members"]) for a in found["average"]] == [
        (1.0, 2, 4),
        (0.333333, 1, 3),
        (None, 0, 0),
    ]


@pytest.mark.django_db
def test_a_day_of_25_hours_hides_no_rolling_interval(org: Organization) -> None:
    org.timezone = "America/New_York"
    org.save()
    # 2026-11-01 lasts from 04:00 to 05:00 UTC of the next day.
    born = datetime(2026, 10, 30, 4, 30, tzinfo=UTC)
    times = [
        born,
        datetime(2026, 11, 1, 4, 10, tzinfo=UTC),
        datetime(2026, 11, 1, 12, 0, tzinfo=UTC),
        datetime(2026, 11, 2, 4, 50, tzinfo=UTC),
    ]
    store_and_fold(org, [Event("a", "", "x", at, str(at)) for at in times], batches=1)

    # Both sources hold half of the events; one alone holds all of the long day below.
    store = ask(
        org,
        datetime(2026, 11, 20, tzinfo=UTC),
        "clock=rolling&interval=day&from=2026-10-30&to=2026-10-30&intervals=5",
    )

    assert cells(store) == [(1, [1, 1, 1, 1, 0])]


@pytest.mark.django_db
def test_bad_parameters_are_named(org: Organization) -> None:
    with pytest.raises(ConfigError) as caught:
        ask(org, NOW, "mode=x&interval=y&intervals=0")
    assert set(caught.value.fields) == {"mode", "interval", "intervals"}
    with pytest.raises(ConfigError) as caught:
        ask(org, NOW, "clock=rolling&counting=recurring")
    assert set(caught.value.fields) == {"counting"}
    with pytest.raises(ConfigError) as caught:
        scope_of(org, NOW, "unit=x&from=1&event=%00")
    assert set(caught.value.fields) == {"unit", "from", "event"}


@pytest.mark.django_db
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from(["", "u1"]),
            st.sampled_from(["open", "save"]),
            st.integers(0, 40 * 24 * 4),
        ),
        min_size=1,
        max_size=80,
    ),
    unit=st.sampled_from(["customer", "user"]),
    interval=st.sampled_from(["day", "week", "month"]),
    kind=st.sampled_from(KINDS),
    mode=st.sampled_from(["on", "on_or_after"]),
    zone=st.sampled_from(["America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"]),
    begin=st.sampled_from([(), ("open",)]),
    back=st.sampled_from([(), ("save",)]),
)
def test_random_histories_equal_the_reference(
    rows: list[tuple[str, str, str, int]],
    unit: str,
    interval: str,
    kind: tuple[str, str],
    mode: str,
    zone: str,
    begin: tuple[str, ...],
    back: tuple[str, ...],
) -> None:
    org = Organization.objects.create(name="Random", timezone=zone)
    # The clocks of New York change on 2026-11-01, those of Lord Howe on 2026-10-04.
    start = datetime(2026, 10, 1, tzinfo=UTC)
    events = [
        Event(c, u, name, start + timedelta(minutes=15 * quarter), str(n))
        for n, (c, u, name, quarter) in enumerate(rows)
    ]
    store_and_fold(org, events)

    found = ask(
        org,
        datetime(2027, 3, 1, tzinfo=UTC),
        f"unit={unit}&interval={interval}&clock={kind[0]}&counting={kind[1]}"
        f"&mode={mode}&from=2026-09-20&to=2026-11-15&intervals=20"
        + "".join(f"&event={n}" for n in begin)
        + "".join(f"&return_event={n}" for n in back),
    )

    assert cells(found) == expected(
        events, found, ZoneInfo(zone), begin=begin, back=back
    )
