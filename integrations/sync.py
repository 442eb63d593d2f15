"""Run one sync: read every stream page by page, store each page, end with a status.

Fetching happens outside any transaction; each page is one transaction (`pages`). A
stream that fails leaves the others; what a person must do ends up as a sentence.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from django.db import OperationalError, connection, transaction

from churnguard import logs
from churnguard.errors import (
    AuthenticationError,
    ChurnGuardError,
    ConfigError,
    RateLimitedError,
    RestingError,
    TransientError,
)
from integrations import (
    catalog,
    connecting,
    connectors,
    counting,
    deletes,
    drift,
    endings,
    mappings,
    pages,
    progress,
    runs,
    seen,
    shaping,
)
from integrations.connectors.base import ReadRequest
from integrations.crashpoints import crash_point
from integrations.models import Integration, RunStream, StreamState, SyncRun
from integrations.pages import BrakeError, Reading
from integrations.progress import CancelledError, Job, ReleasedError
from integrations.runs import Claim, LeaseLostError

log = logging.getLogger(__name__)

MOST_STOPS = 200
_INTERNAL = "An unexpected error; the operators have been told."


def execute(claim: Claim, *, must_stop: Callable[[], bool]) -> str:
    """Work on a claimed run until it ends, fails for now, is lost or must stop.

    Returns the run's status afterwards ("lost" when somebody else has it). Raises
    OperationalError when the database goes away; the lease then runs out.
    """
    run = SyncRun.objects.select_related(
        "integration__source", "integration__organization"
    ).get(pk=claim.run_id)
    started = time.monotonic()
    with (
        logs.bound(
            tenant_id=run.integration.organization.public_id,
            integration_id=run.integration.public_id,
        ),
        runs.Keeper(claim) as keeper,
    ):
        job = Job(claim, run, run.integration, keeper, must_stop)
        counting.run_changed(run, "processing")
        try:
            status = _attempt(job)
        except LeaseLostError:
            log.warning("sync.lease_lost", extra={"sync": run.public_id})
            return "lost"
        except ReleasedError:
            runs.release(claim)
            status = "released"
        except OperationalError:
            # A deadlock or a restart: soon again, without waiting for the lease.
            connection.close()
            runs.release(claim)
            raise
        counting.run_changed(run, status)
        log.info(
            "sync.ended",
            extra={
                "sync": run.public_id,
                "status": status,
                "duration_s": time.monotonic() - started,
                **endings.counts(run),
            },
        )
    return status


def _attempt(job: Job) -> str:
    crash_point("after_claim")
    if job.claim.crashes > runs.MOST_CRASHES:
        return endings.end(
            job,
            "failed",
            code="worker_lost",
            detail="The worker was lost again and again before the next page.",
        )
    if job.run.cancel_requested_at:
        return endings.cancelled(job)
    try:
        with ExitStack() as stack:
            _begin(job)
            job.connector = stack.enter_context(connecting.opened(job.integration))
            _discover(job)
            for part in _parts(job):
                _read_part(job, part)
                job.check_border()
    except CancelledError:
        return endings.cancelled(job)
    except RateLimitedError as exc:
        return endings.rate_limited(job, exc)
    except RestingError as exc:
        return endings.resting(job, exc)
    except ConfigError as exc:
        return endings.end(job, "failed", code=exc.code, detail=exc.message, error=exc)
    except TransientError as exc:
        return endings.later(job, exc.code, exc.message, exc.retry_after_s)
    return endings.conclude(job)


def _begin(job: Job) -> None:
    with transaction.atomic():
        progress.hold(job)
        Integration.objects.filter(pk=job.integration.pk).exclude(
            status="paused"
        ).update(status="syncing", resumes_at=None)
        progress.note(job, "processing")


def _discover(job: Job) -> None:
    assert job.connector is not None
    cls = connectors.get(job.integration.provider_name)
    if catalog.needs_discovery(job.integration, cls):
        found = job.connector.discover()
        with transaction.atomic():
            catalog.keep_streams(job.integration, found)
            progress.hold(job)


def _parts(job: Job) -> list[RunStream]:
    """The streams still to be done; made when the run is claimed first."""
    run = job.run
    if not RunStream.objects.filter(run=run).exists():
        states = StreamState.objects.filter(integration=run.integration, is_gone=False)
        if run.streams:
            states = states.filter(name__in=run.streams)
        else:
            states = states.filter(is_enabled=True)
            if run.trigger == "schedule":
                # Streams with a clock of their own do not run with the others.
                states = states.filter(sync_frequency__isnull=True)
        made = [
            RunStream(run=run, state=state, stream=state.name, position=state.position)
            for state in states.order_by("position", "pk")
        ]
        if not made:
            raise ConfigError("No stream is chosen for this sync.", code="no_streams")
        with transaction.atomic():
            RunStream.objects.bulk_create(made)
            progress.hold(job)
    return list(
        RunStream.objects.filter(run=run, status__in=endings.OPEN)
        .select_related("state", "run")
        .order_by("position", "pk")
    )


def _read_part(job: Job, part: RunStream) -> None:
    """Read one stream to its end; its own failures stay with it.

    Raises AuthenticationError, RateLimitedError and RestingError (they concern every
    stream), and what ends the whole run.
    """
    reading = None
    try:
        reading = _open_reading(job, part)
        _read(reading)
    except BrakeError as exc:
        kind = "absence" if part.phase == "delete" else "feed"
        deletes.braked(part.state, part, exc, kind)
        _close_part(job, part, "brake", exc.code, exc.message)
    except (
        AuthenticationError,
        RateLimitedError,
        RestingError,
        CancelledError,
        ReleasedError,
        LeaseLostError,
        OperationalError,
    ):
        raise
    except TransientError as exc:
        _try_again(job, part, exc)
    except ChurnGuardError as exc:
        _close_part(job, part, "failed", exc.code, exc.message)
    except Exception:
        # A connector's bug must not take the other streams with it; it is logged
        # loudly and the stream is marked failed.
        log.exception("stream.crashed", extra={"stream": part.stream})
        _close_part(job, part, "failed", "internal_error", _INTERNAL)


def _open_reading(job: Job, part: RunStream) -> Reading:
    state = part.state
    stream = catalog.stream_of(state)
    run = job.run
    is_range = run.since is not None or run.until is not None
    # A stream without a cursor is read as a whole each time.
    is_full = run.mode == "full" or not state.cursor_field
    if part.started_at is None:
        part.started_at = datetime.now(UTC)
        part.reads_all = not is_range and (is_full or state.cursor is None)
        if not is_range and not is_full:
            part.cursor = state.cursor
        if run.trigger == "confirm" and (state.brake or {}).get("kind") == "absence":
            part.phase = "delete"
    if part.status == "processing" and _note_stop(part):
        # The worker before was lost, but it had come further than any before it.
        SyncRun.objects.filter(pk=run.pk, fence=job.claim.fence).update(crashes=0)
    part.status = "processing"
    part.error_code = part.error_detail = ""
    part.save()
    return Reading(
        job=job,
        part=part,
        state=state,
        stream=stream,
        shape=shaping.Shape(
            stream=stream.name,
            record_type=state.record_type,
            filters=job.integration.data_filters,
            mapping=mappings.compiled(job.integration, state),
        ),
        watch=drift.Watch(state.columns),
        keeps_cursor=not is_range and not is_full,
        expects_new=state.records_stored == part.inserted,
    )


def _read(reading: Reading) -> None:
    job, part, run = reading.job, reading.part, reading.job.run
    assert job.connector is not None
    if part.phase == "read":
        request = ReadRequest(
            mode="incremental" if _is_incremental(reading) else "full",
            cursor=part.cursor,
            batch_size=job.integration.batch_size,
            since=run.since,
            until=run.until,
            filters=job.integration.data_filters,
            incremental_field=reading.state.incremental_field
            or job.integration.incremental_field,
            concurrent_requests=job.integration.concurrent_requests,
        )
        for page in job.connector.read(reading.stream, request):
            pages.store(reading, page)
            job.check_border()
        _advance(reading, "sweep" if deletes.needs_sweep(reading) else "delete")
    if part.phase == "sweep":
        deletes.sweep(reading)
        _advance(reading, "delete")
    brake = reading.state.brake or {}
    is_confirmed = reading.brake_is_off and run.trigger == "confirm"
    if is_confirmed and brake["kind"] == "absence":
        deletes.bury(reading, older_than=int(brake["run_id"]))
    elif deletes.is_due(reading):
        deletes.revive(reading)
        deletes.bury(reading, older_than=run.pk)
        reading.state.checked_deletes_at = datetime.now(UTC)
    elif not brake:
        seen.compact(reading.state.pk, run.pk)
    elif brake["kind"] == "absence":
        # This run has not looked, so a person still has to.
        _complete_part(reading, brake=brake)
        return
    _complete_part(reading)


def _is_incremental(reading: Reading) -> bool:
    run = reading.job.run
    if run.since or run.until:
        return True
    return run.mode == "incremental" and bool(reading.state.cursor_field)


def _advance(reading: Reading, phase: str) -> None:
    reading.part.phase = phase
    with transaction.atomic():
        reading.part.save(update_fields=["phase"])
        progress.hold(reading.job)


def _complete_part(reading: Reading, *, brake: dict[str, Any] | None = None) -> None:
    """brake: the one that stays."""
    state, part = reading.state, reading.part
    now = datetime.now(UTC)
    state.brake, state.last_success_at = brake, now
    if brake is None:
        state.status, state.last_error, state.last_error_code = "active", "", ""
    changed = [
        "brake",
        "status",
        "last_error",
        "last_error_code",
        "last_success_at",
        "checked_deletes_at",
    ]
    if part.reads_all and state.cursor_field and part.cursor is not None:
        state.cursor = part.cursor
        changed.append("cursor")
    part.phase, part.status, part.finished_at = "done", "completed", now
    with transaction.atomic():
        state.save(update_fields=changed)
        part.save()
        progress.hold(reading.job)
        progress.note(reading.job, "processing", stream=part.stream, done=True)


def _try_again(job: Job, part: RunStream, exc: TransientError) -> None:
    """Put the stream off, or end it once `retry_attempts` tries after the first came
    no further than those before them."""
    kept = RunStream.objects.get(pk=part.pk)
    kept.attempts = 1 if _note_stop(kept) else kept.attempts + 1
    part.attempts, part.stops = kept.attempts, kept.stops
    if kept.attempts <= job.integration.retry_attempts:
        _close_part(job, part, "retrying", exc.code, exc.message)
        return
    tries = "try" if kept.attempts == 1 else "tries"
    text = f"{exc.message} Given up after {kept.attempts} {tries} without progress."
    _close_part(job, part, "failed", exc.code, text)


def _note_stop(part: RunStream) -> bool:
    """Remember where a try ended; False where another has ended there already, so
    that a position which stands still or goes in circles is no progress."""
    place = json.dumps([part.phase, part.cursor], sort_keys=True)
    mark = hashlib.blake2b(place.encode(), digest_size=8).hexdigest()
    is_new = mark not in part.stops
    if is_new:
        part.stops = [*part.stops, mark][-MOST_STOPS:]
    return is_new


def _close_part(job: Job, part: RunStream, status: str, code: str, text: str) -> None:
    now = datetime.now(UTC)
    # What the rolled-back page had added is taken back.
    kept = RunStream.objects.get(pk=part.pk)
    kept.status, kept.attempts, kept.stops = status, part.attempts, part.stops
    kept.error_code, kept.error_detail = code, text
    kept.finished_at = None if status == "retrying" else now
    state = part.state
    state.status = "brake" if status == "brake" else "error"
    state.last_error, state.last_error_code, state.last_error_at = text, code, now
    with transaction.atomic():
        kept.save()
        state.save(
            update_fields=[
                "status",
                "brake",
                "last_error",
                "last_error_code",
                "last_error_at",
            ]
        )
        progress.hold(job)
    log.warning(
        "stream.failed", extra={"stream": part.stream, "code": code, "status": status}
    )
