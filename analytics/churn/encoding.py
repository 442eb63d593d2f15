"""The number matrix made from read columns, learned from training rows only.

Every column is either encoded or listed in `dropped` with the reason. A blank is NaN
for numbers and a level of its own for categories. A category of many values becomes
its common levels and the outcome rate of each value, shrunk toward the mean and, for
training rows, counted on other rows.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics.churn import metrics
from analytics.churn.columns import Column
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MAX_LEVELS = 40
FEW_LEVELS = 12
LEVEL_SHARE = 0.005
LEVEL_ROWS = 10
RATE_LEVELS = 25
"""From so many different values on the outcome rate of each is a feature too."""
RATE_ROWS = 5
RATE_COVERED = 0.5
RATE_PULL = 20.0
"""Rows at the mean rate added to each value."""
RATE_FOLDS = 5
COVERED_SHARE = 0.3
MOST_DATES = 4
SAME_CORRELATION = 0.99999
TWIN_ROWS = 4_000
LEAK_AUC = 0.999
LEAK_MIN_CLASS = 10
LEAK_FILLED_SHARE = 0.1
"""Of one outcome, filled in so many rows and in none of the other: a leak."""
LEAK_CHANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Rates:
    """Log-odds of the outcome per code of one category, and for any other."""

    known: FloatArray
    other: float


@dataclass(slots=True)
class Encoder:
    """Decisions about columns; `names` label the matrix made by `encode`."""

    columns: list[str]
    levels: dict[str, IntArray] = field(default_factory=dict)
    """Per category the codes that get a matrix column each."""
    rates: dict[str, Rates] = field(default_factory=dict)
    dates: tuple[str, ...] = ()
    """Date columns whose differences are features."""
    names: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    """The table column behind each matrix column."""
    dropped: dict[str, str] = field(default_factory=dict)
    keep: list[int] = field(default_factory=list)

    def encode(self, columns: list[Column]) -> FloatArray:
        """Matrix (rows, len(names)) of other rows than those learned from."""
        blocks = [block for block, _, _ in _blocks(self, columns, self.rates)]
        return np.column_stack(blocks)[:, self.keep]


def learn(columns: list[Column], outcomes: FloatArray) -> tuple[Encoder, FloatArray]:
    """The encoder for these training rows, and their matrix.

    Raises ConfigError where no column is left to learn from.
    """
    encoder = Encoder([])
    own_rates: dict[str, FloatArray] = {}
    for column in columns:
        if column.kind == "useless":
            encoder.dropped[column.name] = column.reason
            continue
        if column.kind == "category":
            reason = _learn_category(encoder, column, outcomes, own_rates)
            if reason:
                encoder.dropped[column.name] = reason
                continue
        encoder.columns.append(column.name)
    dated = [column.name for column in columns if column.kind == "date"]
    encoder.dates = tuple(dated) if 2 <= len(dated) <= MOST_DATES else ()
    blocks = _blocks(encoder, columns, encoder.rates, own_rates)
    if blocks:
        _drop_twins(encoder, blocks)
    if not encoder.keep:
        reasons = "; ".join(f"{n}: {why}" for n, why in [*encoder.dropped.items()][:20])
        raise ConfigError(f"No column is left to learn from. {reasons}")
    matrix = np.column_stack([blocks[place][0] for place in encoder.keep])
    return encoder, matrix


def find_leaks(columns: list[Column], outcomes: FloatArray) -> dict[str, str]:
    """Columns that tell the outcome, each with the reason; empty with few outcomes."""
    if min(outcomes.sum(), (1 - outcomes).sum()) < LEAK_MIN_CLASS:
        return {}
    found = {}
    for column in columns:
        test = _blank_leak if column.kind == "useless" else _leak
        if reason := test(column, outcomes):
            found[column.name] = reason
    return found


def _leak(column: Column, outcomes: FloatArray) -> str | None:
    if reason := _blank_leak(column, outcomes):
        return reason
    told = "leak: it separates the two outcomes almost perfectly"
    if column.kind in ("number", "date"):
        known = np.isfinite(column.numbers)
        score = column.numbers[known]
    else:
        score, known = np.empty(0), np.zeros(len(outcomes), dtype=bool)
    both = 0 < outcomes[known].sum() < known.sum()
    if known.mean() > 0.5 and both and _separates(outcomes[known], score):
        return told
    if len(column.codes):
        codes = column.codes.astype(np.int64) + 1
        size = np.bincount(codes)
        rate = np.bincount(codes, weights=outcomes) / np.maximum(size, 1)
        if (size > 0).sum() <= 0.1 * len(outcomes) and _separates(
            outcomes, rate[codes]
        ):
            return told
    for term in column.terms.T:
        if _separates(outcomes, term.astype(np.float64)):
            return told
    return None


def _blank_leak(column: Column, outcomes: FloatArray) -> str | None:
    filled = ~column.blank
    if filled.all() or not filled.any():
        return None
    if _separates(outcomes, column.blank.astype(np.float64)):
        return "leak: filled for one outcome and blank for the other"
    rate = float(outcomes.mean())
    for value, share, who in ((1.0, rate, "churned"), (0.0, 1 - rate, "stayed")):
        rows = int((outcomes[filled] == value).sum())
        enough = rows >= LEAK_FILLED_SHARE * (outcomes == value).sum()
        if (
            rows == filled.sum()
            and enough
            and rows * np.log(share) < np.log(LEAK_CHANCE)
        ):
            return f"leak: filled only where the customer {who} ({rows} rows)"
    return None


def _separates(outcomes: FloatArray, score: FloatArray) -> bool:
    value = metrics.auc(outcomes, score)
    return bool(np.isfinite(value) and max(value, 1 - value) >= LEAK_AUC)


def _learn_category(
    encoder: Encoder,
    column: Column,
    outcomes: FloatArray,
    own_rates: dict[str, FloatArray],
) -> str | None:
    """Notes levels and rates of a category; or the reason for leaving it out."""
    known = column.codes[column.codes >= 0]
    counts = np.bincount(known, minlength=len(column.levels))
    seen = int((counts > 0).sum())
    least = max(LEVEL_ROWS, LEVEL_SHARE * len(column.codes)) if seen > FEW_LEVELS else 1
    order = np.argsort(-counts, kind="stable")
    common = order[counts[order] >= least][:MAX_LEVELS]
    covered = counts[common].sum() / max(1, counts.sum())
    repeated = counts[counts >= RATE_ROWS].sum() / max(1, counts.sum())
    rated = seen >= RATE_LEVELS and repeated >= RATE_COVERED
    if covered < COVERED_SHARE and not rated:
        return f"text with {seen} different values, too many to learn from"
    encoder.levels[column.name] = common
    if rated:
        width = len(column.levels)
        encoder.rates[column.name] = _rates(column.codes, outcomes, width)
        own_rates[column.name] = _own_rates(column.codes, outcomes, width)
    return None


def _rates(codes: NDArray[np.int32], outcomes: FloatArray, width: int) -> Rates:
    mean = (outcomes.sum() + 1) / (len(outcomes) + 2)
    place = np.where(codes >= 0, codes, width).astype(np.int64)
    size = np.bincount(place, minlength=width + 1)[:width]
    left = np.bincount(place, weights=outcomes, minlength=width + 1)[:width]
    rate = (left + RATE_PULL * mean) / (size + RATE_PULL)
    return Rates(np.log(rate) - np.log1p(-rate), float(np.log(mean) - np.log1p(-mean)))


def _own_rates(
    codes: NDArray[np.int32], outcomes: FloatArray, width: int
) -> FloatArray:
    """Rates for the training rows themselves, each counted on four other fifths."""
    fold = np.random.default_rng(0).permutation(len(codes)) % RATE_FOLDS
    found = np.empty(len(codes))
    for number in range(RATE_FOLDS):
        inside = fold == number
        rates = _rates(codes[~inside], outcomes[~inside], width)
        found[inside] = _rate_column(rates, codes[inside])
    return found


def _rate_column(rates: Rates, codes: NDArray[np.int32]) -> FloatArray:
    extended = np.append(rates.known, [rates.other, rates.other])
    return extended[codes]


def _blocks(
    encoder: Encoder,
    columns: list[Column],
    rates: dict[str, Rates],
    own_rates: dict[str, FloatArray] | None = None,
) -> list[tuple[FloatArray, str, str]]:
    """(matrix column, its name, its table column), in the encoder's order."""
    by_name = {column.name: column for column in columns}
    blocks: list[tuple[FloatArray, str, str]] = []
    for name in encoder.columns:
        column = by_name[name]
        if column.kind in ("number", "date"):
            blocks.append((column.numbers, name, name))
        codes = encoder.levels.get(name)
        if codes is None:
            codes = np.arange(len(column.levels)) if len(column.codes) else codes
        if codes is not None and column.kind != "text":
            blocks += _level_blocks(column, codes)
        if name in rates:
            own = None if own_rates is None else own_rates.get(name)
            value = _rate_column(rates[name], column.codes) if own is None else own
            blocks.append((value, f"{name} (rate)", name))
        if column.kind == "text":
            blocks.append((column.numbers, f"{name} (words)", name))
            for word, term in zip(column.levels, column.terms.T, strict=True):
                blocks.append((term.astype(np.float64), f"{name}: {word}", name))
    for place, first in enumerate(encoder.dates):
        for second in encoder.dates[place + 1 :]:
            days = by_name[second].numbers - by_name[first].numbers
            blocks.append((days, f"{second} - {first}", second))
    return blocks


