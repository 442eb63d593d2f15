"""The identity page, and what people do there and on the page of a customer."""

from __future__ import annotations

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics.identity import actions, queries, suggestions
from analytics.models import IdentityDecision, IdentityReview
from analytics.queries import find_customer
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError

_REVIEWS = 20
_SUGGESTIONS = 50


@require_safe
@org_view
def identity(request: HttpRequest) -> HttpResponse:
    """Open reviews and suggestions, their identities side by side."""
    organization = request.organization
    try:
        reviews, after = queries.list_reviews(
            organization, cursor=request.GET.get("after"), limit=_REVIEWS
        )
    except ConfigError:
        return redirect("identity")
    found = suggestions.current(organization, timezone.now())
    shown = queries.pairs(
        organization, suggestions.Found(found.at, found.items[:_SUGGESTIONS])
    )
    return render(
        request,
        "analytics/identity.html",
        {
            "reviews": reviews,
            "review_count": queries.count_reviews(organization),
            "after": after,
            "pairs": shown,
            "suggestion_count": len(found.items),
            "suggested_at": found.at,
            "can_write": has_role(request, "analyst"),
            "api_path": reverse("api-identity-reviews"),
        },
    )


@require_POST
@org_view(role="analyst")
def refresh(request: HttpRequest) -> HttpResponse:
    """Look for suggestions now."""
    found = suggestions.compute(request.organization, timezone.now())
    messages.success(request, f"Suggestions found: {len(found.items)}.")
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def judge(request: HttpRequest) -> HttpResponse:
    """Accept or reject a suggestion."""
    verdict = request.POST.get("verdict")

    def act() -> str:
        is_same = _choice(verdict, ("same", "different")) == "same"
        actions.judge(
            request,
            request.organization,
            _number(request.POST.get("first")),
            _number(request.POST.get("second")),
            is_same=is_same,
            now=timezone.now(),
        )
        return "They are one customer now." if is_same else "It will not come back."

    _try(request, act)
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def decide(request: HttpRequest, review_id: int) -> HttpResponse:
    """Answer a review."""
    review = get_object_or_404(
        IdentityReview.objects.filter(organization=request.organization), pk=review_id
    )

    def act() -> str:
        verdict = _choice(request.POST.get("verdict"), ("same", "different", "dismiss"))
        actions.decide(request, review, verdict, timezone.now())
        return "The review is closed."

    _try(request, act)
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def revoke(request: HttpRequest, decision_id: int) -> HttpResponse:
    """Undo a decision and show the customer it leads to."""
    decision = get_object_or_404(
        IdentityDecision.objects.filter(organization=request.organization),
        pk=decision_id,
    )

    def act() -> str:
        actions.revoke(request, decision, timezone.now())
        return "The decision was undone; every link is as it was."

    _try(request, act)
    decision.first.refresh_from_db()
    return redirect("customer", customer_id=decision.first.customer.public_id)


@require_POST
@org_view(role="analyst")
def merge(request: HttpRequest, customer_id: str) -> HttpResponse:
    """Merge with another customer, typed twice: its id, and this one's to confirm."""
    customer = find_customer(request.organization, customer_id)
    target = customer.public_id

    def act() -> str:
        nonlocal target
        _require_typed(request, customer.public_id)
        other = find_customer(
            request.organization, request.POST.get("into", "").strip()
        )
        target = actions.merge(
            request, customer, other, timezone.now()
        ).customer.public_id
        return "The customers are one now. Undo it under “Identities”."

    _try(request, act)
    return redirect("customer", customer_id=target)


@require_POST
@org_view(role="analyst")
def split(request: HttpRequest, customer_id: str) -> HttpResponse:
    """Split an identity off."""
    customer = find_customer(request.organization, customer_id)

    def act() -> str:
        number = _number(request.POST.get("identity"))
        one = get_object_or_404(customer.sources, pk=number)
        _require_typed(request, one.external_id)
        actions.split(request, customer, number, timezone.now())
        return "The identity is a customer of its own. Undo it under “Identities”."

    _try(request, act)
    found = find_customer(request.organization, customer.public_id)
    return redirect("customer", customer_id=found.public_id)


def _try(request: HttpRequest, act: Callable[[], str]) -> None:
    """Run it and tell what came of it."""
    try:
        messages.success(request, act())
    except ConfigError as exc:
        messages.error(request, exc.message)


def _require_typed(request: HttpRequest, wanted: str) -> None:
    if request.POST.get("confirm", "").strip() != wanted:
        raise ConfigError(f"Type {wanted} to confirm.", code="not_confirmed")


def _choice(text: str | None, words: tuple[str, ...]) -> str:
    if text not in words:
        raise ConfigError("Choose one of the answers.", code="invalid")
    return text


def _number(text: str | None) -> int:
    if text and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise ConfigError("Choose an identity.", code="invalid")
