"""Sync runs as jobs: ask for one, claim it, keep its lease, give it back, end it.

The table is the queue: `work` claims what is due by SKIP LOCKED and raises the fence,
and every write of a run names its fence, so whoever lost a lease cannot write.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import IntegrityError, OperationalError, connection, transaction

from churnguard import logs, loops
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.models import RunKey, Schedule
from integrations import counting
from integrations.models import Integration, RunStatus, RunStream, StreamState, SyncRun

log = logging.getLogger(__name__)

MOST_CRASHES = 10
MOST_BACKOFF_S = 3600.0

_CLAIM = """
UPDATE int_sync_run SET
    fence = fence + 1,
    crashes = crashes + (status = 'processing')::int,
    status = 'processing',
    lease_until = clock_timestamp() + %(lease)s * interval '1 second',
    lease_owner = %(owner)s,
    started_at = coalesce(started_at, clock_timestamp())
WHERE id = (
    SELECT id FROM int_sync_run
    WHERE status IN ('pending', 'processing')
      AND run_at <= clock_timestamp()
      AND (status = 'pending' OR lease_until < clock_timestamp())
      AND (%(only)s::bigint IS NULL OR id = %(only)s)
    ORDER BY run_at, id
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
RETURNING id, fence, crashes
"""
_RENEW = """
UPDATE int_sync_run SET
    lease_until = clock_timestamp() + %s * interval '1 second'
WHERE id = %s AND fence = %s AND status = 'processing'
"""


class LeaseLostError(ChurnGuardError):
    """Another worker holds the run now; everything of this one rolls back."""

    code = "lease_lost"


class AlreadyRunningError(ConfigError):
    """The integration has a pending or running sync; `run` is that one."""

    code = "already_running"

    def __init__(self, run: SyncRun | None) -> None:
        super().__init__("A sync of this integration is already under way.")
        self.run = run


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to write for a run, until somebody raises its fence."""

    run_id: int
    fence: int
    crashes: int


def start(
    integration: Integration,
    *,
    trigger: str = "manual",
    by: str = "system",
    mode: str = "",
    streams: list[str] | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    schedule: Schedule | None = None,
    scheduled_for: datetime | None = None,
) -> SyncRun:
    """Put a run into the queue and nudge a worker after the commit.

    mode: full or incremental; empty = as the integration is set up. Raises
    AlreadyRunningError (with the run) when one is pending or running, ConfigError for
    an unknown mode or stream and for a paused integration.
    """
    streams = list(dict.fromkeys(streams or []))
    mode = mode or ("full" if integration.sync_mode == "full" else "incremental")
    _check_request(integration, mode, streams, since, until)
    try:
        with transaction.atomic():
            run = SyncRun.objects.create(
                organization_id=integration.organization_id,
                integration=integration,
                trigger=trigger,
                requested_by=by,
                mode=mode,
                streams=streams,
                since=since,
                until=until,
                run_at=datetime.now(UTC),
                schedule=schedule,
                scheduled_for=scheduled_for,
            )
    except IntegrityError as exc:
        raise AlreadyRunningError(get_active(integration)) from exc
    transaction.on_commit(partial(counting.run_asked_for, run), robust=True)
    transaction.on_commit(lambda: _nudge(run.pk), robust=True)
    return run


def get_active(integration: Integration) -> SyncRun | None:
    """The pending or running sync, if there is one."""
    return SyncRun.objects.filter(
        integration=integration, status__in=SyncRun.ACTIVE
    ).first()


def request_cancel(run: SyncRun) -> bool:
    """Ask a run to stop at its next page border; a waiting one ends now. False when
    it had already ended."""
    now = datetime.now(UTC)
    ended = SyncRun.objects.filter(pk=run.pk, status=RunStatus.PENDING).update(
        status=RunStatus.CANCELLED,
        cancel_requested_at=now,
        finished_at=now,
        lease_until=None,
    )
    if ended:
        RunStream.objects.filter(
            run=run, status__in=("pending", "processing", "retrying")
        ).update(status="cancelled", finished_at=now)
        Integration.objects.filter(
            pk=run.integration_id, status__in=("syncing", "rate_limited")
        ).update(status="active", resumes_at=None, status_detail="")
        transaction.on_commit(
            partial(counting.run_changed, run, RunStatus.CANCELLED), robust=True
        )
        return True
    return bool(
        SyncRun.objects.filter(pk=run.pk, status=RunStatus.PROCESSING).update(
            cancel_requested_at=now
        )
    )


def claim(only: int | None = None) -> Claim | None:
    """The longest-due run, now ours for SYNC_LEASE_S; None when nothing is due."""
    with connection.cursor() as cur:
        cur.execute(
            _CLAIM,
            {
                "lease": settings.SYNC_LEASE_S,
                "owner": loops.process_name(),
                "only": only,
            },
        )
        row = cur.fetchone()
    return Claim(*row) if row else None


def renew(claim_: Claim) -> bool:
    """Prolong the lease; False when the run is not ours any more."""
    with connection.cursor() as cur:
        cur.execute(_RENEW, [settings.SYNC_LEASE_S, claim_.run_id, claim_.fence])
        return cur.rowcount == 1


def release(claim_: Claim) -> None:
    """Give the run back at a page border, to be claimed again at once."""
    SyncRun.objects.filter(pk=claim_.run_id, fence=claim_.fence).update(
        status=RunStatus.PENDING, lease_until=None, lease_owner=""
    )


def expire_lease(run: SyncRun) -> bool:
    """Let another worker take over a running sync now; who holds it cannot write any
    more once that has happened. False when it is not running."""
    return bool(
        SyncRun.objects.filter(pk=run.pk, status=RunStatus.PROCESSING).update(
            lease_until=datetime.now(UTC)
        )
    )


def put_off(
    claim_: Claim, *, wait_s: float, code: str, detail: str, counts: bool
) -> datetime:
    """Give the run back, not to be claimed for `wait_s`. counts: it used an attempt.
    Returns when it is due. Raises LeaseLostError."""
    run_at = datetime.now(UTC) + timedelta(seconds=max(0.0, wait_s))
    with transaction.atomic():
        run = _owned(claim_)
        run.status = RunStatus.PENDING
        run.run_at = run_at
        run.lease_until, run.lease_owner = None, ""
        run.error_code, run.error_detail = code, detail
        run.attempts += int(counts)
        run.save()
    return run_at


def finish(claim_: Claim, status: str, *, code: str = "", detail: str = "") -> SyncRun:
    """End the run in `status`. Raises LeaseLostError."""
    with transaction.atomic():
        run = _owned(claim_)
        run.status = status
        run.error_code, run.error_detail = code, detail
        run.finished_at = datetime.now(UTC)
        run.lease_until, run.lease_owner = None, ""
        run.save()
        RunKey.objects.filter(run_id=run.pk).delete()
    return run


def backoff_s(base_s: float, attempt: int) -> float:
    """Full jitter: 0..base * 2^(attempt-1), at most an hour; attempt from 1."""
    most = min(MOST_BACKOFF_S, base_s * 2 ** max(0, min(attempt, 30) - 1))
    return random.uniform(0, most)  # noqa: S311


class Keeper:
    """A thread that renews the lease while pages are fetched; `lost` is set when the
    run went to somebody else."""

    def __init__(self, claim_: Claim) -> None:
        self.claim = claim_
        self.lost = threading.Event()
        self._end = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"lease-{claim_.run_id}", daemon=True
        )

    def __enter__(self) -> Keeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(5)

    def _run(self) -> None:
        every_s = settings.SYNC_LEASE_S / 3
        while not self._end.wait(every_s):
            try:
                if not renew(self.claim):
                    self.lost.set()
                    break
            except OperationalError:
                # The next beat tries again; the fence protects us if it is too late.
                log.warning("lease.renewal_failed", extra={"run": self.claim.run_id})
                connection.close()
        connection.close()


