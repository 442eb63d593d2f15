"""README's first command, in a clean clone, as a newcomer types it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import servers
from tests.runtime.up import CHECKOUT, Up

pytestmark = pytest.mark.slow
LIMIT_S = 180
"""The promise: from clone to first scored customer on 2 idle cores."""


class Make(Up):
    """`make run` in a clone; the data folder is the default one inside it."""

    def start(self, *arguments: str, **popen: Any) -> Make:
        environment = {k: v for k, v in self.env.items() if k != "PYTHONPATH"}
        environment.pop("CHURNGUARD_HOME")
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                ["make", "run", f"ARGS={' '.join(arguments)}"],
                cwd=self.home.parent,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                process_group=0,
                **popen,
            )
        return self

    def press_ctrl_c(self) -> None:
        """A terminal signals the whole foreground group, make and what it runs."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGINT)
        self.process.wait(timeout=60)

    def facts(self) -> dict[str, str]:
        return json.loads((self.home / "demo.json").read_text())

    def get(self, path: str) -> Any:
        facts = self.facts()
        request = urllib.request.Request(
            facts["dashboard_url"].rstrip("/") + path,
            headers={"Authorization": f"Bearer {facts['api_key']}"},
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read())

    def has_scored_customer(self) -> bool:
        try:
            results = self.get("/api/v1/customers?limit=5")["results"]
        except (OSError, ValueError, KeyError):
            return False
        return any(customer["score"] is not None for customer in results)


@pytest.fixture
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A clean clone of what is committed, in a folder the servers' account enters."""
    if not (CHECKOUT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to clone")
    folder = servers.temporary_home() / "churnguard"
    subprocess.run(["git", "clone", "-q", str(CHECKOUT), str(folder)], check=True)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make(clone: Path) -> Iterator[Make]:
    made = Make(clone / ".churnguard")
    made.log = clone.parent / "make.log"
    yield made
    if made.process is not None and made.process.poll() is None:
        made.press_ctrl_c()


def test_make_run_leads_to_a_scored_customer_and_survives_kills(
    make: Make,
    record_testsuite_property: Any,
) -> None:
    # The promise is for idle cores; a busy machine gets as much more as it is busy.
    patience = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    begun = time.monotonic()
    make.start()
    make.wait_for("ChurnGuard is ready", timeout_s=600)
    make.wait_until(make.has_scored_customer, timeout_s=120)
    took_s = time.monotonic() - begun
    record_testsuite_property("clone_to_scored_customer_s", round(took_s))
    facts = make.facts()
    customers = len(make.get("/api/v1/customers?limit=100")["results"])

    assert took_s < LIMIT_S * patience
    assert set(facts) >= {
        "dashboard_url",
        "ingest_url",
        "email",
        "password",
        "organization_id",
        "api_key",
    }
    for fact in ("email", "password", "api_key"):
        assert facts[fact] in make.said()

    make.press_ctrl_c()
    assert make.survivors() == []

    make.start().wait_for("ChurnGuard is ready", timeout_s=120)
    assert make.facts() == facts
    os.kill(make.run_note()["pid"], signal.SIGKILL)
    make.exit_code()
    make.wait_until_gone()

    make.start().wait_for("ChurnGuard is ready", timeout_s=120)
    assert make.facts() == facts
    assert len(make.get("/api/v1/customers?limit=100")["results"]) == customers
    make.press_ctrl_c()
    assert make.survivors() == []


def test_make_run_empty_leads_to_an_account_without_customers(make: Make) -> None:
    make.start("--empty")
    make.wait_for("ChurnGuard is ready", timeout_s=600)

    assert make.get("/api/v1/customers")["results"] == []
    with urllib.request.urlopen(make.facts()["dashboard_url"], timeout=30) as page:
        assert page.url.endswith("/sign-in/?next=/")
