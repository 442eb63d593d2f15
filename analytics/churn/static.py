"""Evaluation of the shipped model on a table with one row per customer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics.churn import metrics, model
from analytics.churn.cells import NEGATIVE, POSITIVE, is_missing, parse_number
from analytics.churn.columns import learn
from analytics.churn.table import RawTable, find_name
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

OUTER_FOLDS = 5
FEWEST_PER_CLASS = 20


@dataclass(frozen=True, slots=True)
class StaticResult:
    """Held-out figures; `folds` one entry per fold, or one for a given test file.

    AUC, AP, log-loss, Brier and lift of `overall` are means over folds, as published
    figures are; ECE and its floor are of all held-out rows together.
    """

    protocol: str
    rows: int
    churners: int
    positive: str
    overall: dict[str, float]
    spread: dict[str, float]
    """Standard deviation over folds; empty for one test file."""
    folds: list[metrics.Metrics]
    dropped: dict[str, str]
    notes: list[str] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    """One sentence per fold: the rung and weights that were chosen."""


def evaluate_cross_validated(
    table: RawTable,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    seed: int = 0,
) -> StaticResult:
    """Five-fold stratified cross-validation; all learning happens inside each fold.

    Raises ConfigError where the target is unusable or there are too few outcomes.
    """
    table, outcomes, positive, notes = prepare(table, target, positive)
    _check_enough(outcomes)
    skip = _skipped(table, target, identifier)
    held_out = np.empty(len(outcomes))
    folds, models = [], []
    dropped: dict[str, str] = {}
    for train, held in model.stratified_folds(outcomes, count=OUTER_FOLDS, seed=seed):
        p, fold_dropped, told = _fit_and_predict(
            _rows(table, train), outcomes[train], _rows(table, held), skip, seed
        )
        held_out[held] = p
        dropped |= fold_dropped
        models.append(told)
        folds.append(metrics.measure(outcomes[held], p, seed=seed))
    overall, spread = _summary(folds)
    overall["ece"] = metrics.ece(outcomes, held_out)
    overall["ece_floor"] = metrics.ece_floor(held_out, seed=seed)
    protocol = f"{OUTER_FOLDS}-fold stratified cross-validation"
    churners = int(outcomes.sum())
    return StaticResult(
        protocol,
        len(outcomes),
        churners,
        positive,
        overall,
        spread,
        folds,
        dropped,
        notes,
        models,
    )


def evaluate_split(
    table: RawTable,
    test: RawTable,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    seed: int = 0,
) -> StaticResult:
    """Trained on one file, measured on another; raises as the other evaluation."""
    table, outcomes, positive, notes = prepare(table, target, positive)
    test, test_outcomes, _, test_notes = prepare(test, target, positive)
    _check_enough(outcomes)
    skip = _skipped(table, target, identifier)
    p, dropped, told = _fit_and_predict(
        table.columns, outcomes, test.columns, skip, seed
    )
    measured = metrics.measure(test_outcomes, p, seed=seed)
    overall, _ = _summary([measured])
    return StaticResult(
        "given test file",
        len(test_outcomes),
        int(test_outcomes.sum()),
        positive,
        overall,
        {},
        [measured],
        dropped,
        notes + test_notes,
        [told],
    )


def prepare(
    table: RawTable, target: str, positive: str | None
) -> tuple[RawTable, FloatArray, str, list[str]]:
    """The rows with a known target, their outcomes, the value that means churn, notes.

    Without `positive` the two values must be a known pair (yes/no, 1/0, ...).
    """
    values = table.column(target)
    known = [place for place, value in enumerate(values) if not is_missing(value)]
    notes = list(table.notes)
    if len(known) < len(values):
        notes.append(
            f"{len(values) - len(known)} rows have no target and were left out."
        )
    values = [values[place] for place in known]
    churned = positive if positive is not None else _guess_positive(target, values)
    outcomes = np.array([_same(value, churned) for value in values], dtype=np.float64)
    if not outcomes.any():
        legal = ", ".join(sorted(set(values))[:10])
        message = f"No row has {target} = {churned!r}; its values are: {legal}."
        raise ConfigError(message)
    if outcomes.all():
        raise ConfigError(f"All rows have {target} = {churned!r}: only one outcome.")
    kept = _rows(table, np.array(known, dtype=np.int64))
    return RawTable(table.names, kept, len(known)), outcomes, churned, notes


def _guess_positive(target: str, values: list[str]) -> str:
    counts = Counter(value.strip() for value in values)
    if len(counts) < 2:
        only = next(iter(counts), "blank")
        message = (
            f"The target {target} has one value only ({only!r}): nothing to learn."
        )
        raise ConfigError(message)
    if len(counts) > 2:
        shown = ", ".join(sorted(counts)[:10])
        message = (
            f"The target {target} has {len(counts)} values ({shown}); "
            "say which one means churn with --positive."
        )
        raise ConfigError(message)
    plain = {value: value.casefold().strip(" .!") for value in counts}
    yes = [value for value in counts if plain[value] in POSITIVE]
    no = [value for value in counts if plain[value] in NEGATIVE]
    if len(yes) == 1:
        return yes[0]
    if len(no) == 1:
        return next(value for value in counts if value != no[0])
    shown = " or ".join(repr(value) for value in sorted(counts))
    raise ConfigError(f"Does {shown} of {target} mean churn? Say it with --positive.")


def _same(value: str, wanted: str) -> bool:
    if value.strip().casefold() == wanted.strip().casefold():
        return True
    number = parse_number(value)
    return number is not None and number == parse_number(wanted)


def _check_enough(outcomes: FloatArray) -> None:
    rarer = int(min(outcomes.sum(), (1 - outcomes).sum()))
    if rarer < FEWEST_PER_CLASS:
        message = (
            f"Not enough outcomes: {int(outcomes.sum())} churned and "
            f"{int((1 - outcomes).sum())} stayed; at least {FEWEST_PER_CLASS} of each "
            "are needed before a figure means anything."
        )
        raise ConfigError(message)


def _skipped(table: RawTable, target: str, identifier: str | None) -> set[str]:
    skip = {find_name(table.names, target)}
    if identifier is not None:
        skip.add(find_name(table.names, identifier))
    return skip


def _fit_and_predict(
    train: dict[str, list[str]],
    outcomes: FloatArray,
    test: dict[str, list[str]],
    skip: set[str],
    seed: int,
) -> tuple[FloatArray, dict[str, str], str]:
    encoder = learn(train, outcomes, skip=skip)
    fitted = model.fit(
        encoder.encode(train), outcomes, feature_names=encoder.names, seed=seed
    )
    return (
        fitted.probabilities(encoder.encode(test)),
        encoder.dropped,
        fitted.describe(),
    )


def _rows(table: RawTable, places: NDArray[np.int64]) -> dict[str, list[str]]:
    return {
        name: [cells[place] for place in places]
        for name, cells in table.columns.items()
    }


def _summary(
    folds: list[metrics.Metrics],
) -> tuple[dict[str, float], dict[str, float]]:
    names = (
        "auc",
        "ap",
        "log_loss",
        "brier",
        "ece",
        "ece_floor",
        "top_decile_lift",
        "lift_cap",
    )
    values = {name: [getattr(fold, name) for fold in folds] for name in names}
    mean = {name: float(np.mean(parts)) for name, parts in values.items()}
    if len(folds) == 1:
        return mean, {}
    return mean, {name: float(np.std(parts)) for name, parts in values.items()}
