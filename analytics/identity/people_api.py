"""The API of people, and of what each source says of a customer or a person."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.identity import level_api, people, sayings
from analytics.identity.api import CUSTOMER
from analytics.identity.levels import PEOPLE
from analytics.identity.people_shapes import (
    CustomerPeople,
    CustomerSayings,
    PersonAct,
    PersonDetail,
    PersonMerge,
    PersonReviewPage,
    PersonSuggestions,
)
from analytics.identity.shapes import (
    CustomerSplit,
    IdentityReviewVerdict,
    IdentitySuggestionVerdict,
)
from analytics.queries import find_customer
from churnguard.auth import organization_of
from churnguard.models import Contact
from churnguard.schema import ERRORS, PAGE

_PERSON = OpenApiParameter(
    "person_id", str, OpenApiParameter.PATH, description="Our id (per_…)."
)


def _contact(one: Contact) -> dict[str, Any]:
    return {
        "identity": one.pk,
        "source": one.source.name,
        "external_id": one.external_id,
        "person_id": one.person.public_id if one.person else None,
        **{name: getattr(one, name) for name in ("name", "email", "user_id")},
    }


class _OfPeople:
    telling = level_api.Telling(
        level=PEOPLE,
        entity="person",
        members="contacts",
        find=people.find_person,
        tell=_contact,
    )


class CustomerPeopleView(APIView):
    """The people of a customer over all sources."""

    @extend_schema(
        operation_id="customer_people",
        tags=["Identity"],
        parameters=[CUSTOMER],
        responses={200: CustomerPeople, **ERRORS},
    )
    def get(self, request: Request, customer_id: str) -> Response:
        customer = find_customer(organization_of(request), customer_id)
        found = people.of_customer(customer)
        return Response(
            {
                "results": [_row(view) for view in found.people],
                "total": found.total,
                "nameless_users": found.nameless_users,
            }
        )


class CustomerSayingsView(APIView):
    """What each source says of a customer, which value wins and how fresh it is."""

    @extend_schema(
        operation_id="customer_sources",
        tags=["Identity"],
        parameters=[CUSTOMER],
        responses={200: CustomerSayings, **ERRORS},
    )
    def get(self, request: Request, customer_id: str) -> Response:
        customer = find_customer(organization_of(request), customer_id)
        members = list(customer.sources.select_related("source").order_by("pk"))
        return Response(
            {
                "customer_id": customer.public_id,
                "sources": [_voice(one) for one in sayings.voices(members)],
                "fields": [_field(one) for one in sayings.fields_of(members)],
            }
        )


class PersonView(APIView):
    """One person."""

    @extend_schema(
        operation_id="person",
        tags=["Identity"],
        parameters=[_PERSON],
        responses={200: PersonDetail, **ERRORS},
    )
    def get(self, request: Request, person_id: str) -> Response:
        found = people.find_person(organization_of(request), person_id)
        page = people.of_person(found)
        return Response(
            {
                **_row(page.view),
                "customers": [one.public_id for one in page.customers],
                "contacts": [
                    {
                        "identity": item.identity.pk,
                        "source": item.identity.source.name,
                        "external_id": item.identity.external_id,
                        "rule": item.rule,
                        "key": item.key,
                        "since": item.since,
                    }
                    for item in page.identities.belongings
                ],
                "uses": [
                    {
                        "source": use.source,
                        "user_id": use.user,
                        "last_at": use.last_at,
                        "events": use.events,
                        "rule": use.rule,
                    }
                    for use in page.view.uses
                ],
                "fields": [_field(one) for one in page.view.fields],
            }
        )


class PersonMergeView(_OfPeople, level_api.Merge):
    """Two people who are one."""

    Shape = PersonMerge

    @extend_schema(
        operation_id="person_merge",
        tags=["Identity"],
        parameters=[_PERSON],
        request=PersonMerge,
        responses={200: PersonAct, **ERRORS},
    )
    def post(self, request: Request, person_id: str) -> Response:
        """Merge with the person `into`; the older of the two keeps its id. Revoking
        the decision gives both back."""
        return self.merge(request, person_id)


class PersonSplitView(_OfPeople, level_api.Split):
    """A contact that is another person."""

    @extend_schema(
        operation_id="person_split",
        tags=["Identity"],
        parameters=[_PERSON],
        request=CustomerSplit,
        responses={200: PersonAct, **ERRORS},
    )
    def post(self, request: Request, person_id: str) -> Response:
        """Split a contact off; the others stay together."""
        return self.split(request, person_id)


@extend_schema_view(
    get=extend_schema(
        operation_id="person_reviews",
        tags=["Identity"],
        parameters=PAGE,
        responses={200: PersonReviewPage, **ERRORS},
    )
)
class PersonReviewsView(_OfPeople, level_api.Reviews):
    """Evidence about people that was not followed, for a person to decide on."""


@extend_schema_view(
    post=extend_schema(
        operation_id="person_review_decide",
        tags=["Identity"],
        description="Say that the contacts are the same person, are different ones, "
        "or that this\nevidence is not worth a decision.",
        request=IdentityReviewVerdict,
        responses={200: PersonAct, **ERRORS},
    )
)
class PersonReviewDecideView(_OfPeople, level_api.ReviewDecide):
    """A person's answer to a review about people."""


@extend_schema_view(
    get=extend_schema(
        operation_id="person_suggestions",
        tags=["Identity"],
        description="At most 200, of the last day; what was decided is not among them.",
        responses={200: PersonSuggestions, **ERRORS},
    )
)
class PersonSuggestionsView(_OfPeople, level_api.Suggestions):
    """Contacts that may be the same person, best first."""


@extend_schema_view(
    post=extend_schema(
        operation_id="person_suggestion_decide",
        tags=["Identity"],
        description="Accept (same) or reject (different) it; a rejected one never "
        "comes back.",
        request=IdentitySuggestionVerdict,
        responses={200: PersonAct, **ERRORS},
    )
)
class PersonSuggestionDecideView(_OfPeople, level_api.SuggestionDecide):
    """A person's answer to a suggestion about people."""


@extend_schema_view(
    post=extend_schema(
        operation_id="person_decision_revoke",
        tags=["Identity"],
        request=None,
        responses={200: PersonAct, **ERRORS},
    )
)
class PersonRevokeView(_OfPeople, level_api.Revoke):
    """Undo of a merge, a split or a verdict about people."""


def _row(view: people.PersonView) -> dict[str, Any]:
    said = view.said
    return {
        "person_id": view.person.public_id,
        "name": view.name,
        **{name: said.get(name) for name in ("email", "title", "role")},
        "sources": view.sources,
        "billed_by": view.bills,
        "newest_at": view.newest_at,
        "used_at": view.used_at,
        "is_deleted": view.is_gone,
    }


def _field(one: sayings.Field) -> dict[str, Any]:
    return {
        "name": one.name,
        "label": one.label,
        "value": one.value,
        "why": one.why,
        "sayings": [
            {name: getattr(saying, name) for name in sayings.Saying.__slots__}
            for saying in one.sayings
        ],
    }


def _voice(one: sayings.Voice) -> dict[str, Any]:
    member = one.member
    return {
        "source": member.source.name,
        "external_id": member.external_id,
        "identity": member.pk,
        "said_at": one.said_at,
        "heard_at": one.heard_at,
        "is_deleted": member.deleted_at is not None,
    }
