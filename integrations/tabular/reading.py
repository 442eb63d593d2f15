"""CSV, NDJSON and JSON files, plain, gzip or zstd, row by row in constant memory.

Text is UTF-8 (with or without a mark) or UTF-16 with a mark; a line that is no UTF-8
is read as Windows-1252, which is what spreadsheet exports that are not UTF-8 mostly
are.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, cast

from churnguard.errors import ConfigError
from integrations.tabular.packing import CHUNK, DAMAGED, open_bytes

MOST_CELL_CHARS = 1_000_000
_SNIFF_BYTES = 64 * 1024
_DELIMITERS = ",;\t|"
_ENDINGS = (".gz", ".zst", ".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".json")
SUFFIXES = (".csv", ".tsv", ".txt", ".ndjson", ".jsonl", ".json")

csv.field_size_limit(MOST_CELL_CHARS)


@dataclass(frozen=True, slots=True)
class Row:
    """One data row. number: from 1, without the header. line: where it ends in the
    file. error: why it cannot be used, else empty."""

    number: int
    line: int
    values: dict[str, Any]
    error: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What makes a file the same file. digest: of all its bytes as stored."""

    size: int
    mtime_ns: int
    digest: str

    def as_json(self) -> dict[str, Any]:
        return {"size": self.size, "mtime_ns": self.mtime_ns, "digest": self.digest}


def stem_of(name: str) -> str:
    """The file name without the endings of format and compression."""
    stem = name
    while True:
        lowered = stem.lower()
        ending = next((e for e in _ENDINGS if lowered.endswith(e)), "")
        if not ending or len(stem) == len(ending):
            return stem
        stem = stem[: -len(ending)]


def is_table(name: str) -> bool:
    """Whether a file of this name is one we read."""
    lowered = name.lower()
    for packing in (".gz", ".zst"):
        lowered = lowered.removesuffix(packing)
    return lowered.endswith(SUFFIXES)


def identify(path: Path, *, only: int | None = None) -> Identity:
    """Size, time and digest of a file; of its first `only` bytes where given.

    Raises ConfigError when it cannot be read.
    """
    digest = blake2b(digest_size=16)
    left = only
    try:
        with path.open("rb") as file:
            stat = path.stat()
            while left is None or left > 0:
                piece = file.read(CHUNK if left is None else min(CHUNK, left))
                if not piece:
                    break
                digest.update(piece)
                left = None if left is None else left - len(piece)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    return Identity(stat.st_size, stat.st_mtime_ns, digest.hexdigest())


def columns_of(path: Path, *, most_rows: int = 200) -> list[str]:
    """The column names, in order; for JSON those of the first rows together."""
    names: dict[str, None] = {}
    with closing(rows(path)) as found:
        for row in found:
            names.update(dict.fromkeys(row.values))
            if row.number >= most_rows:
                break
    return list(names)


def count_rows(path: Path) -> int | None:
    """About how many rows there are, for showing progress; None where only a full
    parse could tell."""
    try:
        with open_bytes(path) as file:
            kind = _format(path, file)
            if kind == "json":
                return None
            count = sum(
                piece.count(b"\n") for piece in iter(lambda: file.read(CHUNK), b"")
            )
    except (OSError, *DAMAGED):
        return None
    return max(0, count - 1) if kind == "csv" else count


def rows(path: Path, *, skip: int = 0) -> Generator[Row]:
    """The rows after the first `skip`. Raises ConfigError for a file that is no table
    or ends in the middle."""
    try:
        with open_bytes(path) as file:
            kind = _format(path, file)
            if kind == "csv":
                yield from _csv_rows(file, path, skip)
            elif kind == "ndjson":
                yield from _ndjson_rows(file, skip)
            else:
                yield from _json_rows(file, path, skip)
    except DAMAGED as exc:
        raise ConfigError(
            f"{path.name} is damaged or cut off: its compressed data does not end "
            "properly. Upload it again.",
            code="damaged_file",
        ) from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc


def _format(path: Path, file: BinaryIO) -> str:
    name = path.name.lower()
    for packing in (".gz", ".zst"):
        name = name.removesuffix(packing)
    if name.endswith((".ndjson", ".jsonl")):
        return "ndjson"
    if name.endswith(".json"):
        start = file.peek(_SNIFF_BYTES)[:_SNIFF_BYTES]  # type: ignore[attr-defined]
        first_line = start.lstrip().split(b"\n", 1)[0].strip()
        # Many tools write one object per line and call it .json.
        is_object = first_line.startswith(b"{") and first_line.endswith(b"}")
        return "ndjson" if is_object and b"\n" in start.strip() else "json"
    return "csv"


def _lines(file: BinaryIO) -> Iterator[str]:
    """Decoded lines, ends of line kept as they are."""
    start = file.peek(4)[:4]  # type: ignore[attr-defined]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        yield from io.TextIOWrapper(file, "utf-16", errors="replace", newline="")
        return
    if start.startswith(codecs.BOM_UTF8):
        file.read(3)
    for line in file:
        try:
            yield line.decode()
        except UnicodeDecodeError:
            yield line.decode("cp1252", "replace")


