"""Component weights learned from who left, kept near the present ones.

Logistic regression of leaving on the losses of the five components, all coefficients
0 or more (a lost point may never lower the risk), shrunk toward a multiple of the
present weights. Learned on the older looks, judged on newer ones whose outcomes were
not known then: what is suggested is exactly what was judged.
"""

from __future__ import annotations

import copy
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from analytics import health
from analytics.definition import COMPONENTS, METRICS
from analytics.definitions import backtest
from analytics.definitions.looks import Look, score_look
from analytics.predict.snapshots import cutoff_date

FloatArray = NDArray[np.float64]

PULLS = (1.0, 10.0, 100.0, 1000.0)
"""How strongly the present weights hold; the one is taken that tells best about
accounts left out."""
FOLDS = 5
LEAST_SCALE = 0.5
_OWNER = np.array([COMPONENTS.index(metric.component) for metric in METRICS])


def component_losses(scores: health.Scores, spec: dict[str, Any]) -> FloatArray:
    """(n, components) in 0..1: what each component lacks of 100, NaN = not known."""
    inner = np.array([spec["metrics"][m.name]["weight"] for m in METRICS], dtype=float)
    known = ~np.isnan(scores.decayed)
    weights = np.where(known, inner, 0.0)
    out = np.full((len(scores.score), len(COMPONENTS)), np.nan)
    for place in range(len(COMPONENTS)):
        mine = np.flatnonzero(place == _OWNER)
        own = weights[:, mine]
        total = own.sum(axis=1)
        points = (own * np.nan_to_num(scores.decayed[:, mine])).sum(axis=1)
        rows = total > 0
        out[rows, place] = 1.0 - points[rows] / total[rows] / 100.0
    return out


def suggest(
    looks: list[Look], spec: dict[str, Any], maturing_days: int
) -> dict[str, Any]:
    """The suggested weights with their evidence, JSON-safe; `is_better` says whether
    they ranked better out of time than chance explains.

    Raises NotEnoughOutcomesError when the looks cannot be split into an older and a
    newer part with 20 accounts that left in each.
    """
    older, newer = split(looks, maturing_days)
    present = np.array([spec["components"][name] for name in COMPONENTS], dtype=float)
    present = 100.0 * present / present.sum()
    learned = _learn(older, spec, present)
    suggested = with_weights(spec, learned)
    found = backtest.compare(newer, {"active": spec, "suggested": suggested})
    difference = found["difference"]
    is_same = all(
        abs(learned[place] - present[place]) < 1 for place in range(len(COMPONENTS))
    )
    is_better = not is_same and difference["low"] > 0
    return {
        "weights": dict(zip(COMPONENTS, learned, strict=True)),
        "present": {
            name: round(float(value), 2)
            for name, value in zip(COMPONENTS, present, strict=True)
        },
        "is_better": is_better,
        "verdict": _verdict(found, is_same=is_same, is_better=is_better),
        "learned_from": _part(older),
        "judged_on": _part(newer),
        "evidence": found,
    }


def split(looks: list[Look], maturing_days: int) -> tuple[list[Look], list[Look]]:
    """(to learn from, to judge on): the split with the most departures in its poorer
    part; every outcome of the first was known at the first cutoff of the second."""
    best: tuple[int, list[Look], list[Look]] | None = None
    for first in range(1, len(looks)):
        newer = looks[first:]
        older = [look for look in looks if look.day + maturing_days <= newer[0].day]
        both = (backtest.count_outcomes(older), backtest.count_outcomes(newer))
        least = min(min(one.leavers, one.stayers) for one in both)
        if best is None or least > best[0]:
            best = (least, older, newer)
    if best is None or best[0] < backtest.FEWEST:
        raise backtest.NotEnoughOutcomesError(
            "Not enough outcomes to learn weights: that needs two periods "
            f"{maturing_days} days apart with at least {backtest.FEWEST} accounts "
            f"that left, and {backtest.FEWEST} that stayed, in each; the poorer one "
            f"has {best[0] if best else 0}.",
            code="not_enough_outcomes",
        )
    return best[1], best[2]


def with_weights(spec: dict[str, Any], weights: list[int]) -> dict[str, Any]:
    """The definition with other component weights."""
    out = copy.deepcopy(spec)
    out["components"] = dict(zip(COMPONENTS, weights, strict=True))
    return out


