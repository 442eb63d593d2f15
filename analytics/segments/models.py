"""Rows of segments: the saved filter, its daily counts, and who was in it when."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone

from churnguard.ids import new_id
from churnguard.models import Customer, Organization


def _segment_id() -> str:
    return new_id("seg")


class Segment(models.Model):
    """A saved filter over customers.

    definition: JSON of `segments.tree`. version rises with each new definition; the
    audit log holds the ones before. An archived segment keeps its history and frees
    its name.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    public_id = models.CharField(max_length=64, unique=True, default=_segment_id)
    name = models.CharField(max_length=120)
    slug = models.CharField(max_length=140)
    """Stands for the id in addresses; set once, from the first name."""
    description = models.TextField(blank=True, default="")
    definition = models.JSONField()
    version = models.IntegerField(default=1)
    created_by = models.CharField(max_length=254)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    archived_at = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(default=timezone.now)
    """When the members are counted next."""

    class Meta:
        db_table = "an_segment"
        constraints = [
            models.UniqueConstraint(
                "organization",
                Lower("name"),
                name="segment_name_once",
                condition=models.Q(archived_at__isnull=True),
            ),
            models.UniqueConstraint(
                fields=["organization", "slug"],
                name="segment_slug_once",
                condition=models.Q(archived_at__isnull=True),
            ),
        ]
        indexes = [
            models.Index(
                fields=["due_at"],
                name="segment_due",
                condition=models.Q(archived_at__isnull=True),
            )
        ]

    def __str__(self) -> str:
        return self.name


class SegmentDay(models.Model):
    """What a segment was on a local day, as last counted on it.

    entered, left: against the day counted before; null on a day on which the
    definition was made or changed, because then it is not the customers who moved.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    segment = models.ForeignKey(
        Segment, on_delete=models.CASCADE, related_name="days", db_index=False
    )
    day = models.DateField()
    version = models.IntegerField()
    counted_at = models.DateTimeField()
    members = models.IntegerField()
    average_score = models.FloatField(null=True)
    """Over the members that have a score."""
    at_risk = models.IntegerField()
    mrr_minor = models.BigIntegerField()
    """In the base currency; what no rate converts is left out."""
    mrr_by_currency = models.JSONField(default=dict)
    """Currency of the subscriptions -> minor units of it."""
    entered = models.IntegerField(null=True)
    left = models.IntegerField(null=True)

    class Meta:
        db_table = "an_segment_day"
        constraints = [
            models.UniqueConstraint(fields=["segment", "day"], name="segment_day_once")
        ]


class SegmentSpell(models.Model):
    """A customer was a member from the day `entered_on` to before `left_on`
    (null = still), as counted; starts anew with each definition."""

    id = models.BigAutoField(primary_key=True)
    segment = models.ForeignKey(Segment, on_delete=models.CASCADE, db_index=False)
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE)
    entered_on = models.DateField()
    left_on = models.DateField(null=True)

    class Meta:
        db_table = "an_segment_spell"
        constraints = [
            models.UniqueConstraint(
                fields=["segment", "customer"],
                name="segment_spell_open",
                condition=models.Q(left_on__isnull=True),
            )
        ]
        indexes = [
            models.Index(fields=["segment", "entered_on"], name="segment_entered"),
            models.Index(
                fields=["segment", "left_on"],
                name="segment_left",
                condition=models.Q(left_on__isnull=False),
            ),
        ]
