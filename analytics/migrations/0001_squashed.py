import analytics.definitions.models
import analytics.segments.models
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.db import migrations, models

WINDOW_FUNCTIONS = r"""
CREATE FUNCTION cg_window_add(base date, days int[], add_days date[], add_n int[])
RETURNS int[] LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    newest date;
    shift int;
    i int;
    at int;
BEGIN
    SELECT max(d) INTO newest FROM unnest(add_days) d;
    shift := newest - 127 - base;
    IF shift >= 128 THEN
        days := array_fill(0, ARRAY[128]);
        base := newest - 127;
    ELSIF shift > 0 THEN
        days := days[shift + 1:128] || array_fill(0, ARRAY[shift]);
        base := newest - 127;
    END IF;
    FOR i IN 1 .. array_length(add_days, 1) LOOP
        at := add_days[i] - base + 1;
        IF at BETWEEN 1 AND 128 THEN
            days[at] := days[at] + add_n[i];
        END IF;
    END LOOP;
    RETURN days;
END $$;
"""
NO_WINDOW_FUNCTIONS = r"""
DROP FUNCTION cg_window_add(date, int[], date[], int[]);
"""

DEFINITION_EDITOR = r"""
CREATE FUNCTION an_definition_frozen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.segment, NEW.version, NEW.spec, NEW.note, NEW.created_by, NEW.created_at)
        IS DISTINCT FROM
        (OLD.segment, OLD.version, OLD.spec, OLD.note, OLD.created_by, OLD.created_at)
    THEN
        RAISE EXCEPTION 'A version of a health definition is never changed.'
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER an_score_definition_frozen BEFORE UPDATE ON an_score_definition
    FOR EACH ROW EXECUTE FUNCTION an_definition_frozen();
"""
NO_DEFINITION_EDITOR = r"""
DROP TRIGGER an_score_definition_frozen ON an_score_definition;
DROP FUNCTION an_definition_frozen();
"""

SEEN_WITHOUT_CHECKS = r"""
ALTER TABLE an_usage_seen SET (fillfactor = 70)
"""
NO_SEEN_WITHOUT_CHECKS = r"""
ALTER TABLE an_usage_seen RESET (fillfactor)
"""


