"""Keeps a list of services running, in one thread and with one log stream.

One thread, because a child is told of its parent's death when the *thread* that made it
ends, and because a fork beside other threads is unsafe.
"""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import FrameType

from churnguard.errors import ConfigError
from churnguard.runtime import processes
from churnguard.runtime.services import Service, last_words, start
from churnguard.runtime.stream import LogStream

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXIT_CONFIG = 78
"""A child that ends with this code (sysexits.h, EX_CONFIG) is not started again."""
BACKOFF_S = (0.2, 1.0, 2.0, 5.0, 10.0, 30.0)
STEADY_S = 60.0
"""After this long without an exit, the back-off starts anew."""


class StopRequestedError(Exception):
    """Somebody asked the supervisor to stop."""


@dataclass(slots=True)
class _Running:
    service: Service
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    due_at: float = 0.0
    """Monotonic time of the next start; counts while `process` is None."""


class Supervisor:
    """Starts services in order, restarts them, and stops them in reverse order.

    Use as a context manager: leaving it stops everything. Every waiting method raises
    StopRequestedError after SIGINT, SIGTERM or SIGHUP, and ConfigError when a service
    says that it cannot run at all.
    """

    def __init__(self, pid_files: processes.PidFiles, stream: LogStream) -> None:
        self.pid_files = pid_files
        self.stream = stream
        self._stages: list[list[_Running]] = []
        self._selector = selectors.DefaultSelector()
        self._wake_in, self._wake_out = socket.socketpair()
        self._stop_signals = 0
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Supervisor:
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        earlier = signal.set_wakeup_fd(
            self._wake_in.fileno(), warn_on_full_buffer=False
        )
        self._undo.append(lambda: signal.set_wakeup_fd(earlier))
        for number in (*STOP_SIGNALS, signal.SIGCHLD):
            old = signal.signal(number, self._on_signal)
            self._undo.append(partial(signal.signal, number, old))
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        for undo in reversed(self._undo):
            undo()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def start(self, services: Sequence[Service], *, timeout_s: float = 60.0) -> None:
        """Start these as the next stage and return once all of them are ready.

        A later stage is stopped before an earlier one. Raises ConfigError where one
        of them is not ready in time.
        """
        stage = [_Running(service) for service in services]
        self._stages.append(stage)
        for running in stage:
            self._launch(running)
        deadline = time.monotonic() + timeout_s
        waiting = list(stage)
        while waiting:
            self.pump(0.05)
            waiting = [one for one in waiting if not _serves(one)]
            late = [one for one in waiting if one.failures > 2]
            if waiting and (late or time.monotonic() > deadline):
                slow = (late or waiting)[0].service
                reason = last_words(slow) or "Its reason is in the lines above."
                raise ConfigError(f"{slow.name} did not start. {reason}")

    def run(self, name: str, argv: Sequence[str], env: Mapping[str, str]) -> int:
        """Run a program to its end beside the services; returns its exit code."""
        job = _Running(Service(name=name, argv=argv, env=env))
        process = self._launch(job)
        try:
            while process.poll() is None:
                self.pump(0.2)
            self._read(0.0)
        finally:
            self._stop_stage([job])
        return process.returncode

    def watch(self) -> None:
        """Keep everything running until somebody asks to stop."""
        while True:
            self.pump(1.0)

    def pump(self, timeout_s: float) -> None:
        """Pass log lines on and restart what has ended, for at most `timeout_s`."""
        self._read(timeout_s)
        self._look_after_services()
        self._raise_if_stopped()

    def stop(self) -> None:
        """Stop every stage, the last one first; a second stop signal means now."""
        while self._stages:
            self._stop_stage(self._stages.pop())
        self._read(0.0)

    def _launch(self, running: _Running) -> subprocess.Popen[bytes]:
        service = running.service
        read_end, write_end = os.pipe()
        try:
            process = start(service, write_end)
        finally:
            os.close(write_end)
        os.set_blocking(read_end, False)
        self._selector.register(read_end, selectors.EVENT_READ, service.name)
        running.process = process
        running.started_at = time.monotonic()
        self.pid_files.note(service.name, process.pid, service.stop_signal)
        return process

    def _look_after_services(self) -> None:
        now = time.monotonic()
        for running in [one for stage in self._stages for one in stage]:
            if running.process is None:
                if running.due_at <= now:
                    self._launch(running)
            elif running.process.poll() is not None:
                self._after_exit(running, running.process, now)

    def _after_exit(
        self, running: _Running, process: subprocess.Popen[bytes], now: float
    ) -> None:
        service = running.service
        self._read(0.0)
        # Whatever the dead process itself had started must not work on beside its heir.
        processes.signal_group(process.pid, signal.SIGKILL)
        self.pid_files.forget(service.name)
        if process.returncode == EXIT_CONFIG:
            raise ConfigError(f"{service.name} cannot run; its reason is above.")
        if now - running.started_at > STEADY_S:
            running.failures = 0
        delay_s = BACKOFF_S[min(running.failures, len(BACKOFF_S) - 1)]
        running.failures += 1
        running.process, running.due_at = None, now + delay_s
        self.stream.event(
            "service.restarted",
            f"{service.name} {_how_it_ended(process.returncode)}; "
            f"starting it again in {delay_s:g} s.",
            level="warn",
        )

    def _stop_stage(self, stage: list[_Running]) -> None:
        """Ask all of a stage to stop at once, then wait for each in its patience."""
        live = [(one.service, one.process) for one in stage if one.process is not None]
        signals_so_far = self._stop_signals
        for service, process in live:
            if process.poll() is None:
                processes.signal_group(process.pid, service.stop_signal)
        begun = time.monotonic()
        for service, process in live:
            while (
                process.poll() is None
                and self._stop_signals <= max(signals_so_far, 1)
                and time.monotonic() - begun < service.stop_patience_s
            ):
                self._read(0.1)
            processes.stop(process, first=service.stop_signal, patience_s=0.0)
            self.pid_files.forget(service.name)

    def _read(self, timeout_s: float) -> None:
        """Wait for output or a signal, and pass complete lines on."""
        for key, _ in self._selector.select(timeout_s):
            descriptor = key.fd
            try:
                chunk = os.read(descriptor, 65536)
            except BlockingIOError:
                continue
            if key.data is None:
                continue
            if chunk:
                self.stream.feed(key.data, descriptor, chunk)
            else:
                self.stream.end(key.data, descriptor)
                self._selector.unregister(descriptor)
                os.close(descriptor)

    def _raise_if_stopped(self) -> None:
        if self._stop_signals or self.stream.closed:
            raise StopRequestedError

    def _on_signal(self, number: int, _: FrameType | None) -> None:
        if number != signal.SIGCHLD:
            self._stop_signals += 1


def _serves(running: _Running) -> bool:
    return running.process is not None and running.service.is_ready()


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
