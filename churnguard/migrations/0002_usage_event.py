"""The event table (monthly partitions) and its exact dedupe keys."""

from django.db import migrations

CREATE = """
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
DROP = "DROP TABLE cg_event_key; DROP TABLE cg_usage_event;"


class Migration(migrations.Migration):
    dependencies = [("churnguard", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
