"""The usage reports in a real browser, with figures and without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from tests.analytics.usage.events import Event, store_and_fold

pytestmark = pytest.mark.browser

PAGES = (
    "/usage/active/?event=open",
    "/usage/active/",
    "/usage/retention/?unit=user",
    "/usage/funnel/?steps=open&steps=save",
    "/usage/adoption/",
)


@pytest.fixture
def used(transactional_db: None, org: Any, alice: Any) -> Any:
    """Acme with forty days of two events."""
    now = timezone.now()
    store_and_fold(
        org,
        [
            Event(
                f"c{who}",
                f"u{n % 2}",
                name,
                now - timedelta(days=n, hours=3 - h),
                f"{n}",
            )
            for n in range(40)
            for who in range(6)
            if n % (who + 1) == 0
            for h, name in ((1, "open"), (2, "save"))
        ],
    )
    return org


@pytest.mark.parametrize("path", PAGES)
def test_reports_are_accessible_and_fit_a_phone(
    used: Any,
    alice: Any,
    path: str,
    page: Page,
    signed_in: Callable[..., str],
    axe: Callable[..., None],
    reflows: Callable[..., None],
) -> None:
    page.goto(f"{signed_in(alice)}{path}")
    axe(page)
    reflows(page)


def test_the_chart_outlives_a_live_refresh_and_its_filters_fit_a_phone(
    used: Any,
    alice: Any,
    page: Page,
    signed_in: Callable[..., str],
    reflows: Callable[..., None],
) -> None:
    page.goto(f"{signed_in(alice)}/usage/")
    drawn = page.locator("[data-chart-canvas] canvas")
    expect(drawn).to_have_count(1)

    with page.expect_response(lambda answer: answer.url.endswith("/usage/")):
        page.evaluate(
            "document.querySelector('[data-chart-canvas]').dataset.old = '1';"
            "document.body.dispatchEvent(new CustomEvent('cg:live-metrics'))"
        )

    expect(page.locator("[data-old]")).to_have_count(0)
    expect(drawn).to_have_count(1)
    reflows(page)
    page.set_viewport_size({"width": 375, "height": 800})
    heights = page.locator(".seg a").evaluate_all("all => all.map(a => a.offsetHeight)")
    assert len(heights) == 6
    assert max(heights) < 50


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/usage/active/", "No usage yet"),
        ("/usage/funnel/", "No usage yet"),
        ("/support/", "No tickets in this period"),
    ],
)
def test_empty_reports_are_accessible(
    org: Any,
    transactional_db: None,
    alice: Any,
    path: str,
    words: str,
    page: Page,
    signed_in: Callable[..., str],
    axe: Callable[..., None],
) -> None:
    page.goto(f"{signed_in(alice)}{path}")
    axe(page)
    assert words in page.content()
