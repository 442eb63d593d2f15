"""The page of what churn means: everybody reads it, analysts try, admins keep."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics.predict import labelling, labels
from analytics.predict.models import LabelDefinition, TrainingJob
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest

WORDS = {
    "kind": "When a customer has left",
    "horizon_days": "Days a forecast looks ahead",
    "grace_days": "Days of grace",
    "inactivity_days": "Days in a row without activity",
    "qualifying": "Events that count",
}


@require_safe
@org_view
def definition(request: PageRequest) -> HttpResponse:
    """The definition in force; with ?kind=.. what another one would have given."""
    if "kind" not in request.GET:
        return _page(request)
    if not has_role(request, "analyst"):
        raise PermissionDenied("Trying a definition needs the role analyst or higher.")
    try:
        wanted = labelling.parse(request.organization, _given(request.GET))
    except ConfigError as exc:
        return _page(request, problem=exc, posted=request.GET)
    return _page(request, wanted=wanted, posted=request.GET)


@require_POST
@org_view(role="admin")
def save(request: PageRequest) -> HttpResponse:
    """Keep a definition; a training by it is asked for."""
    organization = request.organization
    try:
        wanted = labelling.parse(organization, _given(request.POST))
    except ConfigError as exc:
        return _page(request, problem=exc, posted=request.POST)
    kept, job = labelling.save(request, organization, wanted)
    messages.success(
        request,
        f"Version {kept.version} is kept; a worker trains by it within seconds."
        if job is not None
        else "This is the definition in force already; nothing was changed.",
    )
    return redirect("churn-definition")


def _given(form: QueryDict) -> dict[str, Any]:
    given: dict[str, Any] = {
        name: str(form[name]).strip()
        for name in labelling.FIELDS
        if name in form and name != "qualifying"
    }
    given["qualifying"] = [name for name in form.getlist("qualifying") if name]
    return given


def _page(
    request: PageRequest,
    *,
    wanted: LabelDefinition | None = None,
    problem: ConfigError | None = None,
    posted: QueryDict | None = None,
) -> HttpResponse:
    organization, now = request.organization, timezone.now()
    active = labelling.get_label(organization)
    shown = wanted or active
    compared = None
    if wanted is not None:
        compared = _compare(
            labelling.preview(organization, wanted, now),
            labelling.preview(organization, active, now),
        )
    form: dict[str, Any] = {
        name: posted[name] if posted and name in posted else getattr(shown, name)
        for name in labelling.FIELDS
    }
    form["qualifying"] = (
        posted.getlist("qualifying") if posted is not None else shown.qualifying
    )
    names = labelling.event_names(organization)
    return render(
        request,
        "analytics/churn_definition.html",
        {
            "active": active,
            "meaning": labels.describe(active),
            "wanted": wanted,
            "wanted_meaning": labels.describe(wanted) if wanted else "",
            "compared": compared,
            "form": form,
            "bounds": labelling.BOUNDS,
            "names": sorted({*names, *form["qualifying"]}),
            "usual_silence": labelling.usual_silence(organization),
            "problem": problem,
            "problems": [
                f"{WORDS.get(name, name)}: {text}."
                for name, text in (problem.fields if problem else {}).items()
            ],
            "versions": [
                (one, labels.describe(one))
                for one in LabelDefinition.objects.filter(
                    organization=organization
                ).order_by("-version")[:24]
            ],
            "can_try": has_role(request, "analyst"),
            "can_save": has_role(request, "admin"),
            "is_training": TrainingJob.objects.filter(
                organization=organization, state__in=TrainingJob.OPEN
            ).exists(),
            "breadcrumbs": [
                {"label": "Churn risk", "url": reverse("risk")},
                {"label": "Churn model", "url": reverse("model")},
            ],
            "as_of": now,
            "api_path": reverse("api-churn-definition"),
        },
        status=400 if problem else 200,
    )


def _compare(proposed: labelling.Preview, active: labelling.Preview) -> dict[str, Any]:
    """Both previews, and their looks side by side by month."""
    old = {look.cutoff: look for look in active.looks}
    return {
        "proposed": proposed,
        "active": active,
        "rows": [(look, old.get(look.cutoff)) for look in proposed.looks[::-1]],
    }
