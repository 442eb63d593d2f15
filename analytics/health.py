"""Health maths: metric values in, scores with an exact ledger out. Pure numpy.

For n customers and m metrics all arrays are (n, m) in the order of
`definition.METRICS`; NaN means "no such fact". Method: metric scores are piecewise
linear in 0..100; knowledge that ages fades toward the segment median, which also stands
in where a habit is not known yet; components and metrics without facts are left out and
weights renormalised; points lost are rounded by largest remainder, so that score +
points lost = 100 exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from analytics.definition import COMPONENTS, METRICS

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PRIOR = 60.0
"""Stands in for the segment median where fewer than 30 customers are known."""

UNKNOWN, AT_RISK, WATCH, HEALTHY = "unknown", "at_risk", "watch", "healthy"
CAPS = ("cancellation_scheduled", "past_due_30", "urgent_overdue")
STALE_LINE = "stale"
CAP_LINE = "cap"


@dataclass(frozen=True, slots=True)
class Facts:
    """values, age_days: (n, m); prior: (n, m) segment medians in 0..100; ordinary:
    (n, m) booleans, where no own habit is known yet and the prior stands in for the
    score; capped: (n, len(CAPS)) booleans."""

    values: Floats
    age_days: Floats
    prior: Floats
    ordinary: npt.NDArray[np.bool_]
    capped: npt.NDArray[np.bool_]

    def of(self, rows: Any) -> Facts:
        """Those of some rows."""
        return Facts(
            values=self.values[rows],
            age_days=self.age_days[rows],
            prior=self.prior[rows],
            ordinary=self.ordinary[rows],
            capped=self.capped[rows],
        )


@dataclass(frozen=True, slots=True)
class Scores:
    """score: (n,) int 0..100; exact: (n,); coverage_pct: (n,) int; raw, decayed,
    weight: (n, m), weight in points of 100; losses: (n, m + 2) int, the last two
    columns are the staleness line and the cap line; cap: (n,) index into CAPS or -1.
    known: (n,) whether anything at all is known."""

    score: Ints
    exact: Floats
    coverage_pct: Ints
    raw: Floats
    decayed: Floats
    weight: Floats
    losses: Ints
    cap: Ints
    known: npt.NDArray[np.bool_]


def metric_scores(values: Floats, spec: dict[str, Any]) -> Floats:
    """(n, m) scores 0..100 by the anchors; NaN stays NaN, as does a metric that is
    turned off."""
    out = np.full(values.shape, np.nan)
    enabled = _enabled(spec)
    for column, metric in enumerate(METRICS):
        if not enabled[column]:
            continue
        bad, ok, good = spec["metrics"][metric.name]["anchors"]
        xs = np.array([bad, ok, good], dtype=float)
        ys = np.array([0.0, 60.0, 100.0])
        if bad > good:
            xs, ys = xs[::-1], ys[::-1]
        column_values = values[:, column]
        known = ~np.isnan(column_values)
        out[known, column] = np.interp(column_values[known], xs, ys)
    return out


def _enabled(spec: dict[str, Any]) -> npt.NDArray[np.bool_]:
    return np.array([spec["metrics"][m.name].get("enabled", True) for m in METRICS])


def freshness(age_days: Floats, spec: dict[str, Any]) -> Floats:
    """(n, m) in 0..1: 1 within the grace, then halved every half-life; NaN age = 0."""
    grace = np.array([spec["metrics"][m.name]["grace_days"] for m in METRICS])
    half = np.array([spec["metrics"][m.name]["half_life_days"] for m in METRICS])
    over = np.maximum(np.nan_to_num(age_days, nan=np.inf) - grace, 0.0)
    return np.power(0.5, over / half)


def point_weights(present: npt.NDArray[np.bool_], spec: dict[str, Any]) -> Floats:
    """(n, m) weights in points that sum to 100 per row over what is present."""
    inner = np.array([spec["metrics"][m.name]["weight"] for m in METRICS], dtype=float)
    outer = np.array([spec["components"][c] for c in COMPONENTS], dtype=float)
    owner = np.array([COMPONENTS.index(m.component) for m in METRICS])
    weights = np.where(present, inner, 0.0)
    totals = np.zeros((present.shape[0], len(COMPONENTS)))
    for index in range(len(COMPONENTS)):
        totals[:, index] = weights[:, owner == index].sum(axis=1)
    component = np.where(totals > 0, outer, 0.0)
    component_sum = component.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(totals > 0, component / totals, 0.0)
        scale = np.where(component_sum > 0, 100.0 / component_sum, 0.0)
    return weights * share[:, owner] * scale


def coverage(
    present: npt.NDArray[np.bool_], fresh: Floats, spec: dict[str, Any]
) -> Floats:
    """(n,) in 0..1: the share of the component weights that is backed by fresh facts.

    A component counts as far as its present metrics are fresh; a component never
    connected counts nothing.
    """
    inner = np.array([spec["metrics"][m.name]["weight"] for m in METRICS], dtype=float)
    outer = np.array([spec["components"][c] for c in COMPONENTS], dtype=float)
    owner = np.array([COMPONENTS.index(m.component) for m in METRICS])
    out = np.zeros(present.shape[0])
    for index, weight in enumerate(outer):
        mask = owner == index
        own = np.where(present[:, mask], inner[mask], 0.0)
        total = own.sum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(total > 0, (own * fresh[:, mask]).sum(axis=1) / total, 0.0)
        out += weight * part
    return out / outer.sum()


def compute(facts: Facts, spec: dict[str, Any]) -> Scores:
    """Score every row; see the module's text for the method."""
    n, m = facts.values.shape
    raw = metric_scores(facts.values, spec)
    stands_in = facts.ordinary & np.isnan(raw) & _enabled(spec)
    raw = np.where(stands_in, facts.prior, raw)
    present = ~np.isnan(raw)
    # A median says nothing of this customer, so it adds nothing to the coverage.
    fresh = np.where(stands_in, 0.0, freshness(facts.age_days, spec))
    weight = point_weights(present, spec)
    known = weight.sum(axis=1) > 0
    raw0 = np.nan_to_num(raw)
    decayed = np.where(present, fresh * raw0 + (1 - fresh) * facts.prior, 0.0)

    exact = np.zeros((n, m + 2))
    exact[:, :m] = weight * (100.0 - raw0) / 100.0
    exact[:, m] = (weight * (raw0 - decayed) / 100.0).sum(axis=1)
    uncapped = 100.0 - exact.sum(axis=1)
    limit = np.full(n, 100.0)
    which = np.full(n, -1, dtype=np.int64)
    for index, name in enumerate(CAPS):
        cap = spec["caps"].get(name)
        if cap is None:
            continue
        hit = facts.capped[:, index] & (cap < np.minimum(uncapped, limit))
        limit = np.where(hit, cap, limit)
        which = np.where(hit, index, which)
    capped = np.minimum(uncapped, limit)
    exact[:, m + 1] = uncapped - capped
    exact_score = np.clip(capped, 0.0, 100.0)
    score = np.rint(exact_score).astype(np.int64)
    losses = round_to_total(exact, 100 - score)
    share = coverage(present, fresh, spec)
    return Scores(
        score=score,
        exact=exact_score,
        coverage_pct=np.rint(share * 100).astype(np.int64),
        raw=raw,
        decayed=np.where(present, decayed, np.nan),
        weight=weight,
        losses=losses,
        cap=which,
        known=known,
    )


