"""The overview: is anything wrong, what came in, how the customers are."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from churnguard.auth import org_view
from churnguard.models import StreamSequence
from monitoring import operations, stats

_NOTICES = 8
_JOBS = 6


@require_safe
@org_view
def overview(request: HttpRequest) -> HttpResponse:
    """The numbers are those of GET /api/dashboard/metrics."""
    organization = request.organization
    overall = stats.get_overall(organization)
    bands = overall["customers"]["by_band"]
    activity = operations.get_activity(organization, overall["as_of"], limit=_JOBS)
    jobs = [*activity["active"], *activity["history"]][:_JOBS]
    statuses = overall["integrations"]["by_status"]
    trouble = sum(statuses.get(name, 0) for name in ("error", "authentication_failed"))
    context = {
        "overall": overall,
        "as_of": overall["as_of"],
        "notices": stats.list_open_notices(organization, _NOTICES),
        "jobs": jobs,
        "trouble": trouble,
        "band_parts": [(band, bands[band], "") for band in bands if bands[band]],
        "chart": _chart(overall["hours"]),
        "is_empty": not overall["integrations"]["total"]
        and not overall["customers"]["total"]
        and overall["last_record_at"] is None,
        "refresh_s": max(5, settings.DASHBOARD_UPDATE_INTERVAL),
        "live": _live(organization.pk),
    }
    return render(request, "monitoring/overview.html", context)


def _chart(hours: list[dict[str, Any]]) -> dict[str, Any]:
    lines = (("Stored", ("inserted", "updated")), ("Quarantined", ("quarantined",)))
    return {
        "x": [int(hour["hour"].timestamp()) for hour in hours],
        "series": [
            {"label": label, "values": [sum(hour[n] for n in names) for hour in hours]}
            for label, names in lines
        ],
        "unit": "records",
    }


def _live(org_id: int) -> str:
    """The channels of the page, each from the note it shows."""
    at = dict(
        StreamSequence.objects.filter(organization_id=org_id).values_list(
            "channel", "seq"
        )
    )
    channels = ("live-metrics", "alerts", "health-scores")
    return " ".join(f"{name}:{at.get(name, 0)}" for name in channels)
