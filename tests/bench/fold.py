"""Folding events into the rollups: against the staging merge of the same events, the
same aggregates in plain SQL, and in DuckDB.

The events arrive in order of time over 30 days, in batches of 1,000. Staging merge:
binary COPY of ready bytes into a temporary table, new keys into the key table, the
events of those keys into the partitioned table, one commit a batch. Fold: the product's
own. They take turns, 150,000 events at a time, so that a busy machine slows both; the
rollups are asserted equal to the plain ones.

    python -m tests.bench.fold [events] [customers]
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import util
from pathlib import Path
from typing import Any

from tests.bench.analytic_stage import NAMES, NOW, AnalyticStage, tell
from tests.bench.ingest_stage import show

_TURN = 150_000
_BATCH = 1_000
_COLUMNS = (
    "event_key, organization_id, source_id, customer_source_id, batch_id, name, "
    "event_id, user_key, ts, received_at, value, properties"
)
_GENERATE = f"""
SELECT md5(n::text)::uuid AS event_key, %(org)s::bigint AS organization_id,
    %(source)s::bigint AS source_id, %(first)s + (n * 7919) %% %(customers)s
        AS customer_source_id,
    %(batch)s + n / {_BATCH} AS batch_id, (%(names)s::text[])[1 + n * 31 %% 5] AS name,
    n::text AS event_id, 'u' || n * 17 %% 3 AS user_key,
    %(now)s - interval '30 days' + n * (interval '30 days' / %(events)s) AS ts,
    %(now)s::timestamptz AS received_at, 1::float8 AS value,
    '{{"plan": "team", "client": "web"}}'::jsonb AS properties
FROM generate_series(%(begin)s::bigint, %(end)s) n
"""
_BATCHES = f"""
INSERT INTO cg_batch (organization_id, source_id, origin, stream, page, fetched,
    inserted, updated, unchanged, duplicate, quarantined, filtered, deleted, bytes,
    events, received_at)
SELECT %(org)s, %(source)s, 'ingest', '', 0, {_BATCH}, {_BATCH}, 0, 0, 0, 0, 0, 0, 0,
    {_BATCH}, %(now)s
