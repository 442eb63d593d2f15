"""One PostgreSQL and one Valkey for a test session, in a folder of their own.

`tests.settings` calls `ensure()` before Django reads its settings. A process started by
a test inherits the addresses and starts nothing; each worker of pytest-xdist has
servers of its own, because tests empty them.
"""

from __future__ import annotations

import atexit
import base64
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

from churnguard.runtime import processes
from churnguard.runtime.account import server_account
from churnguard.runtime.postgres import EmbeddedPostgres
from churnguard.runtime.services import Service, start_and_wait
from churnguard.runtime.valkey import EmbeddedValkey

_started: list[tuple[Service, subprocess.Popen[bytes]]] = []
_folders: list[Path] = []


def ensure() -> None:
    """Start the servers and set the environment, once per session."""
    owner = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    if os.environ.get("CHURNGUARD_TEST_SERVERS") == owner:
        return
    _remove_leftovers()
    home = temporary_home()
    postgres = EmbeddedPostgres(home, durable=False)
    postgres.prepare()
    bus = EmbeddedValkey(home, role="bus", sockets=postgres.sockets, durable=False)
    cache = EmbeddedValkey(home, role="cache", sockets=postgres.sockets, durable=False)
    bus.prepare()
    cache.prepare()
    atexit.register(stop)
    for server in (postgres, bus, cache):
        service = server.service()
        process = start_and_wait(service, timeout_s=60)
        _started.append((service, process))
    os.environ.update(
        CHURNGUARD_TEST_SERVERS=owner,
        CHURNGUARD_HOME=str(home),
        DATABASE_URL=postgres.dsn,
        REDIS_URL=bus.url,
        CACHE_URL=cache.url,
        SECRET_KEY="a key for tests only, known to everyone",
        INTEGRATION_ENCRYPTION_KEY=base64.urlsafe_b64encode(bytes(32)).decode(),
        PROMETHEUS_MULTIPROC_DIR=str(home / "prometheus"),
    )
    for name in ("prometheus", "static"):
        (home / name).mkdir()


def database_url() -> str:
    """The address of the database the tests use, for another process."""
    # Django's settings may not be read yet when `ensure` is called.
    from django.db import connection

    parts = urlsplit(os.environ["DATABASE_URL"])
    name = connection.settings_dict["NAME"]
    return f"{parts.scheme}://{parts.netloc}/{name}?{parts.query}"


def temporary_home() -> Path:
    """A new data folder with a short path, open to the account of the servers."""
    home = Path(tempfile.mkdtemp(prefix=f"cg-{os.getpid()}-"))
    if server_account(home / "postgres") is not None:
        home.chmod(0o711)
    _folders.append(home)
    return home


def stop() -> None:
    """Stop what `ensure` started and remove the folders. Idempotent."""
    while _started:
        service, process = _started.pop()
        processes.stop(process, first=service.stop_signal)
    while _folders:
        shutil.rmtree(_folders.pop(), ignore_errors=True)


def _remove_leftovers() -> None:
    """Remove folders of sessions that were killed; their servers died with them."""
    for folder in Path(tempfile.gettempdir()).glob("cg-*-*"):
        pid = folder.name.split("-")[1]
        if pid.isdecimal() and processes.identity(int(pid)) is None:
            shutil.rmtree(folder, ignore_errors=True)
