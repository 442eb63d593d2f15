"""GET /api/v1/data/status/{source_system} and GET /api/v1/data/quality/metrics."""

from __future__ import annotations

import dataclasses
from datetime import UTC, date, datetime, timedelta
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from integrations import status
from integrations.ingest.views import ProblemSerializer

_MOST_DAYS = 92
_DEFAULT_DAYS = 30


class StatusSerializer(serializers.Serializer[Any]):
    """A source now."""

    source_system = serializers.CharField()
    kind = serializers.CharField(help_text="The provider, or ingest.")
    state = serializers.ChoiceField(choices=["active", "idle", "never"])
    first_seen_at = serializers.DateTimeField()
    last_received_at = serializers.DateTimeField(allow_null=True)
    newest_record_at = serializers.DateTimeField(allow_null=True)
    lag_s = serializers.FloatField(
        allow_null=True, help_text="Seconds since the newest event or source time."
    )
    records = serializers.DictField(
        help_text="last_minute, last_hour, last_24h: {records, per_second}."
    )
    totals = serializers.DictField(
        child=serializers.IntegerField(), help_text="Sums of the ledger."
    )
    stored = serializers.DictField(
        child=serializers.IntegerField(), help_text="Rows alive by record type."
    )
    quarantine = serializers.DictField(
        child=serializers.IntegerField(), help_text="Open records by reason."
    )


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


class QualitySerializer(serializers.Serializer[Any]):
    first_day = serializers.DateField()
    last_day = serializers.DateField()
    results = QualityDaySerializer(many=True)


class DataStatusView(APIView):
    """How a source is doing."""

    @extend_schema(
        operation_id="data_status",
        tags=["data"],
        summary="Status of a source",
        parameters=[OpenApiParameter("source_system", str, OpenApiParameter.PATH)],
        responses={
            200: StatusSerializer,
            401: ProblemSerializer,
            403: ProblemSerializer,
            404: ProblemSerializer,
        },
    )
    def get(self, request: Request, source_system: str) -> Response:
        found = status.get_status(
            organization_of(request).pk, source_system, now=datetime.now(UTC)
        )
        if found is None:
            raise Http404
        return Response(StatusSerializer(dataclasses.asdict(found)).data)


class QualityMetricsView(APIView):
    """How good the data of each source was, day by day."""

    @extend_schema(
        operation_id="data_quality_metrics",
        tags=["data"],
        summary="Data quality by source and day",
        parameters=[
            OpenApiParameter("source", str, description="One source only."),
            OpenApiParameter("from", date, description="First UTC day."),
            OpenApiParameter("to", date, description="Last UTC day."),
        ],
        responses={
            200: QualitySerializer,
            400: ProblemSerializer,
            401: ProblemSerializer,
            403: ProblemSerializer,
            404: ProblemSerializer,
        },
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        last = _day(request, "to") or datetime.now(UTC).date()
        first = _day(request, "from") or last - timedelta(days=_DEFAULT_DAYS - 1)
        if not 0 <= (last - first).days < _MOST_DAYS or last.year < 1970:
            raise ConfigError(
                f"“from” must not be after “to”, and at most {_MOST_DAYS} days fit.",
                code="invalid_range",
                fields={"from": f"at most {_MOST_DAYS} days before “to”"},
            )
        name = request.query_params.get("source", "")
        if name and not organization.source_set.filter(name=name).exists():
            raise Http404
        rows = status.list_quality(organization.pk, first=first, last=last, name=name)
        body = {
            "first_day": first,
            "last_day": last,
            "results": [dataclasses.asdict(row) for row in rows],
        }
        return Response(QualitySerializer(body).data)


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
