import churnguard.models.customers
import churnguard.models.tenancy
import django.contrib.postgres.fields
import django.contrib.postgres.operations
import django.db.models.deletion
import django.db.models.expressions
import django.utils.timezone
from django.conf import settings
from django.db import migrations, models

USAGE_EVENT = r"""
CREATE TABLE cg_usage_event (
    event_key uuid NOT NULL,
    organization_id bigint NOT NULL,
    source_id bigint NOT NULL,
    customer_source_id bigint,
    batch_id bigint NOT NULL,
    name text NOT NULL,
    event_id text NOT NULL,
    user_key text NOT NULL DEFAULT '',
    ts timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    value double precision,
    properties jsonb NOT NULL DEFAULT '{}'
) PARTITION BY RANGE (ts);
CREATE INDEX cg_usage_event_ref_ts ON cg_usage_event (customer_source_id, ts);
CREATE INDEX cg_usage_event_batch ON cg_usage_event
    USING brin (batch_id) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX cg_usage_event_ts ON cg_usage_event
    USING brin (ts) WITH (pages_per_range = 32, autosummarize = on);
CREATE TABLE cg_event_key (
    key uuid PRIMARY KEY,
    content bigint NOT NULL
);
"""
NO_USAGE_EVENT = r"""
DROP TABLE cg_event_key;
DROP TABLE cg_usage_event;
"""

IDENTITY_STALE = r"""
CREATE FUNCTION cg_identity_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.domain, NEW.email, NEW.links)
            IS DISTINCT FROM (OLD.domain, OLD.email, OLD.links) THEN
        NEW.identity_stale_at := coalesce(NEW.identity_stale_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cg_identity_stale BEFORE INSERT OR UPDATE OF domain, email, links
    ON cg_customer_source FOR EACH ROW EXECUTE FUNCTION cg_identity_stale();
"""
NO_IDENTITY_STALE = r"""
DROP TRIGGER cg_identity_stale ON cg_customer_source;
DROP FUNCTION cg_identity_stale();
"""

PEOPLE = r"""
CREATE FUNCTION cg_contact_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.email, NEW.user_id, NEW.links)
            IS DISTINCT FROM (OLD.email, OLD.user_id, OLD.links) THEN
        NEW.identity_stale_at := coalesce(NEW.identity_stale_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER cg_contact_stale BEFORE INSERT OR UPDATE OF email, user_id, links
    ON cg_contact FOR EACH ROW EXECUTE FUNCTION cg_contact_stale();
"""
NO_PEOPLE = r"""
DROP TRIGGER cg_contact_stale ON cg_contact;
DROP FUNCTION cg_contact_stale();
"""

ROLLUPS_WITHOUT_CHECKS = r"""
ALTER TABLE cg_usage_window SET (fillfactor = 50);
ALTER TABLE cg_customer SET (fillfactor = 80)
"""
NO_ROLLUPS_WITHOUT_CHECKS = r"""
ALTER TABLE cg_usage_window RESET (fillfactor);
ALTER TABLE cg_customer RESET (fillfactor)
"""


