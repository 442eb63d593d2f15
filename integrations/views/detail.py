"""One integration: how its streams are, its runs, its ledger."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_POST, require_safe

from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import activity, controls, queries, runs
from integrations.models import Integration, StreamState, SyncRun
from integrations.views.listing import look_of
from integrations.views.shared import (
    go,
    label_streams,
    live,
    refuse,
    strip_label,
    strip_of,
)

TABS = (
    ("status", "Status", "integration"),
    ("runs", "Runs", "integration-runs"),
    ("ledger", "Ledger", "integration-ledger"),
    ("mapping", "Mapping", "integration-mapping"),
    ("settings", "Settings", "integration-settings"),
)


def frame(request: PageRequest, integration: Integration, tab: str) -> dict[str, Any]:
    """The context of every tab."""
    row = next(
        row
        for row in queries.list_integrations(
            request.organization, search=integration.public_id
        )
        if row["integration_id"] == integration.public_id
    )
    status = queries.sync_status(integration)
    return {
        "integration": integration,
        "row": row,
        "status": status,
        "look": look_of(row, status["progress"]),
        "is_running": status["sync_status"] in SyncRun.ACTIVE,
        "tab": tab,
        "tabs": [
            (key, label, reverse(name, args=[integration.public_id]))
            for key, label, name in TABS
            if key != "settings" or has_role(request, "admin")
        ],
        "can_sync": has_role(request, "analyst"),
        "can_admin": has_role(request, "admin"),
        "live": live(request, "live-metrics", "alerts"),
        "breadcrumbs": [{"label": "Integrations", "url": reverse("integrations")}],
        "as_of": datetime.now(UTC),
    }


@require_safe
@org_view
def integration(request: PageRequest, integration_id: str) -> HttpResponse:
    """The Status tab: per stream, with the running sync, brakes and drift."""
    found = queries.get_integration(request.organization, integration_id)
    context = frame(request, found, "status")
    streams = queries.list_streams(found)
    parts = {part["stream"]: part for part in context["status"]["streams"]}
    for stream in streams:
        stream["part"] = parts.get(stream["stream"]) if context["is_running"] else None
        stream["look"] = _stream_look(stream)
        own_s = stream["sync_frequency"]
        every_s = found.sync_frequency if own_s is None else own_s
        stream["stale_after_s"] = 2 * every_s or None
    context |= {
        "streams": [s for s in streams if s["enabled"] and not s["gone"]],
        "unchosen": [s for s in streams if not s["enabled"] and not s["gone"]],
        "gone": [s for s in streams if s["gone"]],
        "braked": [s for s in streams if s["brake"]],
        "drifted": [(s, s["drift"][-5:][::-1]) for s in streams if s["drift"]],
        "strip": strip_of(context["row"]["runs"]),
        "strip_label": strip_label(context["row"]["runs"]),
        "source_query": quote(found.source.name),
        "quarantine_tone": "warn" if context["row"]["quarantined"] else None,
        "chosen": sum(s["enabled"] and not s["gone"] for s in streams),
        "stale_after_s": 2 * found.sync_frequency or None,
    }
    return render(request, "integrations/status.html", context)


@require_safe
@org_view
def run_list(request: PageRequest, integration_id: str) -> HttpResponse:
    """The Runs tab."""
    found = queries.get_integration(request.organization, integration_id)
    context = frame(request, found, "runs")
    try:
        rows, following = queries.list_runs(
            request.organization,
            integration=found,
            cursor=request.GET.get("cursor"),
            limit=page_limit(request.GET.get("limit"), default=25),
        )
    except ConfigError as exc:
        context["problem"] = exc.message
        rows, following = queries.list_runs(
            request.organization, integration=found, limit=25
        )
    context |= {
        "rows": rows,
        "after": following,
        "streams": [s for s in queries.list_streams(found) if not s["gone"]],
    }
    return render(
        request,
        "integrations/run_list.html",
        context,
        status=400 if "problem" in context else 200,
    )


@require_safe
@org_view
def ledger(request: PageRequest, integration_id: str) -> HttpResponse:
    """The Ledger tab: what every committed page held."""
    found = queries.get_integration(request.organization, integration_id)
    context = frame(request, found, "ledger")
    try:
        lines, following = activity.ledger_of(
            found, cursor=request.GET.get("cursor"), limit=50
        )
    except ConfigError as exc:
        context["problem"] = exc.message
        lines, following = activity.ledger_of(found, limit=50)
    label_streams(found, lines)
    sums = activity.ledger_sums(found)
    context |= {
        "lines": lines,
        "after": following,
        "sums": sums,
        "parts": parts_of(sums),
    }
    return render(
        request,
        "integrations/ledger.html",
        context,
        status=400 if "problem" in context else 200,
    )


def parts_of(sums: dict[str, Any]) -> list[tuple[str, int, str]]:
    """(status word, records, title) for a stacked bar of what became of them."""
    words = {
        "inserted": "completed",
        "updated": "processing",
        "unchanged": "paused",
        "duplicate": "skipped",
        "quarantined": "quarantined",
        "filtered": "inactive",
    }
    return [
        (word, sums[name], f"{name} {sums[name]}")
        for name, word in words.items()
        if sums[name]
    ]


@require_POST
@org_view(role="admin")
def brake(request: PageRequest, integration_id: str) -> HttpResponse:
    """Let the stopped deletes happen, or keep the records."""
    state = _state(request, integration_id)
    try:
        if request.POST.get("do") == "confirm":
            run = controls.confirm_deletes(state, by=request)
            messages.success(request, "The deletes are being carried out.")
            return go(request, "run", run.public_id)
        controls.keep_records(state, by=request)
        messages.success(request, "The records were kept; nothing was deleted.")
    except runs.AlreadyRunningError as exc:
        messages.info(request, exc.message)
    except ChurnGuardError as exc:
        refuse(request, exc)
    return go(request, "integration", integration_id)


@require_POST
@org_view(role="admin")
def stream(request: PageRequest, integration_id: str) -> HttpResponse:
    """Take a stream in or out of the sync, or change its record type and clock."""
    state = _state(request, integration_id)
    if "record_type" in request.POST:
        return _change(request, state)
    is_on = request.POST.get("enabled") == "1"
    try:
        controls.update_stream(state, {"enabled": is_on}, by=request)
        messages.success(
            request, f"{state} is {'part of' if is_on else 'left out of'} the sync."
        )
    except ChurnGuardError as exc:
        refuse(request, exc)
    return go(request, "integration", integration_id)


def _change(request: PageRequest, state: StreamState) -> HttpResponse:
    """The record type, and what else the form has: the clock ("" = the usual) and the
    field that tells a change ("" = the connector's)."""
    before = state.record_type
    wanted: dict[str, Any] = {
        "record_type": request.POST["record_type"].replace("\x00", "")
    }
    clock = request.POST.get("sync_frequency", "")
    if "sync_frequency" in request.POST:
        wanted["sync_frequency"] = int(clock) if clock.isdecimal() else None
    if "incremental_field" in request.POST:
        wanted["incremental_field"] = request.POST["incremental_field"]
    try:
        controls.update_stream(state, wanted, by=request)
    except ChurnGuardError as exc:
        refuse(request, exc)
    else:
        said = f"{state} was changed."
        if state.record_type != before:
            said = (
                f"{state} becomes {state.record_type}; the next sync reads all of it."
            )
        messages.success(request, said)
    return go(request, "integration-settings", state.integration.public_id)


@require_POST
@org_view(role="analyst")
def forget_drift(request: PageRequest, integration_id: str) -> HttpResponse:
    """The notes on changed fields were read."""
    state = _state(request, integration_id)
    controls.forget_drift(state, by=request)
    return go(request, "integration", integration_id)


def _state(request: PageRequest, integration_id: str) -> StreamState:
    found = queries.get_integration(request.organization, integration_id)
    return get_object_or_404(
        StreamState.objects.select_related("integration__organization"),
        integration=found,
        name=request.POST.get("stream", "").replace("\x00", ""),
    )


def _stream_look(stream: dict[str, Any]) -> tuple[str, str]:
    """(status word, label)."""
    part = stream["part"]
    if part is not None and part["status"] in ("pending", "processing", "retrying"):
        return part["status"], ""
    if stream["status"] == "brake":
        return "action_required", "Confirm deletes"
    return {
        "active": ("synced", ""),
        "syncing": ("processing", ""),
        "error": ("error", ""),
        "never": ("never", ""),
    }.get(stream["status"], (stream["status"], ""))
