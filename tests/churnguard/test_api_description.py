"""The API's own description."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def test_the_description_is_valid_and_made_without_a_warning(tmp_path: Path) -> None:
    """In a process of its own: the generator names each warning once per process."""
    made = subprocess.run(
        [
            sys.executable,
            "manage.py",
            "spectacular",
            "--validate",
            "--fail-on-warn",
            "--file",
            str(tmp_path / "schema.yml"),
        ],
        cwd=CHECKOUT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert made.returncode == 0, made.stderr[-4000:]
    text = (tmp_path / "schema.yml").read_text()
    assert "ApiKeyStateEnum:" in text
    assert "Warning" not in made.stderr
