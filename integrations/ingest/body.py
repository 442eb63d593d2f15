"""Request bodies: what encodings are taken, and bounded decompression."""

from __future__ import annotations

import zlib
from typing import Protocol

import zstandard

from integrations.ingest.answers import IngestError

JSON_TYPES = frozenset(
    {"", "application/json", "text/json", "application/octet-stream"}
)
NDJSON_TYPES = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/jsonl",
        "application/x-jsonl",
        "application/jsonlines",
        "application/x-jsonlines",
    }
)
_MOST_RATIO = 500
"""Decompressed bytes per byte received; ordinary JSON stays far below 100."""
_RATIO_FREE_BYTES = 1024 * 1024
_ZSTD_WINDOW = 8 * 1024 * 1024


class _Decoder(Protocol):
    def decompress(self, data: bytes, most: int) -> bytes: ...
    def is_complete(self) -> bool: ...


class BodyReader:
    """Takes a body chunk by chunk; keeps no more than the limits allow.

    Raises IngestError: 413 too large, 415 unknown encoding, 400 broken encoding.
    """

    def __init__(self, encoding: str, *, max_bytes: int, max_decoded: int) -> None:
        self._decoder = _decoder_for(encoding)
        self._max_bytes = max_bytes
        self._max_decoded = max_decoded
        self._parts: list[bytes] = []
        self.received = 0
        self._decoded = 0

    def feed(self, chunk: bytes) -> None:
        self.received += len(chunk)
        if self.received > self._max_bytes:
            raise too_large(self._max_bytes)
        if self._decoder is not None and chunk:
            chunk = self._decompress(chunk)
        if chunk:
            self._parts.append(chunk)

    def finish(self) -> bytes:
        if self._decoder is not None and not self._decoder.is_complete():
            raise _broken("The compressed body ends too early.")
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def _decompress(self, chunk: bytes) -> bytes:
        assert self._decoder is not None
        room = self._max_decoded - self._decoded
        try:
            out = self._decoder.decompress(chunk, room + 1)
        except (zlib.error, zstandard.ZstdError) as exc:
            raise _broken("The body is not in the encoding it names.") from exc
        self._decoded += len(out)
        if self._decoded > self._max_decoded:
            raise too_large(self._max_decoded, "after decompression")
        allowed = max(_RATIO_FREE_BYTES, self.received * _MOST_RATIO)
        if self._decoded > allowed:
            raise too_large(allowed, "for a body of this compressed size")
        return out


def media_type(header: str) -> str:
    """The type of a Content-Type header, in lower case, without parameters."""
    return header.partition(";")[0].strip().lower()


def is_ndjson(header: str) -> bool:
    """Whether the header names NDJSON. Raises IngestError (415) for other types than
    JSON and NDJSON."""
    kind = media_type(header)
    if kind in NDJSON_TYPES:
        return True
    if kind in JSON_TYPES or kind.endswith("+json"):
        return False
    raise IngestError(
        415,
        "unsupported_media_type",
        f"Content-Type “{kind[:100]}” is not taken. Send application/json or "
        "application/x-ndjson.",
    )


def too_large(most: int, what: str = "") -> IngestError:
    """The 413 that names the limit in bytes."""
    limit = f"{most:,} bytes {what}".strip()
    return IngestError(
        413, "payload_too_large", f"The body is larger than {limit}. Send less at once."
    )


class _Gzip:
    """One or more gzip members (RFC 1952), as gzip and pigz write them."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(wbits=31)
        self._ended = False

    def decompress(self, data: bytes, most: int) -> bytes:
        out = []
        while data and most > 0:
            if self._ended:
                self._inflate = zlib.decompressobj(wbits=31)
                self._ended = False
            part = self._inflate.decompress(data, most)
            out.append(part)
            most -= len(part)
            self._ended = self._inflate.eof
            data = (
                self._inflate.unused_data
                if self._ended
                else self._inflate.unconsumed_tail
            )
        return b"".join(out)

    def is_complete(self) -> bool:
        return self._ended


class _Zstd:
    """One or more zstd frames (RFC 8878) with a bounded window."""

    def __init__(self) -> None:
        self._context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._context.decompressobj()
        self._ended = False

    def decompress(self, data: bytes, most: int) -> bytes:
        out = []
        # zstandard has no bound on one call's output, so small bites keep it small.
        for start in range(0, len(data), 256):
            piece = data[start : start + 256]
            while piece and most > 0:
                if self._ended:
                    self._frame = self._context.decompressobj()
                    self._ended = False
                part = self._frame.decompress(piece)
                out.append(part)
                most -= len(part)
                self._ended = self._frame.eof
                piece = self._frame.unused_data if self._ended else b""
            if most <= 0:
                break
        return b"".join(out)

    def is_complete(self) -> bool:
        return self._ended


def _decoder_for(encoding: str) -> _Decoder | None:
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return None
    if name in {"gzip", "x-gzip"}:
        return _Gzip()
    if name == "zstd":
        return _Zstd()
    raise IngestError(
        415,
        "unsupported_encoding",
        f"Content-Encoding “{name[:60]}” is not taken. Send gzip, zstd or none.",
    )


def _broken(detail: str) -> IngestError:
    return IngestError(400, "bad_encoding", detail)
