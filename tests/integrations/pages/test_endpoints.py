"""A REST API described by filling in fields: what they make of it, and back."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.forms import ValidationError
from django.test import Client

from integrations.connectors.rest.endpoints import parse_endpoints
from integrations.models import Integration
from integrations.views import endpoints
from tests.fakes.base import CANARY
from tests.fakes.rest import RestFake
from tests.fakes.server import FakeServer

PEOPLE = {
    "name": "people",
    "endpoint_url": "/people",
    "data_path": "data.items",
    "record_type": "contact",
    "primary_key": "id",
    "incremental": {"field": "changed", "param": "updated_since"},
    "pagination": {
        "type": "cursor",
        "param": "after",
        "cursor_path": "paging.after",
        "size_param": "limit",
        "page_size": 50,
    },
    "field_mappings": {"name": "full_name", "customer_id": "company.id"},
}


@pytest.mark.parametrize(
    "more",
    [
        {},
        {
            "pagination": {
                "type": "page",
                "param": "p",
                "first": 0,
                "has_more_path": "x",
            }
        },
        {"pagination": {"type": "offset", "param": "skip", "total_path": "count"}},
        {"pagination": {"type": "link", "rel": "older"}},
        {"pagination": {"type": "next_url", "next_path": "links.next"}},
        {"pagination": {"type": "keyset", "param": "since_id", "key": "id"}},
        {
            "pagination": {"type": "none"},
            "response_format": "csv",
            "csv_delimiter": ";",
        },
        {"incremental": {"field": "at", "format": "unix", "lookback_s": 5}},
        {"incremental": None, "deletes": "full", "deleted_field": "gone"},
        {"primary_key": ["a", "b"], "missing_means_empty": True, "custom": ["x"]},
        {"http_method": "POST", "body": {"q": 1}, "params": {"n": 2.5}},
        {"headers": {"Accept-Language": "de"}, "description": "People"},
        {"field_mappings": {"name": {"source": "n", "transform": {"kind": "upper"}}}},
    ],
)
def test_no_endpoint_is_changed_by_the_fields(more: dict[str, Any]) -> None:
    given = {**PEOPLE, **more}

    made = endpoints.join(endpoints.split(given), 1)

    assert parse_endpoints([made]) == parse_endpoints([given])


def test_only_what_the_paging_needs_is_taken() -> None:
    texts = endpoints.split(PEOPLE) | {"pages": "link"}

    made = endpoints.join(texts, 1)

    assert made["pagination"] == {
        "type": "link",
        "size_param": "limit",
        "page_size": 50,
    }


@pytest.mark.parametrize(
    ("texts", "told"),
    [
        ({"size": "many"}, "Endpoint 2: “many” is no number of rows."),
        ({"more": "{"}, "Endpoint 2: Expecting property name"),
        ({"more": "[1]"}, "Endpoint 2: write what else there is as an object"),
        ({"fields": "name"}, "Endpoint 2: Line 1 must look like"),
    ],
)
def test_what_cannot_be_understood_is_counted(texts: dict[str, str], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        endpoints.join(endpoints.split(PEOPLE) | texts, 2)

    assert caught.value.messages[0].startswith(told)


@pytest.fixture
def fake() -> RestFake:
    made = RestFake()
    made.seed(3)
    return made


def filled(server: FakeServer, fake: RestFake, **more: str) -> dict[str, str]:
    """The connection page as a person leaves it: one set filled in, two left empty."""
    given = fake.settings(server.url)
    form = {
        "integration_name": "People",
        "field-base_url": str(given["base_url"]),
        "field-auth_type": "bearer",
        "field-access_token": f"at-{CANARY}-1",
        "field-headers": json.dumps(fake.secrets()["headers"]),
        "field-endpoints-as": "form",
        "field-endpoints": "",
    }
    (endpoint,) = given["endpoints"]
    for number, texts in enumerate([endpoints.split(endpoint), {}, {}]):
        for part in endpoints.TEXTS:
            form[f"field-endpoints-{number}-{part}"] = texts.get(part, "")
    return {**form, **more}


@pytest.mark.django_db(transaction=True)
def test_an_api_is_connected_without_any_json(
    pages: Client, fake: RestFake, server: FakeServer
) -> None:
    seen = pages.post(
        "/integrations/new/rest/", {**filled(server, fake), "do": "preview"}
    )
    assert [row["record"]["name"] for row in seen.context["seen"]["rows"]] == [
        "Person 0", "Person 1", "Person 2",
    ]  # fmt: skip

    pages.post("/integrations/new/rest/", {**filled(server, fake), "do": "connect"})

    made = Integration.objects.get()
    wanted = parse_endpoints(fake.settings(server.url)["endpoints"])
    assert parse_endpoints(made.settings["endpoints"]) == wanted
    page = pages.get(f"/integrations/{made.public_id}/settings/").content.decode()
    assert 'name="field-endpoints-0-path" value="/people"' in page
    assert 'name="field-endpoints-0-cursor" value="paging.after"' in page
    # One set is in use, two wait for more.
    assert page.count('class="endpoint" open') == 1
    assert page.count('class="endpoint"') == 3


@pytest.mark.django_db(transaction=True)
def test_a_second_endpoint_is_added_and_the_first_left_out(
    pages: Client, fake: RestFake, server: FakeServer
) -> None:
    pages.post("/integrations/new/rest/", {**filled(server, fake), "do": "connect"})
    place = f"/integrations/{Integration.objects.get().public_id}/settings/"
    form = filled(server, fake, form="connection")

    added = {"field-endpoints-1-name": "staff", "field-endpoints-1-path": "/staff"}
    pages.post(place, {**form, **added})
    names = [each["name"] for each in Integration.objects.get().settings["endpoints"]]
    assert names == ["people", "staff"]

    pages.post(place, {**form, **added, "field-endpoints-0-drop": "1"})
    names = [each["name"] for each in Integration.objects.get().settings["endpoints"]]
    assert names == ["staff"]

    nothing = pages.post(place, {**form, "field-endpoints-0-drop": "1"})
    assert nothing.status_code == 422
    assert b"Name at least one endpoint." in nothing.content


@pytest.mark.django_db(transaction=True)
def test_a_refused_form_keeps_what_was_typed(
    pages: Client, fake: RestFake, server: FakeServer
) -> None:
    wrong = {"field-endpoints-0-pages": "keyset", "field-endpoints-0-param": ""}

    page = pages.post("/integrations/new/rest/", filled(server, fake, **wrong))

    assert page.status_code == 422
    html = page.content.decode()
    assert "pagination of type keyset needs param." in html
    assert 'name="field-endpoints-0-path" value="/people"' in html
    assert '<option value="keyset" selected>' in html
    # The two that stayed empty are offered again, not four.
    assert html.count('class="endpoint"') == 3


@pytest.mark.django_db(transaction=True)
def test_what_no_text_can_hold_is_left_out(
    pages: Client, fake: RestFake, server: FakeServer
) -> None:
    odd = {"field-endpoints-0-list": "data\x00.items", "do": "connect"}

    pages.post("/integrations/new/rest/", filled(server, fake, **odd))

    (endpoint,) = Integration.objects.get().settings["endpoints"]
    assert endpoint["data_path"] == "data.items"

    more = {"field-endpoints-0-more": '{"description": "a\\u0000"}', "do": "connect"}
    refused = pages.post("/integrations/new/rest/", filled(server, fake, **more))
    assert refused.status_code == 422
    assert b"with NUL characters" in refused.content


@pytest.mark.django_db
def test_those_who_know_json_may_write_it(pages: Client) -> None:
    typed = json.dumps([PEOPLE])
    form = {"field-endpoints-as": "json", "field-endpoints": typed}

    page = pages.post("/integrations/new/rest/", form)

    # Refused for want of an address; what was written stays as it was.
    assert page.status_code == 422
    (row,) = [r for r in page.context["form"].plain_rows() if r.get("editor")]
    assert (row["editor"]["mode"], row["editor"]["json"]) == ("json", typed)
    assert row["editor"]["sets"][0]["title"] == "people"
