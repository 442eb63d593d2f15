"""Any REST API: endpoints, pages, credentials and fields are settings, not code.

Answers in JSON, NDJSON, CSV or XML; page, offset, cursor, Link header, next address or
keyset paging (`integrations.pagination`); no credentials, key, basic, bearer or OAuth 2
(client credentials, refresh). Limits: requests per minute and parallel calls of the
integration, and whatever the API says in Retry-After and X-RateLimit headers. The
specification's APIIngestionRule is one endpoint of this (`rest.rules`). Not covered:
OAuth 2 with a browser, exports that must be ordered first and fetched later, writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from typing import Any, ClassVar

import msgspec

from churnguard.errors import ConfigError, RecordError
from churnguard.records import AnyRecord, EventRecord
from integrations.connectors.base import (
    Columns,
    Connector,
    Field,
    JsonDict,
    ReadRequest,
    RowPage,
    Stream,
)
from integrations.connectors.rest import signing
from integrations.connectors.rest.endpoints import (
    Endpoint,
    mapping_of,
    parse_endpoints,
)
from integrations.connectors.rest.form import FIELDS
from integrations.connectors.rest.marks import Marks, edge
from integrations.connectors.rest.paging import Walk
from integrations.http import Client
from integrations.mapping import CompiledMapping, Rule, record_fields
from integrations.pagination import pick

_CHECKED = 5
_FALSE = (None, "", False, 0, "0", "false", "False", "no")


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One object of the source, and our record of it or why there is none."""

    raw: Any
    record: JsonDict | None
    error: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The beginning of an endpoint. fields: names found in the objects; has_more:
    whether another page follows."""

    stream: str
    record_type: str
    rows: list[PreviewRow]
    fields: list[str]
    has_more: bool


class RestConnector(Connector):
    name: ClassVar[str] = "rest"
    label: ClassVar[str] = "REST API"
    category: ClassVar[str] = "Custom"
    integration_type: ClassVar[str] = "custom"
    summary: ClassVar[str] = "Any API that answers in JSON, NDJSON, CSV or XML."
    prepare: ClassVar[str] = (
        "You need the API's address, a key or OAuth client that may read, and its "
        "documentation: where the list is in the answer, how the next page is asked "
        "for, and which field says when an object changed."
    )
    docs: ClassVar[str] = "docs/connectors/rest.md"
    auth: ClassVar[tuple[str, ...]] = (
        "none",
        "api_key",
        "basic_auth",
        "bearer_token",
        "oauth2",
    )
    discover_every_s: ClassVar[float] = 0
    fields: ClassVar[tuple[Field, ...]] = FIELDS

    _http: Client | None = None

    def check(self) -> str:
        """Read the first page of the first endpoints."""
        told = []
        for endpoint in islice(self._endpoints().values(), _CHECKED):
            rows, has_more = self._first_rows(endpoint, self._marks(endpoint), 10)
            told.append(f"{endpoint.name} ({len(rows)}{' or more' * has_more})")
        host = str(self.settings["base_url"]).partition("://")[2].partition("/")[0]
        return f"Connected to {host}: {', '.join(told)} on the first page."

    def discover(self) -> tuple[Stream, ...]:
        return tuple(endpoint.stream for endpoint in self._endpoints().values())

    def preview(self, stream: str = "", limit: int = 20) -> Preview:
        """The first objects of an endpoint ("" = the first one) as they would be
        stored. Reads one page, stores nothing. Raises like `check`."""
        endpoints = self._endpoints()
        endpoint = endpoints.get(stream) if stream else next(iter(endpoints.values()))
        if endpoint is None:
            raise _unknown(stream, endpoints)
        rows, has_more = self._first_rows(endpoint, self._marks(endpoint), limit)
        mapping = mapping_of(endpoint)
        shown = [self._preview_row(endpoint, mapping, raw) for raw in rows]
        names = {name: None for raw in rows if isinstance(raw, dict) for name in raw}
        return Preview(endpoint.name, endpoint.record_type, shown, [*names], has_more)

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[RowPage]:
        endpoint = self._endpoint(stream.name)
        cursor = request.cursor or {}
        is_range = request.since is not None or request.until is not None
        if is_range and endpoint.incremental is None:
            raise ConfigError(
                f"{stream.name} has no field that says when an object changed, so no "
                "range can be read. Set “incremental”, or read in full.",
                code="no_watermark",
            )
        if cursor.get("done"):
            return
        marks = self._marks(endpoint, request)
        mapping = mapping_of(endpoint)
        for rows, place in self._batches(endpoint, marks, request.batch_size, cursor):
            taken = rows if marks.how is None else [*filter(marks.takes, rows)]
            yield RowPage(
                rows=taken,
                cursor=marks.cursor(place),
                make=partial(_record, endpoint, mapping),
                key_of=_id_reader(mapping),
                keys=_keys(mapping, taken),
                recipe=f"{mapping.recipe}\0{endpoint.deleted_field}",
                columns=partial(_columns, endpoint, mapping),
                filtered=len(rows) - len(taken),
            )

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        endpoint = self._endpoint(stream.name)
        id_of, marks = _id_reader(mapping_of(endpoint)), self._marks(endpoint)
        for rows, _place in self._batches(endpoint, marks, 1000, {}):
            yield [
                found
                for raw in rows
                if not _is_deleted(endpoint, raw) and (found := id_of(raw))
            ]

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        endpoint = self._endpoint(stream.name)
        return _record(endpoint, mapping_of(endpoint), raw)

    # --- reading ------------------------------------------------------------------
    def _batches(
        self, endpoint: Endpoint, marks: Marks, size: int, cursor: JsonDict
    ) -> Iterator[tuple[list[Any], JsonDict | None]]:
        """(rows, where the next batch begins; None after the last), at most `size`
        rows at once, from the cursor's place on."""
        walk = self._walk(endpoint, marks.params, size)
        skip = int(cursor.get("skip") or 0)
        if walk.is_streamed:
            objects = islice(walk.stream(), skip, None)
            rows = list(islice(objects, size))
            while following := list(islice(objects, size)):
                skip += len(rows)
                yield rows, {"skip": skip}
                rows = following
            yield rows, None
            return
        position = cursor.get("position")
        for step in walk.steps(position):
            rows = step.items
            while len(rows) - skip > size:
                part, skip = rows[skip : skip + size], skip + size
                yield part, {"position": position, "skip": skip}
            position = step.position
            if isinstance(position, str) and endpoint.pagination.type in (
                "link",
                "next_url",
            ):
                position = signing.without_key(position, self.settings)
            yield rows[skip:], None if position is None else {"position": position}
            skip = 0

    def _first_rows(
        self, endpoint: Endpoint, marks: Marks, limit: int
    ) -> tuple[list[Any], bool]:
        walk = self._walk(endpoint, marks.params, limit)
        if walk.is_streamed:
            objects = walk.stream()
            rows = list(islice(objects, limit))
            return rows, next(objects, None) is not None
        step = next(walk.steps())
        has_more = step.position is not None or len(step.items) > limit
        return step.items[:limit], has_more

    def _preview_row(
        self, endpoint: Endpoint, mapping: CompiledMapping, raw: Any
    ) -> PreviewRow:
        try:
            record = _record(endpoint, mapping, raw)
        except RecordError as exc:
            return PreviewRow(raw, None, exc.message)
        values: JsonDict = msgspec.to_builtins(record)
        hidden = ("raw", "properties") if values.get("raw") else ("raw",)
        shown = {k: v for k, v in values.items() if k not in hidden and v is not None}
        return PreviewRow(raw, shown, "")

    # --- settings -----------------------------------------------------------------
    def _walk(self, endpoint: Endpoint, params: JsonDict, size: int) -> Walk:
        if self._http is None:
            address = str(self.settings.get("base_url") or "")
            if not address:
                raise ConfigError(
                    "Enter the address of the API.", fields={"base_url": "required"}
                )
            self._http = signing.signed(
                self.client.using(base_url=address),
                self.settings,
                self.secrets,
                now=self.now,
                token_store=self.token_store,
            )
        return Walk(self._http, endpoint, params, size)

    def _marks(self, endpoint: Endpoint, request: ReadRequest | None = None) -> Marks:
        if request is None:
            return Marks(endpoint.incremental, now=self.now())
        cursor = request.cursor or {}
        is_range = request.since is not None or request.until is not None
        how = endpoint.incremental
        if how is not None and request.incremental_field:
            how = msgspec.structs.replace(how, field=request.incremental_field)
        since: Any = request.since
        if how is not None and not is_range:
            since = edge(how, cursor.get("watermark"))
        begun = cursor.get("begun_at")
        return Marks(
            how,
            now=datetime.fromisoformat(begun) if begun else self.now(),
            since=since,
            until=request.until,
            watermark=cursor.get("watermark"),
            reached=cursor.get("reached"),
            is_range=is_range,
        )

    def _endpoints(self) -> dict[str, Endpoint]:
        return parse_endpoints(self.settings.get("endpoints"))

    def _endpoint(self, name: str) -> Endpoint:
        endpoints = self._endpoints()
        if name not in endpoints:
            raise _unknown(name, endpoints)
        return endpoints[name]


