"""One page into the database: records, cursor, ledger line and proof of the lease in
one transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from churnguard.errors import ChurnGuardError
from churnguard.models import Batch
from churnguard.records import Record
from churnguard.stream import notes
from integrations import counting, drift, load, seen, shaping, sifting
from integrations.connectors.base import AnyPage, Connector, RowPage, Stream
from integrations.crashpoints import crash_point
from integrations.load.entities import TABLES
from integrations.models import Integration, RunStream, StreamState, SyncRun
from integrations.runs import Claim, Keeper, LeaseLostError

NOTE_EVERY_S = 0.5
_OF_A_PAGE = ("pages", *Batch.TOTALS, "total", "cursor", "page_at")
"""What a page changes of a `RunStream`."""
_ABSENCE = ("full", "sweep")
_WATCHED = 200
"""Objects of a page that are looked at for new fields."""

_FENCE = """
UPDATE int_sync_run SET
    attempts = CASE WHEN %(progress)s THEN 0 ELSE attempts END
WHERE id = %(run)s AND fence = %(fence)s AND status = 'processing'
RETURNING cancel_requested_at IS NOT NULL
"""
_ALIVE = """
SELECT count(*) FROM {table} WHERE source_id = %s AND external_id = ANY(%s)
    AND deleted_at IS NULL
"""


class CancelledError(ChurnGuardError):
    """A person asked the run to stop."""

    code = "cancelled"


class ReleasedError(ChurnGuardError):
    """This worker stops; another goes on from the last page."""

    code = "released"


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
class Job:
    """A run being executed by this thread."""

    claim: Claim
    run: SyncRun
    integration: Integration
    keeper: Keeper
    must_stop: Callable[[], bool]
    connector: Connector | None = None
    noted_at: float = 0.0

    def check_border(self) -> None:
        """Between pages: raise when the run is lost or this worker stops."""
        if self.keeper.lost.is_set():
            raise LeaseLostError("Another worker holds this run now.")
        if self.must_stop():
            raise ReleasedError("This worker stops.")


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

    @property
    def brake_is_off(self) -> bool:
        return bool(self.state.brake and self.state.brake.get("confirmed_by"))


def brake_limit(live: int) -> int:
    """How many of `live` records one run may delete without asking."""
    return max(20, int(live * 0.3))


def store(reading: Reading, page: AnyPage) -> None:
    """Commit a page. Raises LeaseLostError, CancelledError (both before anything is
    stored) and BrakeError."""
    job, part = reading.job, reading.part
    shaped = _shaped(reading, page)
    _check_brake(reading, page, shaped)
    is_new = reading.watch.see(_raws(page, shaped))
    load.prepare(connection, shaped.items)
    crash_point("after_fetch")
    with page_transaction():
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
        )
        _keep_merges(reading, page, shaped)
        _see_ids(reading, page, shaped)
        part.pages += 1
        for name in Batch.TOTALS:
            setattr(part, name, getattr(part, name) + getattr(result, name))
        part.total = page.total if page.total is not None else part.total
        part.cursor = page.cursor
        part.page_at = timezone.now()
        part.save(update_fields=_OF_A_PAGE)
        _save_state(reading, page, result, is_new)
        crash_point("before_commit")
        hold(job, progress=True)
        _note_progress(job, part)
    counting.page_stored(
        job.integration,
        reading.shape.record_type,
        created=result.inserted,
        updated=result.updated,
    )
    crash_point("after_commit")


def _shaped(reading: Reading, page: AnyPage) -> shaping.Shaped:
    if isinstance(page, RowPage):
        sifted = sifting.sift(
            page, reading.stream, reading.shape, reading.job.integration.source_id
        )
        if sifted is not None:
            shaped = shaping.shape_rows(page, sifted.rows, reading.shape)
            shaped.unchanged, shaped.stored = sifted.unchanged, sifted.stored
            return shaped
    return shaping.shape(page, reading.shape)


def _raws(page: AnyPage, shaped: shaping.Shaped) -> Iterable[dict[str, Any]]:
    """Some of the provider's objects; those that did not change show nothing new."""
    if shaped.stored is None:
        return map(shaping.raw_of, page.records[:_WATCHED])
    changed = [row.row for row in shaped.rows[:_WATCHED]]
    return changed + [reject.raw for reject in shaped.rejects[:_WATCHED]]


@contextmanager
def page_transaction() -> Iterator[None]:
    """A transaction that PostgreSQL ends when this process stops in the middle of it
    (a frozen machine): else its row locks would hold up whoever took the run over."""
    with transaction.atomic():
        with connection.cursor() as cur:
            cur.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)",
                [f"{settings.SYNC_LEASE_S}s"],
            )
        yield


def hold(job: Job, *, progress: bool = False) -> None:
    """Inside a transaction: prove that the run is still ours and wanted.

    progress: something was stored, so failed tries before it do not count any more.
    Raises LeaseLostError or CancelledError, and so rolls the transaction back.
    """
    with connection.cursor() as cur:
        cur.execute(
            _FENCE,
            {
                "run": job.claim.run_id,
                "fence": job.claim.fence,
                "progress": progress,
            },
        )
        row = cur.fetchone()
    if row is None:
        raise LeaseLostError("Another worker holds this run now.")
    if row[0]:
        raise CancelledError("A person stopped this sync.")


def see_ids(reading: Reading, ids: list[str]) -> None:
    """Mark ids of a sweep as still there, in a transaction of their own."""
    with page_transaction():
        seen.note(reading.state.pk, reading.job.run.pk, _stored(reading, ids))
        hold(reading.job)


def note(job: Job, status: str, **facts: Any) -> None:
    """A live note about the run; last statement of a transaction."""
    job.noted_at = time.monotonic()
    notes.publish(
        connection,
        job.run.organization_id,
        "live-metrics",
        [
            {
                "type": "sync",
                "id": job.run.public_id,
                "integration_id": job.integration.public_id,
                "status": status,
                **facts,
            }
        ],
    )


def _note_progress(job: Job, part: RunStream) -> None:
    if time.monotonic() - job.noted_at >= NOTE_EVERY_S:
        note(
            job,
            "processing",
            stream=part.stream,
            pages=part.pages,
            records=part.fetched,
            total=part.total,
        )


def _save_state(
    reading: Reading, page: AnyPage, result: load.LoadResult, is_new: bool
) -> None:
    state = reading.state
    changes: dict[str, Any] = {}
    if written := result.inserted + result.updated:
        changes["records_stored"] = F("records_stored") + written
    if not reading.is_marked:
        changes["status"] = "syncing"
    if reading.keeps_cursor:
        state.cursor = page.cursor
        changes["cursor"] = page.cursor
    if is_new:
        changes["columns"] = list(reading.watch.columns.values())
        changes["drift"] = drift.merge_notes(state.drift, reading.watch.notes)
    if changes:
        StreamState.objects.filter(pk=state.pk).update(**changes)
    reading.is_marked = True


def _keep_merges(reading: Reading, page: AnyPage, shaped: shaping.Shaped) -> None:
    load.keep_merges(
        connection,
        org_id=reading.job.run.organization_id,
        source_id=reading.job.integration.source_id,
        record_type=reading.shape.record_type,
        merged=page.merged_ids,
        alive=chain(
            shaped.unchanged,
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
