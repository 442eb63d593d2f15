"""The Zendesk connector: four ways of paging, sign-in, surveys, limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    RateLimitedError,
    RecordError,
    TransientError,
)
from churnguard.records import ObjectRecord, SurveyResponseRecord, TicketRecord
from integrations import quality
from integrations.connectors.base import ReadRequest, Stream
from integrations.connectors.zendesk.account import base_url_of
from integrations.connectors.zendesk.connector import ZendeskConnector
from integrations.limits import Limiter, per_minute
from integrations.oauth import authorization_url, exchange_code, refresh_tokens
from tests.fakes.base import CANARY
from tests.fakes.server import Response
from tests.fakes.zendesk import ZendeskFake
from tests.integrations.connectors import served
from tests.integrations.connectors.served import NOW, Served, at, ids

payload = partial(served.payload, "zendesk")
STREAMS = {stream.name: stream for stream in ZendeskConnector.streams}


class Setup(Served[ZendeskFake]):
    def connector(self, **settings: Any) -> ZendeskConnector:
        secrets = {**self.fake.secrets(), "api_token": f"key-{CANARY}"}
        if settings.get("auth_flow") == "client_credentials":
            secrets = {"client_secret": secrets["client_secret"]}
        return super().connector(secrets=secrets, **settings)

    def queries(self, path: str) -> list[dict[str, str]]:
        return [c.query for c in self.server.calls if c.path == f"/api/v2{path}"]


@pytest.fixture
def setup() -> Iterator[Setup]:
    fake = ZendeskFake()
    with fake.serve() as server:
        yield Setup(fake, server)


# --- exports --------------------------------------------------------------------


def test_tickets_come_with_metrics_and_names(setup: Setup) -> None:
    fake = setup.fake
    fake.groups = [{"id": 7, "name": "Second line"}]
    fake.ticket_fields = [
        {"id": 1, "title": "Subject", "removable": False},
        {"id": 27642, "title": "Build", "raw_title": "Build", "removable": True},
    ]
    fake.put(
        fake.tickets,
        1,
        status="solved",
        assignee_id=900,
        group_id=7,
        custom_fields=[{"id": 27642, "value": "745"}],
        tags=[],
    )
    fake.metric_sets["1"] = payload("ticket")["metric_set"]

    ((made,),) = [page.records for page in setup.read("tickets")]

    assert isinstance(made, TicketRecord)
    assert (made.assignee, made.team) == ("ada@acme.example", "Second line")
    assert made.custom == {"Build": "745"}
    assert made.is_first_contact_resolved
    (query,) = setup.queries("/incremental/tickets/cursor.json")
    assert query["include"] == "metric_sets,users,groups"
    # What was quarantined can be read again from the raw object alone.
    assert setup.connector().parse(STREAMS["tickets"], made.raw) == made


def test_a_cursor_export_goes_on_from_its_cursor_and_not_from_updated_at(
    setup: Setup,
) -> None:
    fake = setup.fake
    for number in range(3):
        fake.put(fake.tickets, number + 1, status="open")
    first = setup.read("tickets", batch_size=2)
    fake.tick()
    fake.put(fake.tickets, 9, status="open")
    # Generated now, though it was changed before everything else.
    fake.tickets["9"]["updated_at"] = "2020-01-01T00:00:00Z"

    later = setup.read("tickets", "incremental", cursor=first[-1].cursor)

    assert len(first) == 2
    assert ids(later) == ["9"]
    assert "start_time" not in setup.queries("/incremental/tickets/cursor.json")[-1]
    again = setup.read("tickets", "incremental", cursor=later[-1].cursor)
    assert (ids(again), again[-1].cursor) == ([], later[-1].cursor)


def test_an_export_that_ends_without_a_cursor_goes_on_from_its_time(
    setup: Setup,
) -> None:
    fake = setup.fake
    fake.put(fake.objects, 1, name="A", role="end-user", active=True)
    last = {
        "users": list(fake.objects.values()),
        "after_cursor": None,
        "after_url": None,
        "end_of_stream": True,
    }
    fake.refused["/incremental/users/cursor.json"] = Response(200, last)

    (page,) = setup.read("users")
    setup.read("users", "incremental", cursor=page.cursor)

    asked_at = int(NOW.timestamp()) - 61
    assert page.cursor == {"start": asked_at}
    query = setup.queries("/incremental/users/cursor.json")[-1]
    assert query["start_time"] == str(asked_at)


def test_staff_is_no_contact(setup: Setup) -> None:
    setup.fake.put(setup.fake.objects, 1, name="A", role="agent", active=True)
    setup.fake.put(setup.fake.objects, 2, name="B", role="end-user", active=True)

    (page,) = setup.read("users")

    assert (ids([page]), page.filtered) == (["2"], 1)
    # It may have been stored while it was an end user.
    assert page.deleted_ids == ["1"]


def test_the_time_export_ends_though_it_always_names_a_next_page(
    setup: Setup,
) -> None:
    fake = setup.fake
    fake.export_page = 2
    for number in range(5):
        fake.put(fake.organizations, number + 1, name=f"O{number}")
        fake.tick()

    pages = setup.read("organizations")

    assert set(ids(pages)) == {"1", "2", "3", "4", "5"}
    last = fake.organizations["5"]["generated_timestamp"]
    assert pages[-1].cursor == {"start": last}
    # The edge is read again.
    assert ids(setup.read("organizations", cursor=pages[-1].cursor)) == ["5"]


def test_a_second_with_more_organizations_than_a_page_is_listed_instead(
    setup: Setup,
) -> None:
    fake = setup.fake
    fake.export_page = 3
    for number in range(7):
        fake.put(fake.organizations, number + 1, name=f"O{number}")
    fake.tick()
    fake.put(fake.organizations, 8, name="later")

    pages = setup.read("organizations", batch_size=4)

    assert set(ids(pages)) == {str(n) for n in range(1, 9)}
    (middle,) = [p.cursor for p in pages if p.cursor.get("list") == "4"]
    assert set(ids(setup.read("organizations", batch_size=4, cursor=middle))) == {
        *"5678"
    }


def test_organizations_that_are_gone_are_found_by_their_list(setup: Setup) -> None:
    for number in range(3):
        setup.fake.put(setup.fake.organizations, number + 1, name="O")

    listed = setup.connector().list_ids(STREAMS["organizations"])

    assert list(listed) == [["1", "2", "3"]]


def test_no_export_starts_within_the_last_minute(setup: Setup) -> None:
    setup.read("users", since=NOW + timedelta(days=1))
    setup.read("organizations", since=NOW + timedelta(days=1))

    for path in ("/incremental/users/cursor.json", "/incremental/organizations.json"):
        (query,) = setup.queries(path)
        assert int(query["start_time"]) <= NOW.timestamp() - 60


def test_a_back_fill_reads_its_range_only(setup: Setup) -> None:
    fake = setup.fake
    setup.now = datetime(2026, 2, 1, tzinfo=UTC)
    for number in range(6):
        fake.put(fake.tickets, number + 1, status="open")
        fake.clock += timedelta(days=1)

    since, until = at("2026-01-06T00:00:00"), at("2026-01-08T00:00:00")
    pages = setup.read("tickets", "incremental", batch_size=1, since=since, until=until)

    assert ids(pages) == ["2", "3"]
    assert len(pages) == 3


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("tickets", {"via": "email"}),
        ("tickets", {"metric_set": [1]}),
        ("tickets", {"satisfaction_rating": "good"}),
        ("tickets", {"custom_fields": [{"id": [1], "value": 1}, 7], "via": [1]}),
        ("sla_events", {"sla": "Gold"}),
        ("survey_responses", {"sideloaded": 5}),
    ],
)
def test_a_shape_nobody_expected_is_refused(
    setup: Setup, name: str, changes: dict[str, Any]
) -> None:
    kinds = {"tickets": "ticket", "sla_events": "metric_event"}
    raw = payload(kinds.get(name, "survey_response")) | changes

    with pytest.raises(RecordError) as caught:
        setup.connector().parse(STREAMS[name], raw)

    assert caught.value.code == "wrong_type"


# --- lists ----------------------------------------------------------------------


def test_sla_events_are_read_from_the_last_one_on(setup: Setup) -> None:
    raw = payload("metric_event")
    setup.fake.metric_events = [
        {**raw, "id": n, "type": kind}
        for n, kind in enumerate(("activate", "apply_sla", "breach", "measure"))
    ]

    pages = setup.read("sla_events", batch_size=3)

    assert ids(pages) == ["1", "2"]
    assert sum(page.filtered for page in pages) == 2
    start = int(at("2026-01-02T10:03:00").timestamp())
    assert pages[-1].cursor == {"since": start}
    setup.read("sla_events", "incremental", cursor=pages[-1].cursor)
    query = setup.queries("/incremental/ticket_metric_events")[-1]
    assert query["start_time"] == str(start)


def test_a_breach_that_is_taken_back_is_deleted(setup: Setup) -> None:
    breach = payload("metric_event")
    later = {**breach, "id": 2, "type": "fulfill", "time": "2026-01-05T00:00:00Z"}
    setup.fake.metric_events = [breach, later]
    (page,) = setup.read("sla_events")
    setup.fake.metric_events[0] = {
        **breach,
        "deleted": True,
        "_changed_at": "2026-01-06T00:00:00Z",
    }

    (again,) = setup.read("sla_events", "incremental", cursor=page.cursor)

    assert {(r.external_id, r.deleted) for r in again.records} == {
        (str(breach["id"]), True),
        ("2", False),
    }


def test_an_event_foreseen_for_later_hides_nothing(setup: Setup) -> None:
    breach = payload("metric_event")
    setup.fake.metric_events = [
        {**breach, "id": n, "time": f"2026-01-{day:02}T00:00:00Z"}
        for n, day in enumerate((9, 20, 21))
    ]

    first = setup.read("sla_events", batch_size=1)

    assert ids(first) == ["0", "1", "2"]
    for page in first:
        assert not isinstance(
            quality.validate(page.records[0], now=NOW), quality.Reject
        )
    begun = int(NOW.timestamp()) - 61
    assert first[-1].cursor == {"since": begun}
    resumed = setup.read("sla_events", batch_size=1, cursor=first[1].cursor)
    assert resumed[-1].cursor == {"since": begun}


def test_ratings_are_read_again_for_thirty_days_because_they_change(
    setup: Setup,
) -> None:
    raw = payload("satisfaction_rating")
    setup.fake.ratings = [raw, {**raw, "id": 63, "score": "offered"}]

    (page,) = setup.read("satisfaction_ratings")

    assert (ids([page]), page.filtered) == (["rating:62"], 0)
    setup.read("satisfaction_ratings", "incremental", cursor=page.cursor)
    since = int(setup.queries("/satisfaction_ratings")[-1]["start_time"])
    behind = NOW - datetime.fromtimestamp(since, UTC)
    assert timedelta(days=30) <= behind < timedelta(days=30, minutes=2)


def test_survey_responses_are_asked_for_in_milliseconds(setup: Setup) -> None:
    setup.fake.surveys = [payload("survey_response"), {"id": "x", "answers": []}]

    (page,) = setup.read("survey_responses")
    again = setup.read("survey_responses", "incremental", cursor=page.cursor)

    assert (ids([page]), page.filtered) == (["survey:01HZY3M6Q0S8"], 1)
    query = setup.queries("/guide/survey_responses")[-1]
    assert int(query["filter[created_at_start]"]) == page.cursor["since"] * 1000
    assert ids(again) == ["survey:01HZY3M6Q0S8"]


def test_a_rating_is_measured_on_the_scale_of_its_survey(setup: Setup) -> None:
    form, response = payload("survey"), payload("survey_response")
    thumbs = {**form, "questions": [{**form["questions"][1]}]}
    thumbs["questions"][0]["options"] = form["questions"][1]["options"][:2]
    setup.fake.survey_forms = {"01HSURVEY/3": form, "01HSURVEY/4": thumbs}
    up = {**response["answers"][1], "rating": 2}
    setup.fake.surveys = [
        response,
        {**response, "id": "same"},
        # As older answers name their survey.
        {
            **response,
            "id": "up",
            "survey": None,
            "survey_id": "01HSURVEY",
            "survey_version": 4,
            "answers": [up],
        },
        {**response, "id": "gone", "survey": {"id": "01HGONE", "version": 1}},
    ]

    (page,) = setup.read("survey_responses")

    made = [r for r in page.records if isinstance(r, SurveyResponseRecord)]
    assert [(r.score, r.scale_min, r.scale_max) for r in made] == [
        (4.0, 1.0, 5.0),
        (4.0, 1.0, 5.0),
        (2.0, 1.0, 2.0),
        (100.0, 0.0, 100.0),
    ]
    asked = [c.path for c in setup.server.calls if "/surveys/" in c.path]
    assert len(asked) == 3
    parsed = [setup.connector().parse(STREAMS["survey_responses"], r.raw) for r in made]
    assert parsed == made


def test_a_list_without_cursors_is_no_end(setup: Setup) -> None:
    """What an account answers where it pages by time or by number."""
    by_time = {
        "ticket_metric_events": [payload("metric_event")],
        "count": 1000,
        "end_time": 1767348180,
        "next_page": "https://acme.zendesk.example/?start_time=1767348180",
    }
    setup.fake.refused["/incremental/ticket_metric_events"] = Response(200, by_time)

    with pytest.raises(TransientError) as caught:
        setup.read("sla_events")

    assert caught.value.code == "bad_shape"


def test_only_the_surveys_an_account_has_are_chosen_at_first(setup: Setup) -> None:
    setup.fake.user_fields = [{"id": 1, "key": "seat", "type": "text", "title": "Seat"}]

    found = {stream.name: stream for stream in setup.connector().discover()}

    assert found["satisfaction_ratings"].selected_by_default
    assert not found["survey_responses"].selected_by_default
    assert [c.name for c in found["users"].columns if c.is_custom] == [
        "user_fields.seat"
    ]
    with pytest.raises(ConfigError, match="either"):
        setup.read("survey_responses")


@pytest.mark.parametrize(
    ("name", "sent"),
    [
        ("organizations", payload("organization")),
        ("users", payload("user")),
        ("tickets", payload("ticket")),
        ("ticket_metrics", payload("ticket")["metric_set"]),
        ("satisfaction_ratings", payload("satisfaction_rating")),
        ("survey_responses", payload("survey_response")),
        ("sla_events", payload("metric_event")),
    ],
)
def test_discovery_knows_what_is_sent(
    setup: Setup, name: str, sent: dict[str, Any]
) -> None:
    found = {stream.name: stream.columns for stream in setup.connector().discover()}

    assert set(sent) <= {column.name for column in found[name]}


def test_ticket_metrics_are_objects(setup: Setup) -> None:
    setup.fake.metric_sets["1"] = payload("ticket")["metric_set"]

    (page,) = setup.read("ticket_metrics")

    (made,) = page.records
    assert isinstance(made, ObjectRecord)
    assert (made.external_id, made.custom["ticket_id"]) == ("33", 35436)


def test_exports_have_a_budget_of_their_own(setup: Setup) -> None:
    made: dict[str, Limiter] = {}

    def make_budget(key: str, windows: Any, **options: Any) -> Limiter:
        made[key] = Limiter(key, windows, **options)
        return made[key]

    account = Served.connector(
        setup, client={"make_budget": make_budget}, exports_per_minute="2"
    ).account
    for _ in range(2):
        account.http.get_json(
            "/incremental/organizations.json", params={"start_time": 0}, budget="export"
        )
    with pytest.raises(RateLimitedError, match="2 calls in 60 s"):
        next(
            account.pages("/incremental/ticket_metric_events", "x", {}, budget="export")
        )
    assert account.own_fields("user_fields") == []

    host = setup.server.url.removeprefix("http://")
    limits = {key: [w.limit for w in found.windows] for key, found in made.items()}
    assert limits == {f"zendesk:{host}": [200], f"zendesk:{host}:export": [2]}


@pytest.mark.parametrize("name", ["users", "tickets", "organizations", "sla_events"])
def test_each_export_takes_from_that_budget(setup: Setup, name: str) -> None:
    connector = setup.connector(exports_per_minute="1")
    spent = Limiter("spent", [per_minute(1)])
    spent.acquire()
    connector.account.http = connector.account.http.using(extra={"export": spent})

    with pytest.raises(RateLimitedError):
        list(connector.read(STREAMS[name], ReadRequest(mode="full")))
    assert setup.server.calls == []


# --- signing in -----------------------------------------------------------------


@pytest.mark.parametrize("flow", ["client_credentials", "oauth", "api_token"])
def test_every_way_to_sign_in_works(setup: Setup, flow: str) -> None:
    connector = setup.connector(auth_flow=flow, email="ada@acme.example")

    assert connector.check().endswith("as Ada Admin (admin).")


def test_a_refresh_gives_a_new_pair_and_the_old_one_is_dead(setup: Setup) -> None:
    setup.fake.expire_token()
    connector = setup.connector()

    assert connector.check()
    setup.fake.expire_token()
    assert connector.check()
    spent = [c.json()["refresh_token"] for c in setup.server.calls if "oauth" in c.path]
    assert spent == [f"rt-{CANARY}-1", f"rt-{CANARY}-2"]


def test_a_persons_consent_gives_tokens_that_can_be_renewed(setup: Setup) -> None:
    setup.fake.code = f"code-{CANARY}"
    connector = setup.connector()
    app = ZendeskConnector.oauth_app(connector.settings, connector.secrets)
    assert app is not None

    tokens = exchange_code(
        connector.client,
        app,
        code=f"code-{CANARY}",
        redirect_uri="https://churnguard.example/back",
        verifier="v",
        now=NOW,
    )

    # Without a scope and a life of its own there would be no refresh token.
    assert tokens.refresh_token == setup.fake.refresh
    assert tokens.expires_at == NOW + timedelta(days=1)
    renewed = refresh_tokens(connector.client, app, tokens, now=NOW)
    assert renewed.refresh_token == setup.fake.refresh != tokens.refresh_token
    for call in setup.server.calls:
        assert call.json()["refresh_token_expires_in"] == 89 * 86_400


def test_a_token_of_the_client_itself_ends_after_a_day(setup: Setup) -> None:
    setup.connector(auth_flow="client_credentials").check()

    (asked,) = [c.json() for c in setup.server.calls if c.path == "/oauth/tokens"]
    assert asked == {
        "grant_type": "client_credentials",
        "client_id": "churnguard",
        "client_secret": f"cs-{CANARY}",
        "scope": "read",
        "expires_in": 86_400,
    }


def test_a_visitor_is_not_a_connection(setup: Setup) -> None:
    setup.fake.me = {"id": None, "name": "Anonymous user", "role": "end-user"}

    with pytest.raises(AuthenticationError):
        setup.connector().check()


def test_an_agent_is_told_that_exports_need_an_admin(setup: Setup) -> None:
    setup.fake.me["role"] = "agent"

    with pytest.raises(ConfigError, match="administrator"):
        setup.connector().check()


def test_api_tokens_end_in_april_2027(setup: Setup) -> None:
    setup.now = datetime(2027, 5, 1, tzinfo=UTC)

    with pytest.raises(ConfigError, match="client credentials"):
        setup.connector(auth_flow="api_token", email="ada@acme.example").check()


def test_a_token_with_a_wrong_scope_names_the_scope(setup: Setup) -> None:
    setup.fake.refused["/incremental/tickets/cursor.json"] = Response(
        403, {"error": {"title": "Forbidden", "message": "You do not have access"}}
    )

    with pytest.raises(ConfigError, match="scope “read”"):
        setup.read("tickets")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            Response(403, {"error": {"title": "Forbidden", "message": "No access"}}),
            "scope “read”",
        ),
        (
            Response(404, {"error": "InvalidEndpoint", "description": "Not found"}),
            "does not know this address",
        ),
        (
            Response(401, {"error": "Couldn't authenticate you"}),
            "did not accept the credentials",
        ),
    ],
)
def test_the_connection_test_says_what_to_do(
    setup: Setup, answer: Response, words: str
) -> None:
    setup.fake.refused["/users/me"] = answer

    with pytest.raises(ConfigError, match=words):
        setup.connector(auth_flow="client_credentials").check()


def test_connect_is_offered_for_people_only() -> None:
    settings = {"subdomain": "acme1700000000", "client_id": "cg", "auth_flow": "oauth"}

    app = ZendeskConnector.oauth_app(settings, {})

    assert app is not None
    url = authorization_url(app, redirect_uri="https://x.example/cb", state="s")
    assert url.startswith("https://acme1700000000.zendesk.com/oauth/authorizations/new")
    assert ZendeskConnector.oauth_app({"subdomain": "acme"}, {}) is None


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({"subdomain": "acme"}, "https://acme.zendesk.com"),
        ({"subdomain": "https://Acme.zendesk.com/agent"}, "https://acme.zendesk.com"),
        ({"base_url": "https://help.acme.example/"}, "https://help.acme.example"),
    ],
)
def test_addresses(given: dict[str, str], base: str) -> None:
    assert base_url_of(given) == base


@pytest.mark.parametrize("name", ["", "acme.evil.example", "a/b@c", "-x"])
def test_a_subdomain_cannot_lead_elsewhere(name: str) -> None:
    if name == "a/b@c":
        assert base_url_of({"subdomain": name}) == "https://a.zendesk.com"
        return
    with pytest.raises(ConfigError):
        base_url_of({"subdomain": name})


def test_the_page_size_stays_within_zendesks_limits(setup: Setup) -> None:
    setup.fake.ratings = [payload("satisfaction_rating")]

    setup.read("users", batch_size=5000)
    setup.read("satisfaction_ratings", batch_size=5000)

    assert setup.queries("/incremental/users/cursor.json")[0]["per_page"] == "1000"
    assert setup.queries("/satisfaction_ratings")[0]["page[size]"] == "100"


def test_the_streams_name_what_they_stand_on() -> None:
    def known(stream: Stream) -> bool:
        return set(stream.depends_on) <= set(STREAMS)

    assert all(map(known, STREAMS.values()))
