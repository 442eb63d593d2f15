"""Both doors of the ingest API behind one small client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import pytest
from django.db import connection
from django.test import Client
from pytest_django.plugin import DjangoDbBlocker

from churnguard.auth import create_api_key
from churnguard.models import Organization
from integrations.ingest import door as fast_door
from integrations.ingest.committer import committer
from integrations.load.statements import TABLES

_TABLES = (
    "cg_usage_event",
    "cg_event_key",
    "cg_batch",
    "cg_quarantine",
    "cg_subscription_change",
    *(table for table in TABLES.values() if table != "cg_customer_source"),
    "cg_identity_link",
    "cg_customer_source",
    "cg_customer",
    "cg_source",
    "cg_api_key",
    "cg_organization",
)
"""What ingest writes, facts before what they point at."""
PREFIX = "/api/v1/data/ingest/"


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: dict[str, Any]
    headers: dict[str, str]


class Door(Protocol):
    def __call__(
        self,
        body: Any = None,
        *,
        source: str = "web",
        headers: dict[str, str] | None = None,
        key: str | None = None,
        method: str = "POST",
    ) -> Reply: ...


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


def send_to_asgi(
    body: Any = None,
    *,
    source: str = "web",
    headers: dict[str, str] | None = None,
    key: str | None = None,
    method: str = "POST",
) -> Reply:
    """One request to the plain ASGI function."""

    async def request() -> httpx.Response:
        transport = httpx.ASGITransport(fast_door.app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            return await client.request(
                method,
                PREFIX + source,
                content=as_bytes(body),
                headers=_all(headers, key),
            )

    response = asyncio.run(request())
    return Reply(response.status_code, response.json(), dict(response.headers))


def send_to_django(
    body: Any = None,
    *,
    source: str = "web",
    headers: dict[str, str] | None = None,
    key: str | None = None,
    method: str = "POST",
) -> Reply:
    """One request to the Django REST view."""
    sent = _all(headers, key)
    content_type = sent.pop("Content-Type")
    response = Client().generic(
        method, PREFIX + source, as_bytes(body), content_type, headers=sent
    )
    found = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, json.loads(response.content), found)


def _all(headers: dict[str, str] | None, key: str | None) -> dict[str, str]:
    sent = {"Content-Type": "application/json", **(headers or {})}
    if key is not None:
        sent["Authorization"] = f"Bearer {key}"
    return sent


@pytest.fixture
def committed_db(
    django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """A database whose rows other connections see; emptied and left alone afterwards.

    Deleting the few rows takes a tenth of the truncation that `transactional_db` does.
    """
    with django_db_blocker.unblock():
        yield
        committer().drain()
        fast_door.forget_keys()
        with connection.cursor() as cur:
            cur.execute("; ".join(f"DELETE FROM {table}" for table in _TABLES))


@pytest.fixture
def shop(committed_db: None) -> Organization:
    """An organisation whose rows other connections can see."""
    return Organization.objects.create(name="Shop")


@pytest.fixture
def key(shop: Organization) -> str:
    """A key of `shop` that may ingest."""
    return create_api_key(shop, "web", ["ingest"])[1]


@pytest.fixture
def asgi(key: str) -> Door:
    """The fast door, with the key of `shop` unless told otherwise."""
    return _with_key(send_to_asgi, key)


@pytest.fixture(params=["asgi", "django"])
def door(request: pytest.FixtureRequest, key: str) -> Door:
    """Each of the two doors, with the key of `shop` unless told otherwise."""
    send = {"asgi": send_to_asgi, "django": send_to_django}[request.param]
    return _with_key(send, key)


def _with_key(send: Callable[..., Reply], key: str) -> Door:
    def call(body: Any = None, **options: Any) -> Reply:
        return send(body, **{"key": key, **options})

    return call
