"""The identity page and panel in a browser: accessible, whole on a phone, typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache
from playwright.sync_api import Page, expect

from churnguard.records import ContactRecord, CustomerRecord
from tests.analytics.identity.test_resolve import settle, write
from tests.browser.conftest import photograph

pytestmark = pytest.mark.browser


def test_a_person_merges_and_undoes(
    page: Page,
    signed_in: Callable[..., str],
    transactional_db: None,
    org: Any,
    alice: Any,
    axe: Callable[[Page], None],
    reflows: Callable[..., None],
) -> None:
    cache.clear()
    server = signed_in(alice)
    page.goto(f"{server}/identity/")
    axe(page)
    for number in ("1", "2"):
        write(org, "crm", CustomerRecord(external_id=number, domain="agency.example"))
    write(org, "web", CustomerRecord(external_id="w", domain="agency.example"))
    write(org, "crm", CustomerRecord(external_id="3", name="Acme Rockets Inc"))
    write(org, "desk", CustomerRecord(external_id="a", name="ACME Rockets GmbH"))
    for source, name in (("crm", "Ann Lee"), ("desk", "A. Lee")):
        person = ContactRecord(
            external_id=f"p-{source}", customer_id={"crm": "3", "desk": "a"}[source],
            name=name, email=f"ann.lee@{source}.example", phone="+49 30 901820",
        )  # fmt: skip
        write(org, source, person)
    settle()
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_text("ACME Rockets GmbH").first).to_be_visible()
    axe(page)
    reflows(page)
    photograph(page, "identity")

    page.get_by_role("button", name="Merge", exact=False).first.click()
    expect(page.get_by_text("No accounts look alike")).to_be_visible()
    page.goto(f"{server}/customers/crm:3/")
    panel = page.locator("#identities")
    expect(panel).to_contain_text("A person said so")
    axe(page)
    reflows(page)
    photograph(page, "identity-panel")
    panel.get_by_role("button", name="Undo").click()
    expect(panel).not_to_contain_text("Decisions of people")

    page.get_by_role("button", name="Merge with").click()
    dialog = page.locator("#merge-dialog")
    dialog.get_by_label("The other customer").fill("desk:a")
    expect(dialog.get_by_role("button", name="Merge")).to_be_disabled()
    customer_id = org.customer_set.get(sources__external_id="3").public_id
    dialog.get_by_label("Type").fill(customer_id)
    axe(page)
    dialog.get_by_role("button", name="Merge").click()
    expect(panel).to_contain_text("Decisions of people")


def test_people_of_an_account_and_who_says_what(
    page: Page,
    signed_in: Callable[..., str],
    transactional_db: None,
    org: Any,
    alice: Any,
    axe: Callable[[Page], None],
    reflows: Callable[..., None],
) -> None:
    cache.clear()
    write(org, "crm", CustomerRecord(external_id="3", name="Acme"))
    ann = {"name": "Ann Lee", "email": "ann@acme.example"}
    write(org, "crm", ContactRecord(external_id="c", customer_id="3", **ann))
    write(org, "desk", ContactRecord(external_id="d", email="Ann@acme.example"))
    for number in ("1", "2"):
        twin = {"email": "bob@acme.example", "name": f"Bob {number}"}
        write(org, "crm", ContactRecord(external_id=number, customer_id="3", **twin))
    settle()
    server = signed_in(alice)

    page.goto(f"{server}/identity/")
    expect(page.get_by_role("heading", name="bob@acme.example")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Different", exact=False).first.click()
    expect(page.get_by_text("bob@acme.example")).to_have_count(0)

    page.goto(f"{server}/customers/crm:3/")
    people = page.locator("#people")
    expect(people.get_by_role("row")).to_have_count(4)
    axe(page)
    reflows(page)
    people.get_by_role("link", name="Ann Lee").click()
    sources = page.locator("#sources")
    expect(sources).to_contain_text("Only crm says it.")
    axe(page)
    reflows(page)
    photograph(page, "person")

    panel = page.locator("#identities")
    panel.get_by_role("button", name="Split off").last.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Type").fill("d")
    dialog.get_by_role("button", name="Split off").click()
    expect(panel).to_contain_text("Decisions of people")
    panel.get_by_role("button", name="Undo").click()
    expect(panel).not_to_contain_text("Decisions of people")
    expect(panel.get_by_role("button", name="Split off")).to_have_count(2)
