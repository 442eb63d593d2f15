"""Speed of the churn mathematics: features, training, scoring, explanations.

Scoring stands beside scikit-learn's own forecast of boosted trees alone, explanations
beside asking the model for every mixture of a customer and the usual one.

Run: python -m tests.bench.churn_speed [--customers 100000] [--score-rows 1000000]
Prints one line per measurement; made-up data, fixed seed, one process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from analytics.churn import boosted, eventlog, explain, model, trees
from analytics.churn.threads import limited_threads
from tests.analytics.churn.mixing import mixing

FloatArray = NDArray[np.float64]

DAYS = 730
FEATURES = 40
TRAIN_ROWS = 20_000
BLOCK = 5_000
"""Rows at once, as `analytics.predict.scoring` has it."""
KINDS: dict[str, dict[str, Any]] = {
    "full": {},
    "product": {"bags": 1, "shapes": trees.LEAN, "with_pairs": False},
}
"""How `evaluate_churn` trains, and how organisations are scored."""


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
    plain_s, plain = _plain_scikit(x, y, rows)
    _tell("scikit-learn", f"{rows:,} rows by its booster alone in {plain_s:.1f} s")
    for kind, options in KINDS.items():
        fitted, seconds = _timed(
            partial(model.fit, x, y, feature_names=names, **options)
        )
        _tell(f"train {kind}", f"{TRAIN_ROWS:,} x {FEATURES} in {seconds:.1f} s")
        _tell("chosen", fitted.describe())
        _, seconds = _timed(partial(_score, fitted.probabilities, x, rows))
        told = f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f}/s)"
        _tell(f"score {kind}", f"{told}, ratio {plain_s / seconds:.2f}")
    forest = trees.Forest(
        trees.LEAN[0], [boosted.unfold(plain)], 0.0, np.arange(FEATURES)
    )
    assert np.array_equal(forest.log_odds(x), plain.decision_function(x))
    groups = {f"g{k}": names[6 * k : 6 * k + 6] for k in range(6)}
    usual = explain.segment_reference(x)

    def reasons(mixed: explain.Mixed, count: int) -> explain.Explanation:
        return explain.explain(
            mixed, x[:count], feature_names=names, groups=groups, reference=usual
        )

    made, seconds = _timed(lambda: reasons(fitted.mixed_log_odds, TRAIN_ROWS))
    plain_made, plain_s = _timed(lambda: reasons(mixing(fitted.log_odds), 500))
    assert np.allclose(made.groups[:500], plain_made.groups, atol=1e-9)
    rate, plain_rate = TRAIN_ROWS / seconds, 500 / plain_s
    _tell(
        "explain",
        f"{rate:,.0f} customers/s, error {made.additivity_error:.1e}; by asking the "
        f"model for every mixture {plain_rate:,.0f}/s, equal, ratio "
        f"{rate / plain_rate:.1f}",
    )


def _plain_scikit(
    x: FloatArray, y: FloatArray, rows: int
) -> tuple[float, HistGradientBoostingClassifier]:
    """Seconds to score with nothing but boosted trees of the smallest shape."""
    shape = trees.LEAN[0]
    booster = HistGradientBoostingClassifier(
        max_iter=shape.trees,
        max_leaf_nodes=shape.leaves,
        learning_rate=shape.rate,
        early_stopping=False,
    )
    with limited_threads():
        booster.fit(x, y)
        _, seconds = _timed(lambda: _score(booster.predict_proba, x, rows))
    return seconds, booster


def _score(
    forecast: Callable[[FloatArray], FloatArray], x: FloatArray, rows: int
) -> None:
    """Asks for `rows` forecasts, in the product's blocks."""
    with limited_threads():
        for start in range(0, rows, BLOCK):
            at = start % len(x)
            forecast(x[at : at + min(BLOCK, rows - start)])


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    begin = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begin


def _tell(what: str, told: str) -> None:
    sys.stdout.write(f"{what:<12} {told}\n")


if __name__ == "__main__":
    main()
