"""Each provider added in the browser: find it, read what is needed, connect, test,
choose data, watch the first sync, map, and reconnect after the access has ended."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from django.conf import LazySettings
from playwright.sync_api import Page, expect

from churnguard.errors import AuthenticationError
from integrations import connectors, runs
from integrations.models import Integration, StreamState, SyncRun
from integrations.views import endpoints
from tests import fakes
from tests.browser.conftest import Guard, serving_web
from tests.fakes.base import CANARY, FakeProvider

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# What a person pastes where the provider has keys beside its own sign-in.
OWN_WORDS: dict[str, dict[str, str]] = {
    "hubspot": {"access_token": f"at-{CANARY}-1"},
    "salesforce": {
        "auth_flow": "client_credentials",
        "client_id": "3MVG9.churnguard",
        "client_secret": f"cs-{CANARY}",
    },
    "zendesk": {
        "auth_flow": "client_credentials",
        "client_id": "churnguard",
        "client_secret": f"cs-{CANARY}",
    },
    "rest": {"auth_type": "bearer", "access_token": f"at-{CANARY}-1"},
}


@pytest.fixture(scope="module")
def server(django_db_setup: None) -> Iterator[str]:
    with serving_web(INTEGRATION_ALLOW_PRIVATE_HOSTS="127.0.0.1,unix") as address:
        yield address


def values_for(fake: FakeProvider, url: str) -> dict[str, str]:
    """{field: what is typed} for the form of the fake's provider."""
    known = {field.name for field in connectors.get(fake.name).fields}
    given = {**fake.settings(url), **fake.secrets()}
    if fake.name in OWN_WORDS:
        given = {
            **fake.settings(url),
            **({"headers": fake.secrets()["headers"]} if fake.name == "rest" else {}),
            **OWN_WORDS[fake.name],
        }
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in given.items()
        if name in known
    }
    if fake.name == "rest":
        # A person fills in fields; JSON is the other way.
        (endpoint,) = json.loads(texts.pop("endpoints"))
        parts = endpoints.split(endpoint)
        texts |= {f"endpoints-0-{name}": text for name, text in parts.items() if text}
    return texts


def type_in(page: Page, values: dict[str, str]) -> None:
    folded = page.locator("details.more:not([open]) > summary")
    if folded.count():
        folded.click()
    for name, value in values.items():
        field = page.locator(f"#id_field-{name}")
        if not field.is_visible():
            # Another way to sign in was chosen before.
            continue
        if field.evaluate("node => node.tagName") == "SELECT":
            field.select_option(value)
        else:
            field.fill(value)


def shoot(page: Page, name: str) -> None:
    """A picture for a person to look at, where CHURNGUARD_SHOTS names a folder."""
    if folder := os.environ.get("CHURNGUARD_SHOTS"):
        for theme, width in (("light", 1280), ("dark", 1280), ("light", 390)):
            page.emulate_media(color_scheme=theme)
            page.set_viewport_size({"width": width, "height": 800})
            path = Path(folder) / f"{name}-{theme}-{width}.png"
            page.screenshot(path=str(path), full_page=True)
        page.set_viewport_size({"width": 1280, "height": 720})


@contextmanager
def refusing(name: str, fake: FakeProvider, provider: Any) -> Iterator[None]:
    """A provider that takes our credentials no more; a database says so itself."""
    if name not in ("postgresql", "mysql"):
        provider.fail("reply", response=fake.unauthorized(), times=50)
        yield
        provider.faults.clear()
        return
    refusal = AuthenticationError("The server did not accept the user and password.")
    with mock.patch.object(connectors.get(name), "read", side_effect=refusal):
        yield


