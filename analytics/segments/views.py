"""The pages of segments. Every number comes from the functions the API uses."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from analytics import queries
from analytics.segments import builder, changes, members
from analytics.segments.body import (
    preview_body,
    segment_body,
    sentence_of,
    totals_body,
    trend_body,
)
from analytics.segments.builder import Builder
from analytics.segments.models import Segment
from analytics.segments.prefill import from_accounts
from analytics.segments.tree import parse
from analytics.usage.views import event_names
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.currencies import minor_places
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Customer, Organization, Source

_TREND_DAYS = 180
_SHOWN = 10


@require_safe
@org_view
def segments(request: PageRequest) -> HttpResponse:
    """The saved segments with their counts."""
    organization = request.organization
    problem = None
    try:
        rows, after = members.list_segments(
            organization, cursor=request.GET.get("after")
        )
    except ConfigError as exc:
        problem = exc
        rows, after = members.list_segments(organization)
    days = members.newest_days(rows)
    return render(
        request,
        "analytics/segments.html",
        {
            "rows": [
                {
                    **segment_body(row, organization, days[row.pk]),
                    "history": [day.members for day in days[row.pk]],
                }
                for row in rows
            ],
            "total": members.segments_of(organization).count(),
            "after": after,
            "problem": problem,
            "can_write": has_role(request, "analyst"),
            "api_path": reverse("api-segments"),
        },
        status=400 if problem else 200,
    )


@require_safe
@org_view
def segment(request: PageRequest, segment_id: str) -> HttpResponse:
    """One segment: who is in it now, and how it went."""
    organization, now = request.organization, timezone.now()
    found = members.find_segment(organization, segment_id)
    today = now.astimezone(ZoneInfo(organization.timezone)).date()
    trend = trend_body(found, organization, today - timedelta(days=_TREND_DAYS), today)
    problem, totals, after = None, None, None
    rows: list[Customer] = []
    try:
        now_in = members.members_of(found, organization, now)
        totals = totals_body(members.count_totals(organization, now_in))
        rows, after = queries.list_customers(
            organization,
            queries.CustomerFilter(segment_id=found.public_id, order="name"),
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit"), default=25),
        )
    except ConfigError as exc:
        problem = exc
    newest = trend["points"][-1] if trend["points"] else None
    return render(
        request,
        "analytics/segment.html",
        {
            "segment": found,
            "sentence": sentence_of(found, organization),
            "totals": totals,
            "newest": newest,
            "chart": _chart(trend),
            "rows": rows,
            "after": after,
            "problem": problem,
            "can_write": has_role(request, "analyst"),
            "breadcrumbs": [{"label": "Segments", "url": reverse("segments")}],
            "as_of": now,
            "api_path": reverse("api-segment", args=[found.public_id]),
        },
        status=400 if problem else 200,
    )


@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="analyst")
def new(request: PageRequest) -> HttpResponse:
    """Describe a segment, count it, save it. ?from=accounts takes over the filters
    of the list of accounts."""
    organization = request.organization
    if request.method != "POST":
        form = Builder()
        if request.GET.get("from") == "accounts":
            form = from_accounts(organization, request.GET)
        return _editor(request, form, {"name": "", "description": ""})
    return _save(request, None)


@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="analyst")
def edit(request: PageRequest, segment_id: str) -> HttpResponse:
    """Change a segment."""
    organization = request.organization
    found = members.find_segment(organization, segment_id)
    if request.method != "POST":
        form = builder.from_definition(found.definition, _places(organization))
        shown = {"name": found.name, "description": found.description}
        return _editor(request, form, shown, found)
    return _save(request, found)


@require_POST
@org_view(role="analyst")
def preview(request: PageRequest) -> HttpResponse:
    """The fragment that says whom the form finds; nothing is kept."""
    form = builder.read_post(request.POST)
    return render(
        request, "analytics/segment_preview.html", _found(request.organization, form)
    )


@require_POST
@org_view(role="analyst")
def delete(request: PageRequest, segment_id: str) -> HttpResponse:
    """Archive a segment."""
    found = members.find_segment(request.organization, segment_id)
    changes.archive(request, found, timezone.now())
    messages.success(request, f"“{found.name}” was deleted.")
    return redirect("segments")


def _save(request: PageRequest, found: Segment | None) -> HttpResponse:
    """Save when the button says so; else show the form as its button changed it."""
    organization = request.organization
    form = builder.read_post(request.POST)
    shown = {name: request.POST.get(name, "") for name in ("name", "description")}
    verb = request.POST.get("do", "")
    places = _places(organization)
    if verb == "json" and form.text is None:
        form = builder.as_text(form.definition(places))
    if verb != "save":
        return _editor(request, form, shown, found)
    given = {**shown, "definition": form.definition(places)}
    try:
        if found is None:
            found = changes.create(request, organization, given)
        else:
            if _is_same(found, given["definition"], places):
                del given["definition"]
            changes.change(request, found, given, timezone.now())
    except ConfigError as exc:
        rest = form.place(exc.fields, places)
        return _editor(request, form, shown, found, faults=rest, status=422)
    messages.success(request, f"“{found.name}” was saved and counted.")
    target = reverse("segment", args=[found.slug])
    if request.htmx:
        return HttpResponse(headers={"HX-Redirect": target})
    return redirect(target)


def _is_same(found: Segment, definition: Any, places: int) -> bool:
    """Whether the form says what is stored, be it in another form."""
    stored = builder.from_definition(found.definition, places).definition(places)
    return bool(stored == definition)


def _editor(
    request: PageRequest,
    form: Builder,
    shown: dict[str, str],
    found: Segment | None = None,
    *,
    faults: dict[str, str] | None = None,
    status: int = 200,
) -> HttpResponse:
    organization = request.organization
    crumbs = [{"label": "Segments", "url": reverse("segments")}]
    if found is not None:
        crumbs.append(
            {"label": found.name, "url": reverse("segment", args=[found.slug])}
        )
    wants_preview = request.method == "POST" and not request.htmx
    return render(
        request,
        "analytics/segment_edit.html",
        {
            "segment": found,
            "form": form,
            "shown": shown,
            "faults": faults or {},
            "choices": builder.choices(),
            "currency": organization.base_currency.upper(),
            "values": _known_values(organization, form),
            "preview": _found(organization, form) if wants_preview else None,
            "breadcrumbs": crumbs,
        },
        status=status,
    )


def _found(organization: Organization, form: Builder) -> dict[str, Any]:
    """Whom the form finds now, or why it cannot be said yet."""
    if form.is_empty:
        return {"is_empty": True}
    try:
        node = parse(form.definition(_places(organization)))
    except ConfigError as exc:
        return {"problem": exc}
    return {"found": preview_body(node, organization, timezone.now(), limit=_SHOWN)}


def _known_values(organization: Organization, form: Builder) -> dict[str, list[str]]:
    """Field -> values to offer, for the fields the form uses."""
    used = {row.field.name for block in form.blocks for row in block.rows}
    out = {
        name: queries.choices(organization, name) for name in _OFFERED if name in used
    }
    if "usage.events" in used:
        out["usage.events"] = event_names(organization)
    if "source" in used:
        out["source"] = sorted(
            Source.objects.filter(organization=organization).values_list(
                "name", flat=True
            )[:100]
        )
    return out


def _places(organization: Organization) -> int:
    return minor_places(organization.base_currency.upper())


_OFFERED = ("plan", "segment", "country", "industry", "owner", "lifecycle_stage")


def _chart(trend: dict[str, Any]) -> dict[str, Any]:
    """Members and how many of them are at risk, by day."""
    points = trend["points"]
    return {
        "x": [
            int(
                datetime.combine(
                    datetime.fromisoformat(point["day"]).date(), time(), UTC
                ).timestamp()
            )
            for point in points
        ],
        "series": [
            {"label": label, "values": [point[key] for point in points]}
            for label, key in (("Members", "members"), ("At risk", "at_risk"))
        ],
        "unit": "accounts",
    }
