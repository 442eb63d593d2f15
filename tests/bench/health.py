"""Health of many customers: in sets, one at a time, and the cheapest plain SQL.

Each customer has a usage window, six features with users, an invoice and three tickets.
The first round writes a score and a history row for every customer; the scores of some
computed one at a time are asserted equal to those of the sets.

    python -m tests.bench.health [customers]
"""

from __future__ import annotations

import logging
import sys
import time
from datetime import UTC, datetime
from typing import Any

from tests.bench.ingest_stage import Stage, show

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

_FILL = (
    "INSERT INTO cg_source (organization_id, name, kind, first_seen_at) "
    "VALUES (%(org)s, 'bench', 'ingest', now())",
    "INSERT INTO cg_customer (public_id, organization_id, name, domain, email, "
    "country, industry, segment, plan, owner, lifecycle_stage, custom, band, "
    "created_at, "
    "updated_at, score_stale_at, seats) "
    "SELECT 'cus_' || n, %(org)s, 'Customer ' || n, '', '', '', '', "
    "(ARRAY['smb', 'mid', 'large'])[1 + n %% 3], '', '', '', '{}', 'unknown', now(), "
    "now(), now(), 5 + n %% 40 FROM generate_series(1, %(n)s) n",
    "INSERT INTO cg_customer_source (organization_id, source_id, external_id, "
    "customer_id, is_stub, links, custom, raw, created_at, updated_at) "
    "SELECT %(org)s, (SELECT max(id) FROM cg_source), public_id, id, true, '{}', '{}', "
    "'{}', now(), now() FROM cg_customer WHERE organization_id = %(org)s",
    "INSERT INTO cg_usage_window (customer_source_id, organization_id, base_day, days, "
    "first_event_at, last_event_at, events_total) "
    "SELECT id, %(org)s, %(today)s::date - 127, "
    "ARRAY(SELECT CASE WHEN random() < 0.2 THEN (random() * 9)::int ELSE 0 END "
    "FROM generate_series(1, 128) d WHERE id = id), "
    "%(today)s - interval '200 days', %(today)s - interval '1 day', 100 "
    "FROM cg_customer_source WHERE organization_id = %(org)s",
    "INSERT INTO an_usage_seen (organization_id, customer_source_id, name, user_key, "
    "first_at, last_at, n) SELECT %(org)s, s.id, 'event_' || k, 'u' || k %% 3, "
    "%(today)s - interval '150 days', %(today)s - k * interval '9 days', 10 "
    "FROM cg_customer_source s, generate_series(1, 6) k "
    "WHERE organization_id = %(org)s",
    "INSERT INTO cg_invoice (organization_id, source_id, external_id, "
    "customer_source_id, custom, raw, lines, created_at, updated_at, status, due_at, "
    "failed_attempts) SELECT %(org)s, source_id, external_id, id, '{}', '{}', '[]', "
    "now(), now(), (ARRAY['paid', 'paid', 'open'])[1 + id %% 3], "
    "%(today)s - (id %% 40) * interval '1 day', id %% 2 "
    "FROM cg_customer_source WHERE organization_id = %(org)s",
    "INSERT INTO cg_ticket (organization_id, source_id, external_id, "
    "customer_source_id, custom, raw, created_at, updated_at, status, priority, "
    "opened_at, first_replied_at, solved_at, satisfaction_pct) "
    "SELECT %(org)s, source_id, external_id || k, id, '{}', '{}', now(), now(), "
    "'solved', 'normal', t, t + interval '3 hours', t + interval '1 day', 80 "
    "FROM (SELECT *, %(today)s - (id %% 100 + k * 9) * interval '1 day' AS t "
    "FROM cg_customer_source, generate_series(1, 3) k "
    "WHERE organization_id = %(org)s) x",
    "INSERT INTO cg_batch (organization_id, source_id, origin, stream, page, fetched, "
    "inserted, updated, unchanged, duplicate, quarantined, filtered, deleted, bytes, "
    "events, received_at, folded_at) "
    "SELECT %(org)s, max(id), 'ingest', '', 0, 1, 1, "
    "0, 0, 0, 0, 0, 0, 0, 1, %(today)s, now() FROM cg_source",
    "UPDATE cg_customer_source SET identity_stale_at = NULL",
)
_PLAIN = """
CREATE TEMP TABLE plain AS
SELECT s.customer_id, 100 * least(1, (SELECT count(*) FROM unnest(w.days[101:128]) d
    WHERE d > 0)::float / greatest(1, (SELECT count(*) FROM unnest(w.days[11:100]) d
    WHERE d > 0) * 28 / 90.0)) AS usage,
    coalesce((SELECT 100 - least(100, max(extract(epoch FROM %s - i.due_at)) / 86400)
     FROM cg_invoice i WHERE i.customer_source_id = s.id AND i.status = 'open'), 100)
     AS billing,
    coalesce((SELECT avg(t.satisfaction_pct) FROM cg_ticket t
     WHERE t.customer_source_id = s.id), 60) AS support
FROM cg_usage_window w JOIN cg_customer_source s ON s.id = w.customer_source_id
"""