def _level_blocks(
    column: Column, codes: NDArray[np.int64]
) -> list[tuple[FloatArray, str, str]]:
    name = column.name
    blocks = [
        (
            (column.codes == code).astype(np.float64),
            f"{name}={column.levels[code]}",
            name,
        )
        for code in codes
    ]
    if column.kind == "category":
        other = (column.codes >= 0) & ~np.isin(column.codes, codes)
        blocks.append((other.astype(np.float64), f"{name}=(other)", name))
        blank = (column.codes < 0).astype(np.float64)
        blocks.append((blank, f"{name}=(blank)", name))
    return blocks


def _drop_twins(encoder: Encoder, blocks: list[tuple[FloatArray, str, str]]) -> None:
    """Fills names, sources and keep, without constant or duplicate matrix columns."""
    x = np.column_stack([block for block, _, _ in blocks])
    blank = ~np.isfinite(x)
    filled = np.where(blank, 0.0, x)
    low = np.where(blank, np.inf, x).min(axis=0)
    high = np.where(blank, -np.inf, x).max(axis=0)
    partly = np.asarray(blank.any(axis=0) & ~blank.all(axis=0))
    # A rate of a category is no twin of its levels by construction.
    suspects = _alike(filled, blank)
    twins: dict[str, set[str]] = {}
    for place, (_, name, source) in enumerate(blocks):
        twins.setdefault(source, set())
        if not (high[place] > low[place] or partly[place]):
            continue
        twin = next((k for k in suspects[place] if k in encoder.keep), None)
        if twin is not None:
            twins[source].add(blocks[twin][2])
            continue
        encoder.keep.append(place)
        encoder.names.append(name)
        encoder.sources.append(source)
    kept = set(encoder.sources)
    for source, others in twins.items():
        if source not in kept:
            named = ", ".join(sorted(others))
            told = f"same information as {named}" if others else "constant"
            encoder.dropped[source] = told


