import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("monitoring", "0001_data_quality"),
        ("monitoring", "0002_quality_sample"),
    ]

    initial = True

    dependencies = [
        ("churnguard", "0001_squashed"),
        ("integrations", "0001_squashed"),
    ]

    operations = [
        migrations.CreateModel(
            name="QualityDay",
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
                    "source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.source",
                    ),
                ),
                ("entity", models.CharField(blank=True, default="", max_length=40)),
                ("day", models.DateField()),
                ("score", models.FloatField(null=True)),
                ("is_capped", models.BooleanField(default=False)),
                ("coverage_pct", models.FloatField()),
                ("dimensions", models.JSONField(default=dict)),
                ("checks", models.JSONField(default=list)),
                ("rows", models.BigIntegerField(default=0)),
                ("measured_at", models.DateTimeField()),
            ],
            options={
                "db_table": "mon_quality_day",
                "indexes": [
                    models.Index(fields=["organization", "day"], name="quality_day_org")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "entity", "day"), name="quality_day_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="QualitySetting",
            fields=[
                (
                    "organization",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="churnguard.organization",
                    ),
                ),
                ("least_score", models.PositiveSmallIntegerField(default=70)),
                ("most_fall", models.PositiveSmallIntegerField(default=10)),
                ("weights", models.JSONField(default=dict)),
                ("asked_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "mon_quality_setting",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="QualitySample",
            fields=[
                (
                    "integration",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="integrations.integration",
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
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.source",
                    ),
                ),
                ("claimed_at", models.DateTimeField()),
                ("measured_at", models.DateTimeField(null=True)),
                ("kinds", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "mon_quality_sample",
                "indexes": [],
                "constraints": [],
            },
        ),
    ]
