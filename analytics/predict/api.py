"""The prediction API: risk by segment and customer, the model card, training."""

from __future__ import annotations

from dataclasses import asdict

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.predict import jobs, monitor, queries, truth
from analytics.predict.label_api import ChurnLabel
from analytics.predict.models import ModelVersion, TrainingJob
from analytics.predict.narrowing import read_narrow
from analytics.queries import BANDS, find_customer
from churnguard import audit
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.schema import ERRORS, PAGE

STATES = ("no_model", "training", "not_enough_outcomes", "ready")


class PredictionReason(serializers.Serializer):
    feature = serializers.CharField()
    group = serializers.CharField()
    effect = serializers.FloatField(
        help_text="Share of the log-odds; above 0 it raises the risk."
    )
    sentence = serializers.CharField()


class PredictionRow(serializers.Serializer):
    customer_id = serializers.CharField()
    name = serializers.CharField()
    probability = serializers.FloatField(allow_null=True)
    risk_minor = serializers.IntegerField(allow_null=True)
    mrr_minor = serializers.IntegerField(allow_null=True)
    currency = serializers.CharField()
    reasons = PredictionReason(many=True)
    expected_months = serializers.FloatField(
        allow_null=True, help_text="Expected months until leaving, at most 12."
    )
    model_version = serializers.IntegerField(allow_null=True)
    as_of = serializers.DateTimeField(allow_null=True)


class RevenueAtRiskSerializer(serializers.Serializer):
    sum = serializers.IntegerField(help_text="Expected loss, minor units.")
    p5 = serializers.IntegerField()
    p95 = serializers.IntegerField()


class PredictionPage(serializers.Serializer):
    results = PredictionRow(many=True)
    next = serializers.CharField(allow_null=True)
    segment = serializers.CharField()
    state = serializers.ChoiceField(STATES)
    message = serializers.CharField()
    revenue_at_risk = RevenueAtRiskSerializer()


class PredictionGroup(serializers.Serializer):
    group = serializers.CharField()
    label = serializers.CharField()
    effect = serializers.FloatField()


class PredictionPoint(serializers.Serializer):
    cutoff = serializers.DateField()
    probability = serializers.FloatField()
    model_version = serializers.IntegerField()


class CustomerPrediction(PredictionRow):
    groups = PredictionGroup(many=True)
    base_log_odds = serializers.FloatField(
        allow_null=True, help_text="base + the groups' effects = log-odds."
    )
    usual_probability = serializers.FloatField(allow_null=True)
    feature_hash = serializers.UUIDField(allow_null=True)
    history = PredictionPoint(many=True)


class ModelCheck(serializers.Serializer):
    name = serializers.CharField()
    label = serializers.CharField()
    value = serializers.FloatField()
    bar = serializers.FloatField()
    met = serializers.BooleanField()


class ModelComparison(serializers.Serializer):
    champion_version = serializers.IntegerField()
    champion_log_loss = serializers.FloatField()
    challenger_log_loss = serializers.FloatField()
    gain = serializers.FloatField(help_text="Log-loss saved by the new model.")
    standard_error = serializers.FloatField()
    rows = serializers.IntegerField(help_text="Outcomes neither model had seen.")
    cutoffs = serializers.IntegerField()


class MaturedPredictions(serializers.Serializer):
    """Predictions of one day whose horizon has passed, against what came."""

    cutoff = serializers.DateField()
    model_version = serializers.IntegerField(source="model.version")
    rows = serializers.IntegerField()
    expected = serializers.FloatField()
    observed = serializers.IntegerField()
    z = serializers.FloatField(help_text="Departures against their expected sum.")
    p_value = serializers.FloatField()
    auc = serializers.FloatField(allow_null=True)
    log_loss = serializers.FloatField()
    brier = serializers.FloatField()


class SampleCause(serializers.Serializer):
    cause = serializers.CharField()
    leavers = serializers.IntegerField()
    signs = serializers.ListField(child=serializers.CharField())
    named = serializers.DictField(child=serializers.IntegerField())
    right = serializers.IntegerField()


class SampleRecovery(serializers.Serializer):
    """Only for the sample company, whose generator knows the truth."""

    accounts = serializers.IntegerField()
    cutoffs = serializers.IntegerField()
    auc = serializers.FloatField(allow_null=True)
    oracle_auc = serializers.FloatField(
        allow_null=True, help_text="Of whoever knew each account's true chance."
    )
    rule_auc = serializers.FloatField(allow_null=True)
    rank = serializers.FloatField(
        allow_null=True, help_text="Spearman, forecast against true chance."
    )
    leavers = serializers.IntegerField()
    right = serializers.IntegerField()
    share_right = serializers.FloatField(allow_null=True)
    naming_one = serializers.FloatField(allow_null=True)
    causes = SampleCause(many=True)
    scored = serializers.IntegerField()
    decided = serializers.IntegerField()
    decided_in_top = serializers.IntegerField()
    decided_auc = serializers.FloatField(allow_null=True)


