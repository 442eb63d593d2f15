"""SQL that moves and fills the 128-day usage window."""

from django.db import migrations

CREATE = """
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
DROP = "DROP FUNCTION cg_window_add(date, int[], date[], int[]);"


class Migration(migrations.Migration):
    dependencies = [("analytics", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
