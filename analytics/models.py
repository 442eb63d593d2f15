"""Scores and what they were computed with. Histories are appended, never rewritten."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

# Kept beside their code; Django finds models through this module.
from analytics.definitions.models import (  # noqa: F401
    DefinitionCheck,
    DefinitionDraft,
)
from analytics.predict.models import (  # noqa: F401
    LabelDefinition,
    MaturedCohort,
    ModelVersion,
    Prediction,
    SampleTruth,
    TrainingJob,
)
from analytics.segments.models import (  # noqa: F401
    Segment,
    SegmentDay,
    SegmentSpell,
)
from churnguard.models import Contact, Customer, CustomerSource, Organization


class ScoreDefinition(models.Model):
    """A version of the health definition of one organisation (and segment, "" = all).

    spec is the JSON of `analytics.definition`; at most one version is active. What a
    version says is never changed (a trigger sees to it); going back makes a new one.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    segment = models.CharField(max_length=80, blank=True, default="")
    version = models.IntegerField()
    spec = models.JSONField()
    is_active = models.BooleanField(default=False)
    created_by = models.CharField(max_length=254, default="system")
    created_at = models.DateTimeField(auto_now_add=True)
    note = models.CharField(max_length=500, blank=True, default="")
    active_from = models.DateTimeField(default=timezone.now)
    active_until = models.DateTimeField(null=True)
    marked_at = models.DateTimeField(null=True, default=timezone.now)
    """When every customer concerned had been marked for a new score; null = not yet."""
    announced_at = models.DateTimeField(null=True, default=timezone.now)
    """When its effect was summed up in one notice; null = not yet."""

    class Meta:
        db_table = "an_score_definition"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "segment", "version"],
                name="score_definition_version",
            ),
            models.UniqueConstraint(
                fields=["organization", "segment"],
                name="score_definition_active",
                condition=models.Q(is_active=True),
            ),
        ]

    def __str__(self) -> str:
        return f"v{self.version} {self.segment}".strip()


class HealthScore(models.Model):
    """One score of one customer at one time, with every line of its ledger.

    parts: list of [metric, raw score, decayed score, weight in points, points lost,
    fact a, fact b, fact time (epoch s or null)]; see `analytics.health.Part`.
    A row is written when the score or a line changes. Of the foreign keys the database
    checks the customer's alone: only scoring writes these rows, and checking all three
    costs a twelfth of its time.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    customer = models.ForeignKey(
        Customer, on_delete=models.CASCADE, related_name="scores", db_index=False
    )
    definition = models.ForeignKey(
        ScoreDefinition, on_delete=models.PROTECT, db_constraint=False
    )
    at = models.DateTimeField()
    score = models.SmallIntegerField()
    score_exact = models.FloatField()
    band = models.CharField(max_length=16)
    coverage_pct = models.SmallIntegerField()
    parts = models.JSONField()
    parts_hash = models.BigIntegerField()

    class Meta:
        db_table = "an_health_score"
        indexes = [
            models.Index(fields=["customer", "-at"], name="health_score_customer"),
            models.Index(fields=["organization", "-at"], name="health_score_org"),
        ]


class MetricPrior(models.Model):
    """The segment median of a metric's score, toward which stale knowledge fades."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    segment = models.CharField(max_length=80, blank=True, default="")
    metric = models.CharField(max_length=40)
    median = models.FloatField()
    customers = models.IntegerField()
    computed_at = models.DateTimeField()

    class Meta:
        db_table = "an_metric_prior"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "segment", "metric"], name="metric_prior_once"
            )
        ]


