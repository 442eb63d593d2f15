"""Point in time: no edit of the future changes a feature row; labels by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import numpy as np
import pytest
from django.db import connection

from analytics.predict import features, labels
from analytics.predict.models import LabelDefinition
from churnguard.models import (
    Customer,
    CustomerSource,
    Invoice,
    Organization,
    Source,
    Subscription,
    SubscriptionChange,
    Ticket,
    UsageDay,
)
from tests.analytics.predict import company

pytestmark = pytest.mark.django_db
EDITS = 200


def snapshot(org: Organization, day: date) -> features.Snapshot:
    ids = np.array(
        Customer.objects.filter(organization=org)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    with connection.cursor() as wrapper:
        return features.gather(
            wrapper.cursor, org.pk, ids, labels.day_number(day), "UTC"
        )


def edit_future(
    org: Organization, random: np.random.Generator, cutoff: datetime, number: int
) -> None:
    """One random change to facts whose time is the cutoff or later."""
    refs = list(CustomerSource.objects.filter(organization=org))
    ref = refs[random.integers(len(refs))]
    at = cutoff + timedelta(days=float(random.uniform(0, 150)))
    same = {
        "organization": org,
        "source": ref.source,
        "customer_source": ref,
        "external_id": f"new{number}",
    }
    kind = random.integers(8)
    if kind == 0:
        UsageDay.objects.create(
            organization=org, customer_source=ref, day=at.date(), name="new",
            user_key=f"n{number}", n=50, first_at=at, last_at=at,
        )  # fmt: skip
    elif kind == 1:
        UsageDay.objects.filter(customer_source=ref, day__gte=at.date()).delete()
    elif kind == 2:
        Ticket.objects.create(
            **same, opened_at=at, priority="urgent", solved_at=at, reopen_count=3
        )
    elif kind == 3:
        Invoice.objects.create(
            **same, issued_at=at, due_at=at, total_minor=9_999_900, status="open",
            failed_attempts=4, last_failed_at=at,
        )  # fmt: skip
    elif kind == 4:
        Subscription.objects.filter(customer_source=ref, ended_at__gte=cutoff).update(
            ended_at=at, canceled_at=cutoff, cancel_reason="price", status="canceled"
        )
    elif kind == 5:
        SubscriptionChange.objects.create(
            organization=org,
            subscription=Subscription.objects.filter(customer_source=ref)[0],
            effective_at=at, known_at=at, status="canceled", mrr_minor=0,
        )  # fmt: skip
    elif kind == 6:
        Customer.objects.filter(pk=ref.customer_id).update(
            churned_at=at, mrr_minor=0, plan="none", lifecycle_stage="churned"
        )
    else:
        SubscriptionChange.objects.filter(
            organization=org, effective_at__gte=at, subscription__customer_source=ref
        ).update(mrr_minor=1, status="paused")


def test_edits_of_the_future_change_no_feature_row(org: Organization) -> None:
    company.build(org, accounts=16, leavers=0.6)
    cutoff = company.NOW.replace(hour=0) - timedelta(days=150)
    before = snapshot(org, cutoff.date())
    hashes = [features.row_hash(row) for row in before.values]
    later = snapshot(org, company.TODAY)
    random = np.random.default_rng(11)

    for number in range(EDITS):
        edit_future(org, random, cutoff, number)
        if number % 10 == 9:
            after = snapshot(org, cutoff.date())
            assert [features.row_hash(row) for row in after.values] == hashes

    known = np.isfinite(before.values).any(axis=0)
    assert known.sum() > 20
    now = snapshot(org, company.TODAY)
    assert not np.array_equal(now.values, later.values, equal_nan=True)


def test_features_by_hand(org: Organization) -> None:
    customers = company.build(org, accounts=1, leavers=0)
    ref = CustomerSource.objects.get(customer=customers[0])
    UsageDay.objects.all().delete()
    for ago in (3, 5, 9, 40):
        at = company.NOW - timedelta(days=ago)
        UsageDay.objects.create(
            organization=org, customer_source=ref, day=at.date(), name="open",
            user_key=f"u{ago}", n=2, first_at=at, last_at=at,
        )  # fmt: skip
    UsageDay.objects.create(
        organization=org, customer_source=ref, day=company.TODAY, name="open",
        user_key="today", n=2, first_at=company.NOW, last_at=company.NOW,
    )  # fmt: skip

    found = snapshot(org, company.TODAY)

    values = {name: float(found.column(name)[0]) for name in features.NAMES}
    assert values["days_since_use"] == 3
    assert values["active_days_7"] == 2
    assert values["active_days_28"] == 3
    assert values["active_days_90"] == 4
    assert values["users_28"] == 3
    assert values["usual_gap_days"] == pytest.approx(37 / 3)
    assert values["mrr"] == 100.0
    assert values["mrr_change_90"] == 0.0
    assert values["seats"] == 5
    assert values["tenure_days"] == pytest.approx(company.DAYS - 0.5)


def test_versions_of_a_source_without_history_are_not_read(
    org: Organization,
) -> None:
    company.build(org, accounts=8, leavers=0)
    SubscriptionChange.objects.update(effective_at=company.NOW - timedelta(days=60))

    found = snapshot(org, company.TODAY)

    assert np.isnan(found.column("mrr")).all()


def test_live_facts_count_from_when_they_were_known(org: Organization) -> None:
    company.build(org, accounts=1, leavers=0)
    subscription = Subscription.objects.get()
    at = company.NOW - timedelta(days=1)
    change = SubscriptionChange.objects.create(
        organization=org, subscription=subscription, effective_at=at,
        known_at=at + timedelta(hours=20), status="active", mrr_minor=99_900,
        quantity=5,
    )  # fmt: skip

    assert snapshot(org, company.TODAY).column("mrr")[0] == 100.0
    change.known_at = at
    change.save()
    assert snapshot(org, company.TODAY).column("mrr")[0] == 999.0


def make_subscription(
    org: Organization, spells: list[tuple[int, int | None]], start: datetime
) -> Customer:
    source, _ = Source.objects.get_or_create(organization=org, name="billing")
    customer = Customer.objects.create(organization=org, name="Birch")
    ref = CustomerSource.objects.create(
        organization=org, source=source, external_id=customer.public_id,
        customer=customer,
    )  # fmt: skip
    for begin, end in spells:
        Subscription.objects.create(
            organization=org, source=source, customer_source=ref,
            external_id=f"{customer.public_id}-{begin}", status="active",
            started_at=start + timedelta(days=begin),
            ended_at=None if end is None else start + timedelta(days=end),
        )  # fmt: skip
    return customer


def test_churn_with_grace_and_twice(org: Organization) -> None:
    start = datetime.fromisoformat("2025-01-01T00:00:00+00:00")
    late = make_subscription(org, [(0, 100), (120, None)], start)
    twice = make_subscription(org, [(0, 100), (200, 300)], start)
    label = LabelDefinition.objects.create(
        organization=org, version=1, kind="subscription"
    )
    first = labels.day_number(start.date())

    with connection.cursor() as wrapper:
        history = labels.load_history(wrapper.cursor, org.pk, label, "UTC")

    def outcomes(day: int) -> dict[int, float]:
        who = history.population(first + day)
        found = labels.outcomes(history, who, first + day, label)
        return dict(zip(who.tolist(), found.tolist(), strict=True))

    assert outcomes(5) == {late.pk: 0.0, twice.pk: 0.0}
    assert outcomes(50) == {late.pk: 0.0, twice.pk: 1.0}
    assert outcomes(110) == {}
    assert outcomes(150) == {late.pk: 0.0}
    assert outcomes(250) == {late.pk: 0.0, twice.pk: 1.0}


def test_inactivity_without_subscriptions(org: Organization) -> None:
    source = Source.objects.create(organization=org, name="web")
    begin = date(2025, 1, 1)
    days = {"steady": range(0, 400, 20), "gone": range(0, 100, 10), "back": (0, 200)}
    ids = {}
    for name, used in days.items():
        customer = Customer.objects.create(organization=org, name=name)
        ids[name] = customer.pk
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id=name, customer=customer
        )
        UsageDay.objects.bulk_create(
            UsageDay(
                organization=org, customer_source=ref, day=begin + timedelta(days=n),
                name="open", user_key="u", n=1, first_at=company.NOW,
                last_at=company.NOW,
            )
            for n in used
        )  # fmt: skip
    first = labels.day_number(begin)

    with connection.cursor() as wrapper:
        label = labels.active_label(wrapper.cursor, org.pk)
        history = labels.load_history(wrapper.cursor, org.pk, label, "UTC")

    assert label.kind == "inactivity"
    expected = {
        50: {"steady": 0.0, "gone": 0.0, "back": 1.0},
        95: {"steady": 0.0, "gone": 1.0},
        150: {"steady": 0.0, "gone": 1.0},
        210: {"steady": 0.0, "back": 1.0},
    }
    for day, wanted in expected.items():
        who = history.population(first + day)
        found = labels.outcomes(history, who, first + day, label)
        assert dict(zip(who.tolist(), found.tolist(), strict=True)) == {
            ids[name]: value for name, value in wanted.items()
        }
