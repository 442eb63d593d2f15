"""The API of people, and of what each source says of a customer or a person."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.identity import actions, people, queries, sayings
from analytics.identity.api import (
    CUSTOMER,
    CustomerSplit,
    IdentityReviewVerdict,
    valid,
)
from analytics.identity.levels import PEOPLE
from analytics.identity.people_shapes import (
    CustomerPeople,
    CustomerSayings,
    PersonAct,
    PersonDetail,
    PersonMerge,
    PersonReviewPage,
)
from analytics.queries import find_customer
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.models import Contact
from churnguard.schema import ERRORS, PAGE

_PERSON = OpenApiParameter(
    "person_id", str, OpenApiParameter.PATH, description="Our id (per_…)."
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
                    }
                    for use in page.view.uses
                ],
                "fields": [_field(one) for one in page.view.fields],
            }
        )


class PersonMergeView(APIView):
    """Two people who are one."""

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
        organization = organization_of(request)
        one = people.find_person(organization, person_id)
        other = people.find_person(organization, valid(PersonMerge, request)["into"])
        act = actions.merge(request._request, one, other, timezone.now())
        return Response(_act(act))


class PersonSplitView(APIView):
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
        found = people.find_person(organization_of(request), person_id)
        given = valid(CustomerSplit, request)
        act = actions.split(request._request, found, given["identity"], timezone.now())
        return Response(_act(act))


class PersonReviewsView(APIView):
    """Evidence about people that was not followed, for a person to decide on."""

    @extend_schema(
        operation_id="person_reviews",
        tags=["Identity"],
        parameters=PAGE,
        responses={200: PersonReviewPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        rows, after = queries.list_reviews(
            organization_of(request),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
            level=PEOPLE,
        )
        return Response({"results": [_review(row) for row in rows], "next": after})


class PersonReviewDecideView(APIView):
    """A person's answer to a review about people."""

    @extend_schema(
        operation_id="person_review_decide",
        tags=["Identity"],
        request=IdentityReviewVerdict,
        responses={200: PersonAct, **ERRORS},
    )
    def post(self, request: Request, review_id: int) -> Response:
        """Say that the contacts are the same person, are different ones, or that this
        evidence is not worth a decision."""
        review = get_object_or_404(
            PEOPLE.Review.objects.filter(organization=organization_of(request)),
            pk=review_id,
        )
        verdict = valid(IdentityReviewVerdict, request)["verdict"]
        act = actions.decide(request._request, review, verdict, timezone.now())
        return Response(_act(act))


class PersonRevokeView(APIView):
    """Undo of a merge, a split or a verdict about people."""

    @extend_schema(
        operation_id="person_decision_revoke",
        tags=["Identity"],
        request=None,
        responses={200: PersonAct, **ERRORS},
    )
    def post(self, request: Request, decision_id: int) -> Response:
        """Take back everything that was said in the same act."""
        decision = get_object_or_404(
            PEOPLE.Decision.objects.filter(organization=organization_of(request)),
            pk=decision_id,
        )
        act = actions.revoke(request._request, decision, timezone.now())
        return Response(_act(act))


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


def _act(act: actions.Act | None) -> dict[str, Any]:
    if act is None:
        return {"decision_id": None, "person_id": None, "contacts_moved": 0}
    return {
        "decision_id": act.decision_id,
        "person_id": act.entity.public_id,
        "contacts_moved": act.moved,
    }


def _review(review: queries.Review) -> dict[str, Any]:
    row = review.row
    return {
        "review_id": row.pk,
        "rule": row.rule,
        "key": row.key,
        "evidence": review.evidence,
        "reason": row.reason,
        "created_at": row.created_at,
        "contacts": [_contact(one) for one in review.identities],
    }


def _contact(one: Contact) -> dict[str, Any]:
    return {
        "identity": one.pk,
        "source": one.source.name,
        "external_id": one.external_id,
        "person_id": one.person.public_id if one.person else None,
        **{name: getattr(one, name) for name in ("name", "email", "user_id")},
    }
