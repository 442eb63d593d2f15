"""A Valkey of a bench's own."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from churnguard.runtime import processes
from churnguard.runtime.services import start_and_wait
from churnguard.runtime.valkey import EmbeddedValkey


@contextlib.contextmanager
def serving_bus() -> Iterator[str]:
    """The address of a bus in an empty folder, which goes with it."""
    home = Path(tempfile.mkdtemp(prefix="cgv-"))
    bus = EmbeddedValkey(home, role="bus", sockets=home)
    bus.prepare()
    process = start_and_wait(bus.service(), timeout_s=30)
    try:
        yield bus.url
    finally:
        processes.stop(process)
        shutil.rmtree(home, ignore_errors=True)