class UsageSeen(models.Model):
    """First and last time a source identity's user did an event of a name."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    customer_source = models.ForeignKey(
        CustomerSource, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    name = models.TextField()
    user_key = models.TextField(default="")
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()
    n = models.BigIntegerField()

    class Meta:
        db_table = "an_usage_seen"
        constraints = [
            models.UniqueConstraint(
                fields=["customer_source", "name", "user_key"], name="usage_seen_once"
            )
        ]


class UsageSetting(models.Model):
    """Which events make somebody active; `analytics.usage.qualifying`."""

    organization = models.OneToOneField(
        Organization, on_delete=models.CASCADE, primary_key=True
    )
    mode = models.CharField(max_length=8, default="all")
    events = models.JSONField(default=list)

    class Meta:
        db_table = "an_usage_setting"


class AnalysisRun(models.Model):
    """One scheduled analysis of one organisation, with its result.

    kind: daily, weekly or monthly; period_start/end: what it covers (UTC, end
    exclusive). A due time is analysed once.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    kind = models.CharField(max_length=12)
    scheduled_for = models.DateTimeField()
    period_start = models.DateTimeField()
    period_end = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    """Null: open, nobody has begun."""
    finished_at = models.DateTimeField(null=True)
    error = models.TextField(blank=True, default="")
    result = models.JSONField(default=dict)

    class Meta:
        db_table = "an_analysis_run"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "kind", "scheduled_for"],
                name="analysis_run_once",
            )
        ]
        indexes = [
            models.Index(fields=["organization", "-id"], name="analysis_run_org"),
            models.Index(
                fields=["id"],
                name="analysis_run_open",
                condition=models.Q(finished_at__isnull=True),
            ),
        ]


class IdentityKey(models.Model):
    """Evidence an identity carries: (rule, key) pairs of `identity.partition`."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    customer_source = models.ForeignKey(CustomerSource, on_delete=models.CASCADE)
    rule = models.CharField(max_length=16)
    key = models.TextField()

    class Meta:
        db_table = "an_identity_key"
        constraints = [
            models.UniqueConstraint(
                fields=["customer_source", "rule", "key"], name="identity_key_once"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "rule", "key"], name="identity_key")
        ]


class PersonKey(models.Model):
    """`IdentityKey` of contacts."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False
    )
    contact = models.ForeignKey(Contact, on_delete=models.CASCADE)
    rule = models.CharField(max_length=16)
    key = models.TextField()

    class Meta:
        db_table = "an_person_key"
        constraints = [
            models.UniqueConstraint(
                fields=["contact", "rule", "key"], name="person_key_once"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "rule", "key"], name="person_key")
        ]


class Decision(models.Model):
    """What a person said of two identities: the same (must) or not (cannot)."""

    VERDICTS = (("must", "The same"), ("cannot", "Different"))

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    verdict = models.CharField(max_length=8, choices=VERDICTS)
    decided_by = models.CharField(max_length=254)
    decided_at = models.DateTimeField(auto_now_add=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        abstract = True


class IdentityDecision(Decision):
    """A decision about identities of customers."""

    first = models.ForeignKey(
        CustomerSource, on_delete=models.CASCADE, related_name="+"
    )
    second = models.ForeignKey(
        CustomerSource, on_delete=models.CASCADE, related_name="+"
    )

    class Meta:
        db_table = "an_identity_decision"
        indexes = [
            models.Index(fields=["first"], name="identity_decision_a"),
            models.Index(fields=["second"], name="identity_decision_b"),
        ]


class PersonDecision(Decision):
    """A decision about contacts."""

    first = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")
    second = models.ForeignKey(Contact, on_delete=models.CASCADE, related_name="+")

    class Meta:
        db_table = "an_person_decision"


class Review(models.Model):
    """Evidence that was not followed, for a person to decide on."""

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    rule = models.CharField(max_length=16)
    key = models.TextField()
    members = models.JSONField()
    """Ids of the identities the evidence speaks of."""
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    resolved_at = models.DateTimeField(null=True, blank=True)
    resolved_by = models.CharField(max_length=254, blank=True, default="")

    class Meta:
        abstract = True


class IdentityReview(Review):
    """Evidence about identities of customers."""

    class Meta:
        db_table = "an_identity_review"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "rule", "key"],
                name="identity_review_open",
                condition=models.Q(resolved_at__isnull=True),
            )
        ]


class PersonReview(Review):
    """Evidence about contacts."""

    class Meta:
        db_table = "an_person_review"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "rule", "key"],
                name="person_review_open",
                condition=models.Q(resolved_at__isnull=True),
            )
        ]
