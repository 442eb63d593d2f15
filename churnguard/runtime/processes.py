"""Child processes that never outlive their parent, and pid files that can be trusted.

Linux tells a child when its parent dies (prctl(2), PR_SET_PDEATHSIG). Elsewhere the
pid files of the next start do that work.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def identity(pid: int) -> str | None:
    """A string no other process will ever have, or None if `pid` does not run.

    The number alone is reused by the kernel; with its start time and the boot it is
    unique. A zombie counts as not running.
    """
    if sys.platform == "linux":
        return _linux_identity(pid)
    found = subprocess.run(
        ["ps", "-o", "state=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout.strip()
    return None if not found or found.startswith("Z") else found


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    output: IO[bytes] | int,
    death_signal: signal.Signals = signal.SIGKILL,
    user: tuple[int, int] | None = None,
    cwd: Path | str | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in a process group of its own, with no input.

    output: gets both stdout and stderr. death_signal: what the child gets when this
    process dies in whatever way. user: (uid, gid) to drop to.
    """
    return subprocess.Popen(
        list(argv),
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=cwd,
        process_group=0,
        # Safe: whoever starts servers here runs no other thread.
        preexec_fn=_die_with_parent(death_signal),  # noqa: PLW1509
        **as_user(user),
    )


def as_user(user: tuple[int, int] | None) -> dict[str, Any]:
    """The arguments of subprocess that drop a child to (uid, gid) and no more."""
    if user is None:
        return {}
    return {"user": user[0], "group": user[1], "extra_groups": []}


def stop(
    process: subprocess.Popen[bytes],
    *,
    first: signal.Signals = signal.SIGTERM,
    patience_s: float = 10.0,
) -> int:
    """Stop a child and its group: `first`, then SIGKILL after `patience_s`."""
    if process.poll() is None:
        signal_group(process.pid, first)
        try:
            process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            signal_group(process.pid, signal.SIGKILL)
    code = process.wait()
    # What the child itself started and left in its group goes too.
    signal_group(process.pid, signal.SIGKILL)
    return code


def signal_group(pid: int, number: signal.Signals) -> None:
    """Signal the group that `pid` leads; nothing if it is gone."""
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers EPERM for a group of zombies only.
        return


def command_line(pid: int) -> str:
    """The command `pid` runs, its words joined by blanks; empty if it is gone."""
    if sys.platform == "linux":
        try:
            return (
                Path(f"/proc/{pid}/cmdline")
                .read_bytes()
                .replace(b"\0", b" ")
                .decode(errors="replace")
            )
        except OSError:
            return ""
    return subprocess.run(
        ["ps", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    ).stdout


def working_in(folder: Path) -> list[int]:
    """The processes whose working directory is `folder`; [] where /proc is missing."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").readlink() == folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


class PidFiles:
    """Notes of the children of one data folder, so that the next start finds strays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def note(self, name: str, pid: int, stop_signal: signal.Signals) -> None:
        """Remember that `name` runs as `pid` and which signal ends it gently."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        text = json.dumps(
            {"pid": pid, "identity": identity(pid), "signal": int(stop_signal)}
        )
        (self.folder / f"{name}.json").write_text(text)

    def forget(self, name: str) -> None:
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def stop_strays(self, *, patience_s: float = 30.0) -> list[str]:
        """Stop every noted process that still runs; returns their names.

        Only a process whose identity is the noted one is touched.
        """
        strays = []
        for path in sorted(self.folder.glob("*.json")):
            note = _read_note(path)
            if note is not None and identity(note[0]) == note[1]:
                strays.append(path.stem)
                stop_stranger(note[0], note[1], note[2], patience_s=patience_s)
            path.unlink(missing_ok=True)
        return strays


def stop_stranger(
    pid: int, known_as: str, first: signal.Signals, *, patience_s: float
) -> None:
    """Stop a process that is not our child, as long as it is still `known_as`."""
    for number in (first, signal.SIGKILL):
        if identity(pid) != known_as:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        signal_group(pid, number)
        deadline = time.monotonic() + patience_s
        while identity(pid) == known_as and time.monotonic() < deadline:
            time.sleep(0.05)


def _read_note(path: Path) -> tuple[int, str, signal.Signals] | None:
    try:
        note = json.loads(path.read_text())
        return int(note["pid"]), str(note["identity"]), signal.Signals(note["signal"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _linux_identity(pid: int) -> str | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    state, start_ticks = fields[0], fields[19]
    return None if state in "ZX" else f"{boot}:{pid}:{start_ticks}"


def _die_with_parent(number: signal.Signals) -> Callable[[], None] | None:
    if _LIBC is None:
        return None
    parent, libc = os.getpid(), _LIBC

    def in_child() -> None:
        # Runs after the change of user, which would clear the setting.
        libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return in_child
