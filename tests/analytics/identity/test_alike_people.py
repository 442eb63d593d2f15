"""Suggestions about people: within one account or company domain, sums by hand, role
addresses left out, never again once decided, whatever arrived first."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from analytics.identity import suggestions
from analytics.identity.alike_people import Card, weigh
from analytics.identity.levels import PEOPLE
from analytics.models import PersonDecision
from churnguard.models import AuditEntry, Contact, Organization
from churnguard.records import ContactRecord, CustomerRecord
from tests.analytics.identity.test_resolve import settle, write

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
PHONE = "+49 (30) 9018-20"
FULL = Card("Ann Lee", "ann.lee@acme.example", PHONE)


def points(one: Card, other: Card, **where: bool) -> list[float]:
    scope = {"is_same_source": False, "is_one_account": True, **where}
    reasons = weigh(one, other, **scope)
    assert weigh(other, one, **scope) == reasons
    return [points for _, points in reasons]


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        # The same name, phone, and name before the @ under another domain.
        (Card("LEE, Ann", "annlee@acme.test", "030 901820"), [0.5, 4.0, 2.5, 2.5]),
        (Card("A. Lee", "a.lee@acme.test", ""), [0.5, 2.5, 1.5]),
        (Card("Ann Leigh", "", PHONE), [0.5, 2.5]),
        (Card("Anne Lee", "anne.lee@acme.example", ""), [0.5, 3.0, 1.5]),
        (Card("Bo Chan", "bo@acme.example", PHONE), [0.5, -3.0, 2.5, -0.5]),
        (Card("Support Team", "", PHONE), [0.5, 2.5]),
        (Card("", "ann_lee@gmail.com", ""), [0.5, 2.5]),
        # What the same address says is no matter of likeness.
        (Card("Ann Lee", "ANN.LEE@acme.example", PHONE), []),
    ],
)
def test_reasons_are_symmetric_and_add_up(other: Card, expected: list[float]) -> None:
    assert points(FULL, other) == expected


def test_the_same_source_speaks_against_it() -> None:
    other = Card("Ann Lee", "", "")

    assert points(FULL, other, is_same_source=True) == [0.5, 4.0, -1.5]
    assert points(FULL, other, is_one_account=False) == [0.5, 4.0]


def person(customer: str, key: str, name: str, email: str, **more: Any) -> Any:
    return ContactRecord(
        external_id=key, customer_id=customer or None, name=name, email=email or None,
        **more,
    )  # fmt: skip


CRM = [
    CustomerRecord(external_id="1", name="Acme", domain="acme.example"),
    CustomerRecord(external_id="2", name="Birch", domain="birch.example"),
    person("1", "ann", "Ann Lee", "ann.lee@acme.example", phone=PHONE),
    person("1", "info", "Ann Lee", "info@acme.example"),
    person("2", "bo", "Bo Chan", "bo.chan@birch.example"),
    person("", "cy", "Cy Diaz", "cy.diaz@cedar.example"),
]
DESK = [
    CustomerRecord(external_id="o1", links={"crm": "1"}),
    CustomerRecord(external_id="o2", links={"crm": "2"}),
    # One account, short name and phone.
    person("o1", "d1", "A. Lee", "", phone="030 901820"),
    # The same name at another account: nobody.
    person("o2", "d2", "Ann Lee", ""),
    # A function of the account, not a person.
    person("o2", "d3", "Bo Chan", "support@birch.example"),
    # No account at all, but one company domain.
    person("", "d4", "Cy Diaz", "c.diaz@cedar.example"),
    # No company: an address of the public.
    person("", "d5", "Cy Diaz", "cydiaz@gmail.com"),
]
WEB = [person("", "w1", "Cy Diaz", "cy_diaz@gmail.com")]


def pairs(org: Organization) -> set[frozenset[str]]:
    found = suggestions.compute(org, NOW, PEOPLE)
    names = dict(Contact.objects.values_list("pk", "external_id"))
    return {frozenset((names[one.first], names[one.second])) for one in found.items}


@pytest.mark.parametrize("order", list(permutations(("crm", "desk", "web"))))
def test_pairs_of_one_account_or_company_in_any_order(
    org: Organization, order: tuple[str, ...]
) -> None:
    records = {"crm": CRM, "desk": DESK, "web": WEB}
    for source in order:
        write(org, source, *records[source])
        settle()

    assert pairs(org) == {frozenset(("ann", "d1")), frozenset(("cy", "d4"))}
    assert suggestions.compute(org, NOW).items == []


def test_a_crowd_names_nobody_and_other_organisations_do_not_count(
    org: Organization, other_org: Organization
) -> None:
    write(org, "crm", CRM[0], *(person("1", f"n{n}", "Ann Lee", "") for n in range(21)))
    write(other_org, "crm", CRM[0], person("1", "ann", "Ann Lee", ""))
    write(other_org, "desk", DESK[0], person("o1", "d", "Ann Lee", ""))
    settle()

    assert suggestions.compute(org, NOW, PEOPLE).items == []
    assert len(suggestions.compute(other_org, NOW, PEOPLE).items) == 1


@pytest.fixture
def world(org: Organization) -> Organization:
    cache.clear()
    write(org, "crm", *CRM)
    write(org, "desk", *DESK)
    settle()
    return org


def contact(key: str) -> Contact:
    return Contact.objects.get(external_id=key)


def test_accepting_and_rejecting_over_the_api(
    world: Organization, alice: Any, bob: Any, charlie: Any, api: Callable[..., Any]
) -> None:
    path = "/api/v1/identity/people/suggestions"
    client = api(alice)
    found = client.get(path).json()["results"]
    assert len(found) == 2
    by_key = {one["first"]["external_id"]: one for one in found}
    ann, cy = by_key["ann"], by_key["cy"]
    assert ann["second"]["external_id"] == "d1"
    assert ann["weight"] == sum(item["weight"] for item in ann["evidence"]) == 5.5
    said = {
        "first": ann["first"]["identity"], "second": ann["second"]["identity"],
        "verdict": "same",
    }  # fmt: skip
    assert api(bob).post(f"{path}/decide", said, format="json").status_code == 403
    assert api(charlie).post(f"{path}/decide", said, format="json").status_code == 404
    assert api(charlie).get(path).json()["results"] == []
    assert not PersonDecision.objects.exists()

    act = client.post(f"{path}/decide", said, format="json").json()
    assert act["person_id"] == contact("ann").person.public_id
    assert contact("d1").person_id == contact("ann").person_id
    again = client.post(f"{path}/decide", {**said, "verdict": "different"},
                        format="json")  # fmt: skip
    assert (again.status_code, again.json()["code"]) == (400, "same_person")

    client.post(
        f"{path}/decide",
        {"first": cy["first"]["identity"], "second": cy["second"]["identity"],
         "verdict": "different"},
        format="json",
    )  # fmt: skip
    assert client.get(path).json()["results"] == []
    assert pairs(world) == set()
    verbs = AuditEntry.objects.filter(target_type="person").values_list(
        "action", flat=1
    )
    assert set(verbs) == {
        "identity.suggestion_accepted", "identity.suggestion_rejected"
    }  # fmt: skip

    # Undone, both are asked about again.
    client.post(f"/api/v1/identity/people/decisions/{act['decision_id']}/revoke")
    assert contact("d1").person_id != contact("ann").person_id
    assert pairs(world) == {frozenset(("ann", "d1"))}


def test_a_contact_that_is_nobody_yet_cannot_be_judged(
    world: Organization, alice: Any, api: Callable[..., Any]
) -> None:
    write(world, "web", *WEB)
    given = {"first": contact("w1").pk, "second": contact("ann").pk, "verdict": "same"}

    answer = api(alice).post(
        "/api/v1/identity/people/suggestions/decide", given, format="json"
    )

    assert answer.status_code == 404
    assert not PersonDecision.objects.exists()


def test_the_page_shows_and_decides(
    world: Organization, alice: Any, client: Client
) -> None:
    client.force_login(alice)
    page = client.get("/identity/").content.decode()
    assert "People who look alike" in page
    assert "One name is short for the other +2.5" in page
    given = {"first": contact("ann").pk, "second": contact("d1").pk}

    told = client.post(
        "/identity/people/suggestions/", {**given, "verdict": "same"}, follow=True
    )

    assert "They are one person now." in told.content.decode()
    assert contact("d1").person_id == contact("ann").person_id
    assert "A. Lee" not in client.get("/identity/").content.decode()
