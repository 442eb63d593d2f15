"""The API of the scheduled analyses: the list, and one with its result."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.analyses import queries
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.schema import ERRORS, PAGE


class AnalysisRow(serializers.Serializer):
    analysis_id = serializers.CharField()
    kind = serializers.ChoiceField(queries.KINDS)
    status = serializers.ChoiceField(("queued", "running", "completed", "failed"))
    scheduled_for = serializers.DateTimeField()
    period_start = serializers.DateTimeField()
    period_end = serializers.DateTimeField(help_text="Exclusive.")
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error = serializers.CharField(allow_blank=True)


class AnalysisPage(serializers.Serializer):
    results = AnalysisRow(many=True)
    next = serializers.CharField(allow_null=True)


class Analysis(AnalysisRow):
    result = serializers.DictField(
        help_text="Figures every analysis has, and under `sections` those of its kind: "
        "daily health, usage, support, finance; weekly health, teams, process, "
        "satisfaction; monthly health, usage, support, revenue, churn, market."
    )


class AnalysesView(APIView):
    """The scheduled analyses that were made."""

    @extend_schema(
        operation_id="analyses_list",
        tags=["Analyses"],
        parameters=[OpenApiParameter("kind", str, enum=queries.KINDS), *PAGE],
        responses={200: AnalysisPage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Newest first, a keyset page, without results."""
        query = request.query_params
        found, following = queries.list_runs(
            organization_of(request),
            kind=query.get("kind", ""),
            cursor=query.get("cursor"),
            limit=page_limit(query.get("limit")),
        )
        body = {"results": [queries.head_body(run) for run in found], "next": following}
        return Response(AnalysisPage(body).data)


class AnalysisView(APIView):
    """One scheduled analysis."""

    @extend_schema(
        operation_id="analyses_one",
        tags=["Analyses"],
        responses={200: Analysis, **ERRORS},
    )
    def get(self, request: Request, analysis_id: str) -> Response:
        """The analysis with what it found, as kept when it was made."""
        run = queries.get_run(organization_of(request), analysis_id)
        return Response(
            {**AnalysisRow(queries.head_body(run)).data, "result": run.result}
        )
