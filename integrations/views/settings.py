"""The Settings tab: what was entered, secrets, clock, limits, and the end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from churnguard.auth import org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from integrations import (
    catalog,
    connect,
    connecting,
    connectors,
    controls,
    credentials,
    queries,
    registry,
)
from integrations.connectors.base import Connector
from integrations.models import Integration, StreamState
from integrations.views.detail import frame
from integrations.views.forms import BY_SIGN_IN, ConnectForm, LimitsForm
from integrations.views.shared import go, refuse, schedule_choices
from integrations.views.trying import faults_of, preview_of

_COLUMNS = ("base_url", "api_version")
_SYNC = (
    "sync_frequency",
    "sync_mode",
    "batch_size",
    "requests_per_minute",
    "concurrent_requests",
    "retry_attempts",
    "retry_backoff",
    "data_filters",
    "incremental_field",
)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@org_view(role="admin")
def settings(request: PageRequest, integration_id: str) -> HttpResponse:
    """Two forms: `form=connection` and `form=sync`."""
    found = queries.get_integration(request.organization, integration_id)
    which = request.POST.get("form", "")
    connection = _connect_form(found, request.POST if which == "connection" else None)
    sync = _sync_form(found, request.POST if which == "sync" else None)
    seen = None
    is_try = request.POST.get("do") == "preview" and found.provider_name == "rest"
    if which == "connection" and is_try and connection.is_valid():
        seen = preview_of(request, connection, found)
    elif which == "connection" and connection.is_valid():
        try:
            registry.update(found, connection.body(), by=request)
        except ConfigError as exc:
            connection.place(exc.message, exc.fields)
        else:
            return _saved(request, found, bool(connection.secrets()))
    if which == "sync" and sync.is_valid():
        values = sync.cleaned_data
        body = {
            "sync_config": {name: values[name] for name in _SYNC},
            "tags": values["tags"],
        }
        try:
            registry.update(found, body, by=request)
        except ConfigError as exc:
            named = next((name for name in exc.fields if name in sync.fields), None)
            sync.add_error(named, exc.message)
        else:
            messages.success(request, "The settings were saved.")
            return go(request, "integration-settings", found.public_id)
    context = frame(request, found, "settings")
    streams = queries.list_streams(found)
    context |= {
        "form": connection,
        "seen": seen,
        "try_faults": faults_of(connection),
        "can_preview": found.provider_name == "rest",
        "preview_stream": request.POST.get("preview-stream", ""),
        "sync_form": sync,
        "ends_at": credentials.ends_at(found),
        "streams": [
            {**each, "clocks": schedule_choices(each["sync_frequency"] or 0)}
            for each in streams
        ],
        "known_fields": sorted(
            {c["name"] for each in streams if each["enabled"] for c in each["columns"]}
        ),
        "oauth": _signs_in(found),
        "callback": callback_for(request, connectors.get(found.provider_name)),
        "body": queries.integration_body(found),
    }
    return render(
        request,
        "integrations/settings.html",
        context,
        status=422 if which and not (seen and seen["ok"]) else 200,
    )


@require_POST
@org_view(role="admin")
def test(request: PageRequest, integration_id: str) -> HttpResponse:
    """Ask the provider who we are."""
    found = queries.get_integration(request.organization, integration_id)
    checked = controls.test(found, by=request)
    level = messages.SUCCESS if checked.ok else messages.ERROR
    messages.add_message(request, level, checked.sentence)
    return go(request, "integration", found.public_id)


@require_POST
@org_view(role="admin")
def authorize(request: PageRequest, integration_id: str) -> HttpResponse:
    """Send the browser to the provider's own sign-in."""
    found = queries.get_integration(request.organization, integration_id)
    return to_provider(request, found)


def to_provider(request: PageRequest, integration: Integration) -> HttpResponse:
    """The way to the provider's sign-in; to the settings where it cannot begin.

    A form may not redirect to another host (form-action of the policy), so htmx gets
    the address as a header, and a browser without scripts a page with a link.
    """
    try:
        address = connect.begin(
            integration,
            user=request.user,
            redirect_uri=_callback(request),
        )
    except ChurnGuardError as exc:
        refuse(request, exc)
        return go(request, "integration-settings", integration.public_id)
    if request.htmx:
        return HttpResponse(headers={"HX-Redirect": address})
    context = {"integration": integration, "address": address}
    return render(request, "integrations/authorize.html", context)


