"""Counts by day: what is kept, who entered and left, and when it is due."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from rest_framework.test import APIClient

from analytics.segments import daily
from analytics.segments.models import Segment, SegmentDay, SegmentSpell
from churnguard.models import Customer, Organization

DAY_1 = datetime(2026, 5, 1, 9, tzinfo=UTC)
DAY_2 = DAY_1 + timedelta(days=1)
DAY_3 = DAY_1 + timedelta(days=2)


@pytest.fixture
def people(org: Organization) -> dict[str, Customer]:
    return {
        name: Customer.objects.create(organization=org, name=name, score=score)
        for name, score in (("Ann", 30), ("Bo", 35), ("Cy", 80), ("Di", None))
    }


@pytest.fixture
def low(org: Organization) -> Segment:
    """Whoever scores below 40."""
    return Segment.objects.create(
        organization=org,
        name="Low",
        slug="low",
        definition={"field": "score", "op": "<", "value": 40},
        created_by="x",
        due_at=DAY_1,
    )


def set_scores(people: dict[str, Customer], **scores: int) -> None:
    for name, score in scores.items():
        Customer.objects.filter(pk=people[name].pk).update(score=score)


def moves(segment: Segment) -> list[tuple[int, int, int | None, int | None]]:
    rows = SegmentDay.objects.filter(segment=segment).order_by("day")
    return [(row.day.day, row.members, row.entered, row.left) for row in rows]


def test_the_last_count_of_a_day_is_kept_however_often_it_is_taken(
    people: dict[str, Customer], low: Segment
) -> None:
    assert daily.tick(DAY_1) == 1
    assert daily.tick(DAY_1) == 0
    assert moves(low) == [(1, 2, None, None)]

    set_scores(people, Ann=90, Cy=10)
    daily.tick(DAY_2)
    assert moves(low)[-1] == (2, 2, 1, 1)
    # Ann is back before the day ends, and Di was in for an hour.
    set_scores(people, Ann=5, Di=1)
    daily.tick(DAY_2 + timedelta(hours=1))
    assert moves(low)[-1] == (2, 4, 2, 0)
    set_scores(people, Di=99)
    daily.tick(DAY_2 + timedelta(hours=2))
    assert moves(low)[-1] == (2, 3, 1, 0)
    daily.tick(DAY_2 + timedelta(hours=3))
    assert moves(low) == [(1, 2, None, None), (2, 3, 1, 0)]

    set_scores(people, Bo=50, Di=2)
    daily.tick(DAY_3)
    assert moves(low)[-1] == (3, 3, 1, 1)
    spells = SegmentSpell.objects.filter(segment=low).order_by("pk")
    assert [
        (spell.customer.name, spell.entered_on.day, spell.left_on and spell.left_on.day)
        for spell in spells.select_related("customer").order_by("customer__name")
    ] == [("Ann", 1, None), ("Bo", 1, 3), ("Cy", 2, None), ("Di", 3, None)]


def test_days_are_those_of_the_organisation(org: Organization, low: Segment) -> None:
    org.timezone = "Pacific/Auckland"
    org.save()

    daily.tick(datetime(2026, 5, 1, 18, tzinfo=UTC))

    assert SegmentDay.objects.get(segment=low).day.isoformat() == "2026-05-02"


def test_counts_add_up_over_days(people: dict[str, Customer], low: Segment) -> None:
    names = list(people)
    for n in range(12):
        set_scores(people, **{names[n % 4]: 10 if n % 3 else 90})
        daily.tick(DAY_1 + timedelta(hours=9 * n))

    rows = moves(low)
    assert len(rows) == 5
    for before, after in pairwise(rows):
        assert after[1] == before[1] + after[2] - after[3]


def test_a_new_definition_compares_with_nothing_before_it(
    people: dict[str, Customer], low: Segment, alice: object, api: object
) -> None:
    daily.tick(DAY_1)
    client: APIClient = api(alice)  # type: ignore[operator]
    body = {"definition": {"field": "score", "op": ">=", "value": 40}}
    url = "/api/v1/analytics/segments/low"

    counted = client.patch(url, body, format="json").json()["counted"]

    assert (counted["members"], counted["entered"], counted["left"]) == (1, None, None)
    assert counted["version"] == 2
    # Counted again on the same day: still not comparable.
    Segment.objects.update(due_at=DAY_1)
    daily.tick(datetime.now(UTC))
    assert client.get(url).json()["counted"]["entered"] is None
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    set_scores(people, Cy=1, Ann=99)
    daily.tick(tomorrow)
    assert moves(low)[-1][1:] == (1, 1, 1)


def test_the_trend_tells_the_counted_days(
    people: dict[str, Customer], low: Segment, bob: object, api: object
) -> None:
    Customer.objects.filter(pk=people["Ann"].pk).update(mrr_minor=900, band="at_risk")
    for at in (DAY_1, DAY_3):
        daily.tick(at)
    client: APIClient = api(bob)  # type: ignore[operator]
    url = "/api/v1/analytics/segments/low/trend"

    body = client.get(f"{url}?from=2026-04-30&to=2026-05-03").json()

    assert (body["from"], body["to"]) == ("2026-04-30", "2026-05-03")
    assert [point["day"] for point in body["points"]] == ["2026-05-01", "2026-05-03"]
    point = body["points"][1]
    assert (point["members"], point["average_score"]) == (2, 32.5)
    assert (point["at_risk"], point["mrr_minor"]) == (1, 900)
    assert (point["entered"], point["left"]) == (0, 0)
    assert client.get(f"{url}?from=2026-05-02&to=2026-05-02").json()["points"] == []
    bad = client.get(f"{url}?from=x")
    assert (bad.status_code, list(bad.json()["fields"])) == (400, ["from"])


def test_archived_and_broken_segments_hold_up_no_other(
    people: dict[str, Customer], low: Segment, org: Organization
) -> None:
    shared = {"organization": org, "created_by": "x"}
    broken = Segment.objects.create(
        **shared,
        name="Old",
        slug="old",
        definition={"field": "gone"},
        due_at=DAY_1 - timedelta(hours=1),
    )
    archived = Segment.objects.create(
        **shared, name="B", slug="b", definition=low.definition, archived_at=DAY_1
    )
    Segment.objects.filter(pk=archived.pk).update(due_at=DAY_1 - timedelta(days=1))

    while daily.tick(DAY_1):
        pass

    assert moves(low) == [(1, 2, None, None)]
    assert moves(broken) == []
    assert moves(archived) == []


def test_a_member_merged_into_another_has_left(
    people: dict[str, Customer], low: Segment
) -> None:
    daily.tick(DAY_1)
    Customer.objects.filter(pk=people["Bo"].pk).update(merged_into=people["Ann"])

    daily.tick(DAY_2)

    assert moves(low)[-1] == (2, 1, 0, 1)
