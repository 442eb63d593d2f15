"""Order, restarts, refusals and log lines of the supervisor."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from churnguard.errors import ConfigError
from churnguard.runtime import processes
from churnguard.runtime.services import Service
from churnguard.runtime.stream import LogStream
from churnguard.runtime.supervisor import StopRequestedError, Supervisor


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def supervisor(tmp_path: Path, out: io.StringIO) -> Iterator[Supervisor]:
    with Supervisor(processes.PidFiles(tmp_path), LogStream(out)) as running:
        yield running


def python(name: str, code: str, **more: object) -> Service:
    argv = [sys.executable, "-S", "-E", "-c", code]
    return Service(name=name, argv=argv, env=dict(os.environ), **more)


def test_a_later_stage_stops_first_and_each_may_say_goodbye(
    supervisor: Supervisor, out: io.StringIO
) -> None:
    code = (
        "import os, signal, sys, time\n"
        "def bye(*_): os.write(1, b'bye\\n'); sys.exit()\n"
        "signal.signal(signal.SIGTERM, bye); os.write(1, b'up\\n')\n"
        "time.sleep(600)"
    )

    def is_up(name: str) -> bool:
        return f"{name:<12} | up" in out.getvalue()

    for name in ("server", "role"):
        supervisor.start([python(name, code, is_ready=partial(is_up, name))])

    supervisor.stop()

    assert out.getvalue().splitlines() == [
        "server       | up",
        "role         | up",
        "role         | bye",
        "server       | bye",
    ]


def test_a_service_that_ends_is_started_again_with_longer_pauses(
    supervisor: Supervisor, out: io.StringIO
) -> None:
    with pytest.raises(ConfigError, match=r"^weak did not start. Its reason is in the"):
        supervisor.start([python("weak", "raise SystemExit(3)", is_ready=bool)])

    events = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [event["metadata"]["message"] for event in events] == [
        "weak ended with code 3; starting it again in 0.2 s.",
        "weak ended with code 3; starting it again in 1 s.",
        "weak ended with code 3; starting it again in 2 s.",
    ]
    assert events[0] | {"timestamp": "", "metadata": {}} == {
        "timestamp": "",
        "level": "warn",
        "service": "supervisor",
        "operation": "service.restarted",
        "tenantId": "",
        "integrationId": "",
        "metadata": {},
    }


def test_a_service_that_cannot_run_at_all_ends_everything(
    supervisor: Supervisor, out: io.StringIO
) -> None:
    code = "print('the port is taken'); raise SystemExit(78)"

    with pytest.raises(ConfigError, match="web cannot run; its reason is above"):
        supervisor.start([python("web", code, is_ready=bool)])

    assert out.getvalue() == "web          | the port is taken\n"


def test_a_server_that_never_gets_ready_is_reported_with_the_end_of_its_log(
    supervisor: Supervisor, tmp_path: Path
) -> None:
    log = tmp_path / "log" / "db.log"
    code = "import time; print('no space left', flush=True); time.sleep(600)"
    service = python("db", code, is_ready=bool, log_file=log)

    with pytest.raises(ConfigError) as failure:
        supervisor.start([service], timeout_s=0.5)

    assert str(failure.value) == (
        f"db did not start. The end of {log}:\n  no space left"
    )


def test_a_job_runs_to_its_end_beside_the_services(
    supervisor: Supervisor, out: io.StringIO
) -> None:
    code = "print('half', end=''); raise SystemExit(5)"

    assert supervisor.run("job", [sys.executable, "-c", code], os.environ) == 5

    supervisor.stop()
    assert out.getvalue() == "job          | half\n"


def test_a_stop_signal_ends_the_waiting(supervisor: Supervisor) -> None:
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StopRequestedError):
        supervisor.watch()


def test_lines_on_a_terminal_carry_the_name_in_colour() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    stream = LogStream(out)
    stream.feed("web", 5, b'{"a": 1}\npart')
    stream.feed("web", 5, b" and end\nrest")
    stream.end("web", 5)
    stream.event("x.y", "A sentence.")

    plain = out.getvalue().replace("\x1b[0m", "")
    lines = [line.partition("m")[2] or line for line in plain.splitlines()]
    assert lines == [
        'web          | {"a": 1}',
        "web          | part and end",
        "web          | rest",
        "A sentence.",
    ]


def test_a_reader_that_went_away_asks_for_a_stop(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with (
        os.fdopen(write_end, "w") as out,
        Supervisor(processes.PidFiles(tmp_path), LogStream(out)) as running,
    ):
        running.stream.say("hello?")
        with pytest.raises(StopRequestedError):
            running.watch()
        os.dup2(os.open(os.devnull, os.O_WRONLY), write_end)
