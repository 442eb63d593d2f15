"""Kept analyses, newest first; API and pages read from here alone."""

from __future__ import annotations

from typing import Any

from django.http import Http404

from analytics.models import AnalysisRun
from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Organization

KINDS = ("daily", "weekly", "monthly")
_LARGEST_ID = 2**63 - 1


def list_runs(
    organization: Organization,
    *,
    kind: str = "",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[AnalysisRun], str | None]:
    """A keyset page, newest first: (rows, next cursor or None). Raises ConfigError."""
    rows = AnalysisRun.objects.filter(organization=organization)
    if kind and kind not in KINDS:
        raise ConfigError(
            f"kind must be one of {', '.join(KINDS)}.",
            code="invalid",
            fields={"kind": f"one of {', '.join(KINDS)}"},
        )
    if kind:
        rows = rows.filter(kind=kind)
    if cursor:
        (last,) = decode_cursor(cursor, 1)
        if not isinstance(last, int) or not 0 <= last <= _LARGEST_ID:
            raise ConfigError("This cursor is not valid.", code="invalid_cursor")
        rows = rows.filter(pk__lt=last)
    found = list(rows.order_by("-pk")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    return found, encode_cursor([found[-1].pk]) if more else None


def get_run(organization: Organization, run_id: str) -> AnalysisRun:
    """One analysis. Raises Http404 where the organisation has none of this id."""
    if not (run_id.isascii() and run_id.isdigit() and len(run_id) < 19):
        raise Http404
    found = AnalysisRun.objects.filter(organization=organization, pk=run_id).first()
    if found is None:
        raise Http404
    return found


def get_before(run: AnalysisRun) -> AnalysisRun | None:
    """The finished analysis of the same kind before this one."""
    return (
        AnalysisRun.objects.filter(
            organization_id=run.organization_id,
            kind=run.kind,
            scheduled_for__lt=run.scheduled_for,
            finished_at__isnull=False,
            error="",
        )
        .order_by("-scheduled_for")
        .first()
    )


def state_of(run: AnalysisRun) -> str:
    """queued, running, completed or failed."""
    if run.error:
        return "failed"
    if run.finished_at is not None:
        return "completed"
    return "running" if run.started_at is not None else "queued"


def head_body(run: AnalysisRun) -> dict[str, Any]:
    """A run without its result."""
    return {
        "analysis_id": str(run.pk),
        "kind": run.kind,
        "status": state_of(run),
        "scheduled_for": run.scheduled_for,
        "period_start": run.period_start,
        "period_end": run.period_end,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": run.error,
    }
