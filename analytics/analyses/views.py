"""The pages of the scheduled analyses: what was made, and one in full."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics import batch
from analytics.analyses import queries
from analytics.models import AnalysisRun
from churnguard.api import page_limit
from churnguard.auth import org_view
from churnguard.clock import next_time
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Schedule

TITLES = {
    "daily": "Daily aggregation",
    "weekly": "Weekly analysis",
    "monthly": "Monthly review",
}


@require_safe
@org_view
def analyses(request: PageRequest) -> HttpResponse:
    """The analyses made so far and when the next come."""
    organization, kind, problem = (
        request.organization,
        request.GET.get("kind", ""),
        None,
    )
    try:
        rows, after = queries.list_runs(
            organization,
            kind=kind,
            cursor=request.GET.get("after"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, kind = exc, ""
        rows, after = queries.list_runs(organization)
    planned = dict(
        Schedule.objects.filter(
            organization__isnull=True, kind__in=batch.DUE
        ).values_list("kind", "next_run_at")
    )
    return render(
        request,
        "analytics/analyses.html",
        {
            "rows": [_row(run) for run in rows],
            "after": after,
            "kind": kind,
            "kinds": TITLES,
            "problem": problem,
            "planned": [
                (title, planned.get(name) or next_time(batch.DUE[name], timezone.now()))
                for name, title in TITLES.items()
            ],
            "as_of": timezone.now(),
            "api_path": reverse("api-analyses"),
        },
        status=400 if problem else 200,
    )


@require_safe
@org_view
def analysis(request: PageRequest, analysis_id: str) -> HttpResponse:
    """One analysis with all it found, beside the one before it."""
    run = queries.get_run(request.organization, analysis_id)
    before = queries.get_before(run)
    sections = run.result.get("sections", {})
    support = sections.get("support") or sections.get("process") or {}
    return render(
        request,
        "analytics/analysis.html",
        {
            **_row(run),
            "result": run.result,
            "sections": sections,
            "support_rows": [
                (name, support[key])
                for name, key in (("These", "total"), ("Before", "before"))
                if key in support
            ],
            "revenue_rows": _revenue_rows(sections.get("revenue", {})),
            "before": before.result if before else None,
            "before_run": before,
            "currency": request.organization.base_currency,
            "breadcrumbs": [{"label": "Analyses", "url": reverse("analyses")}],
            "as_of": run.finished_at,
            "api_path": reverse("api-analysis", args=[run.pk]),
        },
    )


def _revenue_rows(part: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The whole, then each segment and plan."""
    if not part:
        return []
    return [
        ("All accounts", part["totals"]),
        *(
            (f"{kind.capitalize()} {item['group']}", item["totals"])
            for kind in ("segment", "plan")
            for item in part[kind]
        ),
    ]


def _row(run: AnalysisRun) -> dict[str, Any]:
    last = run.period_end - timedelta(days=1)
    first = run.period_start
    days = (
        f"{first:%Y-%m-%d}" if last <= first else f"{first:%Y-%m-%d} to {last:%Y-%m-%d}"
    )
    return {
        "run": run,
        "status": queries.state_of(run),
        "title": TITLES.get(run.kind, run.kind),
        "days": days,
    }
