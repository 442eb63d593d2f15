"""Random definitions for the world of `world`, near enough to its values to matter."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from analytics.segments.fields import FIELDS, Field
from tests.analytics.segments.world import CURRENCIES, EVENTS, NAMES, NOW, PLANS

_TEXTS: dict[str, tuple[str, ...]] = {
    "name": (*NAMES, "as", "%", "_", "\\", "'"),
    "domain": ("a.example", "B.EXAMPLE", "b."),
    "email": ("ann@A.example", "ANN"),
    "plan": PLANS,
    "segment": ("smb", "large"),
    "source": ("stripe", "pay", "crm", "ingest", "other"),
    "currency": ("usd", *CURRENCIES[:2], "GBP"),
    "external_id": ("x1-1-crm", "x2-3-pay", "x0-0-web"),
}
_PATHS: tuple[tuple[str, ...], ...] = (
    ("tier",),
    ("tags",),
    ("n",),
    ("flag",),
    ("deep", "at"),
    ("deep",),
    ("absent",),
)


def random_definition(dice: random.Random, depth: int = 3) -> dict[str, Any]:
    """A group, a negation or a condition of any field with any of its operators."""
    kind = dice.random()
    if depth <= 1 or kind < 0.35:
        return random_condition(dice, dice.choice(FIELDS))
    if kind < 0.5:
        return {"not": random_definition(dice, depth - 1)}
    nodes = [random_definition(dice, depth - 1) for _ in range(dice.randrange(1, 4))]
    return {dice.choice(["and", "or"]): nodes}


def random_condition(
    dice: random.Random, field: Field, op: str | None = None
) -> dict[str, Any]:
    op = op or dice.choice(field.ops)
    found: dict[str, Any] = {"field": field.name, "op": op}
    if "event" in field.asks:
        found["event"] = dice.choice([*EVENTS, "", "never"])
        found["days"] = dice.choice([1, 7, 30, 300])
    if "path" in field.asks:
        found["path"] = list(dice.choice(_PATHS))
    if op not in ("is_set", "is_not_set"):
        found["value"] = _value(dice, field, op)
    return found


def _value(dice: random.Random, field: Field, op: str) -> Any:
    if op in ("in_last_days", "in_next_days"):
        return dice.choice([1, 5, 30, 400])
    kind: str = field.kind
    if kind == "custom":
        kind = _custom_kind(dice, op)
    if op in ("in", "not_in"):
        return [_one(dice, field, kind) for _ in range(dice.randrange(1, 4))]
    if op == "between":
        return sorted(_one(dice, field, kind) for _ in range(2))
    return _one(dice, field, kind)


def _custom_kind(dice: random.Random, op: str) -> str:
    if op in ("<", "<=", ">", ">="):
        return "number"
    if op in ("before", "after"):
        return "time"
    if op in ("contains", "starts_with"):
        return "text"
    if op == "between":
        return dice.choice(["number", "time"])
    return dice.choice(["text", "number"] + (["flag"] if op in ("=", "!=") else []))


def _one(dice: random.Random, field: Field, kind: str) -> Any:
    if kind == "flag":
        return dice.random() < 0.5
    if kind == "time":
        day = NOW.date() + timedelta(days=dice.randrange(-40, 40))
        return day.isoformat()
    if kind in ("number", "money"):
        return _number(dice, field)
    if field.choices:
        return dice.choice(field.choices)
    texts = _TEXTS.get(field.name, ("gold", "a", "b", "DE", "3", "true", "kim", "live"))
    return dice.choice([text for text in texts if text])


def _number(dice: random.Random, field: Field) -> float:
    if field.name == "churn_probability":
        return dice.choice([0.02, 0.25, 0.3, 0.5])
    if field.kind == "money":
        return dice.randrange(5) * 10_000
    if field.name.startswith(("usage.active", "support.open", "billing.overdue")):
        return dice.randrange(6)
    return dice.choice([0, 3, 12.5, 20, 60, -4, dice.randrange(101)])
