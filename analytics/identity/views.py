"""The identity page, the page of a person, and what people do there and on the page of
a customer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from analytics.identity import actions, people, queries, suggestions
from analytics.identity.levels import CUSTOMERS, LEVELS, PEOPLE, Level
from analytics.queries import find_customer
from churnguard.auth import has_role, org_view
from churnguard.errors import ConfigError
from churnguard.middleware import PageRequest

_REVIEWS = 20
_SHOWN = 10
"""Suggestions shown of each kind, unless all are asked for."""


@dataclass(frozen=True, slots=True)
class _Alike:
    """Suggestions of one kind as the page shows them: key and title of the section,
    when they were found (UTC), how many there are, and the likeliest."""

    key: str
    title: str
    at: datetime
    total: int
    pairs: list[queries.Pair]


@require_safe
@org_view
def identity(request: PageRequest) -> HttpResponse:
    """Open reviews and suggestions, their identities side by side."""
    organization, now = request.organization, timezone.now()
    try:
        reviews, after = queries.list_reviews(
            organization, cursor=request.GET.get("after"), limit=_REVIEWS
        )
        of_people, people_after = queries.list_reviews(
            organization,
            cursor=request.GET.get("people_after"),
            limit=_REVIEWS,
            level=PEOPLE,
        )
    except ConfigError:
        return redirect("identity")
    shown = suggestions.MOST if request.GET.get("all") else _SHOWN
    found = {level: suggestions.current(organization, now, level) for level in LEVELS}
    return render(
        request,
        "analytics/identity.html",
        {
            "sections": [
                ("reviews", "Accounts to decide on", reviews, after),
                ("people", "People to decide on", of_people, people_after),
            ],
            "review_count": queries.count_reviews(organization)
            + queries.count_reviews(organization, PEOPLE),
            "alike": [
                _Alike(
                    key,
                    title,
                    found[level].at,
                    len(found[level].items),
                    queries.pairs(organization, found[level].first(shown), level),
                )
                for key, title, level in (
                    ("suggestions", "Accounts that look alike", CUSTOMERS),
                    ("people-suggestions", "People who look alike", PEOPLE),
                )
            ],
            "suggestion_count": sum(len(one.items) for one in found.values()),
            "can_write": has_role(request, "analyst"),
            "api_path": reverse("api-identity-reviews"),
        },
    )


@require_POST
@org_view(role="analyst")
def refresh(request: PageRequest) -> HttpResponse:
    """Look for suggestions now."""
    count = sum(
        len(suggestions.compute(request.organization, timezone.now(), level).items)
        for level in LEVELS
    )
    messages.success(request, f"Suggestions found: {count}.")
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def judge(request: PageRequest, level: Level = CUSTOMERS) -> HttpResponse:
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
            level=level,
        )
        if is_same:
            return f"They are one {level.name} now."
        return "It will not come back."

    _try(request, act)
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def decide(
    request: PageRequest, review_id: int, level: Level = CUSTOMERS
) -> HttpResponse:
    """Answer a review."""
    review = get_object_or_404(
        level.Review.objects.filter(organization=request.organization), pk=review_id
    )

    def act() -> str:
        verdict = _choice(request.POST.get("verdict"), ("same", "different", "dismiss"))
        actions.decide(request, review, verdict, timezone.now())
        return "The review is closed."

    _try(request, act)
    return redirect("identity")


@require_POST
@org_view(role="analyst")
def revoke(
    request: PageRequest, decision_id: int, level: Level = CUSTOMERS
) -> HttpResponse:
    """Undo a decision and show the customer or person it leads to."""
    decision = get_object_or_404(
        level.Decision.objects.filter(organization=request.organization),
        pk=decision_id,
    )

    def act() -> str:
        actions.revoke(request, decision, timezone.now())
        return "The decision was undone; every link is as it was."

    _try(request, act)
    decision.first.refresh_from_db()
    return redirect(level.name, getattr(decision.first, level.name).public_id)


@require_POST
@org_view(role="analyst")
def merge(request: PageRequest, customer_id: str) -> HttpResponse:
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
        ).entity.public_id
        return "The customers are one now. Undo it under “Identities”."

    _try(request, act)
    return redirect("customer", customer_id=target)


@require_POST
@org_view(role="analyst")
def split(request: PageRequest, customer_id: str) -> HttpResponse:
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


@require_safe
@org_view
def person(request: PageRequest, person_id: str) -> HttpResponse:
    """One person: what each source says and how fresh it is, why the contacts are
    theirs, and what they did in the product."""
    found = people.find_person(request.organization, person_id)
    if found.public_id != person_id:
        return redirect("person", person_id=found.public_id)
    page = people.of_person(found)
    return render(
        request,
        "analytics/person.html",
        {
            "person": found,
            "page": page,
            "view": page.view,
            "fields": page.view.fields,
            "voices": page.voices,
            "identities": page.identities,
            "can_write": has_role(request, "analyst"),
            "breadcrumbs": [{"label": "Accounts", "url": reverse("customers")}]
            + [
                {"label": str(one), "url": reverse("customer", args=[one.public_id])}
                for one in page.customers[:1]
            ],
            "as_of": page.view.newest_at,
            "api_path": reverse("api-person", args=[found.public_id]),
        },
    )


@require_POST
@org_view(role="analyst")
def merge_person(request: PageRequest, person_id: str) -> HttpResponse:
    """Merge with another person, as `merge`."""
    found = people.find_person(request.organization, person_id)
    target = found.public_id

    def act() -> str:
        nonlocal target
        _require_typed(request, found.public_id)
        other = people.find_person(
            request.organization, request.POST.get("into", "").strip()
        )
        target = actions.merge(request, found, other, timezone.now()).entity.public_id
        return "They are one person now. Undo it under “Identities”."

    _try(request, act)
    return redirect("person", person_id=target)


@require_POST
@org_view(role="analyst")
def split_person(request: PageRequest, person_id: str) -> HttpResponse:
    """Split a contact off."""
    found = people.find_person(request.organization, person_id)

    def act() -> str:
        number = _number(request.POST.get("identity"))
        one = get_object_or_404(found.contacts, pk=number)
        _require_typed(request, one.external_id)
        actions.split(request, found, number, timezone.now())
        return "The contact is a person of its own. Undo it under “Identities”."

    _try(request, act)
    now = people.find_person(request.organization, found.public_id)
    return redirect("person", person_id=now.public_id)


def _try(request: PageRequest, act: Callable[[], str]) -> None:
    """Run it and tell what came of it."""
    try:
        messages.success(request, act())
    except ConfigError as exc:
        messages.error(request, exc.message)


def _require_typed(request: PageRequest, wanted: str) -> None:
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