def work(*, only: int | None = None) -> int:
    """Loop: claim due runs while slots are free, each in a thread of its own. Returns
    how many were started."""
    started = 0
    while not loops.stopping.is_set() and _slots().acquire(blocking=False):
        claimed = None
        try:
            claimed = claim(only)
        finally:
            if claimed is None:
                _slots().release()
        if claimed is None:
            break
        # Not a daemon: a worker that stops waits for the page border.
        threading.Thread(
            target=_run_in_slot, args=(claimed,), name=f"sync-{claimed.run_id}"
        ).start()
        started += 1
    return started


def run_now(run_id: int | None = None, *, within_s: float = 600.0) -> bool:
    """Claim one due run and work on it in this thread, for at most `within_s` (then
    it is given back at a page border). False when there was none to claim."""
    # Late: sync imports this module.
    from integrations import sync

    claimed = claim(run_id)
    if claimed is None:
        return False
    ends_at = time.monotonic() + within_s
    sync.execute(
        claimed,
        must_stop=lambda: loops.stopping.is_set() or time.monotonic() > ends_at,
    )
    return True


def _run_in_slot(claimed: Claim) -> None:
    # Late: sync imports this module.
    from integrations import sync

    try:
        sync.execute(claimed, must_stop=loops.stopping.is_set)
    except OperationalError as exc:
        # The lease runs out and somebody claims it again.
        log.warning("sync.database_unavailable", extra={"error": type(exc).__name__})
    except Exception:
        # The outermost frame of the thread.
        log.exception("sync.crashed", extra={"run": claimed.run_id})
    finally:
        logs.clear()
        connection.close()
        _slots().release()


_made: list[threading.BoundedSemaphore] = []
_made_guard = threading.Lock()


def _slots() -> threading.BoundedSemaphore:
    with _made_guard:
        if not _made:
            _made.append(threading.BoundedSemaphore(settings.SYNC_SLOTS))
        return _made[0]


def _nudge(run_id: int) -> None:
    # Late: tasks imports this module.
    from integrations import tasks

    tasks.nudge(run_id)


def _owned(claim_: Claim) -> SyncRun:
    run = (
        SyncRun.objects.select_for_update()
        .filter(pk=claim_.run_id, fence=claim_.fence, status=RunStatus.PROCESSING)
        .first()
    )
    if run is None:
        raise LeaseLostError("Another worker holds this run now.")
    return run


def _check_request(
    integration: Integration,
    mode: str,
    streams: list[str],
    since: datetime | None,
    until: datetime | None,
) -> None:
    if mode not in ("full", "incremental"):
        raise ConfigError(
            f"mode must be full or incremental, not “{mode}”.",
            code="invalid_mode",
            fields={"mode": "full or incremental"},
        )
    if integration.status == "paused":
        raise ConfigError("This integration is paused. Resume it first.", code="paused")
    if integration.status == "inactive":
        raise ConfigError(
            integration.status_detail or "This integration is not set up yet.",
            code="inactive",
        )
    if since and until and since >= until:
        raise ConfigError(
            "since must be before until.",
            code="invalid_range",
            fields={"since": "before until"},
        )
    if streams:
        known = set(
            StreamState.objects.filter(integration=integration).values_list(
                "name", flat=True
            )
        )
        unknown = sorted(set(streams) - known)
        if unknown:
            raise ConfigError(
                f"No such stream: {', '.join(unknown)}.",
                code="unknown_stream",
                fields={"streams": f"known: {', '.join(sorted(known))}"},
            )
