"""Merging and undoing, on the tables: links, customers and scores come back."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import permutations
from typing import Any

import pytest
from django.db import connection

from analytics.identity import resolve
from analytics.models import IdentityDecision, IdentityReview
from churnguard.models import (
    Customer,
    CustomerSource,
    IdentityLink,
    Organization,
    Source,
)
from churnguard.records import CustomerRecord
from integrations import load

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
COMPANY = {
    "crm": CustomerRecord(external_id="001", name="Acme", domain="acme.example"),
    "billing": CustomerRecord(external_id="cus", name="ACME Inc", links={"crm": "001"}),
    "product": CustomerRecord(external_id="ws", email="ann@acme.example"),
}


def write(org: Organization, source: str, *records: Any) -> None:
    row, _ = Source.objects.get_or_create(organization=org, name=source)
    load.write(
        connection,
        org_id=org.pk,
        source_id=row.pk,
        origin="ingest",
        items=list(records),
        received_at=NOW,
    )


def settle() -> None:
    while resolve.tick(NOW):
        pass


def living(org: Organization) -> list[tuple[str, ...]]:
    """Customers as sorted tuples of their sources."""
    rows = Customer.objects.filter(organization=org, merged_into__isnull=True)
    return sorted(
        tuple(sorted(row.sources.values_list("source__name", flat=True)))
        for row in rows
    )


@pytest.mark.parametrize("order", list(permutations(COMPANY)))
def test_a_company_known_to_three_sources_is_one_customer_in_any_order(
    org: Organization, order: tuple[str, ...]
) -> None:
    for source in order:
        write(org, source, COMPANY[source])
        settle()

    assert living(org) == [("billing", "crm", "product")]
    customer = Customer.objects.get(merged_into__isnull=True)
    assert customer.score_stale_at is not None
    open_links = IdentityLink.objects.filter(valid_to__isnull=True)
    assert {link.customer_id for link in open_links} == {customer.pk}
    assert open_links.count() == 3


def test_a_correction_takes_the_link_back_and_the_old_customers_return(
    org: Organization,
) -> None:
    write(org, "crm", COMPANY["crm"])
    write(org, "billing", COMPANY["billing"])
    before = sorted(CustomerSource.objects.values_list("pk", "customer_id"))
    settle()
    assert living(org) == [("billing", "crm")]

    write(
        org,
        "billing",
        CustomerRecord(external_id="cus", name="ACME Inc", links={"crm": "999"}),
    )
    settle()

    assert living(org) == [("billing",), ("crm",)]
    assert sorted(CustomerSource.objects.values_list("pk", "customer_id")) == before
    assert not Customer.objects.filter(merged_into__isnull=False).exists()
    closed = IdentityLink.objects.filter(valid_to__isnull=False)
    assert closed.count() == 2  # the created link and the merged one, both kept


def test_a_decision_of_a_person_is_obeyed_and_revocable(org: Organization) -> None:
    write(org, "crm", COMPANY["crm"])
    write(org, "billing", COMPANY["billing"])
    settle()
    first, second = CustomerSource.objects.order_by("pk")
    decision = IdentityDecision.objects.create(
        organization=org,
        first=first,
        second=second,
        verdict="cannot",
        decided_by="ann@acme.example",
    )

    resolve.resolve_now(org.pk, [first.pk], NOW)
    assert living(org) == [("billing",), ("crm",)]

    decision.revoked_at = NOW
    decision.save()
    resolve.resolve_now(org.pk, [first.pk], NOW)
    assert living(org) == [("billing", "crm")]


def test_conflicts_open_one_review_and_close_it_when_gone(org: Organization) -> None:
    write(
        org,
        "crm",
        CustomerRecord(external_id="1", domain="agency.example"),
        CustomerRecord(external_id="2", domain="agency.example"),
    )
    write(org, "product", CustomerRecord(external_id="w", domain="agency.example"))
    settle()
    settle()

    review = IdentityReview.objects.get()
    assert (review.rule, review.key) == ("domain", "agency.example")
    assert len(review.members) == 3
    assert len(living(org)) == 3

    write(org, "crm", CustomerRecord(external_id="2", domain="other.example"))
    settle()
    review.refresh_from_db()
    assert review.resolved_at is not None
    assert living(org) == [("crm",), ("crm", "product")]


def test_organisations_never_meet(org: Organization, other_org: Organization) -> None:
    write(org, "crm", COMPANY["crm"])
    write(other_org, "product", COMPANY["product"])
    settle()

    assert living(org) == [("crm",)]
    assert living(other_org) == [("product",)]
