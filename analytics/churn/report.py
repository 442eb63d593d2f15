"""Evaluation results as plain JSON-ready dictionaries and as a printed table."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analytics.churn import backtest, leakage, metrics
from analytics.churn.static import FIGURES, StaticResult


def static_as_dict(result: StaticResult) -> dict[str, Any]:
    """One object: the eight figures, their spread, every fold, and what was dropped."""
    return _clean(
        {name: result.overall[name] for name in FIGURES}
        | {
            "kind": "static",
            "protocol": result.protocol,
            "rows": result.rows,
            "churners": result.churners,
            "positive": result.positive,
            "sd": result.spread,
            "folds": [figures(fold) for fold in result.folds],
            "cutoffs": [],
            "dropped": result.dropped,
            "leakage": _alarm(result.leakage),
            "notes": result.notes + _alarm_notes(result.leakage),
            "models": result.models,
        }
    )


def events_as_dict(
    results: Sequence[backtest.CutoffResult],
    *,
    horizon: int,
    dropped: dict[str, str],
    notes: Sequence[str],
) -> dict[str, Any]:
    """One object: the eight figures as means over cutoffs, then each cutoff."""
    means = {
        name: _mean([getattr(result.model, name) for result in results])
        for name in FIGURES
    }
    return _clean(
        means
        | {
            "kind": "events",
            "protocol": f"rolling out of time, {len(results)} monthly cutoffs",
            "horizon_days": horizon,
            "cutoffs": [_cutoff(result) for result in results],
            "rivals": {
                name: {
                    figure: _mean([getattr(r.rivals[name], figure) for r in results])
                    for figure in FIGURES
                }
                for name in results[0].rivals
            },
            "dropped": dropped,
            "notes": [
                *notes,
                *(
                    f"{result.cutoff}: leakage alarm: {result.leakage.sentence}"
                    for result in results
                    if result.leakage is not None
                ),
            ],
        }
    )


def failure(message: str, code: str) -> dict[str, Any]:
    """The same shape where nothing could be measured: every figure is null."""
    return dict.fromkeys(FIGURES) | {
        "kind": "error",
        "error": message,
        "code": code,
        "cutoffs": [],
        "dropped": {},
        "notes": [],
    }


def figures(measured: metrics.Metrics) -> dict[str, float]:
    """The eight figures with rows and churners."""
    names = ("rows", "churners", *FIGURES)
    return {name: getattr(measured, name) for name in names}


def table_lines(report: dict[str, Any]) -> list[str]:
    """The same report for a person."""
    lines = [f"{report['protocol']}"]
    if report["kind"] == "static":
        lines.append(
            f"{report['rows']} rows, {report['churners']} churned "
            f"(target value {report['positive']!r})"
        )
        lines += _static_lines(report)
    else:
        lines += _event_lines(report)
    if report["dropped"]:
        lines += ["", "Left out:"]
        lines += [f"  {name}: {why}" for name, why in report["dropped"].items()]
    if report["notes"]:
        lines += ["", "Notes:"] + [f"  {note}" for note in report["notes"]]
    return lines


def _static_lines(report: dict[str, Any]) -> list[str]:
    lines = ["", f"{'figure':<16} {'value':>8} {'sd':>8}"]
    for name in FIGURES:
        spread = report["sd"].get(name)
        if name in ("ece", "ece_floor"):
            spread = None  # of all held-out rows together, so it has no fold spread
        lines.append(f"{name:<16} {_number(report[name]):>8} {_number(spread):>8}")
    lines += ["", "Chosen per fold:"] + [f"  {told}" for told in report["models"]]
    return lines


def _event_lines(report: dict[str, Any]) -> list[str]:
    head = (
        f"{'cutoff':<10} {'rows':>7} {'churn':>6} {'AUC':>6} {'95% interval':>15} "
        f"{'AP':>6} {'logloss':>7} {'Brier':>6} {'ECE':>6} {'floor':>6} {'lift':>5} "
        f"{'cap':>5} | AUC {'recency':>7} {'BG/NBD':>6} {'ridge':>6}"
    )
    lines = ["", head]
    for row in report["cutoffs"]:
        low, high = row["auc_interval"]
        rivals = row["rivals"]
        lines.append(
            f"{row['cutoff']:<10} {row['rows']:>7} {row['base_rate']:>6.3f} "
            f"{_number(row['auc']):>6} [{_number(low):>6},{_number(high):>6}] "
            f"{_number(row['ap']):>6} {_number(row['log_loss']):>7} "
            f"{_number(row['brier']):>6} {_number(row['ece']):>6} "
            f"{_number(row['ece_floor']):>6} {row['top_decile_lift']:>5.2f} "
            f"{row['lift_cap']:>5.2f} |     {_number(rivals['recency']['auc']):>7} "
            f"{_number(rivals['bgnbd']['auc']):>6} {_number(rivals['ridge']['auc']):>6}"
        )
    lines.append("")
    lines.append("Means over cutoffs:")
    for name in FIGURES:
        others = "  ".join(
            f"{rival} {_number(values[name])}"
            for rival, values in report["rivals"].items()
        )
        lines.append(f"  {name:<16} {_number(report[name]):>7}   ({others})")
    return lines


def _cutoff(result: backtest.CutoffResult) -> dict[str, Any]:
    return figures(result.model) | {
        "cutoff": result.cutoff.isoformat(),
        "base_rate": result.model.churners / result.model.rows,
        "expected_rate": result.expected_rate,
        "auc_interval": [result.auc.low, result.auc.high],
        "log_loss_interval": [result.log_loss.low, result.log_loss.high],
        "auc_gain": {
            name: [gain.value, gain.low, gain.high]
            for name, gain in result.auc_gain.items()
        },
        "rivals": {name: figures(rival) for name, rival in result.rivals.items()},
        "level": result.level.basis,
        "model": result.chosen,
        "train_cutoffs": [day.isoformat() for day in result.train_cutoffs],
    }


def _alarm(found: leakage.LeakageAlarm | None) -> dict[str, Any] | None:
    return None if found is None else {"auc": found.auc, "suspects": found.suspects}


def _alarm_notes(found: leakage.LeakageAlarm | None) -> list[str]:
    return [] if found is None else [f"Leakage alarm: {found.sentence}"]


def _mean(values: Sequence[float]) -> float:
    """Mean of the defined ones; NaN where there is none."""
    known = np.array(values)[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _number(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"{value:.4f}"


def _clean(value: Any) -> Any:
    """JSON has no NaN: those become null; numpy numbers become plain ones."""
    if isinstance(value, dict):
        return {key: _clean(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(part) for part in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
