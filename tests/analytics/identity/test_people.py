"""People over all sources: who is whom, why, how fresh, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import rollups
from analytics.identity import people, sayings
from analytics.identity.keys import product_user
from analytics.models import PersonDecision, PersonReview
from churnguard.models import (
    AuditEntry,
    Contact,
    Customer,
    Organization,
    Person,
    PersonLink,
)
from churnguard.records import ContactRecord, CustomerRecord, EventRecord
from tests.analytics.identity.test_resolve import settle, write

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANN = {
    "crm": ContactRecord(
        external_id="003",
        customer_id="001",
        email=" Ann@Acme.example ",
        name="Ann Lee",
        title="CFO",
        updated_at=NOW - timedelta(days=9),
    ),
    "desk": ContactRecord(
        external_id="77", customer_id="org7", email="ann@acme.example", user_id="u-1"
    ),
    "mail": ContactRecord(external_id="m1", email="ann@acme.example", opted_out=True),
    "web": ContactRecord(external_id="u-1", customer_id="ws", user_id="u-1"),
    "billing": ContactRecord(external_id="cus_1", links={"crm": "003"}),
}


def groups(org: Organization) -> list[tuple[str, ...]]:
    """People who have contacts, as sorted tuples of source:id."""
    out: dict[int, list[str]] = {}
    for one in Contact.objects.filter(organization=org).select_related("source"):
        out.setdefault(one.person_id, []).append(f"{one.source.name}:{one.external_id}")
    return sorted(tuple(sorted(ids)) for ids in out.values())


def links() -> list[tuple[int, int]]:
    rows = PersonLink.objects.filter(valid_to__isnull=True)
    return sorted(rows.values_list("contact_id", "person_id"))


def contact(source: str, external_id: str) -> Contact:
    return Contact.objects.get(source__name=source, external_id=external_id)


@pytest.fixture
def ann(org: Organization) -> Person:
    """Ann as five sources know her, at an account that three of them know."""
    write(org, "crm", CustomerRecord(external_id="001", name="Acme"))
    write(org, "desk", CustomerRecord(external_id="org7", links={"crm": "001"}))
    write(
        org,
        "billing",
        CustomerRecord(
            external_id="b1", links={"crm": "001"}, email="ann@acme.example"
        ),
    )
    write(org, "web", CustomerRecord(external_id="ws", links={"crm": "001"}))
    for source, record in ANN.items():
        write(org, source, record)
    for day in (3, 1):
        write(
            org,
            "web",
            EventRecord(
                event_id=f"e{day}",
                customer_id="ws",
                user_id="u-1",
                event="login",
                timestamp=NOW - timedelta(days=day),
            ),
            EventRecord(
                event_id=f"n{day}",
                customer_id="ws",
                user_id="nobody",
                event="login",
                timestamp=NOW,
            ),
        )
    while rollups.fold(NOW):
        pass
    settle()
    return contact("crm", "003").person


NAMES = st.sampled_from(["a", "b", "c"])
CONTACTS = st.lists(
    st.tuples(
        st.sampled_from(["crm", "billing", "desk", "mail"]),
        NAMES,
        st.sampled_from(["", "x@acme.example", "Y@gmail.com", "info@acme.example"]),
        st.sampled_from(["", "u-1", "u-2", "anonymous"]),
        st.sampled_from(["", "crm:a", "desk:b"]),
    ),
    min_size=2,
    max_size=6,
    unique_by=lambda row: (row[0], row[1]),
)


@pytest.mark.django_db
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rows=CONTACTS, data=st.data())
def test_any_order_of_arrival_gives_the_same_people(
    rows: list[tuple[str, ...]], data: st.DataObject
) -> None:
    answers = []
    for order in (rows, data.draw(st.permutations(rows))):
        with transaction.atomic():
            org = Organization.objects.create(name="Acme")
            for source, name, email, user, link in order:
                to, _, there = link.partition(":")
                write(
                    org,
                    source,
                    ContactRecord(
                        external_id=name,
                        email=email or None,
                        user_id=user or None,
                        links={to: there} if link else {},
                    ),
                )
                if data.draw(st.booleans()):
                    settle()
            settle()
            reviews = PersonReview.objects.filter(resolved_at__isnull=True)
            told = sorted(reviews.values_list("rule", "key"))
            answers.append((groups(org), told))
            transaction.set_rollback(True)
    assert answers[0] == answers[1]


def test_five_sources_know_one_person_each_link_with_its_evidence(
    org: Organization, ann: Person
) -> None:
    assert len(groups(org)) == 1
    assert not PersonReview.objects.exists()
    why = {
        link.contact.source.name: (link.rule, link.evidence["key"])
        for link in PersonLink.objects.filter(valid_to__isnull=True).exclude(
            rule="created"
        )
    }
    # Ids come before users, users before addresses; the oldest person stays.
    assert why == {
        "desk": ("user_id", "u-1"),
        "web": ("user_id", "u-1"),
        "mail": ("email", "ann@acme.example"),
        "billing": ("foreign_id", "crm:003"),
    }
    assert PersonLink.objects.filter(valid_to__isnull=False).count() == 4
    assert Person.objects.filter(merged_into=ann).count() == 4


def test_people_of_one_address_at_two_firms_leave_the_firms_apart(
    org: Organization,
) -> None:
    write(org, "crm", CustomerRecord(external_id="1", name="Acme"))
    write(org, "desk", CustomerRecord(external_id="9", name="Birch"))
    bob = {"email": "bob@gmail.com"}
    role = {"email": "info@acme.example"}
    write(org, "crm", ContactRecord(external_id="c1", customer_id="1", **bob))
    write(org, "desk", ContactRecord(external_id="d1", customer_id="9", **bob))
    write(org, "crm", ContactRecord(external_id="c2", customer_id="1", **role))
    write(org, "desk", ContactRecord(external_id="d2", customer_id="9", **role))
    settle()

    assert groups(org) == [("crm:c1", "desk:d1"), ("crm:c2",), ("desk:d2",)]
    assert Customer.objects.filter(merged_into__isnull=True).count() == 2
    page = people.of_person(contact("crm", "c1").person)
    assert [one.name for one in page.customers] == ["Acme", "Birch"]


@pytest.mark.parametrize(
    "user", ["", "0", "anonymous", "00000000-0000-0000-0000-000000000000", "$device:1"]
)
def test_ids_that_stand_for_nobody_join_nobody(user: str) -> None:
    assert product_user(user) is None


def test_two_contacts_of_one_source_with_one_address_open_a_review(
    org: Organization, alice: Any, api: Callable[..., Any]
) -> None:
    for name in ("1", "2"):
        write(org, "crm", ContactRecord(external_id=name, email="x@acme.example"))
    write(org, "desk", ContactRecord(external_id="d", email="x@acme.example"))
    settle()
    assert len(groups(org)) == 3

    (review,) = api(alice).get("/api/v1/identity/people/reviews").json()["results"]
    assert (review["rule"], review["key"]) == ("email", "x@acme.example")
    assert len(review["contacts"]) == 3
    answer = api(alice).post(
        f"/api/v1/identity/people/reviews/{review['review_id']}/decide",
        {"verdict": "same"},
        format="json",
    )
    assert answer.json()["contacts_moved"] == 2
    assert groups(org) == [("crm:1", "crm:2", "desk:d")]
    assert not PersonReview.objects.filter(resolved_at__isnull=True).exists()


def test_merge_and_split_are_taken_back_link_by_link(
    org: Organization, ann: Person, alice: Any, api: Callable[..., Any]
) -> None:
    write(org, "crm", ContactRecord(external_id="004", name="A. Lee"))
    settle()
    before, client = links(), api(alice)
    other = contact("crm", "004").person

    merged = client.post(
        f"/api/v1/people/{other.public_id}/merge",
        {"into": ann.public_id},
        format="json",
    ).json()
    assert merged == {
        "decision_id": merged["decision_id"],
        "person_id": ann.public_id,
        "contacts_moved": 1,
    }
    assert client.get(f"/api/v1/people/{other.public_id}").json()["person_id"] == (
        ann.public_id
    )
    undo = "/api/v1/identity/people/decisions/{}/revoke"
    client.post(undo.format(merged["decision_id"]))
    assert links() == before

    split = client.post(
        f"/api/v1/people/{ann.public_id}/split",
        {"identity": contact("mail", "m1").pk},
        format="json",
    ).json()
    assert ("mail:m1",) in groups(org)
    assert split["person_id"] == contact("mail", "m1").person.public_id
    client.post(undo.format(split["decision_id"]))
    assert links() == before
    again = client.post(undo.format(split["decision_id"]))
    assert (again.status_code, again.json()["code"]) == (400, "decision_revoked")
    actions = AuditEntry.objects.values_list("action", flat=True)
    assert {"person.merged", "person.split"} <= set(actions)


def test_the_api_says_who_says_what_and_how_fresh(
    org: Organization, ann: Person, alice: Any, api: Callable[..., Any]
) -> None:
    client = api(alice)
    customer = contact("crm", "003").customer_source.customer

    found = client.get(f"/api/v1/customers/{customer.public_id}/people").json()
    (row,) = found["results"]
    assert (row["name"], row["email"], row["title"]) == (
        "Ann Lee",
        "ann@acme.example",
        "CFO",
    )
    assert row["sources"] == ["billing", "crm", "desk", "mail", "web"]
    assert row["billed_by"] == ["billing"]
    assert row["used_at"] == "2026-11-19T12:00:00Z"
    assert (found["total"], found["nameless_users"]) == (1, 1)

    detail = client.get(f"/api/v1/people/{ann.public_id}").json()
    assert detail["customers"] == [customer.public_id]
    (use,) = detail["uses"]
    assert (use["user_id"], use["events"], use["rule"]) == ("u-1", 2, "own_id")
    fields = {one["name"]: one for one in detail["fields"]}
    assert fields["title"]["why"] == "Only crm says it."
    assert fields["user_id"]["why"] == "Both agree."
    # Three records came without a time of their own, at the same moment: the last.
    assert [one["source"] for one in fields["email"]["sayings"]] == [
        "mail",
        "desk",
        "crm",
    ]
    assert fields["email"]["sayings"][-1]["is_own_time"] is True
    assert fields["email"]["sayings"][0]["is_own_time"] is False

    said = client.get(f"/api/v1/customers/{customer.public_id}/sources").json()
    assert [one["source"] for one in said["sources"]] == [
        "billing",
        "crm",
        "desk",
        "web",
    ]
    assert all(one["heard_at"] for one in said["sources"])
    (name,) = [one for one in said["fields"] if one["name"] == "name"]
    assert (name["value"], name["sayings"][0]["is_winner"]) == ("Acme", True)


def test_the_winner_shown_is_the_value_the_account_has(org: Organization) -> None:
    old, new = NOW - timedelta(days=3), NOW - timedelta(days=1)
    write(
        org,
        "crm",
        CustomerRecord(external_id="1", name="Acme", plan="Gold", updated_at=old),
    )
    write(
        org,
        "billing",
        CustomerRecord(
            external_id="b", name="ACME", links={"crm": "1"}, updated_at=new
        ),
    )
    write(org, "desk", CustomerRecord(external_id="d", name="acme", links={"crm": "1"}))
    write(org, "desk", CustomerRecord(external_id="d", deleted=True))
    settle()

    customer = Customer.objects.get(merged_into__isnull=True)
    members = list(customer.sources.select_related("source"))
    fields = {one.name: one for one in sayings.fields_of(members)}

    assert {name: one.value for name, one in fields.items()} == {
        "name": customer.name,
        "plan": customer.plan,
    }
    assert fields["name"].value == "ACME"
    assert fields["name"].why == "billing is the newest of 3."


def test_the_pages_show_people_and_take_decisions(
    org: Organization, ann: Person, alice: Any, bob: Any, client: Client
) -> None:
    client.force_login(alice)
    customer = contact("crm", "003").customer_source.customer
    page = client.get(f"/customers/{customer.public_id}/").content.decode()
    assert f'href="/people/{ann.public_id}/"' in page
    assert "account address in billing" in page
    assert "1 more uses the product without a contact" in page
    assert "Only crm says it." in page

    path = f"/people/{ann.public_id}/"
    page = client.get(path).content.decode()
    assert "Same user of the product" in page
    assert "A source names the other&#x27;s id" in page
    mail = contact("mail", "m1")
    client.post(f"{path}split/", {"identity": mail.pk, "confirm": "wrong"})
    assert len(groups(org)) == 1
    client.post(f"{path}split/", {"identity": mail.pk, "confirm": "m1"})
    assert len(groups(org)) == 2
    decision = PersonDecision.objects.filter(verdict="cannot").first()
    client.post(f"/identity/people/decisions/{decision.pk}/revoke/")
    assert len(groups(org)) == 1

    client.force_login(bob)
    assert "split-" not in client.get(path).content.decode()
    answer = client.post(f"{path}split/", {"identity": mail.pk, "confirm": "m1"})
    assert answer.status_code == 403
