"""Usage events: stored once for ever, whatever repeats them.

The key of an event is a hash of its source and its id; `cg_event_key` holds every key
ever stored. New keys go in first (in key order, so that writers cannot deadlock), then
the events of those keys are copied straight into the month partitions.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

import msgspec
from psycopg import Cursor
from psycopg.pq import TransactionStatus

from churnguard import partitions
from churnguard.records import EventRecord
from integrations.load import wire
from integrations.quality import MOST_ID

_INSERT_KEYS = (
    "INSERT INTO cg_event_key (key, content) SELECT * FROM unnest(%b, %b) "
    "ON CONFLICT DO NOTHING RETURNING key"
)
_STORED_CONTENT = (
    "SELECT key::text, content FROM cg_event_key WHERE key = ANY(%b)"  # by primary key
)
_SAME_AS_STORED = (
    "SELECT count(*) FROM cg_usage_event WHERE event_key = %s AND ts = %s "
    "AND customer_source_id IS NOT DISTINCT FROM %s AND name = %s AND user_key = %s "
    "AND value IS NOT DISTINCT FROM %s AND properties = %s::jsonb"
)
COPY = (
    "COPY cg_usage_event (event_key, organization_id, source_id, batch_id, "
    "received_at, ts, customer_source_id, value, name, event_id, user_key, properties) "
    "FROM STDIN (FORMAT BINARY)"
)
_ROW = b"\0\x0c\0\0\0\x10"
"""12 columns, the first of them 16 bytes long."""
_LINE = struct.Struct(">iqiqiqiq")
_FIXED = struct.Struct(">iqiq")
_ANONYMOUS = struct.Struct(">iqi")
_FLOAT = struct.Struct(">id")
_PROPERTIES = struct.Struct(">iB")
_SIZES = [number.to_bytes(4, "big") for number in range(4 * MOST_ID + 1)]
T = TypeVar("T")
_NULL = b"\xff\xff\xff\xff"

_encoder = msgspec.json.Encoder(order="deterministic")


class PreparedEvent(msgspec.Struct, gc=False):
    """An event as the writer takes it.

    micros: `ts` in PostgreSQL's microseconds. properties: JSON text of an object.
    content: 8-byte hash of everything the sender sent (not of the arrival time where
    no timestamp was sent). has_own_time: whether the sender gave `ts`.
    """

    event_id: str
    name: str
    ts: datetime
    micros: int
    customer_id: str | None
    user_id: str
    value: float | None
    properties: bytes
    content: bytes
    has_own_time: bool = True


def prepare(record: EventRecord) -> PreparedEvent:
    """A connector's event as the writer takes it."""
    properties = _encoder.encode(record.properties)
    ts = record.timestamp.astimezone(UTC)
    micros = wire.micros(ts)
    return PreparedEvent(
        record.event_id,
        record.event,
        ts,
        micros,
        record.customer_id,
        record.user_id or "",
        record.value,
        properties,
        content_of(
            record.event,
            record.customer_id,
            record.user_id,
            micros,
            record.value,
            properties,
        ),
    )


def content_of(
    name: str,
    customer_id: str | None,
    user_id: str | None,
    micros: int | None,
    value: float | None,
    properties: bytes,
) -> bytes:
    """8-byte hash that tells a repeated event from another one with the same id.

    micros: of the time that the sender gave, if any.
    """
    at = "" if micros is None else micros
    head = f"{name}\0{customer_id}\0{user_id}\0{at}\0{value}\0"
    try:
        text = head.encode()
    except UnicodeEncodeError:
        text = head.encode("utf-8", "surrogatepass")
    return blake2b(text + properties, digest_size=8).digest()


def key_of(source_id: int, event_id: str) -> bytes:
    """The 16-byte dedupe key."""
    return blake2b(f"{source_id}:{event_id}".encode(), digest_size=16).digest()


def as_json(event: PreparedEvent) -> dict[str, Any]:
    """The event as the ingest API would accept it again, for quarantine."""
    out: dict[str, Any] = {
        "type": "event",
        "event_id": event.event_id,
        "event": event.name,
        "properties": _parsed(event.properties),
    }
    if event.customer_id is not None:
        out["customer_id"] = event.customer_id
    if event.user_id:
        out["user_id"] = event.user_id
    if event.value is not None:
        out["value"] = event.value
    if event.has_own_time:
        out["timestamp"] = event.ts.isoformat()
    return out


