"""Every page with rows in it: accessible in both themes, whole on a phone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, expect

from analytics import rollups, scoring
from churnguard.notices import open_notice
from integrations import runs
from tests.integrations.pages.worlds import World, make_crm, make_world

pytestmark = pytest.mark.browser

Check = Callable[..., None]
PAGES = (
    "/",
    "/integrations/",
    "/integrations/?q=nothing",
    "/integrations/new/",
    "/integrations/new/?q=zzz",
    "/integrations/new/file/",
    "/integrations/new/postgresql/",
    "/integrations/new/rest/",
    "/integrations/new/salesforce/",
    "/integrations/new/stripe/guide/",
    "/integrations/{crm}/",
    "/integrations/{crm}/runs/",
    "/integrations/{crm}/ledger/",
    "/integrations/{crm}/mapping/",
    "/integrations/{crm}/settings/",
    "/integrations/{crm}/setup/",
    "/integrations/{files}/",
    "/integrations/{files}/files/",
    "/syncs/",
    "/syncs/{run}/",
    "/syncs/{waiting}/",
    "/quarantine/",
    "/quarantine/?state=replayed",
    "/quarantine/{refused}/",
    "/alerts/",
    "/alerts/?state=all",
    "/customers/",
    "/customers/?q=nothing",
    "/customers/{customer}/",
    "/usage/",
    "/api/docs/",
)
EMPTY = (
    "/",
    "/alerts/",
    "/integrations/",
    "/syncs/",
    "/quarantine/",
    "/customers/",
    "/usage/",
)


@pytest.fixture
def world(transactional_db: None, org: Any, alice: Any) -> World:
    world = make_world(org, make_crm(org), alice.email)
    for severity in ("critical", "warning"):
        open_notice(
            connection, org.pk, "x", severity, f"x:{severity}", "The desk is closed",
            "Since noon.", "/integrations/",
        )  # fmt: skip
    rollups.fold()
    scoring.score_stale()
    return world


def test_every_page_is_accessible_and_fits_a_phone(
    page: Page, signed_in: Check, world: World, alice: Any, axe: Check, reflows: Check
) -> None:
    server = signed_in(alice)
    customer = world.org.customer_set.order_by("pk").first()
    waiting = runs.start(world.files, by="test")

    for path in PAGES:
        page.goto(
            server
            + path.format(
                crm=world.crm.public_id,
                files=world.files.public_id,
                run=world.run.public_id,
                waiting=waiting.public_id,
                refused=world.refused.pk,
                customer=customer.public_id,
            )
        )
        expect(page.locator("h1")).to_be_visible()
        axe(page)
        reflows(page)


def test_empty_pages_are_accessible_and_fit_a_phone(
    page: Page, signed_in: Check, charlie: Any, axe: Check, reflows: Check
) -> None:
    server = signed_in(charlie)

    for path in EMPTY:
        page.goto(server + path)
        axe(page)
        reflows(page)


def test_dialogs_open_by_keyboard_and_wait_for_the_word(
    page: Page, signed_in: Check, world: World, alice: Any, axe: Check
) -> None:
    page.goto(f"{signed_in(alice)}/integrations/{world.crm.public_id}/settings/")
    page.get_by_role("button", name="Delete this integration").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    button = dialog.get_by_role("button", name="Delete")
    expect(button).to_be_disabled()
    axe(page)

    dialog.get_by_label("to confirm").fill("CRM replica")
    expect(button).to_be_enabled()
    button.press("Enter")

    expect(page.get_by_role("heading", level=1)).to_have_text("Integrations")
    expect(page.get_by_text("CRM replica was deleted.")).to_be_visible()
