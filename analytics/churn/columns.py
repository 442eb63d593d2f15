"""What the columns of an unknown table are, and the number matrix made from them.

`learn` looks at training rows only and returns an `Encoder`; `Encoder.encode` applies
the same decisions to any rows. Every column is either encoded or listed in `dropped`
with the reason. Blanks are NaN for numbers and a level of their own for categories.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from analytics.churn import metrics
from analytics.churn.cells import is_missing, parse_date, parse_number
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

PARSED_SHARE = 0.95
MAX_LEVELS = 40
LEVEL_SHARE = 0.005
LEVEL_ROWS = 10
COVERED_SHARE = 0.3
LEAK_AUC = 0.999
LEAK_MIN_CLASS = 10
SAME_CORRELATION = 0.99999
IDENTIFIER_NAME = re.compile(
    r"(^|[_\W])(id|ids|uuid|guid|key|rowid|index|rownumber|msno)$|^(id|row)([_\W]|$)|"
    r"(?<=[a-z])(ID|Id)$|^unnamed|^column_1$|(phone|row|account|customer)[_\W]*"
    r"(no|nr|num|number)$",
    re.IGNORECASE,
)
CAMEL_IDENTIFIER = re.compile(r"(?<=[a-z])(ID|Id|UUID)$")


@dataclass(frozen=True, slots=True)
class ColumnPlan:
    """How one column becomes numbers; `levels` only for categories."""

    name: str
    kind: str
    """"number", "date" or "category"."""
    levels: tuple[str, ...] = ()


@dataclass(slots=True)
class Encoder:
    """Decisions about columns; `names` label the matrix made by `encode`."""

    plans: list[ColumnPlan]
    names: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    """The table column behind each matrix column."""
    dropped: dict[str, str] = field(default_factory=dict)
    keep: list[int] = field(default_factory=list)

    def encode(self, cells: dict[str, list[str]]) -> FloatArray:
        """Matrix (rows, len(names)); a ConfigError names a column that is absent."""
        blocks = [block for block, _, _ in _blocks(self.plans, cells)]
        return np.column_stack(blocks)[:, self.keep]


def learn(
    cells: dict[str, list[str]], outcomes: NDArray[np.float64], *, skip: set[str]
) -> Encoder:
    """The encoder for these training rows; `skip` are target and identifier.

    Raises ConfigError where no column is left to learn from.
    """
    plans: list[ColumnPlan] = []
    dropped: dict[str, str] = {}
    for name, values in cells.items():
        if name in skip:
            continue
        plan = _plan(name, values)
        if isinstance(plan, str):
            dropped[name] = plan
        elif reason := _leak(plan, values, outcomes):
            dropped[name] = reason
        else:
            plans.append(plan)
    if not plans:
        reasons = "; ".join(f"{name}: {why}" for name, why in dropped.items())
        raise ConfigError(f"No column is left to learn from. {reasons}")
    encoder = Encoder(plans, dropped=dropped)
    _drop_twins(encoder, cells)
    return encoder


def _plan(name: str, values: list[str]) -> ColumnPlan | str:
    """The plan for a column, or the reason for leaving it out."""
    known = [value for value in values if not is_missing(value)]
    if not known:
        return "every cell is blank"
    counts = Counter(known)
    if len(counts) == 1 and len(known) == len(values):
        return f"constant: always {known[0][:40]!r}"
    numbers = [parse_number(value) for value in known]
    parsed = sum(number is not None for number in numbers) / len(known)
    if parsed >= PARSED_SHARE:
        if reason := _number_identifier(name, [n for n in numbers if n is not None]):
            return reason
        return ColumnPlan(name, "number")
    distinct_share = len(counts) / len(known)
    if sum(parse_date(value) is not None for value in known) >= PARSED_SHARE * len(
        known
    ):
        return ColumnPlan(name, "date")
    if distinct_share > 0.95 and len(known) > 20:
        return "identifier: nearly every row has its own value"
    return _category(name, values, counts)


def _category(name: str, values: list[str], counts: Counter[str]) -> ColumnPlan | str:
    least = max(LEVEL_ROWS, LEVEL_SHARE * len(values)) if len(counts) > 12 else 1
    common = [(-count, level) for level, count in counts.items() if count >= least]
    levels = tuple(level for _, level in sorted(common)[:MAX_LEVELS])
    covered = sum(counts[level] for level in levels) / counts.total()
    if covered < COVERED_SHARE:
        return f"text with {len(counts)} different values, too many to learn from"
    return ColumnPlan(name, "category", levels)


def _number_identifier(name: str, numbers: list[float]) -> str | None:
    values = np.array(numbers)
    if len(values) < 20 or np.any(values != np.floor(values)):
        return None
    unique = np.unique(values)
    if len(unique) < 0.98 * len(values):
        return None
    if len(unique) == len(values) and unique[-1] - unique[0] == len(values) - 1:
        return "identifier: a running number"
    named = IDENTIFIER_NAME.search(name) or CAMEL_IDENTIFIER.search(name)
    return "identifier: a distinct whole number per row" if named else None


def _leak(
    plan: ColumnPlan, values: list[str], outcomes: NDArray[np.float64]
) -> str | None:
    if min(outcomes.sum(), (1 - outcomes).sum()) < LEAK_MIN_CLASS:
        return None
    blank = np.array([is_missing(value) for value in values], dtype=np.float64)
    if _separates(outcomes, blank):
        return "leak: filled for one outcome and blank for the other"
    block = np.column_stack(
        [part for part, _, _ in _blocks([plan], {plan.name: values})]
    )
    for column in block.T:
        known = np.isfinite(column)
        both = 0 < outcomes[known].sum() < known.sum()
        if known.mean() > 0.5 and both and _separates(outcomes[known], column[known]):
            return "leak: it separates the two outcomes almost perfectly"
    return None


def _separates(outcomes: NDArray[np.float64], score: FloatArray) -> bool:
    value = metrics.auc(outcomes, score)
    return bool(np.isfinite(value) and max(value, 1 - value) >= LEAK_AUC)


def _drop_twins(encoder: Encoder, cells: dict[str, list[str]]) -> None:
    """Fills names, sources and keep, without constant or duplicate matrix columns."""
    kept: list[FloatArray] = []
    sources: dict[str, list[str]] = {}
    place = -1
    for block, name, source in _blocks(encoder.plans, cells):
        place += 1
        sources.setdefault(source, [])
        filled = np.nan_to_num(block - np.nanmean(block), nan=0.0)
        blank = ~np.isfinite(block)
        scaled = filled / (np.sqrt(filled @ filled) or 1.0)
        if filled.any() or blank.any():
            twin = _twin_of(scaled, blank, kept, encoder.sources, cells)
            sources[source].append("" if twin is None else twin)
        else:
            continue
        if twin is None:
            kept.append(scaled)
            encoder.keep.append(place)
            encoder.names.append(name)
            encoder.sources.append(source)
    for source, twins in sources.items():
        if source not in encoder.sources:
            others = sorted({twin for twin in twins if twin})
            told = f"same information as {', '.join(others)}" if others else "constant"
            encoder.dropped[source] = told


def _twin_of(
    scaled: FloatArray,
    blank: NDArray[np.bool_],
    kept: list[FloatArray],
    sources: list[str],
    cells: dict[str, list[str]],
) -> str | None:
    for other, source in zip(kept, sources, strict=True):
        if abs(float(scaled @ other)) > SAME_CORRELATION:
            other_blank = np.array([is_missing(value) for value in cells[source]])
            if not blank.any() or np.array_equal(blank, other_blank):
                return source
    return None


def _blocks(
    plans: list[ColumnPlan], cells: dict[str, list[str]]
) -> list[tuple[FloatArray, str, str]]:
    """(matrix column, its name, its table column), in plan order."""
    blocks: list[tuple[FloatArray, str, str]] = []
    for plan in plans:
        if plan.name not in cells:
            raise ConfigError(f"The file has no column {plan.name!r}, as in training.")
        values = cells[plan.name]
        if plan.kind == "category":
            codes = np.array(_level_codes(plan.levels, values))
            for code, level in enumerate((*plan.levels, "(other)", "(blank)")):
                name = f"{plan.name}={level}"
                blocks.append(((codes == code).astype(np.float64), name, plan.name))
        else:
            parse = parse_number if plan.kind == "number" else parse_date
            numbers = [np.nan if (n := parse(v)) is None else n for v in values]
            blocks.append((np.array(numbers), plan.name, plan.name))
    return blocks


def _level_codes(levels: tuple[str, ...], values: list[str]) -> list[int]:
    place = {level: code for code, level in enumerate(levels)}
    other, blank = len(levels), len(levels) + 1
    return [place.get(value, blank if is_missing(value) else other) for value in values]
