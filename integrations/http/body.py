"""Reading answers: bounded, decoded, in constant memory where asked."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from itertools import chain
from typing import Any

import httpx
import msgspec

from churnguard.errors import ConfigError, TransientError
from integrations.http.json_text import decode_text

CHUNK_BYTES = 1 << 18

# gzip and zlib wrappers are told apart by zlib itself; raw deflate has no header.
_AUTO_WBITS = 47
_RAW_WBITS = -15
_GZIP = b"\x1f\x8b"
_CHARSET = re.compile(r"charset=[\"']?([\w.:-]+)", re.IGNORECASE)


class Reply:
    """A whole answer: status, headers, content (decoded bytes), url (after redirects).

    `json()` is decoded once; TransientError `not_json` if the body is something else.
    """

    __slots__ = ("_data", "content", "headers", "status", "url")

    def __init__(
        self, status: int, headers: httpx.Headers, content: bytes, url: str
    ) -> None:
        self.status = status
        self.headers = headers
        self.content = content
        self.url = url
        self._data: Any = msgspec.UNSET

    def json(self, type: Any = Any) -> Any:
        """The decoded body; with `type` (a msgspec type) checked against it."""
        if type is not Any:
            return decode_json(self, type)
        if self._data is msgspec.UNSET:
            self._data = decode_json(self, Any)
        return self._data

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.content.decode("utf-8", "replace")

    @property
    def is_json(self) -> bool:
        """What the content type says (some providers say text/plain for JSON)."""
        return "json" in self.headers.get("content-type", "").lower()

    def link(self, rel: str) -> str | None:
        """The absolute target of a Link header's relation, e.g. "next"."""
        link_headers = ", ".join(self.headers.get_list("link"))
        for target, params in _parse_links(link_headers):
            if rel.lower() in params.get("rel", "").lower().split():
                return address_from(self.url, target)
        return None

    @property
    def charset(self) -> str:
        """What the content type says the text is encoded in; "" if nothing known."""
        return charset_of(self.headers)


class Stream:
    """An answer read piece by piece; use it inside its `with` block only."""

    def __init__(
        self,
        response: httpx.Response,
        *,
        url: str,
        translate: Callable[[Exception], Exception],
        keep_alive: Callable[[], None],
    ) -> None:
        self.status = response.status_code
        self.headers = response.headers
        self.url = url
        self._response = response
        self._translate = translate
        self._keep_alive = keep_alive

    def iter_bytes(self) -> Iterator[bytes]:
        """Decoded pieces as they come; TransientError if the body ends early."""
        try:
            for chunk in iter_decoded(self._response):
                self._keep_alive()
                yield chunk
        except (httpx.TransportError, TruncatedError) as exc:
            raise self._translate(exc) from exc

    def iter_raw(self) -> Iterator[bytes]:
        """Pieces as they were sent, still compressed (for zip and gz files)."""
        try:
            for chunk in _raw_chunks(self._response):
                self._keep_alive()
                yield chunk
        except httpx.TransportError as exc:
            raise self._translate(exc) from exc

    def iter_lines(self, *, max_line_bytes: int = 64 << 20) -> Iterator[bytes]:
        """Lines without their ending, empty ones left out.

        The last line comes even without a newline. ConfigError `line_too_long`.
        """
        rest = b""
        for chunk in self.iter_bytes():
            lines = (rest + chunk).split(b"\n") if rest else chunk.split(b"\n")
            rest = lines.pop()
            if len(rest) > max_line_bytes:
                raise ConfigError(
                    f"A line of the answer is longer than {max_line_bytes} bytes.",
                    code="line_too_long",
                )
            for line in lines:
                if line := line.rstrip(b"\r"):
                    yield line
        if rest := rest.rstrip(b"\r"):
            yield rest


def address_from(page: str, target: str) -> str:
    """A link on a page as a whole address. ConfigError `bad_next_url`.

    Servers behind a proxy often write http for their own https address.
    """
    try:
        here = httpx.URL(page)
        found = here.join(target.strip())
        if (here.scheme, found.scheme) == ("https", "http") and found.host == here.host:
            port = None if found.port == 80 else found.port
            found = found.copy_with(scheme="https", port=port)
    except (httpx.InvalidURL, ValueError) as exc:
        raise ConfigError(
            f"The next address, “{target[:200]}”, is none.", code="bad_next_url"
        ) from exc
    return str(found)


def charset_of(headers: httpx.Headers) -> str:
    """The charset of a content type; "" for none, or one that is not known here."""
    named = _CHARSET.search(headers.get("content-type", ""))
    if named is None:
        return ""
    try:
        # Unlike codecs.lookup, this refuses what is no encoding of text.
        "?".encode(named[1])
    except (LookupError, UnicodeError):
        return ""
    return named[1].lower()


