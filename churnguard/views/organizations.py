"""Choosing which of one's organisations to look at."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from churnguard.middleware import SESSION_KEY


@require_safe
@login_required
def organizations(request: HttpRequest) -> HttpResponse:
    """The organisations of the signed-in person, each with a button to go there."""
    return render(request, "kernel/organizations.html")


@require_POST
@login_required
def switch(request: HttpRequest) -> HttpResponse:
    """Act for another organisation from now on; 404 for one that is not ours."""
    wanted = request.POST.get("organization", "")
    for membership in request.memberships:
        if membership.organization.public_id == wanted:
            request.session[SESSION_KEY] = membership.organization_id
            return redirect("overview")
    raise Http404("No such organisation.")
