"""A provider that the engine may reach."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import LazySettings

from tests.fakes.rest import RestFake
from tests.fakes.server import FakeServer


@pytest.fixture
def server(fake: RestFake, settings: LazySettings) -> Iterator[FakeServer]:
    """The module's `fake`, served on this machine."""
    settings.INTEGRATION_ALLOW_PRIVATE_HOSTS = ["127.0.0.1"]
    with fake.serve() as running:
        yield running
