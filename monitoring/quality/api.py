"""The quality API: scores, failing rows, thresholds, measuring on demand."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.schema import ERRORS, PAGE
from integrations import status
from monitoring.models import QualitySetting
from monitoring.quality import queries, rows
from monitoring.quality import settings as quality_settings
from monitoring.quality.daily import weights_of

_MOST_DAYS = 92
_DEFAULT_DAYS = 30


class QualityDaySerializer(serializers.Serializer[Any]):
    """One source on one UTC day. null = not measured."""

    source_system = serializers.CharField()
    day = serializers.DateField()
    records = serializers.IntegerField()
    completeness_pct = serializers.FloatField(
        allow_null=True, help_text="Key fields that are filled."
    )
    validity_pct = serializers.FloatField(
        allow_null=True, help_text="Records that were not refused."
    )
    uniqueness_pct = serializers.FloatField(
        allow_null=True, help_text="Records that had not been sent before."
    )
    timeliness_pct = serializers.FloatField(
        allow_null=True, help_text="Records that arrived within 24 hours."
    )
    lag_p50_s = serializers.FloatField(allow_null=True)
    quarantined = serializers.DictField(child=serializers.IntegerField())


class QualityCheckSerializer(serializers.Serializer[Any]):
    """One check as last measured. score_pct: share of the checked that passes."""

    code = serializers.CharField()
    entity = serializers.CharField()
    dimension = serializers.CharField()
    field = serializers.CharField()
    title = serializers.CharField(help_text="What a failing row has.")
    checked = serializers.IntegerField()
    failed = serializers.IntegerField()
    score_pct = serializers.FloatField(allow_null=True)
    weight = serializers.IntegerField()
    is_critical = serializers.BooleanField()
    samples = serializers.ListField(child=serializers.CharField())
    has_rows = serializers.BooleanField()


class QualityScoreSerializer(serializers.Serializer[Any]):
    """The newest measurement of an entity of a source; entity "" is the whole source.
    null = not measured."""

    source_system = serializers.CharField()
    entity = serializers.CharField(allow_blank=True)
    day = serializers.DateField()
    score = serializers.FloatField(allow_null=True)
    is_capped = serializers.BooleanField(help_text="A critical check fails.")
    coverage_pct = serializers.FloatField(help_text="Dimensions that were measured.")
    dimensions = serializers.DictField(child=serializers.FloatField(allow_null=True))
    rows = serializers.IntegerField()
    measured_at = serializers.DateTimeField()
    checks = QualityCheckSerializer(many=True)


class QualityTrendSerializer(serializers.Serializer[Any]):
    source_system = serializers.CharField()
    day = serializers.DateField()
    score = serializers.FloatField(allow_null=True)
    coverage_pct = serializers.FloatField()
    dimensions = serializers.DictField(child=serializers.FloatField(allow_null=True))


class QualityLimitsSerializer(serializers.Serializer[Any]):
    least_score = serializers.IntegerField(min_value=0, max_value=100)
    most_fall = serializers.IntegerField(min_value=1, max_value=100)

    weights = serializers.DictField(
        child=serializers.IntegerField(min_value=0, max_value=100),
        required=False,
        help_text="Dimension -> weight in a score; others have their default.",
    )


class QualityMissSerializer(serializers.Serializer[Any]):
    external_id = serializers.CharField()
    field = serializers.CharField()
    ours = serializers.CharField()
    theirs = serializers.CharField()


class QualitySampleFieldSerializer(serializers.Serializer[Any]):
    field = serializers.CharField()
    compared = serializers.IntegerField()
    differing = serializers.IntegerField()


class QualitySampleSerializer(serializers.Serializer[Any]):
    """Records read from the provider again and compared field by field."""

    source_system = serializers.CharField()
    entity = serializers.CharField()
    measured_at = serializers.DateTimeField()
    sampled = serializers.IntegerField()
    compared = serializers.IntegerField(help_text="Records found again.")
    changed = serializers.IntegerField(help_text="Changed since the last sync.")
    gone = serializers.IntegerField(help_text="Not there any more.")
    values = serializers.IntegerField(help_text="Values compared.")
    differing = serializers.IntegerField()
    agree_pct = serializers.FloatField(allow_null=True, help_text="Null: not measured.")
    low_pct = serializers.FloatField(allow_null=True, help_text="Of the 95 % interval.")
    high_pct = serializers.FloatField(allow_null=True)
    misses = QualityMissSerializer(many=True, help_text="At most 20.")
    why = serializers.CharField(allow_blank=True, help_text="Why it was not measured.")

    # `fields` is a word of the serializer itself, so it is set by name.
    def get_fields(self) -> dict[str, Any]:
        fields = QualitySampleFieldSerializer(many=True)
        return {**super().get_fields(), "fields": fields}


class QualitySerializer(serializers.Serializer[Any]):
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    results = QualityDaySerializer(many=True)
    scores = QualityScoreSerializer(many=True)
    trend = QualityTrendSerializer(many=True)
    samples = QualitySampleSerializer(many=True)
    thresholds = QualityLimitsSerializer()


class QualityRowSerializer(serializers.Serializer[Any]):
    external_id = serializers.CharField()
    source = serializers.CharField()
    customer_id = serializers.CharField(allow_null=True)
    customer_name = serializers.CharField(allow_null=True)
    url = serializers.CharField(help_text="Page that shows it; may be empty.")


class QualityRowPageSerializer(serializers.Serializer[Any]):
    results = QualityRowSerializer(many=True)
    next = serializers.CharField(allow_null=True)


class QualityAskedSerializer(serializers.Serializer[Any]):
    status = serializers.ChoiceField(["asked"])


class QualityMetricsView(APIView):
    """How good the data of each source is, and was."""

    @extend_schema(
        operation_id="data_quality_metrics",
        tags=["Data"],
        summary="Data quality by source, entity, field and day",
        parameters=[
            OpenApiParameter("source", str, description="One source only."),
            OpenApiParameter("from", date, description="First UTC day."),
            OpenApiParameter("to", date, description="Last UTC day."),
        ],
        responses={200: QualitySerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """results: what arrived, by source and day. scores: six dimensions and every
        check with counts and samples, as last measured. trend: scores by day. samples:
        what was read from the providers again."""
        organization = organization_of(request)
        last = _day(request, "to") or datetime.now(UTC).date()
        first = _day(request, "from") or last - timedelta(days=_DEFAULT_DAYS - 1)
        if not 0 <= (last - first).days < _MOST_DAYS or last.year < 1970:
            raise ConfigError(
                f"“from” must not be after “to”, and at most {_MOST_DAYS} days fit.",
                code="invalid_range",
                fields={"from": f"at most {_MOST_DAYS} days before “to”"},
            )
        name = request.query_params.get("source", "").replace("\x00", "")
        if name and not organization.source_set.filter(name=name).exists():
            raise Http404
        found = status.list_quality(organization.pk, first=first, last=last, name=name)
        body = {
            "first_day": first,
            "last_day": last,
            "results": [dataclasses.asdict(row) for row in found],
            "scores": queries.latest(organization, last, name),
            "trend": queries.trend(organization, first, last, name),
            "samples": queries.list_samples(organization, name),
            "thresholds": _limits(queries.limits_of(organization)),
        }
        return Response(QualitySerializer(body).data)


class FailingRowsView(APIView):
    """The rows behind a check."""

    @extend_schema(
        operation_id="data_quality_failing_rows",
        tags=["Data"],
        summary="Rows that fail a check now",
        parameters=[
            OpenApiParameter("code", str, OpenApiParameter.PATH),
            OpenApiParameter("source", str, description="One source only."),
            *PAGE,
        ],
        responses={200: QualityRowPageSerializer, **ERRORS},
    )
    def get(self, request: Request, code: str) -> Response:
        """Oldest first, a keyset page; checked at the moment of the call."""
        found, following = rows.list_failing(
            organization_of(request),
            code,
            source=request.query_params.get("source", ""),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        body = {"results": found, "next": following}
        return Response(QualityRowPageSerializer(body).data)


class MeasureView(APIView):
    """Measuring on demand."""

    @extend_schema(
        operation_id="data_quality_measure",
        tags=["Data"],
        summary="Measure the quality now",
        request=None,
        responses={202: QualityAskedSerializer, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """A worker measures within seconds; today's scores are replaced."""
        quality_settings.ask(organization_of(request))
        return Response({"status": "asked"}, status=202)


