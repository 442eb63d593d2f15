"""The writer alone: one connection, one commit per batch, no HTTP.

Against bare COPY of ready bytes into the same table, and bulk_create into a plain one.
    python -m tests.bench.write_path [events per case] [rounds]
"""

from __future__ import annotations

import json
import os
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.bench.ingest_stage import EventMaker, Stage, row, show

if TYPE_CHECKING:
    from integrations.load import KnownCustomers

_SIZES = (100, 1_000, 10_000)


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
        row(f"{name}, batches of {size:,}", found, rates[size, "bare COPY"])
        for (size, name), found in rates.items()
    ]


def _round(stage: Stage, maker: EventMaker, events: int, size: int) -> dict[str, float]:
    from integrations import load

    found = {}
    chunks = ready_chunks(stage, maker, events, size)
    stage.empty()
    started = time.perf_counter()
    copy_ready(stage, chunks)
    found["bare COPY"] = events / (time.perf_counter() - started)
    decoded = [_decode(maker, size) for _number in range(events // size)]
    stage.empty()
    known = load.KnownCustomers()
    with stage.connect() as conn:
        source_id = load.source_id(conn, org_id=stage.org.pk, name="web")
        _write(conn, stage.org.pk, source_id, _decode(maker, size), known)
        started = time.perf_counter()
        for items in decoded:
            _write(conn, stage.org.pk, source_id, items, known)
        found["writer, decoded records"] = events / (time.perf_counter() - started)
    stage.empty()
    found["bulk_create"] = _bulk_create(maker, events // 4, size)
    return found


def ready_chunks(
    stage: Stage, maker: EventMaker, events: int, size: int
) -> list[bytes]:
    """Binary COPY data of `events` rows as the writer would send them."""
    from integrations import load
    from integrations.load import events as stored
    from integrations.load import wire

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
        chunks.append(b"".join(wire.chunks(encoded)))
    return chunks


def copy_ready(stage: Stage, chunks: list[bytes]) -> None:
    """Copy each chunk in a transaction of its own."""
    from integrations.load.events import COPY

    with stage.connect() as conn:
        for chunk in chunks:
            with conn.transaction(), conn.cursor().copy(COPY) as copy:
                copy.write(chunk)


def _decode(maker: EventMaker, count: int) -> Any:
    from integrations.ingest.decode import decode

    body = b"[" + b",".join(maker.events(count)) + b"]"
    return decode(
        body, ndjson=False, received_at=datetime.now(UTC), max_records=count
    ).items


def _write(
    conn: Any, org_id: int, source_id: int, items: Any, known: KnownCustomers
) -> None:
    from integrations import load

    lot = load.Lot(
        org_id=org_id,
        source_id=source_id,
        origin="ingest",
        items=items,
        received_at=datetime.now(UTC),
    )
    load.prepare(conn, items)
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
