"""One page into the database: records, cursor, ledger line and proof of the lease in
one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.db import connection

from churnguard.errors import ChurnGuardError
from churnguard.models import Batch
from churnguard.records import Record
from integrations import columns, counting, drift, load, seen, shaping, sifting
from integrations.connectors.base import AnyPage, Page, RowPage, Stream
from integrations.crashpoints import crash_point
from integrations.load.statements import TABLES
from integrations.models import RunStream, StreamState
from integrations.progress import Job, advance, hold, note_page, page_transaction

_ABSENCE = ("full", "sweep")
_WATCHED = 200
"""Objects of a page that are looked at for new fields."""

_ALIVE = """
SELECT count(*) FROM {table} WHERE source_id = %s AND external_id = ANY(%s)
    AND deleted_at IS NULL
"""


class BrakeError(ChurnGuardError):
    """More would be deleted than the brake allows."""

    code = "delete_brake"

    def __init__(self, would_delete: int, live: int, limit: int, sample: list[str]):
        super().__init__(
            f"This would delete {would_delete} of {live} records; without a person's "
            f"word at most {limit} are deleted at once."
        )
        self.would_delete, self.live, self.limit = would_delete, live, limit
        self.sample = sample


@dataclass(slots=True)
class Reading:
    """One stream of a run being read."""

    job: Job
    part: RunStream
    state: StreamState
    stream: Stream
    shape: shaping.Shape
    watch: drift.Watch
    keeps_cursor: bool
    """Whether the state's cursor follows each page (incremental reads)."""
    live: int | None = None
    """Rows alive when the run began; counted at the first deletion."""
    deleting: int = 0
    is_marked: bool = False
    """Whether a page has marked the stream as syncing."""
    sample: list[str] = field(default_factory=list)
    has_met_all: bool = False
    """Whether a complete read has met every id that was known before."""
    expects_new: bool = False
    """Whether all that is stored of the stream came from this run."""

    @property
    def brake_is_off(self) -> bool:
        return bool(self.state.brake and self.state.brake.get("confirmed_by"))


def brake_limit(live: int) -> int:
    """How many of `live` records one run may delete without asking."""
    return max(20, int(live * 0.3))


def store(reading: Reading, page: AnyPage) -> None:
    """Commit a page. Raises LeaseLostError, CancelledError (both before anything is
    stored), BrakeError and Django's errors of the database."""
    with connection.wrap_database_errors:
        shaped = _shaped(reading, page)
        _check_brake(reading, page, shaped)
        is_new = reading.watch.see(_raws(page, shaped))
        load.prepare(connection, shaped.items)
        crash_point("after_fetch")
        try:
            _commit(reading, page, shaped, is_new)
        except load.NotNewError:
            reading.expects_new = False
            _commit(reading, page, _shaped(reading, page, in_block=False), is_new)
    crash_point("after_commit")


def _commit(
    reading: Reading, page: AnyPage, shaped: shaping.Shaped, is_new: bool
) -> None:
    job, part = reading.job, reading.part
    # What people are told of is on the disk.
    is_told = job.is_note_due
    with page_transaction(job, waits=is_told):
        result = load.write(
            connection,
            org_id=job.run.organization_id,
            source_id=job.integration.source_id,
            origin="sync",
            items=shaped.items,
            received_at=datetime.now(UTC),
            rejects=shaped.rejects,
            record_type=reading.shape.record_type,
            run_id=job.run.pk,
            stream=part.stream,
            page=part.pages + 1,
            filtered=shaped.filtered,
            deleted_ids=page.deleted_ids,
            remember_keys=not reading.stream.primary_key_unique,
            rows=shaped.rows,
            unchanged=len(shaped.unchanged),
            stored=shaped.stored,
            block=shaped.block,
            known=job.known,
        )
        _keep_merges(reading, page, shaped)
        _see_ids(reading, page, shaped)
        part.pages += 1
        for name in Batch.TOTALS:
            setattr(part, name, getattr(part, name) + getattr(result, name))
        part.total = page.total if page.total is not None else part.total
        part.cursor = page.cursor
        if is_new:
            _keep_columns(reading)
        crash_point("before_commit")
        advance(
            job,
            part,
            written=result.inserted + result.updated,
            keeps_cursor=reading.keeps_cursor,
            marks=not reading.is_marked,
        )
        if is_told:
            note_page(job, part)
    reading.is_marked = True
    if reading.keeps_cursor:
        reading.state.cursor = page.cursor
    counting.page_stored(
        job.integration,
        reading.shape.record_type,
        created=result.inserted,
        updated=result.updated,
    )


