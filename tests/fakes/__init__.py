"""Provider fakes that speak the real wire format over loopback, with real faults.

FAKES: connector name -> "module:Class" of its fake; the contract suite runs over it.
"""

from __future__ import annotations

import importlib

FAKES: dict[str, str] = {
    "hubspot": "tests.fakes.hubspot:HubspotFake",
    "mixpanel": "tests.fakes.mixpanel:MixpanelFake",
    "mysql": "tests.fakes.sql:MysqlFake",
    "postgresql": "tests.fakes.sql:PostgresqlFake",
    "rest": "tests.fakes.rest:RestFake",
    "salesforce": "tests.fakes.salesforce:SalesforceFake",
    "stripe": "tests.fakes.stripe:StripeFake",
    "zendesk": "tests.fakes.zendesk:ZendeskFake",
}


def load(name: str) -> type:
    """The fake's class."""
    module, _, attribute = FAKES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
