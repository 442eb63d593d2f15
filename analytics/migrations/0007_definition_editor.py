import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import F

import analytics.definitions.models

FREEZE = """
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
THAW = """
DROP TRIGGER an_score_definition_frozen ON an_score_definition;
DROP FUNCTION an_definition_frozen();
"""


def begin_when_made(apps, schema_editor):
    apps.get_model("analytics", "ScoreDefinition").objects.update(
        active_from=F("created_at")
    )


class Migration(migrations.Migration):
    dependencies = [
        ("analytics", "0006_people"),
    ]

    operations = [
        migrations.AddField(
            "scoredefinition",
            "note",
            models.CharField(blank=True, default="", max_length=500),
        ),
        migrations.AddField(
            "scoredefinition",
            "active_from",
            models.DateTimeField(default=django.utils.timezone.now),
        ),
        migrations.AddField(
            "scoredefinition", "active_until", models.DateTimeField(null=True)
        ),
        migrations.AddField(
            "scoredefinition",
            "marked_at",
            models.DateTimeField(default=django.utils.timezone.now, null=True),
        ),
        migrations.AddField(
            "scoredefinition",
            "announced_at",
            models.DateTimeField(default=django.utils.timezone.now, null=True),
        ),
        migrations.RunPython(begin_when_made, migrations.RunPython.noop),
        migrations.RunSQL(FREEZE, THAW),
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
                    "segment",
                    models.CharField(blank=True, default="", max_length=80),
                ),
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
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
            ],
            options={
                "db_table": "an_definition_check",
                "indexes": [
                    models.Index(
                        fields=["state", "id"], name="definition_check_state"
                    ),
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
                    "segment",
                    models.CharField(blank=True, default="", max_length=80),
                ),
                ("spec", models.JSONField()),
                ("origin", models.CharField(default="edited", max_length=40)),
                ("updated_by", models.CharField(max_length=254)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
            ],
            options={
                "db_table": "an_definition_draft",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "segment"),
                        name="definition_draft_once",
                    )
                ],
            },
        ),
    ]
