"""Events of a test: stored as the writer leaves them, and as plain tuples."""

from __future__ import annotations

import csv
import gzip
import io
import json
import random
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.db import connection
from django.http import QueryDict

from analytics import rollups
from analytics.usage.scope import Scope, read_scope
from churnguard import partitions
from churnguard.models import Batch, Customer, CustomerSource, Organization, Source


@dataclass(frozen=True)
class Event:
    """user "" = none. at: aware UTC."""

    customer: str
    user: str
    name: str
    at: datetime
    event_id: str


def member(event: Event, unit: str) -> Any:
    """Whom an event counts for; None = nobody."""
    if unit == "customer":
        return event.customer
    return (event.customer, event.user) if event.user else None


def store_and_fold(
    org: Organization, events: Sequence[Event], *, batches: int = 3, seed: int = 5
) -> dict[str, int]:
    """Store events in a random order (so many arrive late) and fold batch by batch.

    Returns the customer's name to its primary key. Each customer is known to two
    sources, and its events are split between them.
    """
    sources = [Source.objects.create(organization=org, name=n) for n in ("web", "app")]
    names = sorted({event.customer for event in events})
    customers = Customer.objects.bulk_create(
        [Customer(organization=org, name=name) for name in names]
    )
    refs = {
        (source.pk, customer.name): ref
        for source in sources
        for customer, ref in zip(
            customers,
            CustomerSource.objects.bulk_create(
                [
                    CustomerSource(
                        organization=org,
                        source=source,
                        external_id=customer.name,
                        customer=customer,
                    )
                    for customer in customers
                ]
            ),
            strict=True,
        )
    }
    order = list(events)
    random.Random(seed).shuffle(order)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    with connection.cursor() as cur:
        months = {partitions.month_of(e.at.date()) for e in order}
        partitions.create_months(cur.cursor, months)
    for part in range(batches):
        chosen = order[part::batches]
        batch = Batch.objects.create(
            organization=org,
            source=sources[0],
            origin="ingest",
            fetched=len(chosen),
            inserted=len(chosen),
            events=len(chosen),
            received_at=now,
        )
        with (
            connection.cursor() as cur,
            cur.cursor.copy(
                "COPY cg_usage_event (event_key, organization_id, source_id, "
                "customer_source_id, batch_id, name, event_id, user_key, ts, "
                "received_at, properties) FROM STDIN"
            ) as copy,
        ):
            for n, event in enumerate(chosen):
                source = sources[n % 2]
                copy.write_row(
                    (
                        uuid.uuid4(),
                        org.pk,
                        source.pk,
                        refs[source.pk, event.customer].pk,
                        batch.pk,
                        event.name,
                        event.event_id,
                        event.user,
                        event.at,
                        now,
                        json.dumps({}),
                    )
                )
        rollups.fold(now)
    return {customer.name: customer.pk for customer in customers}


def read_orders(folder: Path) -> list[Event]:
    """Online Retail orders: "order" and "return" events, by three users a customer
    and by none. The times are taken as UTC."""
    text = gzip.decompress(
        (folder / "data" / "online_retail_orders.csv.gz").read_bytes()
    ).decode()
    return [
        Event(
            customer=row["customer_id"],
            user=("", "u1", "u2", "u3")[int(row["lines"]) % 4],
            name="return" if row["is_return"] == "True" else "order",
            at=datetime.fromisoformat(row["ts"]).replace(tzinfo=UTC),
            event_id=f"{number:06d}",
        )
        for number, row in enumerate(csv.DictReader(io.StringIO(text)))
    ]


def scope_of(org: Organization, now: datetime, query: str) -> Scope:
    """The scope of a query string."""
    return read_scope(org, QueryDict(query), now)
