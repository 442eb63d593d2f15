"""Reads a table of unknown origin: delimiter, compression, encoding, rows, columns.

Rows are bounded: above `MAX_CELLS` cells an even random sample of rows (fixed seed) is
kept and the table says so. What a column means is decided in `columns`.
"""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from churnguard.errors import ConfigError

MAX_CELLS = 8_000_000
SNIFF_BYTES = 64 * 1024
DELIMITERS = ",;\t|"
GZIP_MAGIC = b"\x1f\x8b"
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
    legal = ", ".join(names[:40])
    raise ConfigError(f"There is no column {wanted!r}; the file has: {legal}.")


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
    """The header (made unique), then every non-empty row, as they stand in the file."""
    file = Path(path)
    with _open_text(file) as stream:
        sample = stream.read(SNIFF_BYTES)
        if not sample.strip():
            raise ConfigError(f"{file.name} is empty.")
        if "\x00" in sample:
            raise ConfigError(f"{file.name} is not a text file with separated columns.")
        delimiter = guess_delimiter(sample)
        stream.seek(0)
        reader = csv.reader(stream, delimiter=delimiter, skipinitialspace=True)
        try:
            header = next(row for row in reader if any(cell.strip() for cell in row))
            yield _unique_names(header)
            for row in reader:
                if any(cell.strip() for cell in row):
                    yield row
        except (csv.Error, UnicodeDecodeError, EOFError, OSError) as exc:
            message = f"{file.name} cannot be read near line {reader.line_num}: {exc}."
            raise ConfigError(message) from exc


def guess_delimiter(sample: str) -> str:
    """The separator that splits most lines into the same number of cells (> 1).

    A file with one column has none; then a comma is as good as any.
    """
    lines = [line for line in sample.splitlines()[:50] if line.strip()]
    if len(lines) > 2:
        lines = lines[:-1]  # the sample may end inside a line
    best, best_score = ",", 0.0
    for delimiter in DELIMITERS:
        widths = [len(row) for row in csv.reader(lines, delimiter=delimiter)]
        if not widths or widths[0] < 2:
            continue
        agreement = sum(width == widths[0] for width in widths) / len(widths)
        score = agreement * 100 + min(widths[0], 50) / 100
        if score > best_score:
            best, best_score = delimiter, score
    return best


def _open_text(file: Path) -> io.TextIOWrapper:
    if not file.is_file():
        raise ConfigError(f"There is no file {file}.")
    try:
        with file.open("rb") as plain:
            packed = plain.read(2) == GZIP_MAGIC
        opener = gzip.open if packed else open
        with opener(file, "rb") as probe:
            head = probe.read(SNIFF_BYTES)
        encoding = _guess_encoding(head)
        # Bytes past the probe may still be odd: one bad letter must not end a file.
        stream = opener(file, "rt", encoding=encoding, errors="replace", newline="")
    except (OSError, EOFError) as exc:
        raise ConfigError(f"{file.name} cannot be opened: {exc}.") from exc
    assert isinstance(stream, io.TextIOWrapper)
    return stream


def _guess_encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        # The probe may end inside a letter, which is no fault of the encoding.
        head[: max(len(head) - 4, 1)].decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if exc.start < len(head) - 8:
            return "cp1252"
    return "utf-8-sig"


def _unique_names(header: list[str]) -> list[str]:
    names: list[str] = []
    for place, cell in enumerate(header, start=1):
        name = cell.strip() or f"column_{place}"
        candidate, number = name, 2
        while candidate in names:
            candidate, number = f"{name}_{number}", number + 1
        names.append(candidate)
    return names
