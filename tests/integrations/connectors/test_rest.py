"""The REST connector: paging, signing, formats, ranges, previews and rules."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from churnguard.errors import ConfigError, RecordError, TransientError
from churnguard.models import Organization
from churnguard.records import ContactRecord, CustomerRecord, ObjectRecord
from integrations import connecting, credentials, registry
from integrations.connectors.rest.connector import RestConnector
from integrations.connectors.rest.formats import read_xml
from integrations.connectors.rest.rules import integration_of_rule
from integrations.http import Client
from integrations.shaping import Shape, shape
from tests.integrations.connectors.rest_source import (
    BASE,
    NOW,
    Answer,
    Api,
    connector,
    ids,
    read,
    things,
)

PAYLOADS = Path(__file__).resolve().parents[2] / "payloads" / "rest"


def by_page(request: httpx.Request) -> httpx.Response:
    number = int(request.url.params.get("page", 1))
    return httpx.Response(200, json={"rows": things(1, 5)[2 * number - 2 : 2 * number]})


def by_offset(request: httpx.Request) -> httpx.Response:
    start = int(request.url.params.get("skip", 0))
    rows = things(1, 5)[start : start + 2]
    return httpx.Response(200, json={"rows": rows, "count": 5})


def by_cursor(request: httpx.Request) -> httpx.Response:
    start = int(request.url.params.get("c", 0))
    following = start + 2 if start + 2 < 5 else None
    return httpx.Response(
        200, json={"rows": things(1, 5)[start : start + 2], "next": following}
    )


def by_link(request: httpx.Request) -> httpx.Response:
    start = int(request.url.params.get("at", 0))
    headers = {}
    if start + 2 < 5:
        headers["Link"] = f'</v1/things?at={start + 2}&key=k-12345>; rel="next"'
    return httpx.Response(
        200, json={"rows": things(1, 5)[start : start + 2]}, headers=headers
    )


def by_next_url(request: httpx.Request) -> httpx.Response:
    start = int(request.url.params.get("at", 0))
    following = f"{BASE}/things?at={start + 2}" if start + 2 < 5 else ""
    return httpx.Response(
        200,
        json={"rows": things(1, 5)[start : start + 2], "links": {"next": following}},
    )


def by_key(request: httpx.Request) -> httpx.Response:
    after = int(request.url.params.get("after", 0))
    rows = [row for row in things(1, 5) if row["id"] > after][:2]
    return httpx.Response(200, json={"rows": rows})


PAGINATIONS: dict[str, tuple[Answer, dict[str, Any]]] = {
    "page": (by_page, {}),
    "offset": (by_offset, {"param": "skip", "total_path": "count"}),
    "cursor": (by_cursor, {"param": "c", "cursor_path": "next"}),
    "link": (by_link, {}),
    "next_url": (by_next_url, {"next_path": "links.next"}),
    "keyset": (by_key, {"param": "after", "key": "id", "size_param": "n"}),
}


@pytest.mark.parametrize("kind", PAGINATIONS)
def test_every_pagination_reads_all_once_and_resumes_after_any_page(kind: str) -> None:
    answer, options = PAGINATIONS[kind]
    endpoint = {"data_path": "rows", "pagination": {"type": kind, **options}}

    pages = read(connector(answer, endpoint))

    assert ids(pages) == ["1", "2", "3", "4", "5"]
    assert pages[-1].cursor == {"done": True}
    for number, page in enumerate(pages):
        cursor = json.loads(json.dumps(page.cursor))
        rest = read(connector(answer, endpoint), cursor=cursor)
        assert ids(rest) == ids(pages[number + 1 :])


def test_one_long_answer_is_stored_in_batches_and_resumed_inside() -> None:
    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=things(1, 5))

    pages = read(connector(answer, {}))

    assert [len(page.records) for page in pages] == [2, 2, 1]
    rest = read(connector(answer, {}), cursor=pages[0].cursor)
    assert ids(rest) == ["3", "4", "5"]


def test_pages_of_a_post_are_asked_for_in_its_body() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content)
        assert body["filter"] == "all"
        start = body.get("c", 0)
        return httpx.Response(
            200,
            json={
                "rows": things(1, 4)[start : start + 2],
                "next": 2 if start == 0 else None,
            },
        )

    api = Api(answer)
    made = connector(
        api,
        {
            "http_method": "POST",
            "body": {"filter": "all"},
            "data_path": "rows",
            "pagination": {
                "type": "cursor",
                "param": "c",
                "cursor_path": "next",
                "in_body": True,
            },
        },
    )

    assert ids(read(made)) == ["1", "2", "3", "4"]
    assert api.queries == [{}, {}]


SIGNED: list[tuple[dict[str, Any], dict[str, Any], Callable[[httpx.Request], bool]]] = [
    ({}, {}, lambda r: "authorization" not in r.headers),
    (
        {"auth_type": "header_key", "key_name": "X-Key"},
        {"api_key": "k-12345"},
        lambda r: r.headers["x-key"] == "k-12345",
    ),
    (
        {"auth_type": "query_key", "key_name": "key"},
        {"api_key": "k-12345"},
        lambda r: r.url.params["key"] == "k-12345",
    ),
    (
        {"auth_type": "basic", "username": "ann"},
        {"password": "pw"},
        lambda r: r.headers["authorization"] == "Basic YW5uOnB3",
    ),
    (
        {"auth_type": "bearer"},
        {"access_token": "t-12345"},
        lambda r: r.headers["authorization"] == "Bearer t-12345",
    ),
    (
        {},
        {"headers": '{"Authorization": "Bearer your_token"}'},
        lambda r: r.headers["authorization"] == "Bearer your_token",
    ),
]


@pytest.mark.parametrize(("values", "secrets", "is_signed"), SIGNED)
def test_requests_are_signed(
    values: dict[str, Any], secrets: dict[str, Any], is_signed: Any
) -> None:
    api = Api(lambda _request: httpx.Response(200, json=things(1, 1)))

    read(connector(api, {}, secrets=secrets, **values))

    assert is_signed(api.requests[0])


def test_client_credentials_are_granted_once_and_renewed_after_a_401() -> None:
    granted: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            granted.append(request.content.decode())
            return httpx.Response(200, json={"access_token": f"t{len(granted)}"})
        if request.headers["authorization"] != "Bearer t2":
            return httpx.Response(401, json={})
        return by_page(request)

    made = connector(
        answer,
        {"data_path": "rows", "pagination": {"type": "page"}},
        auth_type="oauth2_client_credentials",
        client_id="cid",
        token_url="https://id.example.com/token",
        scope="read:all",
        secrets={"client_secret": "cs-12345"},
    )

    assert ids(read(made)) == ["1", "2", "3", "4", "5"]
    assert len(granted) == 2
    assert "grant_type=client_credentials" in granted[0]
    assert "scope=read%3Aall" in granted[0]


def test_the_token_request_can_be_what_the_server_wants() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/token":
            asked.append(request)
            return httpx.Response(200, json={"access_token": "t1-12345"})
        return httpx.Response(200, json=things(1, 1))

    made = connector(
        answer,
        {},
        auth_type="oauth2_client_credentials",
        client_id="cid",
        client_auth="basic",
        token_url="https://id.example.com/token",
        token_params='{"audience": "urn:api"}',
        secrets={"client_secret": "cs-12345"},
    )

    assert ids(read(made)) == ["1"]
    (request,) = asked
    assert request.headers["authorization"] == "Basic Y2lkOmNzLTEyMzQ1"
    assert dict(httpx.QueryParams(request.content.decode())) == {
        "grant_type": "client_credentials",
        "audience": "urn:api",
    }


@pytest.mark.parametrize("name", ["token_params", "headers"])
def test_fields_that_are_no_objects_are_named(name: str) -> None:
    secrets = {"client_secret": "cs-12345"}
    made = connector(
        by_page,
        {},
        auth_type="oauth2_client_credentials",
        client_id="cid",
        token_url="https://id.example.com/token",
        secrets=secrets | ({name: "[1]"} if name == "headers" else {}),
        **({} if name == "headers" else {name: "[1]"}),
    )

    with pytest.raises(ConfigError) as caught:
        made.check()

    assert caught.value.fields == {name: "not an object"}


def test_missing_credentials_name_the_fields() -> None:
    made = connector(by_page, {}, auth_type="basic")

    with pytest.raises(ConfigError) as caught:
        made.check()

    assert caught.value.fields == {"username": "required"}


def test_a_key_that_the_api_repeats_in_its_next_address_stays_out_of_the_cursor() -> (
    None
):
    api = Api(by_link)
    made = connector(
        api,
        {"data_path": "rows", "pagination": {"type": "link"}},
        auth_type="query_key",
        key_name="key",
        secrets={"api_key": "k-12345"},
    )

    pages = read(made)

    assert "k-12345" not in json.dumps([page.cursor for page in pages])
    assert all(query["key"] == "k-12345" for query in api.queries)


def test_xml_elements_become_records() -> None:
    content = (PAYLOADS / "subscriptions.xml").read_bytes()
    made = connector(
        lambda _request: httpx.Response(200, content=content),
        {
            "response_format": "xml",
            "data_path": "export.subscriptions.subscription",
            "record_type": "subscription",
            "field_mappings": {
                "subscription_id": "id",
                "customer_id": "account",
                "status": "state",
                "mrr_minor": "mrr",
                "currency": "currency",
            },
        },
    )

    (page,) = read(made, batch_size=10)

    assert [
        (r.external_id, r.customer_id, r.status, r.mrr_minor) for r in page.records
    ] == [("S-1", "C-1", "active", 4900), ("S-2", "C-2", "canceled", 0)]


def test_one_xml_element_is_a_list_of_one() -> None:
    made = connector(
        lambda _r: httpx.Response(200, content=b"<a><b><id>7</id></b></a>"),
        {"response_format": "xml", "data_path": "a.b"},
    )

    assert ids(read(made)) == ["7"]


@pytest.mark.parametrize(
    "content",
    [
        b'<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>',
        b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><a>&x;</a>',
        b'<!DOCTYPE a SYSTEM "http://10.0.0.1/x.dtd"><a/>',
        b"<a>" * 200 + b"</a>" * 200,
    ],
)
def test_xml_that_expands_is_refused(content: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        read_xml(content)

    assert caught.value.code == "unsafe_xml"


def test_cut_xml_is_worth_another_try() -> None:
    with pytest.raises(TransientError, match="no valid XML"):
        read_xml(b"<a><b>")


def test_ndjson_is_streamed_and_a_bad_line_is_quarantined_alone() -> None:
    content = (PAYLOADS / "usage.ndjson").read_bytes()
    made = connector(
        lambda _request: httpx.Response(200, content=content),
        {
            "response_format": "ndjson",
            "record_type": "event",
            "primary_key": "event_id",
        },
    )

    pages = read(made)

    assert [r.event_id for page in pages for r in page.records] == ["e1", "e2", "e3"]
    (reject,) = [reject for page in pages for reject in page.rejects]
    assert reject.raw == {"line": "not json"}
    assert reject.code == "missing_field"
    assert pages[0].cursor["skip"] == 2
    assert made.discover()[0].deletes == "none"


def test_csv_with_quoted_line_breaks() -> None:
    content = (PAYLOADS / "accounts.csv").read_bytes()
    made = connector(
        lambda _request: httpx.Response(200, content=content),
        {"response_format": "csv", "csv_delimiter": ";", "record_type": "customer"},
    )

    (page,) = read(made)

    north, south = page.records
    assert north == CustomerRecord(
        external_id="C-1",
        name="North",
        custom={"note": "two\nlines; one cell"},
        raw={"id": "C-1", "name": "North", "note": "two\nlines; one cell"},
    )
    assert south.custom == {}


def test_the_specifications_rule_is_an_integration() -> None:
    rule = {
        "rule_id": "customer_api_sync",
        "organization_id": "org_123",
        "name": "Customer API Sync",
        "description": "Sync customer data from external API",
        "endpoint_url": "https://api.external.example.com/customers",
        "http_method": "GET",
        "headers": {"Authorization": "Bearer your_token"},
        "response_format": "json",
        "data_path": "customers",
        "sync_frequency": 1800,
        "field_mappings": {
            "customer_id": "external_customer_id",
            "email": "customer_email",
            "created_at": "registration_date",
        },
    }

    body = integration_of_rule(rule)

    assert body["sync_config"] == {"sync_mode": "full", "sync_frequency": 1800}
    assert body["integration_id"] == "customer_api_sync"
    assert "your_token" not in json.dumps(body["settings"])
    api = Api(
        lambda _r: httpx.Response(200, text=(PAYLOADS / "customers.json").read_text())
    )
    made = RestConnector(
        settings={"base_url": body["base_url"], **body["settings"]},
        secrets=body["credentials"]["custom_fields"],
        client=Client(adapter="rest", transport=httpx.MockTransport(api)),
        now=lambda: NOW,
    )
    (page,) = read(made)
    first, second = page.records
    assert api.requests[0].headers["authorization"] == "Bearer your_token"
    assert str(api.requests[0].url) == "https://api.external.example.com/customers"
    assert isinstance(first, CustomerRecord)
    assert first.external_id == "C-1001"
    assert first.email == "ops@north.example.com"
    assert first.signup_at == datetime(2024, 3, 9, 12, tzinfo=UTC)
    assert first.custom == {"tier": "gold", "seats": 12}
    assert second.signup_at == datetime(2025, 1, 31, tzinfo=UTC)


def test_a_rule_becomes_an_active_integration_without_its_key_in_sight(
    org: Organization,
) -> None:
    rule = {
        "rule_id": "customer_api_sync",
        "name": "Customer API Sync",
        "endpoint_url": "https://api.external.example.com/customers",
        "headers": {"Authorization": "Bearer your_token"},
        "data_path": "customers",
        "sync_frequency": 1800,
        "field_mappings": {"customer_id": "external_customer_id"},
    }

    made = registry.create(org, integration_of_rule(rule), by="test")

    assert (made.public_id, made.status) == ("customer_api_sync", "active")
    assert made.sync_frequency == 1800
    assert "your_token" not in str(vars(made))
    assert credentials.load(made)["headers"] == {"Authorization": "Bearer your_token"}
    (stream,) = connecting.discover(made)
    assert (stream.name, stream.record_type) == ("customer_api_sync", "customer")


def test_a_rule_without_an_address_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        integration_of_rule({"name": "x", "endpoint_url": "/customers"})

    assert "endpoint_url" in caught.value.fields


def test_a_rule_can_wait_for_a_person_and_holds_no_password(
    org: Organization,
) -> None:
    rule = {"rule_id": "by_hand", "name": "By hand", "sync_frequency": 0}
    address = "https://api.external.example.com/customers"

    made = registry.create(
        org, integration_of_rule({**rule, "endpoint_url": address}), by="test"
    )

    assert made.sync_frequency == 0
    with pytest.raises(ConfigError, match="stored openly"):
        integration_of_rule({**rule, "endpoint_url": address.replace("//", "//a:b@")})


@pytest.mark.parametrize("place", ["base_url", "token_url"])
def test_addresses_with_a_password_are_refused(org: Organization, place: str) -> None:
    body: dict[str, Any] = {
        "provider_name": "rest",
        "base_url": BASE,
        "settings": {"endpoints": [{"name": "a", "endpoint_url": "/a"}]},
    }
    where = body if place == "base_url" else body["settings"]
    where[place] = "https://ann:pw@api.example.com/"

    with pytest.raises(ConfigError) as caught:
        registry.create(org, body, by="test")

    assert set(caught.value.fields) == {place}


def dated(*stamps: str) -> list[dict[str, Any]]:
    return [{"id": n, "changed": stamp} for n, stamp in enumerate(stamps, start=1)]


CHANGES = {"field": "changed", "param": "since", "until_param": "until"}


def test_the_next_read_starts_a_little_before_the_greatest_mark() -> None:
    api = Api(
        lambda _r: httpx.Response(
            200, json=dated("2026-01-05T10:00:00Z", "2026-01-04T10:00:00Z")
        )
    )
    made = connector(api, {"incremental": CHANGES})

    pages = read(made, mode="incremental")
    assert pages[-1].cursor == {"watermark": "2026-01-05T10:00:00+00:00"}
    again = read(made, mode="incremental", cursor=pages[-1].cursor)

    assert api.queries == [{}, {"since": "2026-01-05T09:59:00Z"}]
    assert again[-1].cursor == pages[-1].cursor


def test_a_mark_after_the_beginning_of_the_read_is_read_again() -> None:
    made = connector(
        lambda _r: httpx.Response(200, json=dated("2026-01-10T12:00:07Z")),
        {"incremental": CHANGES},
    )

    (page,) = read(made, mode="incremental")

    assert page.cursor == {"watermark": NOW.isoformat()}


@pytest.mark.parametrize(
    ("form", "wanted"),
    [
        ("unix", "1767607140"),
        ("unix_ms", "1767607140000"),
        ("date", "2026-01-05"),
    ],
)
def test_the_mark_is_sent_as_the_api_wants_it(form: str, wanted: str) -> None:
    api = Api(lambda _r: httpx.Response(200, json=[]))
    made = connector(api, {"incremental": {**CHANGES, "format": form}})
    cursor = {"watermark": "2026-01-05T10:00:00+00:00"}

    (page,) = read(made, mode="incremental", cursor=cursor)

    assert api.queries == [{"since": wanted}]
    assert page.cursor == cursor


def test_the_connections_incremental_field_takes_the_place_of_the_endpoints() -> None:
    rows = [
        {"id": 1, "changed": "2026-01-05T10:00:00Z", "seen": "2026-01-02T10:00:00Z"},
        {"id": 2, "changed": "2026-01-01T10:00:00Z", "seen": "2026-01-03T10:00:00Z"},
    ]
    made = connector(
        lambda _r: httpx.Response(200, json=rows), {"incremental": CHANGES}
    )

    pages = read(made, mode="incremental", incremental_field="seen")

    assert pages[-1].cursor == {"watermark": "2026-01-03T10:00:00+00:00"}


def test_numbers_that_grow_are_marks_too() -> None:
    api = Api(
        lambda _r: httpx.Response(200, json=[{"id": 1, "seq": 9}, {"id": 2, "seq": 10}])
    )
    endpoint = {"incremental": {"field": "seq", "param": "from", "format": "number"}}

    (page,) = read(connector(api, endpoint), mode="incremental")
    read(connector(api, endpoint), mode="incremental", cursor=page.cursor)

    assert page.cursor == {"watermark": "10"}
    assert api.queries == [{}, {"from": "10"}]


def test_without_a_parameter_old_objects_are_left_out_here() -> None:
    made = connector(
        lambda _r: httpx.Response(
            200, json=dated("2026-01-01T00:00:00Z", "2026-01-06T00:00:00Z")
        ),
        {"incremental": {"field": "changed"}},
    )

    (page,) = read(
        made, mode="incremental", cursor={"watermark": "2026-01-05T00:00:00+00:00"}
    )

    assert (ids([page]), page.filtered) == (["2"], 1)


def test_a_range_is_asked_for_and_checked() -> None:
    api = Api(
        lambda _r: httpx.Response(
            200,
            json=dated(
                "2025-12-31T23:59:59Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
            ),
        )
    )
    made = connector(api, {"incremental": CHANGES})

    pages = read(
        made,
        mode="incremental",
        since=datetime(2026, 1, 1, tzinfo=UTC),
        until=datetime(2026, 1, 2, tzinfo=UTC),
    )

    assert api.queries == [
        {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:01Z"}
    ]
    assert ids(pages) == ["2"]
    assert sum(page.filtered for page in pages) == 2


def test_a_range_without_a_mark_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        read(connector(by_page, {}), since=NOW)

    assert caught.value.code == "no_watermark"


def test_a_wrong_data_path_is_told_and_deletes_nothing() -> None:
    made = connector(by_page, {"data_path": "data.rows"})

    with pytest.raises(ConfigError, match="it has rows") as caught:
        read(made)

    assert caught.value.code == "data_path"


def test_a_list_left_out_may_mean_an_empty_page() -> None:
    made = connector(
        lambda _r: httpx.Response(200, json={"total": 0}),
        {"data_path": "rows", "missing_means_empty": True},
    )

    assert ids(read(made)) == []


def test_objects_marked_as_deleted_are_tombstones() -> None:
    rows = [{"id": 1, "gone": False}, {"id": 2, "gone": "2026-01-01"}]
    made = connector(
        lambda _r: httpx.Response(200, json=rows), {"deleted_field": "gone"}
    )
    (stream,) = made.discover()

    (page,) = read(made)

    assert stream.deletes == "flag"
    assert [record.deleted for record in page.records] == [False, True]
    assert list(made.list_ids(stream)) == [["1"]]


def test_an_id_of_several_fields() -> None:
    made = connector(
        lambda _r: httpx.Response(200, json=[{"team": "a", "no": 1}, {"team": "a"}]),
        {"primary_key": ["team", "no"]},
    )

    (page,) = read(made)

    assert page.records == [
        ObjectRecord(external_id="a:1", kind="things", raw={"team": "a", "no": 1})
    ]
    (reject,) = page.rejects
    assert (reject.code, reject.field) == ("missing_id", "no")


def test_a_row_that_is_no_object_and_one_without_id_are_quarantined() -> None:
    made = connector(lambda _r: httpx.Response(200, json=[5, {"x": 1}]), {})

    (page,) = read(made)

    assert page.records == []
    assert [reject.raw for reject in page.rejects] == [{"value": 5}, {"x": 1}]


def test_a_quarantined_object_can_be_read_again() -> None:
    made = connector(
        by_page,
        {"record_type": "contact", "field_mappings": {"joined_at": "joined"}},
    )
    (stream,) = made.discover()

    record = made.parse(stream, {"id": "p1", "joined": "2026-01-01"})

    assert isinstance(record, ContactRecord)
    assert record.joined_at == datetime(2026, 1, 1, tzinfo=UTC)
    with pytest.raises(RecordError):
        made.parse(stream, {"id": "p1", "joined": "soon"})


def test_a_preview_shows_objects_records_and_faults_of_one_page() -> None:
    api = Api(
        lambda _r: httpx.Response(
            200,
            json=[{"id": 1, "mail": "a@example.com"}, {"mail": "b@example.com"}, {}],
        )
    )
    made = connector(
        api, {"record_type": "contact", "field_mappings": {"email": "mail"}}
    )

    seen = made.preview(limit=2)

    assert len(api.requests) == 1
    assert (seen.stream, seen.record_type, seen.has_more) == ("things", "contact", True)
    assert seen.fields == ["id", "mail"]
    assert seen.rows[0].record is not None
    assert seen.rows[0].record["email"] == "a@example.com"
    assert seen.rows[1].record is None
    assert seen.rows[1].error == "A contact needs a value for external_id."


def test_check_tells_what_came() -> None:
    made = connector(by_page, {"data_path": "rows", "pagination": {"type": "page"}})

    assert made.check() == (
        "Connected to api.example.com: things (2 or more) on the first page."
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "at least one"),
        ("[{", "no valid JSON"),
        ([{"name": "a"}], r"^Endpoint 1: endpoint_url is missing\.$"),
        (
            [{"name": "a", "endpoint_url": "/a"}, {"name": "b", "colour": 1}],
            r"^Endpoint 2: colour is not known\.$",
        ),
        (
            [{"name": "a", "endpoint_url": "/a", "pagination": {"size": 9}}],
            r"^Endpoint 1: pagination\.size is not known\.$",
        ),
        (
            [{"name": "a", "endpoint_url": "/a", "pagination": {"type": "book"}}],
            r"^Endpoint 1, pagination\.type: Invalid enum value 'book'\.$",
        ),
        ([3], "^Endpoint 1: Expected `object`, got `int`"),
        ([{"name": "a", "endpoint_url": "/a", "record_type": "cow"}], "record_type"),
        (
            [{"name": "a", "endpoint_url": "/a", "pagination": {"type": "cursor"}}],
            "needs param",
        ),
        ([{"name": "a", "endpoint_url": "/a"}] * 2, "same name"),
        (
            [{"name": "a", "endpoint_url": "/a", "headers": {"Authorization": "k"}}],
            "stored openly",
        ),
        (
            [{"name": "a", "endpoint_url": "https://ann:pw@api.example.com/a"}],
            "stored openly",
        ),
    ],
)
def test_endpoints_that_cannot_work_are_refused(given: Any, told: str) -> None:
    made = connector(by_page, {})
    made.settings = {"base_url": BASE, "endpoints": given}

    with pytest.raises(ConfigError, match=told) as caught:
        made.discover()

    assert "endpoints" in caught.value.fields


def test_conservation_holds_for_a_page_with_everything_in_it() -> None:
    rows = [*dated("2026-01-06T00:00:00Z"), {"changed": "2026-01-06T00:00:00Z"}, 3]
    rows += dated("2025-01-01T00:00:00Z")
    made = connector(
        lambda _r: httpx.Response(200, json=rows), {"incremental": {"field": "changed"}}
    )
    cursor = {"watermark": "2026-01-05T00:00:00+00:00"}

    (page,) = read(made, mode="incremental", cursor=cursor, batch_size=10)

    shaped = shape(page, Shape(stream="things", record_type="object"))
    assert (len(shaped.items), len(shaped.rejects), shaped.filtered) == (1, 2, 1)
