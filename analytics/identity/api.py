"""The identity API: reviews, suggestions, merging, splitting, undoing."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.identity import actions, queries, suggestions
from analytics.models import IdentityDecision, IdentityReview
from analytics.queries import find_customer
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.models import CustomerSource
from churnguard.schema import ERRORS, PAGE


class IdentityRow(serializers.Serializer):
    identity = serializers.IntegerField(help_text="Names it in decisions and splits.")
    source = serializers.CharField()
    external_id = serializers.CharField()
    customer_id = serializers.CharField()
    name = serializers.CharField(allow_null=True)
    domain = serializers.CharField(allow_null=True)
    email = serializers.CharField(allow_null=True)
    phone = serializers.CharField(allow_null=True)
    country = serializers.CharField(allow_null=True)


class IdentityReviewRow(serializers.Serializer):
    review_id = serializers.IntegerField()
    rule = serializers.CharField()
    key = serializers.CharField()
    evidence = serializers.CharField()
    reason = serializers.CharField(help_text="Why it was not followed.")
    created_at = serializers.DateTimeField()
    identities = IdentityRow(many=True)


class IdentityReviewPage(serializers.Serializer):
    results = IdentityReviewRow(many=True)
    next = serializers.CharField(allow_null=True)


class IdentityReviewVerdict(serializers.Serializer):
    verdict = serializers.ChoiceField(("same", "different", "dismiss"))


class IdentityEvidence(serializers.Serializer):
    sentence = serializers.CharField()
    weight = serializers.FloatField(help_text="Above 0 for, below 0 against.")


class IdentitySuggestion(serializers.Serializer):
    first = IdentityRow()
    second = IdentityRow()
    weight = serializers.FloatField(help_text="The sum of the evidence.")
    evidence = IdentityEvidence(many=True)


class IdentitySuggestions(serializers.Serializer):
    results = IdentitySuggestion(many=True)
    as_of = serializers.DateTimeField()


class IdentitySuggestionVerdict(serializers.Serializer):
    first = serializers.IntegerField(min_value=1, max_value=2**62)
    second = serializers.IntegerField(min_value=1, max_value=2**62)
    verdict = serializers.ChoiceField(("same", "different"))


class CustomerMerge(serializers.Serializer):
    into = serializers.CharField(
        max_length=300, help_text="The other customer: our id, or its id in a source."
    )


class CustomerSplit(serializers.Serializer):
    identity = serializers.IntegerField(min_value=1, max_value=2**62)


class IdentityAct(serializers.Serializer):
    decision_id = serializers.IntegerField(
        allow_null=True, help_text="Revokes the act; null where none was needed."
    )
    customer_id = serializers.CharField(
        allow_null=True, help_text="Who has the identity now."
    )
    identities_moved = serializers.IntegerField()


CUSTOMER = OpenApiParameter(
    "customer_id",
    str,
    OpenApiParameter.PATH,
    description="Our id (cus_…), or the id in a source.",
)


class IdentityReviewsView(APIView):
    """Evidence that was not followed, for a person to decide on."""

    @extend_schema(
        operation_id="identity_reviews",
        tags=["Identity"],
        parameters=PAGE,
        responses={200: IdentityReviewPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        rows, after = queries.list_reviews(
            organization_of(request),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        return Response({"results": [_review(row) for row in rows], "next": after})


class IdentityReviewDecideView(APIView):
    """A person's answer to a review."""

    @extend_schema(
        operation_id="identity_review_decide",
        tags=["Identity"],
        request=IdentityReviewVerdict,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, review_id: int) -> Response:
        """Say that the identities are the same customer, are different ones, or that
        this evidence is not worth a decision."""
        review = get_object_or_404(
            IdentityReview.objects.filter(organization=organization_of(request)),
            pk=review_id,
        )
        given = valid(IdentityReviewVerdict, request)
        act = actions.decide(request._request, review, given["verdict"], timezone.now())
        return Response(_act(act))


class IdentitySuggestionsView(APIView):
    """Customers that may be the same company, best first."""

    @extend_schema(
        operation_id="identity_suggestions",
        tags=["Identity"],
        responses={200: IdentitySuggestions, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """At most 200, of the last day; what was decided is not among them."""
        organization = organization_of(request)
        found = suggestions.current(organization, timezone.now())
        return Response(
            {
                "results": [
                    {
                        "first": _identity(pair.first),
                        "second": _identity(pair.second),
                        "weight": pair.suggestion.weight,
                        "evidence": [
                            {"sentence": sentence, "weight": weight}
                            for sentence, weight in pair.suggestion.evidence
                        ],
                    }
                    for pair in queries.pairs(organization, found)
                ],
                "as_of": found.at,
            }
        )


class IdentitySuggestionDecideView(APIView):
    """A person's answer to a suggestion."""

    @extend_schema(
        operation_id="identity_suggestion_decide",
        tags=["Identity"],
        request=IdentitySuggestionVerdict,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Accept (same) or reject (different) it; a rejected one never comes back."""
        given = valid(IdentitySuggestionVerdict, request)
        act = actions.judge(
            request._request,
            organization_of(request),
            given["first"],
            given["second"],
            is_same=given["verdict"] == "same",
            now=timezone.now(),
        )
        return Response(_act(act))


class CustomerMergeView(APIView):
    """Two customers that are one."""

    @extend_schema(
        operation_id="customer_merge",
        tags=["Identity"],
        parameters=[CUSTOMER],
        request=CustomerMerge,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, customer_id: str) -> Response:
        """Merge with the customer `into`. The older of the two keeps its id, and the
        other's id leads to it. Revoking the decision gives both back."""
        organization = organization_of(request)
        one = find_customer(organization, customer_id)
        given = valid(CustomerMerge, request)
        other = find_customer(organization, given["into"])
        return Response(
            _act(actions.merge(request._request, one, other, timezone.now()))
        )


class CustomerSplitView(APIView):
    """An identity that is another customer."""

    @extend_schema(
        operation_id="customer_split",
        tags=["Identity"],
        parameters=[CUSTOMER],
        request=CustomerSplit,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, customer_id: str) -> Response:
        """Split an identity off; the others stay together."""
        customer = find_customer(organization_of(request), customer_id)
        given = valid(CustomerSplit, request)
        return Response(
            _act(
                actions.split(
                    request._request, customer, given["identity"], timezone.now()
                )
            )
        )


class IdentityRevokeView(APIView):
    """Undo of a merge, a split or a verdict."""

    @extend_schema(
        operation_id="identity_decision_revoke",
        tags=["Identity"],
        request=None,
        responses={200: IdentityAct, **ERRORS},
    )
    def post(self, request: Request, decision_id: int) -> Response:
        """Take back everything that was said in the same act."""
        decision = get_object_or_404(
            IdentityDecision.objects.filter(organization=organization_of(request)),
            pk=decision_id,
        )
        return Response(
            _act(actions.revoke(request._request, decision, timezone.now()))
        )


def valid(kind: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    form = kind(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def _act(act: actions.Act | None) -> dict[str, Any]:
    if act is None:
        return {"decision_id": None, "customer_id": None, "identities_moved": 0}
    return {
        "decision_id": act.decision_id,
        "customer_id": act.entity.public_id,
        "identities_moved": act.moved,
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
        "identities": [_identity(one) for one in review.identities],
    }


def _identity(one: CustomerSource) -> dict[str, Any]:
    return {
        "identity": one.pk,
        "source": one.source.name,
        "external_id": one.external_id,
        "customer_id": one.customer.public_id,
        **{
            name: getattr(one, name)
            for name in ("name", "domain", "email", "phone", "country")
        },
    }