class Migration(migrations.Migration):
    replaces = [
        ("analytics", "0001_initial"),
        ("analytics", "0002_window_functions"),
        ("analytics", "0003_analysis_run"),
        ("analytics", "0004_identity"),
        ("analytics", "0005_churn_prediction"),
        ("analytics", "0006_people"),
        ("analytics", "0007_definition_editor"),
        ("analytics", "0008_segments"),
        ("analytics", "0009_churn_evidence"),
        ("analytics", "0010_seen_without_checks"),
        ("analytics", "0011_analysis_claims"),
    ]

    initial = True

    dependencies = [
        ("churnguard", "0001_squashed"),
    ]

    operations = [
        migrations.CreateModel(
            name="DefinitionDraft",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("segment", models.CharField(blank=True, default="", max_length=80)),
                ("spec", models.JSONField()),
                ("origin", models.CharField(default="edited", max_length=40)),
                ("updated_by", models.CharField(max_length=254)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "an_definition_draft",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "segment"), name="definition_draft_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="DefinitionCheck",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "public_id",
                    models.CharField(
                        default=analytics.definitions.models._check_id,
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("segment", models.CharField(blank=True, default="", max_length=80)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("preview", "Preview"),
                            ("backtest", "Back-test"),
                            ("suggestion", "Suggested weights"),
                        ],
                        max_length=12,
                    ),
                ),
                ("spec", models.JSONField(null=True)),
                ("digest", models.BigIntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("refused", "Not possible"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=12,
                    ),
                ),
                ("requested_by", models.CharField(max_length=254)),
                ("requested_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("message", models.TextField(blank=True, default="")),
                ("result", models.JSONField(null=True)),
            ],
            options={
                "db_table": "an_definition_check",
                "indexes": [
                    models.Index(fields=["state", "id"], name="definition_check_state"),
                    models.Index(
                        fields=["organization", "kind", "-id"],
                        name="definition_check_org",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("queued", "running"))),
                        fields=("organization", "segment", "kind", "digest"),
                        name="definition_check_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="LabelDefinition",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("version", models.IntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("subscription", "Subscription ended"),
                            ("inactivity", "No activity"),
                        ],
                        max_length=16,
                    ),
                ),
                ("horizon_days", models.IntegerField(default=90)),
                ("grace_days", models.IntegerField(default=30)),
                ("inactivity_days", models.IntegerField(default=90)),
                ("qualifying", models.JSONField(default=list)),
                ("is_active", models.BooleanField(default=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("created_by", models.CharField(default="system", max_length=254)),
            ],
            options={
                "db_table": "an_label_definition",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "version"),
                        name="label_definition_version",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)),
                        fields=("organization",),
                        name="label_definition_active",
                    ),
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="ModelVersion",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "label",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="analytics.labeldefinition",
                    ),
                ),
                ("version", models.IntegerField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("champion", "In use"),
                            ("challenger", "Not better"),
                            ("retired", "Replaced"),
                        ],
                        max_length=12,
                    ),
                ),
                ("rung", models.CharField(max_length=12)),
                ("description", models.TextField()),
                ("feature_names", models.JSONField()),
                ("reference", models.JSONField()),
                ("bins", models.JSONField()),
                ("level", models.FloatField()),
                ("blob", models.BinaryField()),
                ("hazard", models.BinaryField(null=True)),
                ("rows", models.IntegerField()),
                ("churners", models.IntegerField()),
                ("first_cutoff", models.DateField()),
                ("last_cutoff", models.DateField()),
                ("is_backfilled", models.BooleanField()),
                ("metrics", models.JSONField(default=dict)),
                ("cutoffs", models.JSONField(default=list)),
                ("reliability", models.JSONField(default=list)),
                ("importance", models.JSONField(default=dict)),
                ("leakage", models.TextField(blank=True, default="")),
                ("verdict", models.TextField()),
                ("comparison", models.JSONField(null=True)),
                ("score_bins", models.JSONField(null=True)),
                ("tested", models.JSONField(default=list)),
                ("drift", models.JSONField(default=list)),
                ("months_at_stake", models.FloatField(default=12.0)),
                ("trained_at", models.DateTimeField()),
                ("scored_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "an_model_version",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "version"), name="model_version_once"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("state", "champion")),
                        fields=("organization",),
                        name="model_champion_once",
                    ),
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Prediction",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.customer",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="analytics.modelversion",
                    ),
                ),
                ("cutoff", models.DateField()),
                ("probability", models.FloatField()),
                ("base_log_odds", models.FloatField()),
                ("groups", models.JSONField()),
                ("reasons", models.JSONField()),
                ("expected_months", models.FloatField(null=True)),
                ("feature_hash", models.UUIDField()),
            ],
            options={
                "db_table": "an_prediction",
                "indexes": [
                    models.Index(
                        fields=["organization", "cutoff"], name="prediction_org"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer", "cutoff", "model"), name="prediction_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="MaturedCohort",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="analytics.modelversion",
                    ),
                ),
                ("cutoff", models.DateField()),
                ("rows", models.IntegerField()),
                ("expected", models.FloatField()),
                ("observed", models.IntegerField()),
                ("z", models.FloatField()),
                ("p_value", models.FloatField()),
                ("auc", models.FloatField(null=True)),
                ("log_loss", models.FloatField()),
                ("brier", models.FloatField()),
                ("checked_at", models.DateTimeField()),
            ],
            options={
                "db_table": "an_matured_cohort",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "cutoff", "model"),
                        name="matured_cohort_once",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="SampleTruth",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("account", models.CharField(max_length=40)),
                ("ids", models.JSONField()),
                ("cause", models.CharField(max_length=40)),
                ("starts_at", models.DateTimeField()),
                ("hazard", models.JSONField()),
                ("decided_at", models.DateTimeField(null=True)),
                ("churned_at", models.DateTimeField(null=True)),
                ("returned_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "an_sample_truth",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "account"), name="sample_truth_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="TrainingJob",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("succeeded", "Succeeded"),
                            ("not_enough", "Not enough outcomes"),
                            ("failed", "Failed"),
                        ],
                        default="queued",
                        max_length=12,
                    ),
                ),
                ("reason", models.CharField(max_length=20)),
                ("requested_by", models.CharField(default="system", max_length=254)),
                ("requested_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("message", models.TextField(blank=True, default="")),
                (
                    "model",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="analytics.modelversion",
                    ),
                ),
            ],
            options={
                "db_table": "an_training_job",
                "indexes": [
                    models.Index(fields=["state", "id"], name="training_job_state")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("state__in", ("queued", "running"))),
                        fields=("organization",),
                        name="training_job_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Segment",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "public_id",
                    models.CharField(
                        default=analytics.segments.models._segment_id,
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                ("slug", models.CharField(max_length=140)),
                ("description", models.TextField(blank=True, default="")),
                ("definition", models.JSONField()),
                ("version", models.IntegerField(default=1)),
                ("created_by", models.CharField(max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("archived_at", models.DateTimeField(blank=True, null=True)),
                ("due_at", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "db_table": "an_segment",
                "indexes": [
                    models.Index(
                        condition=models.Q(("archived_at__isnull", True)),
                        fields=["due_at"],
                        name="segment_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        models.F("organization"),
                        django.db.models.functions.text.Lower("name"),
                        condition=models.Q(("archived_at__isnull", True)),
                        name="segment_name_once",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("archived_at__isnull", True)),
                        fields=("organization", "slug"),
                        name="segment_slug_once",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="SegmentDay",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "segment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="days",
                        to="analytics.segment",
                    ),
                ),
                ("day", models.DateField()),
                ("version", models.IntegerField()),
                ("counted_at", models.DateTimeField()),
                ("members", models.IntegerField()),
                ("average_score", models.FloatField(null=True)),
                ("at_risk", models.IntegerField()),
                ("mrr_minor", models.BigIntegerField()),
                ("mrr_by_currency", models.JSONField(default=dict)),
                ("entered", models.IntegerField(null=True)),
                ("left", models.IntegerField(null=True)),
            ],
            options={
                "db_table": "an_segment_day",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("segment", "day"), name="segment_day_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="SegmentSpell",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "segment",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="analytics.segment",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.customer",
                    ),
                ),
                ("entered_on", models.DateField()),
                ("left_on", models.DateField(null=True)),
            ],
            options={
                "db_table": "an_segment_spell",
                "indexes": [
                    models.Index(
                        fields=["segment", "entered_on"], name="segment_entered"
                    ),
                    models.Index(
                        condition=models.Q(("left_on__isnull", False)),
                        fields=["segment", "left_on"],
                        name="segment_left",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("left_on__isnull", True)),
                        fields=("segment", "customer"),
                        name="segment_spell_open",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="ScoreDefinition",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("segment", models.CharField(blank=True, default="", max_length=80)),
                ("version", models.IntegerField()),
                ("spec", models.JSONField()),
                ("is_active", models.BooleanField(default=False)),
                ("created_by", models.CharField(default="system", max_length=254)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("note", models.CharField(blank=True, default="", max_length=500)),
                (
                    "active_from",
                    models.DateTimeField(default=django.utils.timezone.now),
                ),
                ("active_until", models.DateTimeField(null=True)),
                (
                    "marked_at",
                    models.DateTimeField(default=django.utils.timezone.now, null=True),
                ),
                (
                    "announced_at",
                    models.DateTimeField(default=django.utils.timezone.now, null=True),
                ),
            ],
            options={
                "db_table": "an_score_definition",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "segment", "version"),
                        name="score_definition_version",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("is_active", True)),
                        fields=("organization", "segment"),
                        name="score_definition_active",
                    ),
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="HealthScore",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="scores",
                        to="churnguard.customer",
                    ),
                ),
                (
                    "definition",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT,
                        to="analytics.scoredefinition",
                    ),
                ),
                ("at", models.DateTimeField()),
                ("score", models.SmallIntegerField()),
                ("score_exact", models.FloatField()),
                ("band", models.CharField(max_length=16)),
                ("coverage_pct", models.SmallIntegerField()),
                ("parts", models.JSONField()),
                ("parts_hash", models.BigIntegerField()),
            ],
            options={
                "db_table": "an_health_score",
                "indexes": [
                    models.Index(
                        fields=["customer", "-at"], name="health_score_customer"
                    ),
                    models.Index(
                        fields=["organization", "-at"], name="health_score_org"
                    ),
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="MetricPrior",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("segment", models.CharField(blank=True, default="", max_length=80)),
                ("metric", models.CharField(max_length=40)),
                ("median", models.FloatField()),
                ("customers", models.IntegerField()),
                ("computed_at", models.DateTimeField()),
            ],
            options={
                "db_table": "an_metric_prior",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "segment", "metric"),
                        name="metric_prior_once",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="UsageSeen",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.customersource",
                    ),
                ),
                ("name", models.TextField()),
                ("user_key", models.TextField(default="")),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
                ("n", models.BigIntegerField()),
            ],
            options={
                "db_table": "an_usage_seen",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer_source", "name", "user_key"),
                        name="usage_seen_once",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="AnalysisRun",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("kind", models.CharField(max_length=12)),
                ("scheduled_for", models.DateTimeField()),
                ("period_start", models.DateTimeField()),
                ("period_end", models.DateTimeField()),
                ("started_at", models.DateTimeField(null=True)),
                ("finished_at", models.DateTimeField(null=True)),
                ("error", models.TextField(blank=True, default="")),
                ("result", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "an_analysis_run",
                "indexes": [
                    models.Index(
                        fields=["organization", "-id"], name="analysis_run_org"
                    ),
                    models.Index(
                        condition=models.Q(("finished_at__isnull", True)),
                        fields=["id"],
                        name="analysis_run_open",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "kind", "scheduled_for"),
                        name="analysis_run_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IdentityKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "customer_source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.customersource",
                    ),
                ),
                ("rule", models.CharField(max_length=16)),
                ("key", models.TextField()),
            ],
            options={
                "db_table": "an_identity_key",
                "indexes": [
                    models.Index(
                        fields=["organization", "rule", "key"], name="identity_key"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer_source", "rule", "key"),
                        name="identity_key_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "contact",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.contact",
                    ),
                ),
                ("rule", models.CharField(max_length=16)),
                ("key", models.TextField()),
            ],
            options={
                "db_table": "an_person_key",
                "indexes": [
                    models.Index(
                        fields=["organization", "rule", "key"], name="person_key"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("contact", "rule", "key"), name="person_key_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IdentityDecision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[("must", "The same"), ("cannot", "Different")],
                        max_length=8,
                    ),
                ),
                ("decided_by", models.CharField(max_length=254)),
                ("decided_at", models.DateTimeField(auto_now_add=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="churnguard.customersource",
                    ),
                ),
                (
                    "second",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="churnguard.customersource",
                    ),
                ),
            ],
            options={
                "db_table": "an_identity_decision",
                "indexes": [
                    models.Index(fields=["first"], name="identity_decision_a"),
                    models.Index(fields=["second"], name="identity_decision_b"),
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="PersonDecision",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True,
                        primary_key=True,
                        serialize=False,
                        verbose_name="ID",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "verdict",
                    models.CharField(
                        choices=[("must", "The same"), ("cannot", "Different")],
                        max_length=8,
                    ),
                ),
                ("decided_by", models.CharField(max_length=254)),
                ("decided_at", models.DateTimeField(auto_now_add=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
                (
                    "first",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="churnguard.contact",
                    ),
                ),
                (
                    "second",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="churnguard.contact",
                    ),
                ),
            ],
            options={
                "db_table": "an_person_decision",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="IdentityReview",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("rule", models.CharField(max_length=16)),
                ("key", models.TextField()),
                ("members", models.JSONField()),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "resolved_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
            ],
            options={
                "db_table": "an_identity_review",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("organization", "rule", "key"),
                        name="identity_review_open",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="PersonReview",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("rule", models.CharField(max_length=16)),
                ("key", models.TextField()),
                ("members", models.JSONField()),
                ("reason", models.TextField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
                (
                    "resolved_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
            ],
            options={
                "db_table": "an_person_review",
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("organization", "rule", "key"),
                        name="person_review_open",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.RunSQL(WINDOW_FUNCTIONS, NO_WINDOW_FUNCTIONS),
        migrations.RunSQL(DEFINITION_EDITOR, NO_DEFINITION_EDITOR),
        migrations.RunSQL(SEEN_WITHOUT_CHECKS, NO_SEEN_WITHOUT_CHECKS),
    ]
