"""What the API of the health definition takes and answers."""

from __future__ import annotations

from rest_framework import serializers

from analytics.definition import COMPONENTS, METRIC_BY_NAME
from analytics.definitions.models import DefinitionCheck
from analytics.definitions.store import LONGEST_NOTE
from analytics.definitions.validation import HEAVIEST


class MetricSettings(serializers.Serializer):
    enabled = serializers.BooleanField(required=False)
    weight = serializers.FloatField(
        required=False, min_value=0, max_value=HEAVIEST, help_text="Inside its part."
    )
    anchors = serializers.ListField(
        child=serializers.FloatField(),
        required=False,
        min_length=3,
        max_length=3,
        help_text="Where the metric scores 0, 60 and 100; linear between.",
    )
    grace_days = serializers.FloatField(required=False, min_value=0, max_value=3650)
    half_life_days = serializers.FloatField(
        required=False, min_value=0.5, max_value=3650
    )


class HealthSpec(serializers.Serializer):
    components = serializers.DictField(
        child=serializers.FloatField(min_value=0, max_value=HEAVIEST),
        required=False,
        help_text=f"Weights of {', '.join(COMPONENTS)}: shares of their sum. When "
        "given, one left out weighs 0.",
    )
    metrics = serializers.DictField(
        child=MetricSettings(),
        required=False,
        help_text=f"Of {', '.join(METRIC_BY_NAME)}; what is left out is the default.",
    )
    caps = serializers.DictField(
        child=serializers.FloatField(allow_null=True, min_value=0, max_value=100),
        required=False,
        help_text="cancellation_scheduled, past_due_30, urgent_overdue; null = no cap.",
    )
    bands = serializers.DictField(
        child=serializers.FloatField(min_value=0, max_value=100),
        required=False,
        help_text="healthy, watch, hysteresis, least_coverage_pct.",
    )


class DraftSerializer(serializers.Serializer):
    spec = HealthSpec()
    origin = serializers.CharField()
    updated_by = serializers.CharField()
    updated_at = serializers.DateTimeField()


class RecomputingSerializer(serializers.Serializer):
    pending = serializers.IntegerField(
        help_text="Accounts that still wait for a score by this version; 0 = done."
    )
    total = serializers.IntegerField()


class HealthDefinition(serializers.Serializer):
    segment = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField()
    is_own = serializers.BooleanField(
        help_text="False: the segment follows the organisation's definition."
    )
    spec = HealthSpec()
    shares = serializers.DictField(child=serializers.FloatField())
    note = serializers.CharField(allow_blank=True)
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    active_from = serializers.DateTimeField()
    own_segments = serializers.ListField(child=serializers.CharField())
    recomputing = RecomputingSerializer()
    draft = DraftSerializer(allow_null=True)


class DefinitionChange(serializers.Serializer):
    segment = serializers.CharField(required=False, allow_blank=True)
    spec = HealthSpec()
    note = serializers.CharField(
        required=False, allow_blank=True, max_length=LONGEST_NOTE
    )
    based_on_version = serializers.IntegerField(
        required=False,
        help_text="Refused when another version was saved since this one.",
    )


class DraftChange(serializers.Serializer):
    segment = serializers.CharField(required=False, allow_blank=True)
    spec = HealthSpec()


class SettingChange(serializers.Serializer):
    path = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class DefinitionVersion(serializers.Serializer):
    segment = serializers.CharField(allow_blank=True)
    version = serializers.IntegerField()
    is_active = serializers.BooleanField()
    active_from = serializers.DateTimeField()
    active_until = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    note = serializers.CharField(allow_blank=True)
    spec = HealthSpec()
    changes = SettingChange(many=True)


class DefinitionVersions(serializers.Serializer):
    results = DefinitionVersion(many=True)
    next = serializers.CharField(allow_null=True)


class VersionChoice(serializers.Serializer):
    segment = serializers.CharField(required=False, allow_blank=True)
    version = serializers.IntegerField(min_value=1)


class DefinitionQuestion(serializers.Serializer):
    segment = serializers.CharField(required=False, allow_blank=True)
    spec = HealthSpec(
        required=False, help_text="Left out: the draft; without one, what is in use."
    )


class SegmentChoice(serializers.Serializer):
    segment = serializers.CharField(required=False, allow_blank=True)


class DefinitionCheckSerializer(serializers.Serializer):
    check_id = serializers.CharField()
    kind = serializers.ChoiceField(DefinitionCheck.KINDS)
    segment = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(
        DefinitionCheck.STATES,
        help_text="queued and running: ask again under checks/{check_id}. refused: the "
        "message says what is missing.",
    )
    message = serializers.CharField(allow_blank=True)
    requested_by = serializers.CharField()
    requested_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    result = serializers.DictField(
        allow_null=True,
        help_text="preview: average, bands, moves, distribution, movers. backtest: per "
        "definition auc, lowest_tenth, bands, cutoffs. suggestion: weights, present, "
        "is_better, verdict, evidence.",
    )


class DefinitionChecks(serializers.Serializer):
    results = DefinitionCheckSerializer(many=True)
