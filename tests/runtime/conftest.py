"""Folders for embedded servers, and starts that are always ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.runtime.up import Up


@pytest.fixture
def folder() -> Path:
    """A short-named folder that the servers' account can enter."""
    return servers.temporary_home()


@pytest.fixture
def new_up(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Up]]:
    """Makes `Up` objects (on `folder`/home unless told) and stops them at the end."""
    made: list[Up] = []

    def make(home: Path | None = None, **env: str) -> Up:
        state = str(tmp_path_factory.getbasetemp() / "state")
        env = {"CHURNGUARD_STATE_DIR": state, **env}
        made.append(Up(home or folder / "home", **env))
        return made[-1]

    yield make
    for up in made:
        if up.process is not None and up.process.poll() is None:
            up.finish()


@pytest.fixture
def up(new_up: Callable[..., Up]) -> Up:
    """A start on a fresh folder that has become ready."""
    return new_up().start().wait_until_ready()
