"""Named places where a test can kill the process, to prove what a crash costs.

CHURNGUARD_CRASH_AT="before_commit" ends the process at the first pass through that
place, "before_commit:3" at the third. The end is that of SIGKILL: no clean-up runs.
"""

from __future__ import annotations

import os
import threading

POINTS = ("after_claim", "after_fetch", "before_commit", "after_commit", "before_end")
_passes: dict[str, int] = {}
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """End the process here when the environment asks for it."""
    wanted = os.environ.get("CHURNGUARD_CRASH_AT")
    if not wanted:
        return
    point, _, count = wanted.partition(":")
    if point != name:
        return
    with _lock:
        _passes[name] = _passes.get(name, 0) + 1
        passed = _passes[name]
    if passed == int(count or 1):
        os._exit(137)
