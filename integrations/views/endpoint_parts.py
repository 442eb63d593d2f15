"""The fields that describe one endpoint of a REST API, and where their values go."""

from __future__ import annotations

from dataclasses import dataclass

from churnguard.records import RECORD_TYPES

_PAGED = ("page", "offset", "cursor", "link", "next_url", "keyset")
_BY_PARAM = ("page", "offset", "cursor", "keyset")
_PAGES = (
    ("none", "All in one answer"),
    ("page", "By page number"),
    ("offset", "By rows to skip"),
    ("cursor", "By a cursor in the answer"),
    ("link", "By the Link header"),
    ("next_url", "By an address in the answer"),
    ("keyset", "By the last key seen"),
)
_CLOCKS = (
    ("iso", "2026-01-31T12:00:00Z"),
    ("date", "2026-01-31"),
    ("unix", "Seconds since 1970"),
    ("unix_ms", "Milliseconds since 1970"),
    ("number", "A number that only grows"),
)
_KINDS = tuple((name, name.replace("_", " ").capitalize()) for name in RECORD_TYPES)


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a set. path: where its value is in an endpoint. choices: (value,
    label), the default first. pages: the kinds of paging it means something with."""

    name: str
    path: tuple[str, ...]
    label: str
    help: str = ""
    example: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    pages: tuple[str, ...] = ()
    is_folded: bool = False


PARTS = (
    Part("name", ("name",), "Name", "Of this kind of data.", "people"),
    Part(
        "path",
        ("endpoint_url",),
        "Path",
        "Under the address of the API, or a whole address.",
        "/people",
    ),
    Part(
        "becomes",
        ("record_type",),
        "Becomes",
        choices=tuple(sorted(_KINDS, key=lambda kind: kind[0] != "object")),
    ),
    Part(
        "list",
        ("data_path",),
        "Where the list is",
        "In the answer, with dots. Empty = the answer is the list.",
        "data.items",
    ),
    Part(
        "id",
        ("primary_key",),
        "Field of the id",
        "Several separated by commas. Empty = id.",
        "id",
    ),
    Part("pages", ("pagination", "type"), "Pages", choices=_PAGES),
    Part(
        "param",
        ("pagination", "param"),
        "Parameter of the page",
        "In the request.",
        "page",
        pages=_BY_PARAM,
    ),
    Part(
        "cursor",
        ("pagination", "cursor_path"),
        "Where the next cursor is",
        "In the answer, with dots.",
        "paging.after",
        pages=("cursor",),
    ),
    Part(
        "next",
        ("pagination", "next_path"),
        "Where the next address is",
        "In the answer, with dots.",
        "links.next",
        pages=("next_url",),
    ),
    Part(
        "key",
        ("pagination", "key"),
        "Field the rows are sorted by",
        example="id",
        pages=("keyset",),
    ),
    Part(
        "size_param",
        ("pagination", "size_param"),
        "Parameter of the page size",
        example="limit",
        pages=_PAGED,
    ),
    Part(
        "size",
        ("pagination", "page_size"),
        "Rows a page",
        "The most the API gives.",
        "100",
        pages=_PAGED,
    ),
    Part(
        "changed",
        ("incremental", "field"),
        "Field that says when it changed",
        "Empty = everything is read each time.",
        "updated_at",
    ),
    Part(
        "since",
        ("incremental", "param"),
        "Parameter that asks for changes",
        "Empty = what is unchanged is left out here.",
        "updated_since",
    ),
    Part("clock", ("incremental", "format"), "Its time is written as", choices=_CLOCKS),
    Part(
        "method",
        ("http_method",),
        "Asked with",
        choices=(("GET", "GET"), ("POST", "POST")),
        is_folded=True,
    ),
    Part(
        "format",
        ("response_format",),
        "Answers in",
        choices=(
            ("json", "JSON"),
            ("ndjson", "NDJSON"),
            ("csv", "CSV"),
            ("xml", "XML"),
        ),
        is_folded=True,
    ),
)
