"""`manage.py up`: from an empty folder to a running ChurnGuard, and back."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from churnguard.errors import ConfigError
from churnguard.runtime import counters, preflight, processes, web
from churnguard.runtime import home as homes
from churnguard.runtime.postgres import EmbeddedPostgres
from churnguard.runtime.roles import command, sample_life
from churnguard.runtime.roles import roles as product_roles
from churnguard.runtime.services import Service
from churnguard.runtime.stream import LogStream
from churnguard.runtime.supervisor import StopRequestedError, Supervisor
from churnguard.runtime.valkey import EmbeddedValkey

Roles = Callable[[Mapping[str, str], Path], list[Service]]


def main(
    arguments: Sequence[str],
    *,
    roles: Roles = product_roles,
    manage: Callable[..., list[str]] = command,
) -> int:
    """Run until somebody stops it. 0 after a stop, 1 when it cannot run (and says why).

    roles and manage: what to run, and how `manage.py` is called; tests give others.
    """
    options = parse(arguments)
    stream = LogStream()
    try:
        home = homes.ensure()
        with only_one(home):
            _run(options, home, stream, roles, manage)
    except (StopRequestedError, KeyboardInterrupt):
        stream.say("Stopped.")
        return 0
    except ConfigError as exc:
        sys.stderr.write(f"{exc}\n")
        return 1
    except PermissionError as exc:
        sys.stderr.write(
            f"{exc.filename} belongs to another user. Start as that user, or set "
            "CHURNGUARD_HOME to a folder of your own.\n"
        )
        return 1
    return 0


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of `manage.py up`."""
    parser = argparse.ArgumentParser(
        prog="manage.py up", description="Start everything and keep it running."
    )
    parser.add_argument(
        "--empty",
        action="store_true",
        help="on the first start make only an owner, an organisation and an API key",
    )
    parser.add_argument(
        "--no-demo",
        action="store_true",
        help="make nothing on the first start, and let a sample company rest",
    )
    return parser.parse_args(arguments)


