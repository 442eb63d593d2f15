"""Records that could not be used: why, what came, repair, replay, discard."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import AuditEntry
from integrations import queries, replay
from integrations.views.forms import pretty
from integrations.views.shared import go, live

STATES = ("open", "replayed", "discarded", "all")
_FILTERS = ("source", "code", "stream", "record_type")


@dataclass(slots=True)
class Chosen:
    """The filters of the list."""

    state: str = "open"
    values: dict[str, str] = field(default_factory=dict)

    @property
    def is_filtered(self) -> bool:
        return bool(self.values) or self.state != "open"

    def query(self) -> dict[str, str]:
        """Arguments of `queries.list_quarantine`."""
        return {"state": "" if self.state == "all" else self.state, **self.values}


@require_safe
@org_view
def quarantine(request: PageRequest) -> HttpResponse:
    """The list, with counts by reason."""
    organization = request.organization
    chosen = _chosen(request.GET)
    problem = ""
    try:
        rows, following = queries.list_quarantine(
            organization,
            **chosen.query(),
            cursor=request.GET.get("cursor"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, chosen = exc.message, Chosen()
        rows, following = queries.list_quarantine(organization)
    reasons = queries.count_quarantine(organization, state="open")
    everything = queries.count_quarantine(organization, state="")
    return render(
        request,
        "integrations/quarantine.html",
        {
            "rows": rows,
            "after": following,
            "problem": problem,
            "chosen": chosen,
            "reasons": [{**row, "reason": _say(row["code"])} for row in reasons[:8]],
            "open": sum(row["count"] for row in reasons),
            "matching": _count(
                queries.count_quarantine(organization, state=chosen.query()["state"]),
                chosen,
            ),
            "total": sum(row["count"] for row in everything),
            "sources": sorted({row["source"] for row in everything}),
            "codes": [(c, _say(c)) for c in sorted({r["code"] for r in everything})],
            "states": STATES,
            "can_write": has_role(request, "analyst"),
            "live": live(request, "live-metrics"),
        },
        status=400 if problem else 200,
    )


@require_POST
@org_view(role="analyst")
def bulk(request: PageRequest) -> HttpResponse:
    """Replay, try or discard the ticked records, or all that match the filters."""
    back = f"?{request.POST.get('query', '')}"
    try:
        ids = _ids(request)
        if not ids:
            raise ConfigError("Tick at least one record.", code="nothing_chosen")
        if request.POST.get("do") == "discard":
            reason = _reason(request)
            count = replay.discard(request.organization, ids, by=request, reason=reason)
            messages.success(request, f"{count} discarded.")
        else:
            is_dry = request.POST.get("do") == "try"
            done = replay.replay(request.organization, ids, by=request, dry_run=is_dry)
            _tell(request, done, is_dry=is_dry)
    except ChurnGuardError as exc:
        messages.error(request, exc.message)
    return go(request, "quarantine", anchor=back)


@require_http_methods(["GET", "HEAD", "POST"])
@org_view
def record(request: PageRequest, record_id: int) -> HttpResponse:
    """One record: reason and raw object; POST tries, replays or discards it."""
    row = queries.get_quarantined(request.organization, record_id)
    can_write = has_role(request, "analyst") and row["state"] == "open"
    context: dict[str, Any] = {
        "row": row,
        "text": pretty(row["raw"]),
        "can_write": can_write,
        "reason": _why_discarded(request, row),
        "breadcrumbs": [{"label": "Quarantine", "url": reverse("quarantine")}],
    }
    if request.method != "POST":
        return render(request, "integrations/record.html", context)
    if not has_role(request, "analyst"):
        raise PermissionDenied("Repairing records needs the role analyst or higher.")
    if request.POST.get("do") == "discard":
        try:
            replay.discard(
                request.organization, [record_id], by=request, reason=_reason(request)
            )
        except ConfigError as exc:
            context["problem"] = exc.message
            return render(request, "integrations/record.html", context, status=422)
        messages.success(request, "The record was discarded.")
        return go(request, "quarantine-record", record_id)
    return _mend(request, record_id, row, context)


def _mend(
    request: PageRequest, record_id: int, row: dict[str, Any], context: dict[str, Any]
) -> HttpResponse:
    """Replay one record as it stands in the form; a dry run only says how it goes."""
    is_dry = request.POST.get("do") == "try"
    text = request.POST.get("raw", context["text"])
    context["text"] = text
    try:
        edited = json.loads(text)
        if not isinstance(edited, dict):
            raise ConfigError("The record must be a JSON object, in { and }.")
        done = replay.replay(
            request.organization,
            [record_id],
            by=request,
            edits={record_id: edited} if edited != row["raw"] else None,
            dry_run=is_dry,
        )
    except json.JSONDecodeError as exc:
        context["problem"] = (
            f"This is no JSON: {exc.msg}, line {exc.lineno}, column {exc.colno}."
        )
        return render(request, "integrations/record.html", context, status=422)
    except ChurnGuardError as exc:
        context["problem"] = exc.message
        return render(request, "integrations/record.html", context, status=422)
    if done.failed:
        context["problem"] = done.failed[0]["detail"]
        context["problem_field"] = done.failed[0]["field"]
        return render(request, "integrations/record.html", context, status=422)
    if is_dry and done.stored:
        context["good"] = True
        return render(request, "integrations/record.html", context)
    if done.stored:
        messages.success(request, "The record was stored.")
    else:
        messages.info(request, "Somebody has dealt with this record already.")
    return go(request, "quarantine-record", record_id)


def _tell(request: PageRequest, done: replay.Replayed, *, is_dry: bool) -> None:
    stored, failed, skipped = len(done.stored), len(done.failed), len(done.skipped)
    said = f"{stored} would be stored" if is_dry else f"{stored} stored"
    if failed:
        first = done.failed[0]
        said += f", {failed} still not usable (the first: {first['detail']})"
    if skipped:
        said += f", {skipped} dealt with already"
    level = messages.WARNING if failed else messages.SUCCESS
    messages.add_message(request, level, f"{said}.")


def _ids(request: PageRequest) -> list[int]:
    if request.POST.get("all") != "1":
        given = request.POST.getlist("id")
        return [int(text) for text in given if text.isdecimal() and len(text) < 19]
    chosen = _chosen(request.POST)
    rows, _after = queries.list_quarantine(
        request.organization,
        **{**chosen.query(), "state": "open"},
        limit=replay.MOST_ROWS,
    )
    return [row["id"] for row in rows]


def _say(code: str) -> str:
    """ "unknown_status" -> "Unknown status"."""
    return code.replace("_", " ").capitalize()


def _reason(request: PageRequest) -> str:
    reason = request.POST.get("reason", "").replace("\x00", "").strip()
    if not reason:
        raise ConfigError("Say why the record is not wanted.", code="no_reason")
    return reason[:300]


def _chosen(data: Any) -> Chosen:
    state = data.get("state", "open")
    values = {name: data.get(name, "").replace("\x00", "").strip() for name in _FILTERS}
    return Chosen(
        state=state if state in STATES else "open",
        values={name: value for name, value in values.items() if value},
    )


def _count(counts: list[dict[str, Any]], chosen: Chosen) -> int | None:
    """How many match, where the counts can tell (they know no record type)."""
    if "record_type" in chosen.values:
        return None
    return sum(
        row["count"]
        for row in counts
        if all(row[name] == value for name, value in chosen.values.items())
    )


def _why_discarded(request: PageRequest, row: dict[str, Any]) -> str:
    if row["state"] != "discarded":
        return ""
    entry = (
        AuditEntry.objects.filter(
            organization=request.organization,
            action="quarantine.discarded",
            after__ids__contains=[row["id"]],
        )
        .order_by("-pk")
        .first()
    )
    return str((entry.after or {}).get("reason", "")) if entry else ""
