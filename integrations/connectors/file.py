"""Files: CSV, NDJSON and JSON, plain, gzip or zstd, uploaded or in a folder.

One stream per file, named after it. What the columns mean is guessed from the header
and a sample, shown before the first run, and can be changed; the choice is kept in the
setting `layouts`. An unchanged file is not read again unless a full sync is asked for;
a file that only grew is read from where it ended.

Limits: spreadsheets (xlsx) are not read; save them as CSV. A row's id decides whether
it is new, so files without an id column are fit for events only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from itertools import islice
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from churnguard.errors import ConfigError, RecordError
from churnguard.records import AnyRecord
from integrations.connectors.base import (
    Column,
    Connector,
    Field,
    JsonDict,
    Page,
    ReadRequest,
    Reject,
    Stream,
)
from integrations.mapping import compile_entity_mappings
from integrations.tabular import reading
from integrations.tabular.folder import Table, list_tables
from integrations.tabular.layout import (
    SAMPLE_ROWS,
    Layout,
    guess_mapping,
    parse_layout,
    with_link,
)
from integrations.tabular.records import Lookup, RowReader

_ORDER = ("customer", "contact", "subscription")


class FileConnector(Connector):
    name: ClassVar[str] = "file"
    label: ClassVar[str] = "Files"
    category: ClassVar[str] = "files"
    integration_type: ClassVar[str] = "file"
    summary: ClassVar[str] = "CSV, NDJSON and JSON exports, uploaded or from a folder."
    prepare: ClassVar[str] = (
        "A file per kind of object, with a header line. Customers, subscriptions, "
        "tickets and other objects need a column with an id; usage events need a time."
    )
    docs: ClassVar[str] = "docs/connectors/file.md"
    auth: ClassVar[tuple[str, ...]] = ("none",)
    discover_every_s: ClassVar[float] = 0
    fields: ClassVar[tuple[Field, ...]] = (
        Field(
            "path",
            "Folder",
            required=False,
            help="A folder under FILE_SOURCE_ROOTS; empty means uploads only.",
        ),
        Field(
            "pattern",
            "File names",
            required=False,
            default="*",
            help="Which files of the folder, e.g. export_*.csv.gz",
        ),
        Field(
            "currency",
            "Currency",
            kind="currency",
            required=False,
            default="USD",
            help="Of amounts whose file does not say (ISO 4217).",
        ),
        Field(
            "timezone",
            "Time zone",
            kind="timezone",
            required=False,
            default="UTC",
            help="Of times without a zone, e.g. Europe/Berlin.",
        ),
        Field(
            "missing_rows",
            "Rows missing from a newer file",
            kind="choice",
            required=False,
            default="keep",
            choices=(("keep", "are kept"), ("delete", "are deleted")),
            help="Choose “deleted” where each file is always the complete list.",
        ),
        Field(
            "layouts",
            "Column mapping",
            kind="json",
            required=False,
            help="Per file: record type and what each column means.",
        ),
    )

    _layouts: dict[str, Layout] | None = None

    def check(self) -> str:
        """Say which files there are."""
        self._zone()
        tables = self._tables()
        if not tables:
            raise ConfigError(
                "There are no files yet. Upload one, or choose a folder that holds "
                "CSV, NDJSON or JSON files.",
                code="no_files",
            )
        size = sum(table.path.stat().st_size for table in tables)
        names = ", ".join(table.path.name for table in tables[:5])
        more = f" and {len(tables) - 5} more" if len(tables) > 5 else ""
        plural = "file" if len(tables) == 1 else "files"
        return f"{len(tables)} {plural}, {size / 1e6:.1f} MB: {names}{more}."

    def discover(self) -> tuple[Stream, ...]:
        layouts = self.layouts()
        ordered = sorted(
            layouts.items(), key=lambda item: (_rank(item[1].record_type), item[0])
        )
        return tuple(self._stream(name, layout) for name, layout in ordered)

    def layouts(self) -> dict[str, Layout]:
        """The layout of every file: the one that was chosen, else a guess."""
        if self._layouts is None:
            self._layouts = self._make_layouts()
        return self._layouts

    def _make_layouts(self) -> dict[str, Layout]:
        chosen = self.settings.get("layouts") or {}
        found: dict[str, Layout] = {}
        for table in self._tables():
            if table.stream in chosen:
                found[table.stream] = parse_layout(chosen[table.stream])
                continue
            record_type = self._wanted_type(table.stream)
            found[table.stream] = self._guess(table, record_type)
        return {name: with_link(layout, found) for name, layout in found.items()}

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[Page]:
        table = self._table(stream.name)
        before = request.cursor or {}
        identity = reading.identify(table.path)
        start = _start_row(table, before, identity)
        if start is None:
            return
        layouts = self.layouts()
        layout = layouts[stream.name]
        rows = RowReader(layout, stream=stream.name, zone=self._zone())
        lookup = self._lookup(layout, layouts)
        total = reading.count_rows(table.path)
        number = start
        try:
            with closing(reading.rows(table.path, skip=start)) as found:
                while batch := list(islice(found, request.batch_size)):
                    number = batch[-1].number
                    page = self._page(batch, rows, lookup, request)
                    cursor = _cursor(identity, number, False)
                    yield Page(cursor=cursor, total=total, **page)
        finally:
            if lookup is not None:
                lookup.close()
        done = _cursor(identity, number, True)
        yield Page(records=[], cursor=done, total=number)

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        layout = self.layouts()[stream.name]
        with closing(reading.rows(self._table(stream.name).path)) as found:
            while batch := list(islice(found, 5000)):
                ids = (str(row.values.get(layout.id_column) or "") for row in batch)
                yield [each.strip() for each in ids if each.strip()]

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        layouts = self.layouts()
        layout = layouts.get(stream.name)
        if layout is None:
            raise RecordError("This file is not here any more.", code="no_such_file")
        rows = RowReader(layout, stream=stream.name, zone=self._zone())
        values = {k: v for k, v in raw.items() if not k.startswith("_line")}
        lookup = self._lookup(layout, layouts)
        try:
            record = _record(
                reading.Row(1, int(raw.get("_line", 0)), values), rows, lookup
            )
        finally:
            if lookup is not None:
                lookup.close()
        if isinstance(record, Reject):
            raise RecordError(record.detail, code=record.code, field=record.field)
        return record

    def _page(
        self,
        batch: list[reading.Row],
        rows: RowReader,
        lookup: Lookup | None,
        request: ReadRequest,
    ) -> dict[str, Any]:
        known: dict[str, str] = {}
        link = rows.layout.link
        if lookup is not None and link is not None:
            ids = {str(row.values.get(link.column) or "").strip() for row in batch}
            known = lookup.find(sorted(ids))
        records: list[AnyRecord] = []
        rejects: list[Reject] = []
        filtered = 0
        for row in batch:
            made = _record(row, rows, known if lookup is not None else None)
            if isinstance(made, Reject):
                rejects.append(made)
            elif _in_range(made, request):
                records.append(made)
            else:
                filtered += 1
        return {"records": records, "rejects": rejects, "filtered": filtered}

    def _lookup(self, layout: Layout, layouts: Mapping[str, Layout]) -> Lookup | None:
        """The customers of the linked file, read once per read of this one."""
        link = layout.link
        if link is None or link.stream not in layouts:
            return None
        other = layouts[link.stream]
        column = other.customer_column or other.id_column
        lookup = Lookup()
        with closing(reading.rows(self._table(link.stream).path)) as found:
            lookup.fill(
                (str(row.values[other.id_column]), str(row.values[column]))
                for row in found
                if not row.error
                and row.values.get(other.id_column)
                and row.values.get(column)
            )
        return lookup

    def _wanted_type(self, stream: str) -> str:
        """What entity_mappings says of a file; empty where it says nothing."""
        for pair in (self.settings.get("entity_mappings") or {}).items():
            try:
                return compile_entity_mappings(dict([pair]), [stream])[stream]
            except ConfigError:
                continue
        return ""

    def _guess(self, table: Table, record_type: str) -> Layout:
        with closing(reading.rows(table.path)) as found:
            sample = [row for row in islice(found, SAMPLE_ROWS) if not row.error]
        headers: dict[str, None] = {}
        for row in sample:
            headers.update(dict.fromkeys(row.values))
        return guess_mapping(
            list(headers),
            [row.values for row in sample],
            name=table.stream,
            record_type=record_type,
            currency=str(self.settings.get("currency") or "USD").upper(),
        )

    def _stream(self, name: str, layout: Layout) -> Stream:
        deletes = self.settings.get("missing_rows") == "delete"
        return Stream(
            name=name,
            record_type=layout.record_type,
            cursor_field="position in the file",
            deletes="full" if deletes and layout.record_type != "event" else "none",
            primary_key_unique=False,
            label=name.replace("_", " ").capitalize(),
            columns=tuple(
                Column(
                    name=use.column,
                    type=use.kind.type,
                    label=use.field,
                    is_custom=not use.field,
                    sample=use.samples[0] if use.samples else "",
                )
                for use in layout.columns
            ),
            depends_on=(layout.link.stream,) if layout.link else (),
        )

    def _table(self, stream: str) -> Table:
        for table in self._tables():
            if table.stream == stream:
                return table
        raise ConfigError(
            f"The file of “{stream}” is not here any more. Upload it again, or take "
            "the stream out of the sync.",
            code="no_such_file",
        )

    def _tables(self) -> list[Table]:
        tables = list_tables(self.settings)
        gone = [table.path.name for table in tables if not table.path.is_file()]
        if gone:
            raise ConfigError(
                f"{', '.join(gone[:5])} cannot be found any more. Upload it again, or "
                "remove it from this integration.",
                code="file_missing",
            )
        return tables

    def _zone(self) -> str:
        name = str(self.settings.get("timezone") or "UTC")
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ConfigError(
                f"“{name}” is no time zone; use a name such as Europe/Berlin.",
                code="invalid_timezone",
                fields={"timezone": "unknown"},
            ) from exc
        return name


def _record(
    row: reading.Row, rows: RowReader, known: Mapping[str, str] | Lookup | None
) -> AnyRecord | Reject:
    if row.error:
        return _reject(row, rows, "broken_row", row.error, "")
    customer: str | None = rows.customer_of(row.values) or None
    link = rows.layout.link
    if link is not None and known is not None:
        other = str(row.values.get(link.column) or "").strip()
        found = known.find([other]) if isinstance(known, Lookup) else known
        customer = found.get(other)
        if customer is None:
            detail = f"“{other}” is not in {link.stream}, so the customer is unknown."
            return _reject(row, rows, "unknown_reference", detail, link.column)
    try:
        return rows.record(row.values, customer)
    except RecordError as exc:
        return _reject(row, rows, exc.code, exc.message, exc.field or "")


def _reject(
    row: reading.Row, rows: RowReader, code: str, detail: str, field: str
) -> Reject:
    own_id = row.values.get(rows.layout.id_column) if rows.layout.id_column else ""
    return Reject(
        code=code,
        detail=f"Line {row.line}: {detail}",
        raw={**row.values, "_line": row.line},
        external_id=str(own_id or "").strip()[:255],
        field=field,
    )


def _in_range(record: AnyRecord, request: ReadRequest) -> bool:
    """Whether a record lies in the back-fill range; one without a time does."""
    if request.since is None and request.until is None:
        return True
    at = getattr(record, "timestamp", None) or getattr(record, "updated_at", None)
    for name in ("opened_at", "issued_at", "started_at", "occurred_at", "signup_at"):
        at = at or getattr(record, name, None)
    if at is None:
        return True
    if request.since is not None and at < request.since:
        return False
    return request.until is None or at < request.until


def _start_row(
    table: Table, before: JsonDict, identity: reading.Identity
) -> int | None:
    """How many rows are known already; None when the whole file is."""
    if not before:
        return 0
    if before.get("digest") == identity.digest:
        return None if before["done"] else int(before["row"])
    size = int(before.get("size", 0))
    if 0 < size < identity.size:
        head = reading.identify(table.path, only=size)
        if head.digest == before.get("digest"):
            return int(before["row"])
    return 0


def _cursor(identity: reading.Identity, row: int, done: bool) -> JsonDict:
    return {**identity.as_json(), "row": row, "done": done}


def _rank(record_type: str) -> int:
    return _ORDER.index(record_type) if record_type in _ORDER else len(_ORDER)
