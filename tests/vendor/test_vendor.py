"""Files kept from others are exactly the files that were released."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
LIST = CHECKOUT / "static" / "vendor" / "VENDOR.toml"
PACKAGES = tomllib.loads(LIST.read_text(encoding="utf-8"))["package"]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package["name"])
def test_files_have_the_recorded_hashes(package: dict[str, object]) -> None:
    folder = CHECKOUT / str(package["path"])
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.is_file()
    }

    assert found == package["sha256"]


def test_nothing_points_to_a_source_map_that_is_not_here() -> None:
    files = [*(CHECKOUT / "static").rglob("*.js"), *CHECKOUT.glob("static/**/*.css")]

    assert [path for path in files if "sourceMappingURL" in path.read_text()] == []
