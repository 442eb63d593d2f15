"""The support page; its numbers are those of the API."""

from __future__ import annotations

from datetime import UTC, datetime

from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics import queries
from analytics.segments import members as saved
from analytics.support.api import read_team
from analytics.support.report import support
from analytics.usage.newest import newest_days
from analytics.usage.scope import read_scope
from churnguard.auth import org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest

_NEWEST = """
SELECT max((opened_at AT TIME ZONE %(zone)s)::date) FROM cg_ticket
WHERE organization_id = %(org)s AND deleted_at IS NULL
"""


@require_safe
@org_view
def support_page(request: PageRequest) -> HttpResponse:
    """Tickets by week, team and customer."""
    organization, now = request.organization, timezone.now()
    team, problem = "", None
    try:
        scope = read_scope(organization, request.GET, now, days=90)
        team = read_team(request.GET.get("team"))
    except ConfigError as exc:
        scope, problem = read_scope(organization, QueryDict(), now, days=90), exc
    report = support(scope, team)
    has_data = bool(report["total"]["volume"])
    weeks = report["weeks"] if has_data else []
    return render(
        request,
        "analytics/support.html",
        {
            "report": report,
            "total": report["total"],
            "csat": _ratio(report["total"]["csat_pct"]),
            "first_day": report["from"],
            "problem": problem,
            "has_data": has_data,
            "team": team,
            "team_names": [row["team"] for row in report["teams"] if row["team"]],
            "segments": queries.choices(organization, "segment"),
            "segment": scope.segment,
            "saved_segments": saved.choices(organization),
            "segment_id": request.GET.get("segment_id", ""),
            "is_filtered": bool(team or scope.segment or scope.members),
            "chart": {
                "x": [
                    int(
                        datetime.fromisoformat(w["start"])
                        .replace(tzinfo=UTC)
                        .timestamp()
                    )
                    for w in weeks
                ],
                "series": [
                    {"label": label, "values": [week[key] for week in weeks]}
                    for label, key in (
                        ("Opened", "volume"),
                        ("Of these resolved", "resolved"),
                        ("Escalated", "escalations"),
                    )
                ],
                "unit": "tickets",
            },
            "tables": [
                (
                    title,
                    [{**row, "csat": _ratio(row["csat_pct"])} for row in report[key]],
                )
                for title, key in (("By team", "teams"), ("By account", "customers"))
            ],
            "as_of": now,
            **newest_days(request, report, _NEWEST),
            "api_path": reverse("api-support"),
        },
        status=400 if problem else 200,
    )


def _ratio(pct: float | None) -> float | None:
    return None if pct is None else pct / 100
