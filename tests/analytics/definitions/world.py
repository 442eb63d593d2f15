"""Accounts whose scores are worked out by hand: usage and billing are connected."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from analytics import scoring
from churnguard.models import (
    Batch,
    Customer,
    CustomerSource,
    Invoice,
    Organization,
    Source,
    UsageWindow,
)

PATH = "/api/v1/analytics/health-definition"
STEADY = list(range(28))
FADED = [6, 13, 20, 27]
"""4 active days where 14 are usual (0 points), the last 6 days ago where 118/49 days
are usual (45 of 100 points): usage scores 0.25 * 45.26 / 0.65 = 17.4."""


def build(org: Organization) -> dict[str, Customer]:
    """steady: 100. owing: 92, an invoice 7 days past due (60 of 100 points at weight
    0.35 of 0.60 of billing). fading: 47, see FADED. All in use since 200 days."""
    now = datetime.now(UTC)
    source = Source.objects.create(organization=org, name="web")
    Batch.objects.create(
        organization=org, source=source, origin="ingest", fetched=1, inserted=1,
        events=1, folded_at=now, received_at=now,
    )  # fmt: skip
    made = {
        "steady": _account(org, source, "steady", STEADY, now),
        "owing": _account(org, source, "owing", STEADY, now, owes_days=7),
        "fading": _account(org, source, "fading", FADED, now),
    }
    while scoring.score_stale():
        pass
    return made


def scores() -> dict[str, tuple[int | None, str]]:
    """Name -> (score, band) as stored."""
    return {
        one.name: (one.score, one.band)
        for one in Customer.objects.filter(organization__name="Acme")
    }


def _account(
    org: Organization,
    source: Source,
    name: str,
    recent: list[int],
    now: datetime,
    *,
    owes_days: int = 0,
) -> Customer:
    customer = Customer.objects.create(organization=org, name=name, score_stale_at=now)
    ref = CustomerSource.objects.create(
        organization=org, source=source, external_id=name, customer=customer
    )
    # Usual are 45 active days in 90, that is 14 in 28; steady users now come daily.
    days = [0] * 128
    for ago in [*recent, *range(28, 118, 2)]:
        days[127 - ago] = 1
    UsageWindow.objects.create(
        customer_source=ref, organization=org, days=days, events_total=sum(days),
        base_day=now.date() - timedelta(days=127),
        first_event_at=now - timedelta(days=200),
        last_event_at=now - timedelta(days=min(recent)),
    )  # fmt: skip
    Invoice.objects.create(
        organization=org, source=source, customer_source=ref, external_id=name,
        status="open" if owes_days else "paid", issued_at=now - timedelta(days=30),
        due_at=now - timedelta(days=owes_days),
        paid_at=None if owes_days else now - timedelta(days=1),
    )  # fmt: skip
    return customer