@pytest.mark.parametrize("name", sorted(fakes.FAKES))
def test_a_provider_is_added_synced_mapped_and_reconnected(
    name: str,
    page: Page,
    guard: Guard,
    signed_in: Callable[[Any], str],
    axe: Callable[[Page], None],
    reflows: Callable[[Page], None],
    alice: Any,
    org: Any,
    settings: LazySettings,
) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1", "unix"]
    cls = connectors.get(name)
    fake: FakeProvider = fakes.load(name)()
    # Refused forms are answered with 422.
    guard.allow(r"422 .*/integrations/")
    with fake.serve() as provider:
        fake.seed(23)
        address = signed_in(alice)
        page.goto(f"{address}/integrations/new/")
        page.get_by_role("searchbox").last.fill(cls.label)
        page.keyboard.press("Enter")
        page.locator(f'a[href="/integrations/new/{name}/"]').first.click()

        expect(page.get_by_text("Before you start")).to_be_visible()
        values = values_for(fake, provider.url)
        if "auth_flow" in values:
            type_in(page, {"auth_flow": values["auth_flow"]})
        page.get_by_role("button", name="Test connection").click()
        if any(field.required and field.default is None for field in cls.fields):
            # The browser itself says which fields are needed.
            assert page.locator(":invalid").count() > 0
        type_in(page, values)
        page.get_by_role("button", name="Test connection").click()
        expect(page.locator("#try")).to_contain_text("Connected to ", timeout=15_000)
        for field, value in values.items():
            if not page.locator(f"#id_field-{field}").is_visible():
                continue
            # What was typed is still there, secrets too: nothing is to be typed twice.
            assert page.locator(f"#id_field-{field}").input_value() == value
        if name == "rest":
            page.get_by_role("button", name="Test with live preview").click()
            expect(page.locator("#try")).to_contain_text("each can be stored")
            expect(page.locator("#try")).to_contain_text("Person 0")
            assert CANARY not in page.locator("#try").inner_text()
        axe(page)
        reflows(page)
        shoot(page, f"{name}-1-connect")

        page.get_by_role("button", name="Connect and continue").click()
        expect(page.get_by_role("heading", name="Choose data")).to_be_visible(
            timeout=15_000
        )
        chosen = page.locator('input[name="stream"]')
        for number in range(chosen.count()):
            box = chosen.nth(number)
            box.set_checked(box.get_attribute("value") == fake.stream)
        axe(page)
        reflows(page)
        shoot(page, f"{name}-2-choose")

        page.get_by_role("button", name="Start the first sync").click()
        expect(page).to_have_url(re.compile("/syncs/"), timeout=15_000)
        run = SyncRun.objects.get()
        assert runs.run_now(run.pk)
        run.refresh_from_db()
        assert run.status == "completed", run.error_detail
        # The page follows by itself.
        expect(page.get_by_text("Completed").first).to_be_visible(timeout=15_000)
        shoot(page, f"{name}-3-run")

        integration = Integration.objects.get()
        place = f"{address}/integrations/{integration.public_id}/"
        state = StreamState.objects.get(integration=integration, name=fake.stream)
        page.goto(f"{place}mapping/?stream={state.name}")
        page.get_by_role("button", name="Preview on 20 records").click()
        expect(page.get_by_text("real records; nothing was stored")).to_be_visible(
            timeout=15_000
        )
        shoot(page, f"{name}-4-map")

        with refusing(name, fake, provider):
            assert runs.run_now(runs.start(integration).pk)
        page.goto(f"{address}/integrations/")
        expect(page.get_by_text("Action required").first).to_be_visible()
        shoot(page, f"{name}-5-refused")
        page.get_by_role("link", name="Reconnect").first.click()
        secret = next(f.name for f in cls.fields if f.secret and f.name in values)
        type_in(page, {secret: values[secret]})
        page.get_by_role("button", name="Save connection").click()
        expect(
            page.get_by_text("The new secrets were saved. Connected to")
        ).to_be_visible(timeout=15_000)
        shoot(page, f"{name}-6-reconnected")
        integration.refresh_from_db()
        assert integration.status == "active"
