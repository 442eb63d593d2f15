"""Databases and a Stripe account as sources."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fakes.sql import MysqlFake, PostgresqlFake
from tests.fakes.stripe import StripeFake
from tests.integrations.connectors.sql_source import Source, serve
from tests.integrations.connectors.stripe_shop import Shop


@pytest.fixture
def postgresql() -> Iterator[Source]:
    yield from serve(PostgresqlFake())


@pytest.fixture
def mysql() -> Iterator[Source]:
    yield from serve(MysqlFake())


@pytest.fixture(params=[PostgresqlFake, MysqlFake], ids=["postgresql", "mysql"])
def source(request: pytest.FixtureRequest) -> Iterator[Source]:
    """Each behaviour holds in both."""
    yield from serve(request.param())


@pytest.fixture
def shop() -> Iterator[Shop]:
    fake = StripeFake()
    with fake.serve() as server:
        yield Shop(fake, server)
