"""The stores a budget can live in."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import redis


@pytest.fixture
def shared() -> Iterator[redis.Redis]:
    client = redis.Redis.from_url(os.environ["REDIS_URL"], socket_timeout=5)
    yield client
    client.close()


@pytest.fixture(params=["redis", "local"])
def store(request, shared) -> redis.Redis | None:
    """Each behaviour holds in Redis and in one process."""
    return shared if request.param == "redis" else None
