"""Opens a file of unknown packing and encoding as text; says what it is if it is none.

What a file is, is told from its first bytes, whatever its name.
"""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, BinaryIO

import zstandard
from zstandard import ZstdError

from churnguard.errors import ConfigError

SNIFF_BYTES = 64 * 1024
READ_ERRORS = (csv.Error, UnicodeError, EOFError, OSError, zlib.error, lzma.LZMAError,
               ZstdError, zipfile.BadZipFile)  # fmt: skip
FOREIGN = (
    (b"PAR1", "a Parquet file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"ARROW1", "an Arrow file"),
    (b"FEA1", "a Feather file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite format 3", "an SQLite database"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"%PDF", "a PDF document"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
)
WORKBOOK_PARTS = ("[Content_Types].xml", "mimetype", "xl/workbook.xml")
_MARKUP = re.compile(r"\s*<(?:!doctype|html|\?xml)", re.IGNORECASE)
_JSON = re.compile(r'\s*(?:\[\s*\{|\{\s*")')
_POINTER = "version https://git-lfs"
_TAR = slice(257, 262)


def open_text(file: Path) -> io.TextIOWrapper:
    """The unpacked file as text; raises ConfigError where it is no table."""
    if not file.is_file():
        raise ConfigError(f"There is no file {file}.")
    try:
        with file.open("rb") as plain:
            magic = plain.read(16)
        opener = next((o for m, o in OPENERS if magic.startswith(m)), _plain)
        with opener(file) as probe:
            head = probe.read(SNIFF_BYTES)
        encoding = _guess_encoding(head)
        if told := _foreign(head, encoding):
            raise ConfigError(f"{file.name} is {told}.")
        # Bytes past the probe may still be odd: one bad letter must not end a file.
        return io.TextIOWrapper(
            opener(file), encoding=encoding, errors="replace", newline=""
        )
    except READ_ERRORS as exc:
        raise ConfigError(f"{file.name} cannot be opened: {exc}.") from exc


def _foreign(head: bytes, encoding: str) -> str:
    """What these first bytes are and what to do; "" for a table, as far as is seen."""
    for magic, kind in FOREIGN:
        if head.startswith(magic):
            return f"{kind}; save it as CSV"
    if head[_TAR] == b"ustar":
        return "a tar archive; unpack it first"
    text = head.decode(encoding, errors="replace")
    if "\x00" in text:
        return "not a text file with separated columns; save it as CSV"
    if text.startswith(_POINTER):
        return "a Git LFS pointer and not the data; fetch the data first"
    if _MARKUP.match(text):
        return "a web page or XML; save the table as CSV"
    if _JSON.match(text):
        return "JSON; save it as CSV, one row per line"
    return ""


def _plain(file: Path) -> BinaryIO:
    return file.open("rb")


class _ZstdFile(io.RawIOBase):
    """Unpacked bytes; a file cut short raises EOFError, as gzip does."""

    def __init__(self, file: Path) -> None:
        self._packed = file.open("rb")
        self._frame = zstandard.ZstdDecompressor().decompressobj()
        self._ready = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            if self._frame.eof:
                chunk = self._frame.unused_data or self._packed.read(SNIFF_BYTES)
                if not chunk:
                    return 0
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            elif not (chunk := self._packed.read(SNIFF_BYTES)):
                raise EOFError("the packed file ends too early")
            self._ready = self._frame.decompress(chunk)
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._packed.close()
        super().close()


def _zstd(file: Path) -> BinaryIO:
    return io.BufferedReader(_ZstdFile(file))


def _zipped(file: Path) -> IO[bytes]:
    """The only file of an archive; a workbook and several files are refused."""
    archive = zipfile.ZipFile(file)
    names = [
        part.filename
        for part in archive.infolist()
        if not part.is_dir()
        and not part.filename.startswith("__MACOSX/")
        and not Path(part.filename).name.startswith(".")
    ]
    if any(name in WORKBOOK_PARTS for name in names):
        raise ConfigError(f"{file.name} is a spreadsheet; save its table as CSV.")
    if len(names) != 1:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise ConfigError(
            f"{file.name} packs {len(names)} files ({shown}); unpack it and name one."
        )
    try:
        return archive.open(names[0])
    except (RuntimeError, NotImplementedError) as exc:
        # What zipfile raises for a password and for an unknown way of packing.
        raise ConfigError(f"{file.name} cannot be unpacked: {exc}.") from exc


OPENERS: tuple[tuple[bytes, Callable[[Path], Any]], ...] = (
    (b"\x1f\x8b", gzip.GzipFile),
    (b"\x28\xb5\x2f\xfd", _zstd),
    (b"BZh", bz2.BZ2File),
    (b"\xfd7zXZ\x00", lzma.LZMAFile),
    (b"PK\x03\x04", _zipped),
    (b"PK\x05\x06", _zipped),
)
"""First bytes of a packed file and how to unpack it."""


def _guess_encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    # Without a mark two bytes a letter show in every other byte being zero.
    first, second = head[0::2].count(0), head[1::2].count(0)
    if max(first, second) > len(head) / 4 and min(first, second) == 0:
        kind, line_break = (
            ("utf-16-be", b"\x00\n") if first else ("utf-16-le", b"\n\x00")
        )
        if line_break in head:
            return kind
    try:
        # The probe may end inside a letter, which is no fault of the encoding.
        head[: max(len(head) - 4, 1)].decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        if exc.start < len(head) - 8:
            return "cp1252"
    return "utf-8-sig"
