"""What a page changes of its run, and the proof that the run is still ours: together
in the page's transaction."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.conf import settings
from django.db import connection, transaction
from psycopg.types.json import Jsonb

from churnguard.errors import ChurnGuardError
from churnguard.models import Batch
from churnguard.stream import notes
from integrations import load
from integrations.connectors.base import Connector
from integrations.models import Integration, RunStream, SyncRun
from integrations.runs import Claim, Keeper, LeaseLostError

NOTE_EVERY_S = 0.5

_END_WITH_US = "SELECT set_config('idle_in_transaction_session_timeout', %s, true)"
_NO_WAIT = "set_config('synchronous_commit', 'off', true)"
_FENCE = """
UPDATE int_sync_run SET
    attempts = CASE WHEN %(progress)s THEN 0 ELSE attempts END
WHERE id = %(run)s AND fence = %(fence)s AND status = 'processing'
RETURNING cancel_requested_at IS NOT NULL
"""
_ADVANCE = f"""
WITH part AS (
    UPDATE int_run_stream SET pages = %(pages)s, cursor = %(cursor)s,
        total = %(total)s, page_at = clock_timestamp(),
        {", ".join(f"{name} = %({name})s" for name in Batch.TOTALS)}
    WHERE id = %(part)s
), state AS (
    UPDATE int_stream_state SET status = 'syncing',
        records_stored = records_stored + %(written)s,
        cursor = CASE WHEN %(keeps_cursor)s THEN %(cursor)s ELSE cursor END
    WHERE id = %(state)s AND %(touches_state)s
) {_FENCE}"""


class CancelledError(ChurnGuardError):
    """A person asked the run to stop."""

    code = "cancelled"


class ReleasedError(ChurnGuardError):
    """This worker stops; another goes on from the last page."""

    code = "released"


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
    known: load.KnownCustomers = field(default_factory=load.KnownCustomers)

    @property
    def is_note_due(self) -> bool:
        """Whether people should hear of the run again."""
        return time.monotonic() - self.noted_at >= NOTE_EVERY_S

    def check_border(self) -> None:
        """Between pages: raise when the run is lost or this worker stops."""
        if self.keeper.lost.is_set():
            raise LeaseLostError("Another worker holds this run now.")
        if self.must_stop():
            raise ReleasedError("This worker stops.")


@contextmanager
def page_transaction(job: Job, *, waits: bool = True) -> Iterator[None]:
    """A transaction that PostgreSQL ends when this process stops in the middle of it
    (a frozen machine): else its row locks would hold up whoever took the run over.

    waits: for the disk. Without it, a server that crashes within the next half second
    takes rows, cursor and ledger line back together, and they are read again.
    Raises Django's errors of the database, whoever met them.
    """
    begin = _END_WITH_US if waits else f"{_END_WITH_US}, {_NO_WAIT}"
    try:
        with connection.wrap_database_errors, transaction.atomic():
            with connection.cursor() as cur:
                cur.execute(begin, [f"{settings.SYNC_LEASE_S}s"])
            yield
    except BaseException:
        job.known.rollback()
        raise
    job.known.commit()


def hold(job: Job) -> None:
    """Inside a transaction: prove that the run is still ours and wanted.

    Raises LeaseLostError or CancelledError, and so rolls the transaction back.
    """
    _prove(_FENCE, _claim(job, progress=False))


def advance(
    job: Job, part: RunStream, *, written: int, keeps_cursor: bool, marks: bool
) -> None:
    """`hold`, and store where `part` stands now; failed tries before do not count any
    more. written: records that the page wrote. keeps_cursor: the stream's own cursor
    goes along. marks: show the stream as syncing."""
    values = {name: getattr(part, name) for name in Batch.TOTALS}
    cursor = None
    if part.cursor is not None:
        cursor = Jsonb(part.cursor, dumps=msgspec.json.encode)
    values |= {
        **_claim(job, progress=True),
        "part": part.pk,
        "state": part.state_id,
        "pages": part.pages,
        "total": part.total,
        "cursor": cursor,
        "written": written,
        "keeps_cursor": keeps_cursor,
        "touches_state": bool(written or keeps_cursor or marks),
    }
    _prove(_ADVANCE, values)


def _claim(job: Job, *, progress: bool) -> dict[str, Any]:
    claim = job.claim
    return {"run": claim.run_id, "fence": claim.fence, "progress": progress}


def _prove(statement: str, values: dict[str, Any]) -> None:
    with connection.cursor() as cur:
        cur.execute(statement, values)
        row = cur.fetchone()
    if row is None:
        raise LeaseLostError("Another worker holds this run now.")
    if row[0]:
        raise CancelledError("A person stopped this sync.")


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


def note_page(job: Job, part: RunStream) -> None:
    """`note` how far a stream has come."""
    note(
        job,
        "processing",
        stream=part.stream,
        pages=part.pages,
        records=part.fetched,
        total=part.total,
    )
