"""Answers in JSON, NDJSON, CSV and XML as plain values.

CSV without a byte order mark is in the charset the answer names, else UTF-8; bytes that
are none are read as Windows-1252, which is what most such exports are. XML is read with
expat; a document type is refused, so that no entity is ever expanded or fetched
(billion laughs, external entities).
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any
from xml.parsers import expat

import msgspec

from churnguard.errors import ConfigError, TransientError
from integrations.http import Reply
from integrations.http.json_text import decode_text, encoding_of
from integrations.pagination import pick

ACCEPTED = {
    "json": "application/json",
    "ndjson": "application/x-ndjson, application/jsonl",
    "csv": "text/csv",
    "xml": "application/xml, text/xml",
}
"""Format -> media types to ask for."""
ROWS = "rows"
_DEEPEST = 100
_TEXT = "text"
_ENCODING = b"encoding="
_MOST_CELL_CHARS = 1_000_000
_ODD_BYTES = "windows-1252-bytes"


class Decoded(Reply):
    """A reply whose `json()` gives the body as decoded from its own format."""

    __slots__ = ("_body",)

    def __init__(self, reply: Reply, body: Any) -> None:
        super().__init__(reply.status, reply.headers, reply.content, reply.url)
        self._body = body

    def json(self, type: Any = Any) -> Any:
        return self._body


def _odd_byte(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    odd = error.object[error.start : error.end]
    return odd.decode("cp1252", "replace"), error.end


codecs.register_error(_ODD_BYTES, _odd_byte)
# For the whole process, as long as a cell with a JSON document may be.
csv.field_size_limit(_MOST_CELL_CHARS)


def decode(reply: Reply, response_format: str, *, delimiter: str = ",") -> Decoded:
    """The answer's body: JSON as it is, XML as objects, NDJSON and CSV as
    {"rows": [...]}; None for an answer without content. Raises TransientError
    `not_json`, `not_xml`, `not_csv`."""
    if reply.status == 204:
        return Decoded(reply, None)
    if response_format == "json":
        return Decoded(reply, reply.json())
    if response_format == "xml":
        return Decoded(reply, read_xml(reply.content, reply.charset))
    if response_format == "ndjson":
        lines = (line for line in reply.content.split(b"\n") if line.strip())
        return Decoded(reply, {ROWS: list(read_ndjson(lines))})
    text = as_text(iter([reply.content]), reply.charset)
    return Decoded(reply, {ROWS: list(read_csv(text, delimiter))})


def rows_at(body: Any, path: str, *, may_miss: bool) -> list[Any]:
    """The list at data_path; one object (XML with a single element) is a list of it,
    no content or null an empty one.

    Raises ConfigError `data_path` where nothing is there, unless it may be missing.
    """
    found = pick(body, path)
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [found] if path else _lone(body)
    if found is None and (body is None or may_miss or _holds(body, path)):
        return []
    if isinstance(found, str) and not found.strip():
        return []
    names = ", ".join(map(str, body)) if isinstance(body, dict) else "no names"
    raise ConfigError(
        f"There is no list at “{path}” in the answer; it has {names[:300]}.",
        code="data_path",
        fields={"endpoints": f"no list at {path}"},
    )


def is_empty_element(body: Any, path: str) -> bool:
    """Whether XML has an element on the way to the list with nothing inside, or with
    attributes and texts alone: how XML writes an empty list."""
    *way, _last = path.split(".")
    here = body
    for name in way:
        if not isinstance(here, dict) or name not in here:
            return False
        here = here[name]
        if here is None:
            return True
    return bool(way) and not any(isinstance(v, (dict, list)) for v in here.values())


def read_ndjson(lines: Iterable[bytes]) -> Iterator[Any]:
    """One value per line; a line that is no JSON comes as {"line": its text}, which
    has no id and so ends in quarantine."""
    for line in lines:
        try:
            yield decode_text(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield {"line": line[:2000].decode("utf-8", "replace")}


def read_csv(text: Iterable[str], delimiter: str) -> Iterator[dict[str, Any]]:
    """Rows as objects of texts; empty cells are None. Cells beyond the header are kept
    under "more"."""
    reader = csv.DictReader(text, delimiter=delimiter, restkey="more", strict=True)
    try:
        for row in reader:
            yield {name: None if cell == "" else cell for name, cell in row.items()}
    except csv.Error as exc:
        raise TransientError(
            f"The answer is no valid CSV: {exc} (line {reader.line_num}).",
            code="not_csv",
        ) from exc


def as_text(chunks: Iterator[bytes], charset: str = "") -> io.TextIOWrapper:
    """Pieces of a body as a text file, in constant memory. charset: what the sender
    says; a byte order mark outdoes it."""
    first = next(chunks, b"")
    encoding = encoding_of(first, charset)
    return io.TextIOWrapper(
        io.BufferedReader(_Pieces(chain([first], chunks)), 1 << 16),
        encoding=encoding,
        errors=_ODD_BYTES if encoding in ("utf-8", "utf-8-sig") else "replace",
        newline="",
    )


def read_xml(content: bytes, charset: str = "") -> Any:
    """{root: value}; an element is its text, or an object of its attributes and
    children (repeated children become a list, text beside them is "text"). Names keep
    their prefix; declarations of namespaces are left out, nil="true" is null.

    charset: what the sender says, for XML that names none itself. Raises
    TransientError `not_xml`, ConfigError `unsafe_xml` for a document type.
    """
    builder = _Builder()
    is_told = encoding_of(content) != "utf-8" or _ENCODING in content[:200]
    parser = expat.ParserCreate(None if is_told else charset or None)
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    try:
        parser.Parse(content, True)
    except expat.ExpatError as exc:
        raise TransientError(
            f"XML was expected, but the answer is no valid XML: {exc}.", code="not_xml"
        ) from exc
    return builder.root


class _Builder:
    """Collects elements into objects."""

    def __init__(self) -> None:
        self.root: dict[str, Any] = {}
        self._open: list[tuple[dict[str, Any], list[str]]] = [(self.root, [])]

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if len(self._open) > _DEEPEST:
            raise ConfigError(
                f"The XML is nested deeper than {_DEEPEST} levels.", code="unsafe_xml"
            )
        self._open.append((_kept(attributes), []))

    def text(self, data: str) -> None:
        self._open[-1][1].append(data)

    def end(self, name: str) -> None:
        values, pieces = self._open.pop()
        text = "".join(pieces).strip()
        value: Any = values
        if not values:
            value = text or None
        elif text:
            values[_TEXT] = text
        parent = self._open[-1][0]
        if name not in parent:
            parent[name] = value
        elif isinstance(parent[name], list):
            parent[name].append(value)
        else:
            parent[name] = [parent[name], value]


def _kept(attributes: dict[str, str]) -> dict[str, Any]:
    """The attributes that say something of the element: none where it is nil."""
    kept: dict[str, Any] = {}
    for name, value in attributes.items():
        prefix, _, own = name.rpartition(":")
        if own == "nil":
            if value in ("true", "1"):
                return {}
        elif "xmlns" not in (prefix, own):
            kept[name] = value
    return kept


class _Pieces(io.RawIOBase):
    """An iterator of bytes as a readable file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = memoryview(chunk)
        size = min(len(buffer), len(self._rest))
        buffer[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


def _refuse_doctype(*_args: Any) -> None:
    raise ConfigError(
        "The XML declares a document type, which could make it expand without end; "
        "such answers are not read.",
        code="unsafe_xml",
    )


def _lone(body: dict[str, Any]) -> list[Any]:
    """An answer that is one object and no list: its only list, or itself."""
    lists = [value for value in body.values() if isinstance(value, list)]
    return lists[0] if len(lists) == 1 and len(body) == 1 else [body]


def _holds(body: Any, path: str) -> bool:
    """Whether the last name of the path is there, with null as its value."""
    head, _, last = path.rpartition(".")
    parent = pick(body, head) if head else body
    return isinstance(parent, dict) and last in parent
