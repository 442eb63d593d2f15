"""The pages of the usage reports. Every number comes from the functions of the API."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics import queries
from analytics.segments import members as saved
from analytics.usage import funnel as funnel_report
from analytics.usage import qualifying
from analytics.usage import retention as retention_report
from analytics.usage.active import active
from analytics.usage.adoption import adoption
from analytics.usage.api import read_interval
from analytics.usage.lifecycle import lifecycle
from analytics.usage.newest import newest_days
from analytics.usage.scope import Scope, fetch, read_scope
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Organization

_NAMES_MOST = 200
_NEWEST = "SELECT max(day) FROM cg_org_day WHERE organization_id = %(org)s"


@require_safe
@org_view
def active_page(request: PageRequest) -> HttpResponse:
    """Active customers or users per day."""
    report, problem = _answer(request, 90, lambda scope, _: active(scope))
    points = report["points"]
    newest = points[-1]
    any_active = any(p["mau"] for p in points)
    return _page(
        request,
        "usage_active",
        report,
        problem,
        {
            "newest": newest,
            "chart": _day_chart(
                [p["day"] for p in points] if any_active else [],
                {
                    f"{name} active": [p[key] for p in points]
                    for name, key in (
                        ("Daily", "dau"),
                        ("7 days", "wau"),
                        ("28 days", "mau"),
                    )
                },
                report["unit"] + "s",
            ),
            "sticky_chart": _day_chart(
                [p["day"] for p in points] if any_active else [],
                {
                    "Stickiness": [
                        None if p["stickiness"] is None else p["stickiness"] * 100
                        for p in points
                    ]
                },
                "%",
            ),
            "days": points[::-1],
            "frequency": report["frequency"],
            "has_data": any_active,
            "can_admin": has_role(request, "admin"),
            "incomplete": not points[0]["mau_complete"] and any_active,
        },
    )


@require_POST
@org_view(role="admin")
def change_qualifying(request: PageRequest) -> HttpResponse:
    """Choose the events that make somebody active."""
    names = request.POST.getlist("events")
    try:
        chosen = qualifying.parse(
            {"mode": request.POST.get("mode", ""), "events": names}
        )
    except ConfigError as exc:
        messages.error(request, f"{exc.message} {'; '.join(exc.fields.values())}.")
    else:
        qualifying.save(request, request.organization, chosen)
        messages.success(request, "The reports count by this choice now.")
    return redirect("usage-active")


@require_safe
@org_view
def retention_page(request: PageRequest) -> HttpResponse:
    """Cohorts and who came back."""
    report, problem = _answer(
        request,
        84,
        lambda scope, query: retention_report.retention(
            retention_report.read_question(scope, query)
        ),
    )
    return _page(
        request,
        "retention",
        report,
        problem,
        {
            "has_data": any(row["size"] for row in report["cohorts"]),
            "rows": [
                {
                    **row,
                    "cells": [
                        {**cell, "heat": _heat(cell["share"])} for cell in row["cells"]
                    ],
                }
                for row in report["cohorts"]
            ],
            "returns": request.GET.get("return_event", ""),
            "choices": {
                "mode": [("on", "In the interval"), ("on_or_after", "Then or later")],
                "interval": [("day", "Days"), ("week", "Weeks"), ("month", "Months")],
                "clock": [("calendar", "Calendar"), ("rolling", "Since first event")],
                "counting": [("birth", "First time"), ("recurring", "Every time")],
            },
        },
    )


@require_safe
@org_view
def funnel_page(request: PageRequest) -> HttpResponse:
    """Steps in order; without steps, a form to choose them."""
    steps = [name for name in request.GET.getlist("steps") if name]
    asked = bool(steps)

    def report(scope: Scope, query: Any) -> dict[str, Any]:
        if not query.getlist("steps") or not asked:
            return {
                **scope.head,
                "members": 0,
                "steps": [],
                "window_days": 7,
                "exclude": [],
            }
        return funnel_report.funnel(funnel_report.read_question(scope, query))

    found, problem = _answer(request, 30, report)
    if len(steps) == 1:
        steps = [name.strip() for name in steps[0].split(",")]
    slots = (steps + [""] * 5)[: max(5, len(steps))]
    return _page(
        request,
        "funnel",
        found,
        problem,
        {
            "slots": slots,
            "exclude": request.GET.get("exclude", ""),
            "asked": asked and problem is None,
            "has_data": bool(found["members"]),
            "window_days": request.GET.get("window_days") or 7,
        },
    )


@require_safe
@org_view
def adoption_page(request: PageRequest) -> HttpResponse:
    """Which events are used by how many, and who is new, returning or dormant."""

    def report(scope: Scope, query: Any) -> dict[str, Any]:
        return {**adoption(scope), "cycle": lifecycle(scope, read_interval(query))}

    found, problem = _answer(request, 84, report)
    buckets = found["cycle"]["buckets"]
    return _page(
        request,
        "usage_adoption",
        found,
        problem,
        {
            "has_data": bool(found["active"]),
            "buckets": buckets[::-1],
            "interval": found["cycle"]["interval"],
            "chart": _day_chart(
                [row["start"] for row in buckets] if found["active"] else [],
                {
                    key.capitalize(): [row[key] for row in buckets]
                    for key in ("new", "returning", "resurrecting", "dormant")
                },
                found["unit"] + "s",
            ),
        },
    )


def _heat(share: float | None) -> int:
    """The step of a cell's shade, 0 to 10: nothing at all is 0, any share 1 or more."""
    return math.ceil(share * 10) if share else 0