@require_POST
@org_view(role="admin")
def discover(request: PageRequest, integration_id: str) -> HttpResponse:
    """Ask the provider again which streams there are."""
    found = queries.get_integration(request.organization, integration_id)
    try:
        catalog.keep_streams(found, connecting.discover(found))
        messages.success(request, "The list of data was looked up again.")
    except ChurnGuardError as exc:
        refuse(request, exc)
    return go(request, "integration", found.public_id)


@require_POST
@org_view(role="admin")
def reset(request: PageRequest, integration_id: str) -> HttpResponse:
    """Forget where a stream stands."""
    found = queries.get_integration(request.organization, integration_id)
    state = get_object_or_404(
        StreamState.objects.select_related("integration__organization"),
        integration=found,
        name=request.POST.get("stream", "").replace("\x00", ""),
    )
    try:
        controls.reset_cursor(state, by=request)
        messages.success(request, f"The next sync reads all of {state} again.")
    except ChurnGuardError as exc:
        refuse(request, exc)
    return go(request, "integration-settings", found.public_id)


@require_POST
@org_view(role="admin")
def delete(request: PageRequest, integration_id: str) -> HttpResponse:
    """Remove the integration; its name has to be typed."""
    found = queries.get_integration(request.organization, integration_id)
    if request.POST.get("confirm", "").strip() != found.name:
        messages.error(request, "The name did not match; nothing was deleted.")
        return go(request, "integration-settings", found.public_id)
    registry.delete(found, by=request)
    messages.success(request, f"{found.name} was deleted. Its records stay.")
    return go(request, "integrations")


def _saved(
    request: PageRequest, integration: Integration, has_secrets: bool
) -> HttpResponse:
    """After a change of the connection, say at once whether it works."""
    integration.refresh_from_db()
    if integration.provider_name == "file":
        messages.success(request, "The settings were saved.")
        return go(request, "integration-settings", integration.public_id)
    checked = controls.test(integration, by=request)
    said = "The new secrets were saved." if has_secrets else "The settings were saved."
    level = messages.SUCCESS if checked.ok else messages.WARNING
    messages.add_message(request, level, f"{said} {checked.sentence}")
    return go(request, "integration-settings", integration.public_id)


def _connect_form(integration: Integration, data: Any) -> ConnectForm:
    cls = connectors.get(integration.provider_name)
    values = {
        **{name: getattr(integration, name) for name in _COLUMNS},
        **integration.settings,
    }
    initial = {f"field-{name}": value for name, value in values.items() if value != ""}
    return ConnectForm(
        cls,
        data,
        initial={**initial, "integration_name": integration.name},
        held=credentials.describe(integration)["fields"],
    )


def _sync_form(integration: Integration, data: Any) -> LimitsForm:
    initial = {name: getattr(integration, name) for name in _SYNC}
    return LimitsForm(
        data,
        initial={**initial, "tags": ", ".join(integration.tags)},
        current_s=integration.sync_frequency,
    )


def has_oauth(cls: type[Connector]) -> bool:
    """Whether the provider can be connected by its own sign-in."""
    given = {f.name: f.default for f in cls.fields if f.default is not None}
    client = {"client_id": "client", "client_secret": "secret"}
    try:
        app = cls.oauth_app({**given, **client, **BY_SIGN_IN}, client)
    except ChurnGuardError:
        # It needs more than the defaults to say where, so there is such a place.
        return True
    return app is not None and bool(app.authorize_url)


def _signs_in(integration: Integration) -> bool:
    """Whether this one is connected by the provider's own sign-in, where there is a
    choice."""
    cls = connectors.get(integration.provider_name)
    chosen = connecting.connector_settings(integration)
    return has_oauth(cls) and all(
        chosen.get(name, value) == value for name, value in BY_SIGN_IN.items()
    )


def callback_for(request: PageRequest, cls: type[Connector]) -> str:
    """The address a provider's app has to know; "" where nobody signs in there."""
    return _callback(request) if has_oauth(cls) else ""


def _callback(request: PageRequest) -> str:
    return request.build_absolute_uri(reverse("oauth-callback"))
