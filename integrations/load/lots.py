"""What goes into the writer and what comes back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from churnguard.records import Record
from integrations.load.events import PreparedEvent

encode_json = msgspec.json.Encoder(order="deterministic").encode
"""JSON as it is stored and hashed: the same for the same value."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that goes to quarantine. raw: JSON-safe, as it came."""

    record_type: str
    external_id: str
    code: str
    detail: str
    raw: Any
    field: str = ""


@dataclass(frozen=True, slots=True)
class ItemError:
    """Why `items[index]` went to quarantine."""

    index: int
    code: str
    detail: str


class Sent(NamedTuple):
    """An object as its source sent it. text: it as JSON; content: signed 64-bit hash
    of it and of how a record is made of it."""

    row: Any
    text: bytes
    content: int


@dataclass(frozen=True, slots=True)
class Block:
    """Live records of one type, field by field: checked, in shape, each id once, and
    none of them stored so far (`load.NotNewError` where one is after all).

    ids: as stored. contents: as `Sent.content`. raws, customs: JSON; no customs: every
    one is empty. fields: name -> a value for each record; those left out are empty.
    """

    record_type: str
    ids: list[str]
    contents: list[int]
    raws: list[bytes]
    customs: list[bytes] | None
    fields: dict[str, list[Any]]

    @property
    def customer_ids(self) -> list[str | None]:
        """Whose each record is, by the id inside the source."""
        return self.fields.get("customer_id") or [None] * len(self.ids)


class NotNewError(Exception):
    """A record of a block was stored meanwhile; nothing is stored of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lot:
    """What becomes one ledger line; the arguments of `write`."""

    org_id: int
    source_id: int
    origin: str
    items: Sequence[Any]
    received_at: datetime
    rejects: Sequence[Any] = ()
    record_type: str = ""
    run_id: int | None = None
    stream: str = ""
    page: int = 0
    filtered: int = 0
    deleted_ids: Sequence[str] = ()
    revived_ids: Sequence[str] = ()
    nbytes: int = 0
    remember_keys: bool = False
    rows: Sequence[Sent] = ()
    unchanged: int = 0
    stored: Mapping[str, int | None] | None = None
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """The ledger line, and which items were refused or known already.

    fetched = inserted + updated + unchanged + duplicate + quarantined + filtered.
    deleted counts tombstones set. repeats: indexes of the duplicate items, ascending.
    events: usage events among the inserted.
    """

    batch_id: int
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    quarantined: int
    filtered: int
    deleted: int
    events: int
    errors: tuple[ItemError, ...]
    repeats: tuple[int, ...]


@dataclass(slots=True)
class Tally:
    """A lot being written: its sorted items and the counts so far."""

    lot: Lot
    batch_id: int = 0
    entities: dict[str, list[Entry]] = field(default_factory=dict)
    events: list[tuple[int, PreparedEvent]] = field(default_factory=list)
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    revived: int = 0
    stored_events: int = 0
    newest_at: datetime | None = None
    repeats: list[int] = field(default_factory=list)
    errors: list[ItemError] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    """Ids of the source identities whose customers have to be scored again."""

    def refuse(self, index: int, refusal: Refusal) -> None:
        """Send items[index] to quarantine."""
        self.refusals.append(refusal)
        self.errors.append(ItemError(index, refusal.code, refusal.detail))

    def seen(self, moment: datetime | None) -> None:
        """Take a source time into account for the lag."""
        if moment is not None and (self.newest_at is None or moment > self.newest_at):
            self.newest_at = moment

    def result(self) -> LoadResult:
        lot = self.lot
        return LoadResult(
            batch_id=self.batch_id,
            fetched=len(lot.items)
            + len(lot.rejects)
            + lot.filtered
            + lot.unchanged
            + (len(lot.block.ids) if lot.block else 0)
            + self.revived,
            inserted=self.inserted,
            updated=self.updated + self.revived,
            unchanged=self.unchanged + lot.unchanged,
            duplicate=len(self.repeats),
            quarantined=len(self.errors) + len(lot.rejects),
            filtered=lot.filtered,
            deleted=self.deleted,
            events=self.stored_events,
            errors=tuple(sorted(self.errors, key=lambda error: error.index)),
            repeats=tuple(sorted(self.repeats)),
        )


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One entity of a lot. custom, raw: these fields as JSON; content: signed 64-bit
    hash of everything the record says."""

    index: int
    record: Record
    stored_id: str
    custom: bytes
    raw: bytes
    content: int