class TruncatedError(Exception):
    """The body ended before its own end mark, or is no valid compressed data."""


def read_body(
    response: httpx.Response, *, max_bytes: int, check_time: Callable[[], None]
) -> bytes:
    """The decoded body. ConfigError `body_too_large` beyond max_bytes, so that a
    broken or hostile source cannot fill the memory."""
    parts: list[bytes] = []
    size = 0
    for chunk in iter_decoded(response):
        check_time()
        size += len(chunk)
        if size > max_bytes:
            raise ConfigError(
                f"The answer is larger than {max_bytes} bytes; use smaller pages.",
                code="body_too_large",
            )
        parts.append(chunk)
    return b"".join(parts)


def iter_decoded(response: httpx.Response) -> Iterator[bytes]:
    """Pieces after content decoding. Unlike httpx, an early end of compressed data
    is an error (TruncatedError), and one piece never grows past CHUNK_BYTES."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    chunks = _raw_chunks(response)
    if encoding in ("", "identity"):
        first = next(chunks, b"")
        chunks = chain([first], chunks)
        # A stored file is often sent as it is; no text begins like this.
        yield from inflate(chunks) if first.startswith(_GZIP) else chunks
    elif encoding in ("gzip", "x-gzip", "deflate"):
        yield from inflate(chunks)
    else:
        raise ConfigError(
            f"The answer is encoded as {encoding!r}; only gzip and deflate were asked "
            "for.",
            code="bad_encoding",
        )


def inflate(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unpack gzip (also several members), zlib or raw deflate in bounded pieces."""
    unpacker = None
    members = 0
    for chunk in chunks:
        if unpacker is None and members:
            # Servers may pad the end with zero bytes; anything else is a member.
            chunk = chunk.lstrip(b"\0")
        more = bool(chunk)
        while more:
            if unpacker is None:
                unpacker = zlib.decompressobj(_wbits(chunk))
                members += 1
            try:
                piece = unpacker.decompress(chunk, CHUNK_BYTES)
            except zlib.error as exc:
                raise TruncatedError(f"bad compressed data ({exc})") from exc
            if piece:
                yield piece
            # A full piece may leave output inside zlib although the input is used up.
            chunk = unpacker.unconsumed_tail
            more = bool(chunk) or len(piece) == CHUNK_BYTES
            if unpacker.eof:
                chunk = unpacker.unused_data.lstrip(b"\0")
                more = bool(chunk)
                unpacker = None
    if unpacker is not None:
        raise TruncatedError("compressed data ended early")


def decode_json(reply: Reply, type: Any) -> Any:
    """Decode with a sentence for the three usual failures."""
    try:
        return decode_text(reply.content, type, charset=reply.charset)
    except msgspec.ValidationError as exc:
        raise TransientError(
            f"The answer does not have the expected shape: {exc}.", code="bad_shape"
        ) from exc
    except msgspec.DecodeError as exc:
        head = reply.content[:200].lstrip().lower()
        if not reply.content.strip():
            what = "is empty"
        elif head.startswith((b"<!doctype", b"<html", b"<?xml", b"<head")):
            what = "is a web page; check the address, or the service is in maintenance"
        elif "truncated" in str(exc):
            what = f"ends in the middle ({len(reply.content)} bytes)"
        else:
            what = f"is no valid JSON ({exc})"
        raise TransientError(
            f"JSON was expected, but the answer {what}.", code="not_json"
        ) from exc
    except UnicodeDecodeError as exc:
        raise TransientError("The answer is no valid UTF-8.", code="not_json") from exc


def _raw_chunks(response: httpx.Response) -> Iterator[bytes]:
    # The stream itself, because httpx decodes leniently and only once.
    for chunk in response.stream:  # type: ignore[union-attr]
        yield bytes(chunk)


def _wbits(head: bytes) -> int:
    """zlib headers: 0x1f8b = gzip; 0x?8 with a checksum multiple of 31 = zlib."""
    if len(head) < 2 or head[:2] == b"\x1f\x8b":
        return _AUTO_WBITS
    is_zlib = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
    return _AUTO_WBITS if is_zlib else _RAW_WBITS


def _parse_links(header: str) -> Iterator[tuple[str, dict[str, str]]]:
    """(target, parameters) of each link of an RFC 8288 header."""
    position = 0
    while (start := header.find("<", position)) >= 0:
        end = header.find(">", start)
        if end < 0:
            return
        target = header[start + 1 : end].strip()
        position = header.find(",", end)
        following = header.find("<", end)
        # A comma may stand inside a quoted title; the next link starts with "<".
        stop = following if following >= 0 else len(header)
        params = {}
        for part in header[end + 1 : stop].split(";"):
            name, equals, value = part.partition("=")
            if equals:
                params[name.strip().lower()] = value.strip(" ,\"'")
        yield target, params
        position = stop
