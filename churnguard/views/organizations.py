"""Choosing which of one's organisations to look at, and the settings of one."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import (
    require_http_methods,
    require_POST,
    require_safe,
)

from churnguard import organizations as rules
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.forms import OrganizationForm
from churnguard.middleware import SESSION_KEY, PageRequest
from churnguard.models import Role


@require_safe
@login_required
def organizations(request: PageRequest) -> HttpResponse:
    """The organisations of the signed-in person, each with a button to go there."""
    return render(request, "kernel/organizations.html")


@require_POST
@login_required
def switch(request: PageRequest) -> HttpResponse:
    """Act for another organisation from now on; 404 for one that is not ours."""
    wanted = request.POST.get("organization", "")
    for membership in request.memberships:
        if membership.organization.public_id == wanted:
            request.session[SESSION_KEY] = membership.organization_id
            return redirect("overview")
    raise Http404("No such organisation.")


@require_http_methods(["GET", "HEAD", "POST"])
@org_view
def settings(request: PageRequest) -> HttpResponse:
    """Name, time zone and base currency; admins may change them."""
    may_change = has_role(request, Role.ADMIN)
    form = OrganizationForm(
        request.POST if request.method == "POST" else None,
        organization=request.organization,
        may_change=may_change,
    )
    status = 200
    if form.is_bound:
        if not may_change:
            status = 403
        elif form.is_valid() and _changed(request, form):
            messages.success(request, "The organisation was changed.")
            return redirect("organization-settings")
        else:
            status = 422
    context = {"form": form, "may_change": may_change}
    return render(request, "kernel/organization.html", context, status=status)


def _changed(request: PageRequest, form: OrganizationForm) -> bool:
    try:
        rules.change(request, request.organization, form.cleaned_data)
    except ConfigError as exc:
        for name, text in exc.fields.items():
            form.add_error(name, text)
        return False
    return True