FROM generate_series(1, %(n)s) RETURNING id
"""
_MERGE = (
    f"CREATE TEMP TABLE IF NOT EXISTS stage ON COMMIT DELETE ROWS AS SELECT {_COLUMNS} "
    "FROM cg_usage_event LIMIT 0",
    f"COPY stage ({_COLUMNS}) FROM STDIN (FORMAT binary)",
    "WITH fresh AS (INSERT INTO cg_event_key (key, content) SELECT event_key, 1 "
    "  FROM stage ORDER BY 1 ON CONFLICT DO NOTHING RETURNING key) "
    f"INSERT INTO cg_usage_event ({_COLUMNS}) SELECT {_COLUMNS} FROM stage "
    "JOIN fresh ON fresh.key = stage.event_key",
)
PLAIN = {
    "cg_org_hour": (
        "organization_id, hour, name, n::bigint",
        "SELECT organization_id, date_trunc('hour', ts) AS hour, name, count(*) AS n, "
        "sum(value) AS value_sum FROM {events} GROUP BY 1, 2, 3",
    ),
    "cg_org_day": (
        "organization_id, day, name, n::bigint",
        "SELECT organization_id, CAST(ts AS date) AS day, name, count(*) AS n, "
        "sum(value) AS value_sum FROM {events} GROUP BY 1, 2, 3",
    ),
    "cg_usage_day": (
        "customer_source_id, day, name, user_key, n::bigint",
        "SELECT customer_source_id, CAST(ts AS date) AS day, name, user_key, "
        "count(*) AS n, sum(value) AS value_sum, min(ts) AS first_at, "
        "max(ts) AS last_at FROM {events} GROUP BY 1, 2, 3, 4",
    ),
    "an_usage_seen": (
        "customer_source_id, name, user_key, n::bigint",
        "SELECT customer_source_id, name, user_key, min(ts) AS first_at, "
        "max(ts) AS last_at, count(*) AS n FROM {events} GROUP BY 1, 2, 3",
    ),
}
"""Rollup -> (columns compared, the same by plain SQL of PostgreSQL and DuckDB)."""


def run(events: int = 1_000_000, customers: int = 20_000) -> list[str]:
    """The lines of the result table."""
    stage = AnalyticStage()
    try:
        stage.fill_customers(customers)
        return _measure(stage, events)
    finally:
        stage.close()


def _measure(stage: AnalyticStage, events: int) -> list[str]:
    from analytics import rollups
    from churnguard import partitions

    events -= events % _BATCH
    with stage.connect() as conn:
        months = [datetime(2026, month, 1, tzinfo=UTC).date() for month in (10, 11)]
        partitions.create_months(conn.cursor(), months)
        values = {
            "org": stage.org.pk,
            "source": stage.source,
            "first": stage.first,
            "customers": stage.customers,
            "now": NOW,
            "events": events,
            "names": list(NAMES),
        }
        merge_s = fold_s = 0.0
        batches = 0
        for begin in range(0, events, _TURN):
            turn = min(_TURN, events - begin)
            values["n"] = turn // _BATCH
            rows = conn.execute(_BATCHES, values).fetchall()
            values["batch"] = min(row[0] for row in rows) - begin // _BATCH
            merge_s += _merge(conn, values, begin, begin + turn)
            conn.execute("ANALYZE cg_usage_event, cg_batch")
            folded, took = _timed(lambda: _fold(rollups))
            batches += folded
            fold_s += took
            tell(f"{begin + turn:,} events merged and folded")
        assert batches == events // _BATCH
    merge, fold = events / merge_s, events / fold_s
    lines = [
        _say(f"staging merge: {merge:,.0f} events/s"),
        _say(f"fold: {fold:,.0f} events/s, {fold / merge:.2f} of the staging merge"),
    ]
    with stage.connect() as conn:
        plain_s = _plain_sql(conn, stage)
    plain = events / plain_s
    lines.append(
        _say(
            f"the four largest rollups by plain SQL, from nothing and at once: "
            f"{plain:,.0f} events/s; fold is {fold / plain:.2f} of it; equal rows"
        )
    )
    return [*lines, _say(_duckdb(stage, events, fold))]


def _merge(conn: Any, values: dict[str, Any], first: int, until: int) -> float:
    """Seconds of the merge alone: the bytes of each batch are made beforehand."""
    seconds = 0.0
    make, load, store = _MERGE
    for begin in range(first, until, _BATCH):
        end = min(begin + _BATCH, until) - 1
        with conn.cursor().copy(
            f"COPY ({_bound(conn, {**values, 'begin': begin, 'end': end})}) "
            "TO STDOUT (FORMAT binary)"
        ) as out:
            data = b"".join(out)
        started = time.perf_counter()
        with conn.transaction():
            cur = conn.cursor()
            cur.execute(make)
            with cur.copy(load) as copy:
                copy.write(data)
            cur.execute(store)
        seconds += time.perf_counter() - started
    return seconds


def _bound(conn: Any, values: dict[str, Any]) -> str:
    import psycopg

    return str(psycopg.ClientCursor(conn).mogrify(_GENERATE, values))


def _fold(rollups: Any) -> int:
    count = 0
    while folded := rollups.fold(NOW):
        count += folded
    return count


def _plain_sql(conn: Any, stage: AnalyticStage) -> float:
    seconds = 0.0
    conn.execute("SET work_mem = '256MB'")
    for table, (columns, sql) in PLAIN.items():
        made = f"CREATE TEMP TABLE plain_{table} AS " + sql.format(
            events="cg_usage_event"
        )
        started = time.perf_counter()
        conn.execute(made)
        seconds += time.perf_counter() - started
        ours, theirs = f"SELECT {columns} FROM {table}", f"FROM plain_{table}"
        both = (ours, f"SELECT {columns} {theirs}")
        for one, other in (both, both[::-1]):
            found = conn.execute(f"SELECT count(*) FROM ({one} EXCEPT {other}) x")
            assert found.fetchone()[0] == 0, table
    return seconds


def _duckdb(stage: AnalyticStage, events: int, fold: float) -> str:
    if util.find_spec("duckdb") is None:
        return "DuckDB: not installed (pip install -r requirements/bench.txt)"
    import duckdb

    with tempfile.TemporaryDirectory(prefix="cgb-") as folder:
        path = Path(folder) / "events.csv"
        with stage.connect() as conn, path.open("wb") as out:
            found = conn.cursor().copy(
                "COPY (SELECT organization_id, customer_source_id, name, user_key, "
                "ts AT TIME ZONE 'UTC' AS ts, value FROM cg_usage_event) "
                "TO STDOUT (FORMAT csv, HEADER)"
            )
            with found as copy:
                for data in copy:
                    out.write(data)
            counts = {
                table: conn.execute(f"SELECT count(*), sum(n) FROM {table}").fetchone()
                for table in PLAIN
            }
        base = duckdb.connect()
        base.execute(f"CREATE TABLE events AS SELECT * FROM read_csv('{path}')")
        seconds = 0.0
        for table, (_columns, sql) in PLAIN.items():
            started = time.perf_counter()
            base.execute(f"CREATE TABLE {table} AS {sql.format(events='events')}")
            seconds += time.perf_counter() - started
            told = base.execute(f"SELECT count(*), sum(n) FROM {table}").fetchone()
            assert tuple(map(int, told)) == tuple(map(int, counts[table])), table
    rate = events / seconds
    return (
        f"the same in DuckDB, in memory: {rate:,.0f} events/s; fold is "
        f"{fold / rate:.3f} of it; equal counts"
    )


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _say(line: str) -> str:
    show(line)
    return line


if __name__ == "__main__":
    import sys

    run(*map(int, sys.argv[1:]))