class LimitsView(APIView):
    """When notices about quality open."""

    required_scope: ClassVar[dict[str, str]] = {"GET": "read", "PUT": "admin"}

    @extend_schema(
        operation_id="data_quality_thresholds",
        tags=["Data"],
        summary="Thresholds of data quality",
        responses={200: QualityLimitsSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        limits = queries.limits_of(organization_of(request))
        return Response(_limits(limits))

    @extend_schema(
        operation_id="data_quality_set_thresholds",
        tags=["Data"],
        summary="Change the thresholds",
        request=QualityLimitsSerializer,
        responses={200: QualityLimitsSerializer, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        if not isinstance(request.data, dict):
            raise ConfigError("Send an object.", code="invalid")
        limits = quality_settings.set_limits(
            organization_of(request), queries.read_limits(request.data), by=request
        )
        return Response(_limits(limits))


def _limits(found: QualitySetting) -> dict[str, Any]:
    return {
        "least_score": found.least_score,
        "most_fall": found.most_fall,
        "weights": weights_of(found),
    }


def _day(request: Request, name: str) -> date | None:
    text = request.query_params.get(name, "")
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError as exc:
        raise ConfigError(
            f"{name} is not a day such as 2026-03-01.",
            code="invalid_day",
            fields={name: "not a day"},
        ) from exc
    # The days after the last are asked for as well; leave room for them.
    return min(max(day, date(2, 1, 1)), date(9998, 12, 31))