class Migration(migrations.Migration):
    replaces = [
        ("churnguard", "0001_initial"),
        ("churnguard", "0002_usage_event"),
        ("churnguard", "0003_run_key"),
        ("churnguard", "0004_identity_stale"),
        ("churnguard", "0005_fewer_customer_indexes"),
        ("churnguard", "0006_fewer_indexes"),
        ("churnguard", "0007_exchange_rate"),
        ("churnguard", "0008_people"),
        ("churnguard", "0009_rollups_without_checks"),
    ]

    initial = True

    dependencies = [
        ("auth", "0012_alter_user_first_name_max_length"),
    ]

    operations = [
        django.contrib.postgres.operations.TrigramExtension(),
        migrations.CreateModel(
            name="User",
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
                ("password", models.CharField(max_length=128, verbose_name="password")),
                (
                    "last_login",
                    models.DateTimeField(
                        blank=True, null=True, verbose_name="last login"
                    ),
                ),
                (
                    "is_superuser",
                    models.BooleanField(
                        default=False,
                        help_text="Designates that this user has all permissions without explicitly assigning them.",
                        verbose_name="superuser status",
                    ),
                ),
                (
                    "first_name",
                    models.CharField(
                        blank=True, max_length=150, verbose_name="first name"
                    ),
                ),
                (
                    "last_name",
                    models.CharField(
                        blank=True, max_length=150, verbose_name="last name"
                    ),
                ),
                (
                    "is_staff",
                    models.BooleanField(
                        default=False,
                        help_text="Designates whether the user can log into this admin site.",
                        verbose_name="staff status",
                    ),
                ),
                (
                    "is_active",
                    models.BooleanField(
                        default=True,
                        help_text="Designates whether this user should be treated as active. Unselect this instead of deleting accounts.",
                        verbose_name="active",
                    ),
                ),
                (
                    "date_joined",
                    models.DateTimeField(
                        default=django.utils.timezone.now, verbose_name="date joined"
                    ),
                ),
                ("email", models.EmailField(max_length=254, unique=True)),
                (
                    "groups",
                    models.ManyToManyField(
                        blank=True,
                        help_text="The groups this user belongs to. A user will get all permissions granted to each of their groups.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.group",
                        verbose_name="groups",
                    ),
                ),
                (
                    "user_permissions",
                    models.ManyToManyField(
                        blank=True,
                        help_text="Specific permissions for this user.",
                        related_name="user_set",
                        related_query_name="user",
                        to="auth.permission",
                        verbose_name="user permissions",
                    ),
                ),
            ],
            options={
                "db_table": "cg_user",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Organization",
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
                        default=churnguard.models.tenancy._org_id,
                        max_length=64,
                        unique=True,
                    ),
                ),
                ("name", models.CharField(max_length=200)),
                ("timezone", models.CharField(default="UTC", max_length=64)),
                ("base_currency", models.CharField(default="USD", max_length=3)),
                ("settings", models.JSONField(blank=True, default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "cg_organization",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Membership",
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
                        related_name="memberships",
                        to="churnguard.organization",
                    ),
                ),
                (
                    "user",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="memberships",
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("owner", "Owner"),
                            ("admin", "Admin"),
                            ("analyst", "Analyst"),
                            ("viewer", "Viewer"),
                        ],
                        default="viewer",
                        max_length=16,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "cg_membership",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "user"), name="membership_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Invitation",
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
                        related_name="invitations",
                        to="churnguard.organization",
                    ),
                ),
                ("email", models.EmailField(max_length=254)),
                (
                    "role",
                    models.CharField(
                        choices=[
                            ("owner", "Owner"),
                            ("admin", "Admin"),
                            ("analyst", "Analyst"),
                            ("viewer", "Viewer"),
                        ],
                        default="viewer",
                        max_length=16,
                    ),
                ),
                ("token_hash", models.CharField(max_length=64, unique=True)),
                (
                    "invited_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField()),
                ("accepted_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "cg_invitation",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="ApiKey",
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
                        default=churnguard.models.tenancy._key_id,
                        max_length=64,
                        unique=True,
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="api_keys",
                        to="churnguard.organization",
                    ),
                ),
                ("name", models.CharField(max_length=120)),
                ("prefix", models.CharField(max_length=16)),
                ("key_hash", models.CharField(max_length=64, unique=True)),
                (
                    "scopes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=16),
                        default=list,
                        size=None,
                    ),
                ),
                (
                    "created_by",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("expires_at", models.DateTimeField(blank=True, null=True)),
                ("last_used_at", models.DateTimeField(blank=True, null=True)),
                ("revoked_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "cg_api_key",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
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
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="audit",
                        to="churnguard.organization",
                    ),
                ),
                ("at", models.DateTimeField(auto_now_add=True)),
                ("actor", models.CharField(max_length=254)),
                ("action", models.CharField(max_length=64)),
                ("target_type", models.CharField(max_length=40)),
                ("target_id", models.CharField(max_length=128)),
                ("before", models.JSONField(null=True)),
                ("after", models.JSONField(null=True)),
                ("request_id", models.CharField(blank=True, max_length=64)),
            ],
            options={
                "db_table": "cg_audit_entry",
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="audit_org_new")
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Source",
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
                ("name", models.CharField(max_length=100)),
                ("kind", models.CharField(default="ingest", max_length=40)),
                ("first_seen_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "cg_source",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "name"), name="source_name_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Customer",
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
                        default=churnguard.models.customers._customer_id,
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
                ("name", models.CharField(blank=True, max_length=300)),
                ("domain", models.CharField(blank=True, max_length=253)),
                ("email", models.CharField(blank=True, max_length=320)),
                ("country", models.CharField(blank=True, max_length=80)),
                ("industry", models.CharField(blank=True, max_length=120)),
                ("segment", models.CharField(blank=True, max_length=80)),
                ("plan", models.CharField(blank=True, max_length=120)),
                ("owner", models.CharField(blank=True, max_length=200)),
                ("lifecycle_stage", models.CharField(blank=True, max_length=80)),
                ("seats", models.IntegerField(blank=True, null=True)),
                ("signup_at", models.DateTimeField(blank=True, null=True)),
                ("churned_at", models.DateTimeField(blank=True, null=True)),
                ("mrr_minor", models.BigIntegerField(blank=True, null=True)),
                ("custom", models.JSONField(blank=True, default=dict)),
                (
                    "merged_into",
                    models.ForeignKey(
                        blank=True,
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customer",
                    ),
                ),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("score", models.SmallIntegerField(blank=True, null=True)),
                ("band", models.CharField(default="unknown", max_length=16)),
                ("trend", models.SmallIntegerField(blank=True, null=True)),
                ("coverage_pct", models.SmallIntegerField(blank=True, null=True)),
                ("scored_at", models.DateTimeField(blank=True, null=True)),
                ("score_stale_at", models.DateTimeField(blank=True, null=True)),
                ("churn_probability", models.FloatField(blank=True, null=True)),
                ("risk_minor", models.BigIntegerField(blank=True, null=True)),
                ("last_activity_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "cg_customer",
                "indexes": [
                    models.Index(
                        fields=["organization", "name", "id"], name="customer_name"
                    ),
                    models.Index(
                        fields=["organization", "score", "id"], name="customer_score"
                    ),
                    models.Index(
                        fields=["organization", "churn_probability", "id"],
                        name="customer_churn",
                    ),
                    models.Index(
                        condition=models.Q(("score_stale_at__isnull", False)),
                        fields=["score_stale_at"],
                        name="customer_stale",
                    ),
                    models.Index(
                        condition=models.Q(("merged_into__isnull", False)),
                        fields=["merged_into"],
                        name="customer_merged",
                    ),
                    models.Index(
                        fields=["organization", "domain"], name="customer_domain"
                    ),
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="CustomerSource",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="sources",
                        to="churnguard.customer",
                    ),
                ),
                ("is_stub", models.BooleanField(default=True)),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("name", models.TextField(null=True)),
                ("domain", models.TextField(null=True)),
                ("email", models.TextField(null=True)),
                ("phone", models.TextField(null=True)),
                ("country", models.TextField(null=True)),
                ("industry", models.TextField(null=True)),
                ("segment", models.TextField(null=True)),
                ("plan", models.TextField(null=True)),
                ("seats", models.BigIntegerField(null=True)),
                ("employees", models.BigIntegerField(null=True)),
                ("owner", models.TextField(null=True)),
                ("lifecycle_stage", models.TextField(null=True)),
                ("status", models.TextField(null=True)),
                ("signup_at", models.DateTimeField(null=True)),
                ("churned_at", models.DateTimeField(null=True)),
                ("parent_external_id", models.TextField(null=True)),
                ("links", models.JSONField(default=dict)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("identity_stale_at", models.DateTimeField(null=True)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "cg_customer_source",
                "indexes": [
                    models.Index(
                        fields=["organization", "external_id"],
                        name="customer_source_ext",
                    ),
                    models.Index(
                        fields=["organization", "domain"], name="cust_source_domain"
                    ),
                    models.Index(
                        fields=["organization", "email"], name="cust_source_email"
                    ),
                    models.Index(
                        condition=models.Q(("identity_stale_at__isnull", False)),
                        fields=["identity_stale_at"],
                        name="cust_source_stale",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="customer_source_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="IdentityLink",
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
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="identity_links",
                        to="churnguard.customersource",
                    ),
                ),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.customer",
                    ),
                ),
                ("rule", models.CharField(max_length=40)),
                ("evidence", models.JSONField(default=dict)),
                ("created_by", models.CharField(default="system", max_length=254)),
                ("valid_from", models.DateTimeField()),
                ("valid_to", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_identity_link",
                "indexes": [
                    models.Index(
                        fields=["customer_source", "-id"], name="identity_link_ref"
                    )
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Person",
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
                        default=churnguard.models.customers._person_id,
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
                    "merged_into",
                    models.ForeignKey(
                        blank=True,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.person",
                    ),
                ),
                ("created_at", models.DateTimeField()),
            ],
            options={
                "db_table": "cg_person",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Contact",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "person",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        related_name="contacts",
                        to="churnguard.person",
                    ),
                ),
                ("identity_stale_at", models.DateTimeField(null=True)),
                ("email", models.TextField(null=True)),
                ("name", models.TextField(null=True)),
                ("phone", models.TextField(null=True)),
                ("title", models.TextField(null=True)),
                ("role", models.TextField(null=True)),
                ("lifecycle_stage", models.TextField(null=True)),
                ("is_champion", models.BooleanField(null=True)),
                ("opted_out", models.BooleanField(null=True)),
                ("last_contacted_at", models.DateTimeField(null=True)),
                ("joined_at", models.DateTimeField(null=True)),
                ("user_id", models.TextField(null=True)),
                ("links", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "cg_contact",
                "abstract": False,
                "indexes": [
                    models.Index(fields=["customer_source"], name="contact_customer"),
                    models.Index(fields=["organization", "-id"], name="contact_org"),
                    models.Index(
                        condition=models.Q(("identity_stale_at__isnull", False)),
                        fields=["identity_stale_at"],
                        name="contact_stale",
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="contact_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="PersonLink",
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
                    "contact",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="identity_links",
                        to="churnguard.contact",
                    ),
                ),
                (
                    "person",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.person",
                    ),
                ),
                ("rule", models.CharField(max_length=40)),
                ("evidence", models.JSONField(default=dict)),
                ("created_by", models.CharField(default="system", max_length=254)),
                ("valid_from", models.DateTimeField()),
                ("valid_to", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_person_link",
                "indexes": [
                    models.Index(fields=["contact", "-id"], name="person_link_ref")
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Subscription",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("status", models.TextField(null=True)),
                ("plan", models.TextField(null=True)),
                ("quantity", models.BigIntegerField(null=True)),
                ("currency", models.TextField(null=True)),
                ("mrr_minor", models.BigIntegerField(null=True)),
                ("interval", models.TextField(null=True)),
                ("is_trial", models.BooleanField(null=True)),
                ("auto_renew", models.BooleanField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("trial_ends_at", models.DateTimeField(null=True)),
                ("period_starts_at", models.DateTimeField(null=True)),
                ("period_ends_at", models.DateTimeField(null=True)),
                ("cancel_at", models.DateTimeField(null=True)),
                ("canceled_at", models.DateTimeField(null=True)),
                ("ended_at", models.DateTimeField(null=True)),
                ("cancel_reason", models.TextField(null=True)),
            ],
            options={
                "db_table": "cg_subscription",
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["customer_source"], name="subscription_customer"
                    ),
                    models.Index(
                        fields=["organization", "-id"], name="subscription_org"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="subscription_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SubscriptionChange",
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
                    "subscription",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="changes",
                        to="churnguard.subscription",
                    ),
                ),
                ("effective_at", models.DateTimeField()),
                ("known_at", models.DateTimeField()),
                ("status", models.TextField(null=True)),
                ("plan", models.TextField(null=True)),
                ("quantity", models.BigIntegerField(null=True)),
                ("currency", models.TextField(null=True)),
                ("mrr_minor", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "cg_subscription_change",
                "indexes": [
                    models.Index(
                        fields=["subscription", "effective_at"],
                        name="subscription_change_at",
                    )
                ],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="Invoice",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                (
                    "subscription_id_ext",
                    models.TextField(db_column="subscription_id", null=True),
                ),
                ("number", models.TextField(null=True)),
                ("status", models.TextField(null=True)),
                ("currency", models.TextField(null=True)),
                ("total_minor", models.BigIntegerField(null=True)),
                ("paid_minor", models.BigIntegerField(null=True)),
                ("refunded_minor", models.BigIntegerField(null=True)),
                ("issued_at", models.DateTimeField(null=True)),
                ("due_at", models.DateTimeField(null=True)),
                ("paid_at", models.DateTimeField(null=True)),
                ("failed_attempts", models.BigIntegerField(null=True)),
                ("last_failed_at", models.DateTimeField(null=True)),
                ("lines", models.JSONField(default=list)),
            ],
            options={
                "db_table": "cg_invoice",
                "abstract": False,
                "indexes": [
                    models.Index(fields=["customer_source"], name="invoice_customer"),
                    models.Index(fields=["organization", "-id"], name="invoice_org"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="invoice_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Deal",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("name", models.TextField(null=True)),
                ("stage", models.TextField(null=True)),
                ("status", models.TextField(null=True)),
                ("amount_minor", models.BigIntegerField(null=True)),
                ("currency", models.TextField(null=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("close_at", models.DateTimeField(null=True)),
                ("owner", models.TextField(null=True)),
            ],
            options={
                "db_table": "cg_deal",
                "abstract": False,
                "indexes": [
                    models.Index(fields=["customer_source"], name="deal_customer"),
                    models.Index(fields=["organization", "-id"], name="deal_org"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="deal_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Ticket",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("contact_id_ext", models.TextField(db_column="contact_id", null=True)),
                ("subject", models.TextField(null=True)),
                ("status", models.TextField(null=True)),
                ("priority", models.TextField(null=True)),
                ("channel", models.TextField(null=True)),
                ("team", models.TextField(null=True)),
                ("assignee", models.TextField(null=True)),
                ("opened_at", models.DateTimeField(null=True)),
                ("first_replied_at", models.DateTimeField(null=True)),
                ("solved_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("reopen_count", models.BigIntegerField(null=True)),
                ("reply_count", models.BigIntegerField(null=True)),
                ("is_escalated", models.BooleanField(null=True)),
                ("is_first_contact_resolved", models.BooleanField(null=True)),
                ("satisfaction_pct", models.FloatField(null=True)),
            ],
            options={
                "db_table": "cg_ticket",
                "abstract": False,
                "indexes": [
                    models.Index(fields=["customer_source"], name="ticket_customer"),
                    models.Index(fields=["organization", "-id"], name="ticket_org"),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="ticket_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Conversation",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("contact_id_ext", models.TextField(db_column="contact_id", null=True)),
                ("kind", models.TextField(null=True)),
                ("subject", models.TextField(null=True)),
                ("status", models.TextField(null=True)),
                ("direction", models.TextField(null=True)),
                ("owner", models.TextField(null=True)),
                ("started_at", models.DateTimeField(null=True)),
                ("last_message_at", models.DateTimeField(null=True)),
                ("closed_at", models.DateTimeField(null=True)),
                ("message_count", models.BigIntegerField(null=True)),
                ("rating_pct", models.FloatField(null=True)),
            ],
            options={
                "db_table": "cg_conversation",
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["customer_source"], name="conversation_customer"
                    ),
                    models.Index(
                        fields=["organization", "-id"], name="conversation_org"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="conversation_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SurveyResponse",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("contact_id_ext", models.TextField(db_column="contact_id", null=True)),
                ("kind", models.TextField(null=True)),
                ("score", models.FloatField(null=True)),
                ("scale_min", models.FloatField(null=True)),
                ("scale_max", models.FloatField(null=True)),
                ("comment", models.TextField(null=True)),
                ("answered_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_survey_response",
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["customer_source"], name="surveyresponse_customer"
                    ),
                    models.Index(
                        fields=["organization", "-id"], name="surveyresponse_org"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="surveyresponse_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="CampaignEngagement",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("contact_id_ext", models.TextField(db_column="contact_id", null=True)),
                ("campaign", models.TextField(null=True)),
                ("kind", models.TextField(null=True)),
                ("occurred_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_campaign_engagement",
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["customer_source"], name="campaignengagement_customer"
                    ),
                    models.Index(
                        fields=["organization", "-id"], name="campaignengagement_org"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="campaignengagement_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="SourceObject",
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
                ("external_id", models.CharField(max_length=255)),
                (
                    "customer_source",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.SET_NULL,
                        to="churnguard.customersource",
                    ),
                ),
                ("source_version", models.BigIntegerField(null=True)),
                ("source_updated_at", models.DateTimeField(null=True)),
                ("content_hash", models.BigIntegerField(null=True)),
                ("custom", models.JSONField(default=dict)),
                ("raw", models.JSONField(default=dict)),
                ("deleted_at", models.DateTimeField(null=True)),
                ("deleted_version", models.BigIntegerField(null=True)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("updated_at", models.DateTimeField(auto_now=True)),
                ("kind", models.TextField(default="")),
                ("occurred_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_source_object",
                "abstract": False,
                "indexes": [
                    models.Index(
                        fields=["customer_source"], name="sourceobject_customer"
                    ),
                    models.Index(
                        fields=["organization", "-id"], name="sourceobject_org"
                    ),
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "external_id"), name="sourceobject_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Batch",
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
                ("origin", models.CharField(max_length=12)),
                ("run_id", models.BigIntegerField(null=True)),
                ("stream", models.CharField(blank=True, default="", max_length=120)),
                ("page", models.IntegerField(default=0)),
                ("fetched", models.IntegerField(default=0)),
                ("inserted", models.IntegerField(default=0)),
                ("updated", models.IntegerField(default=0)),
                ("unchanged", models.IntegerField(default=0)),
                ("duplicate", models.IntegerField(default=0)),
                ("quarantined", models.IntegerField(default=0)),
                ("filtered", models.IntegerField(default=0)),
                ("deleted", models.IntegerField(default=0)),
                ("bytes", models.BigIntegerField(default=0)),
                ("events", models.IntegerField(default=0)),
                ("newest_at", models.DateTimeField(null=True)),
                ("received_at", models.DateTimeField()),
                ("folded_at", models.DateTimeField(null=True)),
            ],
            options={
                "db_table": "cg_batch",
                "indexes": [
                    models.Index(
                        condition=models.Q(
                            ("folded_at__isnull", True), ("events__gt", 0)
                        ),
                        fields=["id"],
                        name="batch_to_fold",
                    ),
                    models.Index(
                        fields=["source", "-received_at"], name="batch_source_new"
                    ),
                    models.Index(
                        condition=models.Q(("run_id__isnull", False)),
                        fields=["run_id", "stream", "page"],
                        name="batch_run",
                    ),
                ],
                "constraints": [
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
                        name="batch_adds_up",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Quarantine",
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
                ("batch_id", models.BigIntegerField(null=True)),
                ("run_id", models.BigIntegerField(null=True)),
                ("stream", models.CharField(blank=True, default="", max_length=120)),
                ("record_type", models.CharField(max_length=40)),
                (
                    "external_id",
                    models.CharField(blank=True, default="", max_length=255),
                ),
                ("code", models.CharField(max_length=64)),
                ("field", models.CharField(blank=True, default="", max_length=120)),
                ("detail", models.TextField()),
                ("raw", models.JSONField()),
                ("fingerprint", models.UUIDField()),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("replayed", "Replayed"),
                            ("discarded", "Discarded"),
                        ],
                        default="open",
                        max_length=12,
                    ),
                ),
                ("first_seen_at", models.DateTimeField(auto_now_add=True)),
                ("resolved_at", models.DateTimeField(null=True)),
                (
                    "resolved_by",
                    models.CharField(blank=True, default="", max_length=254),
                ),
            ],
            options={
                "db_table": "cg_quarantine",
                "indexes": [
                    models.Index(
                        fields=["organization", "state", "-id"], name="quarantine_org"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("source", "fingerprint"), name="quarantine_once"
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="RunKey",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("run_id", models.BigIntegerField()),
                ("stream", models.CharField(max_length=120)),
                ("key", models.TextField()),
                ("content", models.BigIntegerField(null=True)),
            ],
            options={
                "db_table": "cg_run_key",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("run_id", "stream", "key"), name="run_key_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="StreamSequence",
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
                ("channel", models.CharField(max_length=24)),
                ("seq", models.BigIntegerField(default=0)),
            ],
            options={
                "db_table": "cg_stream_sequence",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "channel"), name="stream_sequence_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="StreamNote",
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
                ("channel", models.CharField(max_length=24)),
                ("seq", models.BigIntegerField()),
                ("payload", models.JSONField()),
                ("created_at", models.DateTimeField(auto_now_add=True)),
            ],
            options={
                "db_table": "cg_stream_note",
                "indexes": [
                    models.Index(fields=["created_at"], name="stream_note_age")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "channel", "seq"),
                        name="stream_note_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Notice",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("severity", models.CharField(max_length=12)),
                ("key", models.CharField(max_length=200)),
                ("title", models.CharField(max_length=300)),
                ("detail", models.TextField(blank=True)),
                ("url", models.CharField(blank=True, max_length=300)),
                ("data", models.JSONField(default=dict)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("resolved_at", models.DateTimeField(blank=True, null=True)),
            ],
            options={
                "db_table": "cg_notice",
                "indexes": [
                    models.Index(fields=["organization", "-id"], name="notice_org_new")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        condition=models.Q(("resolved_at__isnull", True)),
                        fields=("organization", "key"),
                        name="notice_open_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="Heartbeat",
            fields=[
                (
                    "name",
                    models.CharField(max_length=120, primary_key=True, serialize=False),
                ),
                ("role", models.CharField(max_length=24)),
                ("at", models.DateTimeField()),
                ("facts", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "cg_heartbeat",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="ExchangeRate",
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
                ("currency", models.CharField(max_length=3)),
                ("day", models.DateField()),
                ("rate", models.DecimalField(decimal_places=10, max_digits=20)),
                ("origin", models.CharField(default="manual", max_length=16)),
                ("updated_at", models.DateTimeField(auto_now=True)),
            ],
            options={
                "db_table": "cg_exchange_rate",
                "constraints": [
                    models.UniqueConstraint(
                        models.F("organization"),
                        models.F("currency"),
                        models.OrderBy(models.F("day"), descending=True),
                        name="rate_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("rate__gt", 0)), name="rate_positive"
                    ),
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "organization",
                    models.ForeignKey(
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("kind", models.CharField(max_length=40)),
                ("target_id", models.BigIntegerField(default=0)),
                ("stream", models.CharField(blank=True, default="", max_length=120)),
                ("every_s", models.IntegerField(null=True)),
                ("at_utc", models.CharField(blank=True, default="", max_length=40)),
                ("next_run_at", models.DateTimeField()),
                ("last_run_at", models.DateTimeField(null=True)),
                ("is_enabled", models.BooleanField(default=True)),
            ],
            options={
                "db_table": "cg_schedule",
                "indexes": [
                    models.Index(
                        condition=models.Q(("is_enabled", True)),
                        fields=["kind", "next_run_at"],
                        name="schedule_due",
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "kind", "target_id", "stream"),
                        name="schedule_once",
                        nulls_distinct=False,
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="UsageEvent",
            fields=[
                ("event_key", models.UUIDField(primary_key=True, serialize=False)),
                ("organization_id", models.BigIntegerField()),
                ("source_id", models.BigIntegerField()),
                ("customer_source_id", models.BigIntegerField(null=True)),
                ("batch_id", models.BigIntegerField()),
                ("name", models.TextField()),
                ("event_id", models.TextField()),
                ("user_key", models.TextField(default="")),
                ("ts", models.DateTimeField()),
                ("received_at", models.DateTimeField()),
                ("value", models.FloatField(null=True)),
                ("properties", models.JSONField(default=dict)),
            ],
            options={
                "db_table": "cg_usage_event",
                "managed": False,
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
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
                ("day", models.DateField()),
                ("name", models.TextField()),
                ("user_key", models.TextField(default="")),
                ("n", models.BigIntegerField()),
                ("value_sum", models.FloatField(default=0)),
                ("first_at", models.DateTimeField()),
                ("last_at", models.DateTimeField()),
            ],
            options={
                "db_table": "cg_usage_day",
                "indexes": [
                    models.Index(
                        fields=["organization", "day", "name"], name="usage_day_org"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("customer_source", "day", "name", "user_key"),
                        name="usage_day_once",
                    )
                ],
            },
        ),
        migrations.CreateModel(
            name="OrgHour",
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
                ("hour", models.DateTimeField()),
                ("name", models.TextField()),
                ("n", models.BigIntegerField()),
                ("value_sum", models.FloatField(default=0)),
            ],
            options={
                "db_table": "cg_org_hour",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "hour", "name"), name="org_hour_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="OrgDay",
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
                ("day", models.DateField()),
                ("name", models.TextField()),
                ("n", models.BigIntegerField()),
                ("value_sum", models.FloatField(default=0)),
            ],
            options={
                "db_table": "cg_org_day",
                "constraints": [
                    models.UniqueConstraint(
                        fields=("organization", "day", "name"), name="org_day_once"
                    )
                ],
                "indexes": [],
            },
        ),
        migrations.CreateModel(
            name="UsageWindow",
            fields=[
                (
                    "customer_source",
                    models.OneToOneField(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        serialize=False,
                        to="churnguard.customersource",
                    ),
                ),
                (
                    "organization",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        to="churnguard.organization",
                    ),
                ),
                ("base_day", models.DateField()),
                (
                    "days",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.IntegerField(), size=None
                    ),
                ),
                ("first_event_at", models.DateTimeField()),
                ("last_event_at", models.DateTimeField()),
                ("events_total", models.BigIntegerField()),
            ],
            options={
                "db_table": "cg_usage_window",
                "indexes": [],
                "constraints": [],
            },
        ),
        migrations.RunSQL(USAGE_EVENT, NO_USAGE_EVENT),
        migrations.RunSQL(IDENTITY_STALE, NO_IDENTITY_STALE),
        migrations.RunSQL(PEOPLE, NO_PEOPLE),
        migrations.RunSQL(ROLLUPS_WITHOUT_CHECKS, NO_ROLLUPS_WITHOUT_CHECKS),
    ]
