"""SIGKILLs of every part of the running product, while data come in by both doors.

Whatever is killed when: what was acknowledged is there, once, and the figures that are
folded from it agree with it.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from tests import servers
from tests.crash.product import (
    PAGE,
    SERVICES,
    FileSync,
    IngestClient,
    Product,
    Sender,
)

SEED = 2_026
CLIENTS = 2
QUIET_S = 90.0

_UNFOLDED = "SELECT count(*) FROM cg_batch WHERE folded_at IS NULL AND events > 0"
_OFF_BALANCE = """
SELECT count(*) FROM cg_batch WHERE fetched <>
    inserted + updated + unchanged + duplicate + quarantined + filtered
"""
_EVENTS_OF_BATCHES = """
SELECT b.id, b.events, count(e.event_key) FROM cg_batch b
LEFT JOIN cg_usage_event e ON e.batch_id = b.id
GROUP BY b.id HAVING b.events <> count(e.event_key)
"""
_RUNS = """
SELECT r.id, r.status, r.fence, sum(p.fetched)::bigint, sum(p.inserted)::bigint,
       sum(p.pages)::bigint
FROM int_sync_run r JOIN int_run_stream p ON p.run_id = r.id
GROUP BY r.id ORDER BY r.id
"""
_PAGES = "SELECT page, fetched FROM cg_batch WHERE run_id = %s ORDER BY page, id"
_LOCAL_DAY = "(e.ts AT TIME ZONE o.timezone)::date"
_ROLLUPS = {
    "cg_org_hour": (
        "organization_id, hour, name, n, value_sum",
        "e.organization_id, date_trunc('hour', e.ts), e.name, count(*), sum(e.value)",
        "1, 2, 3",
    ),
    "cg_org_day": (
        "organization_id, day, name, n, value_sum",
        f"e.organization_id, {_LOCAL_DAY}, e.name, count(*), sum(e.value)",
        "1, 2, 3",
    ),
    "cg_usage_day": (
        "customer_source_id, day, name, user_key, n, value_sum, first_at, last_at",
        f"e.customer_source_id, {_LOCAL_DAY}, e.name, e.user_key, count(*), "
        "sum(e.value), min(e.ts), max(e.ts)",
        "1, 2, 3, 4",
    ),
    "an_usage_seen": (
        "customer_source_id, name, user_key, n, first_at, last_at",
        "e.customer_source_id, e.name, e.user_key, count(*), min(e.ts), max(e.ts)",
        "1, 2, 3",
    ),
    "cg_usage_window": (
        "customer_source_id, events_total, first_event_at, last_event_at",
        "e.customer_source_id, count(*), min(e.ts), max(e.ts)",
        "1",
    ),
}
"""Rollup -> its columns, the same from the events, and what to group by."""


@pytest.fixture
def product() -> Iterator[Product]:
    """A first start that has become ready; what is left of it ends with the test."""
    folder = servers.temporary_home()
    exports = folder / "exports"
    exports.mkdir()
    product = Product(folder / "home", exports)
    product.start().wait_until_ready()
    yield product
    assert product.process is not None
    if product.process.poll() is None:
        product.finish()


@contextmanager
def feeding(product: Product) -> Iterator[tuple[list[IngestClient], FileSync]]:
    """Ingest clients and a sync at work; at the end all that they began is done."""
    facts = product.facts()
    clients = [IngestClient(facts, number) for number in range(CLIENTS)]
    sync = FileSync(facts, product.exports)
    sync.connect()
    senders: list[Sender] = [*clients, sync]
    for sender in senders:
        sender.start()
    try:
        yield clients, sync
    finally:
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(QUIET_S)
    assert [fault for sender in senders for fault in sender.faults] == []
    assert not any(sender.is_alive() for sender in senders)


def wait_until_folded(product: Product) -> None:
    with product.database() as conn:
        deadline = time.monotonic() + QUIET_S
        while _one(conn, _UNFOLDED):
            assert time.monotonic() < deadline, "the fold did not go on"
            conn.rollback()
            time.sleep(0.2)


def assert_events_exactly_once(
    conn: psycopg.Connection[Any], clients: list[IngestClient]
) -> None:
    for client in clients:
        rows = conn.execute(
            "SELECT e.event_id FROM cg_usage_event e JOIN cg_source s "
            "ON s.id = e.source_id WHERE s.name = %s",
            [client.name],
        ).fetchall()
        stored = [row[0] for row in rows]
        assert len(stored) == len(set(stored)), "an event is there twice"
        assert set(stored) == client.acknowledged
    total = sum(len(client.acknowledged) for client in clients)
    assert _one(conn, "SELECT count(*) FROM cg_event_key") == total


def assert_rows_exactly_once(conn: psycopg.Connection[Any], sync: FileSync) -> None:
    rows = conn.execute(
        "SELECT c.external_id FROM cg_customer_source c JOIN cg_source s "
        "ON s.id = c.source_id WHERE s.name = 'crm' AND c.deleted_at IS NULL"
    ).fetchall()
    stored = [row[0] for row in rows]
    assert len(stored) == len(set(stored)), "a row is there twice"
    assert set(stored) == {f"a{number}" for number in range(sync.rows[-1])}


def assert_pages_once(
    conn: psycopg.Connection[Any], sync: FileSync, *, kills: int
) -> int:
    """Each page of each run has one line in the ledger, and no run was taken over more
    often than something was killed (a claim reads at most the one page again that its
    predecessor had not committed). Returns how often runs were taken over."""
    runs = conn.execute(_RUNS).fetchall()
    assert {run[1] for run in runs} == {"completed"}
    takeovers = 0
    for run_id, _, fence, fetched, _, pages in runs:
        lines = conn.execute(_PAGES, [run_id]).fetchall()
        assert [line[0] for line in lines] == list(range(1, pages + 1))
        assert sum(line[1] for line in lines) == fetched
        assert all(line[1] == PAGE for line in lines[:-1])
        assert fetched in sync.rows
        takeovers += fence - 1
    assert {run[3] for run in runs} == set(sync.rows)
    assert sum(run[4] for run in runs) == sync.rows[-1]
    assert takeovers <= kills
    return takeovers


def assert_rollups_agree(conn: psycopg.Connection[Any]) -> None:
    for table, (columns, expressions, groups) in _ROLLUPS.items():
        folded = f"SELECT {columns} FROM {table}"
        counted = (
            f"SELECT {expressions} FROM cg_usage_event e "
            "JOIN cg_organization o ON o.id = e.organization_id "
            f"GROUP BY {groups}"
        )
        for one, other in ((folded, counted), (counted, folded)):
            odd = conn.execute(f"{one} EXCEPT ALL {other} LIMIT 3").fetchall()
            assert odd == [], table


def assert_all_is_well(
    product: Product, clients: list[IngestClient], sync: FileSync
) -> int:
    """Hold what is stored against what was sent; returns how often a run was taken
    over. Stops the product, which leaves no process."""
    wait_until_folded(product)
    with product.database() as conn:
        assert_events_exactly_once(conn, clients)
        assert_rows_exactly_once(conn, sync)
        takeovers = assert_pages_once(conn, sync, kills=len(product.hits))
        assert _one(conn, _OFF_BALANCE) == 0
        assert conn.execute(_EVENTS_OF_BATCHES).fetchall() == []
        assert_rollups_agree(conn)
    assert product.finish() == 0
    assert product.survivors() == []
    return takeovers


def _one(conn: psycopg.Connection[Any], query: str) -> int:
    row = conn.execute(query).fetchone()
    assert row is not None
    return int(row[0])


@pytest.mark.slow
def test_fifty_kills_lose_and_double_nothing(
    product: Product, record_testsuite_property: Any
) -> None:
    rng = random.Random(SEED)
    began = time.monotonic()
    with feeding(product) as (clients, sync):
        for _ in range(5):
            # Twice each, since a third death in a row waits longer for its heir.
            for name in rng.sample(SERVICES * 2, len(SERVICES) * 2):
                time.sleep(rng.uniform(0.2, 3.5))
                product.kill(name)
            time.sleep(rng.uniform(0.2, 3.5))
            product.kill_supervisor_and_start()
    takeovers = assert_all_is_well(product, clients, sync)

    sent = sum(len(client.acknowledged) for client in clients)
    record_testsuite_property("kills", len(product.hits))
    record_testsuite_property("takeovers", takeovers)
    record_testsuite_property("events", sent)
    record_testsuite_property("seconds", round(time.monotonic() - began))
    print(
        f"{len(product.hits)} kills in {time.monotonic() - began:.0f} s: "
        f"{sent} events, {len(sync.rows)} runs taken over {takeovers} times"
    )
    assert len(product.hits) >= 50
    assert takeovers >= 3
    assert sent > 2_000


@pytest.mark.slow
def test_a_kill_of_each_kind_loses_and_doubles_nothing(product: Product) -> None:
    with feeding(product) as (clients, sync):
        for name in ("postgres", "web", "worker", "valkey-bus"):
            time.sleep(1.0)
            product.kill(name)
    assert_all_is_well(product, clients, sync)

    assert all(client.acknowledged for client in clients)
