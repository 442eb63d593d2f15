"""`manage.py up` from outside: real servers, a real supervisor, tiny roles."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psycopg
import pytest
import redis

from churnguard.runtime import web
from tests.runtime.up import CHECKOUT, Up

NewUp = Callable[..., Up]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_first_start_gives_servers_secrets_and_facts_and_stops_without_a_trace(
    up: Up,
) -> None:
    env = up.run_note()["env"]
    with psycopg.connect(env["DATABASE_URL"]) as conn:
        names = ("wal_level", "fsync", "listen_addresses", "shared_buffers")
        shown = {n: conn.execute(f"SHOW {n}").fetchone()[0] for n in names}
    bus = redis.Redis.from_url(env["REDIS_URL"], socket_timeout=5)
    cache = redis.Redis.from_url(env["CACHE_URL"], socket_timeout=5)

    assert shown == {
        "wal_level": "logical",
        "fsync": "on",
        "listen_addresses": "",
        "shared_buffers": "256MB",
    }
    assert bus.config_get("appendfsync") == {"appendfsync": "always"}
    assert bus.config_get("appendonly") == {"appendonly": "yes"}
    assert bus.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    assert cache.config_get("appendonly") == {"appendonly": "no"}
    assert cache.config_get("maxmemory-policy") == {"maxmemory-policy": "allkeys-lru"}
    for name in ("secrets.env", "run.json", "demo.json"):
        assert mode(up.home / name) == 0o600
    for place in (up.home / "postgres", up.home / "sock"):
        assert mode(place) == 0o700
    assert json.loads((up.home / "demo.json").read_text())["dashboard_url"] == (
        f"http://127.0.0.1:{up.port}/"
    )
    assert "no JSON at all" in up.said()
    assert '\n{"service": "worker", "operation": "worker.waits"}\n' in up.said()

    assert up.finish(signal.SIGINT) == 0
    assert up.survivors() == []
    assert not (up.home / "run.json").exists()


def test_a_second_start_keeps_data_and_secrets_and_makes_no_second_sample(
    up: Up,
) -> None:
    first = up.run_note()["env"]
    with psycopg.connect(first["DATABASE_URL"]) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 7 AS n")
    up.finish()
    up.start().wait_until_ready()

    again = up.run_note()["env"]
    assert again == first
    with psycopg.connect(again["DATABASE_URL"]) as conn:
        assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
    assert "owner@example.com" in up.said()
    up.wait_for("sample       | demo --live")
    assert "demo         |" not in up.said()


def test_after_kill_9_nothing_survives_and_the_next_start_has_all_data(
    up: Up,
) -> None:
    env = up.run_note()["env"]
    with psycopg.connect(env["DATABASE_URL"]) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 7 AS n")
    redis.Redis.from_url(env["REDIS_URL"], socket_timeout=5).set("kept", 7)

    assert up.finish(signal.SIGKILL) == -signal.SIGKILL
    up.start().wait_until_ready()

    with psycopg.connect(env["DATABASE_URL"]) as conn:
        assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
    bus = redis.Redis.from_url(env["REDIS_URL"], socket_timeout=5)
    assert bus.get("kept") == b"7"
    up.finish(signal.SIGKILL)
    up.wait_until_gone()


def test_a_second_start_on_the_same_folder_says_so_and_ends(
    up: Up, new_up: NewUp
) -> None:
    second = new_up(up.home)
    second.log = up.home.with_name("second.log")

    assert second.start().exit_code() == 1
    assert second.said() == (
        f"ChurnGuard already runs on {up.home} (process {up.process.pid}). Stop it "
        "there with Ctrl-C, or set CHURNGUARD_HOME and the ports to run another.\n"
    )
    assert up.answer().startswith("web ")


def test_each_killed_process_is_started_again(up: Up) -> None:
    for name in ("web", "worker", "sample", "valkey-bus", "postgres"):
        killed = up.pid_of(name)
        os.kill(killed, signal.SIGKILL)
        up.wait_for(f"{name} was ended by SIGKILL; starting it again in 0.2 s.")
        up.wait_until(partial(up.is_noted, name, besides=killed))

    with up.database() as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)
    up.wait_until(up.answers)


def test_a_taken_port_is_named_with_its_variable_before_anything_starts(
    new_up: NewUp,
) -> None:
    up = new_up()
    address = web.Address("127.0.0.1", up.port, "DASHBOARD_PORT")
    with web.open_socket(address):
        code = up.start().exit_code()

    assert code == 1
    assert f"Port {up.port} on 127.0.0.1 is taken by another program." in up.said()
    assert "DASHBOARD_PORT=" in up.said()
    assert not (up.home / "postgres").exists()


def test_a_port_that_is_no_port_is_refused(new_up: NewUp) -> None:
    up = new_up(WEBHOOK_SERVER_PORT="http")

    assert up.start().exit_code() == 1
    assert up.said() == (
        "WEBHOOK_SERVER_PORT is 'http'; a port is a number from 1 to 65535.\n"
    )


def test_a_long_path_moves_only_the_sockets(new_up: NewUp, folder: Path) -> None:
    deep = folder / ("d" * 60) / ("e" * 60) / "home"
    deep.parent.mkdir(parents=True)
    up = new_up(deep).start().wait_until_ready()

    with up.database() as conn:
        socket_folder, data = conn.execute(
            "SELECT current_setting('unix_socket_directories'),"
            " current_setting('data_directory')"
        ).fetchone()
    assert len(socket_folder) < 80
    assert mode(Path(socket_folder)) == 0o700
    assert data == str(deep / "postgres")
    up.finish()
    assert up.survivors() == []
    Path(socket_folder).rmdir()


def test_with_both_urls_set_nothing_is_embedded(new_up: NewUp) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "SECRET_KEY", "INTEGRATION_ENCRYPTION_KEY")
    up = new_up(**{name: os.environ[name] for name in names})
    up.start("--no-demo").wait_until_ready()

    assert up.run_note()["env"]["DATABASE_URL"] == os.environ["DATABASE_URL"]
    assert {path.stem for path in (up.home / "pids").iterdir()} == {"web", "worker"}
    assert {path.name for path in up.home.iterdir()}.isdisjoint(
        {"postgres", "sock", "valkey-bus", "valkey-cache", "secrets.env"}
    )
    assert "| demo" not in up.said()


def test_an_external_database_needs_secrets_of_its_own(new_up: NewUp) -> None:
    up = new_up(DATABASE_URL=os.environ["DATABASE_URL"], SECRET_KEY="set")

    assert up.start().exit_code() == 1
    assert "so INTEGRATION_ENCRYPTION_KEY must be set too" in up.said()


_KEYS = {"SECRET_KEY": "set", "INTEGRATION_ENCRYPTION_KEY": f"{'MDAw' * 10}MDA="}


@pytest.mark.parametrize(
    ("env", "told"),
    [
        (
            {"DATABASE_URL": "postgresql://ann:hush@127.0.0.1:1/none", **_KEYS},
            "PostgreSQL at DATABASE_URL cannot be used: connection failed: connection "
            'to server at "127.0.0.1", port 1 failed: Connection refused. Correct the '
            "address, or unset DATABASE_URL to use the embedded server.\n",
        ),
        (
            {"DATABASE_URL": "mysql://ann:hush@127.0.0.1/none", **_KEYS},
            "DATABASE_URL must look like postgresql://user:password@host:5432/name.\n",
        ),
        (
            {"REDIS_URL": "redis://:hush@127.0.0.1:1/0"},
            "Redis at REDIS_URL cannot be used: Error 111 connecting to 127.0.0.1:1. "
            "Connection refused. Correct the address, or unset REDIS_URL to use the "
            "embedded server.\n",
        ),
        (
            {"INTEGRATION_ENCRYPTION_KEY_FILE": "/proc/none"},
            "INTEGRATION_ENCRYPTION_KEY_FILE names /proc/none, which cannot be read: "
            "No such file or directory.\n",
        ),
    ],
    ids=["gone", "mysql", "redis", "file"],
)
def test_an_address_that_leads_nowhere_is_named_before_anything_starts(
    new_up: NewUp, env: dict[str, str], told: str
) -> None:
    up = new_up(**env)

    assert up.start().exit_code() == 1
    assert up.said() == told
    assert not (up.home / "postgres").exists()


def test_a_key_that_encrypts_nothing_is_refused(new_up: NewUp) -> None:
    up = new_up(INTEGRATION_ENCRYPTION_KEY="hush")

    assert up.start().exit_code() == 1
    assert "must be one or more comma-separated Fernet keys" in up.said()
    assert "hush" not in up.said()


def test_a_data_folder_that_cannot_be_made_is_named(
    new_up: NewUp, folder: Path
) -> None:
    file = folder / "file"
    file.touch()
    up = new_up(folder / "home")
    up.env["CHURNGUARD_HOME"] = str(file / "home")

    assert up.start().exit_code() == 1
    assert up.said() == (
        f"The data folder {file / 'home'} cannot be made (Not a directory). Set "
        "CHURNGUARD_HOME to a folder that can.\n"
    )


def test_a_sample_that_failed_is_made_again_by_the_next_start(new_up: NewUp) -> None:
    up = new_up(STAND_IN_DEMO_CODE="3").start().wait_until_ready()
    assert "The sample company could not be made" in up.said()
    up.finish()

    up.env["STAND_IN_DEMO_CODE"] = "0"
    up.start("--empty").wait_until_ready()

    assert "demo         | demo --empty" in up.said()
    assert not (up.home / "pids" / "sample.json").exists()
    assert "could not be made" not in up.said()


def test_other_commands_find_the_running_servers(up: Up) -> None:
    read = "from churnguard.runtime import home; print(home.running_env())"

    def running_env() -> str:
        return subprocess.run(
            [sys.executable, "-c", read],
            env=up.env,
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    assert up.run_note()["env"]["DATABASE_URL"] in running_env()
    up.finish(signal.SIGKILL)
    assert (up.home / "run.json").exists()
    assert running_env() == "{}\n"
