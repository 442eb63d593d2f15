"""Live notes (what sockets send and replay) and worker heartbeats."""

from __future__ import annotations

from django.db import models

from churnguard.models.tenancy import Organization


class StreamSequence(models.Model):
    """The last sequence number per organisation and channel; its row lock orders the
    commits, so a reader that has seen n has seen everything before n."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    channel = models.CharField(max_length=24)
    seq = models.BigIntegerField(default=0)

    class Meta:
        db_table = "cg_stream_sequence"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "channel"], name="stream_sequence_once"
            )
        ]


class StreamNote(models.Model):
    """One message of a live channel; kept for replay, pruned by age."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    channel = models.CharField(max_length=24)
    seq = models.BigIntegerField()
    payload = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        db_table = "cg_stream_note"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "channel", "seq"], name="stream_note_once"
            )
        ]
        indexes = [models.Index(fields=["created_at"], name="stream_note_age")]


class Notice(models.Model):
    """Something a person should know: a band change, a failed run, an expired
    credential. `key` groups repeats; an open notice of a key exists once."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    kind = models.CharField(max_length=40)
    severity = models.CharField(max_length=12)
    """info, warning or critical."""
    key = models.CharField(max_length=200)
    title = models.CharField(max_length=300)
    detail = models.TextField(blank=True)
    url = models.CharField(max_length=300, blank=True)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "cg_notice"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "key"],
                name="notice_open_once",
                condition=models.Q(resolved_at__isnull=True),
            )
        ]
        indexes = [models.Index(fields=["organization", "-id"], name="notice_org_new")]


class Heartbeat(models.Model):
    """Each process says it lives; health checks read the age."""

    name = models.CharField(max_length=120, primary_key=True)
    role = models.CharField(max_length=24)
    at = models.DateTimeField()
    facts = models.JSONField(default=dict)

    class Meta:
        db_table = "cg_heartbeat"
