"""From a source to our model: a REST API and a PostgreSQL table, raw and mapped.

Ours is the product's engine (real connector, a transaction a page, ledger, leases,
deletes noticed). Beside it, in turn and on the same server: dlt (its REST source,
merge into PostgreSQL), and the hand-written limit (`sync_limit`). Raw: every field
kept as JSON; mapped: contacts of our model, with what is not mapped as custom fields.
dlt has one shape, columns made from what it sees. "again" is a whole second sync in
which nothing had changed; "reading alone" asks the connector for the same pages and
stores nothing. Each line is a process of its own (`sync_work`); CPU seconds are those
of the process and of the database server, not of the provider.

    python -m tests.bench.sync_sources [records] [rounds] [records rounds ..]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from importlib import util
from pathlib import Path
from typing import Any

import psycopg

from tests.bench.bus import serving_bus
from tests.bench.ingest_stage import CHECKOUT, Stage, show
from tests.bench.sync_provider import FILE_VARIABLE, contacts, write_pages

SOURCE = "bench_source"
PLAIN = "bench_plain"
"""Databases beside ours: the table that is read, and where dlt and the limit write."""
MAPPED = {
    "customer_id": "account_id",
    "email": "email",
    "name": "full_name",
    "phone": "phone",
    "title": "job_title",
    "role": "role",
    "joined_at": "created_at",
    "updated_at": "updated_at",
}
_TABLE = """
CREATE TABLE contacts (id text PRIMARY KEY, account_id text, email text, full_name text,
    phone text, job_title text, role text, created_at timestamptz,
    updated_at timestamptz, is_subscribed boolean, login_count bigint,
    balance double precision, address jsonb, note text)
