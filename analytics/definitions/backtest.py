"""How well a health definition told who left: ranking, lowest tenth, bands.

Pure numbers over the looks of `looks.load_looks`. An account appears in many looks, so
intervals come from resampling accounts, not rows.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analytics import health
from analytics.churn.metrics import wilson_interval
from analytics.definition import METRICS
from analytics.definitions.looks import Look, score_look
from analytics.predict.snapshots import cutoff_date
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEWEST = 20
"""Accounts that left, and that stayed, below which no figure is shown."""
DRAWS = 200
LOWEST_SHARE = 0.1
BANDS = (health.HEALTHY, health.WATCH, health.AT_RISK, health.UNKNOWN)
_RECENCY = [metric.name for metric in METRICS].index("recency_gap")


@dataclass(frozen=True, slots=True)
class Outcomes:
    """What there is to learn from: monthly looks, rows of accounts in them, and how
    many different accounts left and how many never did."""

    looks: int
    rows: int
    leavers: int
    stayers: int


@dataclass(frozen=True, slots=True)
class Range:
    """A figure with its 95% interval."""

    value: float
    low: float
    high: float


class NotEnoughOutcomesError(ConfigError):
    """Too few left, or too few stayed, to state any figure."""


class Ranking:
    """Risk (n,), higher = sooner gone, against outcomes (n,), ready to be measured
    under many row weights."""

    def __init__(self, risk: FloatArray, outcomes: FloatArray) -> None:
        _, self._place = np.unique(risk, return_inverse=True)
        self._outcomes = outcomes

    def auc(self, weights: NDArray[Any]) -> float:
        """The chance that one who left outranks one who stayed; a tie is one half."""
        left = np.bincount(self._place, weights * self._outcomes)
        stayed = np.bincount(self._place, weights * (1 - self._outcomes))
        pairs = left.sum() * stayed.sum()
        if pairs == 0:
            return float("nan")
        below = np.cumsum(stayed) - stayed
        return float((left * (below + stayed / 2)).sum() / pairs)


def count_outcomes(looks: list[Look]) -> Outcomes:
    """How much has happened."""
    left: set[int] = set()
    seen: set[int] = set()
    for look in looks:
        seen.update(look.customers.tolist())
        left.update(look.customers[look.outcomes == 1].tolist())
    rows = sum(len(look.customers) for look in looks)
    return Outcomes(len(looks), rows, len(left), len(seen - left))


def require_outcomes(looks: list[Look], horizon_days: int) -> Outcomes:
    """Raises NotEnoughOutcomesError below 20 accounts that left or that stayed."""
    found = count_outcomes(looks)
    if not looks:
        raise NotEnoughOutcomesError(
            "Not enough outcomes: no month has both 60 days of history before it and "
            f"{horizon_days} days after it. A back-test needs that, and at least "
            f"{FEWEST} accounts that left and {FEWEST} that stayed.",
            code="not_enough_outcomes",
        )
    if min(found.leavers, found.stayers) < FEWEST:
        raise NotEnoughOutcomesError(
            f"Not enough outcomes: {found.leavers} accounts left and {found.stayers} "
            f"stayed over {found.looks} monthly looks. A back-test needs at least "
            f"{FEWEST} of each.",
            code="not_enough_outcomes",
        )
    return found


def compare(looks: list[Look], specs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Per definition its figures on the same rows, the difference of the last to the
    first, and the rule "days since last use" alone. JSON-safe."""
    scores = {
        name: [score_look(look, spec) for look in looks] for name, spec in specs.items()
    }
    known = [
        np.logical_and.reduce([scores[name][place].known for name in specs])
        for place in range(len(looks))
    ]
    outcomes = _join(looks, known, [look.outcomes for look in looks])
    if not len(outcomes) or outcomes.min() == outcomes.max():
        raise NotEnoughOutcomesError(
            "Not enough outcomes: of the accounts that can be scored at all, none left "
            "or all did.",
            code="not_enough_outcomes",
        )
    who = _join(looks, known, [look.customers for look in looks]).astype(np.int64)
    drawn = draw_weights(who)
    rankings = {
        name: Ranking(
            -_join(looks, known, [one.exact for one in scores[name]]), outcomes
        )
        for name in specs
    }
    aucs = {name: aucs_of(ranking, drawn) for name, ranking in rankings.items()}
    found: dict[str, Any] = {
        "rows": len(outcomes),
        "left": int(outcomes.sum()),
        "definitions": {
            name: {
                "auc": asdict(range_of(aucs[name])),
                "lowest_tenth": _lowest_tenth(looks, known, scores[name]),
                "bands": _bands(looks, known, scores[name], spec),
                "cutoffs": _cutoffs(looks, known, scores[name]),
            }
            for name, spec in specs.items()
        },
        "difference": None,
        "recency_auc": _recency(looks, known, outcomes),
    }
    if len(specs) > 1:
        first, *_, last = aucs.values()
        found["difference"] = asdict(range_of(last - first))
    return found


