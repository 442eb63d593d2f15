"""What each of ChurnGuard's own processes is started as."""

from __future__ import annotations

import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
import yaml

from churnguard.runtime import roles
from churnguard.runtime.home import CHECKOUT

NAMES = ["web", "worker", "beat"]


def test_the_roles_and_their_environment(tmp_path: Path) -> None:
    made = roles.roles({"SECRET_KEY": "x"}, tmp_path)

    assert [role.name for role in made] == NAMES
    for role in made:
        assert role.env == {"SECRET_KEY": "x", "CHURNGUARD_ROLE": role.name}
        assert role.argv[0] == sys.executable


def test_becoming_an_unknown_role_names_the_known_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHURNGUARD_HOME", str(tmp_path))

    done = subprocess.run(
        [sys.executable, "-m", "churnguard.runtime.roles", "cook"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr == "There is no role 'cook', only web, worker, beat.\n"


def test_the_compose_file_runs_every_role() -> None:
    services = yaml.safe_load((CHECKOUT / "docker" / "compose.yml").read_text())
    entrypoint = (CHECKOUT / "docker" / "entrypoint").read_text()

    assert set(NAMES) <= set(services["services"])
    assert f"{' | '.join(NAMES)})" in entrypoint


def test_every_variable_of_the_settings_is_documented() -> None:
    settings = (CHECKOUT / "churnguard" / "settings.py").read_text()
    guide = (CHECKOUT / "docs" / "deployment.md").read_text()
    read = re.findall(r'(?:env\.\w+|_required)\(\s*"(\w+)"', settings)

    assert len(read) > 30
    assert [name for name in read if f"`{name}`" not in guide] == ["DEBUG"]


def test_the_image_holds_no_secrets_of_the_machine_it_is_built_on() -> None:
    ignored = (CHECKOUT / ".dockerignore").read_text().splitlines()

    assert {"docker/.env", ".churnguard", ".git"} <= set(ignored)


@pytest.mark.parametrize(
    ("allowed", "host"),
    [
        (None, "localhost"),
        ("*", "localhost"),
        (".example.com,localhost", "example.com"),
        ("cg.example.com", "cg.example.com"),
    ],
)
def test_a_probe_asks_by_a_name_the_server_answers_to(
    monkeypatch: pytest.MonkeyPatch, allowed: str | None, host: str
) -> None:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers["Host"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.handle_request, daemon=True).start()
        monkeypatch.setenv("DASHBOARD_PORT", str(server.server_port))
        if allowed is None:
            monkeypatch.delenv("ALLOWED_HOSTS", raising=False)
        else:
            monkeypatch.setenv("ALLOWED_HOSTS", allowed)
        assert roles.answers()

    assert asked == [host]
