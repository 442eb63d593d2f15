"""The overview (what needs somebody, what came in, how the customers are) and the
list of all notices."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from analytics import changes
from churnguard.api import page_limit
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import Notice
from churnguard.stream.positions import live_from
from integrations import activity
from monitoring import alerts, operations, stats

_LIVE = ("live-metrics", "alerts", "health-scores")
_NOTICES = 6
_FALLEN = 3
_JOBS = 5
_TOP = 5
_MOVES = 6
_ACTIONS = {
    "credential_failed": ("Reconnect", "settings/#connection"),
    "credential_expiring": ("Renew", "settings/#connection"),
    "delete_brake": ("Decide", "#brake"),
    "sync_failed": ("See why", ""),
    "band_change": ("Open account", ""),
}
_RUNNING = ("syncing", "active", "rate_limited")
_CURL = """\
curl -X POST {url} \\
  -H 'Authorization: Bearer YOUR_API_KEY' \\
  -H 'Content-Type: application/json' \\
  -d '{{"event": "login", "customer_id": "acme-1", "timestamp": "{at:%Y-%m-%dT%XZ}"}}'
"""


@require_safe
@org_view
def overview(request: PageRequest) -> HttpResponse:
    """The numbers are those of GET /api/dashboard/metrics and
    /api/admin/integrations/stats."""
    organization = request.organization
    overall = stats.get_overall(organization)
    now = overall["as_of"]
    figures = operations.get_stats(organization, now)
    jobs = operations.get_activity(organization, now, limit=_JOBS)
    day = activity.last_day(organization, now)
    bands = overall["customers"]["by_band"]
    fallen = stats.count_open_notices(organization, "band_change")
    # Many accounts fall at once when data is late or first comes in: one line then.
    is_many = fallen > _FALLEN
    notices = stats.list_open_notices(
        organization, _NOTICES, without="band_change" if is_many else ""
    )
    ingest = request.build_absolute_uri(reverse("data-ingest", args=["product"]))
    context = {
        "overall": overall,
        "as_of": now,
        "todo": [_todo(notice) for notice in notices],
        "fallen": fallen if is_many else 0,
        "more_notices": overall["alerts_open"]["total"]
        - len(notices)
        - (fallen if is_many else 0),
        "jobs": [*jobs["active"], *jobs["history"]][:_JOBS],
        "top": figures["top_integrations"][:_TOP],
        "top_most": max((i["records"] for i in figures["top_integrations"]), default=0),
        "day": day,
        "moves": changes.list_moves(organization, _MOVES),
        "band_parts": [(band, bands[band], "") for band in bands if bands[band]],
        "records_chart": _records(overall["hours"]),
        "errors_chart": _errors(figures["error_rate_trend"]),
        "hints": _hints(overall),
        "freshness_hint": _freshness(day),
        "is_empty": not overall["integrations"]["total"]
        and not overall["customers"]["total"]
        and overall["last_record_at"] is None,
        "curl": _CURL.format(url=ingest, at=now),
        "can_admin": has_role(request, "admin"),
        "refresh_s": max(5, settings.DASHBOARD_UPDATE_INTERVAL),
        "live": live_from(organization.pk, *_LIVE),
    }
    return render(request, "monitoring/overview.html", context)


@require_safe
@org_view
def alerts_page(request: PageRequest) -> HttpResponse:
    """Every notice, open and resolved, by state and severity."""
    chosen = {
        "state": request.GET.get("state", "open"),
        "severity": request.GET.get("severity", ""),
    }
    problem = None
    try:
        rows, after = alerts.list_notices(
            request.organization,
            **chosen,
            cursor=request.GET.get("cursor"),
            limit=page_limit(request.GET.get("limit")),
        )
    except ConfigError as exc:
        problem, chosen = exc, {"state": "open", "severity": ""}
        rows, after = alerts.list_notices(request.organization)
    context = {
        "rows": [_todo(notice) for notice in rows],
        "after": after,
        "chosen": chosen,
        "states": alerts.STATES,
        "severities": stats.SEVERITIES,
        "open": stats.count_open_notices(request.organization),
        "has_any": bool(rows)
        or Notice.objects.filter(organization=request.organization).exists(),
        "problem": problem,
        "as_of": timezone.now(),
        "live": live_from(request.organization.pk, "alerts"),
    }
    return render(
        request, "monitoring/alerts.html", context, status=400 if problem else 200
    )


def _todo(notice: Notice) -> dict[str, Any]:
    """A notice with the one thing to do about it while it is open."""
    action, place = _ACTIONS.get(notice.kind, ("Look at it", ""))
    return {
        "notice": notice,
        "action": action if notice.url and notice.resolved_at is None else "",
        "url": notice.url + place,
    }


def _hints(overall: dict[str, Any]) -> dict[str, str]:
    """The small lines under the figures."""
    by_status = overall["integrations"]["by_status"]
    jobs = overall["sync_jobs_24h"]["by_status"]
    fine = sum(by_status.get(name, 0) for name in _RUNNING)
    return {
        "integrations": _said(
            (fine, "active"),
            (by_status.get("authentication_failed", 0), "to reconnect"),
            (by_status.get("error", 0), "failing"),
            (by_status.get("paused", 0), "paused"),
            (by_status.get("inactive", 0), "not set up"),
        )
        or "none yet",
        "jobs": _said(*((count, word) for word, count in jobs.items()))
        or "none in this time",
    }


def _freshness(day: activity.Day) -> str:
    if not day.scheduled:
        return "nothing is scheduled"
    if day.late:
        return f"{day.late} of {day.scheduled} are late"
    return "all on schedule"


def _said(*parts: tuple[int, str]) -> str:
    return " · ".join(f"{count} {word}" for count, word in parts if count)


def _records(hours: list[dict[str, Any]]) -> dict[str, Any]:
    lines = (("Stored", ("inserted", "updated")), ("Quarantined", ("quarantined",)))
    return {
        "x": [int(hour["hour"].timestamp()) for hour in hours],
        "series": [
            {"label": label, "values": [sum(hour[n] for n in names) for hour in hours]}
            for label, names in lines
        ],
        "unit": "records",
    }


def _errors(trend: list[dict[str, Any]]) -> dict[str, Any]:
    """Failed of ended syncs by hour; an hour without any is a gap."""
    is_known = any(hour["ended"] for hour in trend)
    return {
        "x": [int(hour["hour"].timestamp()) for hour in trend] if is_known else [],
        "series": [
            {
                "label": "Failed syncs",
                "values": [hour["error_rate_pct"] for hour in trend],
            }
        ],
        "unit": "%",
    }
