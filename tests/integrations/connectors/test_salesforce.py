"""The Salesforce connector: records, keyset and Bulk reads, sign-in, quota, SOQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    RateLimitedError,
    RecordError,
    TransientError,
)
from churnguard.records import (
    AnyRecord,
    ContactRecord,
    ConversationRecord,
    CustomerRecord,
    DealRecord,
    ObjectRecord,
    TicketRecord,
)
from integrations.connectors.base import ReadRequest, Stream
from integrations.connectors.salesforce.connector import SalesforceConnector
from integrations.connectors.salesforce.objects import Described, describe, kind_of
from integrations.connectors.salesforce.org import audience_of
from integrations.connectors.salesforce.records import record_of
from integrations.connectors.salesforce.rows import csv_rows, plain
from integrations.limits import Limiter
from tests.fakes.base import CANARY
from tests.fakes.salesforce import ORG, SalesforceFake
from tests.fakes.server import Response
from tests.integrations.connectors.served import NOW, Served, at, ids

PAYLOADS = Path(__file__).resolve().parents[2] / "payloads" / "salesforce"
CONTACTS = Stream("Contact", "contact")


def described(name: str, **more: str) -> Described:
    fake = SalesforceFake()
    fake.fields[name].update(more)
    return describe(kind_of(name), fake._describe(name))


def made(name: str, currency: str | None = "EUR", **changes: Any) -> AnyRecord:
    """The record of a payload file, its raw left out."""
    answer = json.loads((PAYLOADS / f"{name.lower()}.json").read_text()) | changes
    shape = described(name)
    record = record_of(shape, plain(answer, shape.types), currency)

    return msgspec.structs.replace(record, raw={})  # type: ignore[type-var]


class Setup(Served[SalesforceFake]):
    def connector(self, **settings: Any) -> SalesforceConnector:
        return super().connector(client={"make_budget": Limiter}, **settings)

    def stream(self, name: str) -> Stream:
        return Stream(name, "object")

    def queries(self) -> list[str]:
        return [c.query["q"] for c in self.server.calls if "q" in c.query]

    def count(self, tail: str, method: str | None = None) -> int:
        return self.server.count(f"/services/data/v66.0{tail}", method)


@pytest.fixture
def setup() -> Iterator[Setup]:
    fake = SalesforceFake()
    with fake.serve() as server:
        yield Setup(fake, server)


# --- records --------------------------------------------------------------------------


def test_an_account_becomes_a_customer() -> None:
    answer = json.loads((PAYLOADS / "account.json").read_text())
    shape = described("Account", Tier__c="picklist", Seats__c="double")
    raw = plain(answer, shape.types)

    assert record_of(shape, raw, None) == CustomerRecord(
        external_id="0015g00000NorthAAA",
        updated_at=at("2026-01-04T08:30:05"),
        name="Northwind GmbH",
        domain="https://www.northwind.example",
        phone="+49 30 1234567",
        country="Germany",
        industry="Technology",
        segment="Customer - Direct",
        employees=240,
        owner="Mia Berg",
        custom={"Tier__c": "Gold", "Seats__c": 55.0},
        raw=raw,
    )
    assert raw["Owner.Name"] == "Mia Berg"
    assert raw["SystemModstamp"] == "2026-01-04T08:30:05.000Z"
    assert "attributes" not in raw
    assert "BillingAddress" not in shape.types


def test_a_contact() -> None:
    assert made("Contact") == ContactRecord(
        external_id="0035g00000AdaLiAAA",
        updated_at=at("2026-01-04T10:11:12"),
        customer_id="0015g00000NorthAAA",
        email="ada.lind@northwind.example",
        name="Ada Lind",
        title="Head of Operations",
        opted_out=True,
        last_contacted_at=at("2026-01-03T00:00:00"),
        joined_at=at("2025-05-02T09:00:00"),
    )


def test_a_row_is_the_same_from_rest_and_from_bulk() -> None:
    shape = described("Contact")
    by_rest = plain(json.loads((PAYLOADS / "contact.json").read_text()), shape.types)
    (line,) = csv_rows((PAYLOADS / "contacts.csv").read_text())

    assert plain(line, shape.types) == by_rest


def test_a_lead_is_a_contact_with_its_status_as_stage() -> None:
    lead = made("Lead")

    assert (lead.name, lead.email) == ("Bo Falk", "bo@contoso.example")
    assert (lead.lifecycle_stage, lead.customer_id) == ("Working - Contacted", None)


def test_an_opportunity_becomes_a_deal() -> None:
    assert made("Opportunity") == DealRecord(
        external_id="0065g00000RenewAAA",
        updated_at=at("2026-01-02T08:00:00"),
        customer_id="0015g00000NorthAAA",
        name="Northwind renewal",
        stage="Negotiation/Review",
        status="open",
        amount_minor=1249999,
        currency="EUR",
        opened_at=at("2025-12-01T08:00:00"),
        close_at=at("2026-03-31T00:00:00"),
        owner="Mia Berg",
    )


@pytest.mark.parametrize(
    ("closed", "won", "status"),
    [(False, False, "open"), (True, True, "won"), (True, False, "lost")],
)
def test_deals_are_won_or_lost(closed: bool, won: bool, status: str) -> None:
    assert made("Opportunity", IsClosed=closed, IsWon=won).status == status


def test_an_amount_needs_a_currency() -> None:
    assert made("Opportunity", None).amount_minor is None
    own = made("Opportunity", None, CurrencyIsoCode="JPY", Amount=1200.0)
    assert (own.amount_minor, own.currency) == (1200, "JPY")


def test_a_case_becomes_a_ticket() -> None:
    assert made("Case") == TicketRecord(
        external_id="5005g00000Case1AAA",
        updated_at=at("2026-01-03T12:00:01"),
        customer_id="0015g00000NorthAAA",
        contact_id="0035g00000AdaLiAAA",
        subject="Export is empty",
        status="closed",
        priority="normal",
        channel="email",
        assignee="Support queue",
        opened_at=at("2026-01-02T08:00:00"),
        solved_at=at("2026-01-03T12:00:00"),
        closed_at=at("2026-01-03T12:00:00"),
        is_escalated=True,
    )


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("New", "open"),
        ("Escalated", "open"),
        ("On Hold", "on_hold"),
        ("Waiting on Customer", "pending"),
        ("Our own state", "open"),
    ],
)
def test_states_of_cases(word: str, status: str) -> None:
    case = made("Case", Status=word, IsClosed=False, ClosedDate=None)

    assert (case.status, case.closed_at) == (status, None)


def test_a_call_logged_afterwards_starts_when_it_was() -> None:
    assert made("Task") == ConversationRecord(
        external_id="00T5g00000Task1AAA",
        updated_at=at("2026-01-02T10:05:00"),
        customer_id="0015g00000NorthAAA",
        contact_id="0035g00000AdaLiAAA",
        kind="call",
        subject="Call",
        status="Completed",
        direction="out",
        owner="Mia Berg",
        started_at=at("2026-01-02T10:00:00"),
        closed_at=at("2026-01-02T10:00:00"),
    )


@pytest.mark.parametrize(
    ("name", "field", "value"),
    [
        ("Opportunity", "Amount", "a lot"),
        ("Case", "ClosedDate", "soon"),
        ("Contact", "HasOptedOutOfEmail", "perhaps"),
        ("Account", "NumberOfEmployees", "many"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_field(
    name: str, field: str, value: str
) -> None:
    with pytest.raises(RecordError) as caught:
        made(name, **{field: value})

    assert caught.value.field == field


# --- reading by REST ------------------------------------------------------------------


def test_changes_of_one_moment_beyond_a_page_are_all_read_once(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(25)]

    pages = setup.read("Contact", "incremental", cursor={"since": ""}, batch_size=10)

    assert ids(pages) == made_ids
    assert [len(page.records) for page in pages] == [10, 10, 5, 0]
    assert pages[-1].cursor == {"since": setup.fake.moment()}


def test_wide_rows_that_come_in_smaller_pages_are_not_the_end(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(30)]
    answer = setup.fake._page

    def smaller(query: Any, rows: list[Any], start: int, version: str) -> Any:
        reply = answer(query, rows[:4], start, version)
        reply.body["done"] = len(rows) <= 4
        return reply

    setup.fake._page = smaller  # type: ignore[method-assign]

    assert ids(setup.read("Contact", batch_size=10)) == made_ids


def test_a_later_read_looks_back_five_minutes(setup: Setup) -> None:
    setup.fake.add(1)

    setup.read("Contact", "incremental", cursor={"since": "2026-01-05T09:00:00.000Z"})

    query = setup.queries()[-1]
    assert "SystemModstamp >= 2026-01-05T08:55:00.000Z" in query
    assert query.endswith("ORDER BY SystemModstamp ASC, Id ASC LIMIT 1000")


def test_a_range_is_read_by_its_edges(setup: Setup) -> None:
    moments = [setup.fake.clock + timedelta(minutes=n) for n in range(5)]
    made_ids = []
    for number, moment in enumerate(moments):
        setup.fake.clock = moment
        made_ids.append(setup.fake.add(number))

    pages = setup.read("Contact", "incremental", since=moments[1], until=moments[3])

    assert ids(pages) == made_ids[1:3]


def test_deleted_and_merged_rows_come_as_deletes(setup: Setup) -> None:
    gone, loser, winner = (setup.fake.add(n) for n in range(3))
    setup.fake.tick()
    setup.fake.remove(gone)
    setup.fake.merge(loser, winner)

    (page, _end) = setup.read("Contact", "incremental", cursor={"since": ""})

    assert page.deleted_ids == [gone, loser]
    assert page.merged_ids == {loser: winner}
    assert ids([page]) == [winner]


@pytest.mark.parametrize("threshold", [50_000, 1])
def test_a_full_read_tells_of_merges_too(setup: Setup, threshold: int) -> None:
    gone, loser, winner = (setup.fake.add(n) for n in range(3))
    setup.fake.remove(gone)
    setup.fake.merge(loser, winner)
    for number, days in ((1, 60), (2, 20)):
        setup.fake.clock = NOW - timedelta(days=days)
        setup.fake.put(
            "Lead",
            f"00Q5g00000000{number}aAAA",
            IsConverted=True,
            ConvertedContactId="0035g00000AdaLiAAA",
        )
    settings = {"bulk_threshold": threshold}

    contacts = setup.read("Contact", settings=settings)
    leads = setup.read("Lead", settings=settings)

    assert [page.merged_ids for page in contacts if page.merged_ids] == [
        {loser: winner}
    ]
    assert ids(contacts) == [winner]
    # Longer ago than a month is of no use to anybody.
    assert [page.merged_ids for page in leads if page.merged_ids] == [
        {"00Q5g000000002aAAA": "0035g00000AdaLiAAA"}
    ]


def test_a_converted_lead_lives_on_as_a_contact(setup: Setup) -> None:
    setup.fake.put("Lead", "00Q5g000000000aAAA", LastName="Open", IsConverted=False)
    setup.fake.put(
        "Lead",
        "00Q5g000000000bAAA",
        LastName="Won",
        IsConverted=True,
        ConvertedContactId="0035g00000AdaLiAAA",
    )

    (page, _end) = setup.read("Lead", "incremental", cursor={"since": ""})

    assert page.merged_ids == {"00Q5g000000000bAAA": "0035g00000AdaLiAAA"}
    assert page.deleted_ids == ["00Q5g000000000bAAA"]
    assert ids([page]) == ["00Q5g000000000aAAA"]
    assert ids(setup.read("Lead")) == ["00Q5g000000000aAAA"]


def test_archived_tasks_are_read_and_never_swept_away(setup: Setup) -> None:
    setup.fake.put("Task", "00T5g000000000aAAA", Subject="Old", IsArchived=True)

    assert ids(setup.read("Task")) == ["00T5g000000000aAAA"]
    listed = setup.connector().list_ids(Stream("Task", "conversation"))
    assert list(listed) == [["00T5g000000000aAAA"]]
    assert all("IsDeleted = false" in q for q in setup.queries() if "ORDER BY Id" in q)


def test_a_meeting_is_read_once_however_many_are_invited(setup: Setup) -> None:
    for number in range(3):
        setup.fake.put(
            "Event",
            f"00U5g000000000{number}AAA",
            Subject="Quarterly review",
            WhoId="0035g00000AdaLiAAA",
            AccountId="0015g00000NorthAAA",
            StartDateTime="2026-01-05T10:00:00.000Z",
            EndDateTime="2026-01-05T11:00:00.000Z",
            IsChild=number > 0,
        )

    (page, _end) = setup.read("Event")
    (changed, _end) = setup.read("Event", "incremental", cursor={"since": ""})

    (meeting,) = page.records
    assert changed.records == [meeting]
    assert isinstance(meeting, ConversationRecord)
    assert (meeting.kind, meeting.direction) == ("meeting", "both")
    assert meeting.contact_id == "0035g00000AdaLiAAA"
    assert meeting.started_at == at("2026-01-05T10:00:00")
    assert meeting.closed_at == at("2026-01-05T11:00:00")


def test_an_object_without_deletes_or_stamps_can_be_read(setup: Setup) -> None:
    for name in ("SystemModstamp", "LastModifiedDate", "CreatedDate"):
        del setup.fake.fields["User"][name]
    setup.fake.put("User", "0055g000000000aAAA", Name="Mia Berg")

    pages = setup.read("User")

    assert ids(pages) == ["0055g000000000aAAA"]
    with pytest.raises(ConfigError, match="no field that says when"):
        setup.read("User", "incremental", since=NOW)


def test_custom_objects_are_found_by_describe(setup: Setup) -> None:
    setup.fake.put(
        "Workspace__c",
        "a015g000000000aAAA",
        Name="W-1",
        Seats__c=12.0,
        Account__c="0015g00000NorthAAA",
        Logo__c="iVBORw0KGgo=",
    )

    found = {s.name: s for s in setup.connector().discover()}
    (page, _end) = setup.read("Workspace__c")

    stream = found["Workspace__c"]
    assert (stream.record_type, stream.selected_by_default) == ("object", False)
    assert {c.name: c.type for c in stream.columns}["Seats__c"] == "number"
    (record,) = page.records
    assert isinstance(record, ObjectRecord)
    assert record.customer_id == "0015g00000NorthAAA"
    assert record.custom == {"Seats__c": 12.0, "Account__c": "0015g00000NorthAAA"}


def test_a_hidden_field_is_not_asked_for(setup: Setup) -> None:
    del setup.fake.fields["Contact"]["Email"]
    setup.fake.add(1)

    (page, _end) = setup.read("Contact")

    assert page.records[0].email is None


def test_an_object_that_cannot_be_described_hides_no_other(setup: Setup) -> None:
    refusal = Response(
        403, [{"errorCode": "INSUFFICIENT_ACCESS", "message": "not for this user"}]
    )
    path = "/services/data/v66.0/sobjects/Workspace__c/describe"
    setup.server.fail("reply", path, response=refusal)

    found = {s.name: s for s in setup.connector().discover()}

    assert found["Workspace__c"].columns == ()
    assert "Email" in {column.name for column in found["Contact"].columns}


def test_rows_without_the_chosen_time_stop_no_incremental_read(setup: Setup) -> None:
    setup.fake.fields["Case"]["ClosedDate"] = "datetime"
    for number, closed in enumerate((None, "2026-01-05T09:00:00.000Z", None)):
        setup.fake.put("Case", f"5005g0000000{number}AAA", ClosedDate=closed)

    full = setup.read("Case", incremental_field="ClosedDate")
    later = setup.read(
        "Case", "incremental", cursor={"since": ""}, incremental_field="ClosedDate"
    )

    assert len(ids(full)) == 3
    assert full[-1].cursor == {"since": "2026-01-05T09:00:00.000Z"}
    assert ids(later) == ["5005g00000001AAA"]


def test_a_query_that_takes_too_long_is_tried_again(setup: Setup) -> None:
    setup.fake.add(1)
    answer = Response(
        400,
        [{"errorCode": "QUERY_TIMEOUT", "message": "Your query request was running"}],
    )
    # After the count.
    setup.server.fail("reply", setup.fake.list_path, response=answer, after=1)

    with pytest.raises(TransientError) as caught:
        setup.read("Contact", "incremental", cursor={"since": ""})

    assert caught.value.code == "query_timeout"


def test_a_missing_object_is_a_sentence(setup: Setup) -> None:
    with pytest.raises(ConfigError, match="Gone__c is gone"):
        setup.read("Gone__c")


# --- Bulk API 2.0 ---------------------------------------------------------------------


def test_large_objects_are_read_in_bulk(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(25)]
    setup.fake.polls = 3

    pages = setup.read("Contact", batch_size=10, settings={"bulk_threshold": 20})

    assert ids(pages) == made_ids
    assert [len(p.records) for p in pages if p.records] == [10, 10, 5]
    assert pages[-1].cursor == {"since": setup.fake.moment()}
    assert (pages[0].total, setup.fake.jobs) == (25, {})
    assert setup.count("/jobs/query", "POST") == 1


def test_bulk_and_rest_give_the_same_records(setup: Setup) -> None:
    setup.fake.put("Account", "0015g00000NorthAAA", Name='A "quoted"\nname, é')
    for number in range(12):
        setup.fake.add(number)

    for name in ("Contact", "Account"):
        by_rest = setup.read(name)
        in_bulk = setup.read(name, settings={"bulk_threshold": 1})
        assert [r for p in by_rest for r in p.records] == [
            r for p in in_bulk for r in p.records
        ]


def test_a_bulk_read_goes_on_from_its_locator(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(25)]
    request = ReadRequest("full", batch_size=10)
    first = setup.connector(bulk_threshold=1).read(
        Stream("Contact", "contact"), request
    )
    seen = [page for page in (next(first), next(first), next(first)) if page.records]
    cursor = json.loads(json.dumps(seen[-1].cursor))

    rest = setup.read(
        "Contact", batch_size=10, cursor=cursor, settings={"bulk_threshold": 1}
    )

    assert ids(seen) + ids(rest) == made_ids
    assert setup.count("/jobs/query", "POST") == 1


def test_a_session_that_ended_during_a_download_is_renewed(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(25)]
    request = ReadRequest("full", batch_size=10)
    pages = setup.connector(bulk_threshold=1).read(
        Stream("Contact", "contact"), request
    )
    found = [next(pages), next(pages), next(pages)]
    setup.fake.expire_token()

    found += list(pages)

    assert ids(found) == made_ids
    assert setup.server.count("/services/oauth2/token") == 1


def test_another_version_starts_another_job(setup: Setup) -> None:
    setup.fake.add(1)
    cursor = {"job": "7505g0000000000AAA", "version": "65.0", "begun": ""}

    pages = setup.read("Contact", cursor=cursor, settings={"bulk_threshold": 1})

    assert len(ids(pages)) == 1
    assert setup.count("/jobs/query", "POST") == 1


def test_a_job_that_takes_long_is_looked_at_later(setup: Setup) -> None:
    setup.fake.add(1)
    setup.fake.polls = 1000

    with pytest.raises(TransientError) as caught:
        setup.read("Contact", settings={"bulk_threshold": 1})

    assert (caught.value.code, caught.value.retry_after_s) == ("job_running", 30.0)


def test_an_object_bulk_does_not_offer_is_read_by_rest(setup: Setup) -> None:
    setup.fake.not_in_bulk = {"Contact"}
    made_ids = [setup.fake.add(number) for number in range(15)]

    pages = setup.read("Contact", batch_size=10, settings={"bulk_threshold": 1})

    assert ids(pages) == made_ids
    assert pages[-1].cursor == {"since": setup.fake.moment()}


def test_only_a_date_and_time_can_order_changes(setup: Setup) -> None:
    with pytest.raises(ConfigError, match="no date and time field “LastActivityDate”"):
        setup.read("Contact", "incremental", incremental_field="LastActivityDate")


def test_a_result_cut_short_is_noticed() -> None:
    with pytest.raises(TransientError, match="do not have the fields"):
        list(csv_rows('"Id","Name"\n"1","a"\n"2"'))


def test_a_query_too_long_for_an_address_goes_in_bulk(setup: Setup) -> None:
    for number in range(700):
        setup.fake.fields["Contact"][f"A_long_field_name_{number:04d}__c"] = "string"
    setup.fake.add(1)

    assert len(ids(setup.read("Contact"))) == 1
    assert setup.count("/jobs/query", "POST") == 1


# --- signing in and quota -------------------------------------------------------------


def test_the_check_names_the_org(setup: Setup) -> None:
    assert setup.connector().check() == (
        f"Connected to Northwind GmbH ({ORG}, Enterprise Edition)."
    )


def test_the_check_tells_what_the_user_cannot_see(setup: Setup) -> None:
    del setup.fake.fields["Case"], setup.fake.fields["Contact"]["Email"]

    told = setup.connector().check()

    assert told.endswith(" This user cannot see Case, Contact.Email.")


def test_a_further_field_that_no_object_has_is_named(setup: Setup) -> None:
    assert setup.connector(extra_fields="AnnualRevenue").check().startswith("Connected")

    with pytest.raises(ConfigError, match="No object has the field AnualRevenue") as e:
        setup.connector(extra_fields="Industry, AnualRevenue").check()
    assert e.value.fields == {"extra_fields": "unknown: AnualRevenue"}


@pytest.mark.parametrize("version", ["65.0", "v67", "66"])
def test_the_version_is_a_setting(setup: Setup, version: str) -> None:
    assert setup.connector(api_version=version).check().startswith("Connected")


@pytest.mark.parametrize("version", ["40.0", "99.0", "latest"])
def test_a_version_that_cannot_be_used_is_a_sentence(
    setup: Setup, version: str
) -> None:
    with pytest.raises(ConfigError, match=version):
        setup.connector(api_version=version).check()


def test_refresh_tokens_rotate(setup: Setup) -> None:
    connector = setup.connector()
    connector.check()
    for _ in range(2):
        setup.fake.expire_token()
        connector.check()

    forms = [c.form() for c in setup.server.calls if c.path.endswith("/token")]
    assert [form["refresh_token"] for form in forms] == [
        f"5Aep-{CANARY}-1",
        f"5Aep-{CANARY}-2",
    ]


def test_signing_in_with_a_certificate(setup: Setup) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    setup.fake.public_key = (
        key.public_key()
        .public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        .decode()
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()

    connector = setup.connector(
        auth_flow="jwt",
        username="sync@northwind.example",
        environment="sandbox",
        secrets={"private_key": pem},
    )

    assert connector.check().startswith("Connected")


def test_signing_in_with_client_credentials(setup: Setup) -> None:
    secrets = {"client_secret": f"cs-{CANARY}"}
    connector = setup.connector(auth_flow="client_credentials", secrets=secrets)

    assert connector.check().startswith("Connected")


def test_client_credentials_need_my_domain(setup: Setup) -> None:
    with pytest.raises(ConfigError, match="My Domain"):
        setup.connector(auth_flow="client_credentials", base_url="", secrets={}).check()


def test_without_tokens_a_person_is_asked_to_connect(setup: Setup) -> None:
    with pytest.raises(AuthenticationError, match="Press Connect"):
        setup.connector(secrets={}).check()


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        ({}, "https://login.salesforce.com"),
        ({"environment": "sandbox"}, "https://test.salesforce.com"),
        ({"base_url": "acme.my.salesforce.com/"}, "https://acme.my.salesforce.com"),
        (
            {"base_url": "https://acme.lightning.force.com/lightning/page/home"},
            "https://acme.my.salesforce.com",
        ),
        (
            {"base_url": "https://acme--uat.sandbox.my.salesforce-setup.com"},
            "https://acme--uat.sandbox.my.salesforce.com",
        ),
    ],
)
def test_where_to_sign_in(settings: dict[str, str], host: str) -> None:
    app = SalesforceConnector.oauth_app(settings, {})

    assert app.authorize_url == f"{host}/services/oauth2/authorize"
    assert app.token_url == f"{host}/services/oauth2/token"
    assert app.pkce


@pytest.mark.parametrize(
    ("settings", "audience"),
    [
        ({}, "https://login.salesforce.com"),
        ({"environment": "sandbox"}, "https://test.salesforce.com"),
        (
            {"base_url": "https://acme--uat.sandbox.my.salesforce.com"},
            "https://test.salesforce.com",
        ),
        ({"base_url": "acme.my.salesforce.com"}, "https://login.salesforce.com"),
    ],
)
def test_an_assertion_is_for_the_login_host_of_its_org(
    settings: dict[str, str], audience: str
) -> None:
    assert audience_of(settings) == audience


def test_the_daily_quota_is_left_to_others_in_part(setup: Setup) -> None:
    setup.fake.used, setup.fake.daily = 880, 1000
    for number in range(300):
        setup.fake.add(number)

    with pytest.raises(RateLimitedError) as caught:
        setup.read("Contact", batch_size=1, settings={"quota_reserve_percent": 10})

    assert caught.value.retry_after_s
    assert setup.fake.used <= 901


def test_a_quota_others_have_used_up_stops_the_read_before_its_first_call(
    setup: Setup,
) -> None:
    setup.fake.used = 95_000

    with pytest.raises(RateLimitedError) as caught:
        setup.read("Contact", settings={"quota_reserve_percent": 10})

    assert caught.value.retry_after_s
    assert 3_500 < caught.value.retry_after_s <= 3_600
    assert setup.queries() == ["SELECT Id FROM Organization"]


def test_the_quota_is_known_without_the_permission_to_view_setup(setup: Setup) -> None:
    setup.fake.add(1)

    assert len(ids(setup.read("Contact"))) == 1
    assert setup.count("/limits") == 0


# --- a person's own queries -----------------------------------------------------------


def test_own_queries_are_streams(setup: Setup) -> None:
    setup.fake.put("Account", "0015g00000NorthAAA", Name="Northwind")
    query = "SELECT Id, Name\nFROM Account WHERE Name = 'Northwind';"
    settings = {"soql_streams": [{"name": "winds", "query": query}]}

    found = {s.name: s for s in setup.connector(**settings).discover()}
    (page,) = setup.read("winds", settings=settings)

    assert found["winds"].deletes == "full"
    assert page.records == [
        ObjectRecord(
            external_id="0015g00000NorthAAA",
            kind="winds",
            raw={"Id": "0015g00000NorthAAA", "Name": "Northwind"},
        )
    ]


def test_a_lost_query_locator_starts_the_query_again(setup: Setup) -> None:
    made_ids = [setup.fake.add(number) for number in range(2500)]
    settings = {"soql_streams": [{"name": "all", "query": "SELECT Id FROM Contact"}]}
    pages = setup.connector(**settings).read(
        Stream("all", "object"), ReadRequest("full")
    )
    found = [next(pages)]
    setup.fake.expire_token()

    found += list(pages)

    assert [len(page.records) for page in found] == [2000, 2000, 500]
    assert set(ids(found)) == set(made_ids)


def test_a_subquery_of_many_rows_is_read_to_its_end(setup: Setup) -> None:
    query = "SELECT Id, (SELECT Id FROM Contacts) FROM Account"
    nested = "/services/data/v66.0/query/01g5g000000nested-"

    def contacts(first: int, following: str | None) -> dict[str, Any]:
        more = {"nextRecordsUrl": following} if following else {}
        records = [
            {"attributes": {"type": "Contact"}, "Id": f"003{number}"}
            for number in range(first, first + 2)
        ]
        return {"totalSize": 6, "done": not following, "records": records} | more

    account = {
        "attributes": {"type": "Account"},
        "Id": "0015g00000NorthAAA",
        "Contacts": contacts(0, f"{nested}2"),
    }
    answers = [
        {"totalSize": 1, "done": True, "records": [account]},
        contacts(2, f"{nested}4"),
        contacts(4, None),
    ]
    connector = setup.connector(soql_streams=[{"name": "tree", "query": query}])
    connector.check()
    for body in answers:
        response = Response(200, body)
        setup.server.fail("reply", "/services/data/v66.0/query", response=response)

    (page,) = connector.read(Stream("tree", "object"), ReadRequest("full"))

    (record,) = page.records
    assert record.raw["Contacts"] == [{"Id": f"003{number}"} for number in range(6)]


@pytest.mark.parametrize(
    "given",
    [
        "{",
        [{"query": "SELECT Id FROM A"}],
        [{"name": "x", "query": "DELETE FROM A"}],
        [{"name": "Contact", "query": "SELECT Id FROM Contact"}],
        [{"name": "x", "query": "SELECT Id FROM A"}] * 2,
    ],
)
def test_a_bad_query_list_is_a_sentence(setup: Setup, given: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        setup.connector(soql_streams=given).check()

    assert "soql_streams" in caught.value.fields


def test_a_quarantined_row_can_be_replayed(setup: Setup) -> None:
    answer = json.loads((PAYLOADS / "contact.json").read_text())

    record = setup.connector().parse(Stream("Contact", "contact"), answer)

    assert (record.name, record.customer_id) == ("Ada Lind", "0015g00000NorthAAA")
