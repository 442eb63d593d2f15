"""The main way through the product, by keyboard: sign in, import a file, watch the
run, open a customer, see its score change."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Locator, Page, expect

from churnguard.auth import create_api_key
from churnguard.models import Customer, UsageEvent
from churnguard.stream import notes
from integrations import runs
from integrations.models import SyncRun
from tests.browser.conftest import CHECKOUT, server_environment
from tests.integrations.pages.worlds import make_crm, make_world

pytestmark = pytest.mark.browser

NAMES = ("Birch", "Maple", "Willow")


@pytest.fixture
def worker(transactional_db: None) -> Iterator[None]:
    """A worker's loops on the test database, gone before its tables are emptied."""
    environment = server_environment()
    log = Path(environment["CHURNGUARD_HOME"]) / "browser-loops.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.browser.loops"],
            cwd=CHECKOUT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield
        finally:
            process.terminate()
            process.wait(timeout=30)


def tab_to(page: Page, target: Locator) -> None:
    """Walk there with the Tab key alone."""
    expect(target).to_be_visible()
    for _ in range(120):
        if target.evaluate("node => node === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"The Tab key does not reach {target}.")


def press(page: Page, target: Locator) -> None:
    tab_to(page, target)
    page.keyboard.press("Enter")


def files() -> list[dict[str, Any]]:
    """Three accounts and their sign-ins of the last weeks."""
    accounts = "account_id,account_name,plan,signup_date,seats\n" + "".join(
        f"A-{n},{name},Pro,2024-01-0{n},10\n" for n, name in enumerate(NAMES, 1)
    )
    now = datetime.now(UTC)
    logins = "event_id,account_id,event,timestamp\n" + "".join(
        f"E-{n}-{day},A-{n},login,{now - timedelta(days=day):%Y-%m-%dT%H:%M:%SZ}\n"
        for n in (1, 2, 3)
        for day in range(1, 60)
    )
    return [
        {"name": name, "mimeType": "text/csv", "buffer": text.encode()}
        for name, text in (("accounts.csv", accounts), ("login_events.csv", logins))
    ]


def test_from_signing_in_to_a_live_score_by_keyboard(
    page: Page, server: str, worker: None, org: Any, alice: Any
) -> None:
    _sign_in(page, server)
    _import_files(page)
    _watch_the_run(page)
    _see_a_score_change(page, server, org)


def _sign_in(page: Page, server: str) -> None:
    page.goto(f"{server}/")
    tab_to(page, page.get_by_label("E-mail"))
    page.keyboard.type("alice@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type("pw")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_text("/api/v1/data/ingest/product")).to_be_visible()


def _import_files(page: Page) -> None:
    press(page, page.get_by_role("link", name="Connect a source"))
    press(page, page.get_by_role("link", name="Files CSV, NDJSON"))
    name = page.get_by_label("Name")
    tab_to(page, name)
    page.keyboard.press("Control+a")
    page.keyboard.type("Exports")
    page.locator("#id_files").set_input_files(files())
    expect(page.locator("#chosen-files")).to_contain_text("accounts.csv")
    press(page, page.get_by_role("button", name="Upload and look at them"))

    expect(page.get_by_role("heading", level=1)).to_have_text("What the files hold")
    expect(page.locator("select[name^=type-]").first).to_have_value("customer")
    expect(page.get_by_label("account_name fills")).to_have_value("name")
    assert SyncRun.objects.count() == 0
    press(page, page.get_by_role("button", name="Start the import"))


def _watch_the_run(page: Page) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text("Sync of Exports")
    expect(page.locator("#progress-title + .pill")).to_have_text(
        "Completed", timeout=30_000
    )
    fetched = page.locator(".equation b").first
    expect(fetched).to_have_text("180")
    assert UsageEvent.objects.count() == 3 * 59


def _see_a_score_change(page: Page, server: str, org: Any) -> None:
    press(page, page.get_by_role("link", name="Accounts", exact=True))
    link = page.get_by_role("link", name="Birch")
    score = page.locator("tr", has=link).locator(".score b")
    expect(score).not_to_have_text("–", timeout=60_000)
    press(page, link)
    expect(page.get_by_role("heading", level=1)).to_have_text("Birch")
    number = page.locator(".gauge-number")
    expect(page.get_by_text("New facts have arrived.")).to_have_count(0, timeout=60_000)
    birch = Customer.objects.get(name="Birch")
    before = str(birch.score)
    expect(number).to_have_text(before)

    _send_an_urgent_ticket(server, org)

    expect(number).not_to_have_text(before, timeout=60_000)
    expect(page.get_by_text("urgent ticket").first).to_be_visible()
    birch.refresh_from_db()
    expect(number).to_have_text(str(birch.score))


def _send_an_urgent_ticket(server: str, org: Any) -> None:
    _key, plain = create_api_key(org, "test", ["ingest"])
    opened = datetime.now(UTC) - timedelta(days=9)
    ticket = {
        "type": "ticket",
        "external_id": "T-1",
        "customer_id": "A-1",
        "status": "open",
        "priority": "urgent",
        "opened_at": opened.isoformat(),
    }
    request = urllib.request.Request(
        f"{server}/api/v1/data/ingest/exports",
        data=json.dumps(ticket).encode(),
        headers={
            "Authorization": f"Bearer {plain}",
            "Content-Type": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["accepted"] == 1


def test_a_refused_form_keeps_what_was_typed_and_shows_where(
    page: Page, signed_in: Callable[[Any], str], alice: Any, guard: Any
) -> None:
    guard.allow(r"^422 .*/integrations/new/postgresql/$")
    page.goto(f"{signed_in(alice)}/integrations/new/postgresql/")
    page.get_by_label("Host").fill("127.0.0.1")
    page.get_by_label("Database").fill("shop")
    page.get_by_label("User", exact=False).first.fill("reader")

    page.get_by_role("button", name="Connect and continue").click()

    expect(page.locator("#connect-form")).to_contain_text("private")
    expect(page.get_by_label("Database")).to_have_value("shop")


def test_a_form_asks_only_for_what_the_chosen_sign_in_needs(
    page: Page, signed_in: Callable[[Any], str], alice: Any, guard: Any
) -> None:
    guard.allow(r"^422 .*/integrations/new/rest/$")
    server = signed_in(alice)
    page.goto(f"{server}/integrations/new/rest/")
    key, user = page.get_by_label("Key", exact=True), page.get_by_label("User")
    expect(key).to_be_hidden()
    expect(page.get_by_label("Headers")).to_be_hidden()
    page.get_by_label("Authentication").select_option("header_key")
    expect(key).to_be_visible()
    expect(user).to_be_hidden()

    page.locator("#id_field-base_url").fill("http://127.0.0.1:1/v2")
    page.locator("#id_field-endpoints-0-name").fill("a")
    page.locator("#id_field-endpoints-0-path").fill("/a")
    cursor = page.get_by_label("Where the next cursor is, endpoint 1")
    expect(cursor).to_be_hidden()
    page.get_by_label("Pages, endpoint 1").select_option("cursor")
    expect(cursor).to_be_visible()
    page.get_by_role("button", name="Connect and continue").click()

    # The same after a refused form was swapped in.
    expect(page.locator("#connect-form .errors").first).to_be_visible()
    expect(key).to_be_visible()
    expect(user).to_be_hidden()

    page.goto(f"{server}/integrations/new/salesforce/")
    connect = page.get_by_role("button", name="Connect with Salesforce")
    test = page.get_by_role("button", name="Test connection")
    expect(connect).to_be_visible()
    expect(test).to_be_hidden()
    page.get_by_label("Way to sign in").select_option("jwt")
    expect(page.get_by_label("Private key (PEM)")).to_be_visible()
    expect(page.get_by_label("Consumer secret")).to_be_hidden()
    expect(test).to_be_visible()
    expect(connect).to_be_hidden()


def test_a_changed_kind_of_record_is_guessed_anew_in_place(
    page: Page, signed_in: Callable[[Any], str], alice: Any
) -> None:
    page.goto(f"{signed_in(alice)}/integrations/new/file/")
    page.locator("#id_files").set_input_files(files())
    page.get_by_role("button", name="Upload and look at them").click()
    kind = page.locator("select[name^=type-]").last
    expect(kind).to_have_value("event")

    kind.select_option("conversation")

    expect(page.get_by_text("The columns were guessed anew.")).to_be_visible()
    expect(page.locator("select[name^=type-]").last).to_have_value("conversation")


def test_the_last_of_many_notes_is_never_dropped(
    page: Page, signed_in: Callable[[Any], str], org: Any, alice: Any
) -> None:
    """htmx drops what comes within a throttle; the page still ends up current."""
    world = make_world(org, make_crm(org), alice.email)
    run = runs.start(world.files, by="test")
    page.goto(f"{signed_in(alice)}/syncs/{run.public_id}/")
    pill = page.locator("#progress-title + .pill")
    expect(pill).to_have_text("Pending")
    expect(page.locator("[data-live-dot]").first).to_have_attribute(
        "data-state", "live"
    )

    # Two notes at once: what happened between them must be seen as well.
    tell(org.pk, run.public_id)
    expect(page.locator(".htmx-request")).to_have_count(0)
    SyncRun.objects.filter(pk=run.pk).update(status="completed")
    tell(org.pk, run.public_id)

    expect(pill).to_have_text("Completed", timeout=8000)


def tell(org_id: int, run_id: str) -> None:
    notes.publish(connection, org_id, "live-metrics", [{"type": "sync", "id": run_id}])
