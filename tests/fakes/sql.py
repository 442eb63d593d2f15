"""Real databases as sources: a table of people in PostgreSQL and in MariaDB."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import psycopg
import pymysql
import pytest

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.certificates import Certificates

PASSWORD = f"{CANARY}-password"


class NoServer:
    """Stands where HTTP fakes have their server."""

    url = ""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def count(self, *_args: Any) -> int:
        return 0


class SqlFake(FakeProvider):
    """A table `people` whose rows change through SQL, as an application would."""

    record_type: ClassVar[str] = "object"
    supports_stuck: ClassVar[bool] = False
    supports_spoil: ClassVar[bool] = False
    supports_quota: ClassVar[bool] = False
    supports_fault: ClassVar[bool] = False
    why_not: ClassVar[dict[str, str]] = {
        "merge": "rows of a table are not merged",
        "refresh": "a database has no tokens",
        "stuck": "keyset reads move on by construction",
        "spoil": "a typed column cannot hold a value of another type",
        "quota": "a database counts no requests",
        "fault": "a fault of HTTP; test_sql.py cuts connections and stops servers",
    }
    mark: ClassVar[str] = "%s"

    def run(self, query: str, *values: Any) -> None:
        raise AssertionError("write run() for this fake")

    def seed(self, count: int) -> list[str]:
        return super().seed(count)

    def add(self, number: int) -> str:
        self.run(
            "INSERT INTO people (id, name, email, balance, facts, updated_at) "
            "VALUES (%s, %s, %s, %s, %s, %s)",
            number + 1,
            f"Person {number}",
            f"p{number}@example.com",
            "1234567890.123456789",
            '{"tags": ["a", 1]}',
            self.moment(),
        )
        return str(number + 1)

    def change(self, external_id: str, name: str) -> None:
        self.run(
            "UPDATE people SET name = %s, updated_at = %s WHERE id = %s",
            name,
            self.moment(),
            int(external_id),
        )

    def remove(self, external_id: str) -> None:
        self.run("DELETE FROM people WHERE id = %s", int(external_id))

    def extend(self, external_id: str) -> None:
        self.run("ALTER TABLE people ADD COLUMN brand_new_field varchar(9)")
        self.run(
            "UPDATE people SET brand_new_field = 'x', updated_at = %s WHERE id = %s",
            self.moment(),
            int(external_id),
        )

    def moment(self) -> str:
        return self.clock.strftime("%Y-%m-%d %H:%M:%S")

    def secrets(self) -> dict[str, Any]:
        return {"password": PASSWORD}

    def go_down(self, server: Any) -> dict[str, Any]:
        return {"port": _free_port()}


class PostgresqlFake(SqlFake):
    """A database of its own on the suite's PostgreSQL."""

    name: ClassVar[str] = "postgresql"
    stream: ClassVar[str] = "public.people"

    def __init__(self) -> None:
        super().__init__()
        self.database = f"source_{secrets.token_hex(4)}"
        self.admin = os.environ["DATABASE_URL"]
        info = psycopg.conninfo.conninfo_to_dict(self.admin)
        self.host = str(info["host"])
        self.connection: psycopg.Connection[Any] | None = None

    def run(self, query: str, *values: Any) -> None:
        assert self.connection is not None
        self.connection.execute(query, values)  # type: ignore[call-overload]

    def moment(self) -> str:
        return f"{super().moment()}+00"

    def refuse_credentials(self, server: Any) -> None:
        self.run(f'ALTER ROLE "{self.database}" NOLOGIN')

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "host": self.host,
            "database": self.database,
            "username": self.database,
            "sslmode": "disable",
        }

    @contextmanager
    def serve(self) -> Iterator[Any]:
        with psycopg.connect(self.admin, autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{self.database}"')
            admin.execute(f'CREATE ROLE "{self.database}" SUPERUSER LOGIN')
            self.connection = psycopg.connect(
                self.admin, dbname=self.database, autocommit=True
            )
            self.connection.execute(
                "CREATE TABLE people (id int PRIMARY KEY, name text, email text, "
                "balance numeric, facts jsonb, updated_at timestamptz)"
            )
            try:
                yield NoServer()
            finally:
                self.connection.close()
                admin.execute(f'DROP DATABASE "{self.database}" WITH (FORCE)')
                admin.execute(f'DROP ROLE "{self.database}"')


class MysqlFake(SqlFake):
    """A database of its own on one MariaDB server started for the suite."""

    name: ClassVar[str] = "mysql"
    _server: ClassVar[MariaDb | None] = None

    def __init__(self) -> None:
        super().__init__()
        if shutil.which("mariadbd") is None:
            pytest.skip("no MariaDB on this machine (apt-get install mariadb-server)")
        self.database = f"source_{secrets.token_hex(4)}"
        self.stream = f"{self.database}.people"  # type: ignore[misc]
        self.connection: pymysql.Connection[Any] | None = None

    def run(self, query: str, *values: Any) -> None:
        assert self.connection is not None
        with self.connection.cursor() as cursor:
            cursor.execute(query, values)

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.server().port,
            "database": self.database,
            "username": "reader",
            "sslmode": "disable",
        }

    @classmethod
    def server(cls) -> MariaDb:
        if MysqlFake._server is None:
            MysqlFake._server = MariaDb()
        return MysqlFake._server

    @contextmanager
    def serve(self) -> Iterator[Any]:
        self.connection = self.server().connect()
        self.run(f"CREATE DATABASE `{self.database}`")
        self.run(f"USE `{self.database}`")
        self._let_in(PASSWORD)
        self.run(f"GRANT SELECT ON `{self.database}`.* TO reader@'127.0.0.1'")
        self.run("SET time_zone = '+00:00'")
        self.run(
            "CREATE TABLE people (id int PRIMARY KEY, name varchar(99), "
            "email varchar(99), balance decimal(30, 9), facts json, "
            "updated_at timestamp NULL)"
        )
        try:
            yield NoServer()
        finally:
            self.run(f"DROP DATABASE `{self.database}`")
            self.connection.close()

    def refuse_credentials(self, server: Any) -> None:
        self._let_in("another password")

    def _let_in(self, password: str) -> None:
        self.run("ALTER USER reader@'127.0.0.1' IDENTIFIED BY %s", password)