def run(customers: int = 100_000) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    try:
        return _measure(stage, customers)
    finally:
        stage.close()


def _measure(stage: Stage, customers: int) -> list[str]:
    from django.db import connection, transaction

    from analytics import scoring

    logging.getLogger("churnguard").setLevel(logging.ERROR)
    values = {"org": stage.org.pk, "n": customers, "today": NOW}
    with connection.cursor() as cur:
        for statement in _FILL:
            cur.execute(statement, values)
        cur.execute("ANALYZE")
        cur.execute("SELECT count(*) FROM cg_customer WHERE score_stale_at IS NOT NULL")
        customers = cur.fetchone()[0]
    whole, python_s, scored = _drain(scoring)
    assert scored == customers
    one_percent = max(1, customers // 100)
    with connection.cursor() as cur:
        cur.execute(
            "UPDATE cg_customer SET score_stale_at = now() WHERE id IN ("
            "SELECT id FROM cg_customer ORDER BY random() LIMIT %s)",
            [one_percent],
        )
    part, _python_s, scored = _drain(scoring)
    assert scored == one_percent
    single = _one_at_a_time(scoring, stage.org.pk)
    with transaction.atomic(), connection.cursor() as cur:
        cur.execute("SET LOCAL work_mem = '256MB'")
        started = time.perf_counter()
        cur.execute(_PLAIN, [NOW])
        plain = time.perf_counter() - started
    return [
        f"health of {customers:,} customers in sets: {whole:.1f} s "
        f"({customers / whole:,.0f}/s), {python_s:.1f} s of it Python",
        f"health of the stale 1 % ({one_percent:,}): {part:.2f} s",
        f"one at a time: {1 / single:,.0f}/s, equal; sets are "
        f"{customers / whole * single:.0f} times faster",
        f"three of the metrics in plain SQL, computed only: {plain:.1f} s "
        f"(ratio {whole / plain:.1f})",
    ]


def _one_at_a_time(scoring: Any, org_id: int, some: int = 200) -> float:
    """Seconds for one customer; each must come out as it did in its set."""
    from django.db import connection

    stored = (
        "SELECT id, score, band, coverage_pct, mrr_minor FROM cg_customer "
        "WHERE id = ANY(%s) ORDER BY id"
    )
    history = "SELECT count(*) FROM an_health_score"
    with connection.cursor() as cur:
        cur.execute("SELECT id FROM cg_customer ORDER BY random() LIMIT %s", [some])
        ids = [row[0] for row in cur.fetchall()]
        cur.execute(stored, [ids])
        before = cur.fetchall()
        cur.execute(history)
        rows = cur.fetchone()
    started = time.perf_counter()
    for customer_id in ids:
        scoring.score_now(org_id, [customer_id], NOW)
    took = time.perf_counter() - started
    with connection.cursor() as cur:
        cur.execute(stored, [ids])
        assert cur.fetchall() == before
        cur.execute(history)
        assert cur.fetchone() == rows, "a score that did not change was written"
    return took / len(ids)


def _drain(scoring: Any) -> tuple[float, float, int]:
    """(seconds, seconds of this process, customers scored) until nothing is stale."""
    started, own, count = time.perf_counter(), time.process_time(), 0
    while scored := scoring.score_stale(NOW):
        count += scored
    return time.perf_counter() - started, time.process_time() - own, count


if __name__ == "__main__":
    show("Health", *run(*map(int, sys.argv[1:])))
