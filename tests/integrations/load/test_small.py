"""The one-statement way stores and counts exactly what the general way does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from churnguard.models import Batch, Organization, UsageEvent
from churnguard.records import TicketRecord
from integrations import load
from integrations.load import events, small
from tests.integrations.load.conftest import NOW, event, lot_of


def test_new_events_and_repeats_are_stored_and_counted(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    items = (
        event("a", value=2.5, user_id="ü", properties='{"é": "x"}'.encode()),
        event("first"),
        event("b", customer_id=None),
        event("a", value=2.5, user_id="ü", properties='{"é": "x"}'.encode()),
    )

    result = load.write_small(conn, lot_of(shop, *items, nbytes=77), known=known)

    assert result is not None
    assert (result.inserted, result.duplicate, result.repeats) == (2, 2, (1, 3))
    line = Batch.objects.get(pk=result.batch_id)
    assert (line.fetched, line.inserted, line.duplicate, line.events) == (4, 2, 2, 2)
    assert (line.bytes, line.newest_at) == (77, NOW - timedelta(days=1))
    stored = UsageEvent.objects.get(event_id="a")
    assert (stored.value, stored.user_key, stored.properties) == (2.5, "ü", {"é": "x"})
    assert (stored.batch_id, stored.received_at) == (line.pk, NOW)
    first = UsageEvent.objects.get(event_id="first")
    assert stored.customer_source_id == first.customer_source_id is not None
    assert UsageEvent.objects.get(event_id="b").customer_source_id is None
    assert UsageEvent.objects.count() == 3


@pytest.mark.parametrize(
    "items",
    [
        [event("first", content=b"another!")],
        [event("a"), event("a", content=b"another!")],
        [event("a", customer_id="c2")],
        [event("a", ts=datetime(2001, 1, 1, tzinfo=UTC))],
        [TicketRecord(external_id="t1")],
        [],
        [event(f"e{n}") for n in range(small.MOST + 1)],
    ],
)
def test_what_is_not_plain_takes_the_general_way(
    conn: psycopg.Connection[Any],
    shop: Organization,
    known: load.KnownCustomers,
    items: list[Any],
) -> None:
    assert load.write_small(conn, lot_of(shop, *items), known=known) is None
    assert Batch.objects.count() == 1
    assert UsageEvent.objects.count() == 1


def test_keys_are_the_same_on_both_ways(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    lot = lot_of(shop, event("a"))
    load.write_small(conn, lot, known=known)

    with conn.transaction():
        (again,) = load.write_lots(conn, [lot])

    assert (again.inserted, again.duplicate) == (0, 1)
    row = conn.execute(
        "SELECT count(*) FROM cg_event_key WHERE key = %s",
        [events.key_of(lot.source_id, "a").hex()],
    ).fetchone()
    assert row == (1,)
