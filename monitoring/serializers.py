"""What the dashboard endpoints answer, for the OpenAPI description."""

from __future__ import annotations

from rest_framework import serializers

from churnguard.models import Notice
from monitoring import stats


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


def _counts() -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField())


class CustomerCounts(serializers.Serializer):
    total = serializers.IntegerField()
    by_band = _counts()
    waiting_for_score = serializers.IntegerField()


class StatusCounts(serializers.Serializer):
    total = serializers.IntegerField()
    by_status = _counts()


class SeverityCounts(serializers.Serializer):
    total = serializers.IntegerField()
    by_severity = _counts()


class HourRow(serializers.Serializer):
    hour = serializers.DateTimeField()
    fetched = serializers.IntegerField()
    inserted = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    filtered = serializers.IntegerField()
    events = serializers.IntegerField()


class OverallSerializer(serializers.Serializer):
    as_of = serializers.DateTimeField(help_text=f"At most {stats.KEEP_S} s old.")
    customers = CustomerCounts()
    integrations = StatusCounts()
    sync_jobs_24h = StatusCounts()
    records_24h = _counts()
    last_record_at = serializers.DateTimeField(allow_null=True)
    hours = HourRow(many=True, help_text="The last 24, oldest first.")
    quarantine_open = serializers.IntegerField()
    alerts_open = SeverityCounts()


class IntegrationVolume(serializers.Serializer):
    integration_id = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    runs = serializers.IntegerField()
    records = serializers.IntegerField()
    avg_duration_s = serializers.FloatField(allow_null=True)
    p95_duration_s = serializers.FloatField(allow_null=True)
    records_per_s = serializers.FloatField(allow_null=True)


class ErrorRate(serializers.Serializer):
    hour = serializers.DateTimeField()
    ended = serializers.IntegerField()
    failed = serializers.IntegerField()
    error_rate_pct = serializers.FloatField(allow_null=True)


class StatsSerializer(serializers.Serializer):
    as_of = serializers.DateTimeField()
    integrations = StatusCounts()
    sync_jobs_24h = StatusCounts()
    top_integrations = IntegrationVolume(many=True)
    error_rate_trend = ErrorRate(many=True)


class IntegrationHealth(serializers.Serializer):
    integration_id = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    status = serializers.CharField()
    status_detail = serializers.CharField()
    connection_status = serializers.ChoiceField(
        ["connected", "rate_limited", "authentication_failed", "error", "not_connected"]
    )
    sync_frequency_s = serializers.IntegerField()
    last_successful_sync = serializers.DateTimeField(allow_null=True)
    error_count_24h = serializers.IntegerField()
    is_late = serializers.BooleanField()
    created_at = serializers.DateTimeField()


class IntegrationHealthList(serializers.Serializer):
    as_of = serializers.DateTimeField()
    results = IntegrationHealth(many=True)


class JobRow(serializers.Serializer):
    sync_id = serializers.CharField()
    integration_id = serializers.CharField()
    name = serializers.CharField()
    provider = serializers.CharField()
    trigger = serializers.CharField()
    mode = serializers.CharField()
    status = serializers.ChoiceField(stats.RUN_STATUSES)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    fetched = serializers.IntegerField()
    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    failed = serializers.IntegerField(help_text="Records put into quarantine.")
    error_code = serializers.CharField()
    error_detail = serializers.CharField()


class DurationRow(serializers.Serializer):
    hour = serializers.DateTimeField()
    ended = serializers.IntegerField()
    avg_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)


class ActivitySerializer(serializers.Serializer):
    as_of = serializers.DateTimeField()
    active = JobRow(many=True)
    history = JobRow(many=True)
    totals = _counts()
    duration_trend = DurationRow(many=True)


class ErrorRow(serializers.Serializer):
    at = serializers.DateTimeField()
    integration_id = serializers.CharField()
    name = serializers.CharField()
    sync_id = serializers.CharField()
    stream = serializers.CharField()
    error_code = serializers.CharField()
    error_detail = serializers.CharField()


class ErrorType(serializers.Serializer):
    error_code = serializers.CharField()
    n = serializers.IntegerField()
    integrations = serializers.IntegerField()
    last_at = serializers.DateTimeField()


class ErrorsSerializer(serializers.Serializer):
    as_of = serializers.DateTimeField()
    recent = ErrorRow(many=True)
    top_error_types = ErrorType(many=True)
    failed_jobs_24h = serializers.IntegerField()
    error_rate_trend = ErrorRate(many=True)


class QueueRow(serializers.Serializer):
    queue = serializers.CharField()
    depth = serializers.IntegerField()
    oldest_age_s = serializers.FloatField()


class AdapterRow(serializers.Serializer):
    adapter = serializers.CharField()
    requests = serializers.IntegerField()
    avg_s = serializers.FloatField()


class PerformanceSerializer(serializers.Serializer):
    as_of = serializers.DateTimeField()
    integrations = IntegrationVolume(many=True)
    queues = QueueRow(many=True)
    adapters = AdapterRow(many=True)
