"""The one writer of the unified model.

Sync pages, ingest requests, webhooks, files and replays all end here. The writer runs
inside the caller's transaction: records, ledger line and quarantine commit together or
not at all. Tables are written in one order and rows in key order, so that writers
running side by side seldom deadlock; where they do, the caller tries again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from psycopg import Cursor

from churnguard.records import EventRecord
from churnguard.resolve import resolve_customers
from integrations.load import (
    customers,
    deletes,
    entities,
    events,
    ledger,
    quarantine,
    subscriptions,
    wire,
)
from integrations.load.customers import KnownCustomers, Refs
from integrations.load.events import PreparedEvent
from integrations.load.lots import (
    Block,
    Entry,
    LoadResult,
    Lot,
    Refusal,
    Sent,
    Tally,
)
from integrations.load.sorting import choose_newest, drop_repeats, sort_items
from integrations.quality import AHEAD, EARLIEST_EVENT

_SOURCE_ID = "SELECT id FROM cg_source WHERE organization_id = %s AND name = %s"


def write(
    cur_or_conn: Any,
    *,
    org_id: int,
    source_id: int,
    origin: str,
    items: Sequence[Any],
    received_at: datetime,
    rejects: Sequence[Any] = (),
    record_type: str = "",
    run_id: int | None = None,
    stream: str = "",
    page: int = 0,
    filtered: int = 0,
    deleted_ids: Sequence[str] = (),
    revived_ids: Sequence[str] = (),
    nbytes: int = 0,
    remember_keys: bool = False,
    rows: Sequence[Sent] = (),
    unchanged: int = 0,
    stored: Mapping[str, int | None] | None = None,
    block: Block | None = None,
    known: KnownCustomers | None = None,
) -> LoadResult:
    """Validate and store one page or request; returns its ledger line.

    cur_or_conn: psycopg connection or cursor, or Django's; the caller owns the
    transaction. items: structs of `churnguard.records`, types mixed. rejects: what
    could not even be made a record (`connectors.base.Reject`). deleted_ids: stored ids
    of `record_type` (else of the type of the items) that the source says are gone;
    revived_ids: that it has although their rows are dead, counted as updated.
    remember_keys: the source may repeat a key within run `run_id`. received_at: aware.
    rows: what the items were made of, one each, or none. unchanged: records that are
    stored as they came and not among the items. stored: `entities.stored_contents` of
    the items, where it was asked for already; it need not be of this transaction.
    block: new records beside the items, under other ids than those. known: told of the
    end of the transaction by the caller.
    Raises psycopg errors and NotNewError (the records of the block are then to be given
    as items); everything of this call is then to be rolled back.
    """
    lot = Lot(
        org_id=org_id,
        source_id=source_id,
        origin=origin,
        items=items,
        received_at=received_at,
        rejects=rejects,
        record_type=record_type,
        run_id=run_id,
        stream=stream,
        page=page,
        filtered=filtered,
        deleted_ids=deleted_ids,
        revived_ids=revived_ids,
        nbytes=nbytes,
        remember_keys=remember_keys,
        rows=rows,
        unchanged=unchanged,
        stored=stored,
        block=block,
    )
    (result,) = write_lots(cur_or_conn, [lot], known=known)
    return result


def write_lots(
    cur_or_conn: Any, lots: Sequence[Lot], *, known: KnownCustomers | None = None
) -> list[LoadResult]:
    """`write` for several lots in one transaction: one ledger line each, in order."""
    cur = wire.open_cursor(cur_or_conn)
    now = max(lot.received_at for lot in lots)
    tallies = [Tally(lot) for lot in lots]
    for tally in tallies:
        sort_items(tally)
        tally.refusals += [
            quarantine.refusal_of(reject, _type_of(tally.lot))
            for reject in tally.lot.rejects
        ]
    events.require_months(
        cur, [event.ts for tally in tallies for _index, event in tally.events]
    )
    # The rows of events name their ledger line.
    ledger.number(cur, [tally for tally in tallies if tally.events])
    refs: Refs = {}
    for tally in sorted(tallies, key=lambda each: each.lot.source_id):
        refs |= _write_entities(cur, tally, known)
    _write_events(cur, tallies, refs)
    touched = {ref for tally in tallies for ref in tally.touched}
    customers.mark_stale(cur, touched, now)
    ledger.number(
        cur, [tally for tally in tallies if tally.refusals and not tally.batch_id]
    )
    quarantine.store(cur, tallies, now)
    return [ledger.keep_line(cur, tally) for tally in tallies]


def source_id(cur_or_conn: Any, *, org_id: int, name: str, kind: str = "ingest") -> int:
    """The id of a source of an organisation, made on first use."""
    cur = wire.open_cursor(cur_or_conn)
    cur.execute(_SOURCE_ID, [org_id, name])
    row = cur.fetchone()
    if row is None:
        cur.execute(
            "INSERT INTO cg_source (organization_id, name, kind, first_seen_at) "
            "VALUES (%s, %s, %s, now()) ON CONFLICT DO NOTHING RETURNING id",
            [org_id, name, kind],
        )
        row = cur.fetchone()
    if row is None:
        cur.execute(_SOURCE_ID, [org_id, name])
        row = cur.fetchone()
    assert row is not None
    return int(row[0])


def prepare(cur_or_conn: Any, items: Sequence[Any]) -> None:
    """Make the month partitions that the events among `items` need.

    Call it on an autocommit connection before the transaction that writes them; then
    that transaction holds no lock on the partition list. Optional, idempotent.
    """
    prepared = [item for item in items if type(item) is PreparedEvent]
    if prepared:
        # These have been checked; the earliest and the latest say it all, mostly.
        at = attrgetter("micros")
        first, last = min(prepared, key=at), max(prepared, key=at)
        if not events.is_known_span(first.ts, last.ts):
            events.prepare_months(
                wire.open_cursor(cur_or_conn), [event.ts for event in prepared]
            )
    if len(prepared) == len(items):
        return
    latest = datetime.now(UTC) + AHEAD
    times = [
        item.timestamp
        for item in items
        if isinstance(item, EventRecord)
        and item.timestamp.tzinfo is not None
        and EARLIEST_EVENT <= item.timestamp <= latest
    ]
    if times:
        events.prepare_months(wire.open_cursor(cur_or_conn), times)


def _type_of(lot: Lot) -> str:
    if lot.record_type:
        return lot.record_type
    return getattr(lot.items[0], "TYPE", "event") if lot.items else "unknown"


def _write_entities(cur: Cursor, tally: Tally, known: KnownCustomers | None) -> Refs:
    lot = tally.lot
    drop_repeats(cur, tally)
    wanted = {event.customer_id for _i, event in tally.events if event.customer_id}
    for entries in tally.entities.values():
        wanted |= {ref for e in entries if (ref := entities.ref_of(e.record))}
    if lot.block:
        wanted |= {each for each in lot.block.customer_ids if each}
    refs = customers.find_or_create(
        cur,
        org_id=lot.org_id,
        source_id=lot.source_id,
        external_ids=wanted,
        now=lot.received_at,
        known=known,
    )
    for record_type in entities.TABLES:
        if found := tally.entities.get(record_type):
            _write_type(cur, tally, record_type, found, refs)
        if lot.block and lot.block.record_type == record_type:
            _write_block(cur, tally, lot.block, refs)
    where: dict[str, Any] = {
        "org_id": lot.org_id,
        "source_id": lot.source_id,
        "record_type": _type_of(lot),
        "at": lot.received_at,
    }
    buried = deletes.mark_ids(cur, alive=False, external_ids=lot.deleted_ids, **where)
    revived = deletes.mark_ids(cur, alive=True, external_ids=lot.revived_ids, **where)
    tally.deleted += len(buried)
    tally.revived += len(revived)
    tally.touched |= {ref for ref in (*buried, *revived) if ref}
    return refs


def _write_type(
    cur: Cursor, tally: Tally, record_type: str, entries: list[Entry], refs: Refs
) -> None:
    lot = tally.lot
    live = [entry for entry in entries if not entry.record.deleted]
    gone = [entry for entry in entries if entry.record.deleted]
    written = entities.upsert(
        cur,
        record_type,
        choose_newest(live, lot.received_at),
        org_id=lot.org_id,
        source_id=lot.source_id,
        refs=refs,
        received_at=lot.received_at,
        stored=lot.stored if record_type == lot.record_type else None,
    )
    buried = entities.bury(
        cur,
        record_type,
        choose_newest(gone, lot.received_at),
        org_id=lot.org_id,
        source_id=lot.source_id,
        refs=refs,
        received_at=lot.received_at,
    )
    if record_type == "subscription" and live:
        changed = {change.stored_id for change in written}
        subscriptions.record_changes(
            cur,
            [e for e in live if e.stored_id in changed or e.record.updated_at],
            org_id=lot.org_id,
            source_id=lot.source_id,
            received_at=lot.received_at,
        )
    new = sum(change.is_new for change in (*written, *buried))
    tally.inserted += new
    tally.updated += len(written) + len(buried) - new
    tally.unchanged += len(entries) - len(written) - len(buried)
    tally.deleted += len(buried)
    tally.touched |= entities.refs_of(written) | entities.refs_of(buried)
    if record_type == "customer":
        _resolve(cur, [change.ref for change in written if change.ref], lot.received_at)


def _write_block(cur: Cursor, tally: Tally, block: Block, refs: Refs) -> None:
    lot = tally.lot
    tally.touched |= entities.insert(
        cur,
        block,
        org_id=lot.org_id,
        source_id=lot.source_id,
        refs=refs,
        received_at=lot.received_at,
    )
    tally.inserted += len(block.ids)
    tally.seen(max(filter(None, block.fields.get("updated_at", ())), default=None))


def _resolve(cur: Cursor, refs: list[int], now: datetime) -> None:
    if refs:
        cur.execute(
            "SELECT customer_id FROM cg_customer_source WHERE id = ANY(%s)", [refs]
        )
        resolve_customers(cur, [row[0] for row in cur.fetchall()], now)


def _write_events(cur: Cursor, tallies: list[Tally], refs: Refs) -> None:
    first: dict[bytes, events.Row] = {}
    for nr, tally in enumerate(tallies):
        source = tally.lot.source_id
        for index, event in tally.events:
            key = events.key_of(source, event.event_id)
            row = events.Row(nr, index, key, event)
            before = first.setdefault(key, row)
            if before is row:
                continue
            if events.same_content(before.event, event):
                tally.repeats.append(index)
            else:
                _refuse_event(tally, row)
    if not first:
        return
    rows = list(first.values())
    new, encoded = events.claim_keys(cur, first, lambda: _encode(tallies, rows, refs))
    if len(new) < len(rows):
        _sort_known(cur, tallies, [row for row in rows if row.key not in new], refs)
        encoded = [
            each for row, each in zip(rows, encoded, strict=True) if row.key in new
        ]
        rows = [row for row in rows if row.key in new]
    for row in rows:
        tally = tallies[row.lot]
        tally.inserted += 1
        tally.stored_events += 1
        tally.seen(row.event.ts)
    if rows:
        events.copy_rows(cur, encoded)


def _encode(tallies: list[Tally], rows: list[events.Row], refs: Refs) -> list[bytes]:
    """The rows for COPY, in the same order. rows: those of a lot side by side."""
    encoded: list[bytes] = []
    for nr, group in groupby(rows, key=attrgetter("lot")):
        tally, members = tallies[nr], list(group)
        line = events.Line(
            tally.lot.org_id,
            tally.lot.source_id,
            tally.batch_id,
            wire.micros(tally.lot.received_at),
        )
        encoded += events.encode_rows(
            [row.key for row in members], [row.event for row in members], line, refs
        )
    return encoded


def _sort_known(
    cur: Cursor, tallies: list[Tally], known: list[events.Row], refs: Refs
) -> None:
    sources = [tally.lot.source_id for tally in tallies]
    repeats, conflicts = events.split_known(cur, known, refs, sources)
    for row in repeats:
        tallies[row.lot].repeats.append(row.index)
    for row in conflicts:
        _refuse_event(tallies[row.lot], row)


def _refuse_event(tally: Tally, row: events.Row) -> None:
    tally.refuse(
        row.index,
        Refusal(
            record_type="event",
            external_id=row.event.event_id,
            code="event_id_conflict",
            detail=f"Event id “{row.event.event_id}” is stored with other content.",
            raw=events.as_json(row.event),
            field="event_id",
        ),
    )
