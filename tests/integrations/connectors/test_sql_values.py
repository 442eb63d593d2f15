"""PostgreSQL and MySQL as sources: exact values, keys and watermarks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from churnguard.errors import ConfigError
from integrations.connectors.sql.tables import JsonRows, Table, key_of
from integrations.connectors.sql.values import exact_number
from tests.integrations.connectors.sql_source import NOW, Source, ids_of

# --- values -------------------------------------------------------------------


def test_postgresql_values_are_exact(postgresql: Source) -> None:
    postgresql.run(
        "CREATE TYPE mood AS ENUM ('sad', 'happy')",
        "CREATE TABLE v (id uuid PRIMARY KEY, j json, b jsonb, a int[], aa text[][],"
        " n numeric, nan numeric, inf float8, f float8, big int8, tz timestamptz,"
        " ts timestamp, d date, forever timestamptz, m mood, bin bytea,"
        " r int4range, i interval, ok bool, t time, nothing text)",
        "INSERT INTO v VALUES ('0b0e9a7e-7d5f-4f0c-8f57-0d6d6c6f3f11',"
        """ '{"x": 1.10}', '{"deep": [1, {"k": null}], "n": 12345678901234567890}',"""
        " '{1,NULL,3}', '{{a,b},{c,d}}', 12345678901234567890.123456789, 'NaN',"
        " '-Infinity', 0.1, 9223372036854775807, '2026-01-02 03:04:05.678901+05:30',"
        " '2026-01-02 03:04:05', '2026-01-02', 'infinity', 'happy', '\\x00ff',"
        " '[1,5)', '1 year 2 days 03:04:05', true, '03:04:05.5', NULL)",
    )

    assert postgresql.row("v") == {
        "id": "0b0e9a7e-7d5f-4f0c-8f57-0d6d6c6f3f11",
        "j": {"x": 1.1},
        "b": {"deep": [1, {"k": None}], "n": 12345678901234567890},
        "a": [1, None, 3],
        "aa": [["a", "b"], ["c", "d"]],
        "n": "12345678901234567890.123456789",
        "nan": "NaN",
        "inf": "-Infinity",
        "f": 0.1,
        "big": 9223372036854775807,
        "tz": "2026-01-01T21:34:05.678901+00:00",
        "ts": "2026-01-02T03:04:05",
        "d": "2026-01-02",
        "forever": "infinity",
        "m": "happy",
        "bin": "\\x00ff",
        "r": "[1,5)",
        "i": "1 year 2 days 03:04:05",
        "ok": True,
        "t": "03:04:05.5",
        "nothing": None,
    }
    types = {c.name: c.type for c in postgresql.stream("v").columns}
    assert (types["a"], types["b"], types["tz"], types["n"]) == (
        "array",
        "json",
        "datetime",
        "number",
    )


def test_mysql_values_are_exact(mysql: Source) -> None:
    mysql.run(
        "SET sql_mode = ''",
        "CREATE TABLE v (id bigint unsigned PRIMARY KEY, n decimal(40, 10), j json,"
        " zero_date date, zero_time datetime, dt datetime(6), ts timestamp NULL,"
        " d date, bits bit(12), s set('a', 'b', 'c'), e enum('x', 'y'),"
        " bin varbinary(9), y year, t time(1), minus time, f double,"
        " txt text CHARSET utf8mb4,"
        " nothing int)",
        "INSERT INTO v VALUES (18446744073709551615,"
        " 123456789012345678901234567890.0123456789,"
        """ '{"a": [1, null], "n": 12345678901234567890.5}', '0000-00-00',"""
        " '0000-00-00 00:00:00', '2026-01-02 03:04:05.678901', '2026-01-02 03:04:05',"
        " '2026-01-02', b'100000000001', 'a,c', 'y', x'00ff', 2026, '03:04:05.5',"
        " '-101:02:03', 0.1, 'Grüße 🎉', NULL)",
    )

    assert mysql.row("v") == {
        "id": 18446744073709551615,
        "n": "123456789012345678901234567890.0123456789",
        "j": {"a": [1, None], "n": "12345678901234567890.5"},
        "zero_date": None,
        "zero_time": None,
        "dt": "2026-01-02T03:04:05.678901",
        "ts": "2026-01-02T03:04:05+00:00",
        "d": "2026-01-02",
        "bits": 2049,
        "s": "a,c",
        "e": "y",
        "bin": "AP8=",
        "y": 2026,
        "t": "03:04:05.5",
        "minus": "-101:02:03",
        "f": 0.1,
        "txt": "Grüße 🎉",
        "nothing": None,
    }


def test_a_number_is_a_float_only_where_nothing_is_lost() -> None:
    assert exact_number("0.1") == 0.1
    assert exact_number("0.12345678901234567890") == "0.12345678901234567890"
    assert exact_number("1e400") == "1e400"


# --- keys ---------------------------------------------------------------------


def test_composite_keys_stay_apart_also_with_colons(source: Source) -> None:
    source.run(
        "CREATE TABLE pair (a varchar(20), b varchar(20), n int, PRIMARY KEY (b, a))",
        "INSERT INTO pair VALUES ('a:b', 'c', 1), ('b', 'c:a', 2), ('b:c', 'a', 3)",
    )
    stream = source.stream("pair")

    ids = source.ids("pair")

    assert len(set(ids)) == 3
    assert sorted(ids) == sorted(["c:a\\:b", "c\\:a:b", "a:b\\:c"])
    swept = [i for part in source.connector().list_ids(stream) for i in part]
    assert sorted(swept) == sorted(ids)


def test_a_composite_key_is_read_on_from_any_page(source: Source) -> None:
    source.run("CREATE TABLE pair (a int, b varchar(9), PRIMARY KEY (a, b))")
    source.run(
        "INSERT INTO pair VALUES "
        + ", ".join(f"({n // 3}, '{'xyz'[n % 3]}')" for n in range(9))
    )
    pages = source.pages("pair")
    for number, page in enumerate(pages[:-1]):
        rest = source.ids("pair", cursor=page.cursor)
        assert rest == ids_of(pages[number + 1 :])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("binary(2)", "(x'fffe'), (x'0001'), (x'41c3'), (x'8000')"),
        ("enum('z', 'a', 'm', 'b')", "('z'), ('a'), ('m'), ('b')"),
        ("time", "('01:00:00'), ('-10:00:00'), ('00:00:59'), ('100:00:00')"),
        ("bit(9)", "(1), (256), (2), (255)"),
        ("decimal(30, 20)", "(0.1), (10.5), (9.5), (-3)"),
        ("datetime(6)", "('2026-01-01'), ('2026-01-01 00:00:00.000001'), "
         "('2025-01-01'), ('2027-01-01')"),
    ],
)  # fmt: skip
def test_mysql_keys_of_any_type_are_read_on(
    mysql: Source, kind: str, values: str
) -> None:
    mysql.run(
        f"CREATE TABLE k (id {kind} PRIMARY KEY)", f"INSERT INTO k VALUES {values}"
    )

    pages = mysql.pages("k", batch_size=1)

    assert len(set(ids_of(pages))) == 4
    for number, page in enumerate(pages[:-1]):
        rest = mysql.ids("k", cursor=page.cursor, batch_size=1)
        assert rest == ids_of(pages[number + 1 :])


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("uuid", "(gen_random_uuid()), (gen_random_uuid()), (gen_random_uuid())"),
        ("bytea", r"('\xfffe'), ('\x0001'), ('\x')"),
        ("numeric", "('NaN'), (0.1), (-12345678901234567890.123456789)"),
        ("timestamptz", "('infinity'), ('2026-01-01 00:00:00.000001+00'), (now())"),
        ("boolean", "(true), (false)"),
        ("char(3)", "('a'), ('b'), ('abc')"),
        ("int4range", "('[1,5)'), ('empty'), ('(,3)')"),
    ],
)
def test_postgresql_keys_of_any_type_are_read_on(
    postgresql: Source, kind: str, values: str
) -> None:
    postgresql.run(
        f"CREATE TABLE k (id {kind} PRIMARY KEY)", f"INSERT INTO k VALUES {values}"
    )

    pages = postgresql.pages("k", batch_size=1)

    for number, page in enumerate(pages[:-1]):
        rest = postgresql.ids("k", cursor=page.cursor, batch_size=1)
        assert rest == ids_of(pages[number + 1 :])


def test_a_long_key_becomes_a_digest() -> None:
    table = Table("s", "t", (), {"id": "text"}, ("id",))

    assert len(key_of(table, {"id": "x" * 500})) == 32
    assert key_of(table, {"id": "a:b"}) == "a:b"


def test_odd_names_are_quoted(source: Source) -> None:
    quoted = {
        "postgresql": '"o\'d%%d ""x"',
        "mysql": "`o'd%%d \"x`",
    }[source.fake.name]
    source.fake.run(f"CREATE TABLE {quoted} (id int, f int, PRIMARY KEY (id, f))")
    source.fake.run(f"INSERT INTO {quoted} VALUES (%s, %s)", 7, 8)

    assert source.ids("o'd%d \"x") == ["7:8"]


# --- watermarks ---------------------------------------------------------------


def test_a_column_may_have_any_name(source: Source) -> None:
    source.run(
        "CREATE TABLE answers (id int primary key, q varchar(20), t int)",
        "INSERT INTO answers VALUES (1, 'Why?', 2)",
    )
    assert source.row("answers") == {"id": 1, "q": "Why?", "t": 2}


def test_a_watermark_may_have_a_percent_sign(source: Source) -> None:
    name = '"at 100%%"' if source.fake.name == "postgresql" else "`at 100%%`"
    source.run(
        f"CREATE TABLE pct (id int primary key, {name} timestamp NULL)",
        "INSERT INTO pct VALUES (1, '2025-01-01'), (2, '2025-01-02')",
    )
    assert len(source.ids("pct", incremental_field="at 100%")) == 2


def test_a_page_of_postgresql_is_read_when_it_is_looked_at() -> None:
    """The ids are known before, and are those the rows themselves give."""
    texts = [
        '{"a b":1,"x":1.5}',
        '{"x":[],"a b":"é\\n"}',
        '{"a b":12345678901234567.5}',
    ]
    table = Table("s", "t", (), {"a b": "text"}, ("a b",))
    rows = JsonRows(texts)

    assert rows.keys(table) == [key_of(table, row) for row in rows]
    assert rows.keys(table) == ["1", "é\n", "12345678901234567.5"]
    assert rows[-1] == {"a b": "12345678901234567.5"}
    assert rows[:2] == [{"a b": 1, "x": 1.5}, {"x": [], "a b": "é\n"}]
    assert len(rows) == 3
    for odd in ('{"x":1}', '{"a b":null}', f'{{"a b":"{"k" * 201}"}}'):
        assert JsonRows([*texts, odd]).keys(table) is None
    two = Table("s", "t", (), {"a b": "text", "x": "int"}, ("a b", "x"))
    assert rows.keys(two) is None


def make_log(source: Source, *times: str | None, column: str = "updated_at") -> None:
    kind = "timestamptz" if source.fake.name == "postgresql" else "timestamp NULL"
    source.run(f"CREATE TABLE log (id int PRIMARY KEY, name text, {column} {kind})")
    for number, at in enumerate(times, 1):
        add_log(source, number, at)


def add_log(source: Source, number: int, at: str | None) -> None:
    source.fake.run("INSERT INTO log VALUES (%s, 'x', %s)", number, at)


def test_rows_without_a_watermark_come_with_the_first_read(source: Source) -> None:
    make_log(source, "2026-01-01 00:00:00", None, "2026-01-02 00:00:00")

    first = source.pages("log")
    again = source.ids("log", cursor=first[-1].cursor)

    assert ids_of(first) == ["1", "2", "3"]
    assert again == ["3"]


def test_a_table_of_only_nulls_is_read_whole_until_there_is_a_watermark(
    source: Source,
) -> None:
    make_log(source, None, None, None)
    first = source.pages("log")
    add_log(source, 4, "2026-01-03 00:00:00")

    second = source.pages("log", cursor=first[-1].cursor)

    assert ids_of(second) == ["1", "2", "3", "4"]
    assert source.ids("log", cursor=second[-1].cursor) == ["4"]


def test_late_commits_within_the_lookback_are_found(source: Source) -> None:
    make_log(source, "2026-01-01 00:00:00", "2026-01-02 00:00:00")
    cursor = source.pages("log")[-1].cursor
    add_log(source, 3, "2026-01-01 23:59:30")
    add_log(source, 4, "2026-01-01 23:58:00")

    assert source.ids("log", cursor=cursor) == ["3", "2"]


def test_a_time_to_come_does_not_hide_later_changes(source: Source) -> None:
    make_log(source, "2026-01-01 00:00:00", "2037-01-01 00:00:00")
    if source.fake.name == "postgresql":
        add_log(source, 3, "infinity")
    first = source.pages("log")
    second = source.pages("log", cursor=first[-1].cursor)
    add_log(source, 4, "2026-01-10 12:00:30")

    assert "4" in source.ids("log", cursor=first[-1].cursor)
    assert "4" in source.ids("log", cursor=second[-1].cursor)


def test_the_watermark_can_be_another_column(source: Source) -> None:
    make_log(source, "2026-01-01 00:00:00", "2026-01-02 00:00:00", column="touched")
    assert source.stream("log").cursor_field is None

    first = source.pages("log", incremental_field="touched")

    cursor = first[-1].cursor
    assert source.ids("log", incremental_field="touched", cursor=cursor) == ["2"]
    with pytest.raises(ConfigError, match="no column “nope”") as caught:
        source.pages("log", incremental_field="nope")
    assert "incremental_field" in caught.value.fields


def test_a_number_can_be_the_watermark(source: Source) -> None:
    source.run(
        "CREATE TABLE log (id int PRIMARY KEY, version bigint)",
        "INSERT INTO log VALUES (1, 10), (2, 20)",
    )
    cursor = source.pages("log", incremental_field="version")[-1].cursor
    source.run("UPDATE log SET version = 21 WHERE id = 1")

    ids = source.ids("log", incremental_field="version", cursor=cursor)
    assert ids == ["2", "1"]


def test_a_range_is_read_and_resumed(source: Source) -> None:
    make_log(source, *(f"2026-01-0{day} 00:00:00" for day in range(1, 8)))
    since = datetime(2026, 1, 2, tzinfo=UTC)
    until = since + timedelta(days=4)

    pages = source.pages("log", since=since, until=until)

    assert ids_of(pages) == ["2", "3", "4", "5"]
    rest = source.ids("log", since=since, until=until, cursor=pages[0].cursor)
    assert rest == ["4", "5"]


def test_a_range_needs_a_watermark(source: Source) -> None:
    source.run("CREATE TABLE k (id int PRIMARY KEY)")

    with pytest.raises(ConfigError, match="no range can be read"):
        source.pages("k", since=NOW)


def test_times_without_a_zone_are_in_the_configured_one(source: Source) -> None:
    kind = "timestamp" if source.fake.name == "postgresql" else "datetime"
    source.run(
        f"CREATE TABLE log (id int PRIMARY KEY, updated_at {kind})",
        "INSERT INTO log VALUES (1, '2026-01-01 00:30:00')",
    )
    connector = source.connector(timezone="Europe/Berlin")

    pages = source.pages(
        "log",
        connector,
        since=datetime(2025, 12, 31, 23, tzinfo=UTC),
        until=datetime(2026, 1, 1, tzinfo=UTC),
    )

    (record,) = pages[0].records
    assert record.updated_at == datetime(2025, 12, 31, 23, 30, tzinfo=UTC)
