"""The revenue page in a real browser: full, empty, by role, light and dark, small."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from churnguard.models import Organization, User
from tests.analytics.revenue.worlds import invoice, line, rate, version, write
from tests.browser.conftest import photograph

pytestmark = pytest.mark.browser

Check = Callable[..., None]


@pytest.fixture
def world(transactional_db: None, org: Organization) -> Organization:
    """Accounts that joined, grew, shrank, left; one currency without a rate."""
    now = datetime.now(UTC)
    rate(org, "EUR", "2020-01-01", "1.08")
    rate(org, "EUR", (now.date() - timedelta(days=60)).isoformat(), "1.1")
    for number in range(24):
        name, at = f"a{number}", now - timedelta(days=330 - number * 9)
        currency = ("USD", "USD", "EUR", "GBP")[number % 4]
        plan = ("Starter", "Team")[number % 2]
        minor = 20000 + 7000 * (number % 5)
        mine = {"currency": currency, "plan": plan}
        write(org, version(name, name, at, minor, **mine), at=at)
        later = at + timedelta(days=70)
        if number % 3 == 0:
            write(org, version(name, name, later, minor * 2, **mine), at=later)
        elif number % 3 == 1 and number > 5:
            write(
                org,
                version(
                    name, name, later, minor, status="canceled", ended_at=later, **mine
                ),
                at=later,
            )
        first, end = at.date(), (at + timedelta(days=365)).date()
        bill = line(minor * 12, first.isoformat(), end.isoformat())
        paid = invoice(f"i{number}", name, at, currency=currency, lines=[bill])
        write(org, paid, at=at)
    return org


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_the_page_is_accessible_and_fits_a_phone(
    world: Organization,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    bob: User,
    axe: Check,
    reflows: Check,
    who: str,
) -> None:
    page.goto(f"{signed_in({'alice': alice, 'bob': bob}[who])}/revenue/?group=plan")

    expect(page.get_by_role("heading", name="Movements", exact=True)).to_be_visible()
    expect(page.get_by_text("Some amounts have no exchange rate.")).to_be_visible()
    photograph(page, f"revenue_{who}")
    axe(page)
    reflows(page)


def test_an_amount_opens_the_accounts_behind_it(
    world: Organization,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    axe: Check,
) -> None:
    page.goto(f"{signed_in(alice)}/revenue/")

    table = page.get_by_role("region", name="Movements by month")
    table.get_by_role("link", name="Churn").first.click()

    behind: Any = page.get_by_role("region", name="Accounts behind the movement")
    expect(behind).to_be_visible()
    expect(behind.get_by_role("cell", name="Churn").first).to_be_visible()
    axe(page)


def test_a_rate_set_on_the_page_brings_its_amounts_in(
    world: Organization, page: Page, signed_in: Callable[[User], str], alice: User
) -> None:
    page.goto(f"{signed_in(alice)}/revenue/")

    page.get_by_label("Currency").fill("GBP")
    page.get_by_label("Holds from").fill("2020-01-01")
    page.get_by_label("1 unit in USD").fill("1.27")
    page.get_by_role("button", name="Keep the rate").click()

    expect(page.get_by_text("Rate kept.")).to_be_visible()
    expect(page.get_by_text("Some amounts have no exchange rate.")).to_have_count(0)


def test_an_empty_organisation_is_told_what_to_do(
    transactional_db: None,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    axe: Check,
) -> None:
    page.goto(f"{signed_in(alice)}/revenue/")

    expect(page.get_by_text("No subscriptions yet")).to_be_visible()
    axe(page)
