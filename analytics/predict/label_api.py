"""The API of what churn means: the definition, its preview, changing it."""

from __future__ import annotations

from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.predict import labelling
from analytics.predict.models import LabelDefinition, TrainingJob
from churnguard.auth import organization_of
from churnguard.schema import ERRORS


class ChurnDefinitionSerializer(serializers.Serializer):
    """What is left out of a change keeps its present value."""

    kind = serializers.ChoiceField(
        LabelDefinition.KINDS,
        required=False,
        help_text="subscription: the last one ended. inactivity: a long silence.",
    )
    horizon_days = serializers.IntegerField(
        required=False,
        min_value=labelling.BOUNDS["horizon_days"][0],
        max_value=labelling.BOUNDS["horizon_days"][1],
        help_text="How far ahead a forecast looks.",
    )
    grace_days = serializers.IntegerField(
        required=False,
        min_value=labelling.BOUNDS["grace_days"][0],
        max_value=labelling.BOUNDS["grace_days"][1],
        help_text="A subscription that begins within so many days is a renewal.",
    )
    inactivity_days = serializers.IntegerField(
        required=False,
        min_value=labelling.BOUNDS["inactivity_days"][0],
        max_value=labelling.BOUNDS["inactivity_days"][1],
        help_text="So long a silence is leaving; at most the horizon.",
    )
    qualifying = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        max_length=labelling.MOST_NAMES,
        help_text="Events that count as use; an empty list counts all.",
    )


class ChurnLabel(ChurnDefinitionSerializer):
    version = serializers.IntegerField(help_text="0: the default, not needed yet.")
    description = serializers.CharField()


class ChurnDefinitions(serializers.Serializer):
    active = ChurnLabel()
    versions = ChurnLabel(many=True)


class ChurnLook(serializers.Serializer):
    cutoff = serializers.DateField()
    customers = serializers.IntegerField()
    outcomes = serializers.IntegerField(
        allow_null=True, help_text="Who left within the horizon; null: not known yet."
    )


class ChurnPreview(serializers.Serializer):
    looks = ChurnLook(many=True, help_text="Monthly, the past year, oldest first.")
    customers = serializers.IntegerField(help_text="Sum over the looks now known.")
    outcomes = serializers.IntegerField(help_text="Sum over the looks now known.")
    departures = serializers.IntegerField(help_text="Each departure counted once.")
    verdict = serializers.CharField()


class ChurnPreviews(serializers.Serializer):
    proposed = ChurnPreview()
    active = ChurnPreview()


class ChurnDefinitionKept(serializers.Serializer):
    label = ChurnLabel()
    training_job_id = serializers.CharField(
        allow_null=True, help_text="The training asked for; null: nothing changed."
    )


class ChurnDefinitionView(APIView):
    """What churn means in this organisation."""

    required_scope: ClassVar[dict[str, str]] = {"PUT": "admin"}

    @extend_schema(
        operation_id="churn_definition",
        tags=["Predictions"],
        responses={200: ChurnDefinitions, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The definition in force and the ones before it."""
        organization = organization_of(request)
        versions = LabelDefinition.objects.filter(organization=organization)
        return Response(
            {
                "active": labelling.body(labelling.get_label(organization)),
                "versions": [
                    labelling.body(one) for one in versions.order_by("-version")[:50]
                ],
            }
        )

    @extend_schema(
        operation_id="churn_definition_change",
        tags=["Predictions"],
        request=ChurnDefinitionSerializer,
        responses={200: ChurnDefinitionKept, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        """Keep a new version and ask for a training by it. The present model scores
        until the new one is made."""
        organization = organization_of(request)
        wanted = labelling.parse(organization, request.data)
        label, job = labelling.save(request._request, organization, wanted)
        return Response(_kept(label, job))


class ChurnDefinitionPreviewView(APIView):
    """What a definition would have given."""

    @extend_schema(
        operation_id="churn_definition_preview",
        tags=["Predictions"],
        request=ChurnDefinitionSerializer,
        responses={200: ChurnPreviews, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Customers and outcomes of the past 12 months by the proposed definition,
        beside those by the present one. Nothing is kept."""
        organization = organization_of(request)
        wanted = labelling.parse(organization, request.data)
        active, now = labelling.get_label(organization), timezone.now()
        return Response(
            {
                name: labelling.preview_body(
                    labelling.preview(organization, label, now)
                )
                for name, label in (("proposed", wanted), ("active", active))
            }
        )


def _kept(label: LabelDefinition, job: TrainingJob | None) -> dict[str, Any]:
    return {
        "label": labelling.body(label),
        "training_job_id": str(job.pk) if job is not None else None,
    }
