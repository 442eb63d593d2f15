from django.db import migrations, models
from django.db.models.deletion import CASCADE, SET_NULL
from django.db.models.functions import Now

MODELS = (
    "campaignengagement",
    "contact",
    "conversation",
    "deal",
    "invoice",
    "sourceobject",
    "subscription",
    "surveyresponse",
    "ticket",
)
STALE_BY_UPDATE = r"""
CREATE OR REPLACE FUNCTION cg_contact_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.email, NEW.user_id, NEW.links)
            IS DISTINCT FROM (OLD.email, OLD.user_id, OLD.links) THEN
        NEW.identity_stale_at := coalesce(NEW.identity_stale_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER cg_contact_stale ON cg_contact;
CREATE TRIGGER cg_contact_stale BEFORE UPDATE OF email, user_id, links
    ON cg_contact FOR EACH ROW EXECUTE FUNCTION cg_contact_stale();
"""
STALE_BY_BOTH = r"""
CREATE OR REPLACE FUNCTION cg_contact_stale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' OR (NEW.email, NEW.user_id, NEW.links)
            IS DISTINCT FROM (OLD.email, OLD.user_id, OLD.links) THEN
        NEW.identity_stale_at := coalesce(NEW.identity_stale_at, clock_timestamp());
    END IF;
    RETURN NEW;
END $$;
DROP TRIGGER cg_contact_stale ON cg_contact;
CREATE TRIGGER cg_contact_stale BEFORE INSERT OR UPDATE OF email, user_id, links
    ON cg_contact FOR EACH ROW EXECUTE FUNCTION cg_contact_stale();
"""


def _reference(to, **options):
    return models.ForeignKey(
        to=f"churnguard.{to}", db_constraint=False, db_index=False, **options
    )


class Migration(migrations.Migration):
    dependencies = [("churnguard", "0006_source_rows_of_an_organization")]

    operations = [
        *(migrations.RemoveIndex(name, f"{name}_org") for name in MODELS),
        *(
            migrations.AddIndex(
                name, models.Index(fields=["organization", "id"], name=f"{name}_org")
            )
            for name in MODELS
        ),
        *(
            migrations.AlterField(name, "source", _reference("source", on_delete=CASCADE))
            for name in MODELS
        ),
        *(
            migrations.AlterField(
                name,
                "customer_source",
                _reference("customersource", null=True, on_delete=SET_NULL),
            )
            for name in MODELS
        ),
        migrations.AlterField(
            "contact",
            "identity_stale_at",
            models.DateTimeField(null=True, db_default=Now()),
        ),
        migrations.RunSQL(STALE_BY_UPDATE, STALE_BY_BOTH),
    ]