def _answer(
    request: PageRequest,
    days: int,
    report: Callable[[Scope, Any], dict[str, Any]],
) -> tuple[dict[str, Any], ConfigError | None]:
    """The report, or the one without parameters and what was wrong with them."""
    now = timezone.now()
    organization = request.organization
    try:
        return report(
            read_scope(organization, request.GET, now, days=days), request.GET
        ), None
    except ConfigError as exc:
        empty = QueryDict()
        return report(read_scope(organization, empty, now, days=days), empty), exc


def _page(
    request: PageRequest,
    name: str,
    report: dict[str, Any],
    problem: ConfigError | None,
    more: dict[str, Any],
) -> HttpResponse:
    return render(
        request,
        f"analytics/{name}.html",
        {
            "report": report,
            "first_day": report["from"],
            "problem": problem,
            "tab": name,
            "event_names": event_names(request.organization),
            "event": request.GET.get("event", ""),
            "segments": queries.choices(request.organization, "segment"),
            "segment": request.GET.get("segment", ""),
            "saved_segments": saved.choices(request.organization),
            "segment_id": request.GET.get("segment_id", ""),
            "is_filtered": any(
                request.GET.get(name) for name in ("event", "segment", "segment_id")
            ),
            "as_of": datetime.fromisoformat(report["as_of"]),
            "api_path": reverse(f"api-{name.replace('_', '-')}"),
            **newest_days(request, report, _NEWEST),
            **more,
        },
        status=400 if problem else 200,
    )


def event_names(organization: Organization) -> list[str]:
    """The names of all stored usage, the most used first."""
    rows = fetch(
        "SELECT name FROM cg_org_day WHERE organization_id = %(org)s "
        "GROUP BY 1 ORDER BY sum(n) DESC, 1 LIMIT %(most)s",
        {"org": organization.pk, "most": _NAMES_MOST},
    )
    return [name for (name,) in rows]


def _day_chart(
    days: list[str], lines: dict[str, list[Any]], unit: str
) -> dict[str, Any]:
    """Local days are drawn at their midnight in UTC, so the axis shows their dates."""
    return {
        "x": [
            int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp())
            for day in days
        ],
        "series": [
            {"label": label, "values": values} for label, values in lines.items()
        ],
        "unit": unit,
    }
