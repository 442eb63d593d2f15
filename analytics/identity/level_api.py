"""What the identity API does alike for customers and for people: reviews, suggestions,
merging, splitting, undoing. `api` and `people_api` name and describe it for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from django.shortcuts import get_object_or_404
from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.identity import actions, queries, shapes, suggestions
from analytics.identity.levels import Level
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.models import Organization


def valid(kind: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """The request's body as this shape has it. Raises ValidationError."""
    form = kind(data=request.data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


@dataclass(frozen=True, slots=True)
class Telling:
    """entity, members: what the answers call the customer or person and its
    identities. find: by public id. tell: an identity as the answers show it."""

    level: Level
    entity: str
    members: str
    find: Callable[[Organization, str], Any]
    tell: Callable[[Any], dict[str, Any]]


class LevelView(APIView):
    telling: ClassVar[Telling]

    def answer(self, act: actions.Act | None) -> Response:
        """What came of an act; None where there was nothing to decide."""
        return Response(
            {
                "decision_id": act.decision_id if act else None,
                f"{self.telling.entity}_id": act.entity.public_id if act else None,
                f"{self.telling.members}_moved": act.moved if act else 0,
            }
        )


class Reviews(LevelView):
    def get(self, request: Request) -> Response:
        rows, after = queries.list_reviews(
            organization_of(request),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
            level=self.telling.level,
        )
        return Response({"results": [self._review(row) for row in rows], "next": after})

    def _review(self, review: queries.Review) -> dict[str, Any]:
        row = review.row
        return {
            "review_id": row.pk,
            "rule": row.rule,
            "key": row.key,
            "evidence": review.evidence,
            "reason": row.reason,
            "created_at": row.created_at,
            self.telling.members: [self.telling.tell(one) for one in review.identities],
        }


class ReviewDecide(LevelView):
    def post(self, request: Request, review_id: int) -> Response:
        review = get_object_or_404(
            self.telling.level.Review.objects.filter(
                organization=organization_of(request)
            ),
            pk=review_id,
        )
        verdict = valid(shapes.IdentityReviewVerdict, request)["verdict"]
        return self.answer(
            actions.decide(request._request, review, verdict, timezone.now())
        )


class Suggestions(LevelView):
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        found = suggestions.current(organization, timezone.now(), self.telling.level)
        pairs = queries.pairs(organization, found, self.telling.level)
        return Response(
            {"results": [self._pair(pair) for pair in pairs], "as_of": found.at}
        )

    def _pair(self, pair: queries.Pair) -> dict[str, Any]:
        return {
            "first": self.telling.tell(pair.first),
            "second": self.telling.tell(pair.second),
            "weight": pair.suggestion.weight,
            "evidence": [
                {"sentence": sentence, "weight": weight}
                for sentence, weight in pair.suggestion.evidence
            ],
        }


class SuggestionDecide(LevelView):
    def post(self, request: Request) -> Response:
        given = valid(shapes.IdentitySuggestionVerdict, request)
        return self.answer(
            actions.judge(
                request._request,
                organization_of(request),
                given["first"],
                given["second"],
                is_same=given["verdict"] == "same",
                now=timezone.now(),
                level=self.telling.level,
            )
        )


class Merge(LevelView):
    """Shape: of the body, which names the other as `into`."""

    Shape: ClassVar[type[serializers.Serializer]]

    def merge(self, request: Request, public_id: str) -> Response:
        """Merge the one of this id with the one the body names."""
        organization = organization_of(request)
        one = self.telling.find(organization, public_id)
        other = self.telling.find(organization, valid(self.Shape, request)["into"])
        return self.answer(actions.merge(request._request, one, other, timezone.now()))


class Split(LevelView):
    def split(self, request: Request, public_id: str) -> Response:
        """Split off the identity that the body names."""
        found = self.telling.find(organization_of(request), public_id)
        identity = valid(shapes.CustomerSplit, request)["identity"]
        return self.answer(
            actions.split(request._request, found, identity, timezone.now())
        )


class Revoke(LevelView):
    def post(self, request: Request, decision_id: int) -> Response:
        """Take back everything that was said in the same act."""
        decision = get_object_or_404(
            self.telling.level.Decision.objects.filter(
                organization=organization_of(request)
            ),
            pk=decision_id,
        )
        return self.answer(actions.revoke(request._request, decision, timezone.now()))
