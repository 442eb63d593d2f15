"""Members, their roles, and invitations by link."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from churnguard import members as rules
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.forms import InviteForm
from churnguard.middleware import PageRequest
from churnguard.models import Role


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@org_view
def members(request: PageRequest) -> HttpResponse:
    """The list; a POST invites, and answers with the link, shown this once."""
    if request.method != "POST":
        return _page(request)
    roles = rules.grantable_roles(request.membership.role)
    form = InviteForm(request.POST, roles=roles)
    if not has_role(request, Role.ADMIN) or not form.is_valid():
        return _page(request, form=form, status=422 if roles else 403)
    try:
        invitation, token = rules.invite(
            request,
            request.organization,
            form.cleaned_data["email"],
            form.cleaned_data["role"],
        )
    except ConfigError as exc:
        form.add_error("email" if "email" in exc.fields else None, exc.message)
        return _page(request, form=form, status=422)
    link = request.build_absolute_uri(reverse("invitation", args=[token]))
    return _page(request, invitation=invitation, link=link)


@require_POST
@org_view
def change_role(request: PageRequest, member_id: int) -> HttpResponse:
    """Give a member another role."""
    membership = get_object_or_404(request.organization.memberships, pk=member_id)
    try:
        rules.change_role(request, membership, request.POST.get("role", ""))
    except ConfigError as exc:
        messages.error(request, exc.message)
    else:
        messages.success(request, "The role was changed.")
    return redirect("members")


@require_POST
@org_view
def remove(request: PageRequest, member_id: int) -> HttpResponse:
    """Take a member out, or leave."""
    membership = get_object_or_404(request.organization.memberships, pk=member_id)
    is_self = membership.user_id == request.user.pk
    try:
        rules.remove(request, membership)
    except ConfigError as exc:
        messages.error(request, exc.message)
        return redirect("members")
    if is_self:
        messages.success(request, f"You left {request.organization.name}.")
        return redirect("account")
    messages.success(request, f"{membership.user.email} is no longer a member.")
    return redirect("members")


@require_POST
@org_view
def revoke(request: PageRequest, invitation_id: int) -> HttpResponse:
    """Make an invitation's link useless."""
    invitation = get_object_or_404(request.organization.invitations, pk=invitation_id)
    rules.revoke_invitation(request, invitation)
    messages.success(request, f"The invitation of {invitation.email} was revoked.")
    return redirect("members")


def _page(
    request: PageRequest, *, form: InviteForm | None = None, **context: Any
) -> HttpResponse:
    status = context.pop("status", 200)
    mine = request.membership.role
    roles = rules.grantable_roles(mine)
    found = list(rules.list_members(request.organization))
    owners = sum(row.role == Role.OWNER for row in found)
    rows = [
        {
            "member": row,
            "dialog_id": f"remove-{row.pk}",
            "is_self": row.user_id == request.user.pk,
            "is_last_owner": row.role == Role.OWNER and owners == 1,
            "can_manage": row.role in roles,
        }
        for row in found
    ]
    context |= {
        "rows": rows,
        "form": form or InviteForm(roles=roles),
        "roles": [(v, label) for v, label in Role.choices if v in roles],
        "can_manage": bool(roles),
        "invitations": [
            (row, row.role in roles)
            for row in rules.list_invitations(request.organization)
        ]
        if roles
        else [],
    }
    return render(request, "kernel/members.html", context, status=status)
