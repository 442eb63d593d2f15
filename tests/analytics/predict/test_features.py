"""Point in time: no edit of the future changes a feature row; labels by hand."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection

from analytics.predict import features, labels
from analytics.predict.models import LabelDefinition
from churnguard.models import (
    CampaignEngagement,
    Conversation,
    Customer,
    CustomerSource,
    Deal,
    ExchangeRate,
    Invoice,
    Organization,
    Source,
    Subscription,
    SubscriptionChange,
    SurveyResponse,
    Ticket,
    UsageDay,
)
from tests.analytics.predict import company

pytestmark = pytest.mark.django_db
EDITS = 1_000


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


class Future:
    """Random changes to what happens at the cutoff or later: new rows of every table
    of facts, later rows changed, deleted or told otherwise, and states that a source
    overwrites as time goes on."""

    def __init__(self, org: Organization, cutoff: datetime, seed: int) -> None:
        self.org, self.cutoff = org, cutoff
        self.random = np.random.default_rng(seed)
        self.refs = list(CustomerSource.objects.filter(organization=org))
        self.kinds = [
            getattr(self, name) for name in dir(self) if name.startswith("edit_")
        ]
        self.done: dict[str, int] = {}

    def edit(self, number: int) -> None:
        self.ref = self.refs[self.random.integers(len(self.refs))]
        self.at = self.cutoff + timedelta(days=float(self.random.uniform(0, 150)))
        self.same = {
            "organization": self.org,
            "source_id": self.ref.source_id,
            "customer_source": self.ref,
            "external_id": f"new{number}",
        }
        kind = self.kinds[self.random.integers(len(self.kinds))]
        kind(number)
        self.done[kind.__name__] = self.done.get(kind.__name__, 0) + 1

    def mine(self, model: Any) -> Any:
        return model.objects.filter(customer_source=self.ref)

    def edit_use_more(self, number: int) -> None:
        UsageDay.objects.create(
            organization=self.org, customer_source=self.ref, day=self.at.date(),
            name="new", user_key=f"n{number}", n=50, first_at=self.at, last_at=self.at,
        )  # fmt: skip

    def edit_use_less(self, number: int) -> None:
        self.mine(UsageDay).filter(day__gte=self.at.date()).delete()

    def edit_use_differently(self, number: int) -> None:
        self.mine(UsageDay).filter(day__gte=self.at.date()).update(n=number)

    def edit_open_ticket(self, number: int) -> None:
        Ticket.objects.create(
            **self.same, opened_at=self.at, priority="urgent", solved_at=self.at,
            reopen_count=3, satisfaction_pct=0,
        )  # fmt: skip

    def edit_solve_open_ticket(self, number: int) -> None:
        self.mine(Ticket).filter(solved_at=None).update(
            solved_at=self.at, closed_at=self.at, satisfaction_pct=5, reopen_count=2
        )

    def edit_new_invoice(self, number: int) -> None:
        Invoice.objects.create(
            **self.same, issued_at=self.at, due_at=self.at, total_minor=9_999_900,
            status="open", failed_attempts=4, last_failed_at=self.at, currency="EUR",
        )  # fmt: skip

    def edit_pay_or_void_invoice(self, number: int) -> None:
        self.mine(Invoice).filter(paid_at=None).update(
            paid_at=self.at, status=("paid", "void")[number % 2]
        )

    def edit_end_subscription(self, number: int) -> None:
        self.mine(Subscription).filter(ended_at__gte=self.cutoff).update(
            ended_at=self.at, canceled_at=self.cutoff, cancel_reason="price"
        )

    def edit_overwrite_subscription(self, number: int) -> None:
        self.mine(Subscription).update(
            status=("canceled", "past_due")[number % 2], plan=f"plan {number}",
            interval=("month", "year")[number % 2], quantity=number, auto_renew=False,
            mrr_minor=number, currency="EUR", cancel_at=self.at, is_trial=True,
            period_ends_at=self.at, period_starts_at=self.cutoff, canceled_at=self.at,
        )  # fmt: skip

    def edit_new_subscription(self, number: int) -> None:
        Subscription.objects.create(
            **self.same, status="active", started_at=self.at, mrr_minor=5_000_000
        )

    def edit_new_version(self, number: int) -> None:
        SubscriptionChange.objects.create(
            organization=self.org, subscription=self.mine(Subscription)[0],
            effective_at=self.at, known_at=self.at, status="canceled", mrr_minor=0,
        )  # fmt: skip

    def edit_later_version(self, number: int) -> None:
        SubscriptionChange.objects.filter(
            subscription__customer_source=self.ref, effective_at__gte=self.at
        ).update(mrr_minor=1, status="paused", quantity=99)

    def edit_conversation(self, number: int) -> None:
        Conversation.objects.create(**self.same, started_at=self.at, rating_pct=1)

    def edit_conversation_goes_on(self, number: int) -> None:
        self.mine(Conversation).update(last_message_at=self.at, message_count=number)

    def edit_mail(self, number: int) -> None:
        CampaignEngagement.objects.create(
            **self.same, kind="click", occurred_at=self.at
        )

    def edit_survey(self, number: int) -> None:
        SurveyResponse.objects.create(
            **self.same, kind="nps", score=number % 11, answered_at=self.at
        )

    def edit_customer(self, number: int) -> None:
        Customer.objects.filter(pk=self.ref.customer_id).update(
            churned_at=self.at, mrr_minor=number, plan="none", owner="nobody",
            lifecycle_stage="churned", score=number % 100,
            churn_probability=self.random.random(),
        )  # fmt: skip

    def edit_source_deletes(self, number: int) -> None:
        models = (Ticket, Invoice, Conversation, SurveyResponse, CampaignEngagement)
        row = self.mine(models[number % len(models)]).filter(deleted_at=None).first()
        if row is not None:
            row.deleted_at = self.at
            row.save(update_fields=["deleted_at"])

    def edit_rate(self, number: int) -> None:
        ExchangeRate.objects.update_or_create(
            organization=self.org, currency="EUR", day=self.at.date(),
            defaults={"rate": 1 + number % 7, "origin": "manual"},
        )  # fmt: skip

    def edit_deal(self, number: int) -> None:
        Deal.objects.create(**self.same, status="lost", close_at=self.at)


def test_edits_of_the_future_change_no_feature_row(org: Organization) -> None:
    company.build(org, accounts=10, leavers=0.6)
    cutoff = company.NOW.replace(hour=0) - timedelta(days=150)
    company.add_words(org, cutoff)
    before = snapshot(org, cutoff.date())
    hashes = features.row_hashes(before.values)
    later = snapshot(org, company.TODAY)
    future = Future(org, cutoff, seed=11)

    for number in range(EDITS):
        future.edit(number)
        if number % 40 == 39:
            after = snapshot(org, cutoff.date())
            assert features.row_hashes(after.values) == hashes, number

    assert sum(future.done.values()) == EDITS
    assert len(future.done) == len(future.kinds) == 20
    assert min(future.done.values()) > 20
    known = np.isfinite(before.values).any(axis=0)
    missing = [features.NAMES[place] for place in np.flatnonzero(~known)]
    assert missing == []
    # What the edits changed is seen by a cutoff after them.
    now = snapshot(org, company.TODAY)
    moved = ~((now.values == later.values) | (np.isnan(now.values)))
    assert moved.any(axis=0).sum() > 25


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


def test_money_is_in_the_base_currency_and_rates_alone_are_no_change(
    org: Organization,
) -> None:
    company.build(org, accounts=1, leavers=0)
    Subscription.objects.update(currency="EUR")
    SubscriptionChange.objects.update(currency="EUR")
    Invoice.objects.update(currency="JPY")

    unknown = snapshot(org, company.TODAY)
    for currency, day, rate in (
        ("EUR", 300, "1.2"),
        ("EUR", 10, "1.5"),
        ("EUR", -1, "9"),
        ("JPY", -5, "0.01"),
    ):
        ExchangeRate.objects.create(
            organization=org, currency=currency, rate=rate, origin="manual",
            day=company.TODAY - timedelta(days=day),
        )  # fmt: skip
    known = snapshot(org, company.TODAY)

    assert np.isnan(unknown.column("mrr")[0])
    assert np.isnan(unknown.column("billed_last")[0])
    # 100.00 EUR at the newest rate before; 10 000 yen at the first rate there is.
    assert known.column("mrr")[0] == 150.0
    assert known.column("billed_last")[0] == pytest.approx(100.0)
    for found in (unknown, known):
        assert found.column("mrr_change_90")[0] == 0.0
        assert found.column("billed_change")[0] == 0.0


@pytest.mark.parametrize(
    ("issued", "days"),
    [
        ([70, 40, 10], 20.4375),  # monthly
        ([370, 5], 360.25),  # yearly
        ([200, 110, 20], 71.3125),  # quarterly
        ([130], 235.25),  # one only, and none for four months: yearly
        ([20], None),  # one only: not told yet
        ([100, 65, 34], 0.0),  # three days late
        ([300, 270], None),  # stopped
    ],
)
def test_renewal_is_told_by_invoices(
    org: Organization, issued: list[int], days: float | None
) -> None:
    source = Source.objects.create(organization=org, name="billing")
    customer = Customer.objects.create(organization=org, name="Birch")
    ref = CustomerSource.objects.create(
        organization=org, source=source, external_id="b", customer=customer
    )
    midnight = company.NOW.replace(hour=0)
    for ago in issued:
        Invoice.objects.create(
            organization=org, source=source, customer_source=ref, total_minor=100,
            external_id=f"i{ago}", issued_at=midnight - timedelta(days=ago),
        )  # fmt: skip

    found = snapshot(org, company.TODAY).column("days_to_renewal")[0]

    assert found == pytest.approx(np.nan if days is None else days, nan_ok=True)
