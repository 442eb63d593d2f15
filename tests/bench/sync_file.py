"""A CSV file of contacts into our model, beside reading it and merging the same rows.

Ours is the product's engine, as in `sync_sources`; a file may repeat its ids, so the
run remembers each. The limit is csv, COPY to staging and a merge, nothing checked.

    python -m tests.bench.sync_file [records] [rounds]
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
from pathlib import Path

import psycopg

from tests.bench import sync_limit
from tests.bench.bus import serving_bus
from tests.bench.ingest_stage import Stage, show
from tests.bench.sync_provider import contacts
from tests.bench.sync_sources import (
    EMPTY,
    PLAIN,
    Row,
    connect,
    keep,
    over,
    work,
)


def run(records: int = 1_000_000, rounds: int = 1) -> list[str]:
    """Measure and show the table; returns what it comes to."""
    with serving_bus() as url, tempfile.TemporaryDirectory(prefix="cgb-") as folder:
        path = Path(folder) / "contacts.csv"
        _write(path, records)
        os.environ["REDIS_URL"] = os.environ["CACHE_URL"] = url
        os.environ["FILE_SOURCE_ROOTS"] = folder
        stage = Stage()
        try:
            return _measure(stage, path, records, rounds)
        finally:
            stage.close()


def _measure(stage: Stage, path: Path, records: int, rounds: int) -> list[str]:
    plain = f"host={stage.postgres.sockets} user=churnguard dbname={PLAIN}"
    with stage.connect() as conn:
        conn.execute(f"CREATE DATABASE {PLAIN}")
    show(
        f"load of this machine: {', '.join(f'{x:.1f}' for x in os.getloadavg())}",
        f"{records:,} records, {path.stat().st_size / 2**20:,.0f} MiB of CSV",
        f"{'':<34}{'records/s':>10}{'CPU s':>8}{'own':>8}{'server':>8}{'MiB':>7}",
    )
    found: dict[str, list[Row]] = {}
    for number in range(rounds):
        with stage.connect() as conn:
            conn.execute(EMPTY)
        given = {
            "provider_name": "file",
            "credentials": {"path": str(path.parent)},
            "sync_config": {},
            "entity_mappings": {"contacts": "contact"},
        }
        made = connect(stage, given, f"file-{number}")
        keep(found, "ours", work(stage, records, "sync", made, "inserted"))
        keep(found, "ours, again", work(stage, records, "sync", made, "unchanged"))
        keep(found, "reading alone", work(stage, records, "read", made))
        with psycopg.connect(plain, autocommit=True) as conn:
            conn.execute("DROP TABLE IF EXISTS limit_file")
        argv = (f"file:{path}", plain, "mapped", "limit_file")
        keep(found, "limit", work(stage, records, "limit", *argv))
    ours, again, alone, limit = found.values()
    lines = [
        f"ours: {over(limit, ours, 'seconds'):.2f} of the limit's speed by the clock, "
        f"{over(limit, ours):.2f} by CPU",
        f"unchanged again takes {over(again, alone):.2f} of reading alone by CPU",
        f"most memory above idle, ours: {max(r['peak_mib'] for r in ours):.0f} MiB",
    ]
    show(*lines)
    return lines


def _write(path: Path, records: int) -> None:
    with path.open("w", newline="") as file:
        rows = csv.DictWriter(file, list(sync_limit.COLUMNS), extrasaction="ignore")
        rows.writeheader()
        for each in contacts(0, records, max(1, records // 20)):
            rows.writerow({**each, **each["address"]})


if __name__ == "__main__":
    run(*(int(argument) for argument in sys.argv[1:3]))
