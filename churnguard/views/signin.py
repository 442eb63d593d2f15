"""Signing in and out, accepting an invitation, one's own account."""

from __future__ import annotations

import logging
from typing import Any

from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.contrib.auth.views import LoginView
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from churnguard import audit, members
from churnguard.forms import JoinForm, SignInForm
from churnguard.middleware import SESSION_KEY, PageRequest
from churnguard.models import Invitation, User

log = logging.getLogger(__name__)


class SignIn(LoginView):
    """E-mail and password; the session gets a new id, so a planted one is worthless."""

    template_name = "kernel/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        response = super().form_valid(form)
        log.info("signin.succeeded", extra={"userId": self.request.user.pk})
        return response

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        refused_for = [error.code for error in form.non_field_errors().as_data()]
        log.warning("signin.refused", extra={"reason": refused_for})
        status = 429 if "too_many" in refused_for else 422
        context = self.get_context_data(form=form)
        return self.render_to_response(context, status=status)


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def accept_invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Join by the link: as a new person, or as the signed-in one it was meant for."""
    invitation = members.find_invitation(token)
    if invitation is None:
        return render(request, "kernel/invitation_gone.html", status=404)
    context: dict[str, Any] = {"invitation": invitation}
    if request.user.is_authenticated:
        if request.user.email.lower() != invitation.email.lower():
            return render(request, "kernel/invitation_other.html", context)
        if request.method == "POST":
            return _join(request, invitation, request.user)
        return render(request, "kernel/invitation_join.html", context)
    if User.objects.filter(email__iexact=invitation.email).exists():
        return render(request, "kernel/invitation_sign_in.html", context)
    form = JoinForm(request.POST or None, initial={"email": invitation.email})
    if request.method == "POST" and form.is_valid():
        user = _create_user(invitation, form.cleaned_data)
        if user is None:
            return redirect(request.path)
        login(request, user)
        return _join(request, invitation, user)
    status = 422 if form.is_bound else 200
    context["form"] = form
    return render(request, "kernel/invitation_new.html", context, status=status)


@sensitive_post_parameters()
@never_cache
@login_required
def account(request: PageRequest) -> HttpResponse:
    """One's own organisations and password."""
    form = PasswordChangeForm(request.user, request.POST or None)
    form.fields["old_password"].widget.attrs.pop("autofocus", None)
    if request.method == "POST" and form.is_valid():
        with transaction.atomic():
            form.save()
            audit.record(
                request,
                "user.password_changed",
                organization=request.organization,
                target_type="user",
                target_id=str(request.user.pk),
            )
        update_session_auth_hash(request, form.user)
        messages.success(request, "Your password was changed.")
        return redirect("account")
    status = 422 if form.is_bound else 200
    return render(request, "kernel/account.html", {"form": form}, status=status)


def _create_user(invitation: Invitation, given: dict[str, Any]) -> User | None:
    """The new user; None when someone else took the address this instant."""
    try:
        with transaction.atomic():
            return User.objects.create_user(
                invitation.email, given["password"], first_name=given["name"]
            )
    except IntegrityError:
        return None


def _join(request: HttpRequest, invitation: Invitation, user: User) -> HttpResponse:
    if not members.accept(request, invitation, user):
        return render(request, "kernel/invitation_gone.html", status=404)
    request.session[SESSION_KEY] = invitation.organization_id
    messages.success(request, f"Welcome to {invitation.organization.name}.")
    return redirect("overview")


sign_in = method_decorator(never_cache, name="dispatch")(SignIn).as_view()
