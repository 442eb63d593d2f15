"""Adding an integration: choose a provider, connect, choose streams, first sync."""

from __future__ import annotations

from itertools import count
from typing import Any

from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from churnguard import crypto
from churnguard.auth import org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import (
    catalog,
    connecting,
    connectors,
    controls,
    credentials,
    queries,
    registry,
    runs,
    uploads,
)
from integrations.connect import await_sign_in
from integrations.connectors.base import Connector
from integrations.connectors.file import FileConnector
from integrations.connectors.rest.connector import RestConnector
from integrations.models import Integration, IntegrationType, StreamState, SyncRun
from integrations.views.forms import ConnectForm, FileForm, SyncForm
from integrations.views.settings import callback_for, has_oauth, to_provider
from integrations.views.shared import go
from integrations.views.trying import faults_of, preview_of

_STEPS = ("Choose", "Connect", "Choose data", "First sync")
_TESTED = "Asked the provider just now; nothing is saved yet."


@require_safe
@org_view(role="admin")
def catalogue(request: PageRequest) -> HttpResponse:
    """Every provider, with its category and a search."""
    search = request.GET.get("q", "").replace("\x00", "").strip()
    chosen = request.GET.get("category", "")
    providers = sorted(catalog.list_providers(), key=lambda each: each["label"].lower())
    for provider in providers:
        provider["kind"] = _category(str(provider["category"]))
    return render(
        request,
        "integrations/catalogue.html",
        {
            "providers": [
                provider
                for provider in providers
                if chosen in ("", provider["kind"]) and _matches(provider, search)
            ],
            "categories": sorted({provider["kind"] for provider in providers}),
            "category": chosen,
            "search": search,
            "breadcrumbs": [_home()],
            "steps": _steps(0),
        },
    )


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="admin")
def connect(request: PageRequest, provider: str) -> HttpResponse:
    """The form of one provider. `do=test` asks the provider and `do=preview` a REST API
    for its first records, and nothing is saved; otherwise a good answer makes the
    integration."""
    cls = _connector(provider)
    if cls is FileConnector:
        return _add_files(request)
    form = ConnectForm(cls, request.POST or None, initial=_named(request, cls.label))
    if request.method != "POST":
        return _form_page(request, form)
    if not form.is_valid():
        return _form_page(request, form, status=422)
    if request.POST.get("do") == "oauth":
        return _by_sign_in(request, form)
    if request.POST.get("do") == "preview" and cls is RestConnector:
        seen = preview_of(request, form)
        return _form_page(request, form, seen=seen, status=200 if seen["ok"] else 422)
    found = _try(request, form)
    if found.ok and request.POST.get("do") != "test":
        try:
            integration = _create(request, form)
        except ConfigError as exc:
            form.place(exc.message, exc.fields)
            return _form_page(request, form, status=422)
        try:
            catalog.keep_streams(integration, connecting.discover(integration))
        except ChurnGuardError as exc:
            messages.warning(request, f"{exc.message} The data is looked up again.")
        else:
            messages.success(request, found.sentence)
        return go(request, "integration-setup", integration.public_id)
    return _form_page(request, form, tested=found, status=200 if found.ok else 422)


@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="admin")
def setup(request: PageRequest, integration_id: str) -> HttpResponse:
    """Choose streams, schedule and mode; then the first sync starts."""
    integration = queries.get_integration(request.organization, integration_id)
    form = SyncForm(
        request.POST or None,
        initial={
            "sync_frequency": integration.sync_frequency or 3600,
            "sync_mode": integration.sync_mode,
        },
        current_s=integration.sync_frequency or 3600,
    )
    problem = _look_up(integration) if request.method != "POST" else ""
    if request.method == "POST" and form.is_valid():
        chosen = request.POST.getlist("stream")
        problem = "" if chosen else "Choose at least one kind of data."
        try:
            if chosen:
                return _begin(request, integration, form, chosen)
        except ConfigError as exc:
            problem = exc.message
    bad = request.method == "POST"
    return render(
        request,
        "integrations/setup.html",
        {
            "integration": integration,
            "streams": [
                {**each, "wanted_type": request.POST.get(f"type:{each['stream']}", "")}
                for each in queries.list_streams(integration)
            ],
            "form": form,
            "problem": problem,
            "picked": request.POST.getlist("stream") if bad else None,
            "breadcrumbs": [_home()],
            "steps": _steps(2),
        },
        status=422 if bad else 200,
    )


def _create(request: PageRequest, form: ConnectForm) -> Integration:
    """Store what the form holds. Raises ConfigError."""
    body = form.body()
    body["settings"] = {k: v for k, v in body["settings"].items() if v is not None}
    return registry.create(
        request.organization,
        {
            **body,
            "provider_name": form.connector.name,
            # The clock starts once the streams are chosen.
            "sync_config": {"sync_frequency": 0},
        },
        by=request,
    )


def _by_sign_in(request: PageRequest, form: ConnectForm) -> HttpResponse:
    """Store the client's id and secret, then go to the provider's sign-in."""
    try:
        integration = _create(request, form)
    except ConfigError as exc:
        form.place(exc.message, exc.fields)
        return _form_page(request, form, status=422)
    await_sign_in(integration)
    return to_provider(request, integration)


