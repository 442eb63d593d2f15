"""A REST connector whose API is a function."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx

from integrations.connectors.base import Page, ReadRequest
from integrations.connectors.rest.connector import RestConnector
from integrations.http import Client

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
BASE = "https://api.example.com/v1"

Answer = Callable[[httpx.Request], httpx.Response]


class Api:
    """Answers by function and remembers what was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.requests: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        return self.answer(request)

    @property
    def queries(self) -> list[dict[str, str]]:
        return [dict(request.url.params) for request in self.requests]


def connector(
    answer: Answer | Api, endpoint: dict[str, Any], **values: Any
) -> RestConnector:
    """A connector of one endpoint ("things" at /things)."""
    secrets = values.pop("secrets", {})
    given = {"name": "things", "endpoint_url": "/things", **endpoint}
    return RestConnector(
        settings={"base_url": BASE, "endpoints": [given], **values},
        secrets=secrets,
        client=Client(
            adapter="rest",
            transport=httpx.MockTransport(answer),
            secrets=list(secrets.values()),
            sleep=lambda _s: None,
        ),
        now=lambda: NOW,
    )


def read(made: RestConnector, **request: Any) -> list[Page]:
    (stream,) = made.discover()
    options = {"mode": "full", "batch_size": 2, **request}
    return list(made.read(stream, ReadRequest(**options)))


def ids(pages: list[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def things(first: int, last: int) -> list[dict[str, Any]]:
    return [{"id": number} for number in range(first, last + 1)]
