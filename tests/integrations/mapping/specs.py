"""Short ways to write a mapping in a test."""

from __future__ import annotations

from datetime import UTC, datetime

from integrations.mapping import apply_mapping

DAY = datetime(2026, 3, 4, tzinfo=UTC)
ID = {"target": "external_id", "source": "id"}


def spec(*rules, record_type="customer", **more):
    return {"record_type": record_type, "rules": list(rules), **more}


def mapped(raw, transform, *, target="custom.x", record_type="customer", **rule):
    """What one rule makes of raw["v"]; None where nothing came."""
    rule = {"target": target, "source": "v", "transform": transform} | rule
    values = apply_mapping(raw, spec(rule, record_type=record_type))
    bag, dot, key = target.partition(".")
    return values.get(bag, {}).get(key) if dot else values.get(target)