def _csv_rows(file: BinaryIO, path: Path, skip: int) -> Iterator[Row]:
    delimiter = _delimiter(file)
    reader = csv.reader(_lines(file), delimiter=delimiter)
    header: list[str] = []
    number = 0
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            break
        except csv.Error as exc:
            number += 1
            if number > skip:
                yield Row(number, reader.line_num, {}, f"not readable as CSV: {exc}")
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if not header:
            header = _names(cells)
            continue
        number += 1
        if number <= skip:
            continue
        yield _csv_row(header, cells, number, reader.line_num)
    if not header:
        raise ConfigError(
            f"{path.name} is empty; a table needs a header line.", code="empty_file"
        )


def _csv_row(header: list[str], cells: list[str], number: int, line: int) -> Row:
    values = dict(zip(header, cells, strict=False))
    if len(cells) == len(header):
        return Row(number, line, values)
    if len(cells) > len(header):
        values["_extra"] = "\x1f".join(cells[len(header) :])
    return Row(
        number, line, values, f"has {len(cells)} cells, the header has {len(header)}"
    )


def _names(cells: list[str]) -> list[str]:
    names: list[str] = []
    for position, cell in enumerate(cells, 1):
        name = " ".join(cell.split()) or f"column_{position}"
        count = 2
        unique = name
        while unique in names:
            unique = f"{name}_{count}"
            count += 1
        names.append(unique)
    return names


def _delimiter(file: BinaryIO) -> str:
    """The character that splits the first lines most evenly."""
    start = file.peek(_SNIFF_BYTES)[:_SNIFF_BYTES]  # type: ignore[attr-defined]
    if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = start[: len(start) // 2 * 2].decode("utf-16", "replace")
    else:
        text = start.decode("utf-8", "replace")
    lines = [line for line in text.splitlines()[:50] if line.strip()]
    if not lines:
        return ","
    best, best_score = ",", (0, 0)
    for candidate in _DELIMITERS:
        counts = [len(next(csv.reader([line], delimiter=candidate))) for line in lines]
        same = sum(1 for count in counts if count == counts[0])
        score = (same if counts[0] > 1 else 0, counts[0])
        if score > best_score:
            best, best_score = candidate, score
    return best


def _ndjson_rows(file: BinaryIO, skip: int) -> Iterator[Row]:
    number = 0
    for line_number, line in enumerate(_lines(file), 1):
        if not line.strip():
            continue
        number += 1
        if number > skip:
            yield _json_row(line, number, line_number)


def _json_row(text: str, number: int, line: int) -> Row:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as exc:
        return Row(number, line, {"_line": text[:2000]}, f"is no JSON: {exc}")
    if not isinstance(value, dict):
        return Row(number, line, {"_value": value}, "is no JSON object")
    return Row(number, line, value)


def _json_rows(file: BinaryIO, path: Path, skip: int) -> Iterator[Row]:
    """The objects of an array, or of the first array inside an object."""
    text = io.TextIOWrapper(cast(BinaryIO, _Utf8(file)), "utf-8", errors="replace")
    decoder = json.JSONDecoder()
    head, buffer = _until_array(text)
    if buffer is None:
        yield from _lone_object(head, path, skip)
        return
    number = 0
    while True:
        buffer = buffer.lstrip(" \t\r\n,")
        if buffer.startswith("]"):
            return
        try:
            value, end = decoder.raw_decode(buffer)
            # A number at the buffer's end may go on in the next piece.
            is_whole = end < len(buffer)
        except ValueError:
            is_whole = False
        if not is_whole:
            piece = text.read(CHUNK)
            if not piece:
                raise ConfigError(
                    f"{path.name} ends before its list of records does, or is no JSON "
                    f"after record {number}.",
                    code="damaged_file",
                )
            buffer += piece
            continue
        buffer = buffer[end:]
        number += 1
        if number <= skip:
            continue
        if isinstance(value, dict):
            yield Row(number, number, value)
        else:
            yield Row(number, number, {"_value": value}, "is no JSON object")


def _until_array(text: io.TextIOWrapper) -> tuple[str, str | None]:
    """(what stands before the first array, what follows its bracket or None)."""
    buffer = ""
    while "[" not in buffer and len(buffer) < 8 * CHUNK:
        piece = text.read(CHUNK)
        if not piece:
            break
        buffer += piece
    head, bracket, rest = buffer.partition("[")
    return head, rest if bracket else None


def _lone_object(text: str, path: Path, skip: int) -> Iterator[Row]:
    row = _json_row(text, 1, 1)
    if row.error:
        raise ConfigError(f"{path.name} holds no list of records.", code="no_records")
    if not skip:
        yield row


class _Utf8(io.RawIOBase):
    """The bytes of a JSON file without a mark at their beginning."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._file = file
        if file.peek(4)[:3] == codecs.BOM_UTF8:  # type: ignore[attr-defined]
            file.read(3)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._file.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)


def _unreadable(path: Path, exc: OSError) -> ConfigError:
    return ConfigError(
        f"{path.name} cannot be read ({exc.strerror or type(exc).__name__}).",
        code="unreadable_file",
    )
