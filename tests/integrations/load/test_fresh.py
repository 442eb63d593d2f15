"""The way of new events stores what the general way does, or nothing at all."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, connections
from psycopg import errors

from churnguard.models import Batch, Organization, UsageEvent
from churnguard.records import TicketRecord
from integrations import load
from integrations.load import fresh
from integrations.load.talk import Talk
from tests.integrations.load.conftest import NOW, event, lot_of

COLUMNS = (
    "event_id", "name", "ts", "received_at", "value", "user_key", "properties",
)  # fmt: skip


def various(source: str, count: int = 2500) -> list[load.PreparedEvent]:
    """More events than one chunk holds, with every shape a column can have."""
    return [
        event(
            f"{source}{number}",
            name=("login", "ausgeführt", "x" * 255)[number % 3],
            ts=NOW - timedelta(seconds=number, microseconds=number * 7),
            customer_id=None if number % 5 == 0 else "c1",
            user_id="" if number % 2 else f"ü{number}",
            value=None if number % 4 else number / 8,
            properties=b'{"n": %d, "t": "%s"}' % (number, "é".encode() * (number % 90)),
        )
        for number in range(count)
    ]


def test_rows_and_ledger_are_those_of_the_general_way(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    web = lot_of(shop, *various("e"), nbytes=99)
    app = lot_of(shop, *various("e"), nbytes=99, source="app")
    with conn.transaction():
        load.write_lots(
            conn, [lot_of(shop, event("first", customer_id="c1"), source="app")]
        )
        (general,) = load.write_lots(conn, [app])

    (short,) = load.write_fresh(conn, [web], known=known) or ()

    assert short.inserted == general.inserted == 2500
    first, second = (
        Batch.objects.values(
            "origin", "stream", "page", "run_id", "fetched", "inserted", "updated",
            "unchanged", "duplicate", "quarantined", "filtered", "deleted", "bytes",
            "events", "newest_at", "received_at", "folded_at",
        ).get(pk=each.batch_id)
        for each in (short, general)
    )  # fmt: skip
    assert first == second
    rows = [
        list(
            UsageEvent.objects.filter(batch_id=each.batch_id)
            .order_by("event_id")
            .values_list(*COLUMNS)
        )
        for each in (short, general)
    ]
    assert len(rows[0]) == 2500
    assert rows[0] == rows[1]
    refs = {
        (row["event_id"] == "first", row["customer_source_id"])
        for row in UsageEvent.objects.filter(source_id=web.source_id).values()
    }
    assert len(refs) == 3  # of "first", the same for others, and none


def test_lots_of_two_sources_get_a_line_each(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    lots = [
        lot_of(shop, event("a"), event("b", customer_id=None)),
        lot_of(shop, event("a", customer_id=None), source="app"),
    ]

    web, app = load.write_fresh(conn, lots, known=known) or ()

    for lot, result in zip(lots, (web, app), strict=True):
        line = Batch.objects.get(pk=result.batch_id)
        assert (line.source_id, line.events) == (lot.source_id, len(lot.items))
        stored = UsageEvent.objects.filter(batch_id=line.pk, source_id=lot.source_id)
        assert stored.count() == len(lot.items)


@pytest.mark.parametrize(
    "items",
    [
        [event("new"), event("first")],
        [event("a"), event("a")],
        [event("a", customer_id="unseen")],
        [event("a"), TicketRecord(external_id="t1")],
        [],
    ],
    ids=["stored", "twice", "unseen", "other", "none"],
)
def test_what_is_not_all_new_stores_nothing(
    conn: psycopg.Connection[Any],
    shop: Organization,
    known: load.KnownCustomers,
    items: list[Any],
) -> None:
    assert load.write_fresh(conn, [lot_of(shop, *items)], known=known) is None

    assert (Batch.objects.count(), UsageEvent.objects.count()) == (1, 1)
    assert conn.execute("SELECT count(*) FROM cg_event_key").fetchone() == (1,)


def test_a_month_without_a_partition_is_an_error_and_stores_nothing(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    lot = lot_of(shop, event("a"), event("b", ts=datetime(2001, 1, 1, tzinfo=UTC)))

    with pytest.raises(errors.CheckViolation):
        load.write_fresh(conn, [lot], known=known)

    assert (Batch.objects.count(), UsageEvent.objects.count()) == (1, 1)
    assert conn.execute("SELECT count(*) FROM cg_event_key").fetchone() == (1,)


def test_a_deleted_organisation_is_found_out_at_the_end(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    lot = lot_of(shop, event("a", customer_id=None))
    gone = load.Lot(
        org_id=lot.org_id + 1_000_000,
        source_id=lot.source_id,
        origin="ingest",
        items=lot.items,
        received_at=NOW,
    )

    with pytest.raises(errors.ForeignKeyViolation):
        load.write_fresh(conn, [gone], known=known)

    assert (Batch.objects.count(), UsageEvent.objects.count()) == (1, 1)
    assert load.write_fresh(conn, [lot], known=known) is not None


def test_who_comes_second_with_a_key_waits_and_stores_nothing(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    lot = lot_of(shop, *(event(f"e{number}") for number in range(300)))
    params = connections["default"].get_connection_params()
    params.pop("cursor_factory", None)
    params.pop("context", None)
    outcome: list[Any] = []
    with psycopg.connect(**params) as other:
        load.write_lots(other, [lot])
        thread = threading.Thread(
            target=lambda: outcome.append(load.write_fresh(conn, [lot], known=known))
        )
        thread.start()
        _wait_until_blocked(conn.info.backend_pid)
        assert outcome == []
        other.commit()
        thread.join(20)

    assert outcome == [None]
    assert UsageEvent.objects.filter(event_id__startswith="e").count() == 300


def _wait_until_blocked(pid: int) -> None:
    with connection.cursor() as cur:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            cur.execute("SELECT cardinality(pg_blocking_pids(%s))", [pid])
            if cur.fetchone() != (0,):
                return
    raise AssertionError("nobody waits")


def test_a_connection_that_dies_in_the_middle_is_closed(
    conn: psycopg.Connection[Any], shop: Organization, known: load.KnownCustomers
) -> None:
    def talk_on() -> None:
        with Talk(conn) as talk:
            talk.ask(fresh.COPY_KEYS)
            with connection.cursor() as cur:
                cur.execute("SELECT pg_terminate_backend(%s)", [conn.info.backend_pid])
            talk.give([b"x" * 100_000] * 50)
            talk.hear()

    with pytest.raises(psycopg.OperationalError):
        talk_on()

    assert conn.closed


def test_a_conversation_left_half_way_closes_the_connection(
    conn: psycopg.Connection[Any], shop: Organization
) -> None:
    def break_off() -> None:
        with Talk(conn) as talk:
            talk.ask(fresh.COPY_KEYS)
            talk.give(bytes([1 // zero]) for zero in (0,))

    with pytest.raises(ZeroDivisionError):
        break_off()

    assert conn.closed