def _begin(
    request: PageRequest, integration: Integration, form: SyncForm, chosen: list[str]
) -> HttpResponse:
    """Raises ConfigError for a record type that cannot be."""
    states = StreamState.objects.select_related("integration__organization")
    with transaction.atomic():
        for state in states.filter(integration=integration, is_gone=False):
            changes: dict[str, Any] = {}
            if state.is_enabled != (state.name in chosen):
                changes["enabled"] = state.name in chosen
            kind = request.POST.get(f"type:{state.name}", state.record_type)
            if kind != state.record_type:
                changes["record_type"] = kind
            if changes:
                controls.update_stream(state, changes, by=request)
    registry.update(integration, {"sync_config": form.cleaned_data}, by=request)
    integration.refresh_from_db()
    try:
        run: SyncRun | None = runs.start(integration, by=request.user.email)
    except runs.AlreadyRunningError as exc:
        run = exc.run
    except ChurnGuardError as exc:
        messages.error(request, exc.message)
        return go(request, "integration", integration.public_id)
    if run is None:
        return go(request, "integration", integration.public_id)
    messages.success(request, f"The first sync of {integration.name} has begun.")
    return go(request, "run", run.public_id)


def _look_up(integration: Integration) -> str:
    """Ask which streams there are, where nobody has; the sentence if that failed."""
    if integration.discovered_at is not None:
        return ""
    try:
        catalog.keep_streams(integration, connecting.discover(integration))
    except ChurnGuardError as exc:
        return exc.message
    return ""


def _try(request: PageRequest, form: ConnectForm) -> connecting.Checked:
    """Ask the provider with what the form holds; nothing is stored."""
    cls, secrets = form.connector, form.secrets()
    defaults = {f.name: f.default for f in cls.fields if f.default is not None}
    given = {k: v for k, v in form.settings().items() if v is not None}
    try:
        catalog.check_fields(cls, given)
        with connecting.opened_with(
            cls,
            {**defaults, **given},
            secrets,
            tried_by=request.organization,
            interactive=True,
        ) as connector:
            return connecting.Checked(True, "ok", connector.check())
    except ChurnGuardError as exc:
        text = crypto.redact(exc.message, credentials.secret_texts(secrets))
        form.place(text, getattr(exc, "fields", {}))
        return connecting.Checked(False, exc.code, text)


def _add_files(request: PageRequest) -> HttpResponse:
    form = FileForm(
        request.POST or None, request.FILES or None, initial=_named(request, "Files")
    )
    if request.method != "POST":
        return _form_page(request, form)
    if not form.is_valid():
        return _form_page(request, form, status=422)
    kept = []
    try:
        # One by one, so that those before a refused one can be taken back.
        for file in form.cleaned_data["files"]:
            one = uploads.keep(request.organization, file, by=request)
            kept += [one]
        integration = registry.create(
            request.organization,
            {
                "provider_name": "file",
                "integration_name": form.cleaned_data["integration_name"],
                "settings": {
                    "currency": form.cleaned_data["currency"].upper(),
                    "timezone": form.cleaned_data["timezone"],
                },
                "sync_config": {"sync_frequency": 0},
                "uploads": [upload.public_id for upload in kept],
            },
            by=request,
        )
    except ConfigError as exc:
        for upload in kept:
            uploads.remove(upload, by=request)
        named = next((name for name in exc.fields if name in form.fields), None)
        form.add_error("files" if "file" in exc.fields else named, exc.message)
        return _form_page(request, form, status=422)
    return go(request, "integration-files", integration.public_id)


def _form_page(
    request: PageRequest,
    form: ConnectForm | FileForm,
    *,
    tested: connecting.Checked | None = None,
    seen: dict[str, Any] | None = None,
    status: int = 200,
) -> HttpResponse:
    is_file = isinstance(form, FileForm)
    cls = FileConnector if isinstance(form, FileForm) else form.connector
    return render(
        request,
        "integrations/connect_file.html" if is_file else "integrations/connect.html",
        {
            "form": form,
            "provider": catalog.describe(cls),
            "oauth": has_oauth(cls),
            "callback": callback_for(request, cls),
            "tested": tested,
            "tested_note": _TESTED,
            "seen": seen,
            "try_faults": faults_of(form),
            "can_preview": cls is RestConnector,
            "preview_stream": request.POST.get("preview-stream", ""),
            "breadcrumbs": [
                _home(),
                {"label": "Add", "url": reverse("integration-new")},
            ],
            "steps": _steps(1),
        },
        status=status,
    )


def _named(request: PageRequest, wanted: str) -> dict[str, str]:
    """A name to start with that no integration has: Stripe, Stripe 2, .."""
    rows = Integration.objects.filter(organization=request.organization)
    taken = set(rows.values_list("name", flat=True))
    names = (f"{wanted} {number}" for number in count(2))
    free = wanted if wanted not in taken else next(n for n in names if n not in taken)
    return {"integration_name": free}


def _connector(provider: str) -> type[Connector]:
    try:
        return connectors.get(provider)
    except ConfigError as exc:
        raise Http404("No such provider.") from exc


def _matches(provider: dict[str, Any], search: str) -> bool:
    names = ("label", "provider_name", "kind", "summary")
    return search.lower() in " ".join(str(provider[n]) for n in names).lower()


def _category(name: str) -> str:
    """A connector's category as a heading."""
    known = {value: str(label) for value, label in IntegrationType.choices}
    return known.get(name.lower(), name[:1].upper() + name[1:])


def _steps(current: int) -> list[tuple[str, str]]:
    """(label, state) of each step; state: done, current or ahead."""
    return [
        (label, "done" if n < current else "current" if n == current else "ahead")
        for n, label in enumerate(_STEPS)
    ]


def _home() -> dict[str, str]:
    return {"label": "Integrations", "url": reverse("integrations")}
