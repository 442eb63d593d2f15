"""Reads a table of unknown origin: delimiter, header, rows, columns.

Rows are bounded: above `MAX_CELLS` cells an even random sample of rows (fixed seed) is
kept and the table says so. What a column means is decided in `columns`.
"""

from __future__ import annotations

import csv
import difflib
import io
import random
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from analytics.churn.unpacking import READ_ERRORS, SNIFF_BYTES, open_text
from churnguard.errors import ConfigError

MAX_CELLS = 8_000_000
SNIFF_ROWS = 200
DELIMITERS = ",;\t|"
SAMPLE_SEED = 20_260_101

csv.field_size_limit(1 << 24)


@dataclass(frozen=True, slots=True)
class RawTable:
    """Header names (unique, never empty) and stripped cells, column by column."""

    names: tuple[str, ...]
    columns: dict[str, list[str]]
    row_count: int
    notes: list[str] = field(default_factory=list)
    """Sentences on rows left out or shortened while reading."""

    def column(self, name: str) -> list[str]:
        """Cells of one column; a ConfigError names the legal ones."""
        return self.columns[find_name(self.names, name)]


def find_name(names: tuple[str, ...], wanted: str) -> str:
    """The header equal to `wanted`, ignoring case and outer blanks if need be."""
    if wanted in names:
        return wanted
    folded = [name for name in names if name.casefold() == wanted.strip().casefold()]
    if len(folded) == 1:
        return folded[0]
    legal = ", ".join(names[:40]) + (", ..." if len(names) > 40 else "")
    told = f"There is no column {wanted!r}; the file has: {legal}."
    by_fold = {name.casefold(): name for name in names}
    near = difflib.get_close_matches(wanted.casefold(), by_fold, n=1, cutoff=0.6)
    if near:
        told += f" Did you mean {by_fold[near[0]]!r}?"
    raise ConfigError(told, code="no_such_column")


def read_table(path: str | Path, *, max_cells: int = MAX_CELLS) -> RawTable:
    """The whole file as text cells.

    Raises ConfigError where the file is missing, empty, binary or has no data row.
    """
    rows = iter_rows(path)
    names = next(rows)
    width = len(names)
    limit = max(1000, max_cells // width)
    generator = random.Random(SAMPLE_SEED)  # noqa: S311 - a sample, not a secret
    kept: list[list[str]] = []
    seen = uneven = 0
    for row in rows:
        if len(row) != width:
            uneven += 1
            row = (row + [""] * width)[:width]
        seen += 1
        if len(kept) < limit:
            kept.append(row)
        elif (place := generator.randrange(seen)) < limit:
            kept[place] = row
    if not kept:
        raise ConfigError(f"{Path(path).name} has a header but no data row.")
    notes = []
    if uneven:
        notes.append(f"{uneven} rows had more or fewer cells than the header.")
    if seen > limit:
        notes.append(f"{limit} of {seen} rows were kept, an even random sample.")
    columns = {
        name: [row[place].strip() for row in kept] for place, name in enumerate(names)
    }
    return RawTable(tuple(names), columns, len(kept), notes)


def iter_rows(path: str | Path) -> Iterator[list[str]]:
    """The header (made unique), then every non-empty row, as they stand in the file.

    A line "sep=;" and title lines above the header are skipped.
    """
    file = Path(path)
    with open_text(file) as stream:
        try:
            sample = stream.read(SNIFF_BYTES)
        except READ_ERRORS as exc:
            raise ConfigError(f"{file.name} cannot be unpacked: {exc}.") from exc
    if not sample.strip():
        raise ConfigError(f"{file.name} is empty.")
    delimiter, title_rows = guess_layout(sample)
    # Opened anew, since not every packed stream can go back to its beginning.
    with open_text(file) as stream:
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        try:
            filled = (row for row in reader if any(cell.strip() for cell in row))
            for _ in range(title_rows):
                next(filled)
            yield _unique_names(next(filled))
            yield from filled
        except READ_ERRORS as exc:
            message = f"{file.name} cannot be read near line {reader.line_num}: {exc}."
            raise ConfigError(message) from exc


def guess_layout(sample: str) -> tuple[str, int]:
    """The separator, and how many non-empty rows stand above the header.

    The separator splits most rows into the same number of cells (> 1); blanks are one
    where nothing else is and they split all rows alike. A file with one column has
    none; then a comma is as good as any.
    """
    named = re.match(r"^\ufeff?sep=(.)\r?\n", sample)
    best, best_score = (",", 0), 0.0
    sample = sample[named.end() :] if named else sample
    for delimiter in [named[1]] if named else DELIMITERS:
        widths = _widths(sample, delimiter)
        common = Counter(width for width in widths if width > 1).most_common(1)
        if not common:
            continue
        width = common[0][0]
        agreement = sum(other == width for other in widths) / len(widths)
        score = agreement * 100 + min(width, 50) / 100
        if score > best_score:
            # Titles have fewer cells than the table; a ragged header has nearly all.
            titles = next(k for k, other in enumerate(widths) if other > width / 2)
            best, best_score = (delimiter, titles), score
    if best_score == 0 and not named:
        by_blanks = set(_widths(sample, " "))
        return (" " if len(by_blanks) == 1 and by_blanks != {1} else ","), 0
    return (best[0], best[1] + 1) if named else best


def _widths(sample: str, delimiter: str) -> list[int]:
    """Cells per non-empty row of the sample, quoted line breaks understood."""
    reader = csv.reader(
        io.StringIO(sample, newline=""), delimiter=delimiter, skipinitialspace=True
    )
    widths = []
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                widths.append(len(row))
            if len(widths) > SNIFF_ROWS:
                break
    except csv.Error:
        pass
    # The sample may end inside a row.
    return widths[:-1] if len(widths) > 2 else widths


def _unique_names(header: list[str]) -> list[str]:
    names: list[str] = []
    for place, cell in enumerate(header, start=1):
        name = cell.strip() or f"column_{place}"
        candidate, number = name, 2
        while candidate in names:
            candidate, number = f"{name}_{number}", number + 1
        names.append(candidate)
    return names
