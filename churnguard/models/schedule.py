"""Schedules as rows: any number of clocks may tick, each due time fires once."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from churnguard.models.tenancy import Organization


class Schedule(models.Model):
    """When something is due. kind says who acts on it: "sync" (integrations, target =
    integration id, stream optional), "daily", "weekly", "monthly" (analytics), ..."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, null=True)
    kind = models.CharField(max_length=40)
    target_id = models.BigIntegerField(default=0)
    stream = models.CharField(max_length=120, blank=True, default="")
    every_s = models.IntegerField(null=True)
    """Interval; null where `at_utc` rules."""
    at_utc = models.CharField(max_length=40, blank=True, default="")
    """"02:00", "sun 03:00" or "1 04:00" (day of month), UTC."""
    next_run_at = models.DateTimeField()
    last_run_at = models.DateTimeField(null=True)
    is_enabled = models.BooleanField(default=True)

    class Meta:
        db_table = "cg_schedule"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "target_id", "stream"],
                name="schedule_once",
                nulls_distinct=False,
            )
        ]
        indexes = [
            models.Index(
                fields=["kind", "next_run_at"],
                name="schedule_due",
                condition=Q(is_enabled=True),
            )
        ]
