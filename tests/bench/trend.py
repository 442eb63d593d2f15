"""The organisation's trend over many events: rollup against GROUP BY over the events,
equal in every cell.

The events (20,000 customers, five names, in order of time over 30 days) are made by
INSERT..SELECT straight into the partitioned table, in batches of 10,000 with their
ledger lines; the rollups are made by the product's own fold. The trend is the product's
own answer for 30 days, without a cache; counts and value sums of each day and name are
compared with those of the raw events.

    python -m tests.bench.trend [events]
"""

from __future__ import annotations

import logging
import statistics
import sys
import time
from datetime import UTC, date, datetime, timedelta
from typing import Any

from tests.bench.analytic_stage import tell
from tests.bench.ingest_stage import Stage, show

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
_CUSTOMERS = 20_000
_BATCH_EVENTS = 10_000
_CHUNK = 500_000

_FILL = """
INSERT INTO cg_usage_event (event_key, organization_id, source_id, customer_source_id,
    batch_id, name, event_id, user_key, ts, received_at, value, properties)
SELECT gen_random_uuid(), %(org)s, %(source)s,
    %(first)s + (n * 7919) %% %(customers)s, %(batch)s + n / %(size)s,
    (ARRAY['login', 'report', 'export', 'invite', 'search'])[1 + n %% 5],
    n::text, 'u' || n %% 3, %(now)s - ((n * 104729) %% 2592000) * interval '1 second',
    %(now)s, 1, '{"plan": "team", "client": "web"}'
FROM generate_series(%(begin)s::bigint, %(end)s) n
"""
_BATCH = """
INSERT INTO cg_batch (organization_id, source_id, origin, stream, page, fetched,
    inserted, updated, unchanged, duplicate, quarantined, filtered, deleted, bytes,
    events, received_at)
SELECT %(org)s, %(source)s, 'ingest', '', 0, %(size)s, %(size)s, 0, 0, 0, 0, 0, 0, 0,
    %(size)s, %(now)s
FROM generate_series(1, %(batches)s) RETURNING id
"""
_RAW = """
SELECT (ts AT TIME ZONE 'UTC')::date, name, count(*), sum(value)
FROM cg_usage_event WHERE organization_id = %s AND ts >= %s AND ts < %s GROUP BY 1, 2
"""


def run(events: int = 1_000_000) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    try:
        return _measure(stage, events)
    finally:
        stage.close()


def _measure(stage: Stage, events: int) -> list[str]:
    from django.db import connection

    from analytics import rollups, trends
    from churnguard import partitions
    from churnguard.models import Organization

    logging.getLogger("churnguard").setLevel(logging.ERROR)
    org = Organization.objects.get(pk=stage.org.pk)
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        partitions.create_months(
            cur, [NOW.date().replace(day=1), datetime(2026, 10, 1, tzinfo=UTC).date()]
        )
        source, first = _customers(cur, org.pk)
        events -= events % _BATCH_EVENTS
        values = {
            "org": org.pk,
            "source": source,
            "first": first,
            "customers": _CUSTOMERS,
            "now": NOW,
            "events": events,
            "size": _BATCH_EVENTS,
            "batches": events // _BATCH_EVENTS,
        }
        cur.execute(_BATCH, values)
        values["batch"] = min(row[0] for row in cur.fetchall())
        insert_s = 0.0
        for begin in range(0, events, _CHUNK):
            end = min(begin + _CHUNK, events) - 1
            started = time.perf_counter()
            cur.execute(_FILL, {**values, "begin": begin, "end": end})
            insert_s += time.perf_counter() - started
            tell(f"{end + 1:,} events stored")
        cur.execute("ANALYZE cg_usage_event, cg_batch")
    started, folded, told = time.perf_counter(), 0, 0
    while batches := rollups.fold(NOW):
        folded += batches * _BATCH_EVENTS
        if folded - told >= _CHUNK:
            tell(f"{folded:,} events folded")
            told = folded
    fold_s = time.perf_counter() - started
    assert folded == events
    raw_times, rollup_times = [], []
    start = (NOW - timedelta(days=29)).replace(hour=0)
    for _ in range(5):
        started = time.perf_counter()
        with connection.cursor() as wrapper:
            wrapper.execute(_RAW, [org.pk, start, start + timedelta(days=30)])
            raw = wrapper.fetchall()
        raw_times.append(time.perf_counter() - started)
        started = time.perf_counter()
        trend = trends.usage_trend(org, trends.Question("30d"), NOW)
        rollup_times.append(time.perf_counter() - started)
    _compare(raw, trend)
    raw_ms, rollup_ms = (
        statistics.median(found) * 1000 for found in (raw_times, rollup_times)
    )
    return [
        f"30-day trend over {events:,} events: rollup {rollup_ms:.2f} ms, raw GROUP BY "
        f"{raw_ms:.0f} ms, {raw_ms / rollup_ms:.0f} times faster, equal results",
        f"fold: {events / fold_s:,.0f} events/s; insert of the same events by "
        f"INSERT..SELECT, without keys: {events / insert_s:,.0f}/s",
    ]


def _compare(raw: list[tuple[date, str, int, float]], trend: dict[str, Any]) -> None:
    """Every day and name of the raw events stands in the trend, and nothing else."""
    days = [point["at"][:10] for point in trend["points"]]
    cells = {
        (day, series["event"]): n
        for series in trend["series"]
        for day, n in zip(days, series["values"], strict=True)
        if n
    }
    assert cells == {(day.isoformat(), name): n for day, name, n, _value in raw}
    sums = dict.fromkeys(days, 0.0)
    for day, _name, _n, value in raw:
        sums[day.isoformat()] += value
    assert [point["value"] for point in trend["points"]] == list(sums.values())


def _customers(cur: object, org_id: int) -> tuple[int, int]:
    cur.execute(  # type: ignore[attr-defined]
        "INSERT INTO cg_source (organization_id, name, kind, first_seen_at) "
        "VALUES (%s, 'bench', 'ingest', now()) RETURNING id",
        [org_id],
    )
    source = cur.fetchone()[0]  # type: ignore[attr-defined]
    cur.execute(  # type: ignore[attr-defined]
        "WITH c AS (INSERT INTO cg_customer (public_id, organization_id, name, "
        "domain, email, country, industry, segment, plan, owner, lifecycle_stage, "
        "custom, band, created_at, updated_at) "
        "SELECT 'cus_' || n, %(org)s, 'C' || n, '', '', '', '', '', '', '', '', '{}', "
        "'unknown', now(), now() FROM generate_series(1, %(n)s) n "
        "RETURNING id, public_id) "
        "INSERT INTO cg_customer_source (organization_id, source_id, external_id, "
        "customer_id, is_stub, links, custom, raw, created_at, updated_at) "
        "SELECT %(org)s, %(source)s, public_id, id, true, '{}', '{}', '{}', now(), "
        "now() FROM c RETURNING id",
        {"org": org_id, "source": source, "n": _CUSTOMERS},
    )
    return source, min(row[0] for row in cur.fetchall())  # type: ignore[attr-defined]


if __name__ == "__main__":
    show("Trend", *run(*map(int, sys.argv[1:])))
