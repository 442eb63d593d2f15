"""The health definition in a real browser: drafted by keyboard, previewed, saved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analytics.definitions import checks
from analytics.models import ScoreDefinition
from churnguard.models import Customer, Organization, User
from tests.analytics.definitions.world import build
from tests.analytics.predict import company
from tests.browser.conftest import photograph

pytestmark = pytest.mark.browser

Check = Callable[..., None]


def test_a_definition_is_drafted_previewed_and_saved_by_keyboard(
    transactional_db: None,
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    axe: Check,
    reflows: Check,
) -> None:
    build(org)
    Customer.objects.filter(name="owing").update(segment="large")
    base = signed_in(alice)
    page.goto(f"{base}/health-definition/preview/")
    expect(page.get_by_text("No draft to preview")).to_be_visible()
    axe(page)

    page.goto(f"{base}/health-definition/")
    photograph(page, "definition")
    axe(page)
    reflows(page)
    weight = page.get_by_label("Weight of Billing")
    weight.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("60")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Largest movers")).to_be_visible()
    expect(page.get_by_role("cell", name="35 / 20")).to_have_count(0)
    photograph(page, "definition_preview")
    axe(page)
    reflows(page)
    page.get_by_label("Why, for those who come later").fill("Money first.")
    page.keyboard.press("Enter")

    expect(page.get_by_role("heading", name="Version 2")).to_be_visible()
    expect(page.get_by_text("Money first.")).to_be_visible()
    expect(page.get_by_text("Recomputing: 3 of 3 accounts")).to_be_visible()
    photograph(page, "definition_versions")
    axe(page)
    reflows(page)
    assert ScoreDefinition.objects.get(is_active=True).spec["components"] == {
        "usage": 35, "billing": 60, "support": 15, "engagement": 15, "sentiment": 15,
    }  # fmt: skip


def test_faults_are_shown_where_they_are(
    transactional_db: None,
    page: Page,
    guard: Any,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    axe: Check,
) -> None:
    guard.allow(r"400 .*/health-definition/draft/$")
    page.goto(f"{signed_in(alice)}/health-definition/")
    page.get_by_label("Past due, 60 points").fill("90")
    page.get_by_role("button", name="Keep as draft and preview").click()

    page.get_by_role("link", name="Past due: anchors").click()

    expect(page.get_by_label("Past due, 0 points")).to_be_focused()
    expect(page.get_by_label("Past due, 60 points")).to_have_value("90")
    photograph(page, "definition_faults")
    axe(page)


def test_a_back_test_arrives_by_itself(
    transactional_db: None,
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    bob: User,
    axe: Check,
    reflows: Check,
) -> None:
    company.build(org, accounts=70, leavers=0.6)
    base = signed_in(alice)
    page.goto(f"{base}/health-definition/backtest/")
    expect(page.get_by_text("No back-test of this definition yet")).to_be_visible()
    axe(page)
    page.get_by_role("button", name="Run the back-test").click()
    expect(page.get_by_text("This is being computed.")).to_be_visible()
    axe(page)

    checks.work(company.NOW)

    expect(page.get_by_text("How well it told who left")).to_be_visible()
    page.get_by_role("button", name="Learn weights").click()
    checks.work(company.NOW)
    expect(page.get_by_role("button", name="Learn again")).to_be_visible()
    photograph(page, "definition_backtest")
    axe(page)
    reflows(page)
    page.goto(f"{signed_in(bob)}/health-definition/")
    expect(page.get_by_text("You can look, not change.")).to_be_visible()
    axe(page)
