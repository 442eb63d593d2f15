"""Sync runs: the list, one with its streams and ledger, and how the newest goes."""

from __future__ import annotations

from datetime import UTC, datetime
from statistics import median
from typing import Any

from django.db.models import Q, Sum
from django.http import Http404

from churnguard.api import keyset_by_id
from churnguard.models import Batch, Organization
from integrations.models import Integration, RunStatus, RunStream, SyncRun

_UNITS = ((86_400, "day"), (3600, "hour"), (60, "minute"))


def list_runs(
    organization: Organization,
    *,
    integration: Integration | None = None,
    status: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """Runs, newest first, and the cursor of the next page (None at the end)."""
    rows = SyncRun.objects.filter(organization=organization)
    if integration is not None:
        rows = rows.filter(integration=integration)
    if status:
        rows = rows.filter(status=status)
    found, following = keyset_by_id(
        rows.select_related("integration"), cursor=cursor, limit=limit
    )
    sums: dict[int, dict[str, Any]] = {
        row["run_id"]: dict(row)
        for row in RunStream.objects.filter(run__in=found)
        .values("run_id")
        .annotate(**{name: Sum(name) for name in Batch.TOTALS})
    }
    return [run_body(run, sums.get(run.pk)) for run in found], following


def run_body(run: SyncRun, sums: dict[str, Any] | None = None) -> dict[str, Any]:
    """One run: sync_id, integration, trigger, mode, status, times, error, and the sums
    of its ledger (fetched = inserted + updated + ... + filtered)."""
    if sums is None:
        sums = RunStream.objects.filter(run=run).aggregate(
            **{name: Sum(name) for name in Batch.TOTALS}
        )
    ended = run.finished_at or datetime.now(UTC)
    return {
        "sync_id": run.public_id,
        "integration_id": run.integration.public_id,
        "integration_name": run.integration.name,
        "trigger": run.trigger,
        "requested_by": run.requested_by,
        "mode": run.mode,
        "since": run.since,
        "until": run.until,
        "status": run.status,
        "is_cancelling": bool(run.cancel_requested_at and run.is_active),
        "attempts": run.attempts,
        "run_at": run.run_at if run.status == RunStatus.PENDING else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_s": (
            (ended - run.started_at).total_seconds() if run.started_at else None
        ),
        "error_code": run.error_code,
        "error_detail": run.error_detail,
        **{name: int(sums[name] or 0) for name in Batch.TOTALS},
    }


def run_detail(organization: Organization, sync_id: str) -> dict[str, Any]:
    """A run with `streams`, `progress` and `estimated_remaining`. Raises Http404."""
    run = _get_run(organization, sync_id)
    parts = list(RunStream.objects.filter(run=run).order_by("position", "pk"))
    return {
        **run_body(run),
        **_forecast(run, parts),
        "streams": [_part(part) for part in parts],
    }


def ledger_lines(
    organization: Organization,
    sync_id: str,
    *,
    cursor: str | None = None,
    limit: int = 100,
) -> tuple[list[dict[str, Any]], str | None]:
    """The pages of a run as they were committed, newest first. Raises Http404."""
    run = _get_run(organization, sync_id)
    found, following = keyset_by_id(
        Batch.objects.filter(organization=organization, run_id=run.pk),
        cursor=cursor,
        limit=limit,
    )
    return [
        {
            "batch_id": line.pk,
            "origin": line.origin,
            "stream": line.stream,
            "page": line.page,
            "received_at": line.received_at,
            **{name: getattr(line, name) for name in Batch.TOTALS},
        }
        for line in found
    ], following


def sync_status(integration: Integration) -> dict[str, Any]:
    """The specification's status answer about the running sync, else the newest one:
    integration_id, status, progress (0..1, None while the end is unknown),
    records_processed, estimated_remaining; beside it sync_id, sync_status and streams.
    """
    run = SyncRun.objects.filter(integration=integration).order_by("-pk").first()
    answer: dict[str, Any] = {
        "integration_id": integration.public_id,
        "status": integration.status,
        "status_detail": integration.status_detail,
        "resumes_at": integration.resumes_at,
        "progress": 0.0,
        "records_processed": 0,
        "estimated_remaining": None,
        "sync_id": None,
        "sync_status": None,
        "streams": [],
    }
    if run is None:
        return answer
    parts = list(RunStream.objects.filter(run=run).order_by("position", "pk"))
    if run.status == RunStatus.PROCESSING:
        answer["status"] = "syncing"
    return {
        **answer,
        **_forecast(run, parts),
        "records_processed": sum(part.fetched for part in parts),
        "sync_id": run.public_id,
        "sync_status": run.status,
        "streams": [_part(part) for part in parts],
    }


