"""Lots of prepared events, and a connection of the writer's own kind."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, connections

from churnguard.models import Organization
from integrations import load
from integrations.load import wire

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def conn(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    params = connections["default"].get_connection_params()
    params.pop("cursor_factory", None)
    params.pop("context", None)
    made = psycopg.connect(**params, autocommit=True)
    yield made
    made.close()
    with connection.cursor() as cur:
        cur.execute("TRUNCATE cg_usage_event, cg_event_key")


@pytest.fixture
def shop(conn: psycopg.Connection[Any]) -> Organization:
    return Organization.objects.create(name="Shop")


def event(event_id: str, **fields: Any) -> load.PreparedEvent:
    values: dict[str, Any] = {
        "event_id": event_id,
        "name": "login",
        "ts": NOW - timedelta(days=1),
        "customer_id": "c1",
        "user_id": "",
        "value": None,
        "properties": b'{"a": 1}',
        "content": event_id.encode().ljust(8)[:8],
        **fields,
    }
    return load.PreparedEvent(micros=wire.micros(values["ts"]), **values)


def lot_of(
    org: Organization, *items: Any, source: str = "web", **options: Any
) -> load.Lot:
    source_id = load.source_id(connection, org_id=org.pk, name=source)
    return load.Lot(
        org_id=org.pk,
        source_id=source_id,
        origin="ingest",
        items=items,
        received_at=NOW,
        **options,
    )


@pytest.fixture
def known(conn: psycopg.Connection[Any], shop: Organization) -> load.KnownCustomers:
    """A cache after one event of the customer "c1" went the general way."""
    with conn.transaction():
        load.write_lots(conn, [lot_of(shop, event("first"))])
    return load.KnownCustomers()
