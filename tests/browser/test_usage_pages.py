"""The usage reports in a real browser, with figures and without."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import Page

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
