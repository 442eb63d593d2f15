"""Fixtures of the pages: a world to look at, and files that go with the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client

from churnguard.models import Organization, User
from integrations.models import Integration
from tests.integrations.pages.worlds import World, make_crm, make_world


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Any) -> None:
    """Uploads of a test are gone with it."""
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def signed(client: Client) -> Callable[[User], Client]:
    """`signed(alice)` is a client with her session."""

    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter


@pytest.fixture
def pages(client: Client, alice: User) -> Client:
    """The owner's browser."""
    client.force_login(alice)
    return client


@pytest.fixture
def crm(org: Organization) -> Integration:
    """A database with a brake and a drift, to be reconnected."""
    return make_crm(org)


@pytest.fixture
def world(org: Organization, crm: Integration, alice: User) -> World:
    """Everything, with a real import of two files."""
    return make_world(org, crm, alice.email)


@pytest.fixture
def place(world: World) -> str:
    """Where the database's pages are."""
    return f"/integrations/{world.crm.public_id}/"
