"""The support report through HTTP."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.support.report import support
from analytics.usage.scope import read_scope, refuse
from churnguard.auth import organization_of
from churnguard.schema import ERRORS


class SupportMeasures(serializers.Serializer):
    volume = serializers.IntegerField(help_text="Tickets opened on these days.")
    open = serializers.IntegerField(help_text="Of these, not solved or closed.")
    replied = serializers.IntegerField()
    first_response_median_s = serializers.FloatField(allow_null=True)
    resolved = serializers.IntegerField()
    resolution_median_s = serializers.FloatField(allow_null=True)
    first_contact_known = serializers.IntegerField()
    first_contact_share = serializers.FloatField(allow_null=True)
    rated = serializers.IntegerField()
    csat_pct = serializers.FloatField(allow_null=True, help_text="Mean, 0 to 100.")
    escalation_known = serializers.IntegerField()
    escalations = serializers.IntegerField()


class SupportTeam(SupportMeasures):
    team = serializers.CharField(allow_blank=True, help_text="Empty = no team.")


class SupportCustomer(SupportMeasures):
    customer_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)


class SupportWeek(SupportMeasures):
    start = serializers.DateField()


class SupportReport(serializers.Serializer):
    timezone = serializers.CharField()
    to = serializers.DateField(help_text="Last local day, inclusive.")
    as_of = serializers.DateTimeField()
    total = SupportMeasures()
    teams = SupportTeam(many=True)
    customers = SupportCustomer(many=True, help_text="The 200 with most tickets.")
    weeks = SupportWeek(many=True)

    def get_fields(self) -> dict[str, serializers.Field]:
        first = serializers.DateField(help_text="First local day.")
        return {"from": first, **super().get_fields()}


class SupportView(APIView):
    """Volume, first response, resolution, first-contact resolution, satisfaction and
    escalations of tickets, per team, customer and week."""

    @extend_schema(
        operation_id="support_report",
        tags=["Support"],
        parameters=[
            OpenApiParameter("from", str, description="First local day, YYYY-MM-DD."),
            OpenApiParameter("to", str, description="Last local day, inclusive."),
            OpenApiParameter("team", str, description="Only this team."),
            OpenApiParameter("segment", str, description="Only this segment."),
            OpenApiParameter(
                "segment_id", str, description="Only this saved segment (id or slug)."
            ),
        ],
        responses={200: SupportReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        scope = read_scope(organization_of(request), query, timezone.now(), days=90)
        return Response(support(scope, read_team(query.get("team"))))


def read_team(text: str | None) -> str:
    """The parameter team, "" = all. Raises ConfigError for a zero byte."""
    refuse({"team": "text without zero bytes"} if text and "\x00" in text else {})
    return text or ""
