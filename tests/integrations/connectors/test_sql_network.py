"""Databases across a network: passwords, cut connections, encryption with an own CA."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import LazySettings

from churnguard.errors import AuthenticationError, ConfigError
from churnguard.models import Organization
from integrations import runs
from integrations.models import RunStream
from tests.fakes import certificates
from tests.fakes.base import CANARY
from tests.fakes.postgres_tcp import TcpPostgres, TcpPostgresFake
from tests.fakes.sql import MariaDb, MysqlFake
from tests.integrations.connectors.proxy import CuttingProxy
from tests.integrations.connectors.sql_source import ALLOWED, Source, serve
from tests.integrations.connectors.test_sql import bench_for


@pytest.fixture(scope="module")
def server() -> Iterator[TcpPostgres]:
    running = TcpPostgres()
    yield running
    running.stop()


@pytest.fixture
def source(server: TcpPostgres) -> Iterator[Source]:
    yield from serve(TcpPostgresFake(server))


@pytest.fixture
def allowed(settings: LazySettings) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = list(ALLOWED)


def test_postgresql_is_read_over_tcp_with_scram(source: Source) -> None:
    source.fake.seed(5)
    with source.fake.connection.cursor() as cur:  # type: ignore[attr-defined]
        cur.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'reader'")
        assert cur.fetchone()[0].startswith("SCRAM-SHA-256$")

    assert source.connector().check().startswith("Connected to ")
    assert source.ids("people") == ["1", "2", "3", "4", "5"]


def test_postgresql_refuses_a_wrong_password_without_telling_it(
    source: Source,
) -> None:
    with pytest.raises(AuthenticationError) as caught:
        source.connector(password=f"wrong-{CANARY}").check()

    assert caught.value.code == "authentication_failed"
    assert CANARY not in caught.value.message
    with pytest.raises(AuthenticationError):
        source.connector(username="nobody").check()


@pytest.mark.django_db
def test_postgresql_cut_in_mid_read_loses_nothing(
    source: Source, server: TcpPostgres, org: Organization, allowed: None
) -> None:
    source.run("CREATE TABLE big (id int PRIMARY KEY, filler text)")
    source.run(
        "INSERT INTO big SELECT n, repeat('x', 20000) FROM generate_series(1, 300) n"
    )
    bench = bench_for(source, org, "big")
    with CuttingProxy(server.port, after_bytes=2_000_000) as proxy:
        bench.integration.settings["port"] = proxy.port
        bench.integration.save()
        run = runs.start(bench.integration, mode="full", streams=[source.fake.stream])

        bench.work(run)
        assert run.status == "pending"
        stored_before = len(bench.rows())
        bench.work(run, tries=3)

    assert proxy.cuts == 1
    assert 0 < stored_before < 300
    assert run.status == "completed", run.error_detail
    part = RunStream.objects.get(run=run)
    assert (part.inserted, part.updated) == (300, 0)
    assert part.fetched <= 310
    assert len(bench.rows()) == 300


def test_a_server_that_is_ended_in_mid_read_is_a_passing_error(
    source: Source, org: Organization, db: None, allowed: None
) -> None:
    """As an administrator's pg_terminate_backend does."""
    source.fake.seed(25)
    connector = source.connector()
    stream = source.stream("people", connector)
    from churnguard.errors import TransientError
    from integrations.connectors.base import ReadRequest

    pages = connector.read(stream, ReadRequest(mode="full", batch_size=5))
    next(pages)
    source.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'reader'"
    )

    with pytest.raises(TransientError) as caught:
        list(pages)
    assert len(caught.value.message) > 20
    # The next session works again.
    assert len(source.ids("people")) == 25


# --- TLS ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TcpPostgres]:
    running = TcpPostgres(tls=True)
    yield running
    running.stop()


def other_ca(folder: Path) -> str:
    return certificates.make(folder, "Somebody else").ca_pem


@pytest.mark.slow
def test_postgresql_verifies_the_certificate(
    encrypted: TcpPostgres, tmp_path: Path
) -> None:
    assert encrypted.certificates is not None
    ours = encrypted.certificates.ca_pem
    for source in serve(TcpPostgresFake(encrypted)):
        source.fake.seed(3)
        for mode in ("require", "verify-ca", "verify-full"):
            connector = source.connector(sslmode=mode, ca_certificate=ours)
            assert connector.check().startswith("Connected to ")
            session = connector._session()
            (used,) = session.execute(
                "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
            ).fetchone()
            assert used is True, mode
        assert source.ids("people") == ["1", "2", "3"]
        for mode in ("verify-ca", "verify-full"):
            for certificate in (other_ca(tmp_path), ""):
                wrong = source.connector(sslmode=mode, ca_certificate=certificate)
                with pytest.raises(ConfigError) as caught:
                    wrong.check()
                assert caught.value.code == "tls_failed", (mode, certificate[:20])
        # The certificate is one for 127.0.0.1 alone.
        named = source.connector(
            sslmode="verify-full",
            ca_certificate=ours,
            host="localhost",
            allowed=(*ALLOWED, "localhost"),
        )
        with pytest.raises(ConfigError) as caught:
            named.check()
        assert caught.value.code == "tls_failed"


@pytest.fixture(scope="module")
def encrypted_mysql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MariaDb]:
    MysqlFake()  # skips where there is no MariaDB
    made = certificates.make(tmp_path_factory.mktemp("tls"))
    before, server = MysqlFake._server, MariaDb(made)
    MysqlFake._server = server
    yield server
    MysqlFake._server = before
    server.stop()


@pytest.mark.slow
def test_mysql_needs_a_ca_to_verify_without_the_name(mysql: Source) -> None:
    with pytest.raises(ConfigError) as caught:
        mysql.connector(sslmode="verify-ca").check()
    assert caught.value.fields == {"ca_certificate": "required"}


def test_mysql_verifies_the_certificate_with_an_own_ca(
    encrypted_mysql: MariaDb, tmp_path: Path
) -> None:
    assert encrypted_mysql.certificates is not None
    ours = encrypted_mysql.certificates.ca_pem
    for source in serve(MysqlFake()):
        source.fake.seed(3)
        for mode in ("require", "verify-full"):
            connector = source.connector(sslmode=mode, ca_certificate=ours)
            assert connector.check().startswith("Connected to ")
            with connector._session().cursor() as cursor:
                cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
                (found,) = cursor.fetchall()
            assert list(found)[1] if not isinstance(found, dict) else found["Value"]
        assert source.ids("people") == ["1", "2", "3"]
        for certificate in (other_ca(tmp_path), ""):
            wrong = source.connector(sslmode="verify-full", ca_certificate=certificate)
            with pytest.raises(ConfigError, match="encrypted connection") as caught:
                wrong.check()
            assert caught.value.code == "tls_failed"
        named = source.connector(
            sslmode="verify-full",
            ca_certificate=ours,
            host="localhost",
            allowed=(*ALLOWED, "localhost"),
        )
        with pytest.raises(ConfigError, match="encrypted connection"):
            named.check()
