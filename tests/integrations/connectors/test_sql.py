"""PostgreSQL and MySQL as sources: refusals, cut connections, guards, TLS."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.conf import LazySettings

from churnguard.errors import AuthenticationError, ConfigError, TransientError
from churnguard.models import Organization
from integrations import runs
from integrations.connectors.base import ReadRequest
from integrations.models import RunStream, StreamState
from tests.fakes.base import CANARY
from tests.fakes.sql import MysqlFake
from tests.integrations.connectors.proxy import CuttingProxy
from tests.integrations.connectors.sql_source import ALLOWED, Source, ids_of
from tests.integrations.contract import Bench, connect

# --- sessions and refusals ----------------------------------------------------


def test_the_session_cannot_write(source: Source) -> None:
    if source.fake.name == "mysql":
        source.run(f"GRANT INSERT ON `{source.schema}`.* TO reader@'127.0.0.1'")
    session = source.connector()._session()

    with pytest.raises(Exception, match=r"(?i)read.only"):
        session.cursor().execute("INSERT INTO people (id) VALUES (1)")


def test_a_slow_statement_is_a_passing_error_with_a_sentence(source: Source) -> None:
    connector = source.connector(statement_timeout_s=0.2)
    source.run(
        "CREATE VIEW slow AS SELECT 1 AS s FROM pg_sleep(9)"
        if source.fake.name == "postgresql"
        else "CREATE VIEW slow AS SELECT sleep(9) AS s"
    )

    began = time.monotonic()
    with pytest.raises(TransientError, match="longer than the time-out") as caught:
        source.pages("slow", connector)

    assert caught.value.code == "statement_timeout"
    assert time.monotonic() - began < 5


def test_mysql_reads_on_after_a_time_out_in_the_middle(mysql: Source) -> None:
    mysql.run("CREATE TABLE k (id int PRIMARY KEY)")
    mysql.run("INSERT INTO k SELECT seq FROM seq_1_to_9")
    connector = mysql.connector()
    stream = mysql.stream("k", connector)
    inner, left = connector._rows, [2]

    def failing(*given: Any) -> Iterator[Any]:
        yield next(rows := inner(*given))
        if left[0]:
            left[0] -= 1
            rows.close()
            raise TransientError("slow", code="statement_timeout")
        yield from rows

    connector._rows = failing
    pages = list(connector.read(stream, ReadRequest(mode="full", batch_size=2)))

    assert ids_of(pages) == [str(n) for n in range(1, 10)]


def test_mysql_refuses_a_wrong_password_without_telling_it(mysql: Source) -> None:
    wrong = f"{CANARY}-wrong"

    with pytest.raises(AuthenticationError) as caught:
        mysql.connector(password=wrong).check()

    assert "refused the user or the password" in caught.value.message
    assert CANARY not in caught.value.message


def test_mysql_says_what_database_or_right_is_missing(mysql: Source) -> None:
    with pytest.raises(ConfigError, match="no such database, or the user") as caught:
        mysql.connector(database="elsewhere").check()
    assert caught.value.code == "permission_denied"
    assert not isinstance(caught.value, AuthenticationError)


def test_postgresql_says_which_database_is_missing(postgresql: Source) -> None:
    with pytest.raises(ConfigError, match='database "elsewhere" does not') as caught:
        postgresql.connector(database="elsewhere").check()
    assert caught.value.code == "not_found"


def test_a_table_that_went_away_is_a_sentence(source: Source) -> None:
    source.run("CREATE TABLE short (id int PRIMARY KEY)")
    stream = source.stream("short")
    source.run("DROP TABLE short")

    with pytest.raises(ConfigError, match="is gone, or this user may not") as caught:
        list(source.connector().read(stream, ReadRequest(mode="full")))
    assert caught.value.code == "table_missing"


def test_postgresql_offers_only_tables_the_user_may_read(postgresql: Source) -> None:
    role = f"reader_{postgresql.fake.database}"  # type: ignore[attr-defined]
    postgresql.run(
        f"CREATE ROLE {role} LOGIN",
        "CREATE TABLE hidden (id int PRIMARY KEY)",
        f"GRANT SELECT ON people TO {role}",
    )
    try:
        connector = postgresql.connector(username=role)
        assert [s.name for s in connector.discover()] == ["public.people"]
        connector.close()
    finally:
        postgresql.run(f"DROP OWNED BY {role}", f"DROP ROLE {role}")


@pytest.mark.parametrize("host", ["10.0.0.1", "169.254.169.254", "::1"])
def test_private_addresses_are_refused(source: Source, host: str) -> None:
    with pytest.raises(ConfigError, match="private address") as caught:
        source.connector(allowed=(), host=host).check()
    assert caught.value.code == "blocked_address"


def test_a_unix_socket_has_to_be_allowed(source: Source) -> None:
    with pytest.raises(ConfigError, match="socket of this machine") as caught:
        source.connector(allowed=("127.0.0.1",), host="/run/somewhere").check()
    assert caught.value.code == "blocked_address"


def test_mysql_reads_over_a_unix_socket(mysql: Source) -> None:
    mysql.run(
        f"CREATE USER IF NOT EXISTS reader@localhost IDENTIFIED BY '{CANARY}-password'",
        f"GRANT SELECT ON `{mysql.schema}`.* TO reader@localhost",
    )
    path = f"{MysqlFake.server().folder}/s"

    assert mysql.connector(host=path).check().startswith("Connected to ")


def test_an_unknown_time_zone_is_named(source: Source) -> None:
    with pytest.raises(ConfigError, match="Mars/Olympus"):
        _ = source.connector(timezone="Mars/Olympus").zone


# --- tables without key, views ------------------------------------------------


@pytest.fixture
def allowed(settings: LazySettings) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = list(ALLOWED)


def bench_for(source: Source, org: Organization, table: str) -> Bench:
    from tests.fakes.sql import NoServer

    server: Any = NoServer()
    source.fake.stream = f"{source.schema}.{table}"  # type: ignore[misc]
    bench = Bench(source.fake, server, connect(org, source.fake, server))
    StreamState.objects.filter(name=source.fake.stream).update(is_enabled=True)
    return bench


def test_a_table_without_key_and_a_view_are_read_whole(
    source: Source, org: Organization, allowed: None
) -> None:
    source.run("CREATE TABLE bare (a int, b varchar(9))")
    source.run(
        "INSERT INTO bare VALUES "
        + ", ".join(f"({n}, 'x')" for n in [*range(25), 3, 3])
    )
    source.run("CREATE VIEW seen AS SELECT a, b FROM bare WHERE a < 12")
    stream = source.stream("bare")
    assert (stream.deletes, stream.primary_key_unique) == ("full", False)
    assert len(set(source.ids("seen"))) == 12

    bench = bench_for(source, org, "bare")
    part = bench.sync("full")
    assert part.status == "completed", part.error_detail
    assert (part.inserted, part.duplicate) == (25, 2)

    source.run("DELETE FROM bare WHERE a = 4")
    assert bench.sync("full").status == "completed"
    assert len(bench.rows()) == 24


# --- connections that break ---------------------------------------------------


def test_a_connection_cut_in_mid_read_loses_nothing(
    mysql: Source, org: Organization, allowed: None
) -> None:
    mysql.run("CREATE TABLE big (id int PRIMARY KEY, filler text)")
    mysql.run("INSERT INTO big SELECT seq, repeat('x', 20000) FROM seq_1_to_300")
    bench = bench_for(mysql, org, "big")
    with CuttingProxy(MysqlFake.server().port, after_bytes=2_000_000) as proxy:
        bench.integration.settings["port"] = proxy.port
        bench.integration.save()
        run = runs.start(bench.integration, mode="full", streams=[mysql.fake.stream])

        bench.work(run, tries=3)

    assert proxy.cuts == 1
    assert run.status == "completed", run.error_detail
    part = RunStream.objects.get(run=run)
    assert part.inserted == 300
    assert len(bench.rows()) == 300


def test_a_server_that_is_not_there_is_a_passing_error(mysql: Source) -> None:
    with CuttingProxy(1, after_bytes=0) as proxy:
        port = proxy.port
    with pytest.raises(TransientError, match="could not be reached") as caught:
        mysql.connector(port=port).check()
    assert caught.value.code == "connection_failed"


@pytest.mark.slow
def test_memory_stays_flat_over_200_000_rows(source: Source) -> None:
    series = (
        "SELECT n, repeat('x', 200) FROM generate_series(1, 200000) n"
        if source.fake.name == "postgresql"
        else "SELECT seq, repeat('x', 200) FROM seq_1_to_200000"
    )
    source.run(
        "CREATE TABLE big (id int PRIMARY KEY, filler text)",
        f"INSERT INTO big {series}",
    )
    connector = source.connector()
    stream = source.stream("big", connector)
    seen = 0
    tracemalloc.start()
    try:
        request = ReadRequest(mode="full", batch_size=1000)
        for page in connector.read(stream, request):
            seen += len(page.records)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert seen == 200_000
    assert peak < 20_000_000


# --- TLS ----------------------------------------------------------------------


def test_mysql_verifies_the_certificate(mysql: Source) -> None:
    verified = partial(mysql.connector, sslmode="verify-full")

    with pytest.raises(ConfigError, match="encrypted connection") as caught:
        verified().check()
    assert caught.value.code == "tls_failed"
    with pytest.raises(ConfigError, match="not a PEM certificate"):
        verified(ca_certificate="nonsense").check()
