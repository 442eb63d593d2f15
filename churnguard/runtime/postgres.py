"""A private PostgreSQL: no TCP port, one unix socket in a folder only we can enter."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg

from churnguard.errors import ConfigError
from churnguard.runtime import account as accounts
from churnguard.runtime import binaries, processes
from churnguard.runtime.services import Service

DATABASE = "churnguard"
ROLE = "churnguard"

SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "effective_cache_size": "1GB",
    "work_mem": "16MB",
    "maintenance_work_mem": "128MB",
    "max_connections": "200",
    "max_wal_size": "4GB",
    # So that change data capture can be tried on this very server.
    "wal_level": "logical",
    # A forgotten replication slot must not fill the disk.
    "max_slot_wal_keep_size": "4GB",
    "random_page_cost": "1.1",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "fsync": "on",
}
FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "128MB",
}
"""For tests only: a machine that loses power loses these data."""


class EmbeddedPostgres:
    """The PostgreSQL of one data folder; `prepare`, then run `service()`."""

    def __init__(self, home: Path, *, durable: bool = True) -> None:
        self.home = home
        self.durable = durable
        self.account: accounts.Account | None = None
        self.data = home / "postgres"
        self.sockets = home / "sock"
        self._programs = Path()

    @property
    def _user(self) -> tuple[int, int] | None:
        return None if self.account is None else (self.account.uid, self.account.gid)

    @property
    def dsn(self) -> str:
        """The address for psycopg and Django; valid after `prepare`."""
        return f"postgresql:///{DATABASE}?host={quote(str(self.sockets))}&user={ROLE}"

    def prepare(self) -> None:
        """Choose account and binaries, make the folders, run initdb the first time.

        Raises ConfigError with what to do where this machine does not allow it.
        """
        self.private_sockets()
        installation = binaries.find_postgres(_major_of(self.data))
        self._programs = self._reachable(installation)
        if not (self.data / "PG_VERSION").exists():
            self._initdb(installation.major)

    def private_sockets(self) -> Path:
        """The folder of all sockets; also settles account and data folder."""
        self.account = accounts.server_account(self.data)
        place = accounts.server_folder(self.home, self.account)
        self.data = place / "postgres"
        self.sockets = accounts.socket_folder(place, self.account)
        return self.sockets

    def service(self) -> Service:
        """How to run it; ready once the database `churnguard` answers."""
        settings = SETTINGS | ({} if self.durable else FORGETFUL)
        settings["unix_socket_directories"] = str(self.sockets)
        argv = [str(self._programs / "postgres"), "-D", str(self.data)]
        for name, value in settings.items():
            argv += ["-c", f"{name}={value}"]
        return Service(
            name="postgres",
            argv=argv,
            env=_environment(),
            # SIGINT is PostgreSQL's fast stop: sessions end, data are flushed.
            stop_signal=signal.SIGINT,
            death_signal=signal.SIGINT,
            stop_patience_s=60.0,
            user=self._user,
            cwd=self.data,
            log_file=self.home / "log" / "postgres.log",
            before_start=self.clear_stale_lock,
            is_ready=self.is_ready,
        )

    def is_ready(self) -> bool:
        """Whether it answers; makes the database the first time it does."""
        try:
            with psycopg.connect(self._dsn_of("postgres"), autocommit=True) as conn:
                known = conn.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
                ).fetchone()
                if known is None:
                    conn.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.OperationalError:
            return False
        return True

    def clear_stale_lock(self) -> None:
        """Deal with the postmaster.pid of a server that did not stop by itself.

        A server of this very folder that still runs is stopped. The file goes only if
        its number now belongs to another program: PostgreSQL itself judges the rest,
        since the file also guards against sessions that outlived their server.
        """
        lock = self.data / "postmaster.pid"
        try:
            pid = int(lock.read_text().splitlines()[0])
        except (FileNotFoundError, ValueError, IndexError):
            return
        known_as = processes.identity(pid)
        if known_as is None:
            return
        if self._is_ours(pid):
            processes.stop_stranger(pid, known_as, signal.SIGINT, patience_s=60.0)
        elif not processes.working_in(self.data):
            lock.unlink(missing_ok=True)
            (self.sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)

    def _is_ours(self, pid: int) -> bool:
        command = processes.command_line(pid)
        return "postgres" in command and str(self.data) in command

    def _reachable(self, installation: binaries.Postgres) -> Path:
        if self.account is None or self.account.can_reach(
            installation.bin / "postgres"
        ):
            return installation.bin
        copy = accounts.reachable_copy(
            installation.bin.parent,
            libraries=installation.libraries,
            version=installation.version,
            account=self.account,
        )
        return copy / "bin"

    def _initdb(self, major: int) -> None:
        """Make the cluster beside its final name, so that a kill leaves no half one."""
        draft = self.data.with_name("postgres.new")
        said = ""
        for locale in _locales(major):
            shutil.rmtree(draft, ignore_errors=True)
            accounts.own(draft, self.account)
            done = subprocess.run(
                [
                    str(self._programs / "initdb"),
                    *("-D", str(draft), "-U", ROLE, "--encoding=UTF8"),
                    # Who can enter the socket's folder is its owner (or root).
                    *("--auth=trust", "--no-instructions", *locale),
                ],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                cwd="/",
                timeout=300,
                **processes.as_user(self._user),
            )
            if done.returncode == 0:
                draft.rename(self.data)
                return
            said = (done.stderr or done.stdout).strip()
        raise ConfigError(
            f"initdb could not make {self.data}: {said or 'it said nothing'}. Set "
            "DATABASE_URL to use a PostgreSQL of your own."
        )

    def _dsn_of(self, database: str) -> str:
        host = quote(str(self.sockets))
        return f"postgresql:///{database}?host={host}&user={ROLE}&connect_timeout=5"


def _major_of(data: Path) -> int | None:
    try:
        return int((data / "PG_VERSION").read_text())
    except (FileNotFoundError, ValueError):
        return None


def _locales(major: int) -> list[list[str]]:
    """initdb arguments, best first: UTF-8 rules that need no locale of the system."""
    plain = [["--locale=C.UTF-8"], ["--locale=C"]]
    if major < 17:
        return plain
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
    return [[*builtin, *rest] for rest in plain]


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL elsewhere (PGHOST, PGPORT..)."""
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("PG")},
        "LC_ALL": "C",
        "TZ": "UTC",
    }