def months_of(times: Iterable[datetime]) -> set[date]:
    """First days of the months (UTC) the times fall in. times: aware, UTC or not."""
    found = {
        at.year * 12 + at.month - 1
        for at in (t if t.tzinfo is UTC else t.astimezone(UTC) for t in times)
    }
    return {date(number // 12, number % 12 + 1, 1) for number in found}


_known_months: set[date] = set()
# Partitions that were there, committed, when this process last looked.


def forget_months() -> None:
    """Look again: a partition was dropped under us."""
    _known_months.clear()


def prepare_months(cur: Cursor, times: Collection[datetime]) -> None:
    """Make missing partitions in a short transaction of its own.

    cur: on a connection in autocommit mode. Inside a transaction the partitions are
    made as part of it and not taken as known, since it may be rolled back.
    """
    if _are_known(times):
        return
    status = cur.connection.info.transaction_status
    with cur.connection.transaction():
        partitions.create_months(cur, months_of(times))
    if status == TransactionStatus.IDLE:
        _known_months.update(partitions.list_months(cur))


def require_months(cur: Cursor, times: Collection[datetime]) -> None:
    """Make what `prepare_months` has not made, inside the caller's transaction."""
    if not _are_known(times):
        partitions.create_months(cur, months_of(times))


def is_known_span(first: datetime, last: datetime) -> bool:
    """Whether every month from `first` to `last` is known to have its partition."""
    first, last = first.astimezone(UTC), last.astimezone(UTC)
    month, end = partitions.month_of(first.date()), last.date()
    while month <= end:
        if month not in _known_months:
            return False
        month = partitions.next_month(month)
    return True


def _are_known(times: Collection[datetime]) -> bool:
    return (
        not times
        or is_known_span(min(times), max(times))
        or months_of(times) <= _known_months
    )


class Row(msgspec.Struct, gc=False):
    """An event on its way into the table. lot: index of its lot; index: of its item."""

    lot: int
    index: int
    key: bytes
    event: PreparedEvent


def claim_keys(
    cur: Cursor, rows: Mapping[bytes, Row], meanwhile: Callable[[], T]
) -> tuple[set[bytes], T]:
    """Store the keys; (those that were new, what `meanwhile` returned).

    rows: by key, each key once. meanwhile: runs while the database works.
    """
    keys = sorted(rows)
    contents = wire.int8_array([rows[key].event.content for key in keys])
    with cur.connection.pipeline() as pipeline:
        cur.execute(_INSERT_KEYS, [wire.uuid_array(keys), contents], binary=True)
        pipeline.sync()
        done = meanwhile()
    found = cur.pgresult
    assert found is not None
    if found.ntuples == len(keys):
        return set(keys), done
    return {found.get_value(i, 0) or b"" for i in range(found.ntuples)}, done


def split_known(
    cur: Cursor, known: list[Row], refs: Mapping[tuple[int, str], int], source_ids: Any
) -> tuple[list[Row], list[Row]]:
    """(repeats, conflicts) of rows whose key was stored before.

    A repeat has the content of the stored event; JSON that only differs in spacing or
    in the order of keys is the same content.
    """
    cur.execute(_STORED_CONTENT, [wire.uuid_array([row.key for row in known])])
    stored = {bytes.fromhex(text.replace("-", "")): n for text, n in cur.fetchall()}
    repeats: list[Row] = []
    conflicts: list[Row] = []
    for row in known:
        content = int.from_bytes(row.event.content, "big", signed=True)
        if stored.get(row.key) == content:
            repeats.append(row)
            continue
        event = row.event
        ref = refs.get((source_ids[row.lot], event.customer_id or ""))
        cur.execute(
            _SAME_AS_STORED,
            [
                row.key.hex(),
                event.ts,
                ref,
                event.name,
                event.user_id,
                event.value,
                event.properties.decode(),
            ],
        )
        same = cur.fetchone() != (0,)
        (repeats if same else conflicts).append(row)
    return repeats, conflicts


def same_content(one: PreparedEvent, other: PreparedEvent) -> bool:
    """Whether two events with one id say the same."""
    if one.content == other.content:
        return True
    return (
        one.name == other.name
        and one.customer_id == other.customer_id
        and one.user_id == other.user_id
        and one.value == other.value
        and (one.ts == other.ts or not (one.has_own_time or other.has_own_time))
        and _parsed(one.properties) == _parsed(other.properties)
    )


def copy_rows(cur: Cursor, rows: Iterable[bytes]) -> None:
    """Copy encoded rows into the event table."""
    with cur.copy(COPY) as copy:
        for chunk in wire.chunks(rows):
            copy.write(chunk)


def _parsed(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        # A number that no float holds; compared and kept as text.
        return text.decode()


class Line(NamedTuple):
    """What the rows of one ledger line share. received: PostgreSQL's microseconds."""

    org_id: int
    source_id: int
    batch_id: int
    received: int


def encode_rows(
    keys: Iterable[bytes],
    events: Iterable[PreparedEvent],
    line: Line,
    refs: Mapping[tuple[int, str], int],
) -> list[bytes]:
    """The events of one line as `COPY` takes them; keys: of each event.

    refs: (source id, customer_id) -> id of the CustomerSource.
    """
    source_id = line.source_id
    same = _LINE.pack(8, line.org_id, 8, source_id, 8, line.batch_id, 8, line.received)
    fixed, anonymous, sizes, join = _FIXED.pack, _ANONYMOUS.pack, _SIZES, b"".join
    names: dict[str, bytes] = {}
    found: dict[str | None, int] = {}
    out = []
    for key, event in zip(keys, events, strict=True):
        customer = event.customer_id
        if customer is None:
            times = anonymous(8, event.micros, -1)
        else:
            ref = found.get(customer)
            if ref is None:
                ref = found[customer] = refs[source_id, customer]
            times = fixed(8, event.micros, 8, ref)
        name = names.get(event.name)
        if name is None:
            text = event.name.encode()
            name = names[event.name] = sizes[len(text)] + text
        event_id = event.event_id.encode()
        user = event.user_id.encode()
        properties = event.properties
        out.append(
            join(
                (
                    _ROW,
                    key,
                    same,
                    times,
                    _NULL if event.value is None else _FLOAT.pack(8, event.value),
                    name,
                    sizes[len(event_id)],
                    event_id,
                    sizes[len(user)],
                    user,
                    _PROPERTIES.pack(len(properties) + 1, 1),
                    properties,
                )
            )
        )
    return out