def _record(endpoint: Endpoint, mapping: CompiledMapping, raw: Any) -> AnyRecord:
    if isinstance(endpoint.primary_key, list):
        for path in endpoint.primary_key:
            if pick(raw, path) in (None, ""):
                raise RecordError(
                    f"The object has no {path}, which is part of its id.",
                    code="missing_id",
                    field=path,
                )
    record = mapping.record(raw)
    if not isinstance(record, EventRecord) and _is_deleted(endpoint, raw):
        return msgspec.structs.replace(record, deleted=True)
    return record


def _columns(
    endpoint: Endpoint, mapping: CompiledMapping, rows: list[Any]
) -> Columns | None:
    if isinstance(endpoint.primary_key, list):
        return None
    if endpoint.deleted_field and any(_is_deleted(endpoint, row) for row in rows):
        return None
    fields = record_fields(mapping, rows)
    return None if fields is None else Columns(mapping.record_type, fields)


def _is_deleted(endpoint: Endpoint, raw: Any) -> bool:
    if not endpoint.deleted_field:
        return False
    return pick(raw, endpoint.deleted_field) not in _FALSE


def _keys(mapping: CompiledMapping, rows: list[Any]) -> list[str] | None:
    """The objects' ids where all are plain text under one name."""
    rule = _id_rule(mapping)
    if rule is None or not rule.name or set(map(type, rows)) != {dict}:
        return None
    found = [row.get(rule.name) for row in rows]
    return found if set(map(type, found)) == {str} else None


def _id_rule(mapping: CompiledMapping) -> Rule | None:
    wanted = ("external_id", "event_id")
    return next((rule for rule in mapping.rules if rule.target in wanted), None)


def _id_reader(mapping: CompiledMapping) -> Callable[[Any], str]:
    """Gives an object's id as its record would have it; "" without one."""
    rule = _id_rule(mapping)

    def read(raw: Any) -> str:
        try:
            found = None if rule is None else rule.pull(raw)
        except (ValueError, TypeError):
            return ""
        return "" if found is None else str(found)

    return read


def _unknown(name: str, endpoints: dict[str, Endpoint]) -> ConfigError:
    return ConfigError(
        f"There is no endpoint “{name}” any more; there are {', '.join(endpoints)}.",
        code="stream_missing",
    )
