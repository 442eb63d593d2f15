"""The data folder and its secrets."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from churnguard.runtime import home


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CHURNGUARD_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_without_a_variable_it_lies_in_the_checkout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CHURNGUARD_HOME")

    assert home.home() == Path(__file__).resolve().parents[2] / ".churnguard"


def test_asking_for_the_folder_does_not_make_it(own_home: Path) -> None:
    assert home.home() == own_home
    assert home.read_secrets() == {}
    assert home.read_demo() == {}
    assert home.running_env() == {}
    assert not own_home.exists()


def test_secrets_are_made_once_usable_and_private(own_home: Path) -> None:
    made = home.ensure_secrets()

    assert home.ensure_secrets() == made == home.read_secrets()
    assert len(made["SECRET_KEY"]) >= 50
    Fernet(made["INTEGRATION_ENCRYPTION_KEY"].encode())
    assert stat.S_IMODE((own_home / "secrets.env").stat().st_mode) == 0o600
    assert stat.S_IMODE(own_home.stat().st_mode) == 0o700


def test_a_secret_somebody_added_or_removed_is_respected(own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "secrets.env").write_text("# mine\nSECRET_KEY=chosen=by me\n")

    assert home.ensure_secrets()["SECRET_KEY"] == "chosen=by me"
    assert set(home.read_secrets()) == set(home.SECRET_NAMES)


def test_demo_facts_come_back(own_home: Path) -> None:
    path = home.write_demo({"email": "owner@example.com"})

    assert home.read_demo() == {"email": "owner@example.com"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in own_home.iterdir()] == ["demo.json"]


def test_the_running_environment_is_that_of_a_live_supervisor_only(
    own_home: Path,
) -> None:
    home.write_run({"DATABASE_URL": "postgresql:///x"})
    assert home.running_env() == {"DATABASE_URL": "postgresql:///x"}

    note = json.loads((own_home / "run.json").read_text())
    note["identity"] = "another process with the same number"
    (own_home / "run.json").write_text(json.dumps(note))
    assert home.running_env() == {}

    home.write_run({})
    home.clear_run()
    assert home.running_env() == {}


def test_a_cut_short_note_counts_for_nothing(own_home: Path) -> None:
    own_home.mkdir()
    (own_home / "run.json").write_text(f'{{"pid": {os.getpid()}, "iden')

    assert home.running_env() == {}
