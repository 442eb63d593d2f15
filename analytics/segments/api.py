"""Segments through HTTP: kept, tried out, counted over time."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.api import CustomerRow, customer_row
from analytics.segments import changes, members
from analytics.segments.body import preview_body, segment_body, trend_body
from analytics.segments.fields import FIELDS
from analytics.segments.tree import parse
from analytics.usage.scope import read_scope
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.schema import ERRORS, PAGE

_DEFINITION = (
    "A condition {field, op, value}, {and: [..]}, {or: [..]} or {not: ..}; see "
    "/api/v1/analytics/segments/fields."
)
_SEGMENT = OpenApiParameter(
    "segment_id", str, OpenApiParameter.PATH, description="Its id (seg_…) or slug."
)


class SegmentCounts(serializers.Serializer):
    members = serializers.IntegerField()
    average_score = serializers.FloatField(
        allow_null=True, help_text="Over members that have a score."
    )
    at_risk = serializers.IntegerField(help_text="Members in this health band.")
    mrr_minor = serializers.IntegerField(help_text="In the base currency.")


class SegmentDayRow(SegmentCounts):
    day = serializers.DateField(help_text="Local day of the organisation.")
    mrr_by_currency = serializers.DictField(
        child=serializers.IntegerField(),
        help_text="Currency of the subscriptions to its minor units.",
    )
    entered = serializers.IntegerField(
        allow_null=True, help_text="Against the day counted before; null on the first."
    )
    left = serializers.IntegerField(allow_null=True)
    version = serializers.IntegerField(help_text="Of the definition.")
    counted_at = serializers.DateTimeField()


class SegmentRow(serializers.Serializer):
    segment_id = serializers.CharField()
    slug = serializers.CharField(help_text="Stands for the id everywhere.")
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    definition = serializers.DictField(help_text=_DEFINITION)
    sentence = serializers.CharField(help_text="The definition in words.")
    version = serializers.IntegerField()
    is_archived = serializers.BooleanField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    currency = serializers.CharField(help_text="Of mrr_minor.")
    counted = SegmentDayRow(allow_null=True, help_text="The newest count.")


class SegmentPage(serializers.Serializer):
    results = SegmentRow(many=True)
    next = serializers.CharField(allow_null=True)


class SegmentNew(serializers.Serializer):
    name = serializers.CharField(max_length=120)
    description = serializers.CharField(
        max_length=2000, required=False, allow_blank=True
    )
    definition = serializers.DictField(help_text=_DEFINITION)


class SegmentChange(serializers.Serializer):
    name = serializers.CharField(max_length=120, required=False)
    description = serializers.CharField(
        max_length=2000, required=False, allow_blank=True
    )
    definition = serializers.DictField(required=False, help_text=_DEFINITION)
    is_archived = serializers.BooleanField(required=False)


class SegmentTrial(serializers.Serializer):
    definition = serializers.DictField(help_text=_DEFINITION)


class SegmentPreview(SegmentCounts):
    sentence = serializers.CharField()
    currency = serializers.CharField()
    results = CustomerRow(many=True, help_text="The first 20 by name.")


class SegmentTrend(serializers.Serializer):
    segment_id = serializers.CharField()
    name = serializers.CharField()
    timezone = serializers.CharField()
    currency = serializers.CharField()
    to = serializers.DateField(help_text="Last local day, inclusive.")
    points = SegmentDayRow(many=True, help_text="Days on which it was counted.")

    def get_fields(self) -> dict[str, serializers.Field]:
        first = serializers.DateField(help_text="First local day.")
        return {"from": first, **super().get_fields()}


class SegmentField(serializers.Serializer):
    field = serializers.CharField()
    label = serializers.CharField()
    group = serializers.CharField()
    kind = serializers.CharField(
        help_text="text, choice, number, money (minor units of the base currency), "
        "time (days YYYY-MM-DD), set (any number of texts) or custom."
    )
    ops = serializers.ListField(child=serializers.CharField())
    choices = serializers.ListField(child=serializers.CharField())
    asks = serializers.ListField(
        child=serializers.CharField(),
        help_text="What a condition gives beside the value: event and days, or path.",
    )


class SegmentFieldList(serializers.Serializer):
    results = SegmentField(many=True)


class SegmentsView(APIView):
    """The saved segments with their newest counts."""

    @extend_schema(
        operation_id="segments_list",
        tags=["Segments"],
        parameters=[
            OpenApiParameter(
                "archived", str, enum=("true", "false"), description="Only archived."
            ),
            *PAGE,
        ],
        responses={200: SegmentPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization, query = organization_of(request), request.query_params
        rows, after = members.list_segments(
            organization,
            cursor=query.get("cursor"),
            limit=page_limit(query.get("limit")),
            is_archived=_is_archived(query.get("archived")),
        )
        days = members.newest_days(rows, 1)
        return Response(
            {
                "results": [
                    segment_body(row, organization, days[row.pk]) for row in rows
                ],
                "next": after,
            }
        )

    @extend_schema(
        operation_id="segments_create",
        tags=["Segments"],
        request=SegmentNew,
        responses={201: SegmentRow, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Save a segment and count it at once. Names of built-in segments and of
        other segments are refused; a definition's faults are named by their path."""
        organization = organization_of(request)
        made = changes.create(request._request, organization, _object(request))
        return Response(_one(made, organization), status=201)