def _shaped(
    reading: Reading, page: AnyPage, *, in_block: bool = True
) -> shaping.Shaped:
    how = reading.shape
    sifted = None
    if isinstance(page, RowPage):
        source_id = reading.job.integration.source_id
        sifted = sifting.sift(
            page, reading.stream, how, source_id, expects_new=reading.expects_new
        )
    if sifted is None or isinstance(page, Page):
        return shaping.shape(page, how)
    block = None
    if in_block:
        now = datetime.now(UTC)
        block = columns.block_of(page, sifted.new, sifted.new_ids, how, now=now)
    rows = sifted.changed if block else [*sifted.new, *sifted.changed]
    shaped = shaping.shape_rows(page, rows, how)
    if block:
        shaped.block, shaped.block_rows = block, sifted.new
    shaped.unchanged, shaped.stored = sifted.unchanged, sifted.stored
    return shaped


def _raws(page: AnyPage, shaped: shaping.Shaped) -> Iterable[dict[str, Any]]:
    """Some of the provider's objects; those that did not change show nothing new."""
    if shaped.stored is None:
        return map(shaping.raw_of, page.records[:_WATCHED])
    changed = [row.row for row in chain(shaped.block_rows, shaped.rows)][:_WATCHED]
    return changed + [reject.raw for reject in shaped.rejects[:_WATCHED]]


def see_ids(reading: Reading, ids: list[str]) -> None:
    """Mark ids of a sweep as still there, in a transaction of their own."""
    with page_transaction(reading.job):
        seen.note(reading.state.pk, reading.job.run.pk, _stored(reading, ids))
        hold(reading.job)


def _keep_columns(reading: Reading) -> None:
    state, watch = reading.state, reading.watch
    StreamState.objects.filter(pk=state.pk).update(
        columns=list(watch.columns.values()),
        drift=drift.merge_notes(state.drift, watch.notes),
    )


def _keep_merges(reading: Reading, page: AnyPage, shaped: shaping.Shaped) -> None:
    load.keep_merges(
        connection,
        org_id=reading.job.run.organization_id,
        source_id=reading.job.integration.source_id,
        record_type=reading.shape.record_type,
        merged=page.merged_ids,
        alive=chain(
            shaped.unchanged,
            shaped.block.ids if shaped.block else (),
            (
                load.stored_id(item)
                for item in shaped.items
                if isinstance(item, Record) and not item.deleted
            ),
        ),
        now=datetime.now(UTC),
    )


def _see_ids(reading: Reading, page: AnyPage, shaped: shaping.Shaped) -> None:
    if reading.stream.deletes not in _ABSENCE or reading.shape.record_type == "event":
        return
    entities = [item for item in shaped.items if isinstance(item, Record)]
    gone = {load.stored_id(item) for item in entities if item.deleted}
    gone.update(_stored(reading, page.deleted_ids))
    ids = [*shaped.unchanged, *map(load.stored_id, entities)]
    ids += shaped.block.ids if shaped.block else []
    # A refused record still exists at the source.
    ids += _stored(reading, [r.external_id for r in shaped.rejects if r.external_id])
    if gone:
        ids = [each for each in ids if each not in gone]
    seen.note(reading.state.pk, reading.job.run.pk, ids)


def _check_brake(reading: Reading, page: AnyPage, shaped: shaping.Shaped) -> None:
    """Feed and flag deletes: count those that would bury a live row."""
    if reading.brake_is_off or reading.shape.record_type == "event":
        return
    ids = _stored(reading, page.deleted_ids)
    ids += [
        load.stored_id(item)
        for item in shaped.items
        if isinstance(item, Record) and item.deleted
    ]
    if not ids:
        return
    table = TABLES[reading.shape.record_type]
    with connection.cursor() as cur:
        cur.execute(
            _ALIVE.format(table=table), [reading.job.integration.source_id, ids]
        )
        alive = int(cur.fetchone()[0])
    if reading.live is None:
        reading.live = load.count_live(
            connection,
            org_id=reading.job.run.organization_id,
            source_id=reading.job.integration.source_id,
            record_type=reading.shape.record_type,
        )
        reading.live += reading.part.deleted
        reading.deleting = reading.part.deleted
    reading.deleting += alive
    reading.sample = (reading.sample + ids)[:20]
    limit = brake_limit(reading.live)
    if reading.deleting > limit:
        raise BrakeError(reading.deleting, reading.live, limit, reading.sample)


def _stored(reading: Reading, ids: list[str]) -> list[str]:
    """Ids as the tables hold them: objects carry their kind."""
    if reading.shape.record_type != "object":
        return list(ids)
    kind = reading.stream.name
    prefix = f"{kind}:"
    return [each if each.startswith(prefix) else prefix + each for each in ids]
