"""Who the embedded servers run as, and where their files can lie.

PostgreSQL refuses to run as root. A root user's servers run as a system account that
must be able to reach binaries, data and sockets; a checkout under /root is closed to
it.
"""

from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from churnguard.errors import ConfigError
from churnguard.runtime import processes

SYSTEM_NAMES = ("churnguard", "postgres")
SOCKET_PATH_MAX = 100
"""sun_path holds 107 bytes on Linux and 103 on macOS."""
_LONGEST_SOCKET_NAME = len("/.s.PGSQL.5432.lock")


@dataclass(frozen=True, slots=True)
class Account:
    """A passwd entry the servers drop to."""

    name: str
    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Whether this account may enter the folder, or run the file, `path`."""
        return (
            subprocess.run(
                ["test", "-x", str(path)],
                cwd="/",
                check=False,
                timeout=10,
                **processes.as_user((self.uid, self.gid)),
            ).returncode
            == 0
        )


def server_account(data: Path) -> Account | None:
    """None for an ordinary user. For root: the owner of `data`, else a system account.

    Raises ConfigError where no account exists and none can be made.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return _account(pwd.getpwuid(data.stat().st_uid))
    for name in SYSTEM_NAMES:
        found = _find(name)
        if found is not None:
            return found
    return _create("churnguard")


def state_folder() -> Path:
    """Where a root user's server files go when the data folder is out of reach."""
    return Path(os.environ.get("CHURNGUARD_STATE_DIR", "/var/lib/churnguard"))


def server_folder(home: Path, account: Account | None) -> Path:
    """The folder that holds data and sockets of the servers of `home`.

    It is `home` itself, or, when `account` cannot reach that, a folder under
    `state_folder()` to which `home/servers` points.
    """
    if account is None:
        return home
    link = home / "servers"
    if link.is_symlink():
        return link.resolve()
    home.chmod(0o711)
    if account.can_reach(home):
        return home
    state = state_folder()
    state.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = Path(tempfile.mkdtemp(prefix="home-", dir=state))
    place.chmod(0o711)
    if not account.can_reach(place):
        raise ConfigError(
            f"The embedded PostgreSQL runs as {account.name}, who can reach neither "
            f"{home} nor {place}. Set CHURNGUARD_HOME to a folder open to that user, "
            "or DATABASE_URL to a PostgreSQL of your own."
        )
    link.symlink_to(place)
    return place


def socket_folder(place: Path, account: Account | None) -> Path:
    """A private folder (mode 0700) whose path leaves room for a socket's name.

    That is `place/sock`; under a long path a folder named by its hash in
    XDG_RUNTIME_DIR or the temporary folder, which must belong to us.
    """
    wanted = place / "sock"
    if len(os.fsencode(wanted)) + _LONGEST_SOCKET_NAME > SOCKET_PATH_MAX:
        digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:12]
        wanted = _short_root(account) / f"churnguard-{os.geteuid()}-{digest}"
    own(wanted, account)
    return wanted


def own(folder: Path, account: Account | None) -> None:
    """Make `folder` private (mode 0700) to the servers' account. Idempotent.

    Raises ConfigError where somebody else made it first.
    """
    uid, gid = _ids(account)
    if not folder.exists():
        folder.mkdir(mode=0o700, parents=True)
        os.chown(folder, uid, gid)
    found = folder.lstat()
    if folder.is_symlink() or found.st_uid not in {uid, os.geteuid()}:
        raise ConfigError(
            f"{folder} belongs to another user (uid {found.st_uid}). Remove it, or "
            "set CHURNGUARD_HOME to another folder."
        )
    if found.st_uid != uid:
        os.chown(folder, uid, gid)
    folder.chmod(0o700)


def reachable_copy(
    install: Path, *, libraries: Path | None, version: str, account: Account
) -> Path:
    """A copy of a server's folder (with its sibling of libraries) that `account` runs.

    Made once per package and version under `state_folder()`; its relative layout is
    kept, since the binaries find their libraries by it.
    """
    target = state_folder() / "pg" / f"{install.parent.name}-{version}"
    copied = target / install.parent.name / install.name
    if not copied.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix="copy-", dir=target.parent))
        draft.chmod(0o755)
        skip = shutil.ignore_patterns("include", "doc", "man", "__pycache__")
        inside = draft / install.parent.name / install.name
        shutil.copytree(install, inside, symlinks=True, ignore=skip)
        if libraries is not None:
            shutil.copytree(libraries, draft / libraries.name, symlinks=True)
        _open_up(draft)
        try:
            draft.rename(target)
        except OSError:
            # Another start made the same copy at the same moment.
            shutil.rmtree(draft)
    if not account.can_reach(copied / "bin" / "postgres"):
        raise ConfigError(
            f"The user {account.name} cannot run PostgreSQL from {copied}. Set "
            "DATABASE_URL to a PostgreSQL of your own, or run as an ordinary user."
        )
    return copied


def _short_root(account: Account | None) -> Path:
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    # A root user's XDG_RUNTIME_DIR is closed to the servers' account.
    if runtime and account is None and len(runtime) < 40 and Path(runtime).is_dir():
        return Path(runtime)
    return Path("/tmp")  # noqa: S108 - the folder made in it is checked to be ours


def _open_up(folder: Path) -> None:
    for parent, _, files in os.walk(folder):
        Path(parent).chmod(0o755)
        for name in files:
            path = Path(parent, name)
            if not path.is_symlink():
                path.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def _ids(account: Account | None) -> tuple[int, int]:
    return (
        (os.geteuid(), os.getegid()) if account is None else (account.uid, account.gid)
    )


def _account(entry: pwd.struct_passwd) -> Account:
    return Account(name=entry.pw_name, uid=entry.pw_uid, gid=entry.pw_gid)


def _find(name: str) -> Account | None:
    try:
        return _account(pwd.getpwnam(name))
    except KeyError:
        return None


def _create(name: str) -> Account:
    """A system account without a shell, made by what Debian, Red Hat or Alpine have."""
    ways = (
        ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", name],
        ["adduser", "-S", "-D", "-H", "-s", "/bin/false", name],
    )
    for argv in ways:
        if shutil.which(argv[0]):
            subprocess.run(argv, check=False, capture_output=True, timeout=30)
            found = _find(name)
            if found is not None:
                return found
    raise ConfigError(
        f"PostgreSQL does not run as {getpass.getuser()}, and no system user could be "
        f"made for it. Create one (useradd --system {name}), run as an ordinary user, "
        "or set DATABASE_URL."
    )
