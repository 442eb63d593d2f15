from django.db import migrations, models

import churnguard.fields

ROWS = (
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


class Migration(migrations.Migration):
    dependencies = [("churnguard", "0007_source_rows_without_checks")]

    operations = [
        *(
            migrations.AlterField(
                name, "raw", churnguard.fields.SentJSONField(default=dict)
            )
            for name in ("customersource", *ROWS)
        ),
        *(migrations.RemoveIndex(name, f"{name}_customer") for name in ROWS),
        *(
            migrations.AddIndex(
                name,
                models.Index(
                    fields=["customer_source"],
                    name=f"{name}_customer",
                    condition=models.Q(customer_source__isnull=False),
                ),
            )
            for name in ROWS
        ),
        *(
            migrations.AddIndex(
                name,
                models.Index(
                    fields=["source"],
                    name=index,
                    condition=models.Q(deleted_at__isnull=False),
                ),
            )
            for name, index in (
                ("customersource", "cust_source_dead"),
                *((name, f"{name}_dead") for name in ROWS),
            )
        ),
    ]
