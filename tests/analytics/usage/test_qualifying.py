"""The choice of events that make somebody active is honoured by every report."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.http import QueryDict
from django.test import Client

from analytics.usage.active import active
from analytics.usage.adoption import adoption
from analytics.usage.lifecycle import lifecycle
from analytics.usage.qualifying import Qualifying
from analytics.usage.retention import read_question, retention
from churnguard.models import AuditEntry, Organization, User
from tests.analytics.usage import reference
from tests.analytics.usage.events import Event, scope_of, store_and_fold

URL = "/api/v1/analytics/usage/settings"
MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
NOW = MONDAY + timedelta(days=27)
EVENTS = [
    Event(who, "u", name, MONDAY + timedelta(days=day), f"{who}{name}{day}")
    for who, name, days in (
        ("ash", "open", (0, 7, 8, 21)),
        ("ash", "mail", (1, 14)),
        ("birch", "mail", (0, 7, 14, 21)),
        ("cedar", "mail", (0,)),
        ("cedar", "save", (15, 21)),
    )
    for day in days
]


@pytest.fixture
def used(org: Organization) -> Organization:
    """Ash uses and is mailed, Birch is only mailed, Cedar was mailed before its use."""
    store_and_fold(org, EVENTS)
    return org


@pytest.mark.parametrize(
    ("mode", "names", "counted"),
    [
        ("all", [], ["open", "save", "mail"]),
        ("except", ["mail"], ["open", "save"]),
        ("only", ["save"], ["save"]),
    ],
)
def test_the_reports_count_what_was_chosen(
    used: Organization,
    alice: User,
    api: Callable[..., Any],
    mode: str,
    names: list[str],
    counted: list[str],
) -> None:
    chosen = {"mode": mode, "events": names}
    assert api(alice).put(URL, chosen, format="json").json() == chosen
    span = "from=2026-03-02&to=2026-03-29"
    scope = scope_of(used, NOW, span)

    points = active(scope)["points"]
    expected = reference.active_counts(
        EVENTS, "customer", scope.zone, scope.days, counted
    )
    assert [(p["dau"], p["wau"], p["mau"], p["stickiness"]) for p in points] == expected
    began = min(e.at.date() for e in EVENTS if e.name in counted)
    full = [p["day"] for p in points if p["wau_complete"]]
    assert full[0] == (began + timedelta(days=6)).isoformat()

    found = retention(read_question(scope, QueryDict("intervals=4")))
    rows = reference.retention_cells(
        EVENTS,
        "customer",
        scope.zone,
        mode="on",
        clock="calendar",
        interval="week",
        counting="birth",
        intervals=4,
        starts=[date.fromisoformat(row["start"]) for row in found["cohorts"]],
        begin=counted,
        back=counted,
    )
    assert [
        (row["size"], [c["members"] for c in row["cells"]]) for row in found["cohorts"]
    ] == [(size, counts[: 4 - n]) for n, (size, counts) in enumerate(rows)]
    assert found["qualifying"] == chosen

    cycle = lifecycle(scope, "week")["buckets"]
    assert [row["new"] for row in cycle] == [size for size, _ in rows]
    used_by = {e.customer for e in EVENTS if e.name in counted}
    adopted = adoption(scope)
    assert adopted["active"] == len(used_by)
    # Every event is listed; breadth is a share of the active and never above 1.
    mailed = {e.customer for e in EVENTS if e.name == "mail"} & used_by
    (mail,) = [row for row in adopted["features"] if row["event"] == "mail"] or [{}]
    assert mail.get("adopters", 0) == len(mailed)
    assert all(row["breadth"] <= 1 for row in adopted["features"])


def test_a_question_that_names_events_is_answered_as_asked(
    used: Organization, alice: User, api: Callable[..., Any]
) -> None:
    api(alice).put(URL, {"mode": "only", "events": ["save"]}, format="json")

    points = active(scope_of(used, NOW, "to=2026-03-02&event=mail"))["points"]

    assert points[-1]["dau"] == 2


def test_the_choice_is_for_admins_checked_and_audited(
    used: Organization,
    alice: User,
    bob: User,
    charlie: User,
    api: Callable[..., Any],
) -> None:
    good = {"mode": "except", "events": ["mail", "mail"]}
    assert api(bob).put(URL, good, format="json").status_code == 403
    for bad, fields in (
        ({"mode": "some"}, ["mode"]),
        ({"mode": "only", "events": []}, ["events"]),
        ({"mode": "except", "events": "mail"}, ["events"]),
        ({"mode": "except", "events": ["a\u0000"]}, ["events"]),
        ([], ["mode"]),
        ('{"mode": "only", "events": ["\\ud800"]}', ["events"]),
    ):
        raw = bad if isinstance(bad, str) else json.dumps(bad)
        answer = api(alice).put(URL, raw, content_type="application/json")
        assert (answer.status_code, list(answer.json()["fields"])) == (400, fields)
    assert not AuditEntry.objects.filter(action="usage.qualifying_changed").exists()

    for _ in range(2):
        kept = api(alice).put(URL, good, format="json").json()
    assert kept == {"mode": "except", "events": ["mail"]}
    entry = AuditEntry.objects.get(action="usage.qualifying_changed")
    assert (entry.before, entry.after) == (Qualifying().body, kept)
    assert api(bob).get(URL).json() == kept
    assert api(charlie).get(URL).json() == {"mode": "all", "events": []}


def test_the_page_has_the_form_for_admins_alone(
    used: Organization, alice: User, bob: User, client: Client
) -> None:
    client.force_login(alice)
    page = client.get("/usage/active/").content.decode()
    assert 'name="mode"' in page
    bad = client.post("/usage/active/events/", {"mode": "only"}, follow=True)
    assert "at least one" in bad.content.decode()
    client.post("/usage/active/events/", {"mode": "except", "events": ["mail"]})

    client.force_login(bob)
    page = client.get("/usage/active/").content.decode()
    assert "All events but mail" in page
    assert 'name="mode"' not in page
    assert client.post("/usage/active/events/", {"mode": "all"}).status_code == 403