class SegmentFieldsView(APIView):
    """The fields a definition may ask about, with their operators."""

    @extend_schema(
        operation_id="segments_fields",
        tags=["Segments"],
        responses={200: SegmentFieldList, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization_of(request)
        return Response(
            {
                "results": [
                    {
                        "field": field.name,
                        "label": field.label,
                        "group": field.group,
                        "kind": field.kind,
                        "ops": field.ops,
                        "choices": field.choices,
                        "asks": field.asks,
                    }
                    for field in FIELDS
                ]
            }
        )


class SegmentPreviewView(APIView):
    """Try a definition out; nothing is kept."""

    required_scope = {"POST": "read"}

    @extend_schema(
        operation_id="segments_preview",
        tags=["Segments"],
        request=SegmentTrial,
        responses={200: SegmentPreview, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """How many customers it finds, and the first 20 of them."""
        organization = organization_of(request)
        node = parse(_object(request).get("definition"))
        found = preview_body(node, organization, timezone.now())
        rows = found.pop("rows")
        currency = organization.base_currency
        return Response(
            {**found, "results": [customer_row(row, currency) for row in rows]}
        )


class SegmentView(APIView):
    """One segment."""

    @extend_schema(
        operation_id="segments_get",
        tags=["Segments"],
        parameters=[_SEGMENT],
        responses={200: SegmentRow, **ERRORS},
    )
    def get(self, request: Request, segment_id: str) -> Response:
        organization = organization_of(request)
        return Response(
            _one(members.find_segment(organization, segment_id), organization)
        )

    @extend_schema(
        operation_id="segments_change",
        tags=["Segments"],
        parameters=[_SEGMENT],
        request=SegmentChange,
        responses={200: SegmentRow, **ERRORS},
    )
    def patch(self, request: Request, segment_id: str) -> Response:
        """Change what is given; the slug stays. Another definition is a new version,
        and what the one before found is not compared with it."""
        organization = organization_of(request)
        segment = members.find_segment(organization, segment_id)
        changed = changes.change(
            request._request, segment, _object(request), timezone.now()
        )
        return Response(_one(changed, organization))

    @extend_schema(
        operation_id="segments_archive",
        tags=["Segments"],
        parameters=[_SEGMENT],
        request=None,
        responses={204: None, **ERRORS},
    )
    def delete(self, request: Request, segment_id: str) -> Response:
        """Archive it: it leaves lists and filters and keeps its history. PATCH with
        is_archived false brings it back."""
        segment = members.find_segment(organization_of(request), segment_id)
        changes.archive(request._request, segment, timezone.now())
        return Response(status=204)


class SegmentTrendView(APIView):
    """Members, health and money of a segment by day."""

    @extend_schema(
        operation_id="segments_trend",
        tags=["Segments"],
        parameters=[
            _SEGMENT,
            OpenApiParameter("from", str, description="First local day; 90 days back."),
            OpenApiParameter("to", str, description="Last local day; today."),
        ],
        responses={200: SegmentTrend, **ERRORS},
    )
    def get(self, request: Request, segment_id: str) -> Response:
        organization = organization_of(request)
        segment = members.find_segment(organization, segment_id)
        scope = read_scope(organization, request.query_params, timezone.now(), days=90)
        return Response(trend_body(segment, organization, scope.first, scope.last))


def _one(segment: Any, organization: Any) -> dict[str, Any]:
    days = members.newest_days([segment], 1)
    return segment_body(segment, organization, days[segment.pk])


def _object(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise ConfigError("Send a JSON object.", code="invalid")
    return {**request.data}


def _is_archived(text: str | None) -> bool:
    if text not in (None, "", "true", "false"):
        raise ConfigError(
            "archived must be true or false.",
            code="invalid",
            fields={"archived": "true or false"},
        )
    return text == "true"
