"""Scores from stored facts: numbers worked out by hand, ledger exact, history kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client

from analytics import queries, scoring
from analytics.api import health_body
from analytics.models import HealthScore
from churnguard.models import (
    Batch,
    Customer,
    CustomerSource,
    ExchangeRate,
    Invoice,
    Notice,
    Organization,
    Source,
    StreamNote,
    Subscription,
    SubscriptionChange,
    SurveyResponse,
    Ticket,
    UsageWindow,
    User,
)

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


@pytest.fixture
def source(org: Organization) -> Source:
    source = Source.objects.create(organization=org, name="web")
    Batch.objects.create(
        organization=org,
        source=source,
        origin="ingest",
        fetched=1,
        inserted=1,
        events=1,
        folded_at=NOW,
        received_at=NOW,
    )
    return source


@pytest.fixture
def ref(org: Organization, source: Source) -> CustomerSource:
    customer = Customer.objects.create(
        organization=org, name="Birch", score_stale_at=NOW
    )
    return CustomerSource.objects.create(
        organization=org, source=source, external_id="c1", customer=customer
    )


def use(ref: CustomerSource, days_ago: list[int], *, first_days_ago: int = 200) -> None:
    days = [0] * 128
    for ago in days_ago:
        days[127 - ago] = 1
    UsageWindow.objects.create(
        customer_source=ref,
        organization_id=ref.organization_id,
        base_day=NOW.date() - timedelta(days=127),
        days=days,
        first_event_at=NOW - timedelta(days=first_days_ago),
        last_event_at=NOW - timedelta(days=min(days_ago, default=first_days_ago)),
        events_total=len(days_ago),
    )


def entity(ref: CustomerSource, external_id: str) -> dict[str, object]:
    return {
        "organization_id": ref.organization_id,
        "source_id": ref.source_id,
        "customer_source": ref,
        "external_id": external_id,
    }


def score(ref: CustomerSource, now: datetime = NOW) -> queries.Health:
    scoring.score_now(ref.organization_id, [ref.customer_id], now)
    return queries.get_health(Customer.objects.get(pk=ref.customer_id), now)


def line(found: queries.Health, metric: str) -> object:
    for part in found.components:
        for reason in part["reasons"]:
            if reason.metric == metric:
                return reason
    raise AssertionError(f"no line {metric}")


def test_usage_against_own_habit(ref: CustomerSource) -> None:
    # Habit: 45 active days in the 90 before the last 28 = 14 per 28; now 7.
    use(ref, [*range(0, 28, 4), *range(28, 118, 2)])

    found = score(ref)

    active = line(found, "active_days")
    assert active.fact == {"value": 7.0, "reference": 14.0}
    # 0.5 lies halfway between 0.3 (0 points) and 0.7 (60 points).
    assert active.score == 30.0
    assert active.sentence == "Active on 7 days of the last 28; usual are 14 days."
    body = health_body(found)
    lost = sum(r["points_lost"] for c in body["components"] for r in c["reasons"])
    assert body["score"] + lost == 100
    assert body["points_lost"] == lost


def test_a_customer_of_a_healthy_source_who_vanished_scores_zero(
    ref: CustomerSource,
) -> None:
    use(ref, list(range(40, 118)))

    found = score(ref)

    assert line(found, "active_days").score == 0
    assert found.score == 0
    # Usage alone is 35 % of the weights: too little to call a band.
    assert found.coverage_pct == 35
    assert found.band == "unknown"


def test_a_broken_source_is_unknown_not_zero(
    ref: CustomerSource, source: Source
) -> None:
    use(ref, list(range(40, 118)))
    Batch.objects.filter(source=source).update(received_at=NOW - timedelta(days=40))

    found = score(ref)

    assert found.score > 50
    assert found.coverage_pct <= 2
    assert line(found, "stale").points_lost < 0


def test_billing_support_and_sentiment_lines(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    Invoice.objects.create(
        **entity(ref, "i1"),
        status="open",
        due_at=NOW - timedelta(days=7),
        failed_attempts=1,
        last_failed_at=NOW - timedelta(days=6),
    )
    subscription = Subscription.objects.create(
        **entity(ref, "s1"), status="active", mrr_minor=8000, currency="USD"
    )
    for days, mrr in ((200, 10000), (20, 8000)):
        SubscriptionChange.objects.create(
            organization_id=ref.organization_id,
            subscription=subscription,
            effective_at=NOW - timedelta(days=days),
            known_at=NOW,
            status="active",
            mrr_minor=mrr,
        )
    Ticket.objects.create(
        **entity(ref, "t1"),
        priority="urgent",
        status="open",
        opened_at=NOW - timedelta(days=1),
    )
    SurveyResponse.objects.create(
        **entity(ref, "n1"), kind="nps", score=7, answered_at=NOW - timedelta(days=3)
    )

    found = score(ref)

    assert line(found, "past_due").score == 60
    assert line(found, "failed_payments").score == 60
    assert line(found, "plan_change").score == 0
    assert (
        line(found, "plan_change").sentence
        == "Recurring revenue is 20 % below that of 90 days ago."
    )
    assert line(found, "urgent_open").score == 60
    assert line(found, "nps").score == 60
    assert found.coverage_pct == 85
    ref.customer.refresh_from_db()
    assert ref.customer.mrr_minor == 8000
    assert ref.customer.score_stale_at is None


@pytest.mark.parametrize(
    ("rates", "parts", "sentence"),
    [
        # 100 USD stay, 10 000 yen become 5 000: (100 + 35) / (100 + 70) at 0.007.
        (
            {"JPY": ("2026-01-01", "0.007")},
            {"USD": (10_000, 10_000), "JPY": (10_000, 5_000)},
            "Recurring revenue is 21 % below that of 90 days ago.",
        ),
        # The newest rate holds for both sides: a rate alone changes nothing.
        (
            {"JPY": ("2026-10-01", "0.002")},
            {"USD": (10_000, 10_000), "JPY": (10_000, 10_000)},
            "Recurring revenue is the same as 90 days ago.",
        ),
        # One currency needs no rate.
        (
            {},
            {"GBP": (10_000, 5_000)},
            "Recurring revenue is 50 % below that of 90 days ago.",
        ),
        # Beside others, what no rate converts is left out, as in the revenue report.
        (
            {},
            {"USD": (10_000, 9_000), "GBP": (10_000, 90_000)},
            "Recurring revenue is 10 % below that of 90 days ago.",
        ),
    ],
)
def test_a_change_of_plan_over_currencies(
    ref: CustomerSource,
    rates: dict[str, tuple[str, str]],
    parts: dict[str, tuple[int, int]],
    sentence: str,
) -> None:
    for currency, (day, rate) in rates.items():
        ExchangeRate.objects.create(
            organization_id=ref.organization_id, currency=currency, day=day, rate=rate,
            origin="manual",
        )  # fmt: skip
    for currency, (before, after) in parts.items():
        subscription = Subscription.objects.create(
            **entity(ref, currency), status="active", mrr_minor=after, currency=currency
        )
        for days, mrr in ((200, before), (20, after)):
            SubscriptionChange.objects.create(
                organization_id=ref.organization_id, subscription=subscription,
                effective_at=NOW - timedelta(days=days), known_at=NOW, status="active",
                mrr_minor=mrr, currency=currency,
            )  # fmt: skip

    found = score(ref)

    assert line(found, "plan_change").sentence == sentence


def test_a_cancellation_caps_the_score(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    Subscription.objects.create(
        **entity(ref, "s1"), status="active", cancel_at=NOW + timedelta(days=90)
    )
    Invoice.objects.create(**entity(ref, "i1"), status="paid", paid_at=NOW)

    found = score(ref)

    assert found.score == 20
    assert found.band == "at_risk"
    assert line(found, "cap").points_lost == 80


def test_history_is_appended_only_when_something_changed(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    score(ref)
    score(ref)

    assert HealthScore.objects.filter(customer=ref.customer).count() == 1

    Invoice.objects.create(
        **entity(ref, "i1"), status="open", due_at=NOW - timedelta(days=7)
    )
    later = NOW + timedelta(hours=1)
    found = score(ref, later)

    assert HealthScore.objects.filter(customer=ref.customer).count() == 2
    assert found.history[0][1] > found.history[1][1]


def test_what_changed_since_names_the_lines(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    score(ref, NOW - timedelta(days=8))
    Invoice.objects.create(
        **entity(ref, "i1"), status="open", due_at=NOW - timedelta(days=7)
    )

    found = score(ref)

    assert [change.metric for change in found.changes if change.points_lost > 0] == [
        "past_due"
    ]
    assert found.trend == -found.changes[0].points_lost


def test_the_loop_scores_what_is_stale_and_tells_the_sockets(
    ref: CustomerSource,
) -> None:
    use(ref, list(range(118)))

    assert scoring.score_stale(NOW) == 1
    assert scoring.score_stale(NOW) == 0

    note = StreamNote.objects.get(channel="health-scores")
    assert note.payload["customer_id"] == ref.customer.public_id
    assert note.payload["previous_score"] is None
    assert note.payload["score"] == 100


def test_falling_into_at_risk_opens_one_notice_and_recovery_closes_it(
    ref: CustomerSource,
) -> None:
    use(ref, list(range(118)))
    Invoice.objects.create(**entity(ref, "i1"), status="paid", paid_at=NOW)
    score(ref)
    subscription = Subscription.objects.create(
        **entity(ref, "s1"), status="active", cancel_at=NOW + timedelta(days=90)
    )
    score(ref)
    score(ref)

    notice = Notice.objects.get(kind="band_change")
    assert notice.title == "Birch is at risk"

    Subscription.objects.filter(pk=subscription.pk).update(cancel_at=None)
    score(ref)

    notice.refresh_from_db()
    assert notice.resolved_at is not None


def test_who_has_left_is_nobody_to_be_told_about(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    Invoice.objects.create(**entity(ref, "i1"), status="paid", paid_at=NOW)
    score(ref)
    Customer.objects.filter(pk=ref.customer.pk).update(churned_at=NOW)
    subscription = Subscription.objects.create(
        **entity(ref, "s1"), status="active", cancel_at=NOW + timedelta(days=90)
    )
    score(ref)

    ref.customer.refresh_from_db()
    assert ref.customer.band == "at_risk"
    assert not Notice.objects.exists()

    # One who is there falls, and the notice ends with the customer.
    Customer.objects.filter(pk=ref.customer.pk).update(churned_at=None)
    Subscription.objects.filter(pk=subscription.pk).update(cancel_at=None)
    score(ref)
    Subscription.objects.filter(pk=subscription.pk).update(
        cancel_at=NOW + timedelta(days=90)
    )
    score(ref)
    assert Notice.objects.filter(resolved_at=None).count() == 1
    Customer.objects.filter(pk=ref.customer.pk).update(churned_at=NOW)
    score(ref)
    assert Notice.objects.filter(resolved_at=None).count() == 0


def test_priors_are_medians_over_the_newest_scores(
    org: Organization, source: Source
) -> None:
    for number in range(31):
        customer = Customer.objects.create(organization=org, name=f"c{number}")
        ref = CustomerSource.objects.create(
            organization=org,
            source=source,
            external_id=f"c{number}",
            customer=customer,
        )
        use(ref, list(range(28 if number < 16 else 40, 118)) + ([1] * (number < 16)))
        score(ref)

    assert scoring.refresh_priors(org.pk, NOW) > 0

    with connection.cursor() as cur:
        cur.execute(
            "SELECT median, customers FROM an_metric_prior "
            "WHERE segment = '' AND metric = 'recency_gap'"
        )
        median, customers = cur.fetchone()
    assert customers == 31
    assert median == 100


def test_the_page_compares_with_a_week_or_four_ago(
    ref: CustomerSource, client: Client, alice: User
) -> None:
    use(ref, list(range(118)))
    week_ago = datetime.now(UTC) - timedelta(days=8)
    scoring.score_now(ref.organization_id, [ref.customer_id], week_ago)
    client.force_login(alice)
    path = f"/customers/{ref.customer.public_id}/"

    week = client.get(path).content.decode()
    month = client.get(f"{path}?since=28").content.decode()

    assert "There is no score of 28 days ago to compare with yet." in month
    assert "There is no score of" not in week
    assert "Against the score of" in week
