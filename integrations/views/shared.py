"""What several pages need: where to go next, live channels, statuses in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme

from churnguard.errors import ChurnGuardError
from churnguard.middleware import PageRequest
from churnguard.stream.positions import live_from
from integrations.models import Integration, StreamState, SyncRun
from integrations.schedules import as_text

EVERY = (
    (0, "By hand"),
    (300, "Every 5 minutes"),
    (900, "Every 15 minutes"),
    (1800, "Every 30 minutes"),
    (3600, "Every hour"),
    (21_600, "Every 6 hours"),
    (86_400, "Every day"),
    (604_800, "Every week"),
)


def live(request: PageRequest, *channels: str) -> str:
    """`data-live` of a page: each channel from the newest note on, so that nothing is
    lost between rendering and connecting."""
    return live_from(request.organization.pk, *channels)


def go(request: PageRequest, to: str, *args: Any, anchor: str = "") -> HttpResponse:
    """Redirect to a named page, or back to the local page a form names in `next`; for
    htmx as its own header, so that the whole page changes."""
    target = resolve_url(to, *args) + anchor
    wanted = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    if is_ours and wanted.isprintable():
        target = wanted
    if request.htmx:
        return HttpResponse(headers={"HX-Redirect": target})
    return redirect(target)


def refuse(request: PageRequest, error: ChurnGuardError) -> None:
    """Say on the next page why something was not done."""
    messages.error(request, error.message)


def strip_of(runs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bars of the last runs for `{% strip %}`."""
    return [
        {
            "value": run["records"],
            "status": run["status"],
            "title": f"{run['at']:%Y-%m-%d %H:%M} UTC: {run['status']}, "
            f"{run['records']} records",
        }
        for run in runs
    ]


def strip_label(runs: list[Mapping[str, Any]]) -> str:
    """The strip in words: "Last 12 syncs: 10 completed, 2 failed"."""
    counts = Counter(run["status"] for run in runs)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    return f"Last {len(runs)} syncs: {said}"


def label_streams(integration: Integration, rows: list[dict[str, Any]]) -> None:
    """Give each row that names a stream the `label` people know it by."""
    states = StreamState.objects.filter(integration=integration)
    labels = {state.name: str(state) for state in states}
    for row in rows:
        row["label"] = labels.get(row["stream"], row["stream"])


def active_run(integration: Integration) -> SyncRun | None:
    """The pending or running sync of an integration."""
    return integration.runs.filter(status__in=SyncRun.ACTIVE).first()


def schedule_choices(current_s: int) -> list[tuple[int, str]]:
    """Intervals to choose from, with the present one where it is none of the usual."""
    known = {seconds for seconds, _text in EVERY}
    own = [] if current_s in known else [(current_s, as_text(current_s).capitalize())]
    return [*own, *EVERY]
