"""Children that never outlive their parent, and pid files that can be trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from churnguard.runtime import processes

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "print('ready', flush=True); time.sleep(600)",
]


def spawn(argv: list[str], output: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    return processes.spawn(argv, env=os.environ, output=output)


def wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while processes.identity(pid) is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_identity_is_stable_and_ends_with_the_process() -> None:
    child = spawn(SLEEP)
    known_as = processes.identity(child.pid)

    assert known_as is not None
    assert processes.identity(child.pid) == known_as
    child.kill()
    wait_until_gone(child.pid)  # a zombie until we wait for it
    child.wait()
    assert processes.identity(2**22 + 1) is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children")
def test_a_child_dies_with_a_parent_that_was_killed() -> None:
    parent_code = (
        "import os, sys, time; from churnguard.runtime import processes;"
        f"child = processes.spawn({SLEEP!r}, env=os.environ, output=-3);"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", parent_code], stdout=-1)
    child_pid = int(parent.stdout.readline())
    assert processes.identity(child_pid) is not None

    parent.kill()
    parent.wait()
    parent.stdout.close()

    wait_until_gone(child_pid)


def read_line(pipe: int) -> bytes:
    """The next line; text and line break may come apart."""
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(pipe, 1)):
        line += byte
    return line


def test_stop_kills_a_child_that_will_not_listen_and_its_children() -> None:
    code = f"import subprocess; subprocess.Popen({SLEEP!r})\n"
    nested = [sys.executable, "-c", code + STUBBORN[2]]
    read_end, write_end = os.pipe()
    child = spawn(nested, write_end)
    os.close(write_end)
    assert read_line(read_end) == b"ready\n"

    assert processes.stop(child, patience_s=0.1) == -signal.SIGKILL
    # The pipe ends only when the grandchild, who shares it, is gone too.
    assert os.read(read_end, 100) == b""
    os.close(read_end)


def test_strays_are_stopped_but_not_a_stranger_with_the_same_number(
    tmp_path: Path,
) -> None:
    stray, stranger = spawn(SLEEP), spawn(SLEEP)
    files = processes.PidFiles(tmp_path)
    files.note("stray", stray.pid, signal.SIGTERM)
    files.note("other", stranger.pid, signal.SIGTERM)
    note = json.loads((tmp_path / "other.json").read_text())
    note["identity"] += "0"
    (tmp_path / "other.json").write_text(json.dumps(note))
    (tmp_path / "torn.json").write_text("{")

    assert files.stop_strays(patience_s=5) == ["stray"]
    assert stray.wait() == -signal.SIGTERM
    assert stranger.poll() is None
    assert list(tmp_path.iterdir()) == []
    processes.stop(stranger)
