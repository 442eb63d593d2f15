"""Health probes, overall numbers and open notices as JSON."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.api import keyset_by_id, page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.models import Notice
from churnguard.schema import ERRORS, PAGE
from monitoring import health, stats
from monitoring import serializers as shapes

_STATES = ("open", "resolved", "all")


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
            OpenApiParameter("state", str, enum=_STATES, description="Default open."),
            *PAGE,
        ],
        responses={200: shapes.NoticePage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Newest first."""
        rows = Notice.objects.filter(organization=organization_of(request))
        found, after = keyset_by_id(
            _in_state(rows, request.query_params.get("state", "open")),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        return Response(
            {
                "open": rows.filter(resolved_at__isnull=True).count(),
                "results": shapes.NoticeRow(found, many=True).data,
                "next": after,
            }
        )


def _in_state(rows: QuerySet[Notice], state: str) -> QuerySet[Notice]:
    if state not in _STATES:
        raise ConfigError(
            f"state must be one of {', '.join(_STATES)}.",
            code="invalid",
            fields={"state": "unknown"},
        )
    return rows if state == "all" else rows.filter(resolved_at__isnull=state == "open")
