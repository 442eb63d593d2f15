from django.contrib.postgres.fields import ArrayField
from django.db import migrations, models
from django.db.models.deletion import CASCADE

MOVE = """
INSERT INTO int_stream_seen (stream_id, run_id, ids)
SELECT stream_id, run_id, array_agg(external_id) FROM int_stream_key GROUP BY 1, 2
"""
MOVE_BACK = """
INSERT INTO int_stream_key (stream_id, external_id, run_id)
SELECT stream_id, external_id, max(run_id)
FROM int_stream_seen, unnest(ids) AS external_id GROUP BY 1, 2
"""


class Migration(migrations.Migration):
    dependencies = [("integrations", "0002_tried_token")]

    operations = [
        migrations.CreateModel(
            name="StreamSeen",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                (
                    "stream",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=CASCADE,
                        to="integrations.streamstate",
                    ),
                ),
                ("run_id", models.BigIntegerField()),
                ("ids", ArrayField(models.TextField())),
            ],
            options={
                "db_table": "int_stream_seen",
                "indexes": [
                    models.Index(fields=["stream", "run_id"], name="stream_seen_run")
                ],
            },
        ),
        migrations.RunSQL(MOVE, MOVE_BACK),
        migrations.DeleteModel(name="StreamKey"),
    ]
