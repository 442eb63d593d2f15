"""What the files of an integration hold: guessed or chosen, shown, edited in a form.

Form fields of the n-th file: stream-n, was-n (its record type when shown), type-n,
id-n, customer-n (a column, or "column > file" for one found through another file),
event-n, currency-n, and per column m: field-n-m, kind-n-m.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec
from django.http import QueryDict

from churnguard.errors import ConfigError
from churnguard.records import RECORD_TYPES
from integrations import connecting
from integrations.models import Integration
from integrations.tabular import reading
from integrations.tabular.cells import Kind
from integrations.tabular.folder import Table, list_tables
from integrations.tabular.layout import (
    SAMPLE_ROWS,
    ColumnUse,
    Layout,
    Link,
    guess_mapping,
    parse_layout,
    with_link,
)

KINDS: dict[str, tuple[str, Kind]] = {
    "string": ("Text", Kind()),
    "integer": ("Whole number", Kind("integer")),
    "number": ("Number, 1,234.5", Kind("number", decimal=".")),
    "number_comma": ("Number, 1.234,5", Kind("number", decimal=",")),
    "boolean": ("Yes or no", Kind("boolean")),
    "iso": ("Time, 2026-11-20 15:40", Kind("datetime", order="iso")),
    "date_iso": ("Date, 2026-11-20", Kind("date", order="iso")),
    "dmy": ("Date, day first", Kind("date", order="dmy")),
    "mdy": ("Date, month first", Kind("date", order="mdy")),
    "ymd": ("Date, 2026/11/20", Kind("date", order="ymd")),
    "time_dmy": ("Time, day first", Kind("datetime", order="dmy")),
    "time_mdy": ("Time, month first", Kind("datetime", order="mdy")),
    "words": ("Date, 20 Nov 2026", Kind("date", order="words")),
    "epoch_s": ("Time, seconds since 1970", Kind("datetime", order="epoch_s")),
    "epoch_ms": ("Time, ms since 1970", Kind("datetime", order="epoch_ms")),
    "json": ("JSON", Kind("json")),
}
_NOT_OFFERED = frozenset(
    {
        "external_id",
        "event_id",
        "customer_id",
        "custom",
        "raw",
        "deleted",
        "version",
        "links",
        "lines",
        "properties",
    }
)
_THROUGH = " > "
SHOWN_ROWS = 5


@dataclass(slots=True)
class FileView:
    """One file for the page. error: why it cannot be read (then nothing else)."""

    stream: str
    name: str
    layout: Layout | None = None
    error: str = ""
    headers: list[str] = field(default_factory=list)
    sample: list[dict[str, Any]] = field(default_factory=list)
    broken: list[reading.Row] = field(default_factory=list)
    was_guessed: bool = False

    @property
    def rows(self) -> list[list[str]]:
        """The first rows as cells, in the order of the header."""
        return [
            [_cell(row.get(header)) for header in self.headers]
            for row in self.sample[:SHOWN_ROWS]
        ]

    @property
    def customer(self) -> str:
        """The value of customer-n that stands for the layout."""
        assert self.layout is not None
        link = self.layout.link
        if link is not None:
            return f"{link.column}{_THROUGH}{link.stream}"
        return self.layout.customer_column

    @property
    def fields(self) -> list[str]:
        """The unified fields a column may fill."""
        assert self.layout is not None
        used = {use.field for use in self.layout.columns if use.field}
        offered = [
            name
            for name in RECORD_TYPES[self.layout.record_type].__struct_fields__
            if name not in _NOT_OFFERED or name in used
        ]
        return sorted(offered)

    @property
    def columns(self) -> list[tuple[ColumnUse, str]]:
        """(column, key of KINDS)."""
        assert self.layout is not None
        return [(use, kind_key(use.kind)) for use in self.layout.columns]


def load(integration: Integration) -> list[FileView]:
    """Every file of the integration with the layout in force, chosen or guessed.
    Raises ConfigError when the folder may not be read."""
    settings = connecting.connector_settings(integration)
    chosen = settings.get("layouts") or {}
    found = [_view(table, chosen, settings) for table in list_tables(settings)]
    known = {view.stream: view.layout for view in found if view.layout}
    for view in found:
        if view.layout is not None and view.was_guessed:
            view.layout = with_link(view.layout, known)
    order = [RANK.index(v.layout.record_type) if v.layout else -1 for v in found]
    return [view for _rank, view in sorted(zip(order, found, strict=True), key=_first)]


RANK = tuple(sorted(RECORD_TYPES, key=lambda name: (name != "customer", name)))


def take(views: list[FileView], data: QueryDict) -> list[str]:
    """Put what the form says into the views. Returns the names of the files whose
    columns were guessed anew, because their record type was changed.

    Raises ConfigError for a layout that cannot be used.
    """
    guessed: list[str] = []
    places = {data.get(f"stream-{n}"): n for n in range(len(views))}
    for view in views:
        n = places.get(view.stream)
        if view.layout is None or n is None:
            continue
        record_type = data.get(f"type-{n}", "")
        if record_type not in RECORD_TYPES:
            raise ConfigError(f"“{record_type}” is no record type.")
        if record_type != data.get(f"was-{n}"):
            view.layout = guess_mapping(
                view.headers,
                view.sample,
                name=view.stream,
                record_type=record_type,
                currency=view.layout.currency,
            )
            guessed.append(view.name)
        else:
            view.layout = _from_form(view.layout, n, data)
    known = {view.stream: view.layout for view in views if view.layout}
    for view in views:
        if view.layout is not None and view.name in guessed:
            view.layout = with_link(view.layout, known)
    return guessed


def as_setting(views: list[FileView]) -> dict[str, Any]:
    """The setting `layouts`: one per readable file, checked. Raises ConfigError."""
    made = {
        view.stream: msgspec.to_builtins(view.layout) for view in views if view.layout
    }
    for layout in made.values():
        parse_layout(layout)
    return made


def kind_key(kind: Kind) -> str:
    """The key of KINDS that reads like this kind."""
    for key, (_label, known) in KINDS.items():
        same_order = (known.order or "iso") == (kind.order or "iso")
        same_mark = (known.decimal or ".") == (kind.decimal or ".")
        if known.type == kind.type and same_order and same_mark:
            return key
    return "string"


def customer_choices(view: FileView, views: list[FileView]) -> list[tuple[str, str]]:
    """(value, label) for customer-n: none, a column, or a column that leads to another
    file which knows the customer."""
    choices = [("", "No customer in these rows")]
    choices += [(header, header) for header in view.headers]
    for other in views:
        known = other.layout
        if other is view or known is None or not known.id_column:
            continue
        if known.record_type == "customer" or known.customer_column:
            choices += [
                (
                    f"{header}{_THROUGH}{other.stream}",
                    f"{header}, through {other.stream}",
                )
                for header in view.headers
            ]
    return choices


def _view(
    table: Table, chosen: Mapping[str, Any], settings: Mapping[str, Any]
) -> FileView:
    view = FileView(stream=table.stream, name=table.path.name)
    try:
        rows = list(islice(reading.rows(table.path), SAMPLE_ROWS))
    except ConfigError as exc:
        view.error = exc.message
        return view
    view.sample = [row.values for row in rows if not row.error]
    view.broken = [row for row in rows if row.error]
    headers: dict[str, None] = {}
    for values in view.sample:
        headers.update(dict.fromkeys(values))
    view.headers = list(headers)
    if not view.headers:
        view.error = "There are no rows in this file."
    elif table.stream in chosen:
        view.layout = _with_new_columns(parse_layout(chosen[table.stream]), view)
    else:
        view.was_guessed = True
        view.layout = guess_mapping(
            view.headers,
            view.sample,
            name=table.stream,
            currency=str(settings.get("currency") or "USD").upper(),
        )
    return view


def _with_new_columns(layout: Layout, view: FileView) -> Layout:
    """A chosen layout with the columns that a newer file has beside."""
    known = {use.column for use in layout.columns}
    new = [header for header in view.headers if header not in known]
    if not new:
        return layout
    guessed = guess_mapping(new, view.sample, record_type=layout.record_type)
    extra = tuple(msgspec.structs.replace(u, field="") for u in guessed.columns)
    return msgspec.structs.replace(layout, columns=layout.columns + extra)


def _from_form(layout: Layout, n: int, data: QueryDict) -> Layout:
    uses = []
    for m, use in enumerate(layout.columns):
        wanted = data.get(f"field-{n}-{m}", use.field)
        key = data.get(f"kind-{n}-{m}", "")
        kind = (
            use.kind if key == kind_key(use.kind) else KINDS.get(key, ("", use.kind))[1]
        )
        is_same = wanted == use.field
        uses.append(
            ColumnUse(
                column=use.column,
                kind=kind,
                field=wanted,
                scale=use.scale if is_same else None,
                after=use.after if is_same else "",
                samples=use.samples,
            )
        )
    column, through, stream = data.get(f"customer-{n}", "").partition(_THROUGH)
    return msgspec.structs.replace(
        layout,
        columns=tuple(uses),
        id_column=data.get(f"id-{n}", ""),
        customer_column="" if through else column,
        link=Link(column=column, stream=stream) if through else None,
        event_name=data.get(f"event-{n}", layout.event_name).strip(),
        currency=data.get(f"currency-{n}", layout.currency).strip().upper()[:3],
    )


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _first(pair: tuple[int, FileView]) -> int:
    return pair[0]
