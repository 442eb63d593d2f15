"""Batches of 500 events, and gzip NDJSON of 10,000, committed before the answer.

Against bare COPY of ready bytes on two connections into the tables of the product, with
their indexes and as durable, and the usual DRF view with bulk_create. Two ratios stand
at the end of a line: to COPY of events and keys, then to COPY into the event table
alone, which has no unique key (see `write_path`).
    python -m tests.bench.ingest_batch [events per round] [rounds]
"""

from __future__ import annotations

import gzip
import sys
import threading
import time

from tests.bench.ingest_stage import EventMaker, Stage, drive, request, row, show
from tests.bench.write_path import BOTH, EVENTS_ONLY, copy_ready, of, ready_chunks

_BATCH, _LARGE = 500, 10_000
_BASE = f"{BOTH}, 2 connections"
_LIGHT = f"{EVENTS_ONLY}, 2 conn."


def run(events: int = 60_000, rounds: int = 3) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    maker = EventMaker()
    rates: dict[str, list[float]] = {}
    try:
        for number in range(rounds + 1):
            for name, rate in _round(stage, maker, events).items():
                if number:
                    # The first round warms files and caches.
                    rates.setdefault(name, []).append(rate)
    finally:
        stage.close()
    return [
        f"{row(name, found, rates[_BASE])}{of(found, rates[_LIGHT]):8.2f}"
        for name, found in rates.items()
    ]


def _round(stage: Stage, maker: EventMaker, events: int) -> dict[str, float]:
    found = {
        _LIGHT: _copy(stage, maker, events, with_keys=False),
        _BASE: _copy(stage, maker, events, with_keys=True),
    }
    stage.empty()
    with stage.serve("churnguard.asgi:application") as port:
        drive(port, _batches(maker, 10 * _BATCH), connections=4)
        sent = _batches(maker, events)
        served = drive(port, sent, connections=4)
        found["ingest door, batches of 500"] = events / served.seconds
        stage.empty()
        large = _ndjson(maker, max(events, 4 * _LARGE))
        served = drive(port, large, connections=2)
        found["ingest door, gzip NDJSON of 10,000"] = (
            len(large) * _LARGE / served.seconds
        )
    stage.empty()
    drf = "tests.bench.drf_app:application"
    with stage.serve(drf, settings="tests.bench.drf_baseline") as port:
        few = _batches(maker, events // 6)
        drive(port, few[:2], connections=2)
        served = drive(port, few[2:], connections=4)
        found["DRF + bulk_create, batches of 500"] = (
            served.requests * _BATCH / served.seconds
        )
    return found


def _batches(maker: EventMaker, events: int) -> list[bytes]:
    return [
        request(b"[" + b",".join(maker.events(_BATCH)) + b"]")
        for _number in range(events // _BATCH)
    ]


def _ndjson(maker: EventMaker, events: int) -> list[bytes]:
    return [
        request(
            gzip.compress(b"\n".join(maker.events(_LARGE)), 6),
            Content_Type="application/x-ndjson",
            Content_Encoding="gzip",
        )
        for _number in range(events // _LARGE)
    ]


def _copy(stage: Stage, maker: EventMaker, events: int, *, with_keys: bool) -> float:
    """Rows per second of two threads that copy ready bytes, 500 rows a commit."""
    chunks = ready_chunks(stage, maker, events, _BATCH)
    stage.empty()
    shares = [chunks[0::2], chunks[1::2]]
    threads = [
        threading.Thread(
            target=copy_ready, args=(stage, share), kwargs={"with_keys": with_keys}
        )
        for share in shares
    ]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return events / (time.perf_counter() - started)


if __name__ == "__main__":
    show(*run(*(int(argument) for argument in sys.argv[1:3])))
