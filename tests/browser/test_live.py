"""The live module against a scripted socket: state, resume, refusal, polling."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

pytestmark = pytest.mark.browser

STREAM = re.compile(r"/api/v1/stream/health-scores")
RECORD = """() => {
  window.heard = [];
  for (const name of ["cg:health-scores", "cg:health", "cg:health-cus_1", "cg:poll"]) {
    document.body.addEventListener(name, (event) =>
      window.heard.push([name, event.detail.score ?? null]));
  }
}"""


class Sockets:
    """Every socket the page opened, in order, and their addresses."""

    def __init__(self) -> None:
        self.opened: list[WebSocketRoute] = []

    def take(self, socket: WebSocketRoute) -> None:
        self.opened.append(socket)

    def hello(self, seq: int) -> None:
        self.say({"type": "hello", "channel": "health-scores", "seq": seq})

    def note(self, seq: int, data: dict[str, Any]) -> None:
        self.say({"type": "note", "channel": "health-scores", "seq": seq, "data": data})

    def say(self, message: dict[str, Any]) -> None:
        self.opened[-1].send(json.dumps(message))

    @property
    def queries(self) -> list[str]:
        return [socket.url.partition("?")[2] for socket in self.opened]


@pytest.fixture
def sockets(page: Page) -> Sockets:
    found = Sockets()
    page.route_web_socket(STREAM, found.take)
    return found


@pytest.fixture
def live_page(
    page: Page, sockets: Sockets, signed_in: Callable[[Any], str], alice: Any
) -> Page:
    alice.is_staff = True
    alice.save(update_fields=["is_staff"])
    page.clock.install()
    page.goto(f"{signed_in(alice)}/styleguide/?live=health-scores:41")
    expect(dot(page)).to_have_attribute("data-state", "off")
    page.evaluate(RECORD)
    return page


def dot(page: Page) -> Any:
    return page.locator("[data-live-dot]")


def test_a_page_starts_after_the_note_it_was_rendered_with(
    live_page: Page, sockets: Sockets
) -> None:
    sockets.hello(43)

    expect(dot(live_page)).to_have_text("Live")
    assert sockets.queries == ["since=41"]


def test_a_note_wakes_its_channel_its_type_and_its_customer(
    live_page: Page, sockets: Sockets
) -> None:
    sockets.hello(41)
    sockets.note(42, {"type": "health", "customer_id": "cus_1", "score": 64})

    expect(dot(live_page)).to_have_text("Live")
    assert sorted(live_page.evaluate("heard")) == [
        ["cg:health", 64],
        ["cg:health-cus_1", 64],
        ["cg:health-scores", 64],
    ]


def test_a_lost_socket_resumes_after_the_last_note_seen(
    live_page: Page, sockets: Sockets
) -> None:
    sockets.hello(50)
    sockets.note(42, {"type": "health", "customer_id": "cus_2", "score": 10})
    expect(dot(live_page)).to_have_text("Live")

    sockets.opened[-1].close(code=1012)
    expect(dot(live_page)).to_have_text("Reconnecting")
    live_page.clock.run_for(1_100)
    wait_for_sockets(live_page, sockets, 2)

    assert sockets.queries == ["since=41", "since=42"]
    sockets.hello(50)
    expect(dot(live_page)).to_have_text("Live")


def test_a_refused_socket_is_not_tried_again_and_polls_every_10_s(
    live_page: Page, sockets: Sockets
) -> None:
    sockets.opened[-1].close(code=4401)
    expect(dot(live_page)).to_have_text("Not live, refreshing every 10 s")

    live_page.clock.run_for(21_000)

    heard = [name for name, _ in live_page.evaluate("heard")]
    assert heard.count("cg:poll") == 2
    assert len(sockets.opened) == 1


def test_three_failures_in_a_row_start_the_polling(
    live_page: Page, sockets: Sockets
) -> None:
    for opened in (2, 3):
        sockets.opened[-1].close(code=1013)
        expect(dot(live_page)).to_have_text("Reconnecting")
        live_page.clock.run_for(2_100)
        wait_for_sockets(live_page, sockets, opened)
    sockets.opened[-1].close(code=1013)
    expect(dot(live_page)).to_have_text("Not live, refreshing every 10 s")

    live_page.clock.run_for(4_100)
    wait_for_sockets(live_page, sockets, 4)
    sockets.hello(41)

    expect(dot(live_page)).to_have_text("Live")


def wait_for_sockets(page: Page, sockets: Sockets, count: int) -> None:
    """Until the page has opened `count` sockets, 5 s at most."""
    for _ in range(250):
        if len(sockets.opened) >= count:
            break
        page.wait_for_timeout(20)
    assert len(sockets.opened) == count
