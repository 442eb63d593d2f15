"""What a connector is: config and cursor in, pages of records out.

A connector knows one provider and no database. It gets an HTTP client (the outbound
door) or opens its own read-only driver connection, yields `Page`s, and raises the
errors of `churnguard.errors`. Everything after a page (validation, upsert, cursor,
ledger, retries across runs) is the engine's work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, ClassVar, Literal

from churnguard.errors import RecordError
from churnguard.records import AnyRecord

Mode = Literal["full", "incremental"]
JsonDict = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """One setting of a connector: the UI form, the API schema and redaction come
    from this list. kind: text, secret, url, number, bool, choice, textarea, json,
    timezone (IANA name), currency (ISO 4217).

    only_with: (field, values) this one means something with; a form hides it beside
    others. advanced: most people never touch it. example: shown while it is empty.
    """

    name: str
    label: str
    kind: str = "text"
    required: bool = True
    secret: bool = False
    default: Any = None
    choices: tuple[tuple[str, str], ...] = ()
    help: str = ""
    only_with: tuple[str, tuple[str, ...]] | None = None
    advanced: bool = False
    example: str = ""


@dataclass(frozen=True, slots=True)
class Column:
    """A field found by discovery. type: string, integer, number, boolean, datetime,
    date, json, array."""

    name: str
    type: str
    label: str = ""
    is_custom: bool = False
    sample: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """One kind of object of a provider.

    record_type: the unified type its records have (`churnguard.records`).
    cursor_field: source field that orders changes; None = full reads only.
    lookback_s: re-read this much before the cursor, for late commits at the source.
    deletes: how deletes are seen: feed (provider lists them), flag (records say so),
    sweep (engine compares id lists from `list_ids`), full (a full read shows what is
    missing), none.
    primary_key_unique: False where a file or table may repeat its key; the engine
    then remembers the keys of the run, and later repeats are duplicates.
    """

    name: str
    record_type: str
    cursor_field: str | None = None
    lookback_s: int = 0
    deletes: Literal["feed", "flag", "sweep", "full", "none"] = "none"
    primary_key_unique: bool = True
    selected_by_default: bool = True
    label: str = ""
    columns: tuple[Column, ...] = ()
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """A record the connector itself could not turn into ours (kept in quarantine)."""

    code: str
    detail: str
    raw: JsonDict
    external_id: str = ""
    field: str = ""

    @classmethod
    def of(cls, error: RecordError, raw: JsonDict, external_id: str = "") -> Reject:
        """What `error` says is wrong with a record."""
        return cls(error.code, error.message, raw, external_id, error.field or "")


@dataclass(frozen=True, slots=True)
class Page:
    """Records and the cursor that is true once they are stored.

    cursor: JSON-safe; the next `read` of this stream starts from it. `deleted_ids`:
    external ids the provider says are gone. `total`: the provider's own count for the
    whole read, where it tells one. `filtered`: source rows dropped by data_filters.
    """

    records: list[AnyRecord]
    cursor: JsonDict
    rejects: list[Reject] = field(default_factory=list)
    deleted_ids: list[str] = field(default_factory=list)
    merged_ids: dict[str, str] = field(default_factory=dict)
    filtered: int = 0
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Records of one type, field by field. fields: name -> a value for each record, as
    its struct would have it (None: none); what is left out has none in any record. The
    `raw` of each record is the row it was made of."""

    record_type: str
    fields: dict[str, list[Any]]


