"""People merge, split, decide and undo; undo gives back every number bit for bit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analytics import rollups, scoring, trends
from analytics.identity import actions, resolve
from analytics.models import HealthScore, IdentityDecision, IdentityReview
from churnguard.errors import ConfigError
from churnguard.models import (
    AuditEntry,
    Customer,
    CustomerSource,
    IdentityLink,
    Organization,
)
from churnguard.records import CustomerRecord, EventRecord
from tests.analytics.identity.test_resolve import COMPANY, living, settle, write

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ANN: Any = "ann@acme.example"


@pytest.fixture(autouse=True)
def actor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actions.audit, "actor_of", str)


def identity(source: str, external_id: str) -> CustomerSource:
    return CustomerSource.objects.get(source__name=source, external_id=external_id)


def customer(source: str, external_id: str) -> Customer:
    return identity(source, external_id).customer


def links() -> list[tuple[int, int]]:
    rows = IdentityLink.objects.filter(valid_to__isnull=True)
    return sorted(rows.values_list("customer_source_id", "customer_id"))


def picture(org: Organization, at: datetime) -> dict[str, Any]:
    """Everything people can read of the organisation's customers, scored at `at`."""
    scoring.score_now(org.pk, list(org.customer_set.values_list("pk", flat=True)), at)
    out: dict[str, Any] = {"links": links()}
    for row in org.customer_set.order_by("pk"):
        newest = HealthScore.objects.filter(customer=row).order_by("-at", "-pk").first()
        usage = trends.usage_trend(org, trends.Question("90d", customer=row), at)
        out[row.public_id] = (
            row.name,
            row.merged_into_id,
            row.score,
            row.coverage_pct,
            row.mrr_minor,
            # Without a score nothing is shown, whatever was said before.
            row.score is not None
            and newest
            and (newest.score_exact, newest.parts, newest.parts_hash),
            msgspec.json.encode(usage),
        )
    return out


def taken_back(org: Organization, at: datetime) -> dict[str, Any]:
    """`picture` without leaving a trace."""
    with transaction.atomic():
        seen = picture(org, at)
        transaction.set_rollback(True)
    return seen


def use(org: Organization, source: str, external_id: str, days: list[int]) -> None:
    write(
        org,
        source,
        *(
            EventRecord(
                event_id=f"{source}{external_id}{day}",
                customer_id=external_id,
                event="login",
                timestamp=NOW - timedelta(days=day),
                user_id=f"u{day % 3}",
            )
            for day in days
        ),
    )


DAYS = st.lists(st.integers(0, 60), max_size=12, unique=True)


@pytest.mark.django_db
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(left=DAYS, right=DAYS)
def test_merge_then_undo_gives_back_everything(
    left: list[int], right: list[int]
) -> None:
    with transaction.atomic():
        org = Organization.objects.create(name="Acme")
        write(org, "crm", CustomerRecord(external_id="1", name="Acme", seats=5))
        write(org, "web", CustomerRecord(external_id="9", name="Birch", seats=7))
        use(org, "crm", "1", left)
        use(org, "web", "9", right)
        while rollups.fold(NOW):
            pass
        settle()
        scoring.active_definition(org.pk)
        later = NOW + timedelta(hours=2)
        before = taken_back(org, later)

        act = actions.merge(ANN, customer("web", "9"), customer("crm", "1"), NOW)
        assert living(org) == [("crm", "web")]
        merged = picture(org, NOW + timedelta(hours=1))
        assert merged["links"] != before["links"]
        decision = IdentityDecision.objects.get(pk=act.decision_id)
        actions.revoke(ANN, decision, NOW + timedelta(hours=1))

        assert picture(org, later) == before
        transaction.set_rollback(True)


def test_the_older_customer_stays_whichever_way_it_is_said(org: Organization) -> None:
    write(org, "crm", CustomerRecord(external_id="1", name="Acme"))
    write(org, "web", CustomerRecord(external_id="9", name="Birch"))
    settle()
    old, young = customer("crm", "1"), customer("web", "9")

    act = actions.merge(ANN, old, young, NOW)

    assert act.entity == old
    young.refresh_from_db()
    assert young.merged_into_id == old.pk
    assert AuditEntry.objects.get(action="customer.merged").target_id == old.public_id
    with pytest.raises(ConfigError, match="same customer already"):
        actions.merge(ANN, old, old, NOW)


def test_customers_of_the_same_sources_merge_whole(org: Organization) -> None:
    for number in ("1", "2"):
        write(org, "crm", CustomerRecord(external_id=number))
        write(org, "pay", CustomerRecord(external_id=number, links={"crm": number}))
    settle()
    before = links()
    assert living(org) == [("crm", "pay"), ("crm", "pay")]

    act = actions.merge(ANN, customer("crm", "1"), customer("crm", "2"), NOW)

    assert living(org) == [("crm", "crm", "pay", "pay")]
    assert IdentityDecision.objects.count() == 3
    actions.revoke(ANN, IdentityDecision.objects.get(pk=act.decision_id), NOW)
    assert links() == before
    with pytest.raises(ConfigError, match="revoked already"):
        actions.revoke(ANN, IdentityDecision.objects.first(), NOW)


def test_a_split_identity_leaves_the_others_together_and_comes_back(
    org: Organization,
) -> None:
    for source in COMPANY:
        write(org, source, COMPANY[source])
    settle()
    before = links()
    # The CRM's row is what ties the other two together.
    act = actions.split(ANN, customer("crm", "001"), identity("crm", "001").pk, NOW)

    assert living(org) == [("billing", "product"), ("crm",)]
    assert act.entity == customer("crm", "001")
    assert not IdentityReview.objects.filter(resolved_at__isnull=True).exists()
    write(org, "crm", CustomerRecord(external_id="001", domain="acme.example", seats=3))
    settle()
    assert living(org) == [("billing", "product"), ("crm",)]
    with pytest.raises(ConfigError, match="only identity"):
        actions.split(ANN, customer("crm", "001"), identity("crm", "001").pk, NOW)
    with pytest.raises(ConfigError, match="Revoke that decision"):
        actions.merge(ANN, customer("crm", "001"), customer("billing", "cus"), NOW)

    actions.revoke(ANN, IdentityDecision.objects.get(pk=act.decision_id), NOW)
    assert links() == before


@pytest.fixture
def review(org: Organization) -> IdentityReview:
    for number in ("1", "2"):
        write(org, "crm", CustomerRecord(external_id=number, domain="agency.example"))
    write(org, "web", CustomerRecord(external_id="w", domain="agency.example"))
    settle()
    return IdentityReview.objects.get()


@pytest.mark.parametrize(
    ("verdict", "wanted"),
    [
        ("same", [("crm", "crm", "web")]),
        ("different", [("crm",), ("crm",), ("web",)]),
        ("dismiss", [("crm",), ("crm",), ("web",)]),
    ],
)
def test_a_decided_review_stays_closed(
    org: Organization, review: IdentityReview, verdict: str, wanted: list[Any]
) -> None:
    before = links()
    act = actions.decide(ANN, review, verdict, NOW)

    resolve.resolve_now(org.pk, review.members, NOW)
    assert living(org) == wanted
    assert not IdentityReview.objects.filter(resolved_at__isnull=True).exists()
    with pytest.raises(ConfigError, match="closed already"):
        actions.decide(ANN, review, "same", NOW)
    if act is None:
        return

    actions.revoke(ANN, IdentityDecision.objects.get(pk=act.decision_id), NOW)
    assert links() == before
    assert IdentityReview.objects.filter(resolved_at__isnull=True).count() == 1
