"""Segments in a real browser: built with scripts, seen by each role, light and dark."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analytics.segments import daily
from analytics.segments.models import Segment
from churnguard.models import Customer, Organization, User

pytestmark = pytest.mark.browser

Check = Callable[..., None]
DEFINITION = {
    "and": [
        {"or": [
            {"field": "plan", "op": "in", "value": ["Pro", "Team"]},
            {"field": "custom", "path": ["tier"], "op": "=", "value": "gold"},
        ]},
        {"not": {"or": [
            {"field": "band", "op": "in", "value": ["healthy"]},
            {"field": "usage.events", "event": "open", "days": 30, "op": ">",
             "value": 3},
        ]}},
    ]
}  # fmt: skip


@pytest.fixture
def world(transactional_db: None, org: Organization) -> Organization:
    """Thirty accounts, a segment counted on five days."""
    for n in range(30):
        Customer.objects.create(
            organization=org,
            name=f"Account {n:02}",
            plan=("Pro", "Team", "")[n % 3],
            score=n * 3,
            band=("at_risk", "watch", "healthy")[n // 10],
            mrr_minor=n * 1000,
        )
    Segment.objects.create(
        organization=org,
        name="Paying and unwell",
        slug="paying-and-unwell",
        description="Who to call first.",
        definition=DEFINITION,
        created_by="alice@example.com",
        due_at=datetime(2020, 1, 1, tzinfo=UTC),
    )
    now = datetime.now(UTC)
    for days in range(4, -1, -1):
        Customer.objects.filter(name=f"Account {days:02}").update(plan="Team")
        daily.tick(now - timedelta(days=days))
    return org


@pytest.mark.parametrize(
    ("who", "path"),
    [
        ("alice", "/segments/"),
        ("bob", "/segments/"),
        ("alice", "/segments/paying-and-unwell/"),
        ("bob", "/segments/paying-and-unwell/"),
        ("alice", "/segments/paying-and-unwell/edit/"),
        ("alice", "/customers/?segment_id=paying-and-unwell"),
    ],
)
def test_the_pages_are_accessible_and_fit_a_phone(
    world: Organization,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    bob: User,
    axe: Check,
    reflows: Check,
    who: str,
    path: str,
) -> None:
    page.goto(f"{signed_in({'alice': alice, 'bob': bob}[who])}{path}")
    if path.endswith("/edit/"):
        expect(page.get_by_role("heading", name="accounts found")).to_be_visible()
    axe(page)
    reflows(page)


def test_a_segment_is_built_counted_live_and_saved(
    world: Organization,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    axe: Check,
    guard: Any,
) -> None:
    guard.allow(r"422 .*/segments/new/")
    page.goto(f"{signed_in(alice)}/segments/")
    page.get_by_role("link", name="New segment").click()
    expect(page.get_by_text("Add a condition to see whom it finds.")).to_be_visible()

    page.get_by_label("Condition to add").select_option("plan")
    page.get_by_role("button", name="Add condition").click()
    expect(page.get_by_label("Operator")).to_be_focused()
    page.get_by_label("Value", exact=True).fill("Pro")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="8 accounts found")).to_be_visible()

    page.get_by_label("Condition to add").select_option("score")
    page.get_by_role("button", name="Add condition").click()
    score = page.get_by_role("group", name="Condition 2: Health score")
    expect(score.get_by_label("Operator")).to_be_focused()
    score.get_by_label("Operator").select_option("between")
    expect(score.get_by_label("and", exact=True)).to_be_visible()
    score.get_by_label("Value").fill("0")
    page.get_by_role("button", name="Save segment").click()
    expect(page.get_by_text("Give a number, each.")).to_be_visible()
    axe(page)

    score.get_by_label("and", exact=True).fill("30")
    page.keyboard.press("Tab")
    expect(page.get_by_role("heading", name="2 accounts found")).to_be_visible()
    page.get_by_role("textbox", name="Name", exact=True).fill("Low Pro")
    page.get_by_role("button", name="Save segment").click()
    expect(page.get_by_role("heading", name="Low Pro", level=1)).to_be_visible()
    assert page.url.endswith("/segments/low-pro/")

    page.get_by_role("button", name="Delete").click()
    dialog = page.get_by_role("dialog", name="Delete this segment?")
    axe(page)
    dialog.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("“Low Pro” was deleted.")).to_be_visible()
    expect(page.get_by_role("link", name="Low Pro")).to_have_count(0)


def test_the_empty_page_says_what_a_segment_is(
    transactional_db: None,
    page: Page,
    signed_in: Callable[[User], str],
    alice: User,
    bob: User,
    axe: Check,
) -> None:
    page.goto(f"{signed_in(alice)}/segments/")
    expect(page.get_by_role("link", name="New segment")).to_be_visible()
    axe(page)
    page.goto(f"{signed_in(bob)}/segments/")
    expect(page.get_by_text("No segments yet")).to_be_visible()
    expect(page.get_by_role("link", name="New segment")).to_have_count(0)
