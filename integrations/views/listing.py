"""The list of integrations, and what can be done from one of its rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_POST, require_safe

from churnguard import formats
from churnguard.auth import has_role, org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import activity, controls, queries, runs
from integrations.models import Integration, IntegrationStatus, SyncRun
from integrations.views.shared import (
    active_run,
    go,
    live,
    refuse,
    strip_label,
    strip_of,
)

_TROUBLE = ("authentication_failed", "error")
_WORDS = {
    "healthy": "healthy",
    "syncing": "syncing",
    "authentication_failed": "needs action",
    "action_required": "needs action",
    "error": "failing",
    "incomplete": "partly failing",
    "rate_limited": "rate limited",
    "retrying": "retrying",
    "paused": "paused",
    "inactive": "not set up",
    "never": "not synced yet",
}


@dataclass(frozen=True, slots=True)
class Look:
    """How a row's state reads. status: a word of `churnguard.statuses`; action: the
    one thing to do: sync, cancel, resume, reconnect, setup or view."""

    status: str
    label: str
    detail: str
    action: str


@require_safe
@org_view
def integrations(request: PageRequest) -> HttpResponse:
    """Tiles, records per minute, and the filtered list."""
    organization, now = request.organization, datetime.now(UTC)
    chosen = {
        name: request.GET.get(name, "").replace("\x00", "").strip()
        for name in ("q", "status", "provider", "tag")
    }
    everything = queries.list_integrations(organization)
    wanted = _matching(request, chosen)
    rows = [
        row for row in everything if wanted is None or row["integration_id"] in wanted
    ]
    progress = _progress(request, rows)
    day = activity.last_day(organization, now)
    more = _more(request)
    return render(
        request,
        "integrations/list.html",
        {
            "rows": [
                {
                    **row,
                    **more[row["integration_id"]],
                    "look": look_of(row, progress.get(row["integration_id"])),
                    "strip": strip_of(row["runs"]),
                    "strip_label": strip_label(row["runs"]),
                }
                for row in rows
            ],
            "total": len(everything),
            "said": _said(everything),
            "trouble": [
                {**row, "title": _stopped(row)}
                for row in everything
                if row["status"] in _TROUBLE
            ][:3],
            "brakes": [r for r in everything if r["brakes"]][:3],
            "day": day,
            **_hints(day),
            "chart": _chart(activity.per_minute(organization, now)),
            "chosen": chosen,
            "is_filtered": any(chosen.values()),
            "statuses": [
                (status, count)
                for status, count in queries.count_by_status(organization).items()
                if count or status == chosen["status"]
            ],
            "providers": sorted(
                {(r["provider_name"], r["provider_label"]) for r in everything},
                key=lambda pair: pair[1].lower(),
            ),
            "tags": sorted({tag for row in everything for tag in row["tags"]}),
            "can_sync": has_role(request, "analyst"),
            "can_admin": has_role(request, "admin"),
            "live": live(request, "live-metrics", "alerts"),
            "as_of": now,
        },
    )


@require_POST
@org_view(role="analyst")
def sync(request: PageRequest, integration_id: str) -> HttpResponse:
    """Start a sync now; `mode` full or incremental, `stream` one or several names;
    `since` and `until` (days, both included) read a range again."""
    integration = queries.get_integration(request.organization, integration_id)
    try:
        since, until = _day(request, "since"), _day(request, "until")
        run = runs.start(
            integration,
            trigger="backfill" if since or until else "manual",
            by=request.user.email,
            mode=request.POST.get("mode", ""),
            streams=[name for name in request.POST.getlist("stream") if name],
            since=since,
            until=until + timedelta(days=1) if until else None,
        )
    except runs.AlreadyRunningError as exc:
        messages.info(request, exc.message)
        if exc.run is not None:
            return go(request, "run", exc.run.public_id)
        return go(request, "integration", integration.public_id)
    except ChurnGuardError as exc:
        refuse(request, exc)
        return go(request, "integration", integration.public_id)
    messages.success(request, f"The sync of {integration.name} has begun.")
    return go(request, "run", run.public_id)


def _day(request: PageRequest, name: str) -> datetime | None:
    """Midnight UTC of a day in the form, None where it is empty. Raises ConfigError."""
    text = request.POST.get(name, "").strip()
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time.min, UTC)
    except ValueError as exc:
        raise ConfigError(
            f"“{text[:40]}” is no day such as 2026-01-31.", fields={name: "not a day"}
        ) from exc


@require_POST
@org_view(role="analyst")
def cancel(request: PageRequest, integration_id: str) -> HttpResponse:
    """Stop the running sync at its next page."""
    integration = queries.get_integration(request.organization, integration_id)
    run: SyncRun | None = active_run(integration)
    if run is not None and runs.request_cancel(run):
        messages.success(request, "The sync stops at its next page; nothing is lost.")
    else:
        messages.info(request, "No sync is running.")
    return go(request, "integration", integration.public_id)


@require_POST
@org_view(role="admin")
def pause(request: PageRequest, integration_id: str) -> HttpResponse:
    """No syncs until somebody resumes."""
    integration = queries.get_integration(request.organization, integration_id)
    controls.pause(integration, by=request)
    messages.success(request, f"{integration.name} is paused.")
    return go(request, "integration", integration.public_id)


@require_POST
@org_view(role="admin")
def resume(request: PageRequest, integration_id: str) -> HttpResponse:
    """Let it sync again."""
    integration = queries.get_integration(request.organization, integration_id)
    controls.resume(integration, by=request)
    messages.success(request, f"{integration.name} syncs again.")
    return go(request, "integration", integration.public_id)


@require_POST
@org_view(role="admin")
def bulk(request: PageRequest) -> HttpResponse:
    """Pause or resume the ticked integrations."""
    ids = request.POST.getlist("id")
    act = {"pause": controls.pause_many, "resume": controls.resume_many}.get(
        request.POST.get("do", "")
    )
    if act is None or not ids:
        messages.error(request, "Tick at least one integration.")
        return go(request, "integrations")
    done = len(act(request.organization, ids, by=request))
    word = "paused" if act is controls.pause_many else "resumed"
    rest = len(set(ids)) - done
    if not done:
        messages.info(request, f"Nothing to do: none of them could be {word}.")
    else:
        left = f" {rest} did not need it." if rest else ""
        plural = "integration was" if done == 1 else "integrations were"
        messages.success(request, f"{done} {plural} {word}.{left}")
    return go(request, "integrations")


def look_of(row: dict[str, Any], progress: float | None = None) -> Look:
    """The state of a row of `queries.list_integrations` in words; progress 0..1 of its
    running sync."""
    status = row["status"]
    if status == "syncing":
        detail = "" if progress is None else formats.percent(progress, 0)
        return Look("syncing", "", detail, "cancel")
    if status == "rate_limited":
        at = row["resumes_at"]
        return Look(
            "rate_limited", "", f"resumes {formats.ago(at)}" if at else "", "view"
        )
    if status == "authentication_failed":
        return Look("authentication_failed", "Action required", "", "reconnect")
    if status == "inactive":
        return Look("inactive", "Not set up", "", "setup")
    if status == "paused":
        return Look("paused", "", "", "resume")
    if status == "error":
        return Look("error", "Failing", "", "sync")
    if row["brakes"]:
        return Look("action_required", "Confirm deletes", "", "view")
    failing = row["streams_failing"]
    if failing and failing == row["streams"]:
        return Look("error", "Failing", "", "sync")
    if failing:
        detail = f"{failing} of {row['streams']} streams"
        return Look("incomplete", "Partly failing", detail, "sync")
    waits = any(run["status"] == "pending" for run in row["runs"])
    if row["status_detail"] and waits:
        return Look("retrying", "", "", "view")
    if row["last_success_at"] is None:
        return Look("never", "", "", "view" if waits else "sync")
    return Look("healthy", "", "", "sync")


def _matching(request: PageRequest, chosen: dict[str, str]) -> set[str] | None:
    if not any(chosen.values()):
        return None
    rows = queries.list_integrations(
        request.organization,
        search=chosen["q"],
        status=chosen["status"],
        provider=chosen["provider"],
    )
    tag = chosen["tag"]
    return {row["integration_id"] for row in rows if not tag or tag in row["tags"]}


def _progress(
    request: PageRequest, rows: list[dict[str, Any]]
) -> dict[str, float | None]:
    """{integration_id: 0..1 or None} of those that sync now."""
    return {
        row["integration_id"]: queries.sync_status(
            queries.get_integration(request.organization, row["integration_id"])
        )["progress"]
        for row in rows
        if row["status"] == IntegrationStatus.SYNCING
    }


def _said(rows: list[dict[str, Any]]) -> str:
    """ "6 integrations · 3 healthy, 1 rate limited", in the order of _WORDS."""
    counts = Counter(_WORDS[look_of(row).status] for row in rows)
    plural = "integration" if len(rows) == 1 else "integrations"
    words = [word for word in dict.fromkeys(_WORDS.values()) if counts[word]]
    parts = ", ".join(f"{counts[word]} {word}" for word in words)
    return f"{len(rows)} {plural}" + (f" · {parts}" if parts else "")


def _stopped(row: dict[str, Any]) -> str:
    """The title of a banner: "HubSpot stopped syncing 6 h ago."."""
    at = row["last_success_at"]
    if at is None:
        return f"{row['integration_name']} has not synced yet."
    return f"{row['integration_name']} last synced {formats.ago(at)}."


def _more(request: PageRequest) -> dict[str, dict[str, Any]]:
    """{integration_id: its source's name, and when its success is old: two of its
    intervals}."""
    rows = Integration.objects.filter(organization=request.organization)
    return {
        public_id: {"source": source, "stale_after_s": 2 * every_s or None}
        for public_id, source, every_s in rows.values_list(
            "public_id", "source__name", "sync_frequency"
        )
    }


def _hints(day: activity.Day) -> dict[str, Any]:
    """The small lines under the figures, and their tones."""
    ended = [
        f"{count} {word}"
        for word, count in (
            ("completed", day.completed),
            ("incomplete", day.incomplete),
            ("failed", day.failed),
            ("cancelled", day.cancelled),
        )
        if count
    ]
    if not day.scheduled:
        freshness = "nothing is scheduled"
    elif day.late:
        freshness = f"{day.late} of {day.scheduled} missed two syncs"
    else:
        freshness = "all on schedule"
    return {
        "day_hint": " · ".join(ended) or "none has ended",
        "failure_tone": "danger" if day.is_failing else None,
        "records_hint": "inserted and updated, since 00:00 UTC",
        "freshness_hint": freshness,
        "freshness_tone": "warn" if day.late else None,
    }


def _chart(points: list[tuple[int, int]]) -> dict[str, Any]:
    return {
        "x": [at for at, _count in points],
        "series": [{"label": "Records", "values": [count for _at, count in points]}],
        "unit": "records",
    }
