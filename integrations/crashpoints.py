"""Named places where a test can kill the process, to prove what a crash costs.

CHURNGUARD_CRASH_AT="before_commit" ends the process at the first pass through that
place, "before_commit:3" at the third. The end is that of SIGKILL: no clean-up runs.
CHURNGUARD_PAUSE_AT stops it there as SIGSTOP does, until somebody sends SIGCONT.
"""

from __future__ import annotations

import os
import signal
import threading

POINTS = ("after_claim", "after_fetch", "before_commit", "after_commit", "before_end")
_passes: dict[str, int] = {}
_lock = threading.Lock()


def crash_point(name: str) -> None:
    """End or stop the process here when the environment asks for it."""
    crash, pause = _wanted("CRASH", name), _wanted("PAUSE", name)
    if not crash and not pause:
        return
    with _lock:
        _passes[name] = _passes.get(name, 0) + 1
        passed = _passes[name]
    if passed == crash:
        os._exit(137)
    if passed == pause:
        os.kill(os.getpid(), signal.SIGSTOP)


def _wanted(what: str, name: str) -> int:
    """The pass at which `what` shall happen at this point; 0 = never."""
    point, _, count = os.environ.get(f"CHURNGUARD_{what}_AT", "").partition(":")
    return int(count or 1) if point == name else 0
