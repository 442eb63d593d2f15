"""The revenue API: report, movements, recognition, settings, exchange rates."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.revenue import body, changes, policy, rates, report
from analytics.revenue.periods import GROUPS, INTERVALS, Question
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.schema import ERRORS, PAGE

_MINOR = "Minor units of `currency`."


class RevenuePeriod(serializers.Serializer):
    """mrr_end = mrr_start + new + reactivation + expansion - contraction - churn + fx.
    Ratios are null where their denominator is 0."""

    start = serializers.DateField()
    end = serializers.DateField(help_text="Exclusive.")
    mrr_start_minor = serializers.IntegerField(help_text=_MINOR)
    new_minor = serializers.IntegerField()
    reactivation_minor = serializers.IntegerField()
    expansion_minor = serializers.IntegerField()
    contraction_minor = serializers.IntegerField()
    churn_minor = serializers.IntegerField()
    fx_minor = serializers.IntegerField(help_text="What exchange rates alone moved.")
    mrr_end_minor = serializers.IntegerField()
    customers_start = serializers.IntegerField()
    customers_joined = serializers.IntegerField()
    customers_lost = serializers.IntegerField()
    customers_end = serializers.IntegerField()
    nrr = serializers.FloatField(
        allow_null=True, help_text="Of the customers of the start."
    )
    grr = serializers.FloatField(
        allow_null=True, help_text="Of the customers of the start; at most 1."
    )
    gross_churn = serializers.FloatField(allow_null=True)
    net_churn = serializers.FloatField(
        allow_null=True, help_text="Reactivation counts against churn."
    )
    net_churn_without_reactivation = serializers.FloatField(allow_null=True)
    logo_churn = serializers.FloatField(allow_null=True)
    quick_ratio = serializers.FloatField(allow_null=True)
    quick_ratio_with_reactivation = serializers.FloatField(allow_null=True)
    arpa_minor = serializers.IntegerField(allow_null=True)
    ltv_minor = serializers.IntegerField(
        allow_null=True, help_text="ARPA x gross margin / logo churn a month."
    )
    arr_minor = serializers.IntegerField()


class RevenueGroup(serializers.Serializer):
    group = serializers.CharField(
        help_text="The customer's segment now, or its newest paid plan."
    )
    totals = RevenuePeriod()
    periods = RevenuePeriod(many=True)


class MissingRate(serializers.Serializer):
    """Amounts in a currency without a rate: shown apart, counted nowhere."""

    currency = serializers.CharField()
    mrr_minor = serializers.IntegerField(help_text="In this currency.")
    customers = serializers.IntegerField()


class MissingBilled(serializers.Serializer):
    currency = serializers.CharField()
    billed_minor = serializers.IntegerField(help_text="In this currency.")


class RevenueDifference(serializers.Serializer):
    code = serializers.CharField()
    text = serializers.CharField()
    count = serializers.IntegerField(allow_null=True)
    amount_minor = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField(allow_blank=True)
    base_minor = serializers.IntegerField(allow_null=True)


class RevenueSettings(serializers.Serializer):
    past_due_grace_days = serializers.IntegerField(
        min_value=0,
        max_value=policy.GRACE_MOST,
        default=30,
        help_text="How long a subscription that is past due still counts.",
    )
    churn_date = serializers.ChoiceField(
        policy.CHURN_DATES,
        default="ended_at",
        help_text="Lost when the service ends, or when cancellation is asked for.",
    )

    logo_churn = serializers.ChoiceField(
        policy.LOGO_CHURNS,
        default="start",
        help_text="Lost customers as a share of those at the start, or of these and "
        "those who joined.",
    )
    gross_margin_pct = serializers.IntegerField(
        min_value=0, max_value=100, default=100, help_text="For the lifetime value."
    )
    usage_mean_months = serializers.IntegerField(
        min_value=1,
        max_value=policy.USAGE_MONTHS_MOST,
        default=3,
        help_text="Whole months behind the mean of revenue by use.",
    )


class UsageRevenue(serializers.Serializer):
    """Metered lines of final invoices, which MRR leaves out: the mean of a month."""

    months = serializers.IntegerField()
    to = serializers.DateField(help_text="Exclusive.")
    mean_minor = serializers.IntegerField(
        allow_null=True, help_text="Null where no line is marked as metered."
    )
    missing_rates = MissingBilled(many=True)

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateField()}


class _Head(serializers.Serializer):
    currency = serializers.CharField()
    timezone = serializers.CharField()
    interval = serializers.ChoiceField(INTERVALS)
    to = serializers.DateField(help_text="Exclusive.")
    as_of = serializers.DateTimeField()

    def get_fields(self) -> dict[str, Any]:
        return {**super().get_fields(), "from": serializers.DateField()}


class RevenueReport(_Head):
    group = serializers.ChoiceField(GROUPS, allow_null=True)
    totals = RevenuePeriod()
    periods = RevenuePeriod(many=True)
    groups = RevenueGroup(many=True)
    missing_rates = MissingRate(many=True)
    differences = RevenueDifference(many=True)
    usage = UsageRevenue()
    settings = RevenueSettings()


class RevenueMovement(serializers.Serializer):
    day = serializers.DateField()
    customer_id = serializers.CharField()
    name = serializers.CharField()
    kind = serializers.ChoiceField(report.KINDS)
    amount_minor = serializers.IntegerField()
    before_minor = serializers.IntegerField()
    after_minor = serializers.IntegerField()
    reason = serializers.CharField(
        allow_blank=True,
        help_text="Of churn and contraction: delinquent, paused, canceled, or "
        "canceled with what the source says.",
    )
    segment = serializers.CharField()
    plan = serializers.CharField()


class RevenueMovements(_Head):
    kind = serializers.ChoiceField(report.KINDS, allow_null=True)
    group = serializers.ChoiceField(GROUPS, allow_null=True)
    value = serializers.CharField(allow_null=True)
    count = serializers.IntegerField(help_text="Of all pages.")
    amount_minor = serializers.IntegerField(help_text="Of all pages.")
    results = RevenueMovement(many=True)
    next = serializers.CharField(allow_null=True)


class RecognisedPeriod(serializers.Serializer):
    """deferred_end = deferred_start + billed - recognised - cleared."""

    start = serializers.DateField()
    end = serializers.DateField(help_text="Exclusive.")
    deferred_start_minor = serializers.IntegerField()
    billed_minor = serializers.IntegerField()
    recognised_minor = serializers.IntegerField()
    contra_minor = serializers.IntegerField(help_text="Earned revenue given back.")
    net_recognised_minor = serializers.IntegerField()
    cleared_minor = serializers.IntegerField(help_text="Deferred revenue given back.")
    deferred_end_minor = serializers.IntegerField()


class Recognition(_Head):
    periods = RecognisedPeriod(many=True)
    missing_rates = MissingBilled(many=True)


class ExchangeRateRow(serializers.Serializer):
    currency = serializers.CharField(help_text="ISO 4217.")
    day = serializers.DateField(help_text="Holds from this day on.")
    rate = serializers.DecimalField(
        20,
        10,
        allow_null=True,
        help_text="One unit in units of the base currency. Null in PUT removes it.",
    )
    origin = serializers.CharField(read_only=True)


class ExchangeRatePage(serializers.Serializer):
    base_currency = serializers.CharField()
    results = ExchangeRateRow(many=True)
    next = serializers.CharField(allow_null=True)


class ExchangeRateBatch(serializers.Serializer):
    rates = ExchangeRateRow(many=True)


class ExchangeRatesKept(serializers.Serializer):
    rates = serializers.IntegerField()
    customers_changed = serializers.IntegerField()


_RANGE = [
    OpenApiParameter("from", str, description="First day; default 12 months back."),
    OpenApiParameter("to", str, description="Last day, inclusive; default today."),
    OpenApiParameter("interval", str, enum=INTERVALS, description="Default month."),
    OpenApiParameter(
        "segment_id", str, description="Only who is in this saved segment now."
    ),
]
_GROUP = OpenApiParameter("group", str, enum=GROUPS, description="Break down by.")


def _question(request: Request) -> Question:
    today = body.today_of(organization_of(request), timezone.now())
    return Question.from_query(request.query_params, today)


class RevenueView(APIView):
    """MRR with its movements, ratios, and why billing shows something else."""

    @extend_schema(
        operation_id="revenue",
        tags=["Revenue"],
        parameters=[*_RANGE, _GROUP],
        responses={200: RevenueReport, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        return Response(
            body.report_body(organization, _question(request), timezone.now())
        )


class MovementsView(APIView):
    """The customers behind the movements."""

    @extend_schema(
        operation_id="revenue_movements",
        tags=["Revenue"],
        parameters=[
            *_RANGE,
            _GROUP,
            OpenApiParameter("kind", str, enum=report.KINDS, description="Only these."),
            OpenApiParameter(
                "value", str, description="Only this plan or segment; needs `group`."
            ),
            *PAGE,
        ],
        responses={200: RevenueMovements, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        query = request.query_params
        return Response(
            body.movements_body(
                organization_of(request),
                _question(request),
                timezone.now(),
                kind=query.get("kind", ""),
                value=query.get("value", ""),
                cursor=query.get("cursor"),
                limit=page_limit(query.get("limit")),
            )
        )


class RecognitionView(APIView):
    """Recognised and deferred revenue from the lines of final invoices."""

    @extend_schema(
        operation_id="revenue_recognition",
        tags=["Revenue"],
        parameters=_RANGE,
        responses={200: Recognition, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        return Response(
            body.recognition_body(organization, _question(request), timezone.now())
        )


class RevenueSettingsView(APIView):
    """What counts as recurring revenue; changing it needs the scope admin."""

    required_scope = {"PUT": "admin"}

    @extend_schema(
        operation_id="revenue_settings",
        tags=["Revenue"],
        responses={200: RevenueSettings, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        return Response(asdict(policy.get_policy(organization_of(request))))

    @extend_schema(
        operation_id="revenue_settings_change",
        tags=["Revenue"],
        request=RevenueSettings,
        responses={200: RevenueSettings, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        """Replace the settings; what is left out gets its default."""
        chosen = policy.parse(request.data)
        changes.change_policy(request._request, organization_of(request), chosen)
        return Response(asdict(chosen))


class ExchangeRatesView(APIView):
    """Dated rates to the base currency; changing them needs the scope admin."""

    required_scope = {"PUT": "admin"}

    @extend_schema(
        operation_id="exchange_rates",
        tags=["Revenue"],
        parameters=[
            OpenApiParameter("currency", str, description="Only this currency."),
            *PAGE,
        ],
        responses={200: ExchangeRatePage, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        rows, after = rates.list_rates(
            organization,
            currency=request.query_params.get("currency", ""),
            cursor=request.query_params.get("cursor"),
            limit=page_limit(request.query_params.get("limit")),
        )
        return Response(
            {
                "base_currency": organization.base_currency.upper(),
                "results": ExchangeRateRow(rows, many=True).data,
                "next": after,
            }
        )

    @extend_schema(
        operation_id="exchange_rates_change",
        tags=["Revenue"],
        request=ExchangeRateBatch,
        responses={200: ExchangeRatesKept, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        """Add, replace and (rate null) remove up to 2,000 rates; others stay."""
        organization = organization_of(request)
        given = request.data.get("rates") if isinstance(request.data, dict) else None
        parsed = rates.parse_rates(given, organization.base_currency)
        changed = changes.change_rates(
            request._request, organization, parsed, origin="api"
        )
        return Response({"rates": len(parsed), "customers_changed": changed})
