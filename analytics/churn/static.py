"""Evaluation of the shipped model on a table with one row per customer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics.churn import forks, leakage, metrics, model
from analytics.churn.cells import is_missing
from analytics.churn.columns import Column, read_alike, read_columns
from analytics.churn.encoding import find_leaks, learn
from analytics.churn.table import RawTable, find_name
from analytics.churn.target import Target, read_other_target, read_target
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

OUTER_FOLDS = 5
LARGE_CELLS = 2_000_000
LARGE_BESIDE = 2
"""Folds of a larger table at the same time: each takes one to two gigabytes."""
FEWEST_PER_CLASS = 20
FIGURES = (
    "auc",
    "ap",
    "log_loss",
    "brier",
    "ece",
    "ece_floor",
    "top_decile_lift",
    "lift_cap",
)


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
    leakage: leakage.LeakageAlarm | None = None


@dataclass(frozen=True, slots=True)
class _Prepared:
    """Rows with an outcome, their columns without target, identifier and leaks."""

    target: Target
    columns: list[Column]
    dropped: dict[str, str]
    notes: list[str]


def evaluate_cross_validated(
    table: RawTable,
    *,
    target: str,
    positive: str | None = None,
    identifier: str | None = None,
    seed: int = 0,
) -> StaticResult:
    """Five-fold stratified cross-validation; all learning happens inside each fold.

    Only what a column is (number, date, identifier, leak) is told from all rows; to
    leave a leak out cannot flatter the figures. Rows of one customer stay in one fold.
    Raises ConfigError where the target is unusable or there are too few outcomes.
    """
    ready = _prepare(table, target, positive, identifier)
    outcomes = ready.target.outcomes
    notes = list(ready.notes)
    folds = model.stratified_folds(outcomes, count=OUTER_FOLDS, seed=seed)
    owners = _owners(table, ready, identifier)
    if owners is not None:
        repeated = len(owners) - len(np.unique(owners))
        notes.append(
            f"{repeated} rows repeat a customer; all rows of one stay in one fold."
        )
        folds = _grouped_folds(owners, outcomes, seed)
    held_out = np.full(len(outcomes), np.nan)
    measured, models = [], []
    dropped: dict[str, list[str]] = {}
    suspects: dict[str, list[float]] = {}
    parts = _test_each(ready, folds, seed)
    for (_, held), part in zip(folds, parts, strict=True):
        held_out[held] = part.probabilities
        for name, reason in part.dropped.items():
            dropped.setdefault(name, []).append(reason)
        models.append(part.told)
        measured.append(metrics.measure(outcomes[held], part.probabilities, seed=seed))
        for name, value in part.suspects.items():
            suspects.setdefault(name, []).append(value)
    overall, spread = _summary(measured)
    overall["ece"] = metrics.ece(outcomes, held_out)
    overall["ece_floor"] = metrics.ece_floor(held_out, seed=seed)
    return StaticResult(
        protocol=f"{OUTER_FOLDS}-fold stratified cross-validation",
        rows=len(outcomes),
        churners=int(outcomes.sum()),
        positive=ready.target.positive,
        overall=overall,
        spread=spread,
        folds=measured,
        dropped=ready.dropped | _per_fold(dropped),
        notes=notes,
        models=models,
        leakage=_alarm(overall["auc"], suspects),
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
    """Trained on one file, measured on another; raises as the other evaluation.

    Columns are matched by name, whatever their order; one that the test file lacks
    counts as blank there, values never seen in training as "other".
    """
    ready = _prepare(table, target, positive, identifier)
    cells = _renamed(test, table.names)
    wanted = find_name(table.names, target)
    if wanted not in cells:
        legal = ", ".join(test.names[:40])
        raise ConfigError(f"The test file has no column {wanted!r}; it has: {legal}.")
    second = read_other_target(wanted, cells[wanted], ready.target)
    rows = second.rows
    cells = {name: [values[row] for row in rows] for name, values in cells.items()}
    part = _fit_and_predict(
        ready.columns,
        ready.target.outcomes,
        read_alike(cells, ready.columns),
        second.outcomes,
        seed,
    )
    measured = metrics.measure(second.outcomes, part.probabilities, seed=seed)
    overall, _ = _summary([measured])
    notes = [*ready.notes, *second.notes, *(f"Test file: {n}" for n in test.notes)]
    notes += _differences(table, cells, wanted, ready, part.dropped)
    return StaticResult(
        protocol="given test file",
        rows=len(second.outcomes),
        churners=int(second.outcomes.sum()),
        positive=ready.target.positive,
        overall=overall,
        spread={},
        folds=[measured],
        dropped=ready.dropped | part.dropped,
        notes=notes,
        models=[part.told],
        leakage=_alarm(overall["auc"], {n: [v] for n, v in part.suspects.items()}),
    )


def _prepare(
    table: RawTable, target: str, positive: str | None, identifier: str | None
) -> _Prepared:
    name = _target_name(table, target)
    skip = {name}
    if identifier is not None:
        skip.add(find_name(table.names, identifier))
        if skip == {name}:
            raise ConfigError(f"The target {name} cannot be the identifier as well.")
    found = read_target(name, table.columns[name], positive)
    _check_enough(found.outcomes)
    everyone = len(found.rows) == table.row_count
    cells = {
        other: values if everyone else [values[row] for row in found.rows]
        for other, values in table.columns.items()
        if other not in skip
    }
    columns = read_columns(cells)
    leaks = find_leaks(columns, found.outcomes)
    notes = [*table.notes, *found.notes]
    notes += _duplicates(table)
    if leaks:
        listed = ", ".join(leaks)
        notes.append(
            f"Leakage alarm: left out because they tell the outcome: {listed}."
        )
    kept = [column for column in columns if column.name not in leaks]
    if not any(column.kind != "useless" for column in kept):
        reasons = leaks | {column.name: column.reason for column in kept}
        listed = "; ".join(f"{n}: {why}" for n, why in [*reasons.items()][:20])
        raise ConfigError(
            f"No column is left to learn from. {listed or 'The target is alone'}."
        )
    return _Prepared(found, kept, leaks, notes)


def _target_name(table: RawTable, target: str) -> str:
    """The header of the target; where absent the error names two-valued columns."""
    try:
        return find_name(table.names, target)
    except ConfigError as exc:
        pairs = [
            f"{name} ({' / '.join(sorted(values))})"
            for name, cells in table.columns.items()
            if len(values := {c for c in cells if not is_missing(c)}) == 2
        ]
        if not pairs:
            raise
        told = f"{exc.message} Columns with two values: {', '.join(pairs[:10])}."
        raise ConfigError(told, code=exc.code) from exc


def _check_enough(outcomes: FloatArray) -> None:
    rarer = int(min(outcomes.sum(), (1 - outcomes).sum()))
    if rarer < FEWEST_PER_CLASS:
        message = (
            f"Not enough outcomes: {int(outcomes.sum())} churned and "
            f"{int((1 - outcomes).sum())} stayed; at least {FEWEST_PER_CLASS} of each "
            "are needed before a figure means anything."
        )
        raise ConfigError(message, code="not_enough_outcomes")


def _duplicates(table: RawTable) -> list[str]:
    rows = zip(*table.columns.values(), strict=True)
    repeated = table.row_count - len({hash(row) for row in rows})
    if repeated == 0:
        return []
    return [f"{repeated} rows are exact copies of another row; they were kept."]


def _owners(
    table: RawTable, ready: _Prepared, identifier: str | None
) -> IntArray | None:
    """A code per row for its customer; None where every row is another one's.

    From the named identifier, else from the column most like one.
    """
    names = [find_name(table.names, identifier)] if identifier is not None else []
    names += [column.name for column in ready.columns if column.is_identifier]
    rows = ready.target.rows
    for name in names:
        values = [table.columns[name][row] for row in rows]
        codes = np.unique(np.array(values), return_inverse=True)[1]
        distinct = int(codes.max()) + 1
        if distinct == len(values):
            return None
        if distinct >= 20 * OUTER_FOLDS:
            return codes.astype(np.int64)
    return None


def _test_each(ready: _Prepared, folds: model.Folds, seed: int) -> Iterator[_Part]:
    outcomes = ready.target.outcomes

    def test(fold: tuple[IntArray, IntArray]) -> _Part:
        train, held = fold
        return _fit_and_predict(
            [column.take(train) for column in ready.columns],
            outcomes[train],
            [column.take(held) for column in ready.columns],
            outcomes[held],
            seed,
        )

    cells = len(outcomes) * len(ready.columns)
    most = LARGE_BESIDE if cells > LARGE_CELLS else forks.MOST_PROCESSES
    return forks.each(test, folds, most=most)


def _per_fold(dropped: dict[str, list[str]]) -> dict[str, str]:
    """One reason per column; said where it was left out of some folds only."""
    return {
        name: reasons[0]
        + ("" if len(reasons) == OUTER_FOLDS else f" (in {len(reasons)} of 5 folds)")
        for name, reasons in dropped.items()
    }


def _grouped_folds(owners: IntArray, outcomes: FloatArray, seed: int) -> model.Folds:
    """Folds of whole customers, spread by whether any of their rows churned."""
    churned = np.zeros(int(owners.max()) + 1)
    np.maximum.at(churned, owners, outcomes)
    place = np.empty(len(churned), dtype=np.int64)
    parts = model.stratified_folds(churned, count=OUTER_FOLDS, seed=seed)
    for number, (_, held) in enumerate(parts):
        place[held] = number
    fold = place[owners]
    everyone = np.arange(len(owners))
    return [
        (everyone[fold != number], everyone[fold == number])
        for number in range(OUTER_FOLDS)
    ]


@dataclass(frozen=True, slots=True)
class _Part:
    probabilities: FloatArray
    dropped: dict[str, str]
    told: str
    suspects: dict[str, float]


def _fit_and_predict(
    train: list[Column],
    outcomes: FloatArray,
    test: list[Column],
    truth: FloatArray,
    seed: int,
) -> _Part:
    encoder, matrix = learn(train, outcomes)
    fitted = model.fit(matrix, outcomes, feature_names=encoder.names, seed=seed)
    held = encoder.encode(test)
    p = fitted.probabilities(held)
    alarm = leakage.check(truth, p, held, encoder.names)
    suspects = alarm.suspects if alarm is not None else {}
    return _Part(p, encoder.dropped, fitted.describe(), suspects)


def _alarm(auc: float, suspects: dict[str, list[float]]) -> leakage.LeakageAlarm | None:
    if not auc > leakage.ALARM_AUC:
        return None
    means = {name: float(np.mean(values)) for name, values in suspects.items()}
    ranked = sorted(means.items(), key=lambda item: -item[1])
    return leakage.LeakageAlarm(auc, dict(ranked))


def _renamed(test: RawTable, names: Iterable[str]) -> dict[str, list[str]]:
    """The test file's cells under the training file's names, case ignored."""
    folded = Counter(name.casefold() for name in names)
    known = {name.casefold(): name for name in names if folded[name.casefold()] == 1}
    exact = set(names)
    return {
        name if name in exact else known.get(name.casefold(), name): values
        for name, values in test.columns.items()
    }


def _differences(
    table: RawTable,
    cells: dict[str, list[str]],
    target: str,
    ready: _Prepared,
    dropped: dict[str, str],
) -> list[str]:
    used = {
        column.name
        for column in ready.columns
        if column.kind != "useless" and column.name not in dropped
    }
    notes = []
    if absent := sorted(used - cells.keys()):
        listed = ", ".join(absent)
        notes.append(f"The test file lacks {listed}: counted as blank there.")
    if new := [name for name in cells if name not in {*table.names, target}]:
        notes.append(f"Only the test file has {', '.join(new)}: not used.")
    return notes


def _summary(
    folds: list[metrics.Metrics],
) -> tuple[dict[str, float], dict[str, float]]:
    mean, spread = {}, {}
    for name in FIGURES:
        values = np.array([getattr(fold, name) for fold in folds])
        known = values[np.isfinite(values)]
        mean[name] = float(known.mean()) if len(known) else float("nan")
        if len(folds) > 1 and len(known):
            spread[name] = float(known.std())
    return mean, spread
