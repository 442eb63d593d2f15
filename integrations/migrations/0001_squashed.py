import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.expressions
import integrations.models.connection
import integrations.models.files
import integrations.models.running
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    replaces = [
        ("integrations", "0001_initial"),
        ("integrations", "0002_run_stream_stops"),
    ]

    initial = True

    dependencies = [
        ("churnguard", "0001_squashed"),
    ]

    operations = [
        migrations.CreateModel(
            name="Integration",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.CharField(
                        default=integrations.models.connection._integration_id,
                        max_length=64,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="integrations",
                        to="churnguard.organization",
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                (
                    "integration_type",
                    models.CharField(
                        choices=[
                            ("crm", "CRM"),
                            ("payment", "Payment"),
                            ("database", "Database"),
                            ("email_marketing", "Email marketing"),
                            ("support", "Support"),
                            ("analytics", "Product analytics"),
                            ("file", "Files"),
                            ("custom", "Custom"),
                        ],
                        default="custom",
                        max_length=24,
                    ),
                ),
                ("provider_name", models.CharField(max_length=40)),
                (
                    "source",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.RESTRICT,
                        to="churnguard.source",
                    ),
                ),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("inactive", "Inactive"),
                            ("active", "Active"),
                            ("syncing", "Syncing"),
                            ("paused", "Paused"),
                            ("rate_limited", "Rate limited"),
                            ("error", "Error"),
                            ("authentication_failed", "Reconnect needed"),
                        ],
                        default="inactive",
                        max_length=24,
                    ),
                ),
                ("status_detail", models.TextField(blank=True, default="")),
                ("resumes_at", models.DateTimeField(blank=True, null=True)),
                ("base_url", models.CharField(blank=True, default="", max_length=500)),
                (
                    "api_version",
                    models.CharField(blank=True, default="", max_length=40),
                ),
                (
                    "webhook_url",
                    models.CharField(blank=True, default="", max_length=500),
                ),
                ("settings", models.JSONField(blank=True, default=dict)),
                ("entity_mappings", models.JSONField(blank=True, default=dict)),
                (
                    "tags",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=60),
                        blank=True,
                        default=list,
                        size=None,
                    ),
                ),
                (
                    "sync_mode",
                    models.CharField(
                        choices=[
                            ("full", "Full"),
                            ("incremental", "Incremental"),
                            ("real_time", "Real time"),
                            ("scheduled", "Scheduled"),
                        ],
                        default="incremental",
                        max_length=16,
                    ),
                ),
                ("sync_frequency", models.IntegerField(default=3600)),
                ("batch_size", models.IntegerField(default=1000)),
                ("retry_attempts", models.IntegerField(default=3)),
                ("retry_backoff", models.IntegerField(default=60)),
                ("data_filters", models.JSONField(blank=True, default=dict)),
                ("field_mappings", models.JSONField(blank=True, default=dict)),
                (
                    "incremental_field",
                    models.CharField(blank=True, default="", max_length=120),
                ),
                ("last_sync_timestamp", models.DateTimeField(blank=True, null=True)),
                ("requests_per_minute", models.IntegerField(default=60)),
                ("concurrent_requests", models.IntegerField(default=5)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                (
                    "created_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("discovered_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "int_integration",
                "indexes": [
                    models.Index(
                        fields=["organization", "-id"], name="integration_org_new"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "public_id"), name="integration_id_once"
                    ),
                    models.UniqueConstraint(
                        fields=("source",), name="integration_source_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="MappingVersion",
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
                    "integration",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="mapping_versions",
                        to="integrations.integration",
                    ),
                ),
                ("stream", models.CharField(max_length=120)),
                ("version", models.IntegerField()),
                ("spec", models.JSONField(default=dict)),
                ("note", models.CharField(blank=True, default="", max_length=300)),
                (
                    "created_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "int_mapping_version",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("integration", "stream", "version"),
                        name="mapping_version_once",
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Credential",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "integration",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="credential",
                        to="integrations.integration",
                    ),
                ),
                ("credential_type", models.CharField(default="api_key", max_length=40)),
                ("blob", models.TextField()),
                ("hints", models.JSONField(default=dict)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("spending", models.CharField(blank=True, default="", max_length=64)),
                ("version", models.IntegerField(default=1)),
                ("set_by", models.CharField(blank=True, default="", max_length=254)),
                ("refreshed_at", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "int_credential",
                "indexes": [
                    models.Index(fields=["expires_at"], name="credential_expiry")
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="OAuthState",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "integration",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="oauth_states",
                        to="integrations.integration",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("state_hash", models.CharField(max_length=64, unique=True)),
                ("verifier", models.TextField(blank=True, default="")),
                ("redirect_uri", models.CharField(max_length=500)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("used_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "int_oauth_state",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Upload",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.CharField(
                        default=integrations.models.files._upload_id,
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
                (
                    "integration",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="uploads",
                        to="integrations.integration",
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("size_bytes", models.BigIntegerField()),
                ("sha256", models.CharField(max_length=64)),
                (
                    "created_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "int_upload",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="StreamState",
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
                    "integration",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="streams",
                        to="integrations.integration",
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                ("label", models.CharField(blank=True, default="", max_length=200)),
                ("record_type", models.CharField(max_length=40)),
                ("position", models.IntegerField(default=0)),
                ("is_enabled", models.BooleanField(default=True)),
                ("is_gone", models.BooleanField(default=False)),
                ("cursor", models.JSONField(blank=True, null=True)),
                ("spec", models.JSONField(blank=True, default=dict)),
                (
                    "cursor_field",
                    models.CharField(blank=True, default="", max_length=120),
                ),
                (
                    "incremental_field",
                    models.CharField(blank=True, default="", max_length=120),
                ),
                ("deletes", models.CharField(default="none", max_length=8)),
                ("sync_frequency", models.IntegerField(blank=True, null=True)),
                ("mapping_version", models.IntegerField(blank=True, null=True)),
                ("columns", models.JSONField(blank=True, default=list)),
                ("drift", models.JSONField(blank=True, default=list)),
                ("status", models.CharField(default="never", max_length=16)),
                ("last_success_at", models.DateTimeField(blank=True, null=True)),
                ("checked_deletes_at", models.DateTimeField(blank=True, null=True)),
                ("last_error", models.TextField(blank=True, default="")),
                (
                    "last_error_code",
                    models.CharField(blank=True, default="", max_length=64),
                ),
                ("last_error_at", models.DateTimeField(blank=True, null=True)),
                ("records_stored", models.BigIntegerField(default=0)),
                ("brake", models.JSONField(blank=True, null=True)),
            ],
            options={
                "db_table": "int_stream_state",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("integration", "name"), name="stream_state_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="StreamKey",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "stream_id",
                        "external_id",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "stream",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="integrations.streamstate",
                    ),
                ),
                ("external_id", models.CharField(max_length=255)),
                ("run_id", models.BigIntegerField()),
            ],
            options={
                "db_table": "int_stream_key",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="SyncRun",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "public_id",
                    models.CharField(
                        default=integrations.models.running._sync_id,
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                (
                    "integration",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="runs",
                        to="integrations.integration",
                    ),
                ),
                ("trigger", models.CharField(default="manual", max_length=16)),
                (
                    "requested_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
                ("mode", models.CharField(default="incremental", max_length=16)),
                (
                    "streams",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=120),
                        default=list,
                        size=None,
                    ),
                ),
                ("since", models.DateTimeField(blank=True, null=True)),
                ("until", models.DateTimeField(blank=True, null=True)),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("processing", "Processing"),
                            ("completed", "Completed"),
                            ("incomplete", "Incomplete"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("run_at", models.DateTimeField()),
                ("lease_until", models.DateTimeField(blank=True, null=True)),
                (
                    "lease_owner",
                    models.CharField(blank=True, default="", max_length=120),
                ),
                ("fence", models.BigIntegerField(default=0)),
                ("attempts", models.IntegerField(default=0)),
                ("crashes", models.IntegerField(default=0)),
                ("cancel_requested_at", models.DateTimeField(blank=True, null=True)),
                ("error_code", models.CharField(blank=True, default="", max_length=64)),
                ("error_detail", models.TextField(blank=True, default="")),
                (
                    "schedule",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.schedule",
                    ),
                ),
                ("scheduled_for", models.DateTimeField(blank=True, null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "int_sync_run",
                "indexes": [
                    models.Index(
                        condition=models.Q(("status__in", ["pending", "processing"])),
                        fields=["run_at"],
                        name="sync_run_due",
                    ),
                    models.Index(
                        fields=["integration", "-id"], name="sync_run_integration"
                    ),
                    models.Index(fields=["organization", "-id"], name="sync_run_org"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("schedule", "scheduled_for"), name="sync_run_due_once"
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("status__in", ["pending", "processing"])),
                        fields=("integration",),
                        name="sync_run_one_active",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="RunStream",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "run",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="parts",
                        to="integrations.syncrun",
                    ),
                ),
                (
                    "state",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="integrations.streamstate",
                    ),
                ),
                ("stream", models.CharField(max_length=120)),
                ("position", models.IntegerField(default=0)),
                ("status", models.CharField(default="pending", max_length=16)),
                ("phase", models.CharField(default="read", max_length=8)),
                ("reads_all", models.BooleanField(default=False)),
                ("cursor", models.JSONField(blank=True, null=True)),
                ("attempts", models.IntegerField(default=0)),
                ("stops", models.JSONField(blank=True, default=list)),
                ("pages", models.IntegerField(default=0)),
                ("fetched", models.BigIntegerField(default=0)),
                ("inserted", models.BigIntegerField(default=0)),
                ("updated", models.BigIntegerField(default=0)),
                ("unchanged", models.BigIntegerField(default=0)),
                ("duplicate", models.BigIntegerField(default=0)),
                ("quarantined", models.BigIntegerField(default=0)),
                ("filtered", models.BigIntegerField(default=0)),
                ("deleted", models.BigIntegerField(default=0)),
                ("total", models.BigIntegerField(blank=True, null=True)),
                ("started_at", models.DateTimeField(blank=True, null=True)),
                ("page_at", models.DateTimeField(blank=True, null=True)),
                ("finished_at", models.DateTimeField(blank=True, null=True)),
                ("error_code", models.CharField(blank=True, default="", max_length=64)),
                ("error_detail", models.TextField(blank=True, default="")),
            ],
            options={
                "db_table": "int_run_stream",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run", "stream"), name="run_stream_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "fetched",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            django.db.models.expressions.CombinedExpression(
                                                django.db.models.expressions.CombinedExpression(
                                                    models.F("inserted"),
                                                    "+",
                                                    models.F("updated"),
                                                ),
                                                "+",
                                                models.F("unchanged"),
                                            ),
                                            "+",
                                            models.F("duplicate"),
                                        ),
                                        "+",
                                        models.F("quarantined"),
                                    ),
                                    "+",
                                    models.F("filtered"),
                                ),
                            )
                        ),
                        name="run_stream_adds_up",
                    ),
                ],
                "indexes": [],
            },
        ),
    ]
