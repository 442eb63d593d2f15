"""The Mixpanel connector: events, windows, broken exports, profiles, quotas."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from churnguard.errors import (
    ConfigError,
    RateLimitedError,
    RecordError,
    TransientError,
)
from churnguard.records import (
    ContactRecord,
    CustomerRecord,
    EventRecord,
    ObjectRecord,
)
from integrations.connectors.base import Page, ReadRequest
from integrations.connectors.mixpanel import events
from integrations.connectors.mixpanel.connector import MixpanelConnector
from integrations.connectors.mixpanel.project import HOSTS
from integrations.connectors.mixpanel.records import (
    cohort_of,
    contact_of,
    customer_of,
    event_of,
)
from integrations.http import Client
from tests import openapi
from tests.fakes.mixpanel import PROJECT, MixpanelFake
from tests.fakes.server import Response
from tests.integrations.connectors import served
from tests.integrations.connectors.served import NOW, Served, at, ids

payload = partial(served.payload, "mixpanel")
STREAMS = {stream.name: stream for stream in MixpanelConnector.streams}


class Setup(Served[MixpanelFake]):
    def connector(self, **settings: Any) -> MixpanelConnector:
        return super().connector(**{"start_date": "2026-01-01", **settings})

    def windows(self) -> list[tuple[str, str]]:
        return [
            (call.query["from_date"], call.query["to_date"])
            for call in self.server.calls
            if call.path == "/api/2.0/export"
        ]


@pytest.fixture
def setup() -> Iterator[Setup]:
    fake = MixpanelFake()
    with fake.serve() as server:
        yield Setup(fake, server)


def made(pages: list[Page]) -> list[EventRecord]:
    return [r for page in pages for r in page.records if isinstance(r, EventRecord)]


# --- records --------------------------------------------------------------------------


def test_an_event() -> None:
    raw = payload("event")

    found = event_of(raw, UTC, "company_id")

    assert found == EventRecord(
        event_id=found.event_id,
        event="Report exported",
        timestamp=at("2026-01-03T10:00:00.250"),
        customer_id="globex",
        user_id="user-77",
        properties={
            name: value
            for name, value in raw["properties"].items()
            if name
            not in ("time", "distinct_id", "$insert_id", "mp_processing_time_ms")
        },
    )
    assert len(found.event_id) == 32


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({"mp_processing_time_ms": 1}, True),
        ({"distinct_id": "merged-into"}, True),
        ({"$distinct_id_before_identity": "another"}, False),
        ({"$insert_id": "another"}, False),
        ({"time": 1767434400251}, False),
    ],
)
def test_the_event_id_is_mixpanels_own_key(
    changes: dict[str, Any], is_same: bool
) -> None:
    raw, other = payload("event"), payload("event")
    other["properties"].update(changes)

    one, two = event_of(raw, UTC, ""), event_of(other, UTC, "")

    assert (one.event_id == two.event_id) is is_same


def test_events_without_insert_id_are_told_apart_by_their_content() -> None:
    raw, other = payload("event"), payload("event")
    del raw["properties"]["$insert_id"], other["properties"]["$insert_id"]
    again = json.loads(json.dumps(raw))
    again["properties"]["mp_processing_time_ms"] = 1
    other["properties"]["format"] = "xlsx"

    first, second, third = (event_of(r, UTC, "") for r in (raw, again, other))

    assert first.event_id == second.event_id
    assert first.event_id != third.event_id


def test_the_epochs_of_old_projects_show_their_local_clock() -> None:
    found = event_of(payload("event"), ZoneInfo("Europe/Berlin"), "")

    assert found.timestamp == at("2026-01-03T09:00:00.250")


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        ({"event": "x"}, "properties"),
        ({"event": "", "properties": {"time": 1}}, "event"),
        ({"event": "x", "properties": {"time": "soon"}}, "time"),
        ({"event": "x", "properties": {"time": True}}, "time"),
    ],
)
def test_an_event_that_cannot_be_used_names_its_field(
    raw: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecordError) as caught:
        event_of(raw, UTC, "")

    assert caught.value.field == field


def test_profiles_and_cohorts() -> None:
    user, group, cohort = (payload(n) for n in ("profile", "group_profile", "cohort"))

    assert contact_of(user, "company_id") == ContactRecord(
        external_id="user-77",
        updated_at=at("2026-01-03T10:00:01"),
        customer_id="globex",
        email="tom@globex.example",
        name="Tom Globe",
        phone="+49 30 555",
        joined_at=at("2025-06-01T10:00:00"),
        user_id="user-77",
        custom={"Total Spent": 120.5},
        raw=user,
    )
    assert customer_of(group) == CustomerRecord(
        external_id="globex",
        updated_at=at("2026-01-02T10:00:01"),
        name="Globex",
        country="DE",
        signup_at=at("2025-05-01T10:00:00"),
        custom={"tier": "gold"},
        raw=group,
    )
    assert cohort_of(cohort) == ObjectRecord(
        external_id="1000",
        kind="cohorts",
        occurred_at=at("2025-03-19T23:49:51"),
        custom={
            "name": "Power users",
            "description": "Exported a report in the last week",
            "count": 150,
        },
        raw=cohort,
    )


# --- the event export -----------------------------------------------------------------


def test_windows_of_days_cover_everything_once(setup: Setup) -> None:
    for day in range(1, 11):
        setup.fake.track("Login", datetime(2026, 1, day, 23, 59, tzinfo=UTC))

    pages = setup.read("events", batch_size=3)

    assert len(made(pages)) == 10
    assert max(len(page.records) for page in pages) == 3
    assert setup.windows() == [
        ("2026-01-01", "2026-01-07"),
        ("2026-01-08", "2026-01-10"),
    ]
    assert pages[-1].cursor == {"done": "2026-01-10", "days": 28}


def test_late_events_are_found_by_reading_some_days_again(setup: Setup) -> None:
    setup.fake.track("Login", at("2026-01-09T10:00:00"))
    first = setup.read("events")
    setup.now += timedelta(days=1)
    setup.fake.track("Late", at("2026-01-07T10:00:00"))

    again = setup.read("events", "incremental", cursor=first[-1].cursor)

    assert setup.windows()[-1] == ("2026-01-07", "2026-01-11")
    assert [e.event for e in made(again)] == ["Login", "Late"]
    assert made(again)[0] == made(first)[0]


def test_an_interrupted_window_is_read_anew(setup: Setup) -> None:
    for hour in range(6):
        setup.fake.track("Login", datetime(2026, 1, 2, hour, tzinfo=UTC))
    first = setup.read("events", batch_size=2)

    again = setup.read("events", cursor=first[0].cursor)

    assert first[0].cursor == {"next": "2026-01-01", "days": 7}
    assert {e.event_id for e in made(again)} == {e.event_id for e in made(first)}


@pytest.mark.parametrize("tail", [b'{"event": "Login", "prop', b"terminated early\n"])
def test_a_broken_last_line_is_read_again_with_fewer_days(
    setup: Setup, tail: bytes
) -> None:
    setup.fake.track("Login", at("2026-01-02T10:00:00"))
    setup.fake.tail = tail
    pages: list[Page] = []
    request = ReadRequest(mode="full", batch_size=10)

    with pytest.raises(TransientError):
        pages.extend(setup.connector().read(STREAMS["events"], request))

    assert pages[-1].cursor == {"next": "2026-01-01", "days": 3}
    setup.fake.tail = b""
    later = setup.read("events", cursor=pages[-1].cursor)
    assert setup.windows()[1] == ("2026-01-01", "2026-01-03")
    assert len(made(later)) == 1


def test_a_quota_does_not_shrink_the_window(setup: Setup) -> None:
    setup.server.fail("reply", response=setup.fake.quota())
    pages = setup.connector().read(STREAMS["events"], ReadRequest(mode="full"))

    with pytest.raises(RateLimitedError) as caught:
        next(pages)

    assert caught.value.retry_after_s == 300


def test_a_broken_line_in_the_middle_is_a_reject(setup: Setup) -> None:
    setup.fake.track("Login", at("2026-01-02T10:00:00"))
    setup.fake.tail = b"oops\n" + json.dumps(payload("event")).encode() + b"\n"

    pages = setup.read("events")

    assert len(made(pages)) == 2
    assert [r.code for page in pages for r in page.rejects] == ["not_json"]


def test_of_two_copies_the_one_processed_last_counts(setup: Setup) -> None:
    same = {"$insert_id": "same"}
    moment = at("2026-01-02T10:00:00")
    setup.fake.track("Login", moment, **same, mp_processing_time_ms=2, plan="new")
    setup.fake.track("Login", moment, **same, mp_processing_time_ms=1, plan="old")

    pages = setup.read("events")

    assert [e.properties["plan"] for e in made(pages)] == ["new"]
    assert sum(page.filtered for page in pages) == 1


def test_large_windows_get_smaller(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MANY_LINES", 2)
    for hour in range(3):
        setup.fake.track("Login", datetime(2026, 1, 2, hour, tzinfo=UTC))

    setup.read("events")

    assert setup.windows()[:2] == [
        ("2026-01-01", "2026-01-07"),
        ("2026-01-08", "2026-01-10"),
    ]
    assert events._next_size(7, 3) == 3


def test_a_back_fill_keeps_to_its_range(setup: Setup) -> None:
    for hour in (9, 11, 13):
        setup.fake.track("Login", datetime(2026, 1, 2, hour, tzinfo=UTC))

    pages = setup.read(
        "events",
        "incremental",
        since=at("2026-01-02T10:00:00"),
        until=at("2026-01-02T13:00:00"),
    )

    assert [e.timestamp.hour for e in made(pages)] == [11]
    assert setup.windows() == [("2026-01-02", "2026-01-02")]


def test_only_the_chosen_events_are_asked_for(setup: Setup) -> None:
    setup.fake.track("Login", at("2026-01-02T10:00:00"))
    setup.fake.track("Noise", at("2026-01-02T10:00:00"))

    pages = setup.read("events", settings={"events": "Login, Sign up"})

    assert [e.event for e in made(pages)] == ["Login"]
    assert json.loads(setup.server.calls[0].query["event"]) == ["Login", "Sign up"]


def test_an_export_needs_memory_for_a_page_only(setup: Setup) -> None:
    for number in range(20_000):
        moment = at("2026-01-02T10:00:00") + timedelta(seconds=number)
        setup.fake.track("Login", moment, filler="x" * 200)
    request = ReadRequest(mode="full", batch_size=500)
    pages = setup.connector().read(STREAMS["events"], request)
    next(pages)
    tracemalloc.start()
    count = sum(len(page.records) for page in pages)
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert count == 19_500
    # The whole export has about 7 MB, several times that when decoded.
    assert peak < 6_000_000


# --- profiles and cohorts -------------------------------------------------------------


def test_profiles_are_read_in_one_session(setup: Setup) -> None:
    setup.fake.seed(25)

    pages = setup.read("profiles")

    assert len(ids(pages)) == 25
    forms = [call.form() for call in setup.server.calls]
    assert [f.get("page") for f in forms] == [None, "1", "2"]
    assert len({f.get("session_id") for f in forms[1:]}) == 1
    assert pages[0].total == 25


def test_a_large_answer_is_handed_on_in_batches(setup: Setup) -> None:
    setup.fake.seed(25)

    pages = setup.read("profiles", batch_size=4)

    assert max(len(page.records) for page in pages) == 4
    # The cursor moves on with the last batch of an answer.
    assert "page" not in pages[1].cursor
    assert pages[2].cursor["page"] == 1
    again = setup.read("profiles", cursor=pages[4].cursor)
    assert {*ids(pages[:5]), *ids(again)} == set(ids(pages))


def test_an_ended_session_begins_again(setup: Setup) -> None:
    setup.fake.seed(25)
    first = setup.read("profiles")
    setup.fake.sessions.clear()

    again = setup.read("profiles", cursor=first[0].cursor)

    assert set(ids(again)) == set(ids(first))


def test_changes_are_asked_for_by_last_seen(setup: Setup) -> None:
    setup.fake.seed(3)
    first = setup.read("profiles")
    setup.fake.clock += timedelta(hours=5)
    setup.fake.change("u991", "New Name")

    again = setup.read("profiles", "incremental", cursor=first[-1].cursor)

    assert first[-1].cursor == {"since": "2026-01-05T09:00:00"}
    assert "u991" in ids(again)
    assert setup.server.calls[-1].form()["where"] == (
        'properties["$last_seen"] >= "2026-01-05T08:00:00"'
    )


def test_discovery_shows_the_properties_profiles_have(setup: Setup) -> None:
    setup.fake.objects["user-77"] = payload("profile")

    found = {s.name: s for s in setup.connector().discover()}

    custom = {c.name: c.type for c in found["profiles"].columns if c.is_custom}
    assert custom["$properties.Total Spent"] == "number"
    setup.fake.refused["/api/query/engage"] = Response(402, {"error": "plan"})
    without = {s.name: s for s in setup.connector().discover()}
    chosen = {name for name, stream in without.items() if stream.selected_by_default}
    assert (chosen, len(without)) == ({"events"}, 3)


def test_events_do_not_wait_for_the_profiles_of_many_hours(setup: Setup) -> None:
    found = setup.connector(data_group_id="4851").discover()

    assert [stream.name for stream in found] == [
        "group_profiles",
        "cohorts",
        "events",
        "profiles",
    ]


def test_companies_need_the_group_id(setup: Setup) -> None:
    setup.fake.groups["globex"] = payload("group_profile")
    connector = setup.connector(data_group_id="4851")

    assert "group_profiles" not in {s.name for s in setup.connector().discover()}
    assert "group_profiles" in {s.name for s in connector.discover()}
    pages = setup.read("group_profiles", settings={"data_group_id": "4851"})
    assert ids(pages) == ["globex"]


def test_cohorts_are_read_as_a_whole(setup: Setup) -> None:
    setup.fake.cohorts = [payload("cohort"), {"name": "no id"}]

    (page,) = setup.read("cohorts")

    assert (ids([page]), len(page.rejects)) == (["1000"], 1)


# --- the connection -------------------------------------------------------------------


@pytest.mark.parametrize("region", ["us", "eu", "in"])
def test_regions_have_their_hosts(setup: Setup, region: str) -> None:
    project = setup.connector(region=region, base_url="").project

    assert (project.query.origin, project.export.origin) == HOSTS[region]


@pytest.mark.parametrize(
    "settings",
    [
        {"project_id": "acme"},
        {"region": "mars", "base_url": ""},
        {"project_timezone": "Mars/Base"},
        {"start_date": "last year"},
        {"username": ""},
    ],
)
def test_wrong_settings_are_named(setup: Setup, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        setup.read("events", settings=settings)

    assert set(caught.value.fields) & {*settings, "username"}


def test_without_the_query_api_the_events_are_enough(setup: Setup) -> None:
    setup.fake.refused["/api/query/cohorts/list"] = Response(402, {"error": "plan"})

    assert setup.connector().check() == (
        f"Connected to Mixpanel project {PROJECT} (US). Only events can be read: "
        "profiles and cohorts need a Growth or Enterprise plan."
    )
    asked = setup.server.calls[-1].query
    assert asked["from_date"] == asked["to_date"] == f"{NOW:%Y-%m-%d}"
    assert asked["limit"] == "1"

    setup.fake.refused["/api/2.0/export"] = Response(403, {"error": "no"})
    with pytest.raises(ConfigError, match="role"):
        setup.connector().check()


def test_a_stream_that_the_plan_lacks_says_so(setup: Setup) -> None:
    setup.fake.refused["/api/query/cohorts/list"] = Response(402, {"error": "plan"})

    with pytest.raises(ConfigError, match="Growth or Enterprise") as caught:
        setup.read("cohorts")

    assert caught.value.code == "plan_required"


@pytest.mark.parametrize(("status", "words"), [(403, "role"), (401, "credentials")])
def test_refusals_are_sentences_for_a_person(
    setup: Setup, status: int, words: str
) -> None:
    setup.fake.refused["/api/query/cohorts/list"] = Response(status, {"error": "no"})

    with pytest.raises(ConfigError, match=words):
        setup.connector().check()


def test_sixty_queries_an_hour_are_shared_by_the_project() -> None:
    asked: list[tuple[str, list[tuple[int, float]], int]] = []

    def make_budget(key: str, windows: Any, **options: Any) -> Any:
        limits = [(window.limit, window.seconds) for window in windows]
        asked.append((key, limits, options.get("max_concurrent", 0)))

    connector = MixpanelConnector(
        settings={"project_id": PROJECT, "username": "x"},
        secrets={"secret": "y"},
        client=Client(adapter="mixpanel", make_budget=make_budget),
        now=lambda: NOW,
    )
    assert connector.project.query

    assert (f"mixpanel:{PROJECT}:query", [(60, 3600)], 5) in asked
    assert (f"mixpanel:{PROJECT}:export", [(60, 3600)], 0) in asked


# --- the official description ---------------------------------------------------------


def test_requests_fit_the_official_description(setup: Setup) -> None:
    specs = {
        "/api/2.0": openapi.load("mixpanel/export.openapi.yaml"),
        "/api/query": openapi.load("mixpanel/query.openapi.yaml"),
    }
    setup.fake.seed(25)
    setup.fake.groups["globex"] = payload("group_profile")
    everything = {"data_group_id": "4851", "events": "Login", "workspace_id": "77"}
    for name in STREAMS:
        first = setup.read(name, settings=everything)
        setup.read(name, "incremental", cursor=first[-1].cursor)
        setup.read(name, "incremental", since=NOW - timedelta(days=5), until=NOW)
    setup.connector().check()

    problems = []
    for call in setup.server.calls:
        base = next(base for base in specs if call.path.startswith(base))
        path = call.path.removeprefix(base)
        problems += specs[base].request_problems(call.method, path, call.queries)
        if call.method == "POST":
            problems += specs[base].form_problems("POST", path, call.form())
    assert problems == []
    assert len(setup.server.calls) > 10
