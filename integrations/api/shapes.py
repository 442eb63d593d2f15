"""The bodies of the API, for checking what comes in and documenting what goes out."""

from __future__ import annotations

from rest_framework import serializers

from integrations.api.base import JsonObject
from integrations.models import IntegrationStatus, IntegrationType, RunStatus, SyncMode

_INT = 2**31 - 1


class CredentialsIn(serializers.Serializer):
    """Write-only: answers only ever say that a value is set."""

    credential_type = serializers.CharField(required=False, max_length=40)
    access_token = serializers.CharField(required=False, allow_null=True)
    refresh_token = serializers.CharField(required=False, allow_null=True)
    api_key = serializers.CharField(required=False, allow_null=True)
    username = serializers.CharField(required=False, allow_null=True)
    password = serializers.CharField(
        required=False, allow_null=True, trim_whitespace=False
    )
    custom_fields = JsonObject(required=False)


class SyncConfigIn(serializers.Serializer):
    sync_mode = serializers.ChoiceField(SyncMode.choices, required=False)
    sync_frequency = serializers.IntegerField(
        required=False, min_value=0, max_value=_INT, help_text="Seconds; 0 = by hand."
    )
    batch_size = serializers.IntegerField(required=False, min_value=1, max_value=50_000)
    retry_attempts = serializers.IntegerField(
        required=False, min_value=0, max_value=100
    )
    retry_backoff = serializers.IntegerField(
        required=False, min_value=0, max_value=86_400, help_text="Seconds."
    )
    data_filters = JsonObject(required=False)
    field_mappings = JsonObject(required=False)
    incremental_field = serializers.CharField(
        required=False, allow_blank=True, max_length=120
    )
    requests_per_minute = serializers.IntegerField(
        required=False, min_value=1, max_value=1_000_000
    )
    concurrent_requests = serializers.IntegerField(
        required=False, min_value=1, max_value=100
    )


class IntegrationPatch(serializers.Serializer):
    organization_id = serializers.CharField(required=False, max_length=64)
    integration_id = serializers.CharField(required=False, max_length=64)
    provider_name = serializers.CharField(required=False, max_length=40)
    integration_name = serializers.CharField(required=False, max_length=200)
    integration_type = serializers.ChoiceField(IntegrationType.choices, required=False)
    credentials = CredentialsIn(required=False)
    sync_config = SyncConfigIn(required=False)
    base_url = serializers.CharField(required=False, allow_blank=True, max_length=500)
    api_version = serializers.CharField(required=False, allow_blank=True, max_length=40)
    webhook_url = serializers.CharField(
        required=False, allow_blank=True, max_length=500
    )
    settings = JsonObject(
        required=False, help_text="The provider's own fields, see /api/catalog."
    )
    entity_mappings = serializers.DictField(
        child=serializers.CharField(max_length=120), required=False
    )
    tags = serializers.ListField(
        child=serializers.CharField(max_length=60), required=False, max_length=50
    )
    uploads = serializers.ListField(
        child=serializers.CharField(max_length=64), required=False, max_length=200
    )


class IntegrationIn(IntegrationPatch):
    provider_name = serializers.CharField(max_length=40)


class SecretHint(serializers.Serializer):
    set = serializers.BooleanField()
    set_at = serializers.DateTimeField()
    last4 = serializers.CharField()


class CredentialsOut(serializers.Serializer):
    credential_type = serializers.CharField()
    expires_at = serializers.DateTimeField(allow_null=True)
    fields = serializers.DictField(child=SecretHint())  # type: ignore[assignment]


class SyncConfigOut(SyncConfigIn):
    last_sync_timestamp = serializers.DateTimeField(allow_null=True)


class IntegrationOut(serializers.Serializer):
    integration_id = serializers.CharField()
    organization_id = serializers.CharField()
    integration_name = serializers.CharField()
    integration_type = serializers.ChoiceField(IntegrationType.choices)
    provider_name = serializers.CharField()
    status = serializers.ChoiceField(IntegrationStatus.choices)
    status_detail = serializers.CharField()
    resumes_at = serializers.DateTimeField(allow_null=True)
    source = serializers.CharField()  # type: ignore[assignment]
    base_url = serializers.CharField()
    api_version = serializers.CharField()
    webhook_url = serializers.CharField()
    settings = serializers.DictField()
    credentials = CredentialsOut()
    entity_mappings = serializers.DictField()
    sync_config = SyncConfigOut()
    schedule = serializers.CharField()
    created_at = serializers.DateTimeField()
    created_by = serializers.CharField()
    updated_at = serializers.DateTimeField()
    tags = serializers.ListField(child=serializers.CharField())


class RunDot(serializers.Serializer):
    sync_id = serializers.CharField()
    status = serializers.ChoiceField(RunStatus.choices)
    at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)
    records = serializers.IntegerField()


class IntegrationRow(serializers.Serializer):
    integration_id = serializers.CharField()
    integration_name = serializers.CharField()
    provider_name = serializers.CharField()
    provider_label = serializers.CharField()
    integration_type = serializers.ChoiceField(IntegrationType.choices)
    status = serializers.ChoiceField(IntegrationStatus.choices)
    status_detail = serializers.CharField()
    resumes_at = serializers.DateTimeField(allow_null=True)
    schedule = serializers.CharField()
    next_run_at = serializers.DateTimeField(allow_null=True)
    last_success_at = serializers.DateTimeField(allow_null=True)
    streams = serializers.IntegerField()
    streams_failing = serializers.IntegerField()
    brakes = serializers.IntegerField()
    records_today = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    tags = serializers.ListField(child=serializers.CharField())
    runs = RunDot(many=True)


