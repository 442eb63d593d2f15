"""Health probes and the open notices as JSON."""

from __future__ import annotations

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from churnguard.api import keyset_by_id, page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.models import Notice
from churnguard.schema import ERRORS, PAGE
from monitoring import health

_STATES = ("open", "resolved", "all")


class LiveSerializer(serializers.Serializer):
    status = serializers.CharField()


class ReadySerializer(serializers.Serializer):
    status = serializers.ChoiceField(["ok", "degraded", "failed"])
    ready = serializers.BooleanField()
    checks = serializers.DictField(child=serializers.CharField())
    reasons = serializers.ListField(child=serializers.CharField())


class NoticeRow(serializers.ModelSerializer):
    class Meta:
        model = Notice
        fields = [
            "id",
            "kind",
            "severity",
            "key",
            "title",
            "detail",
            "url",
            "data",
            "created_at",
            "resolved_at",
        ]


class NoticePage(serializers.Serializer):
    open = serializers.IntegerField(help_text="Open notices in all.")
    results = NoticeRow(many=True)
    next = serializers.CharField(allow_null=True)


class LiveView(APIView):
    """Whether this process answers."""

    authentication_classes = []
    permission_classes = []
    throttle_classes = []

    @extend_schema(
        operation_id="health_live",
        tags=["Health"],
        auth=[],
        responses={200: LiveSerializer},
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
        responses={200: ReadySerializer, 503: ReadySerializer},
    )
    def get(self, request: Request) -> Response:
        """For readiness probes: 503 with the reasons when a needed part is missing."""
        found = health.check_ready()
        return Response(
            found.as_json(),
            status=200 if found.is_ready else 503,
            headers={"Cache-Control": "no-store"},
        )


class NoticesView(APIView):
    """What somebody should know."""

    @extend_schema(
        operation_id="alerts_list",
        tags=["Monitoring"],
        parameters=[
            OpenApiParameter("state", str, enum=_STATES, description="Default open."),
            *PAGE,
        ],
        responses={200: NoticePage, **ERRORS},
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
                "results": NoticeRow(found, many=True).data,
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
