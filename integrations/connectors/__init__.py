"""The registry: provider name -> where its connector is. Loaded when first asked for.

To add a connector, add a line here; see CONTRIBUTING.md.
"""

from __future__ import annotations

import importlib
from functools import cache

from churnguard.errors import ConfigError
from integrations.connectors.base import Connector

REGISTRY: dict[str, str] = {
    "file": "integrations.connectors.file:FileConnector",
    "hubspot": "integrations.connectors.hubspot.connector:HubspotConnector",
    "mixpanel": "integrations.connectors.mixpanel.connector:MixpanelConnector",
    "mysql": "integrations.connectors.sql.mysql:MysqlConnector",
    "postgresql": "integrations.connectors.sql.postgresql:PostgresqlConnector",
    "rest": "integrations.connectors.rest.connector:RestConnector",
    "salesforce": "integrations.connectors.salesforce.connector:SalesforceConnector",
    "stripe": "integrations.connectors.stripe.connector:StripeConnector",
    "zendesk": "integrations.connectors.zendesk.connector:ZendeskConnector",
}


@cache
def _load(path: str) -> type[Connector]:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


def get(name: str) -> type[Connector]:
    """The connector class of a provider. Raises ConfigError for an unknown name."""
    path = REGISTRY.get(name)
    if path is None:
        raise ConfigError(
            f"There is no connector “{name}”. Known: {', '.join(sorted(REGISTRY))}.",
            code="unknown_provider",
            fields={"provider_name": "unknown"},
        )
    return _load(path)


def all_connectors() -> list[type[Connector]]:
    """Every connector class, by label."""
    return sorted((_load(path) for path in REGISTRY.values()), key=lambda c: c.label)
