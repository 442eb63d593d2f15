"""The identity API and pages: who may, what they answer, what strangers get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from analytics.models import IdentityDecision, IdentityReview
from churnguard.models import CustomerSource, Organization
from churnguard.records import CustomerRecord
from tests.analytics.identity.test_resolve import living, settle, write


@pytest.fixture
def world(org: Organization) -> Organization:
    """One review (agency.example) and one suggestion (Acme Rockets)."""
    cache.clear()
    for number in ("1", "2"):
        write(org, "crm", CustomerRecord(external_id=number, domain="agency.example"))
    write(org, "web", CustomerRecord(external_id="w", domain="agency.example"))
    write(org, "crm", CustomerRecord(external_id="3", name="Acme Rockets Inc"))
    write(org, "desk", CustomerRecord(external_id="a", name="ACME Rockets GmbH"))
    settle()
    return org


def ref(external_id: str) -> CustomerSource:
    return CustomerSource.objects.get(external_id=external_id)


def test_merge_split_and_undo_over_the_api(
    world: Organization, alice: Any, api: Callable[..., Any]
) -> None:
    client = api(alice)
    one, other = ref("3").customer, ref("a").customer

    answer = client.post(
        f"/api/v1/customers/{other.public_id}/merge", {"into": "crm:3"}, format="json"
    )
    assert answer.status_code == 200, answer.json()
    assert answer.json()["customer_id"] == one.public_id
    assert ("crm", "desk") in living(world)
    undone = client.post(
        f"/api/v1/identity/decisions/{answer.json()['decision_id']}/revoke"
    )
    assert undone.json()["identities_moved"] == 1
    assert ("crm", "desk") not in living(world)

    again = client.post(
        f"/api/v1/identity/decisions/{answer.json()['decision_id']}/revoke"
    )
    assert (again.status_code, again.json()["code"]) == (400, "decision_revoked")
    alone = client.post(
        f"/api/v1/customers/{one.public_id}/split",
        {"identity": ref("3").pk},
        format="json",
    )
    assert (alone.status_code, alone.json()["code"]) == (400, "only_identity")
    missing = client.post(f"/api/v1/customers/{one.public_id}/merge", {}, format="json")
    assert list(missing.json()["fields"]) == ["into"]


def test_reviews_and_suggestions_over_the_api(
    world: Organization, alice: Any, bob: Any, charlie: Any, api: Callable[..., Any]
) -> None:
    client = api(alice)
    (review,) = client.get("/api/v1/identity/reviews").json()["results"]
    assert review["key"] == "agency.example"
    assert len(review["identities"]) == 3
    (found,) = client.get("/api/v1/identity/suggestions").json()["results"]
    assert found["weight"] == sum(item["weight"] for item in found["evidence"])

    address = f"/api/v1/identity/reviews/{review['review_id']}/decide"
    said = {"verdict": "same"}
    pair = {
        "first": found["first"]["identity"],
        "second": found["second"]["identity"],
        "verdict": "different",
    }
    assert api(bob).post(address, said, format="json").status_code == 403
    assert api(charlie).post(address, said, format="json").status_code == 404
    stranger = api(charlie).post(
        "/api/v1/identity/suggestions/decide", pair, format="json"
    )
    assert stranger.status_code == 404
    for path in ("reviews", "suggestions"):
        assert api(charlie).get(f"/api/v1/identity/{path}").json()["results"] == []

    assert client.post(address, said, format="json").status_code == 200
    assert ("crm", "crm", "web") in living(world)
    client.post("/api/v1/identity/suggestions/decide", pair, format="json")
    assert client.get("/api/v1/identity/suggestions").json()["results"] == []


def test_the_pages_decide_merge_split_and_undo(
    world: Organization, alice: Any, client: Client
) -> None:
    client.force_login(alice)
    page = client.get("/identity/").content.decode()
    assert "agency.example" in page
    assert "ACME Rockets GmbH" in page
    review = IdentityReview.objects.get()
    client.post(f"/identity/reviews/{review.pk}/", {"verdict": "dismiss"})
    review.refresh_from_db()
    assert review.resolved_by == alice.email

    one = ref("3").customer
    path = f"/customers/{one.public_id}/"
    client.post(f"{path}merge/", {"into": "desk:a", "confirm": "wrong"})
    assert not IdentityDecision.objects.exists()
    client.post(f"{path}merge/", {"into": "desk:a", "confirm": one.public_id})
    assert ("crm", "desk") in living(world)
    panel = client.get(path).content.decode()
    assert "A person said so" in panel
    decision = IdentityDecision.objects.get()
    client.post(f"/identity/decisions/{decision.pk}/revoke/")
    assert ("crm", "desk") not in living(world)

    client.post(
        "/identity/suggestions/",
        {"first": ref("3").pk, "second": ref("a").pk, "verdict": "same"},
    )
    assert ("crm", "desk") in living(world)
    split = {"identity": ref("a").pk, "confirm": "a"}
    client.post(f"{path}split/", split)
    assert ("crm", "desk") not in living(world)


def test_a_viewer_reads_without_buttons(
    world: Organization, bob: Any, client: Client
) -> None:
    client.force_login(bob)
    page = client.get("/identity/").content.decode()
    assert "agency.example" in page
    assert 'name="verdict"' not in page
    panel = client.get(f"/customers/{ref('3').customer.public_id}/").content.decode()
    assert "identities-title" in panel
    assert "merge-dialog" not in panel
