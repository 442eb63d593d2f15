"""The analytics API: customers, their health, usage trends."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics import queries, scoring, sentences, trends
from analytics.segments.members import read_members
from churnguard import audit
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.models import Customer
from churnguard.schema import ERRORS


class CustomerRow(serializers.Serializer):
    customer_id = serializers.CharField()
    name = serializers.CharField()
    score = serializers.IntegerField(allow_null=True)
    band = serializers.ChoiceField(queries.BANDS)
    trend = serializers.IntegerField(allow_null=True)
    coverage_pct = serializers.IntegerField(allow_null=True)
    segment = serializers.CharField()
    plan = serializers.CharField()
    mrr_minor = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField()
    churn_probability = serializers.FloatField(allow_null=True)
    last_activity_at = serializers.DateTimeField(allow_null=True)
    as_of = serializers.DateTimeField(allow_null=True)


class CustomerPage(serializers.Serializer):
    results = CustomerRow(many=True)
    next = serializers.CharField(allow_null=True)


class ReasonSerializer(serializers.Serializer):
    metric = serializers.CharField()
    label = serializers.CharField()
    points_lost = serializers.IntegerField()
    sentence = serializers.CharField()
    fact = serializers.DictField(child=serializers.FloatField())
    fact_at = serializers.DateTimeField(allow_null=True)


class ComponentSerializer(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    score = serializers.FloatField(allow_null=True)
    weight = serializers.FloatField()
    points_lost = serializers.IntegerField()
    reasons = ReasonSerializer(many=True)


class SourceSerializer(serializers.Serializer):
    source = serializers.CharField()
    external_id = serializers.CharField()
    name = serializers.CharField(allow_null=True)
    updated_at = serializers.DateTimeField()


class HealthSerializer(serializers.Serializer):
    customer_id = serializers.CharField()
    name = serializers.CharField()
    score = serializers.IntegerField(allow_null=True)
    band = serializers.ChoiceField(queries.BANDS)
    trend = serializers.IntegerField(allow_null=True)
    coverage = serializers.FloatField(allow_null=True)
    points_lost = serializers.IntegerField(allow_null=True)
    components = ComponentSerializer(many=True)
    changes = ReasonSerializer(many=True)
    changed_since = serializers.DateTimeField(allow_null=True)
    definition_version = serializers.IntegerField(allow_null=True)
    definition_changed = serializers.BooleanField()
    is_stale = serializers.BooleanField()
    sources = SourceSerializer(many=True)
    as_of = serializers.DateTimeField(allow_null=True)


class TrendPoint(serializers.Serializer):
    at = serializers.DateTimeField()
    events = serializers.IntegerField()
    value = serializers.FloatField()


class TrendSeries(serializers.Serializer):
    event = serializers.CharField()
    total = serializers.IntegerField()
    values = serializers.ListField(child=serializers.IntegerField())


class TrendSerializer(serializers.Serializer):
    timeframe = serializers.CharField()
    bucket = serializers.CharField()
    timezone = serializers.CharField()
    as_of = serializers.DateTimeField()
    total = serializers.IntegerField()
    previous_total = serializers.IntegerField()
    change_pct = serializers.FloatField(allow_null=True)
    points = TrendPoint(many=True)
    series = TrendSeries(many=True)


def _text(name: str, description: str, **extra: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=description, **extra)


class CustomersView(APIView):
    """The customers of the organisation with their scores."""

    @extend_schema(
        operation_id="customers_list",
        tags=["Customers"],
        parameters=[
            _text("search", "Name, domain, e-mail, our id or an id in a source."),
            _text(
                "band",
                "Only those in this band who have not left, or those who have.",
                enum=queries.STANDINGS,
            ),
            _text("segment", "Only this segment."),
            _text("segment_id", "Only this saved segment, by id or slug."),
            _text("plan", "Only this plan."),
            _text("min_score", "Score of at least (0-100)."),
            _text("max_score", "Score of at most (0-100)."),
            _text("order", "Default score.", enum=tuple(queries.ORDERINGS)),
            _text("cursor", "The `next` of the previous page."),
            OpenApiParameter("limit", int, description="1 to 500, default 50."),
        ],
        responses={200: CustomerPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        chosen = queries.CustomerFilter.from_query(request.query_params)
        rows, after = queries.list_customers(
            organization,
            chosen,
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        currency = organization.base_currency
        return Response(
            {"results": [customer_row(row, currency) for row in rows], "next": after}
        )


class CustomerHealthView(APIView):
    """Why the score is what it is: score + points lost = 100."""

    required_scope = {"POST": "write"}

    @extend_schema(
        operation_id="customer_health",
        tags=["Customers"],
        parameters=[
            _text(
                "customer_id",
                "Our id (cus_…), or the id in a source (“id” or “source:id”).",
                location=OpenApiParameter.PATH,
            ),
            OpenApiParameter(
                "since_days", int, description="Compare with so many days ago (7)."
            ),
        ],
        responses={200: HealthSerializer, **ERRORS},
    )
    def get(self, request: Request, customer_id: str) -> Response:
        customer = queries.find_customer(organization_of(request), customer_id)
        days = page_limit(request.query_params.get("since_days"), default=7, most=365)
        return Response(
            health_body(queries.get_health(customer, timezone.now(), since_days=days))
        )

    @extend_schema(
        operation_id="customer_health_recompute",
        tags=["Customers"],
        request=None,
        responses={200: HealthSerializer, **ERRORS},
    )
    def post(self, request: Request, customer_id: str) -> Response:
        """Recompute the score now and answer it."""
        organization = organization_of(request)
        customer = queries.find_customer(organization, customer_id)
        now = timezone.now()
        scoring.score_now(organization.pk, [customer.pk], now)
        audit.record(
            request._request,
            "customer.rescored",
            organization=organization,
            target_type="customer",
            target_id=customer.public_id,
        )
        customer.refresh_from_db()
        return Response(health_body(queries.get_health(customer, now)))


class UsageTrendsView(APIView):
    """Usage over time, exact, in the organisation's time zone."""

    @extend_schema(
        operation_id="usage_trends",
        tags=["Usage"],
        parameters=[
            _text(
                "timeframe",
                "How far back.",
                location=OpenApiParameter.PATH,
                enum=tuple(trends.FRAMES),
            ),
            _text("event", "Only this event name."),
            _text("customer_id", "Only this customer."),
            _text("segment", "Only customers of this segment."),
            _text("segment_id", "Only this saved segment, by id or slug."),
        ],
        responses={200: TrendSerializer, **ERRORS},
    )
    def get(self, request: Request, timeframe: str) -> Response:
        organization = organization_of(request)
        query = request.query_params
        customer_id = query.get("customer_id")
        question = trends.Question(
            timeframe=timeframe,
            event=query.get("event", "").replace("\x00", ""),
            segment=query.get("segment", "").replace("\x00", ""),
            members=read_members(organization, query.get("segment_id")),
            customer=(
                queries.find_customer(organization, customer_id)
                if customer_id
                else None
            ),
        )
        return Response(trends.usage_trend(organization, question, timezone.now()))


