"""The real server in a process of its own, and a Chromium that forgives nothing.

A test that uses `page` fails on any console error, uncaught exception, violation of
the content security policy, failed request or answer of 400 and above, unless it says
beforehand what it expects: `guard.allow(r"422 .*/integrations/new/")`.

`page.wait_for_function("text")` evaluates inside the page, which the policy forbids:
wait with `expect(locator)`.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page

from tests import servers
from tests.conftest import chromium_path

APPLICATION = "churnguard.asgi:application"
CHECKOUT = Path(__file__).resolve().parents[2]
AXE = CHECKOUT / "tests" / "vendor" / "axe" / "axe.min.js"
AXE_RULES = {
    "light": {
        "type": "tag",
        "values": [
            *("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"),
            "best-practice",
        ],
    },
    # What does not depend on colours was seen in light.
    "dark": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]},
}
AXE_RUN = """
async (rules) => {
  const options = { runOnly: rules, resultTypes: ["violations"] };
  return (await axe.run(document, options)).violations;
}
"""
CHROMIUM_ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
]
REPORT_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} blocked ${event.blockedURI}`);
});
"""


@dataclass
class Guard:
    """What the browser complained about during a test."""

    faults: list[str] = field(default_factory=list)
    allowed: list[re.Pattern[str]] = field(default_factory=list)

    def allow(self, pattern: str) -> None:
        """Expect complaints that match; an answer reads `404 http://..`."""
        self.allowed.append(re.compile(pattern))

    def note(self, text: str) -> None:
        self.faults.append(text)

    def unexpected(self) -> list[str]:
        """The complaints nobody allowed, in order."""
        return [
            fault
            for fault in self.faults
            if not any(pattern.search(fault) for pattern in self.allowed)
        ]

    def watch(self, page: Page) -> None:
        """Note every complaint of this page from now on."""
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self.note(f"exception: {error}"))
        page.on("requestfailed", self._on_failed)
        page.on("response", self._on_response)

    def _on_console(self, message: Any) -> None:
        # Chromium repeats each answer >= 400 here; _on_response has it with its status.
        if message.type == "error" and "Failed to load resource" not in message.text:
            self.note(f"console: {message.text}")

    def _on_failed(self, request: Any) -> None:
        # Leaving a page aborts what it was still asking for: no fault.
        if request.failure and "ERR_ABORTED" not in request.failure:
            self.note(f"failed: {request.url} {request.failure}")

    def _on_response(self, response: Any) -> None:
        if response.status >= 400:
            self.note(f"{response.status} {response.url}")


@pytest.fixture(autouse=True, scope="session")
def orm_beside_a_loop() -> None:
    """Playwright's sync interface runs an event loop; the ORM would refuse to work.

    Not at import: other tests must still see that refusal.
    """
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    """Debian's Chromium instead of a downloaded one."""
    return {"executable_path": chromium_path(), "args": CHROMIUM_ARGS}


@pytest.fixture(scope="session")
def server(django_db_setup: None) -> Iterator[str]:
    """The address of a real web process on the test database, without a slash.

    Rows must be committed to be seen there: use `transactional_db` (the `signed_in`
    fixture does).
    """
    with serving_web() as address:
        yield address


@contextmanager
def serving_web(**more: str) -> Iterator[str]:
    """A web process with `more` in its environment; its address."""
    port = _free_port()
    address = f"http://127.0.0.1:{port}"
    environment = server_environment() | more
    log = Path(environment["CHURNGUARD_HOME"]) / f"browser-web-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "uvicorn", APPLICATION),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--no-access-log", "--log-level", "warning"),
            ],
            cwd=CHECKOUT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _wait_until_it_answers(address, process, log)
            yield address
        finally:
            _stop(process)


def server_environment() -> dict[str, str]:
    """The environment of a process that works on the test database."""
    return {
        **os.environ,
        "DATABASE_URL": servers.database_url(),
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "PYTHONPATH": str(CHECKOUT),
    }


@pytest.fixture(scope="module")
def profile(
    browser: Browser, browser_context_args: dict[str, Any]
) -> Iterator[BrowserContext]:
    """A browser profile that reports violations of the policy.

    For a module, because a new one takes Chromium as long as a page; `context` keeps
    nothing of a test for the next one.
    """
    made = browser.new_context(**browser_context_args)
    made.add_init_script(REPORT_VIOLATIONS)
    made.set_default_timeout(10_000)
    yield made
    made.close()


@pytest.fixture
def context(profile: BrowserContext) -> Iterator[BrowserContext]:
    """The profile without cookies, storage and open pages."""
    yield profile
    for page in profile.pages:
        _leave(page)
    profile.clear_cookies()


@pytest.fixture
def guard() -> Guard:
    """The complaints of the browser; `page` checks them at the end of the test."""
    return Guard()


@pytest.fixture
def page(context: BrowserContext, guard: Guard) -> Iterator[Page]:
    """A page whose test fails on any complaint of the browser."""
    page = context.new_page()
    guard.watch(page)
    yield page
    _leave(page)
    assert guard.unexpected() == []


@pytest.fixture
def signed_in(
    transactional_db: None, server: str, context: BrowserContext
) -> Callable[[Any], str]:
    """`signed_in(alice)` gives the browser her session; returns the address."""

    def enter(user: Any) -> str:
        client = Client()
        client.force_login(user)
        name = settings.SESSION_COOKIE_NAME
        cookie = {"name": name, "value": client.cookies[name].value, "url": server}
        context.add_cookies([cookie])
        return server

    return enter


@pytest.fixture
def axe() -> Callable[[Page], None]:
    """`axe(page)` fails with the findings of axe-core, in light and in dark."""
    source = AXE.read_text(encoding="utf-8")

    def check(page: Page) -> None:
        page.evaluate(source)
        for theme, rules in AXE_RULES.items():
            # A colour that is still changing would be measured half-way.
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            found = page.evaluate(AXE_RUN, rules)
            assert [_describe(theme, violation) for violation in found] == []

    return check


@pytest.fixture
def reflows() -> Callable[..., None]:
    """`reflows(page)` fails if the page scrolls sideways at 320 CSS pixels."""

    def check(page: Page, width: int = 320) -> None:
        before = page.viewport_size
        page.set_viewport_size({"width": width, "height": 740})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        if before:
            page.set_viewport_size(before)

    return check


def photograph(page: Page, name: str) -> None:
    """The whole page for people to look at, where CHURNGUARD_SHOTS names a folder."""
    if folder := os.environ.get("CHURNGUARD_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


def _describe(theme: str, violation: dict[str, Any]) -> str:
    nodes = violation["nodes"]
    return (
        f"{theme}: {violation['id']} x{len(nodes)}: {nodes[0]['html'][:200]} "
        f"{nodes[0]['failureSummary'][:300]}"
    )


def _leave(page: Page) -> None:
    if page.url.startswith("http") and not page.is_closed():
        page.evaluate("localStorage.clear(); sessionStorage.clear()")
    page.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_it_answers(
    address: str, process: subprocess.Popen[bytes], log: Path
) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/static/css/app.css", timeout=2).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
        else:
            return
    words = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"The web process did not start:\n{words}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=15)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
