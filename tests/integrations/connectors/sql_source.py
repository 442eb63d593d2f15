"""A database as a source, and connectors for it, for the tests of SQL."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from integrations import connectors
from integrations.connectors.base import Page, ReadRequest, Stream
from integrations.connectors.sql.base import SqlConnector
from integrations.http import Client
from integrations.netguard import Guard
from tests.fakes.sql import SqlFake

NOW = datetime(2026, 1, 10, 12, tzinfo=UTC)
ALLOWED = ("127.0.0.1", "unix")


class Source:
    """One database, and connectors for it."""

    def __init__(self, fake: SqlFake) -> None:
        self.fake = fake
        self.schema = "public" if fake.name == "postgresql" else fake.database  # type: ignore[attr-defined]
        self.opened: list[SqlConnector] = []

    def run(self, *queries: str) -> None:
        for query in queries:
            self.fake.run(query)

    def connector(
        self, *, allowed: tuple[str, ...] = ALLOWED, password: str = "", **given: Any
    ) -> Any:
        made = connectors.get(self.fake.name)(
            settings={**self.fake.settings(""), **given},
            secrets={"password": password} if password else self.fake.secrets(),
            client=Client(guard=Guard(allow_private=allowed)),
            now=lambda: NOW,
        )
        self.opened.append(made)
        return made

    def stream(self, name: str, connector: Any = None) -> Stream:
        found = (connector or self.connector()).discover()
        return next(s for s in found if s.name == f"{self.schema}.{name}")

    def pages(self, name: str, connector: Any = None, **request: Any) -> list[Page]:
        connector = connector or self.connector()
        asked = ReadRequest(**{"mode": "incremental", "batch_size": 2, **request})
        return list(connector.read(self.stream(name, connector), asked))

    def ids(self, name: str, **request: Any) -> list[str]:
        return ids_of(self.pages(name, **request))

    def row(self, name: str) -> dict[str, Any]:
        (record,) = [r for page in self.pages(name) for r in page.records]
        return dict(record.raw or {})


def ids_of(pages: list[Page]) -> list[str]:
    return [str(r.external_id) for page in pages for r in page.records]  # type: ignore[union-attr]


def serve(fake: SqlFake) -> Iterator[Source]:
    with fake.serve():
        source = Source(fake)
        yield source
        for connector in source.opened:
            connector.close()
