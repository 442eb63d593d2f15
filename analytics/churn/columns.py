"""What the columns of an unknown table are: numbers, dates, categories or text.

Read once for the whole table and without looking at outcomes; what is learned from
them, row by row and inside a fold, is in `encoding`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from analytics.churn.cells import FALSE_WORDS, TRUE_WORDS, is_missing
from analytics.churn.readings import (
    LARGEST,
    DateReading,
    NumberReading,
    date_reading,
    may_be_thousands,
    number_reading,
    read_dates,
    read_numbers,
)

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int32]

PARSED_SHARE = 0.95
MIXED_SHARE = 0.5
"""Numbers beside a few words ("3+", "unknown"): from this share on still numbers."""
MOST_WORDS = 8
TEXT_WORDS = 2.5
"""Mean words a cell from which many different values are free text."""
TERM_SHARES = (0.02, 0.6)
MOST_TERMS = 40
TERM_ROWS = 15
IDENTIFIER_NAME = re.compile(
    r"(^|[_\W])(ids?|uuid|guid|key|rowid|index|rownumber|msno)$|^(id|row)([_\W]|$)|"
    r"^unnamed|^column_1$|(phone|row|account|customer|client|user|member|subscriber)"
    r"[_\W]*(no|nr|num|number|code)$|^(msisdn|rownum)$",
    re.IGNORECASE,
)
CAMEL_IDENTIFIER = re.compile(r"(?<=[a-z])(ID|Id|UUID)$")
_EMAIL = re.compile(r"^[^@\s]+@([^@\s]+\.[^@\s]+)$")
_WORD = re.compile(r"[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column, read. Which arrays are filled depends on `kind`.

    number: `numbers`, and `codes` into `levels` where words stand among them.
    date: `numbers` in days. category: `codes` into `levels`, -1 for a blank.
    text: `numbers` holds the words per cell, `terms` (n, k) which common words occur.
    useless: nothing but the `reason`.
    """

    name: str
    kind: str
    blank: NDArray[np.bool_]
    numbers: FloatArray = field(default_factory=lambda: np.empty(0))
    codes: CodeArray = field(default_factory=lambda: np.empty(0, np.int32))
    levels: tuple[str, ...] = ()
    terms: NDArray[np.bool_] = field(default_factory=lambda: np.empty((0, 0), bool))
    reason: str = ""
    is_identifier: bool = False
    """True where the reason is that it names the row or the customer."""
    of_domain: bool = False
    """Levels are domains of e-mail addresses."""
    number_reading: NumberReading = field(default_factory=NumberReading)
    date_reading: DateReading = field(default_factory=DateReading)

    def take(self, rows: NDArray[np.int64]) -> Column:
        """The same column for these rows."""
        return replace(
            self,
            blank=self.blank[rows],
            numbers=self.numbers[rows] if len(self.numbers) else self.numbers,
            codes=self.codes[rows] if len(self.codes) else self.codes,
            terms=self.terms[rows] if len(self.terms) else self.terms,
        )


def read_columns(cells: Mapping[str, Sequence[str]]) -> list[Column]:
    """Every column of the table, in its order."""
    return [_read(name, values) for name, values in cells.items()]


def read_alike(cells: Mapping[str, Sequence[str]], known: list[Column]) -> list[Column]:
    """Other rows, read exactly as `known` was; an absent column counts as blank."""
    rows = len(next(iter(cells.values()), ()))
    return [_reread(column, cells.get(column.name, [""] * rows)) for column in known]


