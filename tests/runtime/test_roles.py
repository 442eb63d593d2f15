"""What each of ChurnGuard's own processes is started as."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

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
