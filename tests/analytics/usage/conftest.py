"""The orders of Online Retail, stored once for the tests of a module and zone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from django.db import connection, transaction

from churnguard.models import Organization
from tests.analytics.usage.events import Event, read_orders, store_and_fold


@dataclass(frozen=True)
class Retail:
    org: Organization
    events: list[Event]
    zone: ZoneInfo


@pytest.fixture(scope="session")
def orders(shared_data: Path) -> list[Event]:
    """All 44,751 orders; skips where the file is missing."""
    if not (shared_data / "data" / "online_retail_orders.csv.gz").is_file():
        pytest.skip("no online_retail_orders.csv.gz (set CHURNGUARD_SHARED)")
    return read_orders(shared_data)


@pytest.fixture(scope="module", params=["Pacific/Auckland", "America/Los_Angeles"])
def retail_stored(
    request: pytest.FixtureRequest,
    orders: list[Event],
    django_db_setup: None,
    django_db_blocker: Any,
) -> Iterator[Retail]:
    """Stored in a transaction that the module's tests share and that is undone."""
    with django_db_blocker.unblock():
        block = transaction.atomic()
        block.__enter__()
        try:
            org = Organization.objects.create(name="Retail", timezone=request.param)
            store_and_fold(org, orders, batches=4)
            with connection.cursor() as cur:
                cur.execute("ANALYZE cg_usage_day, an_usage_seen, cg_customer_source")
            yield Retail(org, orders, ZoneInfo(request.param))
        finally:
            transaction.set_rollback(True)
            block.__exit__(None, None, None)


@pytest.fixture
def retail(retail_stored: Retail, db: None) -> Retail:
    """Orders of 2009-12 to 2011-12 in two sources, most of them arrived late."""
    return retail_stored


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All orders in two zones take minutes on a busy machine."""
    for item in items:
        if "retail" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
