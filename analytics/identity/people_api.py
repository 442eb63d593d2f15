"""The API of people, and of what each source says of a customer or a person."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
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
from analytics.queries import find_customer
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.models import Contact
from churnguard.schema import ERRORS, PAGE

_PERSON = OpenApiParameter(
    "person_id", str, OpenApiParameter.PATH, description="Our id (per_…)."
)


class SourceSaying(serializers.Serializer):
    source = serializers.CharField()
    external_id = serializers.CharField()
    value = serializers.JSONField()
    at = serializers.DateTimeField()
    is_own_time = serializers.BooleanField(
        help_text="The source's own time; else when it was stored."
    )
    is_deleted = serializers.BooleanField()
    is_winner = serializers.BooleanField()


class SourceField(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    value = serializers.JSONField()
    why = serializers.CharField(help_text="Why this value is the one that is shown.")
    sayings = SourceSaying(many=True, help_text="The winner first.")


class SourceVoice(serializers.Serializer):
    source = serializers.CharField()
    external_id = serializers.CharField()
    identity = serializers.IntegerField()
    said_at = serializers.DateTimeField(help_text="Of this record.")
    heard_at = serializers.DateTimeField(
        allow_null=True, help_text="When the source last delivered anything."
    )
    is_deleted = serializers.BooleanField()


class CustomerSayings(serializers.Serializer):
    customer_id = serializers.CharField()
    sources = SourceVoice(many=True)

    # `fields` is a word of the serializer itself, so it is set by name.
    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "fields": SourceField(many=True)}


class PersonUse(serializers.Serializer):
    source = serializers.CharField()
    user_id = serializers.CharField()
    last_at = serializers.DateTimeField()
    events = serializers.IntegerField()


class PersonRow(serializers.Serializer):
    person_id = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField(allow_null=True)
    title = serializers.CharField(allow_null=True)
    role = serializers.CharField(allow_null=True)
    sources = serializers.ListField(child=serializers.CharField())
    billed_by = serializers.ListField(
        child=serializers.CharField(),
        help_text="Sources in which theirs is the customer's own address.",
    )
    newest_at = serializers.DateTimeField()
    used_at = serializers.DateTimeField(allow_null=True)
    is_deleted = serializers.BooleanField()


class CustomerPeople(serializers.Serializer):
    results = PersonRow(many=True, help_text="At most 200.")
    total = serializers.IntegerField()
    nameless_users = serializers.IntegerField(
        help_text="Users of the product that are nobody's contact."
    )


class PersonContact(serializers.Serializer):
    identity = serializers.IntegerField(help_text="Names it in a split.")
    source = serializers.CharField()
    external_id = serializers.CharField()
    rule = serializers.CharField()
    key = serializers.CharField(allow_blank=True)
    since = serializers.DateTimeField(allow_null=True)


class PersonDetail(PersonRow):
    customers = serializers.ListField(child=serializers.CharField())
    contacts = PersonContact(many=True)
    uses = PersonUse(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        return {**super().get_fields(), "fields": SourceField(many=True)}


class PersonMerge(serializers.Serializer):
    into = serializers.CharField(max_length=64, help_text="The other person: per_….")


class PersonAct(serializers.Serializer):
    decision_id = serializers.IntegerField(
        allow_null=True, help_text="Revokes the act; null where none was needed."
    )
    person_id = serializers.CharField(
        allow_null=True, help_text="Who has the contact now."
    )
    contacts_moved = serializers.IntegerField()


class ReviewedContact(serializers.Serializer):
    identity = serializers.IntegerField()
    source = serializers.CharField()
    external_id = serializers.CharField()
    person_id = serializers.CharField(allow_null=True)
    name = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    user_id = serializers.CharField(allow_null=True)


class PersonReviewRow(serializers.Serializer):
    review_id = serializers.IntegerField()
    rule = serializers.CharField()
    key = serializers.CharField()
    evidence = serializers.CharField()
    reason = serializers.CharField(help_text="Why it was not followed.")
    created_at = serializers.DateTimeField()
    contacts = ReviewedContact(many=True)


class PersonReviewPage(serializers.Serializer):
    results = PersonReviewRow(many=True)
    next = serializers.CharField(allow_null=True)


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