class MariaDb:
    """A MariaDB server on loopback in a folder of its own, stopped with the process.
    certificates: what it encrypts with, None = it cannot."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.certificates = certificates
        self.folder = Path(tempfile.mkdtemp(prefix="cg-maria-"))
        data = self.folder / "data"
        is_root = os.geteuid() == 0
        user = ["--user=root"] if is_root else []
        subprocess.run(
            [
                "mariadb-install-db",
                f"--datadir={data}",
                "--skip-test-db",
                "--auth-root-authentication-method=normal",
                *user,
            ],
            check=True,
            capture_output=True,
        )
        self.port = _free_port()
        self.process = subprocess.Popen(
            [
                "mariadbd",
                "--no-defaults",
                f"--datadir={data}",
                f"--socket={self.folder}/s",
                f"--pid-file={self.folder}/pid",
                "--bind-address=127.0.0.1",
                f"--port={self.port}",
                "--skip-name-resolve",
                "--innodb-flush-log-at-trx-commit=0",
                *user,
                *_tls(certificates),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        import atexit

        atexit.register(self.stop)
        connection = self.connect()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE USER reader@'127.0.0.1' IDENTIFIED BY %s", (PASSWORD,)
            )
        connection.close()

    def connect(self) -> pymysql.Connection[Any]:
        ends_at = time.monotonic() + 30
        while True:
            try:
                return pymysql.connect(
                    unix_socket=f"{self.folder}/s", user="root", autocommit=True
                )
            except pymysql.OperationalError:
                if time.monotonic() > ends_at or self.process.poll() is not None:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tls(made: Certificates | None) -> list[str]:
    if made is None:
        return []
    return [
        f"--ssl-ca={made.ca}",
        f"--ssl-cert={made.certificate}",
        f"--ssl-key={made.key}",
    ]
