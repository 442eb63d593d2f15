"""API keys: made once, shown once, revoked at once."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from churnguard import keys
from churnguard.auth import org_view
from churnguard.errors import ConfigError
from churnguard.forms import ApiKeyForm
from churnguard.middleware import PageRequest


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view(role="admin")
def api_keys(request: PageRequest) -> HttpResponse:
    """The list; a POST makes a key and answers with its text, shown this once."""
    if request.method != "POST":
        return _page(request, ApiKeyForm())
    form = ApiKeyForm(request.POST)
    if not form.is_valid():
        return _page(request, form, status=422)
    try:
        key, plain = keys.create(
            request,
            request.organization,
            form.cleaned_data["name"],
            form.cleaned_data["scopes"],
            form.expires_at(),
        )
    except ConfigError as exc:
        form.add_error(None, exc.message)
        return _page(request, form, status=422)
    return _page(
        request, ApiKeyForm(), made=key, plain=plain, example=_example(request, plain)
    )


@require_POST
@org_view(role="admin")
def revoke(request: PageRequest, key_id: str) -> HttpResponse:
    """End a key at once."""
    key = get_object_or_404(request.organization.api_keys, public_id=key_id)
    keys.revoke(request, key)
    messages.success(request, f"The key “{key.name}” was revoked.")
    return redirect("api-keys")


def _page(request: PageRequest, form: ApiKeyForm, **context: Any) -> HttpResponse:
    status = context.pop("status", 200)
    rows = [(key, keys.get_state(key)) for key in keys.list_keys(request.organization)]
    context |= {"form": form, "rows": rows}
    return render(request, "kernel/api_keys.html", context, status=status)


def _example(request: PageRequest, plain: str) -> str:
    address = request.build_absolute_uri(reverse("api-customers"))
    return f"curl -H 'Authorization: Bearer {plain}' {address}"
