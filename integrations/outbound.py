"""What every outbound call of an integration is held to: budgets and the breaker.

The counts live in Redis, shared by all workers; without it each process keeps to a
share of its own (`integrations.limits`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import redis
from django.conf import settings

from integrations.breaker import CircuitBreaker
from integrations.limits import Limiter, Window, per_minute
from integrations.models import Integration


def make_budget(account: str, windows: Sequence[Window], **options: Any) -> Limiter:
    """The budget of what a provider counts by, one per account and process."""
    return _limiter(account, tuple(windows), tuple(sorted(options.items())))


def run_budget(integration: Integration | None) -> tuple[Limiter, ...]:
    """requests_per_minute and concurrent_requests of an integration."""
    if integration is None or integration.pk is None:
        return ()
    return (
        _limiter(
            f"integration:{integration.pk}",
            (per_minute(integration.requests_per_minute),),
            (("max_concurrent", integration.concurrent_requests),),
        ),
    )


def make_breaker(integration: Integration | None) -> CircuitBreaker | None:
    """The circuit breaker of this connection, shared by all workers."""
    if integration is None or integration.pk is None:
        return None
    return CircuitBreaker(f"{integration.pk}", redis=_redis())


@lru_cache(maxsize=512)
def _limiter(
    account: str, windows: tuple[Window, ...], options: tuple[tuple[str, Any], ...]
) -> Limiter:
    return Limiter(account, windows, redis=_redis(), **dict(options))


@lru_cache(maxsize=1)
def _redis() -> redis.Redis:
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        max_connections=64,
    )
