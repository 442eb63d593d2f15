"""Rows that no table could hold, among others of the same page."""

from __future__ import annotations

import json
from typing import Any

import pytest

from churnguard.models import Organization, Quarantine, SourceObject
from integrations import registry
from integrations.models import RunStream
from tests.fakes.server import Request, Response, serving
from tests.integrations.sync.conftest import sync

pytestmark = pytest.mark.django_db(transaction=True)


class Rows:
    """An API with one page."""

    def __init__(self, rows: list[str]) -> None:
        self.body = f"[{','.join(rows)}]".encode()

    def handle(self, _request: Request) -> Response:
        return Response(200, self.body)


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


def test_an_odd_row_costs_only_itself(org: Organization, settings: Any) -> None:
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    fine = [
        json.dumps({"id": 1, "name": "plain"}),
        '{"id": 123456789012345678901234567890, "rate": 1e308, "tiny": 5e-324}',
        '{"id": 3, "most": 1e999, "none": NaN}',
        '{"id": "Zoë 🦊", "cut": "\\ud83d"}',
        f'{{"id": 5, "deep": {deep(100)}}}',
        f'{{"id": 6, "long": {"9" * 200}}}',
    ]
    odd = [
        '{"id": 7, "text": "a\\u0000b"}',
        json.dumps({"id": "x" * 300}),
        '{"id": null}',
        '{"id": {"a": 1}}',
        '["no object"]',
    ]
    with serving(Rows([*fine, *odd])) as server:  # type: ignore[arg-type]
        integration = registry.create(
            org,
            {
                "provider_name": "rest",
                "base_url": server.url,
                "settings": {"endpoints": [{"name": "rows", "endpoint_url": "/rows"}]},
            },
            by="test",
        )
        run = sync(integration)

    part = RunStream.objects.get(run=run)
    assert (run.status, part.fetched) == ("completed", len(fine) + len(odd)), part
    assert (part.inserted, part.quarantined) == (len(fine), len(odd))
    stored = {row.external_id: row.raw for row in SourceObject.objects.all()}
    assert float(stored["rows:123456789012345678901234567890"]["rate"]) == 1e308
    assert stored["rows:3"] == {"id": 3, "most": "1e999", "none": None}
    assert stored["rows:Zoë 🦊"]["cut"] == "\ufffd"
    assert stored["rows:6"]["long"] == int("9" * 200)
    assert Quarantine.objects.count() == len(odd)
