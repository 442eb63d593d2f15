"""The files in which processes share what they count for /metrics.

prometheus_client names a file after the process id, but every container has a process
1, and two processes must not write to one file. Here the name says role, machine and
process, so that containers may share the folder.
https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from prometheus_client import values

FOLDER = "PROMETHEUS_MULTIPROC_DIR"


def share() -> None:
    """Count in files of this process's own, where `FOLDER` is set. To be called before
    the first metric is made.

    What an earlier process of this role and machine last showed as a state (such as
    open sockets) is forgotten; what it counted stays.
    """
    folder = os.environ.get(FOLDER, "")
    if not folder:
        return
    for left in Path(folder).glob(f"gauge_live*_{_place()}.*.db"):
        left.unlink(missing_ok=True)
    values.ValueClass = values.MultiProcessValue(lambda: f"{_place()}.{os.getpid()}")


def _place() -> str:
    role = os.environ.get("CHURNGUARD_ROLE", "command")
    # An underscore would end the name of the process.
    return f"{role}.{socket.gethostname()}".replace("_", "-")
