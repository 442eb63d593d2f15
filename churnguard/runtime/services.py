"""What the supervisor knows of one process it runs."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from churnguard.errors import ConfigError
from churnguard.runtime import processes


def _always() -> bool:
    return True


def _nothing() -> None:
    return None


@dataclass(frozen=True, slots=True)
class Service:
    """A program to keep running."""

    name: str
    argv: Sequence[str]
    env: Mapping[str, str]
    stop_signal: signal.Signals = signal.SIGTERM
    stop_patience_s: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when the supervisor dies without a word."""
    user: tuple[int, int] | None = None
    """(uid, gid) to drop to; None keeps ours."""
    cwd: Path | None = None
    log_file: Path | None = None
    """Output goes here instead of the common stream."""
    before_start: Callable[[], None] = field(default=_nothing)
    """Called before each start, the restarts too."""
    is_ready: Callable[[], bool] = field(default=_always)
    """True once it serves; asked again and again after the first start."""


def start(service: Service, output: int) -> subprocess.Popen[bytes]:
    """Start it once, its output to the file descriptor `output` or to its log file."""
    service.before_start()
    if service.log_file is None:
        return _spawn(service, output)
    service.log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    trim(service.log_file)
    with service.log_file.open("ab") as log:
        return _spawn(service, log.fileno())


def start_and_wait(service: Service, *, timeout_s: float) -> subprocess.Popen[bytes]:
    """Start it and return once it is ready, its own output thrown away if unlogged.

    Raises ConfigError with the last lines of its log where it does not get ready.
    """
    process = start(service, subprocess.DEVNULL)
    deadline = time.monotonic() + timeout_s
    while not service.is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            processes.stop(process, first=service.stop_signal)
            raise ConfigError(f"{service.name} did not start. {last_words(service)}")
        time.sleep(0.02)
    return process


def last_words(service: Service, lines: int = 8) -> str:
    """The end of its log file, for a message to a person."""
    if service.log_file is None or not service.log_file.exists():
        return ""
    tail = service.log_file.read_text(errors="replace").splitlines()[-lines:]
    return f"The end of {service.log_file}:\n  " + "\n  ".join(tail)


def trim(log_file: Path, *, limit_bytes: int = 10_000_000) -> None:
    """Keep at most one older log: a file past the limit becomes `<name>.1`."""
    if log_file.exists() and log_file.stat().st_size > limit_bytes:
        log_file.replace(log_file.with_name(f"{log_file.name}.1"))


def _spawn(service: Service, output: int) -> subprocess.Popen[bytes]:
    return processes.spawn(
        service.argv,
        env=service.env,
        output=output,
        death_signal=service.death_signal,
        user=service.user,
        cwd=service.cwd,
    )
