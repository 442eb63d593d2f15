"""The data folder: where it is, its secrets, and the note of what runs on it."""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from churnguard.errors import ConfigError
from churnguard.runtime import processes

CHECKOUT = Path(__file__).resolve().parents[2]

SECRET_NAMES = ("SECRET_KEY", "INTEGRATION_ENCRYPTION_KEY")


def home() -> Path:
    """CHURNGUARD_HOME, else `.churnguard` in the checkout. It may not exist yet."""
    configured = os.environ.get("CHURNGUARD_HOME", "")
    return Path(configured).expanduser().absolute() if configured else _default()


def ensure() -> Path:
    """`home()`, made with mode 0700 if it was not there. Raises ConfigError where it
    cannot be made, PermissionError where that is somebody else's to do."""
    path = home()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except PermissionError:
        raise
    except OSError as exc:
        raise ConfigError(
            f"The data folder {path} cannot be made ({exc.strerror}). Set "
            "CHURNGUARD_HOME to a folder that can."
        ) from exc
    return path


def read_secrets() -> dict[str, str]:
    """What `secrets.env` holds; empty where it does not exist."""
    try:
        text = (home() / "secrets.env").read_text()
    except FileNotFoundError:
        return {}
    pairs = (
        line.partition("=") for line in text.splitlines() if not line.startswith("#")
    )
    return {name.strip(): value.strip() for name, sep, value in pairs if sep}


def ensure_secrets() -> dict[str, str]:
    """Both secrets of this folder; the missing ones are made and kept, mode 0600."""
    known = read_secrets()
    made = {name: _new_secret(name) for name in SECRET_NAMES if not known.get(name)}
    if made:
        known.update(made)
        lines = ["# Made on the first start. Without it stored credentials are lost."]
        lines += [f"{name}={value}" for name, value in known.items()]
        write_private(ensure() / "secrets.env", "\n".join(lines) + "\n")
    return known


def write_demo(facts: Mapping[str, Any]) -> Path:
    """Keep what a newcomer needs in `demo.json`, mode 0600.

    Keys: dashboard_url, ingest_url, email, password, organization_id, api_key.
    """
    path = ensure() / "demo.json"
    write_private(path, json.dumps(dict(facts), indent=2) + "\n")
    return path


def read_demo() -> dict[str, Any]:
    """What `demo.json` holds; empty where it does not exist or is cut short."""
    return _read_json(home() / "demo.json")


def write_run(env: Mapping[str, str]) -> None:
    """Note that this process supervises the folder, and the environment it gave."""
    pid = os.getpid()
    note = {"pid": pid, "identity": processes.identity(pid), "env": dict(env)}
    write_private(ensure() / "run.json", json.dumps(note, indent=2) + "\n")


def clear_run() -> None:
    """Take the note of `write_run` away. Idempotent."""
    (home() / "run.json").unlink(missing_ok=True)


def running_env() -> dict[str, str]:
    """The environment of the embedded servers that run now on this folder, or {}.

    A note left by a supervisor that was killed counts for nothing.
    """
    note = _read_json(home() / "run.json")
    pid = note.get("pid")
    if not isinstance(pid, int) or not note.get("identity"):
        return {}
    if processes.identity(pid) != note["identity"]:
        return {}
    return {str(name): str(value) for name, value in note.get("env", {}).items()}


def write_private(path: Path, text: str) -> None:
    """Replace `path` in one step by a file only its owner may read."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(path)


def _default() -> Path:
    return CHECKOUT / ".churnguard"


def _new_secret(name: str) -> str:
    if name == "INTEGRATION_ENCRYPTION_KEY":
        # A Fernet key: 32 random bytes in URL-safe base64.
        return base64.urlsafe_b64encode(os.urandom(32)).decode()
    return secrets.token_urlsafe(48)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (FileNotFoundError, PermissionError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