def draw_weights(customers: IntArray) -> NDArray[np.uint16]:
    """(draws + 1, n): how often each row counts; the first row is the data itself,
    each other a resampling of accounts."""
    accounts, place = np.unique(customers, return_inverse=True)
    random = np.random.default_rng(0)
    out = np.ones((DRAWS + 1, len(customers)), dtype=np.uint16)
    for number in range(1, DRAWS + 1):
        chosen = random.integers(0, len(accounts), len(accounts))
        out[number] = np.bincount(chosen, minlength=len(accounts))[place]
    return out


def aucs_of(ranking: Ranking, drawn: NDArray[np.uint16]) -> FloatArray:
    """(draws + 1,) AUC under each weighting."""
    return np.array([ranking.auc(weights) for weights in drawn])


def range_of(values: FloatArray) -> Range:
    """The first value with the 95% interval of the others."""
    rest = values[np.isfinite(values)]
    low, high = np.percentile(rest[1:] if len(rest) > 1 else rest, [2.5, 97.5])
    return Range(*(round(float(one), 6) for one in (values[0], low, high)))


def lowest_tenth(exact: FloatArray, outcomes: FloatArray) -> float:
    """How many of those who left are in the tenth (rounded up) with the lowest
    scores; rows tied at its edge count with their mean outcome."""
    size = max(1, int(np.ceil(len(exact) * LOWEST_SHARE)))
    edge = np.partition(exact, size - 1)[size - 1]
    below, tied = exact < edge, exact == edge
    return float(
        outcomes[below].sum() + outcomes[tied].mean() * (size - int(below.sum()))
    )


def _join(
    looks: list[Look], known: list[NDArray[np.bool_]], values: list[Any]
) -> FloatArray:
    return np.concatenate(
        [
            np.asarray(one, dtype=np.float64)[k]
            for one, k in zip(values, known, strict=True)
        ]
    )


def _lowest_tenth(
    looks: list[Look], known: list[NDArray[np.bool_]], scores: list[health.Scores]
) -> dict[str, float]:
    caught = left = 0.0
    for look, rows, score in zip(looks, known, scores, strict=True):
        if rows.any():
            caught += lowest_tenth(score.exact[rows], look.outcomes[rows])
            left += float(look.outcomes[rows].sum())
    return {
        "caught": round(caught, 2),
        "left": left,
        "share": round(caught / left, 6) if left else 0.0,
    }


def _bands(
    looks: list[Look],
    known: list[NDArray[np.bool_]],
    scores: list[health.Scores],
    spec: dict[str, Any],
) -> list[dict[str, Any]]:
    """Accounts and departures per band, without hysteresis: the past has no band
    before."""
    members = dict.fromkeys(BANDS, 0)
    left = dict.fromkeys(BANDS, 0)
    for look, rows, score in zip(looks, known, scores, strict=True):
        names = health.bands(
            score.score, score.coverage_pct, [health.UNKNOWN] * len(rows), spec
        )
        for name, is_known, outcome in zip(
            names, rows.tolist(), look.outcomes.tolist(), strict=True
        ):
            if is_known:
                members[name] += 1
                left[name] += int(outcome)
    return [_band(name, members[name], left[name]) for name in BANDS]


def _band(name: str, members: int, left: int) -> dict[str, Any]:
    rate = left / members if members else None
    low, high = wilson_interval(rate, members) if rate is not None else (None, None)
    return {
        "band": name,
        "members": members,
        "left": left,
        "rate": None if rate is None else round(rate, 6),
        "low": None if low is None else round(low, 6),
        "high": None if high is None else round(high, 6),
    }


def _cutoffs(
    looks: list[Look], known: list[NDArray[np.bool_]], scores: list[health.Scores]
) -> list[dict[str, Any]]:
    out = []
    for look, rows, score in zip(looks, known, scores, strict=True):
        y = look.outcomes[rows]
        auc = Ranking(-score.exact[rows], y).auc(np.ones(len(y)))
        out.append(
            {
                "cutoff": cutoff_date(look.day).isoformat(),
                "rows": len(y),
                "left": int(y.sum()),
                "auc": round(auc, 6) if np.isfinite(auc) else None,
            }
        )
    return out


def _recency(
    looks: list[Look], known: list[NDArray[np.bool_]], outcomes: FloatArray
) -> float | None:
    """AUC of the time since last use by the usual gap; unknown is the longest."""
    gap = _join(looks, known, [look.facts.values[:, _RECENCY] for look in looks])
    if np.isnan(gap).all():
        return None
    longest = np.nanmax(gap) + 1.0
    risk = np.where(np.isnan(gap), longest, gap)
    auc = Ranking(risk, outcomes).auc(np.ones(len(risk)))
    return round(auc, 6) if np.isfinite(auc) else None
