"""A scripted provider behind the outbound door, with time that only sleeps move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from integrations.http import CallFacts, Client

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class Provider:
    """Answers with the given script, then with 200 {"ok": true}."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if not self.answers:
            return httpx.Response(200, json={"ok": True})
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    @property
    def paths(self) -> list[str]:
        return [str(request.url) for request in self.requests]


class Time:
    """A clock for `clock`, `now` and `sleep`; `slept` lists every sleep."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.passed_s

    def now(self) -> datetime:
        return START + timedelta(seconds=self.passed_s)

    def sleep(self, wait_s: float) -> None:
        self.slept.append(wait_s)
        self.passed_s += wait_s


def make_client(
    provider: Callable[[httpx.Request], httpx.Response],
    *,
    time: Time | None = None,
    facts: list[CallFacts] | None = None,
    **options: Any,
) -> Client:
    """A client of that provider; jitter is at its highest (rand = 1)."""
    time = time or Time()
    settings: dict[str, Any] = {
        "adapter": "hubspot",
        "base_url": "https://api.example.com/v1",
        "transport": httpx.MockTransport(provider),
        "clock": time.clock,
        "now": time.now,
        "sleep": time.sleep,
        "rand": lambda: 1.0,
        "observer": facts.append if facts is not None else None,
    }
    return Client(**(settings | options))
