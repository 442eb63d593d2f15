"""Repair and replay what was quarantined: exactly once, and first without storing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import connection, transaction
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError, RecordError
from churnguard.models import Organization, Quarantine
from churnguard.records import RECORD_TYPES, AnyRecord, EventRecord
from integrations import catalog, connecting, load, mappings, quality, shaping
from integrations.connectors.base import Connector
from integrations.ingest import convert
from integrations.load.statements import TABLES
from integrations.models import Integration, StreamState

MOST_ROWS = 1000
_CHUNK = 200
_NEVER = datetime.min.replace(tzinfo=UTC)
_ARRIVED = """
SELECT external_id, updated_at FROM {table}
WHERE source_id = %s AND external_id = ANY(%s) AND content_hash IS NOT NULL
"""


@dataclass(slots=True)
class Replayed:
    """stored: ids of rows that are replayed (would be, in a dry run). failed: what is
    still wrong, {id, code, detail, field}. skipped: ids with nothing to repair any
    more: not open, or the source has sent the record anew since."""

    stored: list[int] = field(default_factory=list)
    failed: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[int] = field(default_factory=list)


class _DryRun(Exception):
    """Rolls a dry run back."""


def replay(
    organization: Organization,
    ids: Sequence[int],
    *,
    by: HttpRequest | str,
    edits: Mapping[int, Mapping[str, Any]] | None = None,
    dry_run: bool = False,
) -> Replayed:
    """Read the rows again, by the mapping in force now, and store what is good.

    edits: {row id: the repaired raw object}. A row is stored once however often this
    is asked: it is locked, and only an open one is taken. Raises ConfigError for ids
    that are not this organisation's or too many at once.
    """
    if len(ids) > MOST_ROWS:
        raise ConfigError(
            f"At most {MOST_ROWS} records can be replayed at once.", code="too_many"
        )
    edits = edits or {}
    wanted = sorted(set(ids))
    rows = list(Quarantine.objects.filter(organization=organization, pk__in=wanted))
    if len(rows) != len(wanted):
        raise ConfigError("Some of these records do not exist.", code="unknown_records")
    done = Replayed()
    groups: dict[tuple[int, str], list[Quarantine]] = defaultdict(list)
    for row in rows:
        groups[(row.source_id, row.stream)].append(row)
    for (source_id, stream), members in groups.items():
        with ExitStack() as stack:
            reader = _Reader(source_id, stream, stack)
            for start in range(0, len(members), _CHUNK):
                _replay_chunk(
                    organization,
                    [row.pk for row in members[start : start + _CHUNK]],
                    reader,
                    edits,
                    done,
                    by=by,
                    dry_run=dry_run,
                )
    return done


def discard(
    organization: Organization,
    ids: Iterable[int],
    *,
    by: HttpRequest | str,
    reason: str = "",
) -> int:
    """Mark open rows as not wanted; returns how many. `reason` goes to the audit."""
    wanted = sorted(set(ids))
    with transaction.atomic():
        count = Quarantine.objects.filter(
            organization=organization, pk__in=wanted, state="open"
        ).update(
            state="discarded", resolved_at=datetime.now(UTC), resolved_by=_actor(by)
        )
        if count:
            audit.record(
                by,
                "quarantine.discarded",
                organization=organization,
                target_type="quarantine",
                target_id=str(wanted[0]) if len(wanted) == 1 else "several",
                after={"count": count, "reason": reason, "ids": wanted},
            )
    return count


class _Reader:
    """Raw objects of one source and stream to records. The connector is opened when
    the first row needs it."""

    def __init__(self, source_id: int, stream: str, stack: ExitStack) -> None:
        self._stack = stack
        self._connector: Connector | None = None
        self.integration = Integration.objects.filter(source_id=source_id).first()
        self._state = (
            StreamState.objects.select_related("integration")
            .filter(integration=self.integration, name=stream)
            .first()
            if self.integration and stream
            else None
        )
        self._mapping = (
            mappings.compiled(self.integration, self._state)
            if self.integration and self._state
            else None
        )
        self._filters = (
            shaping.filters_for(self.integration.data_filters, stream)
            if self.integration
            else {}
        )

    def record(self, raw: Mapping[str, Any], record_type: str) -> AnyRecord:
        """The checked record. Raises RecordError."""
        return self._checked(self._make(dict(raw), record_type))

    def _make(self, raw: dict[str, Any], record_type: str) -> AnyRecord:
        if raw.get("type") in RECORD_TYPES or self._state is None:
            return _from_unified({"type": record_type, **raw})
        if self._connector is None:
            assert self.integration is not None
            self._connector = self._stack.enter_context(
                connecting.opened(self.integration, interactive=True)
            )
        record = self._connector.parse(catalog.stream_of(self._state), raw)
        record = shaping.retype(record, self._state.record_type)
        if self._mapping:
            record = self._mapping.apply(record)
        if not shaping.passes(record, self._filters):
            raise RecordError(
                "The data filters leave this record out.", code="filtered"
            )
        return record

    @staticmethod
    def _checked(record: AnyRecord) -> AnyRecord:
        now = datetime.now(UTC)
        if isinstance(record, EventRecord):
            problem = quality.check_event(record, now=now)
        else:
            checked = quality.validate(record, now=now)
            problem = checked if isinstance(checked, quality.Reject) else None
        if problem is not None:
            raise RecordError(problem.detail, code=problem.code, field=problem.field)
        return record


def _from_unified(raw: dict[str, Any]) -> AnyRecord:
    """A record in the shape of the ingest API, or as the writer refused it."""
    try:
        kind = convert.type_of(raw)
        if kind != "event":
            record = convert.to_entity(
                {k: v for k, v in raw.items() if k != "raw"}, kind
            )
            inner = raw.get("raw")
            return (
                msgspec.structs.replace(record, raw=inner)
                if isinstance(inner, dict) and inner
                else record
            )
        values = convert.to_event(raw)
    except convert.FieldProblem as exc:
        raise RecordError(exc.detail, code=exc.code, field=exc.field) from exc
    if values["timestamp"] is None:
        raise RecordError(
            "The event has no timestamp.", code="missing_timestamp", field="timestamp"
        )
    if not values["event_id"]:
        raise RecordError(
            "The event has no event_id.", code="missing_id", field="event_id"
        )
    return EventRecord(**{k: v for k, v in values.items() if v is not None})


def _replay_chunk(
    organization: Organization,
    ids: list[int],
    reader: _Reader,
    edits: Mapping[int, Mapping[str, Any]],
    done: Replayed,
    *,
    by: HttpRequest | str,
    dry_run: bool,
) -> None:
    try:
        with transaction.atomic():
            rows = list(
                Quarantine.objects.select_for_update()
                .filter(organization=organization, pk__in=ids)
                .order_by("pk")
            )
            good: list[tuple[Quarantine, AnyRecord]] = []
            for row in rows:
                if row.state != "open":
                    done.skipped.append(row.pk)
                    continue
                try:
                    raw = edits.get(row.pk, row.raw)
                    good.append((row, reader.record(raw, row.record_type)))
                except RecordError as exc:
                    _failed(done, row, exc.code, exc.message, exc.field or "")
            good, replaced = _current(good, edits, done)
            stored = _store(organization, good, done)
            done.stored += [row.pk for row in stored]
            done.skipped += [row.pk for row in replaced]
            if dry_run:
                raise _DryRun
            _close(organization, [*stored, *replaced], by)
    except _DryRun:
        pass


def _current(
    good: list[tuple[Quarantine, AnyRecord]],
    edits: Mapping[int, Mapping[str, Any]],
    done: Replayed,
) -> tuple[list[tuple[Quarantine, AnyRecord]], list[Quarantine]]:
    """(what may be stored, rows whose record the source has sent anew since).

    A record that tells neither version nor time would replace the newer one. Where
    somebody edited it, that is for him to decide.
    """
    undated = [
        (row, record)
        for row, record in good
        if not isinstance(record, EventRecord)
        and record.version is None
        and record.updated_at is None
    ]
    arrived = _arrivals(undated)
    late = {
        row.pk
        for row, record in undated
        if row.first_seen_at
        < arrived.get((record.TYPE, load.stored_id(record)), _NEVER)
    }
    for row, _record in good:
        if row.pk in late and row.pk in edits:
            _failed(
                done,
                row,
                "newer_stored",
                "The source has sent this record anew since it was refused, and that "
                "is stored. Discard this one, or correct it at the source.",
                "",
            )
    kept = [(row, record) for row, record in good if row.pk not in late]
    return kept, [row for row, _ in good if row.pk in late - edits.keys()]


def _arrivals(
    found: list[tuple[Quarantine, Any]],
) -> dict[tuple[str, str], datetime]:
    """When what is stored of each record came: {(type, stored id): time}."""
    by_type: dict[str, list[str]] = defaultdict(list)
    for _row, record in found:
        by_type[record.TYPE].append(load.stored_id(record))
    arrived: dict[tuple[str, str], datetime] = {}
    with connection.cursor() as cur:
        for kind, ids in by_type.items():
            cur.execute(
                _ARRIVED.format(table=TABLES[kind]), [found[0][0].source_id, ids]
            )
            arrived |= {(kind, own_id): at for own_id, at in cur.fetchall()}
    return arrived


def _store(
    organization: Organization,
    good: list[tuple[Quarantine, AnyRecord]],
    done: Replayed,
) -> list[Quarantine]:
    """Write the records as one lot; those the writer refuses stay in quarantine."""
    while good:
        first = good[0][0]
        sid = transaction.savepoint()
        result = load.write(
            connection,
            org_id=organization.pk,
            source_id=first.source_id,
            origin="replay",
            items=[record for _row, record in good],
            received_at=datetime.now(UTC),
            record_type=first.record_type,
            run_id=first.run_id,
            stream=first.stream,
        )
        if not result.errors:
            transaction.savepoint_commit(sid)
            return [row for row, _record in good]
        transaction.savepoint_rollback(sid)
        refused = {error.index: error for error in result.errors}
        for index, error in refused.items():
            _failed(done, good[index][0], error.code, error.detail, "")
        good = [pair for i, pair in enumerate(good) if i not in refused]
    return []


def _close(
    organization: Organization, rows: list[Quarantine], by: HttpRequest | str
) -> None:
    if not rows:
        return
    Quarantine.objects.filter(pk__in=[row.pk for row in rows]).update(
        state="replayed", resolved_at=datetime.now(UTC), resolved_by=_actor(by)
    )
    audit.record(
        by,
        "quarantine.replayed",
        organization=organization,
        target_type="quarantine",
        target_id=str(rows[0].pk) if len(rows) == 1 else "several",
        after={"count": len(rows)},
    )


def _failed(done: Replayed, row: Quarantine, code: str, detail: str, name: str) -> None:
    done.failed.append({"id": row.pk, "code": code, "detail": detail, "field": name})


def _actor(by: HttpRequest | str) -> str:
    return by if isinstance(by, str) else audit.actor_of(by)
