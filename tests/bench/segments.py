"""Counting segments of many customers, each in one query, against the plainest count.

python -m tests.bench.segments [customers] [--explain]
"""

from __future__ import annotations

import os
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.health import _FILL
from tests.bench.ingest_stage import Stage, show

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
RUNS = 5

_MORE = (
    "UPDATE cg_customer SET plan = (ARRAY['Pro', 'Basic', ''])[1 + id %% 3], "
    "domain = 'c' || id || '.example', score = id %% 101, churn_probability = "
    "(id %% 1000) / 1000.0, mrr_minor = 1000 * (id %% 500), band = 'watch', "
    'custom = \'{"tier": "gold", "tags": ["a", "b"], "n": 3}\' '
    "WHERE organization_id = %(org)s",
    "INSERT INTO cg_usage_day (organization_id, customer_source_id, day, name, "
    "user_key, n, value_sum, first_at, last_at) SELECT %(org)s, s.id, "
    "%(today)s::date - d, 'login', '', 3, 0, now(), now() FROM cg_customer_source s, "
    "generate_series(0, 27) d WHERE (s.id + d) %% 4 = 0",
    "INSERT INTO cg_subscription (organization_id, source_id, external_id, "
    "customer_source_id, custom, raw, created_at, updated_at, status, currency, "
    "mrr_minor, period_ends_at) SELECT %(org)s, source_id, external_id, id, '{}', "
    "'{}', now(), now(), 'active', 'EUR', 1000, %(today)s + (id %% 60) * interval "
    "'1 day' FROM cg_customer_source WHERE organization_id = %(org)s",
    "INSERT INTO an_health_score (organization_id, customer_id, definition_id, at, "
    "score, score_exact, band, coverage_pct, parts, parts_hash) SELECT %(org)s, c.id, "
    "%(definition)s, %(today)s - k * interval '3 days', 50, "
    "50, 'watch', 90, (SELECT jsonb_agg(jsonb_build_array(m, 50.5, 50.5, 5.5, 3, 1.5, "
    "2.5, 1700000000)) FROM unnest(ARRAY['active_days', 'recency_gap', 'seats_used', "
    "'feature_breadth', 'past_due', 'failed_payments', 'plan_change', 'renewal', "
    "'urgent_open', 'reopen_rate', 'first_reply', 'resolution', 'ticket_volume', "
    "'last_contact', 'campaigns', 'csat']) m), k FROM cg_customer c, "
    "generate_series(1, 3) k WHERE c.organization_id = %(org)s",
    "ANALYZE",
)

SEGMENTS: dict[str, Any] = {
    "plan and score": {"and": [
        {"field": "plan", "op": "=", "value": "Pro"},
        {"field": "score", "op": "<", "value": 40},
    ]},
    "text contains": {"field": "domain", "op": "contains", "value": "99"},
    "own field": {"field": "custom", "path": ["tags"], "op": "=", "value": "b"},
    "risk band": {"field": "risk_band", "op": "=", "value": "high"},
    "source": {"field": "source", "op": "!=", "value": "other"},
    "active days in 28": {"field": "usage.active_days_28", "op": "<", "value": 4},
    "events in 28 days": {"field": "usage.events", "event": "login", "days": 28,
                          "op": ">=", "value": 20},
    "open tickets": {"field": "support.open_tickets", "op": ">", "value": 0},
    "overdue invoices": {"field": "billing.overdue_invoices", "op": ">", "value": 0},
    "renewal within 30 days": {"field": "billing.renewal_at", "op": "in_next_days",
                               "value": 30},
    "health component": {"field": "health.usage", "op": "<", "value": 60},
    "six facts at once": {"and": [
        {"field": "plan", "op": "in", "value": ["Pro", "Basic"]},
        {"field": "usage.active_days_7", "op": "<=", "value": 3},
        {"or": [
            {"field": "support.open_tickets", "op": ">", "value": 0},
            {"field": "billing.overdue_invoices", "op": ">", "value": 0},
        ]},
        {"not": {"field": "billing.renewal_at", "op": "in_next_days", "value": 10}},
        {"field": "support.csat_pct", "op": ">=", "value": 50},
    ]},
}  # fmt: skip


def run(customers: int = 100_000, *, is_explained: bool = False) -> list[str]:
    """The lines of the result table."""
    stage = Stage()
    try:
        return _measure(stage, customers, is_explained=is_explained)
    finally:
        stage.close()


def _measure(stage: Stage, customers: int, *, is_explained: bool) -> list[str]:
    from django.db import connection

    from analytics.models import ScoreDefinition
    from analytics.segments.members import count_totals
    from analytics.segments.predicate import compile_node
    from analytics.segments.tree import parse

    definition = ScoreDefinition.objects.create(
        organization=stage.org, version=99, spec={}
    )
    values = {
        "org": stage.org.pk,
        "n": customers,
        "today": NOW,
        "definition": definition.pk,
    }
    with connection.cursor() as cur:
        for statement in (*_FILL, *_MORE):
            cur.execute(statement, values)
    plain = "SELECT count(*) FROM cg_customer WHERE organization_id = %(seg_org)s"
    plain_ms = _median(plain, {"seg_org": stage.org.pk})
    lines = [f"all {customers:,} customers, plainest count: {plain_ms:.0f} ms CPU"]
    for name, definition in SEGMENTS.items():
        found = compile_node(parse(definition), stage.org, NOW)
        ms = _median(f"SELECT count(*) FROM ({found.sql}) x", found.values)
        members = count_totals(stage.org, found).members
        lines.append(f"{name}: {ms:.0f} ms CPU for {members:,} members")
        if is_explained:
            with connection.cursor() as cur:
                explain = "EXPLAIN (ANALYZE, COSTS OFF) SELECT count(*)"
                cur.execute(f"{explain} FROM ({found.sql}) x", found.values)
                lines += [f"    {row[0]}" for row in cur.fetchall()]
    return lines


def _median(sql: str, values: dict[str, Any]) -> float:
    """CPU milliseconds of the server in one process, the median of RUNS after one to
    warm up: a busy machine changes them little."""
    from django.db import connection

    taken = []
    with connection.cursor() as cur:
        cur.execute("SET max_parallel_workers_per_gather = 0")
        cur.execute("SELECT pg_backend_pid()")
        (pid,) = cur.fetchone()
        for _ in range(RUNS + 1):
            before = _cpu_ms(pid)
            cur.execute(sql, values)
            cur.fetchall()
            taken.append(_cpu_ms(pid) - before)
    return statistics.median(taken[1:])


def _cpu_ms(pid: int) -> float:
    """User and system time of a process so far (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return 1000 * (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    numbers = [int(given) for given in sys.argv[1:] if given.isdigit()]
    show("Segments", *run(*numbers, is_explained="--explain" in sys.argv))
