"""How a run ends, or is put off: its status, the integration's, and who is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.db import transaction

from churnguard.errors import (
    ConfigError,
    RateLimitedError,
    RestingError,
    TransientError,
)
from integrations import connecting, notices, progress, runs
from integrations.crashpoints import crash_point
from integrations.models import Integration, RunStream, StreamState, SyncRun
from integrations.pages import BrakeError
from integrations.progress import Job

OPEN = ("pending", "processing", "retrying")


def conclude(job: Job) -> str:
    parts = list(RunStream.objects.filter(run=job.run))
    retrying = [part for part in parts if part.status == "retrying"]
    if retrying:
        worst = max(retrying, key=lambda part: part.attempts)
        wait_s = runs.backoff_s(job.integration.retry_backoff, worst.attempts)
        return _put_off(job, wait_s, worst.error_code, worst.error_detail, counts=True)
    bad = [part for part in parts if part.status != "completed"]
    if not bad:
        return end(job, "completed")
    code = bad[0].error_code
    detail = _in_words(bad)
    is_failed = all(part.status == "failed" for part in parts)
    status = "failed" if is_failed else "incomplete"
    return end(job, status, code=code, detail=detail)


def _in_words(parts: list[RunStream]) -> str:
    """ "companies, deals: It said no." once for all streams with the same trouble."""
    names: dict[str, list[str]] = {}
    for part in parts:
        names.setdefault(part.error_detail, []).append(part.stream)
    return " ".join(f"{', '.join(who)}: {text}" for text, who in names.items())


def later(job: Job, code: str, text: str, retry_after_s: float | None) -> str:
    attempt = SyncRun.objects.values_list("attempts", flat=True).get(pk=job.run.pk) + 1
    if attempt > job.integration.retry_attempts:
        done = RunStream.objects.filter(run=job.run, status="completed").exists()
        status = "incomplete" if done else "failed"
        return end(job, status, code=code, detail=text)
    wait_s = runs.backoff_s(job.integration.retry_backoff, attempt)
    return _put_off(job, max(wait_s, retry_after_s or 0.0), code, text, counts=True)


def _put_off(job: Job, wait_s: float, code: str, text: str, *, counts: bool) -> str:
    with transaction.atomic():
        run_at = runs.put_off(
            job.claim, wait_s=wait_s, code=code, detail=text, counts=counts
        )
        Integration.objects.filter(pk=job.integration.pk, status="syncing").update(
            status="active",
            status_detail=f"{text} The next try is at {run_at:%H:%M:%S} UTC.",
        )
        progress.note(job, "retrying", run_at=run_at.isoformat())
    return "pending"


def rate_limited(job: Job, exc: RateLimitedError) -> str:
    with transaction.atomic():
        run_at = runs.put_off(
            job.claim,
            wait_s=_wait_s(job, exc),
            code=exc.code,
            detail=exc.message,
            counts=False,
        )
        Integration.objects.filter(pk=job.integration.pk, status="syncing").update(
            status="rate_limited", resumes_at=run_at, status_detail=exc.message
        )
        _lay_down(job)
        progress.note(job, "rate_limited", run_at=run_at.isoformat())
    return "pending"


def resting(job: Job, exc: RestingError) -> str:
    """Go on when the rest is over; no try is counted, since none was made."""
    with transaction.atomic():
        status = _put_off(job, _wait_s(job, exc), exc.code, exc.message, counts=False)
        _lay_down(job)
    return status


def _wait_s(job: Job, exc: TransientError) -> float:
    if exc.retry_after_s is not None:
        return exc.retry_after_s
    return runs.backoff_s(job.integration.retry_backoff, 1)


def _lay_down(job: Job) -> None:
    """The stream being read waits like the others; its try is not over."""
    RunStream.objects.filter(run=job.run, status="processing").update(status="pending")


def cancelled(job: Job) -> str:
    now = datetime.now(UTC)
    with transaction.atomic():
        RunStream.objects.filter(run=job.run, status__in=OPEN).update(
            status="cancelled", finished_at=now
        )
        StreamState.objects.filter(
            integration=job.integration, status="syncing"
        ).update(status="active")
        return end(job, "cancelled")


def end(
    job: Job,
    status: str,
    *,
    code: str = "",
    detail: str = "",
    error: ConfigError | None = None,
) -> str:
    """Finish the run and leave the integration in the state a person should see."""
    crash_point("before_end")
    integration = job.integration
    now = datetime.now(UTC)
    changes: dict[str, Any] = {"resumes_at": None, "status_detail": detail}
    if status in ("completed", "incomplete"):
        changes["last_sync_timestamp"] = now
    if status == "failed":
        changes["status"] = connecting.status_of(error) if error else "error"
    else:
        changes["status"] = "active"
    with transaction.atomic():
        runs.finish(job.claim, status, code=code, detail=detail)
        RunStream.objects.filter(run=job.run, status__in=OPEN).update(
            status="failed", error_code=code, error_detail=detail, finished_at=now
        )
        rows = Integration.objects.filter(pk=integration.pk)
        if not rows.exclude(status="paused").update(**changes):
            changes.pop("status")
            rows.update(**changes)
        _tell(integration, status, changes.get("status", ""), code, detail)
        progress.note(job, status)
    return status


def _tell(
    integration: Integration, status: str, state: str, code: str, detail: str
) -> None:
    if status == "completed":
        notices.over(integration)
    elif state == "authentication_failed":
        notices.trouble(
            integration,
            kind="credential_failed",
            title=f"{integration.name} has to be reconnected",
            detail=detail,
            severity="critical",
        )
    elif code == BrakeError.code:
        notices.trouble(
            integration,
            kind="delete_brake",
            title=f"{integration.name} wants to delete many records",
            detail=detail,
            severity="warning",
        )
    elif status in ("failed", "incomplete"):
        said = "failed" if status == "failed" else "could not read everything"
        notices.trouble(
            integration,
            kind="sync_failed",
            title=f"A sync of {integration.name} {said}",
            detail=detail,
            severity="critical" if status == "failed" else "warning",
        )


def counts(run: SyncRun) -> dict[str, int]:
    parts = RunStream.objects.filter(run=run)
    return {
        "recordCount": sum(part.fetched for part in parts),
        "written": sum(part.inserted + part.updated for part in parts),
        "quarantined": sum(part.quarantined for part in parts),
    }
