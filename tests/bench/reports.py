"""Reports of a large company through the API: median and p95, and equal answers.

The rows are generated straight into the rollups (per identity, day, name and user;
first and last use; organisation days), 45 days of events for the funnel, subscriptions
with versions, tickets. Each report is compared with a plain SQL count over the same
rows. Answers are not cached: there is no cache on this stage.

    python -m tests.bench.reports [usage-day rows] [customers] [rounds]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from tests.bench.analytic_stage import NOW, AnalyticStage, ApiClient, percentiles_ms
from tests.bench.ingest_stage import show

USAGE = "/api/v1/analytics/usage/"
QUESTIONS: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "active members": (
        f"{USAGE}active",
        [{}, {"unit": "user"}, {"event": "login"}, {"segment": "smb"}],
    ),
    "retention": (
        f"{USAGE}retention",
        [
            {"intervals": 8, "from": "2026-09-01"},
            {"unit": "user", "mode": "on_or_after", "from": "2026-09-01"},
            {"clock": "rolling", "from": "2026-09-01"},
            {"counting": "recurring", "from": "2026-09-01"},
        ],
    ),
    "funnel": (
        f"{USAGE}funnel",
        [
            {"steps": "login,report"},
            {"steps": "login,report,export", "unit": "user"},
            {"steps": "search,invite", "segment": "smb"},
        ],
    ),
    "adoption": (f"{USAGE}adoption", [{}, {"unit": "user"}, {"segment": "smb"}]),
    "usage trend": (
        "/api/v1/analytics/usage-trends/",
        [{"frame": "30d"}, {"frame": "12m"}, {"frame": "90d", "segment": "smb"}],
    ),
    "revenue": (
        "/api/v1/analytics/revenue",
        [{}, {"group": "plan"}, {"interval": "day", "from": "2026-09-01"}],
    ),
    "support": ("/api/v1/analytics/support", [{}, {"from": "2025-12-01"}]),
}


def run(rows: int = 10_000_000, customers: int = 20_000, rounds: int = 5) -> list[str]:
    """The lines of the result table."""
    stage = AnalyticStage()
    try:
        stage.fill_customers(customers)
        stage.fill_usage_days(rows)
        stage.fill_events()
        stage.fill_billing(max(1, rows // 100), max(1, rows // 33))
        stage.settle()
        return _measure(stage, rounds)
    finally:
        stage.close()


def _measure(stage: AnalyticStage, rounds: int) -> list[str]:
    from unittest import mock

    from django.db import connection

    client = ApiClient(stage)
    client.get("/api/v1/customers")
    lines = []
    with mock.patch("django.utils.timezone.now", return_value=NOW):
        for name, (path, questions) in QUESTIONS.items():
            for question in questions:
                query = dict(question)
                url = path + query.pop("frame", "")
                times, answer = [], None
                for _round in range(rounds):
                    started = time.perf_counter()
                    answer = client.get(url, query)
                    times.append((time.perf_counter() - started) * 1000)
                check = CHECKS.get(name)
                checked = ""
                if check is not None and not set(query) - {"from", "intervals"}:
                    with connection.cursor() as cur:
                        plain_ms = check(cur, stage, answer)
                    checked = f", equal; plain SQL of a part {plain_ms:,.0f} ms"
                middle, slow = percentiles_ms(times)
                told = " ".join(f"{k}={v}" for k, v in question.items())
                line = (
                    f"{name} {told}: median {middle:,.0f} ms, p95 {slow:,.0f} ms"
                    f"{checked}"
                )
                show(line)
                lines.append(line)
    return lines


def _check_active(cur: Any, stage: AnalyticStage, answer: Any) -> float:
    last = NOW.date()
    found, took = _timed(
        cur,
        "SELECT (SELECT count(DISTINCT customer_source_id) FROM cg_usage_day "
        "  WHERE organization_id = %(org)s AND day = %(last)s), "
        "(SELECT count(DISTINCT customer_source_id) FROM cg_usage_day "
        "  WHERE organization_id = %(org)s AND day > %(last)s::date - 28 "
        "  AND day <= %(last)s)",
        {"org": stage.org.pk, "last": last},
    )
    point = answer["points"][-1]
    assert (point["dau"], point["mau"]) == found[0], (point, found)
    return took


def _check_retention(cur: Any, stage: AnalyticStage, answer: Any) -> float:
    found, took = _timed(
        cur,
        "WITH birth AS (SELECT customer_source_id AS c, min(day) AS day "
        "  FROM cg_usage_day WHERE organization_id = %(org)s GROUP BY 1) "
        "SELECT to_char(date_trunc('week', b.day), 'YYYY-MM-DD'), "
        "  ((date_trunc('week', u.day)::date - date_trunc('week', b.day)::date) / 7), "
        "  count(DISTINCT b.c) FROM birth b JOIN cg_usage_day u "
        "ON u.customer_source_id = b.c WHERE b.day >= date '2026-08-31' GROUP BY 1, 2",
        {"org": stage.org.pk},
    )
    plain = {(start, n): members for start, n, members in found}
    for row in answer["cohorts"]:
        for cell in row["cells"]:
            expected = plain.get((row["start"], cell["interval"]), 0)
            assert cell["members"] == expected, (row["start"], cell, expected)
    return took


def _check_adoption(cur: Any, stage: AnalyticStage, answer: Any) -> float:
    found, took = _timed(
        cur,
        "SELECT name, count(DISTINCT customer_source_id), sum(n)::bigint "
        "FROM cg_usage_day WHERE organization_id = %(org)s "
        "AND day BETWEEN %(first)s AND %(last)s GROUP BY 1",
        {
            "org": stage.org.pk,
            "first": NOW.date() - timedelta(days=29),
            "last": NOW.date(),
        },
    )
    told = {(f["event"], f["adopters"], f["events"]) for f in answer["features"]}
    assert told == set(found), (told, found)
    return took


def _check_revenue(cur: Any, stage: AnalyticStage, answer: Any) -> float:
    found, took = _timed(
        cur,
        "SELECT sum(mrr_minor)::bigint FROM cg_subscription WHERE organization_id = "
        "%(org)s AND ended_at IS NULL",
        {"org": stage.org.pk},
    )
    ended = answer["totals"]["mrr_end_minor"]
    assert ended == found[0][0], (ended, found)
    return took


def _check_support(cur: Any, stage: AnalyticStage, answer: Any) -> float:
    found, took = _timed(
        cur,
        "SELECT count(*) FROM cg_ticket WHERE organization_id = %(org)s AND opened_at "
        ">= %(first)s AND opened_at < %(last)s::date + 1",
        {"org": stage.org.pk, "first": answer["from"], "last": answer["to"]},
    )
    assert answer["total"]["volume"] == found[0][0], (answer["total"], found)
    return took


CHECKS: dict[str, Callable[[Any, AnalyticStage, Any], float]] = {
    "active members": _check_active,
    "retention": _check_retention,
    "adoption": _check_adoption,
    "revenue": _check_revenue,
    "support": _check_support,
}


def _timed(cur: Any, sql: str, values: dict[str, Any]) -> tuple[list[Any], float]:
    started = time.perf_counter()
    cur.execute(sql, values)
    found = cur.fetchall()
    return found, (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
