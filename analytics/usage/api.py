"""The usage reports through HTTP."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.usage import funnel as funnel_report
from analytics.usage import qualifying
from analytics.usage import retention as retention_report
from analytics.usage.active import active
from analytics.usage.adoption import adoption
from analytics.usage.lifecycle import lifecycle
from analytics.usage.scope import INTERVALS, UNITS, choose, read_scope, refuse
from churnguard.auth import organization_of
from churnguard.schema import ERRORS


class QualifyingEvents(serializers.Serializer):
    """Which events make somebody active."""

    mode = serializers.ChoiceField(
        qualifying.MODES, help_text="Every event, only these, or all but these."
    )
    events = serializers.ListField(
        child=serializers.CharField(max_length=255), required=False, max_length=500
    )


class Report(serializers.Serializer):
    """What every usage report begins with."""

    unit = serializers.ChoiceField(UNITS)
    timezone = serializers.CharField()
    # `from` is a word of Python, so these two are set by name.
    to = serializers.DateField(help_text="Last local day, inclusive.")
    as_of = serializers.DateTimeField()
    qualifying = QualifyingEvents(
        help_text="What counts as being active where the question names no events."
    )

    def get_fields(self) -> dict[str, serializers.Field]:
        first = serializers.DateField(help_text="First local day.")
        return {"from": first, **super().get_fields()}


class ActivePoint(serializers.Serializer):
    day = serializers.DateField()
    dau = serializers.IntegerField()
    wau = serializers.IntegerField(help_text="Distinct over 7 days ending here.")
    mau = serializers.IntegerField(help_text="Distinct over 28 days ending here.")
    stickiness = serializers.FloatField(
        allow_null=True, help_text="Mean dau of the 28 days / mau."
    )
    wau_complete = serializers.BooleanField()
    mau_complete = serializers.BooleanField()
    is_running = serializers.BooleanField()


class ActiveFrequency(serializers.Serializer):
    days = serializers.IntegerField()
    members = serializers.IntegerField()


class ActiveReport(Report):
    points = ActivePoint(many=True)
    frequency = ActiveFrequency(many=True)


class RetentionCell(serializers.Serializer):
    interval = serializers.IntegerField()
    members = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    is_finished = serializers.BooleanField()


class RetentionCohort(serializers.Serializer):
    start = serializers.DateField()
    size = serializers.IntegerField()
    cells = RetentionCell(many=True)


class RetentionAverage(serializers.Serializer):
    interval = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    cohorts = serializers.IntegerField(help_text="Finished cohorts behind the share.")
    members = serializers.IntegerField(help_text="Their summed size.")


class RetentionReport(Report):
    mode = serializers.ChoiceField(retention_report.MODES)
    clock = serializers.ChoiceField(retention_report.CLOCKS)
    interval = serializers.ChoiceField(INTERVALS)
    counting = serializers.ChoiceField(retention_report.COUNTINGS)
    cohorts = RetentionCohort(many=True)
    average = RetentionAverage(many=True)


class FunnelStep(serializers.Serializer):
    step = serializers.IntegerField(help_text="From 1.")
    event = serializers.CharField()
    members = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    share_of_previous = serializers.FloatField(allow_null=True)
    median_s = serializers.FloatField(
        allow_null=True, help_text="Seconds from the step before."
    )


class FunnelReport(Report):
    window_days = serializers.IntegerField()
    exclude = serializers.ListField(child=serializers.CharField())
    members = serializers.IntegerField(help_text="Those who began.")
    completed = serializers.IntegerField()
    open = serializers.IntegerField(help_text="Their window still runs.")
    steps = FunnelStep(many=True)


class LifecycleBucket(serializers.Serializer):
    start = serializers.DateField()
    new = serializers.IntegerField()
    returning = serializers.IntegerField()
    resurrecting = serializers.IntegerField()
    dormant = serializers.IntegerField()
    active = serializers.IntegerField()
    is_finished = serializers.BooleanField()


class LifecycleReport(Report):
    interval = serializers.ChoiceField(INTERVALS)
    buckets = LifecycleBucket(many=True)


class AdoptionFeature(serializers.Serializer):
    event = serializers.CharField()
    adopters = serializers.IntegerField()
    breadth = serializers.FloatField(help_text="Adopters / active.")
    new_adopters = serializers.IntegerField()
    events = serializers.IntegerField()
    depth = serializers.FloatField(help_text="Events per adopter.")
    active_days = serializers.FloatField(help_text="Mean days of use per adopter.")
    median_first_use_s = serializers.FloatField(
        help_text="Seconds from the first event ever to the first use."
    )


class AdoptionReport(Report):
    active = serializers.IntegerField()
    features = AdoptionFeature(many=True)


def text(name: str, description: str, **extra: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=description, **extra)


SCOPE = [
    text("unit", "What is counted; customer unless told.", enum=UNITS),
    text("from", "First local day, YYYY-MM-DD."),
    text("to", "Last local day, inclusive; today unless told."),
    text("event", "Only these event names.", many=True),
    text("segment", "Only customers of this segment."),
    text("segment_id", "Only members of this saved segment, by id or slug."),
]


class ActiveView(APIView):
    """Daily, weekly and monthly active customers or users, and stickiness."""

    @extend_schema(
        operation_id="usage_active",
        tags=["Usage"],
        parameters=SCOPE,
        responses={200: ActiveReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        return Response(
            active(
                read_scope(
                    organization_of(request), request.query_params, timezone.now()
                )
            )
        )


class RetentionView(APIView):
    """Cohorts and how many of their members came back in each interval."""

    @extend_schema(
        operation_id="usage_retention",
        tags=["Usage"],
        parameters=[
            *SCOPE,
            text("return_event", "What counts as coming back; any.", many=True),
            text(
                "mode", "In the interval, or then or later.", enum=["on", "on_or_after"]
            ),
            text(
                "clock", "Calendar or rolling intervals.", enum=["calendar", "rolling"]
            ),
            text("interval", "Length; week unless told.", enum=INTERVALS),
            text(
                "counting",
                "Cohorts of the first time, or of every time (calendar only).",
                enum=["birth", "recurring"],
            ),
            OpenApiParameter("intervals", int, description="1 to 60, default 12."),
        ],
        responses={200: RetentionReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        scope = read_scope(organization_of(request), query, timezone.now(), days=84)
        question = retention_report.read_question(scope, query)
        return Response(retention_report.retention(question))


class FunnelView(APIView):
    """How many do one event after the other within a window."""

    @extend_schema(
        operation_id="usage_funnel",
        tags=["Usage"],
        parameters=[
            text("steps", "2 to 10 event names, commas between.", required=True),
            text("exclude", "Events that end an attempt, commas between."),
            OpenApiParameter("window_days", int, description="1 to 366, default 7."),
            *(parameter for parameter in SCOPE if parameter.name != "event"),
        ],
        responses={200: FunnelReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        scope = read_scope(organization_of(request), query, timezone.now())
        return Response(funnel_report.funnel(funnel_report.read_question(scope, query)))


class LifecycleView(APIView):
    """New, returning, resurrecting and dormant members per interval."""

    @extend_schema(
        operation_id="usage_lifecycle",
        tags=["Usage"],
        parameters=[
            *SCOPE,
            text("interval", "Length; week unless told.", enum=INTERVALS),
        ],
        responses={200: LifecycleReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        scope = read_scope(organization_of(request), query, timezone.now(), days=84)
        return Response(lifecycle(scope, read_interval(query)))


class AdoptionView(APIView):
    """Breadth, depth and time to first use of each event."""

    @extend_schema(
        operation_id="usage_adoption",
        tags=["Usage"],
        parameters=SCOPE,
        responses={200: AdoptionReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        return Response(
            adoption(
                read_scope(
                    organization_of(request), request.query_params, timezone.now()
                )
            )
        )


class QualifyingView(APIView):
    """Which events make a customer or user active; changing it needs the scope
    admin."""

    required_scope = {"PUT": "admin"}

    @extend_schema(
        operation_id="usage_settings",
        tags=["Usage"],
        responses={200: QualifyingEvents, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        return Response(qualifying.qualifying_of(organization_of(request)).body)

    @extend_schema(
        operation_id="usage_settings_change",
        tags=["Usage"],
        request=QualifyingEvents,
        responses={200: QualifyingEvents, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        """Replace the choice; every report follows at once."""
        chosen = qualifying.parse(request.data)
        qualifying.save(request._request, organization_of(request), chosen)
        return Response(chosen.body)


def read_interval(query: Any) -> str:
    """The parameter interval. Raises ConfigError for an unknown one."""
    fields: dict[str, str] = {}
    interval = choose(query, "interval", ("week", "day", "month"), fields)
    refuse(fields)
    return interval
