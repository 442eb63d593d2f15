"""Billing data for revenue tests, written the way every source writes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from churnguard.models import CustomerSource, ExchangeRate, Organization
from churnguard.records import InvoiceRecord, SubscriptionRecord
from integrations import load

START = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: float) -> datetime:
    """`number` days after 1 January 2026, UTC."""
    return START + timedelta(days=number)


def write(org: Organization, *items: Any, at: datetime, source: str = "bill") -> None:
    """One page of records, received at `at`."""
    with connection.cursor() as cur:
        source_id = load.source_id(connection, org_id=org.pk, name=source)
        result = load.write(
            cur,
            org_id=org.pk,
            source_id=source_id,
            origin="sync",
            items=items,
            received_at=at,
        )
    assert not result.errors


def version(
    sub: str, customer: str, at: datetime, mrr: int, **more: Any
) -> SubscriptionRecord:
    """A subscription as it was from `at` on; USD and active where not said."""
    values = {"status": "active", "currency": "USD", "plan": "pro", **more}
    return SubscriptionRecord(
        external_id=sub, customer_id=customer, updated_at=at, mrr_minor=mrr, **values
    )


def invoice(number: str, customer: str, at: datetime, **more: Any) -> InvoiceRecord:
    values = {"status": "paid", "currency": "USD", "updated_at": at, **more}
    return InvoiceRecord(
        external_id=number, customer_id=customer, issued_at=at, **values
    )


def line(minor: int, start: str, end: str) -> dict[str, Any]:
    return {"amount_minor": minor, "period_start": start, "period_end": end}


def rate(org: Organization, currency: str, at: str, value: str) -> None:
    ExchangeRate.objects.create(organization=org, currency=currency, day=at, rate=value)


def customer_pk(org: Organization, external_id: str) -> int:
    return CustomerSource.objects.get(
        organization=org, external_id=external_id
    ).customer_id
