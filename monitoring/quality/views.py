"""The data quality pages. Every number comes from the functions the API uses."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, time, timedelta
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Organization, Source
from churnguard.stream.positions import newest
from monitoring.models import QualitySetting
from monitoring.quality import queries, rows
from monitoring.quality import settings as quality_settings
from monitoring.quality.catalog import BY_CODE, REFUSALS, refusal_of
from monitoring.quality.check import DIMENSIONS
from monitoring.quality.daily import weights_of

_WORST = 8
_MOST_LINES = 4
_MOST_CHECKS = 60


@require_safe
@org_view
def quality(request: PageRequest) -> HttpResponse:
    """Scores by source and dimension, trend, worst fields, failing checks."""
    return _page(request)


@require_POST
@org_view(role="admin")
def thresholds(request: PageRequest) -> HttpResponse:
    """Change when notices open."""
    try:
        values = queries.read_limits(request.POST)
    except ConfigError as exc:
        return _page(request, problem=exc)
    quality_settings.set_limits(request.organization, values, by=request)
    messages.success(request, "Thresholds and weights were saved.")
    return redirect("quality")


@require_POST
@org_view(role="analyst")
def measure(request: PageRequest) -> HttpResponse:
    """Ask for a measurement now."""
    quality_settings.ask(request.organization)
    messages.success(request, "A worker measures now. The page shows it when done.")
    return redirect("quality")


@require_safe
@org_view
def failing(request: PageRequest, code: str) -> HttpResponse:
    """The rows that fail one check now."""
    source = request.GET.get("source", "")
    problem = None
    cursor = request.GET.get("cursor")
    try:
        limit = page_limit(request.GET.get("limit"))
        found, after = rows.list_failing(
            request.organization, code, source=source, cursor=cursor, limit=limit
        )
    except ConfigError as exc:
        problem = exc
        found, after = rows.list_failing(request.organization, code, source=source)
    check = BY_CODE.get(code)
    ending = refusal_of(code)
    return render(
        request,
        "monitoring/quality_rows.html",
        {
            "code": code,
            "title": check.title if check else REFUSALS[ending][1],
            "entity": _words(code.partition(".")[0]),
            "dimension": check.dimension if check else REFUSALS[ending][0],
            "source": source,
            "rows": found,
            "after": after,
            "problem": problem,
            "breadcrumbs": [{"label": "Data quality", "url": reverse("quality")}],
        },
        status=400 if problem else 200,
    )


def _page(request: PageRequest, problem: ConfigError | None = None) -> HttpResponse:
    organization = request.organization
    today = timezone.now().astimezone(UTC).date()
    source = request.GET.get("source", "").replace("\x00", "")
    names = list(
        Source.objects.filter(organization=organization)
        .order_by("name")
        .values_list("name", flat=True)
    )
    source = source if source in names else ""
    wanted = request.GET.get("days", "")
    days = 90 if wanted == "90" else 30
    scores = queries.latest(organization, today, source)
    limits = queries.limits_of(organization)
    totals = [_scored(row, limits) for row in scores if not row["entity"]]
    failed = queries.failing(scores)
    known = [row["score"] for row in totals if row["score"] is not None]
    measured_at = max((row["measured_at"] for row in totals), default=None)
    return render(
        request,
        "monitoring/quality.html",
        {
            "names": names,
            "source": source,
            "days": days,
            "totals": totals,
            "missing": [
                name
                for name in ([source] if source else names)
                if name not in {row["source_system"] for row in totals}
            ],
            "entities": [_scored(row, limits) for row in scores if row["entity"]],
            "dimensions": [name.capitalize() for name in DIMENSIONS],
            "mean": sum(known) / len(known) if known else None,
            "below": sum(score < limits.least_score for score in known),
            "failing": [
                {**row, "said": _words(row["entity"])} for row in failed[:_MOST_CHECKS]
            ],
            "failing_total": len(failed),
            "critical": sum(
                row["is_critical"] and row["score_pct"] < 99 for row in failed
            ),
            "worst": _worst(scores),
            "chart": _chart(organization, days, source),
            "samples": [
                {**row, "said": _words(row["entity"])}
                for row in queries.list_samples(organization, source)
            ],
            "limits": request.POST if problem else limits,
            "weights": [
                (
                    name,
                    request.POST.get(f"weight_{name}", value) if problem else value,
                    problem.fields.get(f"weight_{name}", "") if problem else "",
                )
                for name, value in weights_of(limits).items()
            ],
            "problem": problem,
            "fields": problem.fields if problem else {},
            "is_asked": QualitySetting.objects.filter(
                organization=organization, asked_at__isnull=False
            ).exists(),
            "can_write": has_role(request, "analyst"),
            "can_admin": has_role(request, "admin"),
            "as_of": measured_at,
            "live_seq": newest(organization.pk, "alerts"),
            "api_path": reverse("data-quality"),
        },
        status=422 if problem else 200,
    )


def _scored(row: dict[str, Any], limits: QualitySetting) -> dict[str, Any]:
    """A row of scores with its status and its dimensions in their order."""
    if row["score"] is None:
        status = "unscored"
    elif row["is_capped"]:
        status = "critical"
    else:
        status = "good" if row["score"] >= limits.least_score else "watch"
    return {
        **row,
        "status": status,
        "said": _words(row["entity"]),
        "parts": [
            (name.capitalize(), row["dimensions"].get(name)) for name in DIMENSIONS
        ],
    }


def _worst(scores: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fields by the mean of their checks, the lowest first; perfect ones left out."""
    by_field: dict[tuple[str, str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in scores:
        for check in row["checks"]:
            if check["score_pct"] is not None and check["has_rows"]:
                place = row["source_system"], row["entity"], check["field"]
                by_field[place].append(check)
    found = [
        {
            "source_system": source,
            "entity": _words(entity),
            "field": name,
            "score": sum(check["score_pct"] for check in checks) / len(checks),
            "checks": len(checks),
            "failed": sum(check["failed"] for check in checks),
        }
        for (source, entity, name), checks in by_field.items()
    ]
    lowest = sorted(found, key=lambda row: (row["score"], row["field"]))
    return [row for row in lowest if row["failed"]][:_WORST]


def _chart(organization: Organization, days: int, source: str) -> dict[str, Any]:
    """Scores by day: of the sources, or of the dimensions of one source."""
    last = datetime.now(UTC).date()
    first = last - timedelta(days=days - 1)
    points = queries.trend(organization, first, last, source)
    lines: dict[str, dict[Any, float | None]] = defaultdict(dict)
    for point in points:
        if source:
            lines["Score"][point["day"]] = point["score"]
            for name in ("completeness", "validity", "consistency"):
                lines[name.capitalize()][point["day"]] = point["dimensions"].get(name)
        else:
            lines[point["source_system"]][point["day"]] = point["score"]
    known = sorted({point["day"] for point in points})
    return {
        "x": [int(datetime.combine(day, time(), UTC).timestamp()) for day in known],
        "series": [
            {"label": label, "values": [values.get(day) for day in known]}
            for label, values in list(lines.items())[:_MOST_LINES]
        ],
        "unit": "points",
    }


def _words(entity: str) -> str:
    """ "survey_response" -> "survey response"."""
    return {"object": "other object"}.get(entity, entity.replace("_", " "))
