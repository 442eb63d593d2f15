"""One log stream out of the output of many processes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import IO

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93)
_NAME_WIDTH = 12
_LONGEST_LINE = 1_000_000


class LogStream:
    """Writes each line under the name of the process that wrote it.

    Lines that are JSON objects go out untouched when nobody watches (no terminal), so
    that log collectors can read them; they name their service themselves.
    """

    def __init__(self, out: IO[str] | None = None) -> None:
        self._out = sys.stdout if out is None else out
        self.on_terminal = self._out.isatty()
        self._rest: dict[int, bytes] = {}
        self.closed = False
        """True once the reader of our output is gone."""

    def say(self, text: str) -> None:
        """A line of the supervisor itself."""
        for line in text.splitlines() or [""]:
            self._write(line)

    def event(self, operation: str, sentence: str, *, level: str = "info") -> None:
        """What happened to the processes: a sentence on a terminal, else a JSON line.

        The line has the schema of `churnguard.logs`, which needs Django's settings.
        """
        if self.on_terminal:
            self._write(sentence)
            return
        line = {
            "timestamp": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z",
            "level": level,
            "service": "supervisor",
            "operation": operation,
            "tenantId": "",
            "integrationId": "",
            "metadata": {"message": sentence},
        }
        self._write(json.dumps(line))

    def feed(self, name: str, descriptor: int, chunk: bytes) -> None:
        """Bytes that `name` wrote; complete lines go out at once."""
        *lines, rest = (self._rest.get(descriptor, b"") + chunk).split(b"\n")
        for line in lines:
            self._line(name, line)
        if len(rest) > _LONGEST_LINE:
            self._line(name, rest)
            rest = b""
        self._rest[descriptor] = rest

    def end(self, name: str, descriptor: int) -> None:
        """`name` closed its output: what is left of a line goes out."""
        rest = self._rest.pop(descriptor, b"")
        if rest:
            self._line(name, rest)

    def _line(self, name: str, raw: bytes) -> None:
        text = raw.decode(errors="replace").rstrip()
        if not text:
            return
        if not self.on_terminal and text.startswith("{"):
            self._write(text)
            return
        label = f"{name:<{_NAME_WIDTH}} |"
        if self.on_terminal:
            colour = _COLOURS[sum(name.encode()) % len(_COLOURS)]
            label = f"\x1b[{colour}m{label}\x1b[0m"
        self._write(f"{label} {text}")

    def _write(self, text: str) -> None:
        if self.closed:
            return
        try:
            self._out.write(f"{text}\n")
            self._out.flush()
        except (BrokenPipeError, OSError):
            self.closed = True