def estimated_duration(integration: Integration, mode: str) -> str:
    """How long the last complete runs of this mode took, in words; "unknown" before
    there were any."""
    times = [
        (run.finished_at - run.started_at).total_seconds()
        for run in SyncRun.objects.filter(
            integration=integration,
            mode=mode,
            status=RunStatus.COMPLETED,
            started_at__isnull=False,
            finished_at__isnull=False,
        ).order_by("-pk")[:5]
        if run.finished_at and run.started_at
    ]
    return in_words(median(times)) if times else "unknown"


def in_words(seconds: float) -> str:
    """ "2 minutes", "1 hour", "less than a minute"."""
    for size, unit in _UNITS:
        if seconds >= size:
            count = round(seconds / size)
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return "less than a minute"


def _get_run(organization: Organization, sync_id: str) -> SyncRun:
    run = (
        SyncRun.objects.select_related("integration")
        .filter(organization=organization, public_id=sync_id)
        .first()
    )
    if run is None:
        raise Http404("No such sync.")
    return run


def _part(part: RunStream) -> dict[str, Any]:
    return {
        "stream": part.stream,
        "status": part.status,
        "phase": part.phase,
        "pages": part.pages,
        "total": part.total,
        "progress": _ratio(part),
        "attempts": part.attempts,
        "started_at": part.started_at,
        "finished_at": part.finished_at,
        "error_code": part.error_code,
        "error_detail": part.error_detail,
        **{name: getattr(part, name) for name in Batch.TOTALS},
    }


def _ratio(part: RunStream) -> float | None:
    if part.status == "completed":
        return 1.0
    if part.total is None:
        return 0.0 if part.status == "pending" else None
    if part.total == 0:
        return 1.0
    return min(1.0, part.fetched / part.total)


def _forecast(run: SyncRun, parts: list[RunStream]) -> dict[str, Any]:
    """progress and estimated_remaining, from the totals and the rate so far."""
    if run.status == RunStatus.COMPLETED:
        return {"progress": 1.0, "estimated_remaining": None}
    progress = _progress(run, parts)
    remaining = None
    done = sum(part.fetched for part in parts)
    started = run.started_at if run.status == RunStatus.PROCESSING else None
    if started is not None and progress and 0 < progress < 1 and done:
        elapsed_s = (datetime.now(UTC) - started).total_seconds()
        remaining = in_words(elapsed_s * (1 - progress) / progress)
    return {
        "progress": None if progress is None else round(progress, 4),
        "estimated_remaining": remaining,
    }


def _progress(run: SyncRun, parts: list[RunStream]) -> float | None:
    if not parts:
        return 0.0
    totals = [
        part.fetched if part.status == "completed" else part.total for part in parts
    ]
    open_parts = [p for p in parts if p.status != "completed" and p.total is None]
    if open_parts:
        totals = _totals_of_last_run(run, parts)
    if any(total is None for total in totals):
        return None
    whole = sum(total or 0 for total in totals)
    if whole == 0:
        return None
    done = sum(
        min(part.fetched, total or 0) for part, total in zip(parts, totals, strict=True)
    )
    return done / whole


def _totals_of_last_run(run: SyncRun, parts: list[RunStream]) -> list[int | None]:
    """Where the provider tells no total, a full read is as long as the last one."""
    last: dict[str, int] = {}
    if run.mode == "full":
        rows = RunStream.objects.filter(
            Q(run__integration_id=run.integration_id)
            & Q(run__mode="full", status="completed")
            & Q(run_id__lt=run.pk)
        ).order_by("-run_id")[: 4 * len(parts)]
        for row in rows:
            last.setdefault(row.stream, row.fetched)
    return [
        part.fetched
        if part.status == "completed"
        else part.total
        if part.total is not None
        else last.get(part.stream)
        for part in parts
    ]
