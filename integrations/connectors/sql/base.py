"""Reading tables: what PostgreSQL and MySQL have in common.

A table is a stream; its rows are `object` records keyed by primary key, kept raw, and
become customers, tickets and so on by the stream's mapping. Reads are ordered by
primary key (full) or by watermark and primary key (incremental), so any page's cursor
is true once stored. The first incremental read takes the whole table by primary key
(also rows whose watermark is NULL) and remembers the watermark it began with; later
ones start `lookback_s` before the last one, for transactions that committed late.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from churnguard.errors import ConfigError, RecordError
from churnguard.records import AnyRecord, ObjectRecord
from integrations.connectors.base import (
    AnyPage,
    Columns,
    Connector,
    Field,
    JsonDict,
    Page,
    ReadRequest,
    RowPage,
    Stream,
)
from integrations.connectors.sql.tables import Bound, JsonRows, Table, key_of, keys_of
from integrations.connectors.sql.values import check_socket, host_and_port, shifted
from integrations.netguard import Guard, resolve

WATERMARKS = (
    "updated_at",
    "modified_at",
    "last_modified",
    "last_updated",
    "updated",
    "modified",
    "update_time",
    "updatedat",
)
LOOKBACK_S = 60

COMMON_FIELDS = (
    Field("host", "Host", help="Name or address of the server."),
    Field(
        "port",
        "Port",
        kind="number",
        required=False,
        help="Left empty, the usual one: 5432 for PostgreSQL, 3306 for MySQL.",
    ),
    Field("database", "Database"),
    Field("username", "User", help="A user that may only read."),
    Field("password", "Password", kind="secret", secret=True, required=False),
    Field(
        "statement_timeout_s",
        "Statement time-out, seconds",
        kind="number",
        required=False,
        default=300,
        advanced=True,
    ),
    Field(
        "timezone",
        "Time zone of times without one",
        kind="timezone",
        required=False,
        default="UTC",
        help="IANA name, such as Europe/Berlin.",
    ),
    Field(
        "ca_certificate",
        "CA certificate (PEM)",
        kind="textarea",
        required=False,
        help="Only for a server whose certificate no public authority signed.",
        only_with=("sslmode", ("verify-full", "verify-ca")),
    ),
)


class SqlConnector(Connector):
    """Subclasses open the session, list tables and run the queries."""

    category: ClassVar[str] = "Databases"
    integration_type: ClassVar[str] = "database"
    auth: ClassVar[tuple[str, ...]] = ("basic_auth",)
    default_port: ClassVar[int] = 0

    # --- what a dialect provides --------------------------------------------------
    @abstractmethod
    def whoami(self) -> str:
        """Connect and say to what: "Connected to shop on db.example (MySQL 8.4)"."""

    @abstractmethod
    def tables(self) -> list[Table]:
        """The tables and views this user may read, with columns and keys."""

    @abstractmethod
    def rows(
        self, table: Table, bound: Bound, size: int
    ) -> Iterator[Sequence[JsonDict]]:
        """Rows in `bound.order`, JSON-safe, in lists of at most `size`, in constant
        memory."""

    @abstractmethod
    def newest(self, table: Table, watermark: str) -> Any:
        """The greatest watermark as a JSON-safe value; None for an empty table."""

    @abstractmethod
    def has_offset(self, type_name: str) -> bool:
        """Whether times of this type come with an offset."""

    @abstractmethod
    def count(self, table: Table) -> int | None:
        """About how many rows there are, cheaply; None when unknown."""

    # --- the connector ------------------------------------------------------------
    def check(self) -> str:
        return self.whoami()

    def discover(self) -> tuple[Stream, ...]:
        return tuple(self._stream(table) for table in self.tables())

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[AnyPage]:
        table = self._table(stream)
        watermark = self._watermark(table, stream, request)
        if not table.key:
            yield from self._read_unkeyed(table, request)
        elif request.since is not None or request.until is not None:
            yield from self._read_range(table, watermark, request)
        elif watermark and (request.cursor or {}).get("watermark") is not None:
            yield from self._read_changes(table, watermark, stream, request)
        else:
            yield from self._read_all(table, watermark, request)

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        table = self._table(stream)
        slim = Table(table.schema, table.name, (), table.types, table.key)
        for rows in self.rows(slim, Bound(order=table.key), 5_000):
            yield keys_of(table, rows)

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        return self._record(self._table(stream), stream.cursor_field or "", raw)

    # --- the four ways to read ----------------------------------------------------
    def _read_all(
        self, table: Table, watermark: str, request: ReadRequest
    ) -> Iterator[AnyPage]:
        cursor = request.cursor or {}
        begun = cursor.get("begun_at") if "key" in cursor else None
        if watermark and begun is None and "key" not in cursor:
            begun = self._reached(table, watermark, self.newest(table, watermark))
        after = tuple(cursor["key"]) if cursor.get("key") else None
        total = self.count(table)
        bound = Bound(order=table.key, after=after)
        last: RowPage | None = None
        for rows in self.rows(table, bound, request.batch_size):
            if last is not None:
                yield last
            position = [rows[-1][name] for name in table.key]
            last = self._page(
                table, watermark, rows, {"key": position, "begun_at": begun}, total
            )
        done: JsonDict = {"watermark": begun} if watermark else {}
        if last is None:
            yield Page(records=[], cursor=done, total=total)
        else:
            yield replace(last, cursor=done)

    def _read_changes(
        self, table: Table, watermark: str, stream: Stream, request: ReadRequest
    ) -> Iterator[AnyPage]:
        assert request.cursor is not None
        cursor = request.cursor
        order = (watermark, *(name for name in table.key if name != watermark))
        if cursor.get("after"):
            bound = Bound(
                order=order, after=tuple(cursor["after"]), watermark=watermark
            )
        else:
            least = shifted(cursor["watermark"], stream.lookback_s)
            bound = Bound(order=order, least=least, watermark=watermark)
        reached = cursor["watermark"]
        for rows in self.rows(table, bound, request.batch_size):
            position = [rows[-1][name] for name in order]
            reached = self._reached(table, watermark, position[0])
            yield self._page(
                table,
                watermark,
                rows,
                {"watermark": reached, "after": position},
            )
        # Without "after" the next run looks back from here.
        yield Page(records=[], cursor={"watermark": reached})

    def _read_range(
        self, table: Table, watermark: str, request: ReadRequest
    ) -> Iterator[AnyPage]:
        if not watermark:
            raise ConfigError(
                f"{table.stream} has no column that says when a row changed, so no "
                "range can be read. Choose one as incremental field, or read in full.",
                code="no_watermark",
            )
        order = (watermark, *(name for name in table.key if name != watermark))
        after = (request.cursor or {}).get("range_after")
        bound = Bound(
            order=order,
            after=tuple(after) if after else None,
            least=self._limit(table, watermark, request.since),
            below=self._limit(table, watermark, request.until),
            watermark=watermark,
        )
        for rows in self.rows(table, bound, request.batch_size):
            position = [rows[-1][name] for name in order]
            yield self._page(table, watermark, rows, {"range_after": position})

    def _read_unkeyed(self, table: Table, request: ReadRequest) -> Iterator[AnyPage]:
        for rows in self.rows(table, Bound(order=()), request.batch_size):
            yield self._page(table, "", rows, {})

    # --- rows to records ----------------------------------------------------------
    def _page(
        self,
        table: Table,
        watermark: str,
        rows: Sequence[JsonDict],
        cursor: JsonDict,
        total: int | None = None,
    ) -> RowPage:
        return RowPage(
            rows=rows,
            cursor=cursor,
            make=partial(self._record, table, watermark),
            key_of=partial(key_of, table),
            recipe=f"{table.stream}\0{watermark}\0{self.zone.key}",
            columns=partial(self._columns, table, watermark),
            keys=rows.keys(table) if isinstance(rows, JsonRows) else None,
            texts=list(map(str.encode, rows.texts))
            if isinstance(rows, JsonRows)
            else None,
            total=total,
        )

    def _record(self, table: Table, watermark: str, row: JsonDict) -> ObjectRecord:
        changed_at = self._moment(row.get(watermark)) if watermark else None
        return ObjectRecord(
            external_id=key_of(table, row),
            kind=table.stream,
            updated_at=changed_at,
            occurred_at=changed_at,
            raw=row,
        )

    def _columns(
        self, table: Table, watermark: str, rows: list[JsonDict]
    ) -> Columns | None:
        try:
            fields: dict[str, list[Any]] = {"external_id": keys_of(table, rows)}
        except RecordError:
            return None
        fields["kind"] = [table.stream] * len(rows)
        if watermark:
            changed_at = [self._moment(row.get(watermark)) for row in rows]
            fields["updated_at"] = fields["occurred_at"] = changed_at
        return Columns(ObjectRecord.TYPE, fields)

    def _reached(self, table: Table, watermark: str, value: Any) -> Any:
        """The watermark to go on from: a time to come (infinity, 9999-12-31) counts
        as now, or no later change would ever be found."""
        kind = table.types[watermark]
        if not isinstance(value, str) or not kind.startswith(("date", "timestamp")):
            return value
        now = self._limit(table, watermark, self.now())
        at = self._moment(value)
        if at is None:
            return value if value == "-infinity" or value.endswith("BC") else now
        return now if at > self.now() else value

    def _moment(self, value: Any) -> datetime | None:
        """An aware time of a watermark; None when it is no time (a number)."""
        if not isinstance(value, str):
            return None
        try:
            at = datetime.fromisoformat(value)
        except ValueError:
            return None
        return at if at.tzinfo else at.replace(tzinfo=self.zone).astimezone(UTC)

    def _limit(self, table: Table, watermark: str, at: datetime | None) -> str | None:
        """A range's edge as the column has its times: with offset, or local to the
        configured zone."""
        if at is None:
            return None
        if self.has_offset(table.types[watermark]):
            return at.astimezone(UTC).isoformat()
        return at.astimezone(self.zone).replace(tzinfo=None).isoformat()

    # --- settings -----------------------------------------------------------------
    @property
    def zone(self) -> ZoneInfo:
        name = str(self.settings.get("timezone") or "UTC")
        try:
            return ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError) as exc:
            raise ConfigError(
                f"“{name}” is not a time zone. Use an IANA name such as Europe/Berlin.",
                fields={"timezone": "not a time zone"},
            ) from exc

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) of the server. Raises ConfigError."""
        return host_and_port(self.settings, self.default_port)

    def checked_address(self) -> str:
        """An address of the host (or its unix socket) that connections may use.
        Raises ConfigError."""
        host, port = self.address
        guard = self.client.guard if self.client is not None else Guard()
        if host.startswith("/"):
            check_socket(host, guard)
            return host
        return resolve(host, port, guard=guard)[0]

    def _stream(self, table: Table) -> Stream:
        names = {name.lower(): name for name in table.types}
        found = next((names[name] for name in WATERMARKS if name in names), None)
        return Stream(
            name=table.stream,
            record_type="object",
            cursor_field=found if table.key else None,
            lookback_s=LOOKBACK_S,
            deletes="sweep" if table.key else "full",
            primary_key_unique=bool(table.key),
            selected_by_default=False,
            label=table.stream,
            columns=table.columns,
        )

    def _table(self, stream: Stream) -> Table:
        for table in self.tables():
            if table.stream == stream.name:
                return table
        raise ConfigError(
            f"The table {stream.name} is gone, or this user may not read it any more.",
            code="table_missing",
        )

    def _watermark(self, table: Table, stream: Stream, request: ReadRequest) -> str:
        name = request.incremental_field or stream.cursor_field or ""
        if name and name not in table.types:
            raise ConfigError(
                f"{table.stream} has no column “{name}”. It has "
                f"{', '.join(sorted(table.types))}.",
                code="no_watermark",
                fields={"incremental_field": "no such column"},
            )
        return name
