"""Deletes that show by absence: what a full read or an id list does not hold any more.

Which ids each run has seen is kept by `seen`. After a complete look, those that only
older runs saw are gone at the source; they get a tombstone (values stay) unless the
brake says that a person should look first.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from django.db import connection

from integrations import load, seen
from integrations.models import RunStream, StreamState
from integrations.pages import BrakeError, Reading, brake_limit, see_ids
from integrations.progress import hold, page_transaction

CHUNK = 1000
SWEEP_EVERY = timedelta(days=1)
SURE_AFTER = timedelta(hours=1)
"""A list of ids may still hold what was deleted a moment ago."""


def is_due(reading: Reading) -> bool:
    """Whether this run can and should look for absences once it has read the rest."""
    detector = reading.stream.deletes
    if reading.shape.record_type == "event" or reading.job.run.since:
        return False
    if reading.job.run.until:
        return False
    if detector == "full":
        return reading.part.reads_all
    if detector != "sweep":
        return False
    checked = reading.state.checked_deletes_at
    return (
        reading.part.reads_all
        or checked is None
        or datetime.now(UTC) - checked >= SWEEP_EVERY
    )


def needs_sweep(reading: Reading) -> bool:
    """Whether the source has to be asked which ids it has: not after a complete read
    that met everything known before, since then nothing is gone."""
    if reading.stream.deletes != "sweep" or not is_due(reading):
        return False
    if reading.part.reads_all:
        absences = _absences(reading, reading.part.run_id)
        reading.has_met_all = next(absences.chunks(CHUNK), None) is None
    return not reading.has_met_all


def sweep(reading: Reading) -> None:
    """List every id at the source and mark it as seen, page by page."""
    assert reading.job.connector is not None
    for ids in reading.job.connector.list_ids(reading.stream):
        see_ids(reading, ids)
        reading.job.check_border()


def bury(reading: Reading, *, older_than: int) -> int:
    """Delete what no run from `older_than` on has seen, in chunks of one transaction
    each. Returns how many rows got a tombstone.

    Raises BrakeError before the first when it would be too many and nobody confirmed.
    """
    absences = _absences(reading, older_than)
    if reading.has_met_all:
        absences.settle()
        return 0
    chunks = absences.chunks(CHUNK)
    first = next(chunks, [])
    _check_brake(reading, absences, first)
    buried = 0
    for ids in chain([first] if first else [], chunks):
        buried += _write_ids(reading, deleted_ids=ids)
        reading.job.check_border()
    absences.settle()
    return buried


def _absences(reading: Reading, older_than: int) -> seen.Absences:
    return seen.Absences(
        reading.state.pk,
        reading.job.integration.source_id,
        reading.shape.record_type,
        older_than,
    )


def revive(reading: Reading) -> None:
    """Bring back what this run has seen although its row is dead: restored at the
    source without a new version, where a tombstone of its own date would win."""
    part = reading.part
    assert part.started_at is not None
    found = seen.reappeared(
        reading.state.pk,
        part.run_id,
        reading.job.integration.source_id,
        reading.shape.record_type,
        part.started_at - SURE_AFTER,
    )
    for start in range(0, len(found), CHUNK):
        _write_ids(reading, revived_ids=found[start : start + CHUNK])
        reading.job.check_border()


def _check_brake(reading: Reading, absences: seen.Absences, first: list[str]) -> None:
    # Counting what is alive takes a look at each row, which few runs need.
    is_few = len(first) <= brake_limit(0)
    if is_few or reading.brake_is_off or reading.part.deleted:
        return
    gone, live = absences.count(), absences.count_live()
    if gone > brake_limit(live):
        raise BrakeError(gone, live, brake_limit(live), first[:20])


def braked(state: StreamState, part: RunStream, error: BrakeError, kind: str) -> None:
    """Remember what was stopped, for a person to confirm. kind: absence or feed."""
    state.brake = {
        "kind": kind,
        "would_delete": error.would_delete,
        "live": error.live,
        "limit": error.limit,
        "sample": error.sample,
        "run_id": part.run_id,
        "run": part.run.public_id,
        "at": datetime.now(UTC).isoformat(),
        "confirmed_by": "",
    }


def describe(state: StreamState) -> dict[str, Any] | None:
    """The brake as a person or the API sees it."""
    if not state.brake:
        return None
    shown = ("kind", "would_delete", "live", "limit", "sample", "run", "at")
    return {name: state.brake[name] for name in shown}


def _write_ids(
    reading: Reading,
    *,
    deleted_ids: Sequence[str] = (),
    revived_ids: Sequence[str] = (),
) -> int:
    """A page of ids (`load.write`); returns how many rows got a tombstone."""
    job, part = reading.job, reading.part
    with page_transaction(job):
        part.pages += 1
        result = load.write(
            connection,
            org_id=job.run.organization_id,
            source_id=job.integration.source_id,
            origin="sync",
            items=[],
            received_at=datetime.now(UTC),
            record_type=reading.shape.record_type,
            run_id=job.run.pk,
            stream=part.stream,
            page=part.pages,
            deleted_ids=deleted_ids,
            revived_ids=revived_ids,
        )
        part.deleted += result.deleted
        part.fetched += result.fetched
        part.updated += result.updated
        part.save(update_fields=["pages", "deleted", "fetched", "updated"])
        hold(job)
    return result.deleted