def fit(
    losses: FloatArray,
    outcomes: FloatArray,
    offset: FloatArray,
    prior: FloatArray,
    pull: float,
) -> tuple[float, FloatArray]:
    """(intercept, coefficients >= 0) of leaving on losses (n, k), with a penalty of
    pull/2 * (coefficient - prior)^2 each; `offset` (n,) is added to the log-odds."""

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        log_odds = point[0] + offset + losses @ point[1:]
        distance = point[1:] - prior
        value = (np.logaddexp(0.0, log_odds) - outcomes * log_odds).sum()
        error = expit(log_odds) - outcomes
        slope = np.concatenate([[error.sum()], losses.T @ error + pull * distance])
        return float(value + pull / 2 * distance @ distance), slope

    start = np.concatenate([[0.0], prior])
    bounds = [(None, None)] + [(0.0, None)] * len(prior)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), np.asarray(found.x[1:])


def _learn(looks: list[Look], spec: dict[str, Any], present: FloatArray) -> list[int]:
    """Whole weights that sum to 100; a component never seen keeps its share."""
    scored = [score_look(look, spec) for look in looks]
    losses = np.vstack([component_losses(one, spec) for one in scored])
    outcomes = np.concatenate([look.outcomes for look in looks])
    who = np.concatenate([look.customers for look in looks])
    offset = np.concatenate([_level(look) for look in looks])
    with np.errstate(invalid="ignore"):
        spread = np.array([_spread(column) for column in losses.T])
    used = np.flatnonzero(spread > 1e-6)
    if not len(used) or present[used].sum() <= 0:
        return _whole(present)
    x = losses[:, used]
    x = np.where(np.isnan(x), np.nanmean(x, axis=0), x)
    share = present[used] / present[used].sum()
    _, scale = fit((x @ share)[:, None], outcomes, offset, np.zeros(1), 1e-3)
    prior = max(float(scale[0]), LEAST_SCALE) * share
    pull = min(PULLS, key=lambda one: _held_out(x, outcomes, offset, who, prior, one))
    _, found = fit(x, outcomes, offset, prior, pull)
    if found.sum() <= 0:
        return _whole(present)
    weights = present.copy()
    weights[used] = found / found.sum() * present[used].sum()
    return _whole(weights)


def _level(look: Look) -> FloatArray:
    """The log-odds of a look's own rate, so that a season is no component's doing."""
    left, n = float(look.outcomes.sum()), len(look.outcomes)
    return np.full(n, np.log((left + 0.5) / (n - left + 0.5)))


def _spread(column: FloatArray) -> float:
    known = column[~np.isnan(column)]
    return float(known.std()) if len(known) else 0.0


def _held_out(
    x: FloatArray,
    outcomes: FloatArray,
    offset: FloatArray,
    who: NDArray[np.int64],
    prior: FloatArray,
    pull: float,
) -> float:
    """Log-loss on accounts not learned from."""
    fold = who % FOLDS
    lost = 0.0
    for number in range(FOLDS):
        rest, out = fold != number, fold == number
        level, weights = fit(x[rest], outcomes[rest], offset[rest], prior, pull)
        log_odds = level + offset[out] + x[out] @ weights
        lost += float((np.logaddexp(0.0, log_odds) - outcomes[out] * log_odds).sum())
    return lost


def _whole(weights: FloatArray) -> list[int]:
    exact = np.asarray(100.0 * weights / weights.sum())[None, :]
    rounded = health.round_to_total(exact, np.array([100]))
    return [int(one) for one in rounded[0]]


def _part(looks: list[Look]) -> dict[str, Any]:
    return {
        **asdict(backtest.count_outcomes(looks)),
        "first_cutoff": cutoff_date(looks[0].day).isoformat(),
        "last_cutoff": cutoff_date(looks[-1].day).isoformat(),
    }


def _verdict(found: dict[str, Any], *, is_same: bool, is_better: bool) -> str:
    now, then = (one["auc"]["value"] for one in found["definitions"].values())
    gain = found["difference"]
    figures = (
        "On looks that were not learned from they rank those who left at AUC "
        f"{then:.3f}, the present weights at {now:.3f} (difference "
        f"{gain['value']:+.3f}, 95% {gain['low']:+.3f} to {gain['high']:+.3f})."
    )
    if is_same:
        return f"The outcomes do not speak against the present weights. {figures}"
    if is_better:
        return f"These weights tell better who leaves. {figures}"
    return f"No better weights were found. {figures} Chance can explain that."
