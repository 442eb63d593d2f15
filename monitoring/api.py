"""Health probes, overall numbers and open notices as JSON."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.notices import SEVERITIES
from churnguard.schema import ERRORS, PAGE
from monitoring import alerts, health, stats
from monitoring import serializers as shapes


class LiveView(APIView):
    """Whether this process answers."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []

    @extend_schema(
        operation_id="health_live",
        tags=["Health"],
        auth=[],
        responses={200: shapes.LiveSerializer},
    )
    def get(self, request: Request) -> Response:
        """For liveness probes: says nothing about what this process leans on."""
        return Response({"status": "ok"}, headers={"Cache-Control": "no-store"})


class ReadyView(APIView):
    """Whether requests can be served in full."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []

    @extend_schema(
        operation_id="health_ready",
        tags=["Health"],
        auth=[],
        responses={200: shapes.ReadySerializer, 503: shapes.ReadySerializer},
    )
    def get(self, request: Request) -> Response:
        """For readiness probes: 503 with the reasons when a needed part is missing."""
        found = health.check_ready()
        return Response(
            found.as_json(),
            status=200 if found.is_ready else 503,
            headers={"Cache-Control": "no-store"},
        )


class OverallView(APIView):
    """The numbers of the overview."""

    @extend_schema(
        operation_id="dashboard_metrics",
        tags=["Monitoring"],
        responses={200: shapes.OverallSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Customers, integrations, jobs and records of the last 24 hours."""
        return Response(stats.get_overall(organization_of(request)))


class NoticesView(APIView):
    """What somebody should know."""

    @extend_schema(
        operation_id="alerts_list",
        tags=["Monitoring"],
        parameters=[
            OpenApiParameter(
                "state", str, enum=alerts.STATES, description="Default open."
            ),
            OpenApiParameter(
                "severity", str, enum=SEVERITIES, description="Default each."
            ),
            *PAGE,
        ],
        responses={200: shapes.NoticePage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        organization = organization_of(request)
        query = request.query_params
        found, after = alerts.list_notices(
            organization,
            state=query.get("state", "open"),
            severity=query.get("severity", ""),
            cursor=query.get("cursor"),
            limit=page_limit(query.get("limit")),
        )
        return Response(
            {
                "open": stats.count_open_notices(organization),
                "results": shapes.NoticeRow(found, many=True).data,
                "next": after,
            }
        )
