"""The filters of the list of accounts as a definition, for “Save as segment”."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analytics.queries import CustomerFilter
from analytics.segments.builder import Builder, from_definition
from analytics.segments.members import read_members
from churnguard.currencies import minor_places
from churnguard.errors import ConfigError
from churnguard.models import Organization


def from_accounts(organization: Organization, query: Mapping[str, str]) -> Builder:
    """A form that finds whom the list of accounts showed; empty for filters that are
    not valid, or none."""
    try:
        chosen = CustomerFilter.from_query(query)
        saved = read_members(organization, chosen.segment_id)
    except ConfigError:
        return Builder()
    nodes: list[dict[str, Any]] = [
        {"field": name, "op": "=", "value": getattr(chosen, name)}
        for name in ("band", "segment", "plan")
        if getattr(chosen, name)
    ]
    if chosen.least is not None:
        nodes.append({"field": "score", "op": ">=", "value": chosen.least})
    if chosen.most is not None:
        nodes.append({"field": "score", "op": "<=", "value": chosen.most})
    others = []
    if chosen.search:
        others.append({"or": [
            {"field": "name", "op": "contains", "value": chosen.search},
            *(
                {"field": name, "op": "=", "value": chosen.search}
                for name in ("domain", "email", "customer_id", "external_id")
            ),
        ]})  # fmt: skip
    if saved is not None:
        others.append(saved.segment.definition)
    if nodes and others:
        nodes = [{"and": nodes}, *others]
    nodes = nodes or others
    if not nodes:
        return Builder()
    whole = nodes[0] if len(nodes) == 1 and "field" not in nodes[0] else {"and": nodes}
    return from_definition(whole, minor_places(organization.base_currency.upper()))
