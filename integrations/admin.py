"""The operators' admin: look, and repair a few things; secrets are never shown."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Batch
from integrations import controls, runs
from integrations.models import (
    Credential,
    Integration,
    MappingVersion,
    RunStream,
    StreamState,
    SyncRun,
    Upload,
)


class ReadOnly(admin.ModelAdmin):
    """Rows that only the engine writes."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class StreamInline(admin.TabularInline):
    model = StreamState
    fields = ("name", "record_type", "is_enabled", "status", "last_success_at")
    readonly_fields = fields
    extra = 0
    can_delete = False
    show_change_link = True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Integration)
class IntegrationAdmin(ReadOnly):
    list_display = (
        "name",
        "public_id",
        "organization",
        "provider_name",
        "status",
        "last_sync_timestamp",
    )
    list_filter = ("status", "provider_name", "integration_type", "sync_mode")
    search_fields = ("name", "public_id", "organization__name", "source__name")
    list_select_related = ("organization",)
    date_hierarchy = "created_at"
    inlines = (StreamInline,)
    actions = ("pause", "resume", "start_sync")

    @admin.action(description="Pause")
    def pause(self, request: HttpRequest, rows: QuerySet[Integration]) -> None:
        for row in rows.select_related("organization"):
            controls.pause(row, by=request)
        messages.success(request, "Paused.")

    @admin.action(description="Resume")
    def resume(self, request: HttpRequest, rows: QuerySet[Integration]) -> None:
        for row in rows.select_related("organization"):
            controls.resume(row, by=request)
        messages.success(request, "Resumed.")

    @admin.action(description="Start a sync")
    def start_sync(self, request: HttpRequest, rows: QuerySet[Integration]) -> None:
        for row in rows:
            try:
                runs.start(row, by=audit.actor_of(request))
            except ConfigError as exc:
                messages.warning(request, f"{row}: {exc.message}")
            else:
                messages.success(request, f"{row}: started.")


@admin.register(Credential)
class CredentialAdmin(ReadOnly):
    list_display = (
        "integration",
        "credential_type",
        "expires_at",
        "refreshed_at",
        "set_by",
        "updated_at",
    )
    list_filter = ("credential_type",)
    search_fields = ("integration__name", "integration__public_id")
    list_select_related = ("integration",)
    exclude = ("blob", "spending")


@admin.register(StreamState)
class StreamStateAdmin(ReadOnly):
    list_display = (
        "name",
        "integration",
        "record_type",
        "is_enabled",
        "status",
        "records_stored",
        "last_success_at",
    )
    list_filter = ("status", "is_enabled", "record_type", "deletes")
    search_fields = ("name", "integration__name", "integration__public_id")
    list_select_related = ("integration",)


class PartInline(admin.TabularInline):
    model = RunStream
    fields = ("stream", "status", "phase", "pages", *Batch.TOTALS)
    readonly_fields = fields
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SyncRun)
class SyncRunAdmin(ReadOnly):
    list_display = (
        "public_id",
        "integration",
        "organization",
        "trigger",
        "mode",
        "status",
        "attempts",
        "started_at",
        "finished_at",
    )
    list_filter = ("status", "trigger", "mode")
    search_fields = ("public_id", "integration__name", "integration__public_id")
    list_select_related = ("integration", "organization")
    date_hierarchy = "created_at"
    inlines = (PartInline,)
    actions = ("retry", "cancel", "release_lease")

    @admin.action(description="Retry: start the same sync again")
    def retry(self, request: HttpRequest, rows: QuerySet[SyncRun]) -> None:
        for row in rows.select_related("integration"):
            try:
                runs.start(
                    row.integration,
                    trigger="retry",
                    by=audit.actor_of(request),
                    mode=row.mode,
                    streams=row.streams,
                    since=row.since,
                    until=row.until,
                )
            except ConfigError as exc:
                messages.warning(request, f"{row}: {exc.message}")
            else:
                messages.success(request, f"{row}: started again.")

    @admin.action(description="Cancel")
    def cancel(self, request: HttpRequest, rows: QuerySet[SyncRun]) -> None:
        count = sum(runs.request_cancel(row) for row in rows)
        messages.success(request, f"{count} asked to stop.")

    @admin.action(description="Release the lease, so that another worker takes over")
    def release_lease(self, request: HttpRequest, rows: QuerySet[SyncRun]) -> None:
        count = sum(runs.expire_lease(row) for row in rows)
        messages.success(request, f"{count} released.")


@admin.register(MappingVersion)
class MappingVersionAdmin(ReadOnly):
    list_display = ("integration", "stream", "version", "created_by", "created_at")
    search_fields = ("integration__name", "integration__public_id", "stream")
    list_select_related = ("integration",)


@admin.register(Upload)
class UploadAdmin(ReadOnly):
    list_display = ("name", "organization", "size_bytes", "created_by", "created_at")
    search_fields = ("name", "public_id", "organization__name")
    list_select_related = ("organization",)
    date_hierarchy = "created_at"
