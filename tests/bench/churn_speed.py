"""Speed of the churn mathematics: features, training, scoring, explanations.

Run: python -m tests.bench.churn_speed [--customers 100000] [--score-rows 1000000]
Prints one line per measurement; made-up data, fixed seed, one process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.churn import eventlog, explain, model, trees

DAYS = 730
FEATURES = 40
TRAIN_ROWS = 20_000


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=100_000)
    parser.add_argument("--score-rows", type=int, default=1_000_000)
    sizes = parser.parse_args()
    random = np.random.default_rng(0)
    _measure_features(sizes.customers, random)
    _measure_model(sizes.score_rows, random)
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    _tell("peak memory", f"{peak_mb:,.0f} MB")


def _measure_features(customers: int, random: np.random.Generator) -> None:
    events = 20 * customers
    who = random.integers(0, customers, events)
    days = 19_000 + random.integers(0, DAYS, events)
    amounts = random.gamma(2.0, 15.0, events)
    log, seconds = _timed(lambda: eventlog.build_log(who, days, amounts))
    _tell("event log", f"{events:,} events in {seconds:.2f} s")
    made, seconds = _timed(lambda: eventlog.snapshot(log, 19_000 + DAYS - 90, 90))
    rows, width = made.values.shape
    _tell("features", f"{rows:,} customers x {width} in {seconds:.2f} s")


def _measure_model(rows: int, random: np.random.Generator) -> None:
    x = random.normal(size=(TRAIN_ROWS, FEATURES))
    z = x[:, 0] + np.abs(x[:, 1]) + x[:, 2] * x[:, 3] - 1
    y = (random.random(TRAIN_ROWS) < 1 / (1 + np.exp(-z))).astype(float)
    names = [f"f{number}" for number in range(FEATURES)]
    block = random.normal(size=(min(rows, 50_000), FEATURES))
    fitted, seconds = _timed(lambda: model.fit(x, y, feature_names=names))
    _tell("train full", f"{TRAIN_ROWS:,} x {FEATURES} in {seconds:.1f} s")
    _tell("chosen", fitted.describe())
    _, seconds = _timed(lambda: fitted.probabilities(block))
    _tell("score full", f"{rows:,} rows in {seconds * rows / len(block):.1f} s")
    fitted, seconds = _timed(
        lambda: model.fit(x, y, feature_names=names, bags=1, shapes=trees.LEAN)
    )
    _tell("train lean", f"{TRAIN_ROWS:,} x {FEATURES} in {seconds:.1f} s")
    _tell("chosen", fitted.describe())
    _, seconds = _timed(lambda: fitted.probabilities(block))
    _tell("score lean", f"{rows:,} rows in {seconds * rows / len(block):.1f} s")
    groups = {f"g{k}": names[6 * k : 6 * k + 6] for k in range(6)}
    made, seconds = _timed(
        lambda: explain.explain(
            fitted.mixed_log_odds, block[:500], feature_names=names, groups=groups
        )
    )
    rate = 500 / seconds
    error = made.additivity_error
    _tell("explain", f"{rate:,.0f} customers/s, error {error:.1e}")


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def _tell(what: str, told: str) -> None:
    sys.stdout.write(f"{what:<12} {told}\n")


if __name__ == "__main__":
    main()
