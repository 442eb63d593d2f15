"""Sign-in, overview, members, keys, audit, account and admin in a real browser."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.db import connection
from playwright.sync_api import Page, expect

from churnguard.auth import create_api_key
from churnguard.models import ApiKey, AuditEntry, Customer, Membership, Notice
from churnguard.notices import open_notice
from tests.monitoring.worlds import make_batch, make_integration, make_run

pytestmark = pytest.mark.browser

Check = Callable[..., None]
PAGES = (
    "/",
    "/settings/organization/",
    "/settings/members/",
    "/settings/api-keys/",
    "/settings/audit/",
    "/account/",
    "/organizations/",
)


@pytest.fixture
def furnished(transactional_db: None, org: Any, alice: Any, bob: Any) -> Any:
    """An organisation in which every part of the pages has something to show."""
    now = datetime.now(UTC)
    crm = make_integration(org, "CRM")
    counts = {"fetched": 10, "inserted": 10}
    make_run(crm, "completed", now, counts=counts)
    make_run(crm, "failed", now, error_code="timeout")
    make_batch(crm.source, now, inserted=10, quarantined=1)
    for band in ("healthy", "at_risk", "unknown"):
        Customer.objects.create(organization=org, band=band)
    open_notice(
        connection, org.pk, "x", "critical", "x:1", "The desk is closed", url="/"
    )
    create_api_key(org, "export", ["read", "ingest"], created_by=alice)
    AuditEntry.objects.create(
        organization=org,
        actor=alice.email,
        action="member.invited",
        target_type="invitation",
        target_id="1",
        after={"email": "dora@example.com"},
    )
    return org


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("is_full", [True, False], ids=["full", "empty"])
def test_pages_are_accessible_in_both_themes_and_fit_a_phone(
    page: Page,
    signed_in: Callable[[Any], str],
    request: Any,
    alice: Any,
    axe: Check,
    reflows: Check,
    path: str,
    is_full: bool,
) -> None:
    if is_full:
        request.getfixturevalue("furnished")

    page.goto(signed_in(alice) + path)
    expect(page.get_by_role("heading", level=1)).to_be_visible()

    axe(page)
    reflows(page)


def test_signing_in_by_keyboard(
    page: Page,
    transactional_db: None,
    server: str,
    alice: Any,
    axe: Check,
    reflows: Check,
    guard: Any,
) -> None:
    guard.allow(r"^422 .*/sign-in/")
    page.goto(f"{server}/settings/members/")
    expect(page).to_have_url(f"{server}/sign-in/?next=/settings/members/")
    expect(page.get_by_label("E-mail")).to_be_focused()
    axe(page)
    reflows(page)

    page.keyboard.type("alice@example.com")
    page.keyboard.press("Tab")
    page.keyboard.type("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not match")
    axe(page)

    page.get_by_label("Password").focus()
    page.keyboard.insert_text("pw")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{server}/settings/members/")
    page.get_by_role("button", name="Sign out").press("Enter")
    expect(page).to_have_url(f"{server}/sign-in/")


def test_a_key_is_made_copied_and_revoked(
    page: Page, signed_in: Callable[[Any], str], alice: Any, axe: Check
) -> None:
    page.goto(f"{signed_in(alice)}/settings/api-keys/")
    page.get_by_label("Name").fill("export")
    page.get_by_label(re.compile("^read ")).check()
    page.get_by_role("button", name="Make the key").click()

    shown = page.locator("#new-key")
    expect(shown).to_have_text(re.compile(r"^cg_[\w-]{43}$"))
    axe(page)
    page.get_by_role("link", name="API keys").click()
    expect(shown).to_have_count(0)

    page.get_by_role("button", name="Revoke export").click()
    dialog = page.get_by_role("dialog", name="Revoke this key?")
    expect(dialog).to_be_visible()
    axe(page)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.get_by_role("button", name="Revoke export").click()
    dialog.get_by_role("button", name="Revoke").click()

    expect(page.get_by_text("was revoked")).to_be_visible()
    expect(page.get_by_role("cell", name="Revoked")).to_be_visible()
    assert ApiKey.objects.get().revoked_at is not None


def test_an_invited_person_joins_by_the_link(
    page: Page,
    signed_in: Callable[[Any], str],
    alice: Any,
    axe: Check,
    reflows: Check,
    context: Any,
) -> None:
    page.goto(f"{signed_in(alice)}/settings/members/")
    page.get_by_label("E-mail").fill("dora@example.com")
    page.get_by_label("Role", exact=False).last.select_option("analyst")
    page.get_by_role("button", name="Make an invitation link").click()
    link = page.locator("#invitation-link").inner_text()
    axe(page)

    context.clear_cookies()
    page.goto(link)
    axe(page)
    reflows(page)
    page.get_by_label("Your name").fill("Dora")
    page.get_by_label("Password").fill("a-long-passphrase-7")
    page.get_by_role("button", name="Join").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    assert Membership.objects.get(user__email="dora@example.com").role == "analyst"


def test_the_overview_follows_a_notice_live(
    page: Page, signed_in: Callable[[Any], str], furnished: Any, alice: Any
) -> None:
    page.goto(signed_in(alice) + "/")
    expect(page.locator("[data-live-dot]").first).to_have_attribute(
        "data-state", "live"
    )
    expect(page.get_by_text("Mail is late")).to_have_count(0)

    open_notice(connection, furnished.pk, "x", "warning", "x:2", "Mail is late")

    expect(page.get_by_text("Mail is late").first).to_be_visible(timeout=8000)
    assert Notice.objects.count() == 2


def test_the_admin_obeys_the_policy(
    page: Page, signed_in: Callable[[Any], str], furnished: Any, alice: Any
) -> None:
    alice.is_staff = alice.is_superuser = True
    alice.save()
    address = signed_in(alice)

    for path in ("/admin/", "/admin/churnguard/apikey/", "/admin/churnguard/user/add/"):
        page.goto(address + path)
        expect(page.locator("#site-name")).to_have_text("ChurnGuard operations")
