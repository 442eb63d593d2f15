"""Every answer of both doors is counted, with the tenant where it is known."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from churnguard.auth import create_api_key
from churnguard.models import Organization
from integrations.ingest.committer import committer
from tests.integrations.ingest.conftest import Door

EVENT = {
    "event_id": "e1",
    "event": "login",
    "customer_id": "c1",
    "timestamp": "2026-03-01T12:00:00Z",
}


def _count(name: str, tenant: str, status: str) -> float:
    labels = {"tenant_id": tenant, "status": status}
    return REGISTRY.get_sample_value(name, labels) or 0.0


def _requests(tenant: str, status: int) -> float:
    return _count("ingest_requests_total", tenant, str(status))


def test_what_is_taken_counts_requests_and_records(
    door: Door, shop: Organization
) -> None:
    door([EVENT, {**EVENT, "event_id": "e2"}, {"type": "nonsense"}])
    door(EVENT)

    assert _requests(shop.public_id, 202) == 2
    assert [
        _count("ingest_records_total", shop.public_id, status)
        for status in ("accepted", "duplicate", "quarantined")
    ] == [2, 1, 1]


def test_refusals_count_with_the_tenant_of_the_key(
    door: Door, shop: Organization, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    _key, readonly = create_api_key(shop, "reader", ["read"])
    replies = [
        door(b"not json"),
        door(EVENT, key=readonly),
        door(EVENT, headers={"Content-Type": "text/csv"}),
        door(EVENT, source="-"),
    ]
    settings.INGEST_MAX_BODY_BYTES = 10
    replies.append(door(EVENT))
    settings.INGEST_MAX_BODY_BYTES = 10_000
    settings.API_RATE_LIMITING_ENABLED = True
    settings.INGEST_RATE_LIMIT_PER_MINUTE = 1
    replies += [door(b"[" + b"1," * 9 + b"1]"), door(EVENT)]
    settings.API_RATE_LIMITING_ENABLED = False
    monkeypatch.setattr(committer(), "_closing", True)
    replies.append(door(EVENT))

    statuses = [reply.status for reply in replies]
    assert statuses == [400, 403, 415, 400, 413, 202, 429, 503]
    found = {status: _requests(shop.public_id, status) for status in statuses}
    assert found == {400: 2, 403: 1, 415: 1, 413: 1, 202: 1, 429: 1, 503: 1}


def test_a_stranger_counts_without_a_tenant(door: Door, shop: Organization) -> None:
    before = _requests("", 401)

    assert door(EVENT, key="cg_nobody").status == 401
    assert door(EVENT, key=None).status == 401

    assert _requests("", 401) == before + 2
    assert _requests(shop.public_id, 401) == 0
    assert _count("ingest_records_total", shop.public_id, "accepted") == 0
