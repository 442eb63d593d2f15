"""A PostgreSQL on a loopback port that asks for a password (SCRAM), like one elsewhere;
with TLS where the installation has it."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from churnguard.runtime import processes
from churnguard.runtime.postgres import DATABASE, ROLE, EmbeddedPostgres
from churnguard.runtime.services import start_and_wait
from tests.fakes.base import CANARY
from tests.fakes.certificates import Certificates, make
from tests.fakes.sql import NoServer, PostgresqlFake
from tests.servers import temporary_home

PASSWORD = f"{CANARY}-password"
_RULES = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


class TcpPostgres:
    """The server. port: on 127.0.0.1; certificates: of its own CA, None without TLS."""

    def __init__(self, *, tls: bool = False) -> None:
        self.home = temporary_home()
        with _programs(with_tls=tls):
            self.embedded = EmbeddedPostgres(self.home, durable=False)
            self.embedded.prepare()
        (self.embedded.data / "pg_hba.conf").write_text(_RULES)
        self.port = _free_port()
        self.certificates: Certificates | None = None
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port)}
        if tls:
            # The server's account must own its key.
            self.certificates = make(self.embedded.data / "tls")
            owner = self.embedded.data.stat()
            for path in (self.certificates.key.parent, self.certificates.key):
                os.chown(path, owner.st_uid, owner.st_gid)
            settings |= {
                "ssl": "on",
                "ssl_cert_file": str(self.certificates.certificate),
                "ssl_key_file": str(self.certificates.key),
            }
        service = self.embedded.service()
        more = [part for k, v in settings.items() for part in ("-c", f"{k}={v}")]
        self.service = dataclasses.replace(
            service, argv=[*service.argv, *more], is_ready=self._is_ready
        )
        self.process = start_and_wait(self.service, timeout_s=60)

    @property
    def admin(self) -> str:
        """Over the socket, where nobody is asked for a password."""
        return (
            f"host={self.embedded.sockets} port={self.port} user={ROLE} "
            f"dbname={DATABASE}"
        )

    def _is_ready(self) -> bool:
        try:
            with psycopg.connect(
                self.admin.replace(f"dbname={DATABASE}", "dbname=postgres"),
                autocommit=True,
            ) as conn:
                conn.execute(f"CREATE DATABASE {DATABASE}")
                conn.execute(f"CREATE ROLE reader LOGIN PASSWORD '{PASSWORD}'")
        except psycopg.errors.DuplicateDatabase:
            return True
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        processes.stop(self.process, first=self.service.stop_signal)
        shutil.rmtree(self.home, ignore_errors=True)


class TcpPostgresFake(PostgresqlFake):
    """A database of that server, read by a user with a password."""

    def __init__(self, server: TcpPostgres) -> None:
        super().__init__()
        self.server = server
        self.admin = server.admin

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.server.port,
            "database": self.database,
            "username": "reader",
            "sslmode": "disable",
        }

    def secrets(self) -> dict[str, Any]:
        return {"password": PASSWORD}

    @contextmanager
    def serve(self) -> Iterator[NoServer]:
        with super().serve() as server:
            self.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            self.run(
                "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES "
                "TO reader"
            )
            yield server


@contextmanager
def _programs(*, with_tls: bool) -> Iterator[None]:
    """Have an installation with TLS found first (the wheel is built without)."""
    if not with_tls:
        yield
        return
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if _has_tls(folder):
            break
    else:
        pytest.skip("no PostgreSQL with TLS (apt-get install postgresql)")
    before = os.environ.get("CHURNGUARD_PG_BIN")
    os.environ["CHURNGUARD_PG_BIN"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["CHURNGUARD_PG_BIN"]
        else:
            os.environ["CHURNGUARD_PG_BIN"] = before


def _has_tls(folder: Path) -> bool:
    if not (folder / "initdb").exists():
        return False
    said = subprocess.run(
        ["ldd", str(folder / "postgres")], check=False, capture_output=True, text=True
    )
    return "libssl" in said.stdout


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port
