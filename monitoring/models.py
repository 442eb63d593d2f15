"""What monitoring keeps: the quality of the data day by day, and its thresholds."""

from __future__ import annotations

from django.db import models

from churnguard.models import Organization, Source
from integrations.models import Integration


class QualityDay(models.Model):
    """One entity of one source as last measured on a UTC day; entity "" is the whole
    source. Scores are 0 to 100, null = not measured."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    source = models.ForeignKey(Source, on_delete=models.CASCADE, db_index=False)
    entity = models.CharField(max_length=40, blank=True, default="")
    day = models.DateField()
    score = models.FloatField(null=True)
    is_capped = models.BooleanField(default=False)
    """A critical check fails, which keeps the score at 49 or below."""
    coverage_pct = models.FloatField()
    """Share of the six dimensions that could be measured."""
    dimensions = models.JSONField(default=dict)
    checks = models.JSONField(default=list)
    """Every result of the entity, as `monitoring.quality.check.Result`."""
    rows = models.BigIntegerField(default=0)
    measured_at = models.DateTimeField()

    class Meta:
        db_table = "mon_quality_day"
        constraints = [
            models.UniqueConstraint(
                fields=["source", "entity", "day"], name="quality_day_once"
            )
        ]
        indexes = [models.Index(fields=["organization", "day"], name="quality_day_org")]


class QualitySetting(models.Model):
    """When an organisation wants to hear about its data."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True
    )
    least_score = models.PositiveSmallIntegerField(default=70)
    """A notice opens when a source scores less."""
    most_fall = models.PositiveSmallIntegerField(default=10)
    """A notice opens when a source loses at least so many points in a day."""
    weights = models.JSONField(default=dict)
    """Dimension -> weight in a score; what is left out has the default."""
    asked_at = models.DateTimeField(null=True)
    """Somebody wants a measurement now; cleared when it is done."""

    class Meta:
        db_table = "mon_quality_setting"


class QualitySample(models.Model):
    """Records of an integration that were read again and compared; kinds: record type
    -> `monitoring.quality.refetch.Comparison`."""

    integration = models.OneToOneField(
        Integration, on_delete=models.CASCADE, primary_key=True
    )
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    source = models.ForeignKey(Source, on_delete=models.CASCADE)
    claimed_at = models.DateTimeField()
    measured_at = models.DateTimeField(null=True)
    kinds = models.JSONField(default=dict)

    class Meta:
        db_table = "mon_quality_sample"
