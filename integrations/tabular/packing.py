"""Packed files, unpacked as they are read: gzip and zstd by their first bytes."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

CHUNK = 256 * 1024
GZIP, ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
"""How packed files begin."""
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError)
"""What reading a damaged or cut-off file raises."""


def open_bytes(path: Path) -> BinaryIO:
    """The file's bytes, unpacked as they are read."""
    raw = path.open("rb")
    head = raw.read(4)
    raw.seek(0)
    if head.startswith(GZIP):
        unpacked: Any = gzip.GzipFile(fileobj=raw, mode="rb")
    elif head.startswith(ZSTD):
        unpacked = _Zstd(raw)
    else:
        return raw
    return io.BufferedReader(unpacked, CHUNK)


class _Zstd(io.RawIOBase):
    """Frames of a zstd file, unpacked; EOFError where the last one is cut off (the
    library's own reader ends there as if all were well)."""

    def __init__(self, raw: BinaryIO) -> None:
        super().__init__()
        self._raw = raw
        self._frame: Any = None
        self._packed = self._plain = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._plain:
            if not self._packed:
                self._packed = self._raw.read(CHUNK)
                if not self._packed:
                    if self._frame is not None:
                        raise EOFError("a frame is cut off")
                    return 0
            if self._frame is None:
                self._frame = zstandard.ZstdDecompressor().decompressobj()
            self._plain = self._frame.decompress(self._packed)
            self._packed = b""
            if self._frame.eof:
                self._packed, self._frame = self._frame.unused_data, None
        taken = self._plain[: len(buffer)]
        self._plain = self._plain[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            super().close()