"""
EMPTY = "TRUNCATE cg_source_object, cg_contact, int_stream_seen CASCADE"

Row = dict[str, float]


def work(stage: Stage, records: int, *argv: str) -> Row:
    """One line of a table, by `sync_work`; RuntimeError unless it had all records."""
    with stage.connect() as conn:
        conn.execute("CHECKPOINT")
    postmaster = (stage.postgres.data / "postmaster.pid").read_text()
    done = subprocess.run(
        [
            sys.executable,
            *("-m", "tests.bench.sync_work", postmaster.split()[0], *argv),
        ],
        env={**stage.env, "RUNTIME__DLTHUB_TELEMETRY": "false"},
        cwd=CHECKOUT,
        check=True,
        stdout=subprocess.PIPE,
    )
    row: Row = json.loads(done.stdout.splitlines()[-1])
    if row["records"] != records:
        raise RuntimeError(f"{argv}: {row['records']} of {records} records")
    return row


def connect(stage: Stage, given: dict[str, Any], name: str) -> str:
    """A new integration with its one stream chosen; returns its public id."""
    from integrations import catalog, connecting, registry
    from integrations.models import StreamState

    given["sync_config"] |= {
        "requests_per_minute": 1_000_000,
        "batch_size": 1_000,
        "sync_frequency": 0,
    }
    integration = registry.create(
        stage.org, {"integration_id": name, **given}, by="bench"
    )
    catalog.keep_streams(integration, connecting.discover(integration))
    StreamState.objects.filter(integration=integration).update(is_enabled=True)
    return integration.public_id


class World:
    """The stage with a provider, a table and the integrations that read them."""

    def __init__(self, stage: Stage, port: int, records: int) -> None:
        self.stage, self.port, self.records = stage, port, records
        self.sockets = str(stage.postgres.sockets)
        with stage.connect() as conn:
            for name in (SOURCE, PLAIN):
                conn.execute(f"CREATE DATABASE {name}")
        with psycopg.connect(self.dsn(SOURCE), autocommit=True) as conn:
            conn.execute(_TABLE)
            with conn.cursor().copy("COPY contacts FROM STDIN") as copy:
                for each in contacts(0, records, max(1, records // 20)):
                    each["address"] = json.dumps(each["address"])
                    copy.write_row(tuple(each.values()))
            conn.execute("VACUUM ANALYZE contacts")

    def dsn(self, database: str) -> str:
        return f"host={self.sockets} user=churnguard dbname={database}"

    def work(self, *argv: str) -> Row:
        return work(self.stage, self.records, *argv)

    def ours(self, kind: str, shape: str, number: int) -> dict[str, Row]:
        """First sync, second sync and reading alone of a new integration."""
        with self.stage.connect() as conn:
            conn.execute(EMPTY)
        made = self.connect(kind, shape, f"{kind}-{shape}-{number}")
        return {
            "ours": self.work("sync", made, "inserted"),
            "ours, again": self.work("sync", made, "unchanged"),
            "reading alone": self.work("read", made),
        }

    def limit(self, kind: str, shape: str) -> Row:
        """The hand-written limit into an empty table."""
        table = f"limit_{shape}"
        with psycopg.connect(self.dsn(PLAIN), autocommit=True) as conn:
            conn.execute(f"DROP TABLE IF EXISTS {table}")
        source = f"http:{self.port}" if kind == "rest" else self.dsn(SOURCE)
        return self.work("limit", source, self.dsn(PLAIN), shape, table)

    def dlt(self) -> Row:
        """dlt into an empty schema, with a working folder of its own."""
        with psycopg.connect(self.dsn(PLAIN), autocommit=True) as conn:
            conn.execute("DROP SCHEMA IF EXISTS bench CASCADE")
            conn.execute("DROP SCHEMA IF EXISTS bench_staging CASCADE")
        with tempfile.TemporaryDirectory(prefix="cgb-") as folder:
            return self.work("dlt", str(self.port), self.sockets, PLAIN, folder)

    def connect(self, kind: str, shape: str, name: str) -> str:
        given = self._rest(shape) if kind == "rest" else self._table(shape)
        return connect(self.stage, given, name)

    def _rest(self, shape: str) -> dict[str, Any]:
        endpoint: dict[str, Any] = {
            "name": "contacts",
            "endpoint_url": "/contacts",
            "data_path": "rows",
            "primary_key": "id",
            "pagination": {
                "type": "cursor",
                "param": "after",
                "cursor_path": "next",
                "size_param": "limit",
            },
        }
        if shape == "mapped":
            endpoint |= {"record_type": "contact", "field_mappings": MAPPED}
        return {
            "provider_name": "rest",
            "base_url": f"http://127.0.0.1:{self.port}",
            "credentials": {"auth_type": "none", "endpoints": [endpoint]},
            "sync_config": {},
        }

    def _table(self, shape: str) -> dict[str, Any]:
        given: dict[str, Any] = {
            "provider_name": "postgresql",
            "credentials": {
                "host": self.sockets,
                "database": SOURCE,
                "username": "churnguard",
                "sslmode": "disable",
            },
            "sync_config": {},
        }
        if shape == "mapped":
            given["entity_mappings"] = {"public.contacts": "contact"}
            given["sync_config"] = {"field_mappings": MAPPED}
        return given


def run(records: int = 100_000, rounds: int = 1, *more: int) -> list[str]:
    """Measure and show the table; returns its lines. more: further numbers of records
    and rounds, each measured on a server of its own."""
    lines = _run(records, rounds)
    return lines + run(*more) if more else lines


def _run(records: int, rounds: int) -> list[str]:
    os.environ["INTEGRATION_ALLOW_PRIVATE_HOSTS"] = "127.0.0.1,unix"
    with serving_bus() as url, tempfile.TemporaryDirectory(prefix="cgb-") as folder:
        os.environ["REDIS_URL"] = os.environ["CACHE_URL"] = url
        pages = Path(folder) / "pages"
        write_pages(pages, records, max(1, records // 20))
        os.environ[FILE_VARIABLE] = str(pages)
        stage = Stage()
        try:
            with stage.serve("tests.bench.sync_provider:app") as port:
                return _measure(World(stage, port, records), rounds)
        finally:
            stage.close()


def _measure(world: World, rounds: int) -> list[str]:
    show(f"load of this machine: {', '.join(f'{x:.1f}' for x in os.getloadavg())}")
    has_dlt = util.find_spec("dlt") is not None
    if not has_dlt:
        show("dlt: not installed (pip install -r requirements/bench.txt)")
    found: dict[str, list[Row]] = {}
    show(
        f"{world.records:,} records, median of {rounds}",
        f"{'':<34}{'records/s':>10}{'CPU s':>8}{'own':>8}{'server':>8}{'MiB':>7}",
    )
    for number in range(rounds):
        for kind in ("rest", "postgresql"):
            for shape in ("raw", "mapped"):
                for name, row in world.ours(kind, shape, number).items():
                    keep(found, f"{kind} {shape}, {name}", row)
                keep(found, f"{kind} {shape}, limit", world.limit(kind, shape))
        if has_dlt:
            keep(found, "rest, dlt", world.dlt())
    lines = [_line(name, rows) for name, rows in found.items()]
    lines += _ratios(found)
    if rounds > 1:
        show(*lines)
    else:
        show(*lines[len(found) :])
    return lines


def keep(found: dict[str, list[Row]], name: str, row: Row) -> None:
    """Take in a row and show it."""
    found.setdefault(name, []).append(row)
    show(_line(name, [row]))


def _ratios(found: dict[str, list[Row]]) -> list[str]:
    """What is aimed at, and what it is."""
    lines = []
    for shape, aim in (("raw", 5), ("mapped", 3)):
        for kind in ("rest", "postgresql"):
            ours = found[f"{kind} {shape}, ours"]
            if "rest, dlt" in found:
                lines.append(
                    f"{kind} {shape}: {over(found['rest, dlt'], ours, 'seconds'):.1f} "
                    f"times dlt by the clock, {over(found['rest, dlt'], ours):.1f} by "
                    f"CPU (aim {aim})"
                )
            limit = found[f"{kind} {shape}, limit"]
            lines.append(
                f"{kind} {shape}: {over(limit, ours, 'seconds'):.2f} of the limit's "
                f"speed by the clock, {over(limit, ours):.2f} by CPU"
            )
    for kind in ("rest", "postgresql"):
        for shape in ("raw", "mapped"):
            again = found[f"{kind} {shape}, ours, again"]
            alone = found[f"{kind} {shape}, reading alone"]
            lines.append(
                f"{kind} {shape}: unchanged again takes "
                f"{over(again, alone, 'seconds'):.2f} of reading alone by the clock, "
                f"{over(again, alone):.2f} by CPU (aim 1.5)"
            )
    peak = max(
        row["peak_mib"]
        for name, rows in found.items()
        if "ours" in name
        for row in rows
    )
    return [*lines, f"most memory above idle, ours: {peak:.0f} MiB (aim 200)"]


def over(rows: list[Row], others: list[Row], what: str = "cpu") -> float:
    """How many times as much `rows` took of something as `others`."""
    return _middle(rows, what) / _middle(others, what)


def _middle(rows: list[Row], what: str) -> float:
    if what == "cpu":
        return statistics.median(row["own_s"] + row["server_s"] for row in rows)
    return statistics.median(row[what] for row in rows)


def _line(name: str, rows: list[Row]) -> str:
    speed = _middle(rows, "records") / _middle(rows, "seconds")
    peak = max(row["peak_mib"] for row in rows)
    return (
        f"{name:<34}{speed:>10,.0f}{_middle(rows, 'cpu'):>8.1f}"
        f"{_middle(rows, 'own_s'):>8.1f}{_middle(rows, 'server_s'):>8.1f}{peak:>7.0f}"
    )


if __name__ == "__main__":
    run(*(int(argument) for argument in sys.argv[1:]))