def _read(name: str, values: Sequence[str]) -> Column:
    plain = _plain_numbers(values)
    if plain is not None and not may_be_thousands(values):
        blank = ~np.isfinite(plain)
        finite = plain[~blank]
        if len(finite) and (blank.any() or finite.min() < finite.max()):
            found = _number(name, values, blank, plain, NumberReading())
            if found is not None:
                return found
    blank = np.array([is_missing(value) for value in values], dtype=bool)
    known = [value for value in values if not is_missing(value)]
    useless = Column(name, "useless", blank)
    if not known:
        return replace(useless, reason="every cell is blank")
    counts = Counter(_level(value) for value in known)
    if len(counts) == 1 and len(known) == len(values):
        return replace(useless, reason=f"constant: always {known[0][:40]!r}")
    if counts.keys() <= TRUE_WORDS | FALSE_WORDS and len(counts) > 2:
        truth = np.array([_level(value) in TRUE_WORDS for value in values])
        numbers = np.where(blank, np.nan, truth.astype(np.float64))
        return Column(name, "number", blank, numbers, levels=("true",))
    reading = number_reading(values)
    numbers = read_numbers(values, reading)
    numeric = _number(name, values, blank, numbers, reading)
    if numeric is not None:
        return numeric
    dated = date_reading(known)
    if dated is not None and dated.form == "text":
        numbers = read_dates(values, dated)
        if np.isfinite(numbers).sum() >= PARSED_SHARE * len(known):
            return Column(name, "date", blank, numbers, date_reading=dated)
    return _read_words(name, values, blank, counts, known)


def _plain_numbers(values: Sequence[str]) -> FloatArray | None:
    """The quick way for columns of nothing but plain numbers; else None."""
    try:
        numbers = np.array(values).astype(np.float64)
    except (ValueError, OverflowError):
        return None
    return np.where(np.isfinite(numbers), np.clip(numbers, -LARGEST, LARGEST), np.nan)


def _number(
    name: str,
    values: Sequence[str],
    blank: NDArray[np.bool_],
    numbers: FloatArray,
    reading: NumberReading,
) -> Column | None:
    """The column as numbers; None where fewer than half of its cells are any."""
    finite = np.isfinite(numbers)
    share = finite.sum() / max(1, (~blank).sum())
    if share < MIXED_SHARE:
        return None
    words = Counter(_level(values[place]) for place in _places(~finite & ~blank))
    if share < PARSED_SHARE and len(words) > MOST_WORDS:
        return None
    useless = Column(name, "useless", blank, is_identifier=True)
    if reason := _identifier(name, numbers[finite]):
        return replace(useless, reason=reason)
    dated = None
    # Only whole numbers of six digits and more can be dates such as 20240131.
    if np.median(numbers[finite]) > 190_000 and float(numbers[finite][0]).is_integer():
        dated = date_reading([values[place] for place in _places(finite)])
    if dated is not None and dated.form.startswith("yyyy"):
        days = read_dates(values, dated)
        if np.isfinite(days).sum() >= PARSED_SHARE * finite.sum():
            return Column(name, "date", blank, days, date_reading=dated)
    levels = tuple(sorted(words)) if len(words) <= MOST_WORDS else ()
    codes = _codes(values, levels) if levels else np.empty(0, np.int32)
    return Column(
        name,
        "number",
        blank,
        numbers,
        codes,
        levels,
        number_reading=reading,
    )


def _read_words(
    name: str,
    values: Sequence[str],
    blank: NDArray[np.bool_],
    counts: Counter[str],
    known: list[str],
) -> Column:
    domains = [_EMAIL.match(value) for value in known]
    if sum(match is not None for match in domains) >= PARSED_SHARE * len(known):
        counts = Counter(match[1].casefold() for match in domains if match)
        if len(counts) > 0.5 * len(known):
            reason = "e-mail addresses: nearly every row has its own"
            return Column(name, "useless", blank, reason=reason, is_identifier=True)
        levels = tuple(sorted(counts))
        codes = _codes([_domain(value) for value in values], levels)
        return Column(name, "category", blank, codes=codes, levels=levels,
                      of_domain=True)  # fmt: skip
    distinct = len(counts) / len(known)
    words = sum(len(value.split()) for value in known) / len(known)
    if words >= TEXT_WORDS and len(counts) > max(50, 0.2 * len(known)):
        text = _read_text(name, values, blank)
        if text is not None:
            return text
        if distinct <= PARSED_SHARE:
            reason = "free text without words that recur"
            return Column(name, "useless", blank, reason=reason)
    if distinct > PARSED_SHARE and len(known) > 20:
        reason = "identifier: nearly every row has its own value"
        return Column(name, "useless", blank, reason=reason, is_identifier=True)
    named = IDENTIFIER_NAME.search(name) or CAMEL_IDENTIFIER.search(name)
    if named and len(counts) > max(100, 0.05 * len(known)):
        reason = "identifier: many values, each in a few rows"
        return Column(name, "useless", blank, reason=reason, is_identifier=True)
    levels = tuple(sorted(counts, key=lambda level: (-counts[level], level)))
    return Column(name, "category", blank, codes=_codes(values, levels), levels=levels)


