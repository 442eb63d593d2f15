"""Churn of a large company through the product: features, forecasts, reasons, writes.

The facts are generated straight into the tables: ten usage days and one subscription a
customer, which four in five still pay and are scored for; tickets. The model is trained
by the product on made-up cohorts. Features are compared with the same statements
without anybody reading their rows, and with those of some customers alone; storing with
a bare COPY of the same rows.

    python -m tests.bench.churn_company [customers] [customers for features]

1250000 customers are a million scored, which takes half an hour with the filling; the
default scores a fifth of it and says what a million takes at the same rate.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.analytic_stage import NOW, AnalyticStage, tell
from tests.bench.ingest_stage import show

_DAY = 20_000
_ALONE = 200


def run(customers: int = 250_000, featured: int = 100_000) -> list[str]:
    """The lines of the result table."""
    stage = AnalyticStage()
    try:
        stage.fill_customers(customers)
        stage.fill_usage_days(10 * customers)
        stage.fill_billing(customers, max(1, customers // 4))
        stage.settle()
        return [*_features(stage, min(featured, customers)), *_scoring(stage)]
    finally:
        stage.close()


def _features(stage: AnalyticStage, count: int) -> list[str]:
    from django.db import connection, transaction

    from analytics.predict import fact_sql, features, snapshots

    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        wrapper.execute("SET LOCAL work_mem = '128MB'")
        clock = snapshots.get_clock(cur, stage.org.pk, NOW)
        wrapper.execute("SELECT id FROM cg_customer ORDER BY id LIMIT %s", [count])
        ids = np.array([row[0] for row in cur.fetchall()], dtype=np.int64)

        def gather(some: Any) -> Any:
            return features.gather(cur, stage.org.pk, some, clock.day, clock.timezone)

        snapshot, took = _timed(lambda: gather(ids))
        values = {
            "org": stage.org.pk,
            "base": stage.org.base_currency.upper(),
            "ids": f"{{{','.join(map(str, ids.tolist()))}}}",
            "at": NOW,
            "day": clock.today,
        }

        def plain() -> None:
            for _group, sql, _names in fact_sql.QUERIES:
                cur.execute(f"SELECT count(*) FROM ({sql}) x", values)

        _, plain_s = _timed(plain)
        chosen = np.linspace(0, count - 1, min(_ALONE, count)).astype(int)
        alone = gather(ids[chosen])
    assert np.array_equal(alone.values, snapshot.values[chosen], equal_nan=True)
    known = np.mean(~np.isnan(snapshot.values))
    return [
        _say(
            f"features: {count:,} customers x {snapshot.values.shape[1]} in "
            f"{took:.1f} s ({known:.0%} known); the statements alone {plain_s:.1f} s, "
            f"ratio {took / plain_s:.2f}; equal to those of {len(chosen)} alone"
        )
    ]


def _scoring(stage: AnalyticStage) -> list[str]:
    from django.db import connection

    from analytics.predict import labels, scoring, store, training
    from churnguard.models import Organization

    organization = Organization.objects.get(pk=stage.org.pk)
    with connection.cursor() as wrapper:
        label = labels.active_label(wrapper.cursor, organization.pk)
    made, train_s = _timed(lambda: training.train(_cohorts(), label))
    made = replace(made, leakage="")
    row = store.keep(organization, label, made, NOW)
    tell(f"trained in {train_s:.0f} s: {made.fitted.describe()}")
    parts: dict[str, float] = {}
    _count(scoring.features, "gather", parts, "features")
    _count(scoring.Loaded, "log_odds", parts, "model")
    _count(scoring, "explain_rows", parts, "reasons")
    _count(scoring, "_store", parts, "writing")
    idle_mb = _resident_mb()
    scored, took = _timed(lambda: scoring.score_organization(row, NOW))
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with connection.cursor() as cur:
        cur.execute("SELECT count(*) FROM an_prediction")
        assert cur.fetchone()[0] == scored
    copy_s = _bare_copy(stage)
    split = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in parts.items())
    return [
        _say(
            f"end to end: {scored:,} customers in {took:.1f} s "
            f"({scored / took:,.0f}/s, a million in {took / scored * 1e6:,.0f} s); "
            f"{split}"
        ),
        _say(
            f"writing against a bare COPY of the same rows ({copy_s:.1f} s): ratio "
            f"{copy_s / parts['writing']:.2f}"
        ),
        _say(f"memory: {idle_mb:,.0f} MB before, {peak_mb:,.0f} MB at most"),
    ]


def _cohorts() -> list[Any]:
    """Monthly cohorts in which silence and tickets make customers leave."""
    from analytics.predict import features, snapshots

    random = np.random.default_rng(7)
    found = []
    for number in range(8):
        rows = 400
        values = random.gamma(2.0, 3.0, (rows, len(features.NAMES)))
        silence = random.exponential(8, rows)
        values[:, features.NAMES.index("days_since_use")] = silence
        risk = 0.12 * silence + 0.15 * values[:, features.NAMES.index("tickets_90")]
        left = (random.random(rows) < 1 / (1 + np.exp(3.5 - risk))).astype(float)
        day = _DAY + 30 * number
        who = np.arange(rows) + rows * number
        found.append(
            snapshots.Cohort(
                features.Snapshot(day, who, values),
                left,
                np.where(left == 1, day + 45.0, np.inf),
                is_backfilled=False,
            )
        )
    return found


def _bare_copy(stage: AnalyticStage) -> float:
    columns = (
        "organization_id, customer_id, model_id, cutoff, probability, base_log_odds, "
        "groups, reasons, expected_months, feature_hash"
    )
    with stage.connect() as conn:
        with conn.cursor().copy(
            f"COPY (SELECT {columns} FROM an_prediction) TO STDOUT (FORMAT binary)"
        ) as out:
            data = b"".join(out)
        conn.execute("DELETE FROM an_prediction")
        started = time.perf_counter()
        with conn.cursor().copy(
            f"COPY an_prediction ({columns}) FROM STDIN (FORMAT binary)"
        ) as copy:
            copy.write(data)
        return time.perf_counter() - started


def _count(owner: Any, name: str, parts: dict[str, float], part: str) -> None:
    """Have calls of `owner.name` add their seconds to `parts[part]`."""
    original = getattr(owner, name)

    def measured(*args: Any, **more: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **more)
        finally:
            parts[part] = parts.get(part, 0.0) + time.perf_counter() - started

    setattr(owner, name, measured)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    started = time.perf_counter()
    result = work()
    return result, time.perf_counter() - started


def _resident_mb() -> float:
    with Path("/proc/self/status").open() as lines:
        size = next(line for line in lines if line.startswith("VmRSS"))
    return int(size.split()[1]) / 1024


def _say(line: str) -> str:
    show(line)
    return line


if __name__ == "__main__":
    run(*map(int, sys.argv[1:]))
