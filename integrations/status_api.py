"""GET /api/v1/data/status/{source_system}."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.auth import organization_of
from integrations import status
from integrations.ingest.views import ProblemSerializer


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


class DataStatusView(APIView):
    """How a source is doing."""

    @extend_schema(
        operation_id="data_status",
        tags=["Data"],
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
