"""A definition as a sentence."""

from __future__ import annotations

from datetime import date
from typing import Any

from analytics.segments.fields import OPERATORS
from analytics.segments.tree import Condition, Group, Negation, Node
from churnguard import formats
from churnguard.statuses import get_status

_JOINERS = {"and": " and ", "or": " or "}


def describe(node: Node, currency: str) -> str:
    """The node in words: “Plan is Pro and (Health score below 40 or ..)”."""
    if isinstance(node, Condition):
        return _condition(node, currency)
    if isinstance(node, Negation):
        return f"not ({describe(node.node, currency)})"
    return _JOINERS[node.word].join(
        f"({describe(one, currency)})"
        if isinstance(one, Group) and len(one.nodes) > 1
        else describe(one, currency)
        for one in node.nodes
    )


def _condition(found: Condition, currency: str) -> str:
    name = found.field.label
    if found.path:
        name = " › ".join(found.path)
    if "event" in found.field.asks:
        name = f"{found.event or 'any'} events in {found.days} days"
    word, value = OPERATORS[found.op], found.value
    if value is None:
        return f"{name} {word}"
    if found.op in ("in_last_days", "in_next_days"):
        side = "last" if found.op == "in_last_days" else "next"
        return f"{name} in the {side} {value} day{'' if value == 1 else 's'}"
    if found.op == "between":
        low, high = (_value(found, one, currency) for one in value)
        return f"{name} between {low} and {high}"
    if isinstance(value, tuple):
        return f"{name} {word} {', '.join(_value(found, v, currency) for v in value)}"
    return f"{name} {word} {_value(found, value, currency)}"


def _value(found: Condition, value: Any, currency: str) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if found.field.kind == "money":
        return formats.money(round(value), currency)
    if found.field.name == "band":
        return get_status(value).label
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else formats.number(value)
    return str(value)
