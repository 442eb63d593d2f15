"""A fake provider being served, connectors for it, and what providers answered."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar

from integrations import connectors
from integrations.connectors.base import Page, ReadRequest, Stream
from integrations.http import Client
from integrations.netguard import Guard
from tests.fakes.base import FakeProvider
from tests.fakes.server import FakeServer

PAYLOADS = Path(__file__).resolve().parents[2] / "payloads"
NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)

FakeT = TypeVar("FakeT", bound=FakeProvider)


@dataclass
class Served(Generic[FakeT]):
    """Its clock stands at `now`; waits between tries take no time."""

    fake: FakeT
    server: FakeServer
    now: datetime = NOW

    def connector(
        self,
        *,
        secrets: dict[str, Any] | None = None,
        client: dict[str, Any] | None = None,
        **settings: Any,
    ) -> Any:
        """A connector; `client` has more options of its HTTP client."""
        known = self.fake.secrets() if secrets is None else secrets
        return connectors.get(self.fake.name)(
            settings={**self.fake.settings(self.server.url), **settings},
            secrets=known,
            client=Client(
                adapter=self.fake.name,
                guard=Guard(allow_private=("127.0.0.1",)),
                secrets=list(known.values()),
                sleep=lambda _s: None,
                **(client or {}),
            ),
            now=lambda: self.now,
        )

    def stream(self, name: str) -> Stream:
        streams = connectors.get(self.fake.name).streams
        return next(stream for stream in streams if stream.name == name)

    def read(self, name: str, mode: str = "full", **options: Any) -> list[Page]:
        connector = self.connector(**options.pop("settings", {}))
        request = ReadRequest(mode=mode, **options)  # type: ignore[arg-type]
        return list(connector.read(self.stream(name), request))


def payload(provider: str, name: str) -> Any:
    """An answer of the provider as it came."""
    return json.loads((PAYLOADS / provider / f"{name}.json").read_text())


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ids(pages: list[Page]) -> list[str]:
    return [r.external_id for page in pages for r in page.records]  # type: ignore[union-attr]
