"""Sorting the items of a lot: usable or not, which table, which of several versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import blake2b
from operator import attrgetter

import msgspec
from psycopg import Cursor

from churnguard.records import ENTITY_TYPES, EventRecord, ObjectRecord, Record
from integrations import quality
from integrations.load import deletes
from integrations.load.events import PreparedEvent, prepare
from integrations.load.lots import Entry, Refusal, Sent, Tally, encode_json

_VALUES = {
    kind: attrgetter(*(n for n in cls.__struct_fields__ if n not in ("custom", "raw")))
    for kind, cls in ENTITY_TYPES.items()
}
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_LOWEST = -(2**63)


def sort_items(tally: Tally) -> None:
    """Fill tally.entities and tally.events; what cannot be used is refused."""
    received_at, rows = tally.lot.received_at, tally.lot.rows
    for index, item in enumerate(tally.lot.items):
        if isinstance(item, PreparedEvent):
            tally.events.append((index, item))
        elif isinstance(item, EventRecord):
            _sort_event(tally, index, item)
        else:
            sent = rows[index] if rows else None
            _sort_entity(tally, index, item, received_at, sent)


def _sort_event(tally: Tally, index: int, record: EventRecord) -> None:
    problem = quality.check_event(record, now=tally.lot.received_at)
    event = None
    if problem is None:
        try:
            event = prepare(record)
            if has_nul(event.properties):
                problem = quality.Reject(
                    "bad_text", "properties", "properties contain a NUL character."
                )
        except (TypeError, ValueError, OverflowError, RecursionError) as exc:
            problem = _not_json("properties", exc)
    if problem is not None or event is None:
        assert problem is not None
        tally.refuse(index, _refusal(record, record.event_id, problem))
        return
    tally.events.append((index, event))


def _sort_entity(
    tally: Tally, index: int, record: Record, received_at: datetime, sent: Sent | None
) -> None:
    checked = quality.validate(record, now=received_at)
    if isinstance(checked, quality.Reject):
        tally.refuse(index, _refusal(record, record.external_id, checked))
        return
    entry = _entry(index, checked, sent)
    if isinstance(entry, quality.Reject):
        tally.refuse(index, _refusal(record, record.external_id, entry))
        return
    tally.entities.setdefault(record.TYPE, []).append(entry)
    tally.seen(record.updated_at)


def _entry(index: int, record: Record, sent: Sent | None) -> Entry | quality.Reject:
    stored = stored_id(record)
    if len(stored) > quality.MOST_ID:
        return quality.Reject("id_too_long", "kind", "kind and id are too long.")
    if sent is not None and record.raw is not sent.row:
        sent = None
    try:
        custom = encode_json(record.custom)
        raw = sent.text if sent else encode_json(record.raw)
        own = b"" if sent else encode_json(_VALUES[record.TYPE](record))
    except (TypeError, ValueError, OverflowError, RecursionError) as exc:
        return _not_json("custom", exc)
    if has_nul(own) or has_nul(custom) or has_nul(raw):
        return quality.Reject("bad_text", "custom", "A text has a NUL character.")
    content = sent.content if sent else _content_of(own, custom, raw)
    return Entry(index, record, stored, custom, raw, content)


def _content_of(*parts: bytes) -> int:
    digest = blake2b(digest_size=8)
    for part in parts:
        digest.update(part)
    return int.from_bytes(digest.digest(), "big", signed=True)


def has_nul(encoded: bytes) -> bool:
    """Whether JSON holds the escape of a NUL character, which PostgreSQL refuses."""
    # Nearly none does, and looking for the plain bytes first is fifty times quicker.
    return b"\\u0000" in encoded and _NUL.search(encoded) is not None


def stored_id(record: Record) -> str:
    """external_id as the table holds it: of an object, "<kind>:<id>"."""
    if isinstance(record, ObjectRecord):
        return object_id(record.kind, record.external_id)
    return record.external_id


def object_id(kind: str, external_id: str) -> str:
    """The id under which an object of that kind is stored."""
    return f"{kind}:{external_id}"


def drop_repeats(cur: Cursor, tally: Tally) -> None:
    """Take out what the run (remember_keys) or this lot has had already.

    Identical content is a duplicate. Under remember_keys other content under the same
    key goes to quarantine, unless it is a newer version.
    """
    for record_type, entries in tally.entities.items():
        kept = entries if _is_unique(entries) else _drop_within_lot(tally, entries)
        if tally.lot.remember_keys and tally.lot.run_id is not None:
            kept = _drop_within_run(cur, tally, record_type, kept)
        tally.entities[record_type] = kept


def _drop_within_lot(tally: Tally, entries: list[Entry]) -> list[Entry]:
    newest: dict[str, Entry] = {}
    contents: set[tuple[str, int]] = set()
    kept = []
    for entry in entries:
        known = (entry.stored_id, entry.content)
        if known in contents:
            tally.repeats.append(entry.index)
            continue
        before = newest.get(entry.stored_id)
        if (
            before is not None
            and tally.lot.remember_keys
            and not _is_newer(entry.record, before.record)
        ):
            _refuse_conflict(tally, entry)
            continue
        contents.add(known)
        newest[entry.stored_id] = entry
        kept.append(entry)
    return kept


def _drop_within_run(
    cur: Cursor, tally: Tally, record_type: str, entries: list[Entry]
) -> list[Entry]:
    lot = tally.lot
    assert lot.run_id is not None
    by_key = {deletes.key_of(record_type, e.stored_id): e for e in entries}
    if not by_key:
        return entries
    earlier = deletes.remember(
        cur,
        run_id=lot.run_id,
        stream=lot.stream,
        keys={key: entry.content for key, entry in by_key.items()},
    )
    if not earlier:
        return entries
    kept = []
    for entry in entries:
        key = deletes.key_of(record_type, entry.stored_id)
        if key not in earlier:
            kept.append(entry)
        elif earlier[key] == entry.content:
            tally.repeats.append(entry.index)
        elif entry.record.version is None and entry.record.updated_at is None:
            _refuse_conflict(tally, entry)
        else:
            # Dated versions of one key: the upsert keeps the newest of them.
            kept.append(entry)
    return kept


def choose_newest(entries: Iterable[Entry], received_at: datetime) -> list[Entry]:
    """One entry per stored id: the newest; of equals, the one that came last."""
    entries = list(entries)
    if _is_unique(entries):
        return entries
    best: dict[str, tuple[tuple[int, datetime], Entry]] = {}
    for entry in entries:
        place = _place(entry, received_at)
        other = best.get(entry.stored_id)
        if other is None or place >= other[0]:
            best[entry.stored_id] = (place, entry)
    return [entry for _place_of, entry in best.values()]


def _is_unique(entries: list[Entry]) -> bool:
    return len({entry.stored_id for entry in entries}) == len(entries)


def _place(entry: Entry, received_at: datetime) -> tuple[int, datetime]:
    record = entry.record
    version = _LOWEST if record.version is None else record.version
    arrived = received_at + timedelta(microseconds=entry.index)
    return version, record.updated_at or arrived


def _is_newer(record: Record, before: Record) -> bool:
    versions = record.version, before.version
    if None not in versions and versions[0] != versions[1]:
        return bool(versions[0] > versions[1])  # type: ignore[operator]
    times = record.updated_at, before.updated_at
    return None not in times and bool(times[0] > times[1])  # type: ignore[operator]


def _refuse_conflict(tally: Tally, entry: Entry) -> None:
    problem = quality.Reject(
        "conflicting_duplicate",
        "external_id",
        f"“{entry.stored_id}” came before in this run with other content, and nothing "
        "says which of them is newer.",
    )
    tally.refuse(entry.index, _refusal(entry.record, entry.stored_id, problem))


def _refusal(
    record: Record | EventRecord, external_id: str, problem: quality.Reject
) -> Refusal:
    raw = msgspec.structs.asdict(record) | {"type": record.TYPE}
    return Refusal(
        record.TYPE, external_id, problem.code, problem.detail, raw, problem.field
    )


def _not_json(name: str, exc: Exception) -> quality.Reject:
    if isinstance(exc, RecursionError):
        return quality.Reject("too_deep", name, f"{name} is nested too deeply.")
    if isinstance(exc, UnicodeEncodeError):
        return quality.Reject("bad_text", name, "A text has half a surrogate pair.")
    return quality.Reject("not_json", name, f"{name} cannot be written as JSON.")
