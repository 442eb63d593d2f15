"""GET /api/admin/integrations/{stats,health,sync-activity,errors,performance}.

For the organisation of the key or session, which needs the scope admin.
"""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.schema import ERRORS
from monitoring import operations
from monitoring import serializers as shapes

_TAGS = ["Operations"]


class AdminView(APIView):
    """Reading needs the scope admin."""

    required_scope = {"GET": "admin"}


class StatsView(AdminView):
    """System overview."""

    @extend_schema(
        operation_id="admin_stats",
        tags=_TAGS,
        responses={200: shapes.StatsSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Integrations and jobs by status, the busiest, the error rate by hour."""
        found = operations.get_stats(organization_of(request), timezone.now())
        return Response(found)


class HealthView(AdminView):
    """Integration health."""

    @extend_schema(
        operation_id="admin_health",
        tags=_TAGS,
        responses={200: shapes.IntegrationHealthList, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Every integration, those that need somebody first."""
        now = timezone.now()
        rows = operations.list_health(organization_of(request), now)
        return Response({"as_of": now, "results": rows})


class ActivityView(AdminView):
    """Sync activity."""

    @extend_schema(
        operation_id="admin_sync_activity",
        tags=_TAGS,
        parameters=[
            OpenApiParameter("limit", int, description="1 to 500 ended jobs, 100.")
        ],
        responses={200: shapes.ActivitySerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Jobs at work and the last ended ones with their sums."""
        limit = page_limit(request.query_params.get("limit"), default=100)
        found = operations.get_activity(
            organization_of(request), timezone.now(), limit=limit
        )
        return Response(found)


class ErrorsView(AdminView):
    """Error monitoring."""

    @extend_schema(
        operation_id="admin_errors",
        tags=_TAGS,
        parameters=[OpenApiParameter("limit", int, description="1 to 500, 50.")],
        responses={200: shapes.ErrorsSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The last errors, the commonest kinds, the error rate by hour."""
        limit = page_limit(request.query_params.get("limit"))
        found = operations.get_errors(
            organization_of(request), timezone.now(), limit=limit
        )
        return Response(found)


class PerformanceView(AdminView):
    """Performance."""

    @extend_schema(
        operation_id="admin_performance",
        tags=_TAGS,
        responses={200: shapes.PerformanceSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """Durations and rates per integration, queues now, latency per adapter."""
        found = operations.get_performance(organization_of(request), timezone.now())
        return Response(found)
