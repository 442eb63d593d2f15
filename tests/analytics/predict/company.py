"""A made-up company with a known reason to leave: falling use, then the end.

Loaded straight into the tables, since these tests are about what is read from them.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
from django.db import connection

from churnguard.models import (
    Batch,
    CampaignEngagement,
    Conversation,
    Customer,
    CustomerSource,
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

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
TODAY = NOW.date()
DAYS = 480


def build(
    org: Organization, *, accounts: int = 160, leavers: float = 0.4, seed: int = 5
) -> list[Customer]:
    """Accounts that began `DAYS` ago; a share leaves, its use fading 60 days before."""
    random = np.random.default_rng(seed)
    source = Source.objects.create(organization=org, name="web")
    start = NOW - timedelta(days=DAYS)
    Batch.objects.create(
        organization=org, source=source, origin="sync", fetched=1, inserted=1,
        folded_at=NOW, received_at=NOW - timedelta(hours=1),
    )  # fmt: skip
    customers = Customer.objects.bulk_create(
        Customer(
            organization=org, name=f"Account {n:03}", mrr_minor=10_000 + 100 * n,
            plan="pro" if n % 2 else "basic", segment="small" if n % 3 else "large",
        )
        for n in range(accounts)
    )  # fmt: skip
    refs = CustomerSource.objects.bulk_create(
        CustomerSource(
            organization=org, source=source, external_id=f"a{n}", customer=customer,
            signup_at=start,
        )
        for n, customer in enumerate(customers)
    )  # fmt: skip
    ends = np.where(
        random.random(accounts) < leavers, random.integers(100, DAYS, accounts), 9_999
    )
    subscriptions, usage, invoices, tickets = [], [], [], []
    for n, ref in enumerate(refs):
        same = {"organization": org, "source": source, "customer_source": ref}
        end = int(ends[n])
        left = end < DAYS
        subscriptions.append(
            Subscription(
                **same, external_id=f"s{n}", status="canceled" if left else "active",
                mrr_minor=10_000 + 100 * n, interval="month", quantity=5,
                started_at=start,
                ended_at=start + timedelta(days=end) if left else None,
                canceled_at=start + timedelta(days=end) if left else None,
            )
        )  # fmt: skip
        for day in range(min(end, DAYS)):
            busy = 0.5 if end - day > 60 else 0.12
            if random.random() < busy:
                at = start + timedelta(days=day)
                usage.append(
                    UsageDay(
                        organization=org, customer_source=ref, day=at.date(),
                        name=("open", "export", "share")[day % 3],
                        user_key=f"u{day % 4}", n=int(random.integers(1, 9)),
                        first_at=at, last_at=at,
                    )
                )  # fmt: skip
            if day % 30 == 0:
                at = start + timedelta(days=day)
                invoices.append(
                    Invoice(
                        **same, external_id=f"i{n}-{day}", status="paid",
                        total_minor=10_000 + 100 * n, issued_at=at, due_at=at,
                        paid_at=at + timedelta(days=int(random.integers(0, 6))),
                    )
                )  # fmt: skip
            if random.random() < 0.01:
                at = start + timedelta(days=day)
                tickets.append(
                    Ticket(
                        **same, external_id=f"t{n}-{day}", opened_at=at,
                        priority="urgent" if day % 5 == 0 else "normal",
                        solved_at=at + timedelta(days=2),
                    )
                )  # fmt: skip
    Subscription.objects.bulk_create(subscriptions)
    UsageDay.objects.bulk_create(usage, batch_size=5000)
    Invoice.objects.bulk_create(invoices)
    Ticket.objects.bulk_create(tickets)
    SubscriptionChange.objects.bulk_create(
        SubscriptionChange(
            organization=org, subscription=one, effective_at=at, known_at=NOW,
            status=status, mrr_minor=one.mrr_minor, quantity=5,
        )
        for one in subscriptions
        for at, status in ((one.started_at, "active"), (one.ended_at, "canceled"))
        if at is not None
    )  # fmt: skip
    with connection.cursor() as cur:
        cur.execute("ANALYZE cg_usage_day, cg_subscription, cg_customer_source")
    return customers


def add_words(org: Organization, day: datetime) -> None:
    """What `build` leaves out, for every account, all before `day`: conversations,
    mails, answers, a rated and reopened ticket, an open one, a failed payment, EUR."""
    ExchangeRate.objects.create(
        organization=org, currency="EUR", day=(day - timedelta(days=300)).date(),
        rate="1.1", origin="manual",
    )  # fmt: skip
    for n, ref in enumerate(CustomerSource.objects.filter(organization=org)):
        same = {"organization": org, "source_id": ref.source_id, "customer_source": ref}
        at = day - timedelta(days=20 + n)
        Conversation.objects.create(**same, external_id=f"c{n}", started_at=at)
        CampaignEngagement.objects.create(
            **same, external_id=f"m{n}", kind="open", occurred_at=at
        )
        SurveyResponse.objects.create(
            **same, external_id=f"v{n}", kind="nps", score=n % 11, answered_at=at
        )
        Ticket.objects.create(
            **same, external_id=f"r{n}", opened_at=at, closed_at=at + timedelta(days=1),
            solved_at=at, reopen_count=1, satisfaction_pct=60, priority="high",
        )  # fmt: skip
        Ticket.objects.create(**same, external_id=f"o{n}", opened_at=at)
        Invoice.objects.create(
            **same, external_id=f"f{n}", issued_at=at, due_at=at, currency="EUR",
            total_minor=5_000, status="open", failed_attempts=1, last_failed_at=at,
        )  # fmt: skip
