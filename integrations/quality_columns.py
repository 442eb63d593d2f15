"""`quality.validate` for many records at once, field by field."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from integrations import quality
from integrations.mapping.columns import Fields, kinds_of


def in_shape(record_type: str, fields: Fields, *, now: datetime) -> Fields | None:
    """The fields as `validate` would leave them; None where it would refuse a record.

    now: the arrival, aware.
    """
    if not _have_ids(fields):
        return None
    if not all(_are_usable(name, column) for name, column in fields.items()):
        return None
    if not _are_in_order(record_type, fields, now):
        return None
    if not _are_amounts(record_type, fields):
        return None
    legal = quality.STATUSES.get(record_type)
    statuses = set(fields.get("status", ())) - {None}
    if legal is not None and not statuses <= legal:
        return None
    shaped = dict(fields)
    for name, shape in quality.shapes_of(record_type):
        if name in fields:
            shaped[name] = [
                None if value is None else shape(value) or None
                for value in fields[name]
            ]
    return shaped


def _have_ids(fields: Fields) -> bool:
    ids = [fields["external_id"]]
    if "customer_id" in fields:
        ids.append([each for each in fields["customer_id"] if each is not None])
    return all(all(each) and quality.usable_ids(each) == each for each in ids)


def _are_usable(name: str, column: list[Any]) -> bool:
    kinds = kinds_of(column)
    there = column if None not in column else [v for v in column if v is not None]
    if kinds <= {bool, dict}:
        return True
    if kinds == {str}:
        text = "".join(there)
        is_plain = text.isascii() and "\0" not in text
        if is_plain and max(map(len, there)) <= quality.SHORT:
            return True
    if kinds == {float}:
        return all(map(math.isfinite, there))
    if kinds == {datetime} and {at.tzinfo for at in there} == {UTC}:
        there = [min(there), max(there)]
    return all(quality.check_value(name, value) is None for value in there)


def _are_in_order(record_type: str, fields: Fields, now: datetime) -> bool:
    changed = [at for at in fields.get("updated_at", ()) if at is not None]
    if changed and max(changed) > now + quality.AHEAD:
        return False
    for first, second in quality.order_of(record_type):
        if first in fields and second in fields:
            pairs = zip(fields[first], fields[second], strict=True)
            if any(None not in (a, b) and a > b for a, b in pairs):
                return False
    return True


def _are_amounts(record_type: str, fields: Fields) -> bool:
    rules = quality.amounts_of(record_type)
    for name in rules.not_negative:
        if any(value is not None and value < 0 for value in fields.get(name, ())):
            return False
    for name in rules.percent:
        values = (value for value in fields.get(name, ()) if value is not None)
        if not all(0 <= value <= 100 for value in values):
            return False
    count = len(fields["external_id"])
    currencies = fields.get("currency") or [None] * count
    known = {each.strip().upper() for each in set(currencies) - {None}}
    if not known <= quality.ISO_4217:
        return False
    return not any(
        currency is None and value
        for name in rules.money
        if name in fields
        for currency, value in zip(currencies, fields[name], strict=True)
    )