def round_to_total(lines: Floats, totals: Ints) -> Ints:
    """Round each row of `lines` to integers that sum to its total (largest remainder).

    Needs |sum(row) - total| < 1; ties go to the earlier line.
    """
    floors = np.floor(lines + 1e-9)
    missing = (totals - floors.sum(axis=1)).astype(np.int64)
    order = np.argsort(-(lines - floors), axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(
        rank, order, np.broadcast_to(np.arange(lines.shape[1]), lines.shape), axis=1
    )
    out = floors.astype(np.int64)
    out += rank < missing[:, None]
    # A total below the floors can only come from the guard 1e-9: take it back.
    out -= (lines.shape[1] - 1 - rank) < (-missing)[:, None]
    return out


_SHIFT_HEALTHY = {HEALTHY: -1, WATCH: 1, AT_RISK: 1}
_SHIFT_WATCH = {HEALTHY: -1, WATCH: -1, AT_RISK: 1}


def bands(
    score: Ints, coverage_pct: Ints, previous: list[str], spec: dict[str, Any]
) -> list[str]:
    """The band of each score, with hysteresis around the previous band."""
    rule = spec["bands"]
    gap = rule["hysteresis"]
    out = []
    for value, cover, before in zip(
        score.tolist(), coverage_pct.tolist(), previous, strict=True
    ):
        if cover < rule["least_coverage_pct"]:
            out.append(UNKNOWN)
            continue
        healthy = rule["healthy"] + _SHIFT_HEALTHY.get(before, 0) * gap
        watch = rule["watch"] + _SHIFT_WATCH.get(before, 0) * gap
        out.append(
            HEALTHY if value >= healthy else WATCH if value >= watch else AT_RISK
        )
    return out
