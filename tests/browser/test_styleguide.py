"""The design system in a real browser: every component, both themes, phone width."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser

Check = Callable[[Page], None]


@pytest.fixture
def styleguide(page: Page, signed_in: Callable[[Any], str], alice: Any) -> Page:
    alice.is_staff = True
    alice.save(update_fields=["is_staff"])
    page.goto(f"{signed_in(alice)}/styleguide/")
    expect(page.locator(".u-wrap").first).to_be_visible()
    return page


def test_every_component_is_accessible_in_both_themes(
    styleguide: Page, axe: Check
) -> None:
    axe(styleguide)


def test_nothing_scrolls_sideways_on_a_phone(styleguide: Page, reflows: Check) -> None:
    reflows(styleguide)


def test_a_member_without_staff_rights_gets_404(
    page: Page, signed_in: Callable[[Any], str], bob: Any, guard: Any
) -> None:
    guard.allow(r"^404 .*/styleguide/$")

    answer = page.goto(f"{signed_in(bob)}/styleguide/")

    assert answer is not None
    assert answer.status == 404
    expect(page.get_by_role("heading", level=1)).to_have_text("Not found")


def test_keyboard_starts_at_the_skip_link_and_reaches_the_content(
    styleguide: Page,
) -> None:
    styleguide.keyboard.press("Tab")
    expect(styleguide.get_by_role("link", name="Skip to content")).to_be_focused()

    styleguide.keyboard.press("Enter")
    styleguide.keyboard.press("Tab")

    first = styleguide.locator("main a, main button").first
    expect(first).to_be_focused()


def test_focus_follows_the_order_of_the_page(styleguide: Page) -> None:
    styleguide.locator("#q").focus()

    seen = []
    for _ in range(4):
        styleguide.keyboard.press("Tab")
        seen.append(
            styleguide.evaluate(
                "document.activeElement.id || document.activeElement.textContent.trim()"
                " || document.activeElement.getAttribute('aria-label')"
            )
        )

    assert seen[:3] == ["status", "provider", "Search"]
    assert "Integration" in seen[3]


def test_keys_find_the_search_and_walk_the_rows(styleguide: Page) -> None:
    styleguide.keyboard.press("/")
    expect(styleguide.locator("#q")).to_be_focused()

    styleguide.locator("#q").blur()
    styleguide.keyboard.press("j")
    expect(styleguide.get_by_role("link", name="Salesforce production")).to_be_focused()
    styleguide.keyboard.press("j")
    expect(styleguide.get_by_role("link", name="HubSpot CRM")).to_be_focused()
    styleguide.keyboard.press("k")
    expect(styleguide.get_by_role("link", name="Salesforce production")).to_be_focused()


def test_the_theme_is_kept_and_applied_before_the_first_paint(styleguide: Page) -> None:
    styleguide.emulate_media(color_scheme="light")
    root = styleguide.locator("html")
    styleguide.keyboard.press("t")
    expect(root).to_have_attribute("data-theme", "light")
    styleguide.keyboard.press("t")
    expect(root).to_have_attribute("data-theme", "dark")

    styleguide.reload(wait_until="commit")

    expect(root).to_have_attribute("data-theme", "dark")
    expect(styleguide.locator("body")).to_have_css(
        "background-color", "rgb(13, 17, 23)"
    )


def test_a_typed_confirmation_waits_for_the_exact_word(styleguide: Page) -> None:
    styleguide.get_by_role("button", name="Delete", exact=True).click()
    dialog = styleguide.get_by_role("dialog", name="Delete HubSpot CRM?")
    submit = dialog.get_by_role("button", name="Delete integration")
    expect(submit).to_be_disabled()

    dialog.get_by_role("textbox").fill("hubspot")
    expect(submit).to_be_disabled()
    dialog.get_by_role("textbox").fill("HubSpot CRM")
    expect(submit).to_be_enabled()

    styleguide.keyboard.press("Escape")
    expect(dialog).to_be_hidden()


def test_a_chart_can_be_read_as_a_table(styleguide: Page) -> None:
    button = styleguide.get_by_role(
        "button", name=re.compile("View as table of Usage by event")
    )
    expect(button).to_have_attribute("aria-expanded", "false")

    button.click()

    table = styleguide.get_by_role("region", name="Usage by event, 90 days, table")
    expect(table.get_by_role("row")).to_have_count(91)
    expect(button).to_have_attribute("aria-expanded", "true")


def test_the_pointer_reads_a_chart(styleguide: Page) -> None:
    figure = styleguide.locator("figure.chart").first
    box = figure.locator(".u-over").bounding_box()
    assert box is not None

    styleguide.mouse.move(box["x"] + box["width"] / 2, box["y"] + 40)

    expect(figure.locator("[data-chart-time]")).to_have_text(
        re.compile(r"^2026-11-20 1[12]:\d\d UTC$")
    )
    expect(figure.locator("[data-chart-value]")).to_have_text(re.compile(r"^\d"))


def test_a_failed_request_says_why_and_names_the_request(
    styleguide: Page, guard: Any
) -> None:
    guard.allow(r"^403 .*/made-up/$")
    guard.allow("Response Status Error Code 403")
    styleguide.route(
        "**/made-up/",
        lambda route: route.fulfill(
            status=403,
            headers={"X-Request-ID": "req-77", "Content-Type": "application/json"},
            body='{"detail": "Viewers may not start a sync.", "code": "forbidden"}',
        ),
    )
    button = styleguide.get_by_role("button", name="Sync now", exact=True)
    button.evaluate(
        "(node) => { node.setAttribute('hx-get', '/made-up/'); htmx.process(node); }"
    )

    button.click()

    toast = styleguide.locator("#toasts .toast")
    expect(toast).to_contain_text("Viewers may not start a sync.")
    expect(toast).to_contain_text("Request req-77")


def test_charts_take_the_colours_of_the_theme(styleguide: Page) -> None:
    def ink() -> str:
        return str(
            styleguide.evaluate(
                "(() => { const c = document.querySelector('.u-wrap canvas');"
                "return c.toDataURL(); })()"
            )
        )

    styleguide.emulate_media(color_scheme="light")
    expect(styleguide.locator(".u-wrap").first).to_be_visible()
    light = ink()
    styleguide.emulate_media(color_scheme="dark")
    expect(styleguide.locator(".u-wrap").first).to_be_visible()

    assert ink() != light


def test_the_menu_opens_on_a_phone(styleguide: Page) -> None:
    styleguide.set_viewport_size({"width": 360, "height": 740})
    menu = styleguide.get_by_role("button", name="Menu")
    expect(styleguide.get_by_role("navigation", name="Main")).to_be_hidden()

    menu.click()

    expect(styleguide.get_by_role("navigation", name="Main")).to_be_visible()
    expect(menu).to_have_attribute("aria-expanded", "true")


def test_every_target_is_at_least_24_pixels(styleguide: Page) -> None:
    small = styleguide.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, .btn, "
          + "input:not([type=hidden]), .tabs a, .nav a, .crumbs a, thead a")]
          .filter((node) => node.offsetParent)
          .map((node) => [node.outerHTML.slice(0, 80), node.getBoundingClientRect()])
          .filter(([, box]) => box.height < 24 && box.width > 0)
          .filter(([html]) => !/checkbox|radio/.test(html))
          .map(([html]) => html)"""
    )

    assert small == []
