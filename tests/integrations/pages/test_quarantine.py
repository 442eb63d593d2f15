"""Refused records: repaired, tried, replayed once, or discarded with a reason."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from churnguard.models import Quarantine, Ticket, User
from tests.integrations.pages.worlds import World

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def record(world: World) -> str:
    return f"/quarantine/{world.refused.pk}/"


def repaired(world: World) -> str:
    return json.dumps({**world.refused.raw, "ticket_id": "T-2"})


def test_a_record_is_repaired_tried_and_stored_once(
    world: World, pages: Client, record: str
) -> None:
    dry = pages.post(record, {"raw": repaired(world), "do": "try"})
    assert b"It can be stored as it stands here." in dry.content
    assert Ticket.objects.count() == 1

    pages.post(record, {"raw": repaired(world), "do": "replay"})
    again = pages.post(record, {"raw": repaired(world), "do": "replay"})

    assert Ticket.objects.filter(external_id="T-2").count() == 1
    assert again.status_code == 302
    assert Quarantine.objects.get().state == "replayed"


def test_a_record_that_is_still_wrong_says_why(
    world: World, pages: Client, record: str
) -> None:
    same = pages.post(record, {"raw": json.dumps(world.refused.raw), "do": "replay"})
    no_json = pages.post(record, {"raw": "{", "do": "replay"})
    a_list = pages.post(record, {"raw": "[]", "do": "try"})

    assert {same.status_code, no_json.status_code, a_list.status_code} == {422}
    assert b"This is no JSON" in no_json.content
    assert Quarantine.objects.get().state == "open"


def test_raw_data_is_shown_as_text(world: World, pages: Client, record: str) -> None:
    hostile = {"name": "</textarea><script>alert(1)</script>"}
    Quarantine.objects.update(raw=hostile, detail="<b>bold</b>")

    page = pages.get(record).content.decode()

    assert "<script>alert" not in page
    assert "<b>bold" not in page
    assert "&lt;/textarea&gt;" in page


def test_discarding_needs_a_reason_and_remembers_it(
    world: World, pages: Client, record: str
) -> None:
    silent = pages.post(record, {"do": "discard", "reason": " "})
    pages.post(record, {"do": "discard", "reason": "A test row."})

    assert silent.status_code == 422
    assert Quarantine.objects.get().state == "discarded"
    assert b"A test row." in pages.get(record).content


def test_many_are_tried_replayed_and_discarded_at_once(
    world: World, pages: Client
) -> None:
    none = pages.post("/quarantine/bulk/", {"do": "replay"}, follow=True)
    dry = pages.post(
        "/quarantine/bulk/", {"do": "try", "id": world.refused.pk}, follow=True
    )
    silent = pages.post("/quarantine/bulk/", {"do": "discard", "all": "1"}, follow=True)
    assert b"Tick at least one record." in none.content
    assert b"0 would be stored, 1 still not usable" in dry.content
    assert b"Say why the record is not wanted." in silent.content
    assert Quarantine.objects.get().state == "open"

    pages.post(
        "/quarantine/bulk/",
        {"do": "discard", "all": "1", "reason": "Tests", "source": "exports"},
    )

    assert Quarantine.objects.get().state == "discarded"
    page = pages.get("/quarantine/")
    assert b"Nothing is open" in page.content


def test_all_that_match_leaves_the_others_alone(world: World, pages: Client) -> None:
    pages.post(
        "/quarantine/bulk/",
        {"do": "discard", "all": "1", "reason": "Tests", "source": "another"},
    )

    assert Quarantine.objects.get().state == "open"


def test_a_viewer_reads_a_record_but_repairs_none(
    world: World, client: Client, bob: User, record: str
) -> None:
    client.force_login(bob)

    page: Any = client.get(record)

    assert b"<textarea" not in page.content
    assert client.post(record, {"do": "replay"}).status_code == 403
