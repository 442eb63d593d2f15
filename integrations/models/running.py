"""Sync runs as rows: the queue, the lease, and what each stream of a run did."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from churnguard.ids import new_id
from churnguard.models import Organization, Schedule
from integrations.models.connection import Integration
from integrations.models.streams import StreamState


class RunStatus(models.TextChoices):
    PENDING = "pending", "Pending"
    PROCESSING = "processing", "Processing"
    COMPLETED = "completed", "Completed"
    INCOMPLETE = "incomplete", "Incomplete"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Cancelled"


def _sync_id() -> str:
    return new_id("sync")


class SyncRun(models.Model):
    """One job. Claimed by SKIP LOCKED with fence + 1; only the holder of the newest
    fence can commit a page, so a worker that was thought dead cannot write."""

    ACTIVE = (RunStatus.PENDING, RunStatus.PROCESSING)

    id = models.BigAutoField(primary_key=True)
    public_id = models.CharField(max_length=64, unique=True, default=_sync_id)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    trigger = models.CharField(max_length=16, default="manual")
    """manual, schedule, retry, backfill or confirm."""
    requested_by = models.CharField(max_length=254, blank=True, default="")
    mode = models.CharField(max_length=16, default="incremental")
    """full or incremental."""
    streams = ArrayField(models.CharField(max_length=120), default=list)
    """Names; empty = all enabled ones."""
    since = models.DateTimeField(null=True, blank=True)
    until = models.DateTimeField(null=True, blank=True)
    status = models.CharField(
        max_length=16, choices=RunStatus, default=RunStatus.PENDING
    )
    run_at = models.DateTimeField()
    """Not to be claimed before."""
    lease_until = models.DateTimeField(null=True, blank=True)
    lease_owner = models.CharField(max_length=120, blank=True, default="")
    fence = models.BigIntegerField(default=0)
    attempts = models.IntegerField(default=0)
    """Failed tries since the last committed page."""
    crashes = models.IntegerField(default=0)
    """Leases that ran out since the run last came further."""
    cancel_requested_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_detail = models.TextField(blank=True, default="")
    schedule = models.ForeignKey(
        Schedule, on_delete=models.SET_NULL, null=True, blank=True
    )
    scheduled_for = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "int_sync_run"
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "scheduled_for"], name="sync_run_due_once"
            ),
            models.UniqueConstraint(
                fields=["integration"],
                name="sync_run_one_active",
                condition=Q(status__in=["pending", "processing"]),
            ),
        ]
        indexes = [
            models.Index(
                fields=["run_at"],
                name="sync_run_due",
                condition=Q(status__in=["pending", "processing"]),
            ),
            models.Index(fields=["integration", "-id"], name="sync_run_integration"),
            models.Index(fields=["organization", "-id"], name="sync_run_org"),
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def is_active(self) -> bool:
        return self.status in self.ACTIVE


class RunStream(models.Model):
    """One stream of one run. status: pending, processing, retrying, completed,
    failed, brake, cancelled or skipped."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(SyncRun, on_delete=models.CASCADE, related_name="parts")
    state = models.ForeignKey(StreamState, on_delete=models.CASCADE)
    stream = models.CharField(max_length=120)
    position = models.IntegerField(default=0)
    status = models.CharField(max_length=16, default="pending")
    phase = models.CharField(max_length=8, default="read")
    """read, then sweep (listing ids), then delete, then done."""
    reads_all = models.BooleanField(default=False)
    """It began without a cursor and a range, so what it does not see is gone."""
    cursor = models.JSONField(null=True, blank=True)
    """Where this run stands, for resuming it."""
    attempts = models.IntegerField(default=0)
    """Failed tries since the last one that came further than any before it."""
    stops = models.JSONField(default=list, blank=True)
    """Marks of where tries of this run ended, newest last."""
    pages = models.IntegerField(default=0)
    fetched = models.BigIntegerField(default=0)
    inserted = models.BigIntegerField(default=0)
    updated = models.BigIntegerField(default=0)
    unchanged = models.BigIntegerField(default=0)
    duplicate = models.BigIntegerField(default=0)
    quarantined = models.BigIntegerField(default=0)
    filtered = models.BigIntegerField(default=0)
    deleted = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True, blank=True)
    """The provider's own count, where it tells one."""
    started_at = models.DateTimeField(null=True, blank=True)
    page_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True, default="")
    error_detail = models.TextField(blank=True, default="")

    class Meta:
        db_table = "int_run_stream"
        constraints = [
            models.UniqueConstraint(fields=["run", "stream"], name="run_stream_once"),
            models.CheckConstraint(
                name="run_stream_adds_up",
                condition=Q(
                    fetched=models.F("inserted")
                    + models.F("updated")
                    + models.F("unchanged")
                    + models.F("duplicate")
                    + models.F("quarantined")
                    + models.F("filtered")
                ),
            ),
        ]