@dataclass(frozen=True)
class RowPage:
    """A page of source rows that become records when they are asked for.

    The engine asks only for those that changed: making a record costs more than
    finding out that its row stands in the table as it came. It can stand wherever a
    `Page` does; then all rows are made records at once.

    make: the record of a row; key_of: the external id its record would have; both raise
    RecordError. keys: those ids, where they are known already. recipe: changes whenever
    `make` would make something else of the same row. columns: makes the same of many
    rows at once, several times as fast, or gives None where one of them has to be
    looked at alone. texts: each row as it came, where an unchanged row always comes in
    the same way; then `rows` may read a row when it is asked for. filtered, total: as
    in `Page`.
    """

    rows: Sequence[Any]
    cursor: JsonDict
    make: Callable[[Any], AnyRecord]
    key_of: Callable[[Any], str]
    recipe: str
    columns: Callable[[list[Any]], Columns | None] | None = None
    keys: list[str] | None = None
    texts: list[bytes] | None = None
    filtered: int = 0
    total: int | None = None
    deleted_ids: list[str] = field(default_factory=list)
    merged_ids: dict[str, str] = field(default_factory=dict)

    @property
    def records(self) -> list[AnyRecord]:
        return self.page.records

    @property
    def rejects(self) -> list[Reject]:
        return self.page.rejects

    @cached_property
    def page(self) -> Page:
        """All rows as records and rejects."""
        page = Page(
            records=[], cursor=self.cursor, filtered=self.filtered, total=self.total
        )
        for row in self.rows:
            try:
                page.records.append(self.make(row))
            except RecordError as exc:
                page.rejects.append(self.reject(exc, row))
        return page

    def ids(self) -> list[str]:
        """The external id of each row; "" where it has none."""
        if self.keys is not None:
            return list(self.keys)
        try:
            return list(map(self.key_of, self.rows))
        except RecordError:
            return [self.id_of(row) for row in self.rows]

    def id_of(self, row: Any) -> str:
        """Its external id; "" where it has none."""
        try:
            return self.key_of(row)
        except RecordError:
            return ""

    def reject(self, error: RecordError, row: Any) -> Reject:
        """A row that `make` could make nothing of."""
        kept = row if isinstance(row, dict) else {"value": row}
        return Reject.of(error, kept, self.id_of(row))


AnyPage = Page | RowPage


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """What to read. cursor: None on the first read, else the last committed one.
    since/until: a back-fill range (aware UTC), else None. filters: data_filters."""

    mode: Mode
    cursor: JsonDict | None = None
    batch_size: int = 1000
    since: datetime | None = None
    until: datetime | None = None
    filters: Mapping[str, Any] = field(default_factory=dict)
    incremental_field: str = ""
    concurrent_requests: int = 1


class Connector:
    """Subclass once per provider; instances are cheap and live for one run.

    settings: the non-secret fields; secrets: the secret ones (already decrypted).
    client: `integrations.http.Client`, the outbound door (None for drivers).
    now: the clock. save_secrets: called by a connector whose token was rotated in a
    way the credentials service does not handle itself; usually unused. token_store:
    an `integrations.tokens.TokenStore` of this connection, for a `TokenKeeper`.
    """

    name: ClassVar[str] = ""
    label: ClassVar[str] = ""
    category: ClassVar[str] = "custom"
    integration_type: ClassVar[str] = "custom"
    summary: ClassVar[str] = ""
    prepare: ClassVar[str] = ""
    docs: ClassVar[str] = ""
    auth: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[tuple[Field, ...]] = ()
    streams: ClassVar[tuple[Stream, ...]] = ()
    discover_every_s: ClassVar[float] = 21_600
    """A run asks `discover` again when the last answer is older."""

    def __init__(
        self,
        *,
        settings: Mapping[str, Any],
        secrets: Mapping[str, Any],
        client: Any = None,
        now: Callable[[], datetime],
        save_secrets: Callable[[Mapping[str, Any]], None] | None = None,
        token_store: Any = None,
    ) -> None:
        self.settings = settings
        self.secrets = secrets
        self.client = client
        self.now = now
        self.save_secrets = save_secrets
        self.token_store = token_store

    @classmethod
    def oauth_app(cls, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> Any:
        """The `integrations.oauth.OAuthApp` behind the "Connect" button; None where a
        person pastes a key."""
        return None

    def check(self) -> str:
        """Say who we are connected as ("Connected to Acme (org 00D..)").

        Raises ConfigError with a sentence a person can act on, TransientError when
        the provider is down.
        """
        raise NotImplementedError

    def discover(self) -> tuple[Stream, ...]:
        """The streams this account offers, with their columns where known."""
        return self.streams

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[AnyPage]:
        """Yield pages in an order that makes each page's cursor true when stored."""
        raise NotImplementedError

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        """All external ids that exist now, for streams with deletes='sweep'."""
        raise NotImplementedError

    def parse(self, stream: Stream, raw: JsonDict) -> AnyRecord:
        """The record of one raw object, for replaying what was quarantined.

        Raises RecordError where the object is still no good.
        """
        raise RecordError(
            f"{self.label} cannot read a single object again; edit the record itself.",
            code="not_replayable",
        )

    def close(self) -> None:
        """Release driver connections; called once, also after errors."""
