"""Past metrics equal the live ones of that moment, and the future changes none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from django.db import connection

from analytics import facts as live
from analytics import rollups
from analytics.definition import METRICS
from analytics.definitions import past
from analytics.facts.base import M
from analytics.predict.labels import day_number
from churnguard.models import (
    Conversation,
    Customer,
    CustomerSource,
    Invoice,
    Organization,
    Subscription,
    SubscriptionChange,
    SurveyResponse,
    Ticket,
    UsageDay,
)
from churnguard.records import (
    CampaignEngagementRecord,
    ConversationRecord,
    CustomerRecord,
    EventRecord,
    InvoiceRecord,
    SubscriptionRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from tests.analytics.predict import company
from tests.analytics.revenue.worlds import write

pytestmark = pytest.mark.django_db
CUTOFF = datetime(2026, 7, 1, tzinfo=UTC)
NOT_COMPARED = {"renewal", "champion"}
"""Left out of the past."""
ACCOUNTS = 24


def records(random: np.random.Generator) -> list[Any]:
    """Facts of every kind over the 200 days before the cutoff, none after it."""

    def ago(days: float) -> datetime:
        return CUTOFF - timedelta(days=days)

    found: list[Any] = []
    for number in range(ACCOUNTS):
        name, joined = f"a{number}", ago(200)
        same = {"customer_id": name, "updated_at": joined}
        found.append(CustomerRecord(external_id=name, seats=5, updated_at=joined))
        mrr = 10_000
        for at in (200.0, float(random.uniform(1, 150))):
            found.append(
                SubscriptionRecord(
                    external_id=name, customer_id=name, status="active", quantity=5,
                    mrr_minor=mrr, currency="USD", started_at=joined,
                    updated_at=ago(at),
                )
            )  # fmt: skip
            mrr = int(random.integers(7_000, 13_000))
        rate = random.uniform(0.02, 0.9) if number else 0.0
        quiet = int(random.integers(1, 60))
        found += [
            EventRecord(
                event_id=f"{name}-{day}", event=f"do{random.integers(5)}",
                timestamp=ago(day - random.uniform(0.01, 0.99)),
                customer_id=name, user_id=f"u{random.integers(6)}",
            )
            for day in range(quiet, 40 if number % 6 == 5 else 200)
            if random.random() < rate
        ]  # fmt: skip
        for bill in range(4):
            due = float(random.uniform(0.1, 120))
            is_paid = random.random() < 0.7
            failed = int(random.integers(0, 3))
            found.append(
                InvoiceRecord(
                    external_id=f"{name}-{bill}", status="paid" if is_paid else "open",
                    issued_at=ago(due + 14), due_at=ago(due), failed_attempts=failed,
                    paid_at=ago(due / 2) if is_paid else None,
                    last_failed_at=ago(due / 3) if failed else None, **same,
                )
            )  # fmt: skip
        for ticket in range(int(random.integers(0, 24))):
            opened = float(random.uniform(0.2, 130))
            is_over = random.random() < 0.7
            found.append(
                TicketRecord(
                    external_id=f"{name}-{ticket}", opened_at=ago(opened),
                    priority="urgent" if random.random() < 0.3 else "normal",
                    status="solved" if is_over else "open",
                    first_replied_at=ago(opened * 0.9),
                    solved_at=ago(opened * 0.6) if is_over else None,
                    reopen_count=int(random.integers(0, 2)) if is_over else 0,
                    satisfaction_pct=float(4 * ticket) if is_over else None,
                    **same,
                )
            )  # fmt: skip
        found += [
            ConversationRecord(
                external_id=f"{name}-mail{mail}", kind="email",
                direction=("out", "both", "out", "in")[random.integers(4)],
                started_at=ago(float(random.uniform(0.1, 190))), **same,
            )
            for mail in range(int(random.integers(0, 20)))
        ]  # fmt: skip
        for other in range(int(random.integers(0, 4))):
            key, at = f"{name}-{other}", ago(float(random.uniform(1, 170)))
            found += [
                ConversationRecord(
                    external_id=key, direction="both", started_at=at, **same
                ),
                SurveyResponseRecord(
                    external_id=key, kind=("nps", "csat", "pulse")[other],
                    score=float(random.integers(0, 11)), scale_min=0, scale_max=10,
                    answered_at=at, **same,
                ),
                CampaignEngagementRecord(
                    external_id=key, kind=("sent", "opened", "delivered")[other],
                    occurred_at=at, **same,
                ),
            ]  # fmt: skip
    return found


def gather_past(org: Organization, day: int) -> Any:
    ids = np.array(
        Customer.objects.filter(organization=org)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        feeds = past.load_feeds(cur, org.pk)
        return past.gather_past(cur, org.pk, ids, day, "UTC", feeds)


def test_the_past_is_what_scoring_saw_at_that_moment(org: Organization) -> None:
    moment = CUTOFF - timedelta(seconds=1)
    write(org, *records(np.random.default_rng(4)), at=moment)
    while rollups.fold():
        pass
    ids = list(
        Customer.objects.filter(organization=org)
        .order_by("pk")
        .values_list("pk", flat=True)
    )
    with connection.cursor() as wrapper:
        now = live.gather(wrapper.cursor, org.pk, ids, moment, "UTC")

    then = gather_past(org, day_number(CUTOFF.date()))

    assert len(ids) == ACCOUNTS
    compared = 0
    for metric in METRICS:
        if metric.name in NOT_COMPARED:
            continue
        column = M[metric.name]
        seen, expected = then.values[:, column], now.values[:, column]
        np.testing.assert_allclose(
            seen, expected, rtol=1e-4, atol=1e-4, err_msg=metric.name
        )
        assert np.isfinite(expected).any(), metric.name
        compared += 1
    assert compared == 19
    np.testing.assert_array_equal(then.ordinary, now.ordinary)
    assert now.ordinary[:, M["active_days"]].any()
    np.testing.assert_allclose(
        then.age_days[:, [M["csat"], M["nps"], M["pulse"]]][
            np.isfinite(then.values[:, [M["csat"], M["nps"], M["pulse"]]])
        ],
        now.age_days[:, [M["csat"], M["nps"], M["pulse"]]][
            np.isfinite(now.values[:, [M["csat"], M["nps"], M["pulse"]]])
        ],
        atol=1e-4,
    )
    assert (then.capped[:, 1:] == now.capped[:, 1:]).all()
    assert now.capped[:, 1:].any(axis=0).all()


def edit_future(ref: CustomerSource, at: datetime, kind: int, number: int) -> None:
    """One change to what is known of an account, at a time after the cutoff."""
    same = {
        "organization_id": ref.organization_id, "source_id": ref.source_id,
        "customer_source": ref, "external_id": f"new{number}",
    }  # fmt: skip
    if kind == 0:
        UsageDay.objects.create(
            organization_id=ref.organization_id, customer_source=ref, day=at.date(),
            name="open", user_key=f"n{number}", n=5, first_at=at, last_at=at,
        )  # fmt: skip
    elif kind == 1:
        UsageDay.objects.filter(customer_source=ref, day__gte=at.date()).delete()
    elif kind == 2:
        Ticket.objects.create(**same, opened_at=at, priority="urgent", reopen_count=2)
    elif kind == 3:
        Ticket.objects.filter(customer_source=ref, solved_at__gte=at).update(
            satisfaction_pct=3, reopen_count=9, solved_at=at
        )
    elif kind == 4:
        Invoice.objects.create(
            **same, issued_at=at, due_at=at, status="open", failed_attempts=4,
            last_failed_at=at,
        )  # fmt: skip
    elif kind == 5:
        Subscription.objects.filter(customer_source=ref).update(
            status="canceled", canceled_at=at, ended_at=at, cancel_at=at
        )
    elif kind == 6:
        SubscriptionChange.objects.create(
            organization_id=ref.organization_id, effective_at=at, known_at=at,
            subscription=Subscription.objects.filter(customer_source=ref)[0],
            status="canceled", mrr_minor=0, quantity=0,
        )  # fmt: skip
    elif kind == 7:
        Conversation.objects.create(**same, started_at=at, direction="both")
    else:
        SurveyResponse.objects.create(**same, kind="nps", score=9, answered_at=at)


def test_no_edit_of_the_future_changes_the_past(org: Organization) -> None:
    company.build(org, accounts=12)
    cutoff = company.NOW - timedelta(days=120)
    day = day_number(cutoff.date())
    midnight = datetime(cutoff.year, cutoff.month, cutoff.day, tzinfo=UTC)
    ref = CustomerSource.objects.filter(organization=org)[0]
    SurveyResponse.objects.create(
        organization=org, source=ref.source, customer_source=ref, external_id="s",
        kind="nps", score=3, answered_at=midnight - timedelta(days=1),
    )  # fmt: skip
    before = gather_past(org, day)
    random = np.random.default_rng(1)

    refs = list(CustomerSource.objects.filter(organization=org))
    for number in range(180):
        at = midnight + timedelta(days=float(random.uniform(0, 110)))
        edit_future(refs[random.integers(len(refs))], at, number % 9, number)
    after = gather_past(org, day)

    np.testing.assert_array_equal(before.values, after.values)
    np.testing.assert_array_equal(before.age_days, after.age_days)
    np.testing.assert_array_equal(before.capped, after.capped)