@contextmanager
def only_one(home: Path) -> Iterator[None]:
    """Hold the folder's lock. Raises ConfigError when somebody else does."""
    with (home / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.seek(0)
            pid = lock.read().strip() or "unknown"
            raise ConfigError(
                f"ChurnGuard already runs on {home} (process {pid}). Stop it there "
                "with Ctrl-C, or set CHURNGUARD_HOME and the ports to run another."
            ) from exc
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _run(
    options: argparse.Namespace,
    home: Path,
    stream: LogStream,
    roles: Roles,
    manage: Callable[..., list[str]],
) -> None:
    begun = time.monotonic()
    # Asked before anything starts, so that a taken port costs no waiting.
    for address in web.addresses():
        web.open_socket(address).close()
    pid_files = processes.PidFiles(home / "pids")
    for name in pid_files.stop_strays():
        stream.say(f"Stopped {name}, which an earlier start had left behind.")
    env = _base_environment(home, stream)
    with Supervisor(pid_files, stream) as supervisor:
        try:
            env |= _start_servers(supervisor, home, stream)
            homes.write_run({name: env[name] for name in _NOTED if name in env})
            stream.say("Bringing the database up to date")
            if supervisor.run("migrate", manage("migrate", "--noinput"), env) != 0:
                raise ConfigError("The migration failed; its reason is above.")
            stream.say("Starting web, worker and beat")
            supervisor.start(roles(env, home), timeout_s=120)
            _first_start(supervisor, home, options, env, stream, manage)
            if homes.read_demo().get("sample"):
                supervisor.start([sample_life(env)], timeout_s=60)
            stream.say(_greeting(time.monotonic() - begun))
            if "sample" in homes.read_demo() and not options.no_demo:
                live = Service(name="sample", argv=manage("demo", "--live"), env=env)
                supervisor.start([live])
            supervisor.watch()
        except StopRequestedError:
            stream.say("Stopping everything")
            raise
        finally:
            supervisor.stop()
            homes.clear_run()


_NOTED = (
    "CACHE_URL",
    "DATABASE_URL",
    "INTEGRATION_ENCRYPTION_KEY",
    counters.FOLDER,
    "REDIS_URL",
    "SECRET_KEY",
)
"""What other commands on the same folder need to see what we see."""


def _base_environment(home: Path, stream: LogStream) -> dict[str, str]:
    """Ours, the secrets, and an empty folder for the counters of this start."""
    counted = home / "prometheus"
    shutil.rmtree(counted, ignore_errors=True)
    counted.mkdir(mode=0o700)
    env = {
        **os.environ,
        "CHURNGUARD_HOME": str(home),
        counters.FOLDER: str(counted),
        "PYTHONUNBUFFERED": "1",
    }
    env.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
    if stream.on_terminal:
        env.setdefault("LOG_FORMAT", "console")
    missing = [name for name in homes.SECRET_NAMES if not _is_set(name)]
    if _is_set("DATABASE_URL") and missing:
        raise ConfigError(
            f"DATABASE_URL is set, so {' and '.join(missing)} must be set too: secrets "
            "are made by themselves only for the embedded database."
        )
    preflight.check_servers(os.environ)
    if missing:
        kept = homes.ensure_secrets()
        env |= {name: kept[name] for name in missing}
    return env


def _start_servers(
    supervisor: Supervisor, home: Path, stream: LogStream
) -> dict[str, str]:
    """Start what no variable points to elsewhere; returns the addresses."""
    postgres = EmbeddedPostgres(home)
    found: dict[str, str] = {}
    if not _is_set("DATABASE_URL"):
        stream.say(f"Starting PostgreSQL in {home}")
        postgres.prepare()
        supervisor.start([postgres.service()], timeout_s=180)
        found["DATABASE_URL"] = postgres.dsn
    if not _is_set("REDIS_URL"):
        stream.say("Starting Valkey (bus and cache)")
        sockets = postgres.private_sockets()
        pair = [
            EmbeddedValkey(home, role=role, sockets=sockets)
            for role in ("bus", "cache")
        ]
        for server in pair:
            server.prepare()
        supervisor.start([server.service() for server in pair])
        found["REDIS_URL"] = pair[0].url
        if not _is_set("CACHE_URL"):
            found["CACHE_URL"] = pair[1].url
    return found


def _first_start(
    supervisor: Supervisor,
    home: Path,
    options: argparse.Namespace,
    env: Mapping[str, str],
    stream: LogStream,
    manage: Callable[..., list[str]],
) -> None:
    """Make the sample company once; a start that was cut short makes it again."""
    done = home / "demo.done"
    if done.exists() or options.no_demo:
        return
    words = ["demo", "--empty"] if options.empty else ["demo"]
    if not options.empty:
        stream.say(
            f"Making the sample company; see it grow on {web.addresses()[0].url}/"
        )
    if supervisor.run("demo", manage(*words), env) == 0:
        done.touch()
        return
    stream.event(
        "demo.failed",
        "The sample company could not be made (the reason is above); everything else "
        "runs. The next start tries again, --no-demo leaves it out.",
        level="error",
    )


def _greeting(seconds: float) -> str:
    """Where to go next; the addresses in demo.json follow the ports of this start."""
    places = web.addresses()
    dashboard, ingest = f"{places[0].url}/", f"{places[-1].url}/api/v1/data/ingest/"
    facts = homes.read_demo()
    if facts and (facts.get("dashboard_url"), facts.get("ingest_url")) != (
        dashboard,
        ingest,
    ):
        facts |= {"dashboard_url": dashboard, "ingest_url": ingest}
        homes.write_demo(facts)
    lines = ["", f"ChurnGuard is ready after {seconds:.0f} s.", ""]
    lines.append(f"  Dashboard  {dashboard}")
    if facts:
        lines.append(f"  Sign in    {facts.get('email')}  {facts.get('password')}")
        lines.append(f"  API key    {facts.get('api_key')}")
    lines.append(f"  Ingest     POST {ingest}{{source}}")
    if facts:
        lines.append(f"  Also in    {homes.home() / 'demo.json'}")
    return "\n".join([*lines, "", "Ctrl-C stops everything.", ""])


def _is_set(name: str) -> bool:
    """Whether the variable, or its `_FILE` form, has a value."""
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))
