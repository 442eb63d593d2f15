"""The writer alone: one connection, one commit per batch, no HTTP.

Against bare COPY of ready bytes, durable as the product is, and bulk_create into a
plain table. The unique key of an event stands in a table of its own (`cg_event_key`),
so there are two baselines: COPY into the event table alone, with its three indexes and
no unique key, and COPY into both tables in one transaction, which is what a single
table with a unique key would have to do.
    python -m tests.bench.write_path [events per case] [rounds]
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.bench.ingest_stage import EventMaker, Stage, row, show

if TYPE_CHECKING:
    from integrations.load import KnownCustomers, Lot

_SIZES = (100, 1_000, 10_000)
EVENTS_ONLY = "bare COPY, events without their keys"
BOTH = "bare COPY, events and keys"


def run(events: int = 40_000, rounds: int = 3) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    maker = EventMaker()
    rates: dict[tuple[int, str], list[float]] = {}
    try:
        for number in range(rounds + 1):
            for size in _SIZES:
                for name, rate in _round(stage, maker, events, size).items():
                    if number:
                        rates.setdefault((size, name), []).append(rate)
    finally:
        stage.close()
    return [
        f"{row(f'{name}, {size:,}', found, rates[size, BOTH])}"
        f"{of(found, rates[size, EVENTS_ONLY]):8.2f}"
        for (size, name), found in rates.items()
    ]


def of(rates: list[float], base: list[float]) -> float:
    """Ratio of the medians."""
    return statistics.median(rates) / statistics.median(base)


def _round(stage: Stage, maker: EventMaker, events: int, size: int) -> dict[str, float]:
    from integrations import load

    found = {}
    for name in (EVENTS_ONLY, BOTH):
        chunks = ready_chunks(stage, maker, events, size)
        stage.empty()
        started = time.perf_counter()
        copy_ready(stage, chunks, with_keys=name == BOTH)
        found[name] = events / (time.perf_counter() - started)
    known = load.KnownCustomers()
    for name, write in (
        ("writer, new events", _write_fresh),
        ("writer, general way", _write),
    ):
        decoded = [_decode(maker, size) for _number in range(events // size)]
        stage.empty()
        with stage.connect() as conn:
            source_id = load.source_id(conn, org_id=stage.org.pk, name="web")
            write(conn, _lot(stage, source_id, _decode(maker, size)), known)
            started = time.perf_counter()
            for items in decoded:
                write(conn, _lot(stage, source_id, items), known)
            found[name] = events / (time.perf_counter() - started)
    stage.empty()
    found["bulk_create"] = _bulk_create(maker, events // 4, size)
    return found


def ready_chunks(
    stage: Stage, maker: EventMaker, events: int, size: int
) -> list[tuple[bytes, bytes]]:
    """Binary COPY data of `events` rows as the writer would send them, `size` rows
    each: (into the event table, into the key table)."""
    from integrations import load
    from integrations.load import events as stored
    from integrations.load import fresh, wire

    with stage.connect() as conn:
        source_id = load.source_id(conn, org_id=stage.org.pk, name="web")
        items = _decode(maker, size)
        load.prepare(conn, items)
    line = stored.Line(stage.org.pk, source_id, 1, wire.micros(datetime.now(UTC)))
    chunks = []
    for _number in range(events // size):
        rows = _decode(maker, size)
        refs = {
            (source_id, row.customer_id or ""): hash(row.customer_id) % 5000
            for row in rows
        }
        keys = [os.urandom(16) for _row in rows]
        encoded = stored.encode_rows(keys, rows, line, refs)
        contents = dict(zip(keys, (row.content for row in rows), strict=True))
        chunks.append(
            (
                b"".join(wire.chunks(encoded)),
                b"".join(wire.chunks(fresh.key_rows(contents))),
            )
        )
    return chunks


def copy_ready(
    stage: Stage, chunks: list[tuple[bytes, bytes]], *, with_keys: bool
) -> None:
    """Copy each chunk in a transaction of its own."""
    from integrations.load.events import COPY
    from integrations.load.fresh import COPY_KEYS

    with stage.connect() as conn:
        for events, keys in chunks:
            with conn.transaction():
                if with_keys:
                    with conn.cursor().copy(COPY_KEYS) as copy:
                        copy.write(keys)
                with conn.cursor().copy(COPY) as copy:
                    copy.write(events)


def _decode(maker: EventMaker, count: int) -> Any:
    from integrations.ingest.decode import decode

    body = b"[" + b",".join(maker.events(count)) + b"]"
    return decode(
        body, ndjson=False, received_at=datetime.now(UTC), max_records=count
    ).items


def _lot(stage: Stage, source_id: int, items: Any) -> Lot:
    from integrations.load import Lot

    return Lot(
        org_id=stage.org.pk,
        source_id=source_id,
        origin="ingest",
        items=items,
        received_at=datetime.now(UTC),
    )


def _write_fresh(conn: Any, lot: Lot, known: KnownCustomers) -> None:
    from integrations import load

    load.prepare(conn, lot.items)
    if load.write_fresh(conn, [lot], known=known) is None:
        # The first one: its customers have still to be looked up.
        _write(conn, lot, known)


def _write(conn: Any, lot: Lot, known: KnownCustomers) -> None:
    from integrations import load

    load.prepare(conn, lot.items)
    with conn.transaction():
        load.write_lots(conn, [lot], known=known)
    known.commit()


def _bulk_create(maker: EventMaker, events: int, size: int) -> float:
    from tests.bench.drf_urls import BenchEvent

    batches = []
    for _number in range(max(1, events // size)):
        rows = [json.loads(text) for text in maker.events(size)]
        batches.append(
            [
                BenchEvent(
                    event_id=each["event_id"],
                    customer_id=each["customer_id"],
                    name=each["event"],
                    ts=datetime.fromisoformat(each["timestamp"]),
                    properties=each["properties"],
                )
                for each in rows
            ]
        )
    started = time.perf_counter()
    for batch in batches:
        BenchEvent.objects.bulk_create(batch, ignore_conflicts=True)
    return len(batches) * size / (time.perf_counter() - started)


if __name__ == "__main__":
    show(*run(*(int(argument) for argument in sys.argv[1:3])))
