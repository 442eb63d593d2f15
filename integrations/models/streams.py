"""What is known about each stream of an integration, between runs."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from churnguard.models import Organization
from integrations.models.connection import Integration


class StreamState(models.Model):
    """One stream: chosen or not, where it stands, what it looks like.

    status: never, active, syncing, error or brake (a run wanted to delete more than
    the brake allows, and a person has to confirm).
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    integration = models.ForeignKey(
        Integration, on_delete=models.CASCADE, related_name="streams"
    )
    name = models.CharField(max_length=120)
    label = models.CharField(max_length=200, blank=True, default="")
    record_type = models.CharField(max_length=40)
    position = models.IntegerField(default=0)
    is_enabled = models.BooleanField(default=True)
    is_gone = models.BooleanField(default=False)
    """The account does not offer it any more; kept for its history."""
    cursor = models.JSONField(null=True, blank=True)
    """True for everything stored so far; null = never read to a page."""
    spec = models.JSONField(default=dict, blank=True)
    """The connector's `Stream` as discovery last gave it."""
    cursor_field = models.CharField(max_length=120, blank=True, default="")
    incremental_field = models.CharField(max_length=120, blank=True, default="")
    """Chosen by a person; empty = the integration's or the connector's."""
    deletes = models.CharField(max_length=8, default="none")
    sync_frequency = models.IntegerField(null=True, blank=True)
    """Seconds; null = runs with the integration, 0 = only by hand."""
    mapping_version = models.IntegerField(null=True, blank=True)
    columns = models.JSONField(default=list, blank=True)
    """[{name, type, label, is_custom, sample, seen?}]: as discovered; seen: true where
    only the data showed it."""
    drift = models.JSONField(default=list, blank=True)
    """[{field, kind: added|type|gone, was, now, at}]: newest last."""
    status = models.CharField(max_length=16, default="never")
    last_success_at = models.DateTimeField(null=True, blank=True)
    checked_deletes_at = models.DateTimeField(null=True, blank=True)
    """When absences were last looked for (full, sweep)."""
    last_error = models.TextField(blank=True, default="")
    last_error_code = models.CharField(max_length=64, blank=True, default="")
    last_error_at = models.DateTimeField(null=True, blank=True)
    records_stored = models.BigIntegerField(default=0)
    """Inserted and updated by all runs so far."""
    brake = models.JSONField(null=True, blank=True)
    """{kind: absence|feed, would_delete, live, limit, sample, run_id, run, at,
    confirmed_by}; null = no brake."""

    class Meta:
        db_table = "int_stream_state"
        constraints = [
            models.UniqueConstraint(
                fields=["integration", "name"], name="stream_state_once"
            )
        ]

    def __str__(self) -> str:
        return self.label or self.name


class StreamSeen(models.Model):
    """Ids of a stream that one page of a run has shown, for streams whose deletes show
    by absence (full, sweep); see `integrations.seen`."""

    id = models.BigAutoField(primary_key=True)
    stream = models.ForeignKey(StreamState, on_delete=models.CASCADE, db_index=False)
    run_id = models.BigIntegerField()
    """0: of many earlier runs, put together."""
    ids = ArrayField(models.TextField())
    """As stored: those of objects carry their kind."""

    class Meta:
        db_table = "int_stream_seen"
        indexes = [models.Index(fields=["stream", "run_id"], name="stream_seen_run")]