class IntegrationList(serializers.Serializer):
    results = IntegrationRow(many=True)


class SyncIn(serializers.Serializer):
    mode = serializers.ChoiceField(("full", "incremental"), required=False)
    streams = serializers.ListField(
        child=serializers.CharField(max_length=120), required=False, max_length=500
    )
    since = serializers.DateTimeField(
        required=False, help_text="Back-fill from here; the position stays as it is."
    )
    until = serializers.DateTimeField(required=False)


class SyncStarted(serializers.Serializer):
    sync_id = serializers.CharField()
    status = serializers.CharField(help_text="started")
    estimated_duration = serializers.CharField(
        help_text="From earlier runs, in words; “unknown” before the first."
    )


class Counted(serializers.Serializer):
    """fetched = inserted + updated + unchanged + duplicate + quarantined + filtered."""

    fetched = serializers.IntegerField()
    inserted = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    duplicate = serializers.IntegerField()
    quarantined = serializers.IntegerField()
    filtered = serializers.IntegerField()
    deleted = serializers.IntegerField()


class PartOut(Counted):
    stream = serializers.CharField()
    status = serializers.CharField()
    phase = serializers.CharField()
    pages = serializers.IntegerField()
    total = serializers.IntegerField(allow_null=True)
    progress = serializers.FloatField(allow_null=True)
    attempts = serializers.IntegerField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    error_code = serializers.CharField()
    error_detail = serializers.CharField()


class StatusOut(serializers.Serializer):
    integration_id = serializers.CharField()
    status = serializers.ChoiceField(IntegrationStatus.choices)
    status_detail = serializers.CharField()
    resumes_at = serializers.DateTimeField(allow_null=True)
    progress = serializers.FloatField(
        allow_null=True, help_text="0 to 1; null while the end is unknown."
    )
    records_processed = serializers.IntegerField()
    estimated_remaining = serializers.CharField(allow_null=True)
    sync_id = serializers.CharField(allow_null=True)
    sync_status = serializers.ChoiceField(RunStatus.choices, allow_null=True)
    streams = PartOut(many=True)


class RunOut(Counted):
    sync_id = serializers.CharField()
    integration_id = serializers.CharField()
    integration_name = serializers.CharField()
    trigger = serializers.CharField()
    requested_by = serializers.CharField()
    mode = serializers.CharField()
    since = serializers.DateTimeField(allow_null=True)
    until = serializers.DateTimeField(allow_null=True)
    status = serializers.ChoiceField(RunStatus.choices)
    is_cancelling = serializers.BooleanField()
    attempts = serializers.IntegerField()
    run_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    duration_s = serializers.FloatField(allow_null=True)
    error_code = serializers.CharField()
    error_detail = serializers.CharField()


class RunDetailOut(RunOut):
    progress = serializers.FloatField(allow_null=True)
    estimated_remaining = serializers.CharField(allow_null=True)
    streams = PartOut(many=True)


class RunPage(serializers.Serializer):
    results = RunOut(many=True)
    next = serializers.CharField(allow_null=True)


class LedgerLine(Counted):
    batch_id = serializers.IntegerField()
    origin = serializers.CharField()
    stream = serializers.CharField()
    page = serializers.IntegerField()
    received_at = serializers.DateTimeField()


class LedgerPage(serializers.Serializer):
    results = LedgerLine(many=True)
    next = serializers.CharField(allow_null=True)


class CheckedOut(serializers.Serializer):
    integration_id = serializers.CharField()
    ok = serializers.BooleanField()
    code = serializers.CharField()
    detail = serializers.CharField()


class CheckedAll(serializers.Serializer):
    ok = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = CheckedOut(many=True)


class ManyIn(serializers.Serializer):
    integrations = serializers.ListField(
        child=serializers.CharField(max_length=64),
        allow_empty=False,
        max_length=500,
        help_text="Ids.",
    )


class ManyOut(serializers.Serializer):
    changed = serializers.ListField(
        child=serializers.CharField(), help_text="Ids of those that were changed."
    )


class DayOut(serializers.Serializer):
    """The 24 hours before `as_of`."""

    ended = serializers.IntegerField(help_text="Syncs that ended.")
    completed = serializers.IntegerField()
    incomplete = serializers.IntegerField()
    failed = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    failure_ratio = serializers.FloatField(
        allow_null=True, help_text="Failed of those not cancelled; target below 0.1."
    )
    records_today = serializers.IntegerField(
        help_text="Inserted and updated since 00:00 UTC, through every door."
    )
    scheduled = serializers.IntegerField(help_text="Integrations with a schedule.")
    late = serializers.IntegerField(help_text="Of them, without success for two syncs.")
    freshness_p95_s = serializers.FloatField(allow_null=True)


class MinutesOut(serializers.Serializer):
    first_at = serializers.DateTimeField(
        allow_null=True, help_text="Begin of the first minute; null where nothing came."
    )
    records = serializers.ListField(
        child=serializers.IntegerField(), help_text="Stored in each minute, to now."
    )


class DashboardOut(IntegrationList):
    as_of = serializers.DateTimeField()
    by_status = serializers.DictField(child=serializers.IntegerField())
    last_24h = DayOut()
    per_minute = MinutesOut()


class DashboardIntegrationOut(IntegrationOut):
    streams = serializers.ListField(child=serializers.DictField())
    sync = StatusOut()
    runs = RunOut(many=True)
    records_today = serializers.IntegerField()
    quarantined = serializers.IntegerField()
