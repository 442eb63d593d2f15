"""Churn risk in the browser: accessible, narrow screens, drivers arrive."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from analytics.predict import jobs
from churnguard.models import Customer, Organization, User
from tests.analytics.predict import company

pytestmark = pytest.mark.browser


def test_risk_and_model_pages(
    page: Page,
    signed_in: Callable[[User], str],
    org: Organization,
    alice: User,
    axe: Callable[[Page], None],
    reflows: Callable[[Page], None],
    tmp_path: Path,
) -> None:
    base = signed_in(alice)
    page.goto(f"{base}/risk/")
    expect(page.get_by_text("No churn model yet.")).to_be_visible()
    axe(page)
    company.build(org, accounts=90)
    jobs.train_now(org, company.NOW)
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    riskiest: Any = Customer.objects.order_by("-churn_probability").exclude(
        churn_probability=None
    )[0]

    for name, url in (
        ("risk", "/risk/"),
        ("model", "/model/"),
        ("customer", f"/customers/{riskiest.public_id}/"),
    ):
        page.goto(f"{base}{url}")
        if name == "customer":
            expect(page.get_by_text("What moves it")).to_be_visible()
        page.screenshot(path=folder / f"{name}.png", full_page=True)
        axe(page)
        reflows(page)
