"""Churn risk in the browser: accessible, narrow screens, drivers arrive; on nothing,
on a small company, on a real export and on few outcomes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analytics import batch, rollups, scoring
from analytics.identity import resolve
from analytics.predict import jobs
from churnguard.models import Customer, Organization, User
from tests import exports
from tests.analytics.predict import company
from tests.browser.conftest import photograph

pytestmark = pytest.mark.browser
Check = Callable[[Page], None]
DUE = datetime(2026, 11, 20, 2, tzinfo=UTC)


@pytest.fixture
def visit(page: Page, axe: Check, reflows: Check) -> Callable[[str, str], None]:
    """`visit(name, address)`: goes there, photographs, checks themes and 320 px."""

    def go(name: str, address: str) -> None:
        page.goto(address)
        if "/customers/" in address:
            expect(page.locator("#risk-title")).to_be_visible()
        photograph(page, name)
        axe(page)
        reflows(page)

    return go


def riskiest() -> Customer:
    found: Any = Customer.objects.exclude(churn_probability=None)
    return found.order_by("-churn_probability")[0]


def test_empty_pages_say_so(
    page: Page, signed_in: Callable[[User], str], alice: User,
    visit: Callable[[str, str], None],
) -> None:  # fmt: skip
    base = signed_in(alice)

    visit("empty-risk", f"{base}/risk/")
    expect(page.get_by_text("No churn model yet.")).to_be_visible()
    visit("empty-model", f"{base}/model/")
    visit("empty-definition", f"{base}/model/definition/?kind=inactivity")
    expect(page.get_by_text("No month to look at")).to_be_visible()
    visit("empty-analyses", f"{base}/analyses/")
    expect(page.get_by_text("No analysis yet")).to_be_visible()


def test_risk_and_model_pages(
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    visit: Callable[[str, str], None],
) -> None:
    base = signed_in(alice)
    company.build(org, accounts=60)
    jobs.train_now(org, company.NOW)
    run = batch.run_one(org, "daily", DUE)
    assert run is not None

    visit("risk", f"{base}/risk/")
    visit("model", f"{base}/model/")
    visit("customer", f"{base}/customers/{riskiest().public_id}/")
    expect(page.get_by_text("What moves it")).to_be_visible()
    visit("definition", f"{base}/model/definition/?kind=subscription&grace_days=10")
    expect(page.get_by_text("Keep it and train by it")).to_be_visible()
    visit("analyses", f"{base}/analyses/")
    visit("analysis", f"{base}/analyses/{run.pk}/")


def test_few_outcomes_are_said(
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    visit: Callable[[str, str], None],
) -> None:
    base = signed_in(alice)
    company.build(org, accounts=14, leavers=0.4)
    jobs.train_now(org, company.NOW)

    visit("few-risk", f"{base}/risk/")
    expect(page.get_by_text("Not enough outcomes: a fixed rule")).to_be_visible()
    visit("few-model", f"{base}/model/")
    expect(page.get_by_text("Fewer than 20 departures")).to_be_visible()


@pytest.mark.slow
def test_a_real_export(
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    shared_data: Path,
    visit: Callable[[str, str], None],
) -> None:
    base = signed_in(alice)
    exports.sync(exports.connect_ravenstack(org, shared_data))
    for work in (resolve.tick, rollups.fold, scoring.score_stale):
        while work():
            pass
    now = datetime(2025, 1, 1, 12, tzinfo=UTC)
    jobs.train_now(org, now)
    monthly = batch.run_one(org, "monthly", datetime(2025, 1, 1, 4, tzinfo=UTC))
    assert monthly is not None

    visit("raven-risk", f"{base}/risk/?order=money")
    visit("raven-model", f"{base}/model/")
    visit("raven-customer", f"{base}/customers/{riskiest().public_id}/")
    visit("raven-definition", f"{base}/model/definition/?kind=subscription")
    visit("raven-analysis", f"{base}/analyses/{monthly.pk}/")
