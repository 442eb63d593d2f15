"""The bodies of the API about streams, mappings, quarantine and uploads."""

from __future__ import annotations

from rest_framework import serializers

from integrations.api.base import JsonObject, JsonValue

_INT = 2**31 - 1
_BIG = 2**63 - 1


class StreamPatch(serializers.Serializer):
    enabled = serializers.BooleanField(required=False)
    sync_frequency = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=_INT,
        help_text="Seconds; null = with the integration, 0 = by hand.",
    )
    incremental_field = serializers.CharField(
        required=False, allow_blank=True, max_length=120
    )
    record_type = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=40,
        help_text="One of `record_types`; empty = the connector's. The stream is read "
        "anew, without the mapping made for the old type; what was stored as the old "
        "type stays.",
    )


class StreamOut(serializers.Serializer):
    stream = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    record_type = serializers.CharField()
    record_types = serializers.ListField(child=serializers.CharField())
    enabled = serializers.BooleanField()
    gone = serializers.BooleanField()
    status = serializers.CharField()
    sync_frequency = serializers.IntegerField(allow_null=True)
    schedule = serializers.CharField()
    cursor_field = serializers.CharField()
    incremental_field = serializers.CharField()
    deletes = serializers.CharField()
    mapping_version = serializers.IntegerField(allow_null=True)
    columns = serializers.ListField(child=serializers.DictField())
    drift = serializers.ListField(child=serializers.DictField())
    records_stored = serializers.IntegerField()
    last_success_at = serializers.DateTimeField(allow_null=True)
    last_error = serializers.CharField()
    last_error_code = serializers.CharField()
    last_error_at = serializers.DateTimeField(allow_null=True)
    brake = serializers.DictField(allow_null=True)


class StreamList(serializers.Serializer):
    results = StreamOut(many=True)


class StreamsPatch(serializers.Serializer):
    streams = serializers.DictField(
        child=StreamPatch(), help_text="{stream: what changes}"
    )


class MappingIn(serializers.Serializer):
    spec = JsonObject()
    note = serializers.CharField(required=False, allow_blank=True, max_length=300)


class MappingTry(serializers.Serializer):
    spec = JsonObject(required=False, help_text="Not saved; absent = the one in use.")


class RollbackIn(serializers.Serializer):
    version = serializers.IntegerField(min_value=1, max_value=_INT)


class MappingOut(serializers.Serializer):
    stream = serializers.CharField()
    record_type = serializers.CharField()
    version = serializers.IntegerField(allow_null=True)
    spec = serializers.DictField()
    field_mappings = serializers.DictField()
    source_fields = serializers.ListField(child=serializers.DictField())
    target_fields = serializers.ListField(child=serializers.CharField())
    transforms = serializers.ListField(child=serializers.CharField())


class MappingVersionOut(serializers.Serializer):
    version = serializers.IntegerField()
    spec = serializers.DictField()
    note = serializers.CharField()
    created_by = serializers.CharField()
    created_at = serializers.DateTimeField()


class MappingVersions(serializers.Serializer):
    results = MappingVersionOut(many=True)


class PreviewOut(serializers.Serializer):
    results = serializers.ListField(child=serializers.DictField())


class DryRunOut(serializers.Serializer):
    records = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    refused = serializers.IntegerField()
    errors = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]
    fields = serializers.DictField()  # type: ignore[assignment]


class QuarantineRow(serializers.Serializer):
    id = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]
    integration_id = serializers.CharField(allow_null=True)
    stream = serializers.CharField()
    record_type = serializers.CharField()
    external_id = serializers.CharField()
    code = serializers.CharField()
    field = serializers.CharField()
    detail = serializers.CharField()
    state = serializers.CharField()
    first_seen_at = serializers.DateTimeField()
    resolved_at = serializers.DateTimeField(allow_null=True)
    resolved_by = serializers.CharField()


class QuarantineCount(serializers.Serializer):
    source = serializers.CharField()  # type: ignore[assignment]
    stream = serializers.CharField()
    code = serializers.CharField()
    count = serializers.IntegerField()


class QuarantinePage(serializers.Serializer):
    results = QuarantineRow(many=True)
    counts = QuarantineCount(many=True)
    next = serializers.CharField(allow_null=True)


class QuarantineDetail(QuarantineRow):
    raw = serializers.JSONField()


class ReplayIn(serializers.Serializer):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_BIG),
        max_length=1000,
        allow_empty=False,
    )
    edits = serializers.DictField(
        child=JsonValue(), required=False, help_text="{id: the repaired object}"
    )
    dry_run = serializers.BooleanField(required=False, default=False)


class ReplayOut(serializers.Serializer):
    stored = serializers.ListField(child=serializers.IntegerField())
    failed = serializers.ListField(child=serializers.DictField())
    skipped = serializers.ListField(child=serializers.IntegerField())


class IdsIn(serializers.Serializer):
    ids = serializers.ListField(
        child=serializers.IntegerField(min_value=1, max_value=_BIG),
        max_length=1000,
        allow_empty=False,
    )


class CountOut(serializers.Serializer):
    count = serializers.IntegerField()


class UploadOut(serializers.Serializer):
    upload_id = serializers.CharField()
    name = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    integration_id = serializers.CharField(allow_null=True)
    created_at = serializers.DateTimeField()


class UploadIn(serializers.Serializer):
    file = serializers.FileField(max_length=255)
    integration_id = serializers.CharField(required=False, max_length=64)


class UploadList(serializers.Serializer):
    results = UploadOut(many=True)


class UploadPreviewIn(serializers.Serializer):
    uploads = serializers.ListField(
        child=serializers.CharField(max_length=64), max_length=50, allow_empty=False
    )


class CatalogOut(serializers.Serializer):
    results = serializers.ListField(child=serializers.DictField())
