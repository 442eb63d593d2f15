"""Answers in JSON, NDJSON, CSV and XML as plain values.

XML is read with expat; a document type is refused, so that no entity is ever expanded
or fetched (billion laughs, external entities).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from typing import Any
from xml.parsers import expat

import msgspec

from churnguard.errors import ConfigError, TransientError
from integrations.http import Reply
from integrations.pagination import pick

ROWS = "rows"
_DEEPEST = 100
_TEXT = "text"


class Decoded(Reply):
    """A reply whose `json()` gives the body as decoded from its own format."""

    __slots__ = ("_body",)

    def __init__(self, reply: Reply, body: Any) -> None:
        super().__init__(reply.status, reply.headers, reply.content, reply.url)
        self._body = body

    def json(self, type: Any = Any) -> Any:
        return self._body


def decode(reply: Reply, response_format: str, *, delimiter: str = ",") -> Decoded:
    """The answer's body: JSON as it is, XML as objects, NDJSON and CSV as
    {"rows": [...]}. Raises TransientError `not_json`, `not_xml`, `not_csv`."""
    if response_format == "json":
        return Decoded(reply, reply.json())
    if response_format == "xml":
        return Decoded(reply, read_xml(reply.content))
    if response_format == "ndjson":
        lines = (line for line in reply.content.split(b"\n") if line.strip())
        return Decoded(reply, {ROWS: list(read_ndjson(lines))})
    text = reply.content.decode("utf-8-sig", "replace")
    return Decoded(
        reply, {ROWS: list(read_csv(io.StringIO(text, newline=""), delimiter))}
    )


def rows_at(body: Any, path: str, *, may_miss: bool) -> list[Any]:
    """The list at data_path; one object (XML with a single element) is a list of it.

    Raises ConfigError `data_path` where nothing is there, unless it may be missing.
    """
    found = pick(body, path)
    if isinstance(found, list):
        return found
    if isinstance(found, dict):
        return [found] if path else _lone(body)
    if found is None and (may_miss or _holds(body, path)):
        return []
    if isinstance(found, str) and not found.strip():
        return []
    names = ", ".join(map(str, body)) if isinstance(body, dict) else "no names"
    raise ConfigError(
        f"There is no list at “{path}” in the answer; it has {names[:300]}.",
        code="data_path",
        fields={"endpoints": f"no list at {path}"},
    )


def read_ndjson(lines: Iterable[bytes]) -> Iterator[Any]:
    """One value per line; a line that is no JSON comes as {"line": its text}, which
    has no id and so ends in quarantine."""
    for line in lines:
        try:
            yield msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            yield {"line": line[:2000].decode("utf-8", "replace")}


def read_csv(text: Iterable[str], delimiter: str) -> Iterator[dict[str, Any]]:
    """Rows as objects of texts; empty cells are None. Cells beyond the header are kept
    under "more"."""
    reader = csv.DictReader(
        text, delimiter=delimiter or ",", restkey="more", strict=True
    )
    try:
        for row in reader:
            yield {name: None if cell == "" else cell for name, cell in row.items()}
    except csv.Error as exc:
        raise TransientError(
            f"The answer is no valid CSV: {exc} (line {reader.line_num}).",
            code="not_csv",
        ) from exc


def as_text(chunks: Iterator[bytes]) -> io.TextIOWrapper:
    """Pieces of a body as a text file, in constant memory."""
    return io.TextIOWrapper(
        io.BufferedReader(_Pieces(chunks), 1 << 16),
        encoding="utf-8-sig",
        errors="replace",
        newline="",
    )


def read_xml(content: bytes) -> Any:
    """{root: value}; an element is its text, or an object of its attributes and
    children (repeated children become a list, text beside them is "text").

    Raises TransientError `not_xml`, ConfigError `unsafe_xml` for a document type.
    """
    builder = _Builder()
    parser = expat.ParserCreate()
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
        self._open.append((dict(attributes), []))

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