def _read_text(
    name: str, values: Sequence[str], blank: NDArray[np.bool_]
) -> Column | None:
    """The column by its common words; None where no word recurs."""
    cells = [frozenset(_WORD.findall(value.casefold())) for value in values]
    counts = Counter(word for cell in cells for word in cell)
    low = max(TERM_ROWS, TERM_SHARES[0] * len(values))
    high = TERM_SHARES[1] * len(values)
    fit = [(-count, word) for word, count in counts.items() if low <= count <= high]
    words = tuple(word for _, word in sorted(fit)[:MOST_TERMS])
    if not words:
        return None
    return _text(name, values, blank, words)


def _text(
    name: str, values: Sequence[str], blank: NDArray[np.bool_], words: tuple[str, ...]
) -> Column:
    cells = [frozenset(_WORD.findall(value.casefold())) for value in values]
    terms = np.array([[word in cell for word in words] for cell in cells], dtype=bool)
    length = np.array([float(len(value.split())) for value in values])
    return Column(
        name, "text", blank, np.where(blank, 0.0, length), levels=words, terms=terms
    )


def _reread(column: Column, values: Sequence[str]) -> Column:
    blank = np.array([is_missing(value) for value in values], dtype=bool)
    made = replace(column, blank=blank)
    if column.kind == "number" and column.levels == ("true",):
        words = [_level(value) for value in values]
        known = np.array([word in TRUE_WORDS | FALSE_WORDS for word in words])
        truth = np.array([word in TRUE_WORDS for word in words], dtype=np.float64)
        return replace(made, numbers=np.where(known, truth, np.nan))
    if column.kind == "number":
        codes = _codes(values, column.levels) if column.levels else column.codes
        numbers = read_numbers(values, column.number_reading)
        return replace(made, numbers=numbers, codes=codes)
    if column.kind == "date":
        return replace(made, numbers=read_dates(values, column.date_reading))
    if column.kind == "category":
        if column.of_domain:
            values = [_domain(value) for value in values]
        return replace(made, codes=_codes(values, column.levels))
    if column.kind == "text":
        return _text(column.name, values, blank, column.levels)
    return made


def _places(chosen: NDArray[np.bool_]) -> list[int]:
    found: list[int] = np.flatnonzero(chosen).tolist()
    return found


def _codes(values: Sequence[str], levels: tuple[str, ...]) -> CodeArray:
    """Places in `levels`; -1 for a blank, len(levels) for an unknown word."""
    place = {level: code for code, level in enumerate(levels)}
    found = (
        -1 if is_missing(value) else place.get(_level(value), len(levels))
        for value in values
    )
    return np.fromiter(found, np.int32, len(values))


def _level(value: str) -> str:
    return " ".join(value.split()).casefold()


def _domain(value: str) -> str:
    match = _EMAIL.match(value)
    return match[1].casefold() if match else value


def _identifier(name: str, values: FloatArray) -> str | None:
    if len(values) < 20 or np.any(values != np.floor(values)):
        return None
    unique = np.unique(values)
    named = IDENTIFIER_NAME.search(name) or CAMEL_IDENTIFIER.search(name)
    if len(unique) == len(values) and unique[-1] - unique[0] == len(values) - 1:
        return "identifier: a running number"
    if named and len(unique) >= 0.98 * len(values):
        return "identifier: a distinct whole number per row"
    if named and len(unique) > max(100, 0.05 * len(values)):
        return "identifier: many values, each in a few rows"
    return None