def _alike(filled: FloatArray, blank: NDArray[np.bool_]) -> list[list[int]]:
    """Per column the earlier ones that say the same, blanks included."""
    rows, width = filled.shape
    step = max(1, rows // TWIN_ROWS)
    sample = _unit_columns(filled[::step], blank[::step])
    likeness = np.abs(sample.T @ sample)
    found: list[list[int]] = []
    for place in range(width):
        near = np.flatnonzero(likeness[place, :place] > SAME_CORRELATION - 1e-6)
        same = []
        for other in near:
            both = np.array([place, other])
            pair = _unit_columns(filled[:, both], blank[:, both])
            exact = abs(float(pair[:, 0] @ pair[:, 1])) > SAME_CORRELATION
            if exact and (
                not blank[:, place].any()
                or np.array_equal(blank[:, place], blank[:, other])
            ):
                same.append(int(other))
        found.append(same)
    return found


def _unit_columns(filled: FloatArray, blank: NDArray[np.bool_]) -> FloatArray:
    """Centred on the known cells, blanks at the centre, each of length one."""
    count = np.maximum((~blank).sum(axis=0), 1)
    centred = np.where(blank, 0.0, filled - filled.sum(axis=0) / count)
    length = np.sqrt((centred * centred).sum(axis=0))
    return centred / np.where(length > 0, length, 1.0)
