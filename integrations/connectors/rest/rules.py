"""The specification's APIIngestionRule as an integration of the REST connector."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from churnguard.errors import ConfigError
from integrations.connectors.base import JsonDict
from integrations.connectors.rest.endpoints import parse_endpoints

_SAME = (
    "description",
    "http_method",
    "response_format",
    "data_path",
    "field_mappings",
    "record_type",
    "primary_key",
    "pagination",
    "incremental",
    "params",
    "body",
)


def integration_of_rule(rule: Mapping[str, Any]) -> JsonDict:
    """The IntegrationConfiguration body that does what the rule says.

    Headers go to the credentials, since keys stand in them; they are sent to the
    rule's own host only. sync_frequency: seconds, 0 = by hand. The objects become
    customers unless the rule names another record_type. Raises ConfigError.
    """
    address = urlsplit(str(rule.get("endpoint_url") or ""))
    if address.scheme not in ("http", "https") or not address.netloc:
        raise ConfigError(
            "endpoint_url must be a whole address, such as "
            "https://api.example.com/customers.",
            code="invalid_settings",
            fields={"endpoint_url": "not an address"},
        )
    endpoint: JsonDict = {"record_type": "customer"}
    endpoint |= {name: rule[name] for name in _SAME if rule.get(name)}
    endpoint["name"] = str(rule.get("rule_id") or rule.get("name") or "records")
    endpoint["endpoint_url"] = str(rule["endpoint_url"])
    for name in ("http_method", "response_format"):
        if name in endpoint:
            text = str(endpoint[name])
            endpoint[name] = text.upper() if name == "http_method" else text.lower()
    parse_endpoints([endpoint])
    body: JsonDict = {
        "integration_name": str(rule.get("name") or endpoint["name"]),
        "integration_type": "custom",
        "provider_name": "rest",
        "base_url": f"{address.scheme}://{address.netloc}",
        "settings": {"endpoints": [endpoint]},
        "sync_config": {
            "sync_mode": "incremental" if "incremental" in endpoint else "full"
        },
    }
    if rule.get("rule_id"):
        body["integration_id"] = str(rule["rule_id"])
    if rule.get("headers"):
        body["credentials"] = {
            "credential_type": "custom",
            "custom_fields": {"headers": dict(rule["headers"])},
        }
    if rule.get("sync_frequency") is not None:
        body["sync_config"]["sync_frequency"] = int(rule["sync_frequency"])
    return body
