"""Rows of churn prediction: what churn means, models, training jobs, predictions."""

from __future__ import annotations

from django.db import models

from churnguard.models import Customer, Organization


class LabelDefinition(models.Model):
    """What "churned" means in one organisation; versions are appended, one is active.

    subscription: the last paid spell ended within the horizon and no other began
    within the grace. inactivity: `inactivity_days` in a row without a qualifying event,
    within the horizon.
    """

    KINDS = (("subscription", "Subscription ended"), ("inactivity", "No activity"))

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    version = models.IntegerField()
    kind = models.CharField(max_length=16, choices=KINDS)
    horizon_days = models.IntegerField(default=90)
    grace_days = models.IntegerField(default=30)
    """Subscription only: a new one within so many days is a late renewal."""
    inactivity_days = models.IntegerField(default=90)
    """Inactivity only: so long a silence is leaving; at most the horizon."""
    qualifying = models.JSONField(default=list)
    """Inactivity only: names of the events that count as use; empty = all."""
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    created_by = models.CharField(max_length=254, default="system")

    class Meta:
        db_table = "an_label_definition"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "version"], name="label_definition_version"
            ),
            models.UniqueConstraint(
                fields=["organization"],
                name="label_definition_active",
                condition=models.Q(is_active=True),
            ),
        ]


class ModelVersion(models.Model):
    """One trained model with the evidence for it.

    state: champion (scores customers), challenger (lost against it), retired.
    """

    STATES = (
        ("champion", "In use"),
        ("challenger", "Not better"),
        ("retired", "Replaced"),
    )

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    label = models.ForeignKey(LabelDefinition, on_delete=models.RESTRICT)
    version = models.IntegerField()
    state = models.CharField(max_length=12, choices=STATES)
    rung = models.CharField(max_length=12)
    """rule (too few outcomes to learn), ridge or blend."""
    description = models.TextField()
    feature_names = models.JSONField()
    reference = models.JSONField()
    """Median per feature (null = never known): what explanations compare with."""
    bins = models.JSONField()
    """Per feature the deciles and shares at training, for drift."""
    level = models.FloatField()
    """Added to the log-odds: the newest matured cohorts' base rate."""
    blob = models.BinaryField()
    hazard = models.BinaryField(null=True)
    rows = models.IntegerField()
    churners = models.IntegerField()
    first_cutoff = models.DateField()
    last_cutoff = models.DateField()
    is_backfilled = models.BooleanField()
    """Some snapshots lie before the facts were stored here: event time was used."""
    metrics = models.JSONField(default=dict)
    """Mean over the out-of-time cutoffs; empty where no back-test was possible."""
    cutoffs = models.JSONField(default=list)
    reliability = models.JSONField(default=list)
    importance = models.JSONField(default=dict)
    leakage = models.TextField(blank=True, default="")
    verdict = models.TextField()
    """Why it was put in use, or not."""
    comparison = models.JSONField(null=True)
    """The numbers of the decision; null where nothing could be compared."""
    score_bins = models.JSONField(null=True)
    """Deciles and shares of the log-odds at training, for drift of the score."""
    tested = models.JSONField(default=list)
    """Per tested cutoff a sample of its forecasts: `training.Tested` as an object."""
    drift = models.JSONField(default=list)
    months_at_stake = models.FloatField(default=12.0)
    """12 times the expected share of a year that the scored customers stay."""
    trained_at = models.DateTimeField()
    scored_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "an_model_version"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "version"], name="model_version_once"
            ),
            models.UniqueConstraint(
                fields=["organization"],
                name="model_champion_once",
                condition=models.Q(state="champion"),
            ),
        ]


class Prediction(models.Model):
    """One customer's probability at one cutoff by one model, with its reasons.

    reasons: list of [feature, group, effect in log-odds, value, usual value]. Of the
    foreign keys the database checks the customer's alone, as in `HealthScore`.
    """

    id = models.BigAutoField(primary_key=True)
    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, db_index=False, db_constraint=False
    )
    customer = models.ForeignKey(Customer, on_delete=models.CASCADE, db_index=False)
    model = models.ForeignKey(
        ModelVersion, on_delete=models.CASCADE, db_constraint=False
    )
    cutoff = models.DateField()
    probability = models.FloatField()
    base_log_odds = models.FloatField()
    groups = models.JSONField()
    """Group name to its exact share of the log-odds; base + shares = log-odds."""
    reasons = models.JSONField()
    expected_months = models.FloatField(null=True)
    feature_hash = models.UUIDField()

    class Meta:
        db_table = "an_prediction"
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "cutoff", "model"], name="prediction_once"
            )
        ]
        indexes = [
            models.Index(fields=["organization", "cutoff"], name="prediction_org")
        ]


class MaturedCohort(models.Model):
    """Predictions of one day whose horizon has passed, against what came of them.

    z, p_value: departures against their expected sum, as independent outcomes.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    model = models.ForeignKey(ModelVersion, on_delete=models.CASCADE)
    cutoff = models.DateField()
    rows = models.IntegerField()
    expected = models.FloatField()
    observed = models.IntegerField()
    z = models.FloatField()
    p_value = models.FloatField()
    auc = models.FloatField(null=True)
    """Null where all left or all stayed."""
    log_loss = models.FloatField()
    brier = models.FloatField()
    checked_at = models.DateTimeField()

    class Meta:
        db_table = "an_matured_cohort"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "cutoff", "model"], name="matured_cohort_once"
            )
        ]


class SampleTruth(models.Model):
    """What the generator of the sample company knows of one account.

    Only sample organisations have rows. Read by `predict.truth` alone, never by
    features, labels, training or scoring.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    account = models.CharField(max_length=40)
    ids = models.JSONField()
    """Source name -> id of the account there."""
    cause = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    """Begin of the first week of `hazard`."""
    hazard = models.JSONField()
    """Chance to decide to leave, per week."""
    decided_at = models.DateTimeField(null=True)
    churned_at = models.DateTimeField(null=True)
    returned_at = models.DateTimeField(null=True)

    class Meta:
        db_table = "an_sample_truth"
        constraints = [
            models.UniqueConstraint(
                fields=["organization", "account"], name="sample_truth_once"
            )
        ]


class TrainingJob(models.Model):
    """A claimed unit of work: train and then score one organisation."""

    STATES = (
        ("queued", "Queued"),
        ("running", "Running"),
        ("succeeded", "Succeeded"),
        ("not_enough", "Not enough outcomes"),
        ("failed", "Failed"),
    )
    OPEN = ("queued", "running")

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    state = models.CharField(max_length=12, choices=STATES, default="queued")
    reason = models.CharField(max_length=20)
    """first, monthly, requested, definition (of churn changed) or drift."""
    requested_by = models.CharField(max_length=254, default="system")
    requested_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    attempts = models.IntegerField(default=0)
    message = models.TextField(blank=True, default="")
    model = models.ForeignKey(ModelVersion, on_delete=models.SET_NULL, null=True)

    class Meta:
        db_table = "an_training_job"
        constraints = [
            models.UniqueConstraint(
                fields=["organization"],
                name="training_job_open",
                condition=models.Q(state__in=("queued", "running")),
            )
        ]
        indexes = [models.Index(fields=["state", "id"], name="training_job_state")]
