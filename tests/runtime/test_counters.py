"""Where processes count, so that containers may share one folder."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry, multiprocess

COUNT = (
    "import django; django.setup();"
    "from churnguard import metrics;"
    "metrics.bus_message('elsewhere', is_ok=True);"
    "metrics.STREAM_SOCKETS.set(3)"
)
HOST = re.escape(socket.gethostname().replace("_", "-"))


def count(folder: Path, role: str) -> None:
    env = {
        **os.environ,
        "PROMETHEUS_MULTIPROC_DIR": str(folder),
        "CHURNGUARD_ROLE": role,
    }
    subprocess.run([sys.executable, "-c", COUNT], check=True, env=env)


def total(folder: Path, name: str) -> float:
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry, path=str(folder))
    return sum(
        sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == name
    )


def test_a_file_is_named_after_role_machine_and_process(tmp_path: Path) -> None:
    count(tmp_path, "web")
    count(tmp_path, "worker_2")

    names = sorted(path.name for path in tmp_path.glob("counter_*"))
    assert re.fullmatch(rf"counter_web\.{HOST}\.\d+\.db", names[0])
    assert re.fullmatch(rf"counter_worker-2\.{HOST}\.\d+\.db", names[1])
    assert total(tmp_path, "service_bus_messages_processed_total") == 2
    assert total(tmp_path, "stream_sockets") == 6


def test_a_process_that_starts_anew_forgets_states_and_keeps_counts(
    tmp_path: Path,
) -> None:
    count(tmp_path, "web")
    count(tmp_path, "web")

    assert total(tmp_path, "service_bus_messages_processed_total") == 2
    assert total(tmp_path, "stream_sockets") == 3
