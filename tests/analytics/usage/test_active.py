"""Active members equal a count by hand for every day."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics.usage.active import active
from churnguard.models import Organization
from tests.analytics.usage import reference
from tests.analytics.usage.conftest import Retail
from tests.analytics.usage.events import Event, scope_of, store_and_fold

NOW = datetime(2011, 12, 20, 12, tzinfo=UTC)


@pytest.mark.parametrize("unit", ["customer", "user"])
@pytest.mark.parametrize("names", [(), ("return",)])
def test_every_day_of_online_retail_equals_the_reference(
    retail: Retail, unit: str, names: tuple[str, ...]
) -> None:
    query = f"unit={unit}&from=2009-11-25&to=2011-12-20"
    scope = scope_of(retail.org, NOW, query + "".join(f"&event={n}" for n in names))

    points = active(scope)["points"]

    expected = reference.active_counts(
        retail.events, unit, retail.zone, scope.days, names
    )
    assert len(points) == 756
    assert [(p["dau"], p["wau"], p["mau"], p["stickiness"]) for p in points] == expected


def test_frequency_counts_members_by_their_active_days(retail: Retail) -> None:
    scope = scope_of(retail.org, NOW, "unit=user&to=2011-11-30")

    found = {row["days"]: row["members"] for row in active(scope)["frequency"]}

    days = {
        who: {
            day
            for at in times
            if date(2011, 11, 3)
            <= (day := at.astimezone(retail.zone).date())
            <= date(2011, 11, 30)
        }
        for who, times in reference.times_of(retail.events, "user").items()
    }
    counts = Counter(len(active_days) for active_days in days.values())
    assert found == {n: counts[n] for n in range(1, 29)}
    assert sum(found.values()) > 1000


@pytest.mark.django_db
def test_first_days_and_the_running_day_are_marked(org: Organization) -> None:
    start = datetime(2026, 3, 1, 12, tzinfo=UTC)
    store_and_fold(
        org,
        [Event("a", "", "x", start + timedelta(days=n), str(n)) for n in range(30)],
    )
    now = datetime(2026, 3, 30, 20, tzinfo=UTC)

    points = active(scope_of(org, now, "from=2026-02-27&to=2026-03-30"))["points"]

    by_day = {p["day"]: p for p in points}
    assert next(d for d, p in by_day.items() if p["wau_complete"]) == "2026-03-07"
    assert next(d for d, p in by_day.items() if p["mau_complete"]) == "2026-03-28"
    assert [d for d, p in by_day.items() if p["is_running"]] == ["2026-03-30"]
    assert by_day["2026-03-28"]["stickiness"] == 1
    assert by_day["2026-02-27"]["stickiness"] is None


histories = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.sampled_from(["", "u1", "u2"]),
        st.sampled_from(["open", "save"]),
        st.integers(0, 80 * 24 * 4),
    ),
    min_size=1,
    max_size=60,
)


@pytest.mark.django_db
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    rows=histories,
    unit=st.sampled_from(["customer", "user"]),
    zone=st.sampled_from(["Asia/Kolkata", "America/New_York", "Pacific/Apia"]),
)
def test_random_histories_equal_the_reference(
    rows: list[tuple[str, str, str, int]], unit: str, zone: str
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
        f"unit={unit}&from=2026-02-18&to=2026-06-20",
    )

    points = active(scope)["points"]

    expected = reference.active_counts(events, unit, ZoneInfo(zone), scope.days)
    assert [(p["dau"], p["wau"], p["mau"], p["stickiness"]) for p in points] == expected
