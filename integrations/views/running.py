"""Syncs: all of them, and one with its progress."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from churnguard import formats
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import queries, runs
from integrations.models import (
    Integration,
    IntegrationStatus,
    RunStatus,
    StreamState,
    SyncRun,
)
from integrations.views.detail import parts_of
from integrations.views.shared import go, label_streams, live, refuse


@require_safe
@org_view
def run_index(request: PageRequest) -> HttpResponse:
    """Every sync of the organisation, newest first, with filters."""
    organization = request.organization
    status = request.GET.get("status", "")
    wanted = request.GET.get("integration", "").replace("\x00", "")
    choices = list(
        Integration.objects.filter(organization=organization)
        .order_by("name")
        .values_list("public_id", "name")
    )
    one = Integration.objects.filter(
        organization=organization, public_id=wanted
    ).first()
    rows: list[dict[str, Any]] = []
    problem, following = "", None
    try:
        if status and status not in RunStatus.values:
            raise ConfigError(f"“{status}” is no status of a sync.")
        if one is not None or not wanted:
            rows, following = queries.list_runs(
                organization,
                integration=one,
                status=status,
                cursor=request.GET.get("cursor"),
                limit=page_limit(request.GET.get("limit")),
            )
    except ConfigError as exc:
        problem, status = exc.message, ""
        rows, following = queries.list_runs(organization, integration=one)
    return render(
        request,
        "integrations/runs.html",
        {
            "rows": rows,
            "after": following,
            "problem": problem,
            "status": status,
            "wanted": wanted,
            "integrations": choices,
            "statuses": RunStatus.values,
            "is_filtered": bool(status or wanted),
            "live": live(request, "live-metrics"),
        },
        status=400 if problem else 200,
    )


@require_safe
@org_view
def run(request: PageRequest, sync_id: str) -> HttpResponse:
    """One sync: progress while it runs, its streams, errors and ledger."""
    body = queries.run_detail(request.organization, sync_id)
    problem = ""
    try:
        lines, following = queries.ledger_lines(
            request.organization, sync_id, cursor=request.GET.get("cursor"), limit=50
        )
    except ConfigError as exc:
        problem = exc.message
        lines, following = queries.ledger_lines(request.organization, sync_id, limit=50)
    integration = queries.get_integration(request.organization, body["integration_id"])
    label_streams(integration, body["streams"] + lines)
    is_active = body["status"] in SyncRun.ACTIVE
    return render(
        request,
        "integrations/run.html",
        {
            "run": body,
            "is_active": is_active,
            "is_waiting": body["status"] == RunStatus.PENDING,
            "faults": _faults(body["streams"]),
            "remedy": None if is_active else _remedy(request, integration, body),
            "can_retry": not is_active and body["status"] != RunStatus.COMPLETED,
            "lines": lines,
            "after": following,
            "parts": parts_of(body),
            **_hints(body),
            "problem": problem,
            "can_sync": has_role(request, "analyst"),
            "live": live(request, "live-metrics"),
            "breadcrumbs": [
                {"label": "Sync activity", "url": reverse("runs")},
                {
                    "label": body["integration_name"],
                    "url": reverse("integration", args=[body["integration_id"]]),
                },
            ],
        },
        status=400 if problem else 200,
    )


@require_POST
@org_view(role="analyst")
def cancel(request: PageRequest, sync_id: str) -> HttpResponse:
    """Stop at the next page; what is stored stays."""
    found = _run(request, sync_id)
    if runs.request_cancel(found):
        messages.success(request, "The sync stops at its next page; nothing is lost.")
    else:
        messages.info(request, "This sync had already ended.")
    return go(request, "run", sync_id)


@require_POST
@org_view(role="analyst")
def retry(request: PageRequest, sync_id: str) -> HttpResponse:
    """The same again, for the streams that did not complete."""
    found = _run(request, sync_id)
    parts = found.parts.select_related("state")
    open_parts = [
        part.stream
        for part in parts
        if part.status != "completed" and not part.state.is_gone
    ]
    try:
        made = runs.start(
            found.integration,
            trigger="retry",
            by=request.user.email,
            mode=found.mode,
            streams=open_parts or found.streams,
            since=found.since,
            until=found.until,
        )
    except runs.AlreadyRunningError as exc:
        messages.info(request, exc.message)
        return go(request, "run", exc.run.public_id if exc.run else sync_id)
    except ChurnGuardError as exc:
        refuse(request, exc)
        return go(request, "run", sync_id)
    messages.success(request, "It is tried again.")
    return go(request, "run", made.public_id)


def _run(request: PageRequest, sync_id: str) -> SyncRun:
    return get_object_or_404(
        SyncRun.objects.select_related("integration__organization"),
        organization=request.organization,
        public_id=sync_id,
    )


def _faults(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What went wrong, once for all streams it happened to: status, error_code,
    error_detail, labels."""
    same: dict[tuple[str, ...], list[str]] = {}
    for part in parts:
        if part["error_code"]:
            fault = (part["status"], part["error_code"], part["error_detail"])
            same.setdefault(fault, []).append(part["label"])
    names = ("status", "error_code", "error_detail")
    return [
        {**dict(zip(names, fault, strict=True)), "labels": labels}
        for fault, labels in same.items()
    ]


def _remedy(
    request: PageRequest, integration: Integration, body: dict[str, Any]
) -> dict[str, str] | None:
    """{label, url} of what still has to be done before another try can go well."""
    if not has_role(request, "admin"):
        return None
    is_locked_out = integration.status == IntegrationStatus.AUTHENTICATION_FAILED
    if body["error_code"] == "authentication_failed" and is_locked_out:
        url = reverse("integration-settings", args=[integration.public_id])
        return {"label": "Reconnect", "url": f"{url}#connection"}
    braked = [part["stream"] for part in body["streams"] if part["status"] == "brake"]
    states = StreamState.objects.filter(integration=integration, name__in=braked)
    if states.filter(status="brake").exists():
        url = reverse("integration", args=[integration.public_id])
        return {"label": "Decide about the deletes", "url": f"{url}#brake"}
    return None


def _hints(body: dict[str, Any]) -> dict[str, Any]:
    """The small lines of the page: rate, time left, when it began."""
    remaining, took_s = body["estimated_remaining"], body["duration_s"]
    rate = body["fetched"] / took_s if took_s and body["fetched"] else None
    return {
        "stored": body["inserted"] + body["updated"],
        "hint": f"about {remaining} left" if remaining else "",
        "rate_hint": f"{formats.number(rate)} a second" if rate else "records",
        "started_hint": (
            f"began {formats.ago(body['started_at'])}"
            if body["started_at"]
            else "not begun yet"
        ),
    }