def customer_row(customer: Customer, currency: str) -> dict[str, Any]:
    """One row of the list, as API and page show it."""
    return {
        "customer_id": customer.public_id,
        "name": customer.name,
        "score": customer.score,
        "band": customer.band,
        "trend": customer.trend,
        "coverage_pct": customer.coverage_pct,
        "segment": customer.segment,
        "plan": customer.plan,
        "mrr_minor": customer.mrr_minor,
        "currency": currency,
        "churn_probability": customer.churn_probability,
        "last_activity_at": customer.last_activity_at,
        "as_of": customer.scored_at,
    }


def health_body(found: queries.Health) -> dict[str, Any]:
    """The answer of customer-health. points_lost + score = 100 when score is known."""
    coverage = found.coverage_pct
    return {
        "customer_id": found.customer.public_id,
        "name": found.customer.name,
        "score": found.score,
        "band": found.band,
        "trend": found.trend,
        "coverage": None if coverage is None else coverage / 100,
        "points_lost": None if found.score is None else 100 - found.score,
        "components": [
            {**part, "reasons": [_reason(reason) for reason in part["reasons"]]}
            for part in found.components
        ],
        "changes": [_reason(reason) for reason in found.changes],
        "changed_since": found.changed_since,
        "definition_version": found.definition.version if found.definition else None,
        "definition_changed": found.definition_changed,
        "is_stale": found.is_stale,
        "sources": [
            {
                "source": source.source.name,
                "external_id": source.external_id,
                "name": source.name,
                "updated_at": source.updated_at,
            }
            for source in found.sources
        ],
        "as_of": found.as_of,
    }


def _reason(reason: sentences.Reason) -> dict[str, Any]:
    return {
        "metric": reason.metric,
        "label": reason.label,
        "points_lost": reason.points_lost,
        "sentence": reason.sentence,
        "fact": reason.fact,
        "fact_at": reason.fact_at,
    }
