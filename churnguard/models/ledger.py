"""The ledger: one line per committed page or group commit, and what was refused."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from churnguard.models.customers import Source
from churnguard.models.tenancy import Organization


class Batch(models.Model):
    """What one transaction took in. The database checks that it adds up."""

    COUNTERS = (
        "fetched",
        "inserted",
        "updated",
        "unchanged",
        "duplicate",
        "quarantined",
        "filtered",
    )
    """The first is the sum of the others."""
    TOTALS = (*COUNTERS, "deleted")

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.CASCADE, db_index=False)
    origin = models.CharField(max_length=12)
    """ingest, sync, webhook, stream, upload or replay."""
    run_id = models.BigIntegerField(null=True)
    stream = models.CharField(max_length=120, blank=True, default="")
    page = models.IntegerField(default=0)
    fetched = models.IntegerField(default=0)
    inserted = models.IntegerField(default=0)
    updated = models.IntegerField(default=0)
    unchanged = models.IntegerField(default=0)
    duplicate = models.IntegerField(default=0)
    quarantined = models.IntegerField(default=0)
    filtered = models.IntegerField(default=0)
    deleted = models.IntegerField(default=0)
    """Tombstones set beside the fetched records; not part of the sum."""
    bytes = models.BigIntegerField(default=0)
    events = models.IntegerField(default=0)
    """Usage events inserted by this batch; what the fold has to add."""
    newest_at = models.DateTimeField(null=True)
    """Newest event or source time in the batch, for lag."""
    received_at = models.DateTimeField()
    folded_at = models.DateTimeField(null=True)
    lines = models.IntegerField(db_default=1)
    """Transactions it stands for; many after `monitoring.compaction`. The events of
    the others still carry their numbers, all greater than the id of this line."""

    class Meta:
        verbose_name_plural = "batches"
        db_table = "cg_batch"
        constraints = [
            models.CheckConstraint(
                name="batch_adds_up",
                condition=Q(
                    fetched=F("inserted")
                    + F("updated")
                    + F("unchanged")
                    + F("duplicate")
                    + F("quarantined")
                    + F("filtered")
                ),
            )
        ]
        indexes = [
            models.Index(
                fields=["id"],
                name="batch_to_fold",
                condition=Q(folded_at__isnull=True) & Q(events__gt=0),
            ),
            models.Index(fields=["source", "-received_at"], name="batch_source_new"),
            models.Index(
                fields=["run_id", "stream", "page"],
                name="batch_run",
                condition=Q(run_id__isnull=False),
            ),
        ]


class Quarantine(models.Model):
    """A record that could not be used, with the reason and the bytes as they came.
    The same refused record is kept once however often it returns."""

    STATES = (("open", "Open"), ("replayed", "Replayed"), ("discarded", "Discarded"))

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.CASCADE, db_index=False)
    batch_id = models.BigIntegerField(null=True)
    run_id = models.BigIntegerField(null=True)
    stream = models.CharField(max_length=120, blank=True, default="")
    record_type = models.CharField(max_length=40)
    external_id = models.CharField(max_length=255, blank=True, default="")
    code = models.CharField(max_length=64)
    field = models.CharField(max_length=120, blank=True, default="")
    detail = models.TextField()
    raw = models.JSONField()
    fingerprint = models.UUIDField()
    state = models.CharField(max_length=12, choices=STATES, default="open")
    first_seen_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True)
    resolved_by = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        db_table = "cg_quarantine"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "fingerprint"], name="quarantine_once"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "state", "-id"], name="quarantine_org")
        ]


class RunKey(models.Model):
    """A key that a run has stored, for streams whose source may repeat its keys, and
    for finding what a full read no longer shows. Dropped when the run ends."""

    id = models.BigAutoField(primary_key=True)
    run_id = models.BigIntegerField()
    stream = models.CharField(max_length=120)
    key = models.TextField()
    """"<record type>:<stored external id>"."""
    content = models.BigIntegerField(null=True)
    """Content hash of the record kept under this key; null where only the id is
    known."""

    class Meta:
        db_table = "cg_run_key"
        constraints = [
            models.UniqueConstraint(
                fields=["run_id", "stream", "key"], name="run_key_once"
            )
        ]
