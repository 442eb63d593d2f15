"""Rows of the definition editor: drafts, and the work of checking them."""

from __future__ import annotations

from django.db import models

from churnguard.ids import new_id
from churnguard.models import Organization


class DefinitionDraft(models.Model):
    """The one draft of an organisation and segment; it scores nobody.

    origin: where it came from, in words ("edited", "suggested weights", "version 3").
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    segment = models.CharField(max_length=80, blank=True, default="")
    spec = models.JSONField()
    origin = models.CharField(max_length=40, default="edited")
    updated_by = models.CharField(max_length=254)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        db_table = "an_definition_draft"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "segment"], name="definition_draft_once"
            )
        ]


def _check_id() -> str:
    return new_id("chk")


class DefinitionCheck(models.Model):
    """A claimed unit of work that reads everything and changes no score.

    preview: what a draft would do to every customer. backtest: how well the active
    definition (and the draft) told who left. suggestion: weights learned from that.
    """

    KINDS = (
        ("preview", "Preview"),
        ("backtest", "Back-test"),
        ("suggestion", "Suggested weights"),
    )
    STATES = (
        ("queued", "Queued"),
        ("running", "Running"),
        ("succeeded", "Succeeded"),
        ("refused", "Not possible"),
        ("failed", "Failed"),
    )
    OPEN = ("queued", "running")

    public_id = models.CharField(max_length=64, unique=True, default=_check_id)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    segment = models.CharField(max_length=80, blank=True, default="")
    kind = models.CharField(max_length=12, choices=KINDS)
    spec = models.JSONField(null=True)
    """The draft; null = only what is active."""
    digest = models.BigIntegerField()
    """Of everything a person could change: the same question has the same digest."""
    state = models.CharField(max_length=12, choices=STATES, default="queued")
    requested_by = models.CharField(max_length=254)
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    message = models.TextField(blank=True, default="")
    result = models.JSONField(null=True)

    class Meta:
        db_table = "an_definition_check"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "segment", "kind", "digest"],
                name="definition_check_open",
                condition=models.Q(state__in=("queued", "running")),
            )
        ]
        indexes = [
            models.Index(fields=["state", "id"], name="definition_check_state"),
            models.Index(
                fields=["organization", "kind", "-id"], name="definition_check_org"
            ),
        ]
