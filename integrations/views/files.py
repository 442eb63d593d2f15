"""The files of a file integration: upload, look at what was found, correct it, run."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST

from churnguard.auth import org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from churnguard.records import RECORD_TYPES
from integrations import catalog, connecting, queries, registry, runs, uploads
from integrations.models import Integration, Upload
from integrations.views import layouts
from integrations.views.forms import UploadForm
from integrations.views.shared import go, refuse


@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="analyst")
def files(request: PageRequest, integration_id: str) -> HttpResponse:
    """What each file seems to hold; a POST keeps the choice (`do=start` then syncs,
    `do=guess` only looks again)."""
    integration = _file_integration(request, integration_id)
    views: list[layouts.FileView] = []
    guessed: list[str] = []
    problem = ""
    try:
        views = layouts.load(integration)
        if request.method == "POST":
            guessed = layouts.take(views, request.POST)
            if not guessed and request.POST.get("do") != "guess":
                setting = layouts.as_setting(views)
                return _save(request, integration, setting)
    except ChurnGuardError as exc:
        # What the form said is in the views already, so nothing typed is lost.
        problem = exc.message
    return render(
        request,
        "integrations/files.html",
        {
            "integration": integration,
            "views": [
                {"file": v, "customers": layouts.customer_choices(v, views)}
                if v.layout
                else {"file": v}
                for v in views
            ],
            "can_read": any(view.layout for view in views),
            "uploads": Upload.objects.filter(integration=integration).order_by("-pk"),
            "upload_form": UploadForm(),
            "types": sorted(RECORD_TYPES),
            "kinds": [(key, label) for key, (label, _k) in layouts.KINDS.items()],
            "problem": problem,
            "guessed": guessed,
            "has_run": integration.runs.exists(),
            "breadcrumbs": _crumbs(integration),
        },
        status=422 if problem else 200,
    )


@require_POST
@org_view(role="analyst")
def upload(request: PageRequest, integration_id: str) -> HttpResponse:
    """More files, or newer ones of the same name."""
    integration = _file_integration(request, integration_id)
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        messages.error(request, "Choose a file first.")
        return go(request, "integration-files", integration.public_id)
    kept = 0
    try:
        for file in form.cleaned_data["files"]:
            uploads.keep(
                request.organization, file, by=request, integration=integration
            )
            kept += 1
    except ConfigError as exc:
        refuse(request, exc)
    if kept:
        messages.success(
            request,
            f"{kept} {'file was' if kept == 1 else 'files were'} uploaded. Check what "
            "was found, then start the sync.",
        )
    return go(request, "integration-files", integration.public_id)


@require_POST
@org_view(role="analyst")
def remove(request: PageRequest, integration_id: str, upload_id: str) -> HttpResponse:
    """Delete a file; what was read from it stays."""
    integration = _file_integration(request, integration_id)
    found = get_object_or_404(Upload, integration=integration, public_id=upload_id)
    uploads.remove(found, by=request)
    messages.success(request, f"“{found.name}” was removed. Its records stay.")
    return go(request, "integration-files", integration.public_id)


def _save(
    request: PageRequest, integration: Integration, setting: dict[str, Any]
) -> HttpResponse:
    before = integration.settings.get("layouts")
    registry.update(integration, {"settings": {"layouts": setting}}, by=request)
    integration.refresh_from_db()
    catalog.keep_streams(integration, connecting.discover(integration))
    if request.POST.get("do") != "start":
        messages.success(request, "The columns were saved.")
        return go(request, "integration", integration.public_id)
    # What was read by another layout has to be read again.
    is_new = before is not None and before != setting and integration.runs.exists()
    try:
        run = runs.start(
            integration, by=request.user.email, mode="full" if is_new else ""
        )
    except runs.AlreadyRunningError as exc:
        messages.info(request, exc.message)
        return go(request, "integration", integration.public_id)
    messages.success(request, "The import has begun.")
    return go(request, "run", run.public_id)


def _file_integration(request: PageRequest, integration_id: str) -> Integration:
    integration = queries.get_integration(request.organization, integration_id)
    if integration.provider_name != "file":
        raise Http404("Only file integrations have files.")
    return integration


def _crumbs(integration: Integration) -> list[dict[str, str]]:
    return [
        {"label": "Integrations", "url": reverse("integrations")},
        {
            "label": integration.name,
            "url": reverse("integration", args=[integration.public_id]),
        },
    ]
