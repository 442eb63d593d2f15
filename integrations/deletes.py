"""Deletes that show by absence: what a full read or an id list does not hold any more.

A stream's live ids are in `int_stream_key`, each with the last run that saw it. After
a complete look, those of an older run are gone at the source; they get a tombstone
(values stay) unless the brake says that a person should look first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

from integrations import load
from integrations.models import RunStream, StreamState
from integrations.pages import (
    BrakeError,
    Reading,
    brake_limit,
    hold,
    page_transaction,
    see_ids,
)

CHUNK = 1000
SWEEP_EVERY = timedelta(days=1)

_COUNT = """
SELECT count(*), count(*) FILTER (WHERE run_id < %s) FROM int_stream_key
WHERE stream_id = %s
"""
_GONE = """
SELECT external_id FROM int_stream_key WHERE stream_id = %s AND run_id < %s
ORDER BY external_id LIMIT %s
"""


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
    state, part = reading.state, reading.part
    with connection.cursor() as cur:
        cur.execute(_COUNT, [older_than, state.pk])
        live, gone = cur.fetchone()
    limit = brake_limit(live)
    if gone > limit and not reading.brake_is_off and not part.deleted:
        raise BrakeError(gone, live, limit, _next_gone(state, older_than, 20))
    buried = 0
    while ids := _next_gone(state, older_than, CHUNK):
        buried += _bury_chunk(reading, ids)
        reading.job.check_border()
    return buried


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


def _next_gone(state: StreamState, older_than: int, most: int) -> list[str]:
    with connection.cursor() as cur:
        cur.execute(_GONE, [state.pk, older_than, most])
        return [row[0] for row in cur.fetchall()]


def _bury_chunk(reading: Reading, ids: list[str]) -> int:
    job, part = reading.job, reading.part
    with page_transaction():
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
            deleted_ids=ids,
        )
        with connection.cursor() as cur:
            cur.execute(
                "DELETE FROM int_stream_key WHERE stream_id = %s "
                "AND external_id = ANY(%s)",
                [reading.state.pk, ids],
            )
        part.deleted += result.deleted
        part.save(update_fields=["pages", "deleted"])
        hold(job)
    return result.deleted
