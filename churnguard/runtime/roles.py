"""ChurnGuard's own processes: web, worker, beat. Later roles are added here.

`python -m churnguard.runtime.roles worker` becomes that process, as one container of
several does.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from churnguard.errors import ConfigError
from churnguard.runtime import counters, web
from churnguard.runtime.home import CHECKOUT, ensure
from churnguard.runtime.services import Service

_CELERY = ("-m", "celery", "--quiet", "-A", "churnguard")
WORKER_THREADS = "4"


def roles(env: Mapping[str, str], home: Path) -> list[Service]:
    """The processes that serve, work and keep time; `env` goes to all of them."""
    schedule = home / "beat"
    schedule.mkdir(mode=0o700, exist_ok=True)
    # WhiteNoise warns where the folder of collected files is missing.
    (home / "static").mkdir(exist_ok=True)
    return [
        _role("web", env, "-m", "churnguard.runtime.web", is_ready=answers),
        _role(
            "worker",
            env,
            *_CELERY,
            *("worker", "--pool", "threads", "--concurrency", WORKER_THREADS),
            *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
        ),
        _role("beat", env, *_CELERY, "beat", "--schedule", str(schedule / "schedule")),
    ]


def sample_life(env: Mapping[str, str]) -> Service:
    """What keeps the sample company living: it posts what its users do now."""
    return _role("sample", env, str(CHECKOUT / "manage.py"), "demo", "--live")


def become(name: str) -> None:
    """Turn this process into the role `name`. Raises ConfigError for an unknown one."""
    home = ensure()
    env = {counters.FOLDER: str(home / "prometheus"), **os.environ}
    Path(env[counters.FOLDER]).mkdir(exist_ok=True)
    known = {role.name: role for role in roles(env, home)}
    if name not in known:
        raise ConfigError(f"There is no role {name!r}, only {', '.join(known)}.")
    role = known[name]
    os.chdir(CHECKOUT)
    os.execvpe(role.argv[0], list(role.argv), dict(role.env))


def command(*words: str) -> list[str]:
    """The argument list of `manage.py words..` by this interpreter."""
    return [sys.executable, str(CHECKOUT / "manage.py"), *words]


def answers() -> bool:
    """Whether the dashboard's port gives any HTTP answer to a liveness question."""
    place = urlsplit(web.addresses()[0].url)
    connection = http.client.HTTPConnection(
        place.hostname or "127.0.0.1", place.port, timeout=5
    )
    try:
        connection.request("GET", "/webhooks/health", headers={"Host": _own_name()})
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True


def _own_name() -> str:
    """A name this server answers to, or each probe would be an error in its log."""
    first = os.environ.get("ALLOWED_HOSTS", "").split(",")[0].strip()
    return first.lstrip(".") if first.strip("*.") else "localhost"


def _role(name: str, env: Mapping[str, str], *words: str, **more: object) -> Service:
    return Service(
        name=name,
        argv=[sys.executable, *words],
        env={**env, "CHURNGUARD_ROLE": name},
        cwd=CHECKOUT,
        stop_patience_s=float(os.environ.get("CHURNGUARD_STOP_PATIENCE_S", "15")),
        **more,  # type: ignore[arg-type]
    )


if __name__ == "__main__":
    try:
        become(" ".join(sys.argv[1:]))
    except ConfigError as exc:
        sys.exit(str(exc))
