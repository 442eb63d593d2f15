"""The scripted provider behind the API, and one client per kind of caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from churnguard.models import Organization, User
from tests.integrations.sync.conftest import account, connect

__all__ = ["account", "connect"]


@pytest.fixture
def owner(alice: User, api: Callable[..., APIClient]) -> APIClient:
    return api(alice)


@pytest.fixture
def viewer(bob: User, api: Callable[..., APIClient]) -> APIClient:
    return api(bob)


@pytest.fixture
def stranger(charlie: User, api: Callable[..., APIClient]) -> APIClient:
    return api(charlie)


@pytest.fixture
def body(org: Organization) -> dict[str, Any]:
    """The specification's create body, for the scripted provider."""
    return {
        "organization_id": org.public_id,
        "integration_name": "Main",
        "provider_name": "scripted",
        "integration_type": "crm",
        "credentials": {
            "credential_type": "oauth2",
            "access_token": "canary-77aa31-access",
            "custom_fields": {"region": "eu", "client_secret": "canary-77aa31-client"},
        },
        "sync_config": {
            "sync_mode": "incremental",
            "sync_frequency": 3600,
            "batch_size": 1000,
        },
    }
