"""Usage events, their exact dedupe keys, and the rollups folded from them.

The event and key tables are made by SQL in the migrations (partitions); their models
are unmanaged and serve reading only.
"""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from churnguard.models.customers import CustomerSource
from churnguard.models.tenancy import Organization


class UsageEvent(models.Model):
    """One stored event. Partitioned by month of ts (UTC); see ARCHITECTURE.md."""

    event_key = models.UUIDField(primary_key=True)
    organization_id = models.BigIntegerField()
    source_id = models.BigIntegerField()
    customer_source_id = models.BigIntegerField(null=True)
    batch_id = models.BigIntegerField()
    name = models.TextField()
    event_id = models.TextField()
    user_key = models.TextField(default="")
    ts = models.DateTimeField()
    received_at = models.DateTimeField()
    value = models.FloatField(null=True)
    properties = models.JSONField(default=dict)

    class Meta:
        managed = False
        db_table = "cg_usage_event"


class UsageDay(models.Model):
    """Exact count per source identity, user, local calendar day and event name.

    No foreign keys in the database, here and in UsageWindow: only the fold writes these
    rows, and checking each one costs a fifth of its time.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    customer_source = models.ForeignKey(
        CustomerSource, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    day = models.DateField()
    name = models.TextField()
    user_key = models.TextField(default="")
    n = models.BigIntegerField()
    value_sum = models.FloatField(default=0)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        db_table = "cg_usage_day"
        constraints = [
            models.UniqueConstraint(
                fields=["customer_source", "day", "name", "user_key"],
                name="usage_day_once",
            )
        ]
        indexes = [
            models.Index(fields=["organization", "day", "name"], name="usage_day_org")
        ]


class OrgHour(models.Model):
    """Events per organisation, UTC hour and name: what charts read."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    hour = models.DateTimeField()
    name = models.TextField()
    n = models.BigIntegerField()
    value_sum = models.FloatField(default=0)

    class Meta:
        db_table = "cg_org_hour"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "hour", "name"], name="org_hour_once"
            )
        ]


class OrgDay(models.Model):
    """Events per organisation, local calendar day and name."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    day = models.DateField()
    name = models.TextField()
    n = models.BigIntegerField()
    value_sum = models.FloatField(default=0)

    class Meta:
        db_table = "cg_org_day"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "day", "name"], name="org_day_once"
            )
        ]


class UsageWindow(models.Model):
    """One row per source identity: events of the last 120 local days, for scoring.

    days[i] is the count on base_day + i (index from 1 in SQL); base_day moves forward
    when a newer day arrives, and what falls out stays in UsageDay.
    """

    customer_source = models.OneToOneField(
        CustomerSource,
        on_delete=models.CASCADE,
        primary_key=True,
        db_constraint=False,
    )
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_constraint=False
    )
    base_day = models.DateField()
    days = ArrayField(models.IntegerField())
    first_event_at = models.DateTimeField()
    last_event_at = models.DateTimeField()
    events_total = models.BigIntegerField()

    class Meta:
        db_table = "cg_usage_window"