class ModelCard(serializers.Serializer):
    version = serializers.IntegerField()
    state = serializers.ChoiceField(ModelVersion.STATES)
    rung = serializers.ChoiceField(("rule", "base_rate", "ridge", "blend"))
    description = serializers.CharField()
    verdict = serializers.CharField()
    comparison = ModelComparison(allow_null=True)
    label = ChurnLabel()
    trained_at = serializers.DateTimeField()
    scored_at = serializers.DateTimeField(allow_null=True)
    rows = serializers.IntegerField()
    churners = serializers.IntegerField()
    first_cutoff = serializers.DateField()
    last_cutoff = serializers.DateField()
    is_backfilled = serializers.BooleanField()
    metrics = serializers.DictField(child=serializers.FloatField())
    cutoffs = serializers.ListField(child=serializers.DictField())
    reliability = serializers.ListField(child=serializers.DictField())
    importance = serializers.DictField(child=serializers.FloatField())
    leakage = serializers.CharField(allow_blank=True)
    drift = serializers.ListField(child=serializers.DictField())
    months_at_stake = serializers.FloatField()
    checks = ModelCheck(many=True)


class TrainingJobSerializer(serializers.Serializer):
    job_id = serializers.CharField(source="pk")
    state = serializers.ChoiceField(TrainingJob.STATES)
    reason = serializers.CharField()
    requested_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    message = serializers.CharField(allow_blank=True)


class ModelsSerializer(serializers.Serializer):
    state = serializers.ChoiceField(STATES)
    message = serializers.CharField()
    champion = ModelCard(allow_null=True)
    job = TrainingJobSerializer(allow_null=True)
    alarms = serializers.ListField(
        child=serializers.CharField(), help_text="Why the model may no longer hold."
    )
    matured = MaturedPredictions(many=True)
    recovery = SampleRecovery(allow_null=True)
    versions = ModelCard(many=True)


class PredictionsView(APIView):
    """The customers of a segment by risk, with reasons and revenue at risk."""

    @extend_schema(
        operation_id="predictions_list",
        tags=["Predictions"],
        parameters=[
            OpenApiParameter(
                "customer_segment",
                str,
                OpenApiParameter.PATH,
                description="all, at_risk (health band), high_risk (0.5 or more, or "
                "the top tenth), plan:<name>, segment:<name>, or a saved segment by "
                "id or slug.",
            ),
            OpenApiParameter(
                "order", str, enum=tuple(queries.ORDERS), description="Default risk."
            ),
            OpenApiParameter("q", str, description="Part of name or domain."),
            OpenApiParameter("band", str, enum=BANDS, description="Health band."),
            OpenApiParameter("min_probability", float, description="0 to 1."),
            OpenApiParameter(
                "min_risk_minor", int, description="Smallest revenue at risk."
            ),
            *PAGE,
        ],
        responses={200: PredictionPage, **ERRORS},
    )
    def get(self, request: Request, customer_segment: str) -> Response:
        organization = organization_of(request)
        query = request.query_params
        narrow = read_narrow(query)
        state = queries.get_state(organization)
        results, after = queries.list_predictions(
            organization,
            customer_segment,
            narrow=narrow,
            order=query.get("order") or "risk",
            cursor=query.get("cursor"),
            limit=page_limit(query.get("limit")),
        )
        risk = queries.revenue_at_risk(
            organization, customer_segment, state.model, narrow
        )
        return Response(
            {
                "results": results,
                "next": after,
                "segment": customer_segment,
                "state": state.name,
                "message": state.message,
                "revenue_at_risk": asdict(risk),
            }
        )


class CustomerPredictionView(APIView):
    """One customer's risk: exact shares of each group, reasons, history."""

    @extend_schema(
        operation_id="customer_prediction",
        tags=["Predictions"],
        parameters=[
            OpenApiParameter(
                "customer_id",
                str,
                OpenApiParameter.PATH,
                description="Our id (cus_…), or the id in a source.",
            )
        ],
        responses={200: CustomerPrediction, **ERRORS},
    )
    def get(self, request: Request, customer_id: str) -> Response:
        organization = organization_of(request)
        customer = find_customer(organization, customer_id)
        return Response(queries.get_prediction(organization, customer))


class ModelsView(APIView):
    """The model in use with its back-test, and the versions before it."""

    @extend_schema(
        operation_id="models_card",
        tags=["Predictions"],
        responses={200: ModelsSerializer, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        state = queries.get_state(organization)
        versions = (
            ModelVersion.objects.filter(organization=organization)
            .select_related("label")
            .defer("blob", "hazard", "bins", "tested")
            .order_by("-version")[:24]
        )
        job = state.job
        recovery = truth.get_recovery(organization, state.model)
        return Response(
            {
                "state": state.name,
                "message": state.message,
                "champion": queries.model_card(state.model) if state.model else None,
                "job": TrainingJobSerializer(job).data if job else None,
                "alarms": monitor.alarms(state.model) if state.model else [],
                "matured": MaturedPredictions(
                    monitor.list_matured(organization.pk), many=True
                ).data,
                "recovery": SampleRecovery(recovery).data if recovery else None,
                "versions": [queries.model_card(version) for version in versions],
            }
        )


class TrainView(APIView):
    """Ask for a new training."""

    required_scope = {"POST": "admin"}

    @extend_schema(
        operation_id="models_train",
        tags=["Predictions"],
        request=None,
        responses={202: TrainingJobSerializer, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Queue a training, or answer the one that is open. A worker runs it."""
        organization = organization_of(request)
        job, made = jobs.request(organization, reason="requested", by=_by(request))
        if made:
            audit.record(
                request._request,
                "model.training_requested",
                organization=organization,
                target_type="training_job",
                target_id=str(job.pk),
            )
        return Response(TrainingJobSerializer(job).data, status=202)


def _by(request: Request) -> str:
    return getattr(request.user, "email", "") or "api key"
