"""The HubSpot connector: records, search windows, associations, versions, scopes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from churnguard.errors import ConfigError, RecordError, TransientError
from churnguard.records import (
    CampaignEngagementRecord,
    ContactRecord,
    ConversationRecord,
    CustomerRecord,
    DealRecord,
    ObjectRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from integrations.connectors.base import ReadRequest, Stream
from integrations.connectors.hubspot.connector import HubspotConnector
from integrations.connectors.hubspot.objects import KINDS
from integrations.connectors.hubspot.records import (
    Account,
    merged_ids,
    record_of,
    stages_of,
)
from integrations.http import RefusedError
from integrations.oauth import authorization_url, new_pkce
from tests.fakes.hubspot import HubspotFake
from tests.fakes.server import Response
from tests.integrations.connectors import served
from tests.integrations.connectors.served import NOW, Served, at, ids

payload = partial(served.payload, "hubspot")
OWNERS = {"71540221": "mia@northwind.example"}


class Setup(Served[HubspotFake]):
    def stream(self, name: str) -> Stream:
        return stream_of(name)

    def bodies(self, path: str) -> list[Any]:
        return [c.json() for c in self.server.calls if c.path.endswith(path)]


@pytest.fixture
def setup() -> Iterator[Setup]:
    fake = HubspotFake()
    with fake.serve() as server:
        yield Setup(fake, server)


def stream_of(name: str) -> Stream:
    known = {stream.name: stream for stream in HubspotConnector.streams}
    return known.get(name) or Stream(name, "object", "hs_lastmodifieddate")


# --- records --------------------------------------------------------------------------


def test_a_company_becomes_a_customer() -> None:
    raw = payload("company")
    account = Account(
        owners=OWNERS, custom={"seat_count": "number", "is_reference": "bool"}
    )

    assert record_of(KINDS["companies"], raw, account) == CustomerRecord(
        external_id="18210443901",
        updated_at=at("2026-01-04T08:30:00.120"),
        name="Northwind GmbH",
        domain="www.northwind.example",
        phone="+49 30 1234567",
        country="Germany",
        industry="COMPUTER_SOFTWARE",
        segment="PARTNER",
        employees=240,
        owner="mia@northwind.example",
        lifecycle_stage="customer",
        status="CONNECTED",
        signup_at=at("2025-04-01T00:00:00"),
        parent_external_id="18210440000",
        custom={"seat_count": 55.0, "is_reference": True},
        raw=raw,
    )
    assert merged_ids(raw) == ["18210440001", "18210440002"]


def test_a_contact_belongs_to_its_primary_company_not_to_a_label_of_the_same_id() -> (
    None
):
    raw = payload("contact")

    assert record_of(KINDS["contacts"], raw, Account()) == ContactRecord(
        external_id="90210",
        updated_at=at("2026-01-04T10:11:12.345"),
        customer_id="18210443901",
        email="Ada.Lind@northwind.example",
        name="Ada Lind",
        title="Head of Operations",
        role="CHAMPION;DECISION_MAKER",
        lifecycle_stage="customer",
        is_champion=True,
        opted_out=True,
        last_contacted_at=at("2026-01-03T16:00:00"),
        joined_at=at("2025-05-02T09:00:00"),
        raw=raw,
    )


def test_a_contact_without_associations_has_its_company_from_the_property() -> None:
    raw = payload("contact") | {"associations": {"companies": {"results": []}}}

    assert record_of(KINDS["contacts"], raw, Account()).customer_id == "77"


def test_a_deal_has_its_stage_by_label_and_the_account_s_currency() -> None:
    raw = payload("deal")
    stages = stages_of("deals", payload("pipelines")["deals"])
    account = Account(currency="EUR", owners=OWNERS, stages=stages)

    assert record_of(KINDS["deals"], raw, account) == DealRecord(
        external_id="5512",
        updated_at=at("2026-01-02T08:00:00"),
        customer_id="18210443901",
        name="Northwind renewal",
        stage="Contract sent",
        status="open",
        amount_minor=1250000,
        currency="EUR",
        opened_at=at("2025-12-01T08:00:00"),
        close_at=at("2026-03-31T00:00:00"),
        owner="999",
        raw=raw,
    )


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"dealstage": "closedwon"}, "won"),
        ({"dealstage": "closedlost"}, "lost"),
        ({"hs_is_closed": "true", "hs_is_closed_won": "false"}, "lost"),
        ({"hs_is_closed_won": "true"}, "won"),
        ({"dealstage": "gone"}, "open"),
    ],
)
def test_a_deal_is_won_or_lost_by_flag_or_stage(
    changes: dict[str, str], status: str
) -> None:
    raw = payload("deal")
    raw["properties"].update(changes)
    account = Account(stages=stages_of("deals", payload("pipelines")["deals"]))

    assert record_of(KINDS["deals"], raw, account).status == status


def test_yen_have_no_minor_unit() -> None:
    raw = payload("deal")
    raw["properties"].update(amount="12500", deal_currency_code="JPY")

    assert record_of(KINDS["deals"], raw, Account()).amount_minor == 12500


def test_a_closed_ticket() -> None:
    raw = payload("ticket")
    stages = stages_of("tickets", payload("pipelines")["tickets"])

    made = record_of(KINDS["tickets"], raw, Account(owners=OWNERS, stages=stages))

    assert made == TicketRecord(
        external_id="3301",
        updated_at=at("2026-01-03T12:00:00"),
        customer_id="18210443901",
        contact_id="90210",
        subject="Export is empty",
        status="closed",
        priority="normal",
        channel="email",
        assignee="mia@northwind.example",
        opened_at=at("2026-01-02T08:00:00"),
        first_replied_at=at("2026-01-02T08:20:00"),
        solved_at=at("2026-01-03T12:00:00"),
        closed_at=at("2026-01-03T12:00:00"),
        raw=raw,
    )


@pytest.mark.parametrize(("stage", "status"), [("1", "open"), ("2", "pending")])
def test_an_open_ticket_has_no_end(stage: str, status: str) -> None:
    raw = payload("ticket")
    raw["properties"]["hs_pipeline_stage"] = stage
    stages = stages_of("tickets", payload("pipelines")["tickets"])

    made = record_of(KINDS["tickets"], raw, Account(stages=stages))

    assert (made.status, made.closed_at, made.solved_at) == (status, None, None)


def test_survey_scores_keep_their_scale() -> None:
    raw = payload("feedback_submission")

    made = record_of(KINDS["feedback_submissions"], raw, Account())

    assert made == SurveyResponseRecord(
        external_id="7001",
        updated_at=at("2026-01-03T13:00:00"),
        contact_id="90210",
        kind="csat",
        score=2.0,
        scale_min=0.0,
        scale_max=2.0,
        comment="Support was quick.",
        answered_at=at("2026-01-03T12:59:58"),
        raw=raw,
    )


@pytest.mark.parametrize(("kind", "score"), [("CSAT", "5"), ("CES", "0")])
def test_a_score_of_another_scale_is_kept_without_one(kind: str, score: str) -> None:
    raw = payload("feedback_submission")
    raw["properties"].update(hs_survey_type=kind, hs_value=score)

    made = record_of(KINDS["feedback_submissions"], raw, Account())

    assert (made.score, made.scale_min, made.scale_max) == (float(score), None, None)


def test_a_meeting_is_a_conversation() -> None:
    raw = payload("meeting")

    made = record_of(KINDS["meetings"], raw, Account(owners=OWNERS))

    assert made == ConversationRecord(
        external_id="8123",
        updated_at=at("2026-01-03T13:00:00"),
        kind="meeting",
        subject="Quarterly review",
        status="COMPLETED",
        direction="both",
        owner="mia@northwind.example",
        started_at=at("2026-01-03T12:00:00"),
        closed_at=at("2026-01-03T12:30:00"),
        raw=raw,
    )


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("deal", "amount", "a lot"),
        ("deal", "closedate", "soon"),
        ("contact", "jobtitle", {"a": 1}),
        ("company", "numberofemployees", "many"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_field(
    name: str, field: str, value: Any
) -> None:
    kinds = {"deal": "deals", "contact": "contacts", "company": "companies"}
    raw = payload(name)
    raw["properties"][field] = value

    with pytest.raises(RecordError) as caught:
        record_of(KINDS[kinds[name]], raw, Account(currency="EUR"))

    assert caught.value.field == field


# --- reading --------------------------------------------------------------------------


def test_more_changes_of_one_moment_than_a_search_can_list_are_all_read(
    setup: Setup,
) -> None:
    # 10,450 contacts imported in one go: all share one millisecond.
    for number in range(10_450):
        setup.fake.put("contacts", str(100 + number), email=f"p{number}@example.com")
    setup.fake.tick()
    setup.fake.put("contacts", "99", email="later@example.com")

    pages = setup.read(
        "contacts",
        "incremental",
        cursor={"since": 0, "archived_at": NOW.isoformat()},
        batch_size=1000,
    )

    found = ids(pages)
    assert len(set(found)) == 10_451
    # The page that showed that they are too many was read again by id.
    assert len(found) == 10_451 + 200
    assert all("after" not in body for body in setup.bodies("/contacts/search"))
    assert pages[-1].cursor == {
        "since": round(setup.fake.clock.timestamp() * 1000),
        "archived_at": NOW.isoformat(),
    }


def test_a_read_by_id_goes_on_where_it_stopped(setup: Setup) -> None:
    for number in range(25):
        setup.fake.put("contacts", str(100 + number))
    first = setup.connector().read(
        stream_of("contacts"),
        ReadRequest("incremental", cursor={"since": 0}, batch_size=10),
    )
    pages = [next(first), next(first), next(first)]
    cursor = json.loads(json.dumps(pages[-1].cursor))

    rest = setup.read("contacts", "incremental", cursor=cursor, batch_size=10)

    assert ids(pages)[10:] == [str(100 + n) for n in range(20)]
    assert ids(rest) == [str(120 + n) for n in range(5)]


def test_a_range_is_read_by_its_edges(setup: Setup) -> None:
    moments = [setup.fake.clock + timedelta(minutes=n) for n in range(6)]
    for number, moment in enumerate(moments):
        setup.fake.clock = moment
        setup.fake.put("deals", str(number + 1), dealname=f"Deal {number}")

    pages = setup.read(
        "deals", "incremental", since=moments[1], until=moments[4], batch_size=2
    )

    assert ids(pages) == ["2", "3", "4"]


def test_a_changed_incremental_field_orders_the_search(setup: Setup) -> None:
    setup.fake.put("tickets", "1", createdate="2026-01-01T00:00:00.000Z")

    setup.read(
        "tickets", "incremental", cursor={"since": 0}, incremental_field="createdate"
    )

    (body,) = setup.bodies("/tickets/search")
    assert body["sorts"][0]["propertyName"] == "createdate"


def test_an_order_by_another_property_goes_by_that_property(setup: Setup) -> None:
    setup.fake.define("deals", "next_step_at", "datetime")
    for number, day in (("1", "07"), ("2", None), ("3", "05"), ("4", "06")):
        at_day = f"2026-01-{day}T00:00:00.000Z" if day else None
        setup.fake.put("deals", number, next_step_at=at_day)

    full = setup.read("deals", incremental_field="next_step_at")
    pages = setup.read(
        "deals",
        "incremental",
        cursor={"since": 0},
        incremental_field="next_step_at",
        batch_size=2,
    )

    newest_ms = round(at("2026-01-07T00:00:00").timestamp() * 1000)
    assert ids(full) == ["1", "2", "3", "4"]
    assert full[-1].cursor["since"] == newest_ms
    assert ids(pages) == ["3", "4", "1"]
    assert pages[-1].cursor["since"] == newest_ms


@pytest.mark.parametrize("name", ["dealname", "gone"])
def test_only_a_date_can_order_changes(setup: Setup, name: str) -> None:
    with pytest.raises(ConfigError, match=f"no date property “{name}”"):
        setup.read("deals", "incremental", incremental_field=name)


def test_what_the_search_learns_late_is_not_lost(setup: Setup) -> None:
    setup.fake.put("deals", "1")
    setup.fake.unindexed = {"1"}
    setup.fake.tick()
    setup.fake.put("deals", "2")
    first = setup.read("deals", "incremental", cursor={"since": 0})
    setup.fake.unindexed.clear()

    later = setup.read("deals", "incremental", cursor=first[-1].cursor)

    assert ids(first) == ["2"]
    assert ids(later) == ["1", "2"]


def test_further_properties_are_kept_and_a_wrong_name_is_told(setup: Setup) -> None:
    setup.fake.define("deals", "hs_forecast_amount", "number")
    setup.fake.define("deals", "hs_next_step")
    setup.fake.put("deals", "1", hs_forecast_amount="7.5", hs_next_step="Call")
    settings = {"extra_properties": "hs_forecast_amount, hs_next_step"}

    (page, *_rest) = setup.read("deals", settings=settings)

    assert page.records[0].custom == {"hs_forecast_amount": 7.5, "hs_next_step": "Call"}
    assert setup.connector(**settings).check().startswith("Connected")
    with pytest.raises(ConfigError, match="No object has the property hs_nxt_step"):
        setup.connector(extra_properties="hs_forecast_amount, hs_nxt_step").check()


def test_long_property_lists_go_by_post(setup: Setup) -> None:
    for number in range(300):
        setup.fake.define("contacts", f"a_rather_long_name_{number:04d}", custom=True)
    setup.fake.put("contacts", "1", a_rather_long_name_0299="kept", email="a@b.example")

    (page, *_rest) = setup.read("contacts")

    (record,) = page.records
    assert record.custom == {"a_rather_long_name_0299": "kept"}
    assert record.email == "a@b.example"
    assert len(setup.bodies("/contacts/batch/read")) == 1


def test_the_first_read_knows_how_many_there_are(setup: Setup) -> None:
    for number in range(25):
        setup.fake.add(number)

    pages = setup.read("contacts", batch_size=10)

    assert [page.total for page in pages] == [25, 25, 25, None]


def test_associations_are_read_for_each_page_and_missing_ones_are_no_error(
    setup: Setup,
) -> None:
    for number in ("1", "2"):
        setup.fake.put("tickets", number, subject="Help")
    setup.fake.link("tickets", "1", "companies", "500", 339)
    setup.fake.link("tickets", "1", "companies", "501", 26)
    setup.fake.link("tickets", "1", "contacts", "900", 16)

    (page, *_rest) = setup.read("tickets")

    assert [(r.customer_id, r.contact_id) for r in page.records] == [
        ("501", "900"),
        (None, None),
    ]


def test_many_associations_of_one_object_come_in_pages(setup: Setup) -> None:
    setup.fake.most_linked = 2
    setup.fake.put("tickets", "1")
    for number in range(4):
        setup.fake.link("tickets", "1", "companies", str(500 + number), 339)
    setup.fake.link("tickets", "1", "companies", "504", 26)

    (page, *_rest) = setup.read("tickets")

    assert page.records[0].customer_id == "504"


def test_associations_that_could_not_be_looked_up_unlink_nothing(setup: Setup) -> None:
    setup.fake.put("tickets", "1")
    setup.fake.link("tickets", "1", "companies", "501", 26)
    setup.fake.lost_links = {"1"}

    with pytest.raises(TransientError, match="INTERNAL_ERROR") as caught:
        setup.read("tickets")

    assert caught.value.code == "partial_answer"


def test_an_object_may_have_no_kind_of_association_with_another(setup: Setup) -> None:
    setup.fake.strangers = {
        ("feedback_submissions", "companies"),
        ("tickets", "companies"),
    }
    setup.fake.put("feedback_submissions", "1", hs_value="2", hs_survey_type="CSAT")
    setup.fake.put("tickets", "1")

    assert ids(setup.read("feedback_submissions")) == ["1"]
    # Tickets always have one: then something else is wrong.
    with pytest.raises(RefusedError, match="No association types exist"):
        setup.read("tickets")


def test_archived_and_merged_objects_are_deleted(setup: Setup) -> None:
    for number in ("1", "2", "3"):
        setup.fake.put("companies", number, name=f"Company {number}")
    setup.fake.tick()
    held = setup.fake.kinds["companies"]
    held["1"].update(archived=True, archivedAt="2026-01-05T09:01:00.000Z")
    del held["2"]
    setup.fake.put("companies", "3", hs_merged_object_ids="2")

    pages = setup.read("companies")

    assert ids(pages) == ["3"]
    assert [each for page in pages for each in page.deleted_ids] == ["2", "1"]
    assert pages[0].merged_ids == {"2": "3"}


def test_archived_objects_are_listed_once_an_hour(setup: Setup) -> None:
    setup.fake.put("companies", "1", name="One")
    cursor = setup.read("companies", "incremental")[-1].cursor
    setup.server.calls.clear()

    def archived_lists() -> int:
        calls = [c for c in setup.server.calls if c.path.endswith("/companies")]
        return sum(call.query.get("archived") == "true" for call in calls)

    setup.read("companies", "incremental", cursor=cursor)
    assert archived_lists() == 0

    setup.now = NOW + timedelta(minutes=61)
    setup.read("companies", "incremental", cursor=cursor)
    assert archived_lists() == 1


def test_deals_get_stage_owner_and_currency_from_the_account(setup: Setup) -> None:
    setup.fake.pipelines = payload("pipelines")
    setup.fake.owners = [
        {"id": "7", "email": "mia@northwind.example", "firstName": "Mia"}
    ]
    setup.fake.put(
        "deals",
        "1",
        dealname="Renewal",
        amount="10.5",
        pipeline="default",
        dealstage="closedwon",
        hubspot_owner_id="7",
    )

    (page, *_rest) = setup.read("deals")

    (deal,) = page.records
    assert (deal.amount_minor, deal.currency) == (1050, "EUR")
    assert (deal.stage, deal.status) == ("Closed won", "won")
    assert deal.owner == "mia@northwind.example"


def test_an_owner_who_left_still_has_a_name(setup: Setup) -> None:
    setup.fake.owners = [
        {"id": "8", "email": "leo@northwind.example", "archived": True}
    ]
    setup.fake.put("deals", "1", hubspot_owner_id="8")

    (page, *_rest) = setup.read("deals")

    assert page.records[0].owner == "leo@northwind.example"
    assert ids(setup.read("owners")) == []


def test_owners_and_pipelines_are_kept_as_objects(setup: Setup) -> None:
    setup.fake.pipelines = payload("pipelines")
    setup.fake.owners = [{"id": str(n), "email": f"o{n}@x.example"} for n in range(25)]

    owners = setup.read("owners", batch_size=10)
    pipelines = setup.read("pipelines")

    assert ids(owners) == [str(n) for n in range(25)]
    assert [len(page.records) for page in owners] == [10, 10, 5]
    assert ids(pipelines) == ["deals:default", "tickets:0"]


def test_participations_say_who_attended(setup: Setup) -> None:
    event, seen = payload("marketing_event"), payload("participation")
    no_show = json.loads(json.dumps(seen))
    no_show["id"] = "56"
    no_show["properties"]["attendanceState"] = "NO_SHOW"
    setup.fake.events = [event]
    setup.fake.participations = {"410": [seen, no_show]}

    (page, end) = setup.read("marketing_event_participations")

    (record,) = page.records
    assert record == CampaignEngagementRecord(
        external_id="410:55",
        contact_id="90210",
        campaign="Winter webinar",
        kind="attended",
        occurred_at=datetime.fromtimestamp(1767366300, UTC),
        raw=seen | {"event": {"objectId": "410", "eventName": "Winter webinar"}},
    )
    assert (page.filtered, end.cursor) == (1, {"after": None})
    assert ids(setup.read("marketing_events")) == ["410"]


def test_own_objects_are_found_and_read(setup: Setup) -> None:
    setup.fake.schemas = [payload("schema")]
    name = "p48210007_workspaces"
    setup.fake.define(name, "plan_tier", custom=True)
    setup.fake.define(name, "hs_lastmodifieddate", "datetime")
    setup.fake.put(name, "1", plan_tier="gold")
    setup.fake.link(name, "1", "companies", "501", 40)

    found = {s.name: s for s in setup.connector().discover()}
    (page, *_rest) = setup.read(name)

    assert (found[name].label, found[name].record_type) == ("Workspaces", "object")
    assert "properties.plan_tier" in [c.name for c in found[name].columns]
    (record,) = page.records
    assert isinstance(record, ObjectRecord)
    assert (record.kind, record.customer_id) == (name, "501")
    assert record.custom == {"plan_tier": "gold"}


# --- connecting -----------------------------------------------------------------------


def test_the_check_names_account_and_sandbox(setup: Setup) -> None:
    assert setup.connector().check() == (
        "Connected to HubSpot Acme (48210007, app-eu1.hubspot.com, sandbox)."
    )


def test_a_missing_scope_is_named(setup: Setup) -> None:
    setup.fake.refused["feedback_submissions"] = "crm.objects.feedback_submissions.read"

    with pytest.raises(ConfigError, match=r"crm\.objects\.feedback_submissions\.read"):
        setup.read("feedback_submissions")
    found = {s.name: s for s in setup.connector().discover()}
    assert not found["feedback_submissions"].selected_by_default
    assert found["contacts"].selected_by_default


def test_a_refusal_without_scopes_is_told_as_it_is(setup: Setup) -> None:
    answer = Response(403, {"status": "error", "message": "This plan has no tickets"})
    setup.server.fail("reply", "/crm/objects/2026-09/tickets", response=answer, times=9)

    with pytest.raises(RefusedError, match="This plan has no tickets"):
        setup.read("tickets")


def test_a_static_token_is_enough(setup: Setup) -> None:
    connector = setup.connector()
    connector.secrets = {"access_token": setup.fake.access}

    assert connector.check().startswith("Connected to ")
    assert setup.server.count("/oauth") == 0
    assert all("hapikey" not in call.query for call in setup.server.calls)


def test_the_specification_s_api_key_is_the_static_token(setup: Setup) -> None:
    connector = setup.connector(secrets={"api_key": setup.fake.access})

    assert connector.check().startswith("Connected to ")


def test_without_credentials_a_person_is_told_what_to_do(setup: Setup) -> None:
    connector = setup.connector()
    connector.secrets = {}

    with pytest.raises(ConfigError, match="service key"):
        connector.check()


_DATED = {
    "/account-info/2026-03/details",
    "/crm-object-schemas/2026-03/schemas",
    "/crm/associations/2026-03/deals/companies/batch/read",
    "/crm/objects/2026-03/companies",
    "/crm/objects/2026-03/deals",
    "/crm/objects/2026-03/deals/search",
    "/crm/owners/2026-03",
    "/crm/pipelines/2026-03/deals",
    "/marketing/marketing-events/2026-03",
    "/marketing/marketing-events/2026-03/participations/410/breakdown",
} | {f"/crm/properties/2026-03/{name}" for name in KINDS}
_LEGACY = {
    "/account-info/v3/details",
    "/crm/v3/schemas",
    "/crm/v4/associations/deals/companies/batch/read",
    "/crm/v3/objects/companies",
    "/crm/v3/objects/deals",
    "/crm/v3/objects/deals/search",
    "/crm/v3/owners",
    "/crm/v3/pipelines/deals",
    "/marketing/v3/marketing-events",
    "/marketing/v3/marketing-events/participations/410/breakdown",
} | {f"/crm/v3/properties/{name}" for name in KINDS}


@pytest.mark.parametrize(
    ("version", "addresses"), [("2026-03", _DATED), ("v3", _LEGACY)]
)
def test_every_address_has_the_chosen_version(
    setup: Setup, version: str, addresses: set[str]
) -> None:
    setup.fake.put("deals", "1")
    setup.fake.events = [payload("marketing_event")]
    settings = {"api_version": version}

    setup.connector(**settings).check()
    setup.connector(**settings).discover()
    setup.read("deals", settings=settings)
    setup.read("marketing_event_participations", settings=settings)

    assert {call.path for call in setup.server.calls} == addresses
    app = HubspotConnector.oauth_app(settings, {})
    assert app.token_url == f"https://api.hubapi.com/oauth/{version}/token"


def test_the_browser_is_sent_to_hubspot_with_scopes_and_state() -> None:
    app = HubspotConnector.oauth_app({"client_id": "app-1"}, {"client_secret": "s"})

    url = authorization_url(
        app, redirect_uri="https://cg.example/cb", state="xyz", pkce=new_pkce()
    )

    query = parse_qs(urlsplit(url).query)
    assert url.startswith("https://app.hubspot.com/oauth/authorize?")
    assert app.token_url == "https://api.hubapi.com/oauth/2026-09/token"
    assert "crm.objects.contacts.read" in query["scope"][0].split()
    assert "crm.objects.custom.read" in query["optional_scope"][0].split()
    assert query["code_challenge_method"] == ["S256"]


def test_a_quarantined_object_can_be_replayed(setup: Setup) -> None:
    raw = payload("contact")

    record = setup.connector().parse(stream_of("contacts"), raw)

    assert record.customer_id == "18210443901"
