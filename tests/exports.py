"""Folders of files as integrations, and RavenStack's real export."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import pytest

from churnguard.models import Organization
from integrations import registry, runs
from integrations.models import Integration, SyncRun


def connect_folder(
    org: Organization,
    folder: Path,
    name: str,
    *,
    pattern: str = "*.csv",
    **sync_config: Any,
) -> Integration:
    """An integration with the files of a folder; its id is the name in lower case."""
    return registry.create(
        org,
        {
            "integration_id": name.lower(),
            "integration_name": name,
            "provider_name": "file",
            "settings": {"path": str(folder), "pattern": pattern},
            "sync_config": {"sync_frequency": 0, **sync_config},
        },
        by="test",
        trusted_root=folder,
    )


def connect_ravenstack(org: Organization, shared: Path) -> Integration:
    """The export in the data folder; skips where it is missing."""
    folder = shared / "data"
    if not any(folder.glob("ravenstack_*")):
        pytest.skip("the RavenStack files are not in the data folder")
    return connect_folder(org, folder, "RavenStack", pattern="ravenstack_*")


def read_ravenstack(shared: Path, name: str) -> list[dict[str, str]]:
    """The rows of one of its files: accounts, subscriptions, churn_events, .."""
    path = next((shared / "data").glob(f"ravenstack_{name}.csv*"))
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def sync(integration: Integration, mode: str = "") -> SyncRun:
    """A run, worked on to its end."""
    run = runs.start(integration, mode=mode)
    while runs.run_now(run.pk):
        pass
    run.refresh_from_db()
    integration.refresh_from_db()
    return run
