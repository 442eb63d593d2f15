"""A connector whose account and faults a test writes down."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import Any, ClassVar

from churnguard.errors import RecordError
from churnguard.records import AnyRecord, ContactRecord, CustomerRecord
from integrations import connectors
from integrations.connectors.base import (
    AnyPage,
    Columns,
    Connector,
    Field,
    Page,
    ReadRequest,
    RowPage,
    Stream,
)

CANARY = "canary-77aa31-secret"


@dataclass
class Account:
    """rows: {stream: [ids]}; before_page: called with (stream, page number, request)
    before each page, to raise faults or change the world; reads: what was asked.
    by_row: pages are `RowPage`s; made: ids of the rows they made records of. lists: how
    often all ids were asked for."""

    streams: tuple[Stream, ...] = (
        Stream("companies", "customer", cursor_field="at"),
        Stream("people", "contact", cursor_field="at"),
    )
    rows: dict[str, list[str]] = field(default_factory=dict)
    raws: dict[str, dict[str, Any]] = field(default_factory=dict)
    deleted: dict[str, list[str]] = field(default_factory=dict)
    before_page: Callable[[str, int, ReadRequest], None] = lambda *_: None
    reads: list[tuple[str, ReadRequest]] = field(default_factory=list)
    totals: bool = True
    by_row: bool = False
    made: list[str] = field(default_factory=list)
    lists: int = 0
    checks: Callable[[], str] = lambda: "Connected to Scripted."


ACCOUNT = Account()


class ScriptedConnector(Connector):
    name: ClassVar[str] = "scripted"
    label: ClassVar[str] = "Scripted"
    discover_every_s: ClassVar[float] = 0
    fields: ClassVar[tuple[Field, ...]] = (
        Field("region", "Region", required=False, choices=(("eu", "EU"), ("us", "US"))),
        Field("api_key", "API key", secret=True, required=False),
    )

    def check(self) -> str:
        return ACCOUNT.checks()

    def discover(self) -> tuple[Stream, ...]:
        return ACCOUNT.streams

    def read(self, stream: Stream, request: ReadRequest) -> Iterator[AnyPage]:
        ACCOUNT.reads.append((stream.name, request))
        start = int((request.cursor or {}).get("seen", 0))
        ids = ACCOUNT.rows.get(stream.name, [])
        gone = ACCOUNT.deleted.get(stream.name, [])
        size = request.batch_size
        number = start // size
        while start < len(ids) or gone:
            ACCOUNT.before_page(stream.name, number, request)
            some = ids[start : start + size]
            start += len(some)
            number += 1
            raws = [self._raw(each) for each in some]
            if ACCOUNT.by_row:
                yield RowPage(
                    rows=raws,
                    cursor={"seen": start},
                    make=partial(self._made, stream),
                    key_of=itemgetter("id"),
                    recipe="scripted",
                    columns=self._columns if stream.record_type == "contact" else None,
                )
            else:
                yield Page(
                    records=[self.parse(stream, raw) for raw in raws],
                    cursor={"seen": start},
                    deleted_ids=gone if start >= len(ids) else [],
                    total=len(ids) if ACCOUNT.totals else None,
                )
            if start >= len(ids):
                return

    def list_ids(self, stream: Stream) -> Iterator[list[str]]:
        ACCOUNT.lists += 1
        ids = ACCOUNT.rows.get(stream.name, [])
        for start in range(0, len(ids), 2):
            yield ids[start : start + 2]

    def parse(self, stream: Stream, raw: dict[str, Any]) -> AnyRecord:
        if stream.record_type == "contact":
            return ContactRecord(
                external_id=raw["id"], name=raw.get("name"), raw=raw, customer_id="c1"
            )
        return CustomerRecord(
            external_id=raw["id"],
            name=raw.get("name"),
            seats=raw.get("seats"),
            raw=raw,
        )

    def _made(self, stream: Stream, raw: dict[str, Any]) -> AnyRecord:
        ACCOUNT.made.append(raw["id"])
        if raw.get("seats") == "many":
            raise RecordError("seats: “many” is not a number.", field="seats")
        return self.parse(stream, raw)

    def _columns(self, raws: list[dict[str, Any]]) -> Columns:
        """As `parse` makes contacts."""
        fields = {
            "external_id": [raw["id"] for raw in raws],
            "name": [raw.get("name") for raw in raws],
            "customer_id": ["c1" for _ in raws],
        }
        return Columns("contact", fields)

    def _raw(self, own_id: str) -> dict[str, Any]:
        return ACCOUNT.raws.get(own_id) or {"id": own_id, "name": f"Name {own_id}"}


def install() -> None:
    """Make the connector known under its name."""
    connectors.REGISTRY["scripted"] = f"{__name__}:ScriptedConnector"


def ids(count: int, prefix: str = "c") -> list[str]:
    """c1, c2, .."""
    return [f"{prefix}{number}" for number in range(1, count + 1)]
