"""SOQL texts and rows: one shape of row, whether it came as JSON or as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from churnguard.errors import TransientError
from integrations.connectors.base import JsonDict

_NUMBERS = ("double", "currency", "percent")


def select(
    fields: Mapping[str, str] | tuple[str, ...],
    name: str,
    *conditions: str,
    order: str = "",
    limit: int = 0,
) -> str:
    """A SOQL query; empty conditions are left out."""
    text = f"SELECT {', '.join(fields)} FROM {name}"
    if wanted := [each for each in conditions if each]:
        text += f" WHERE {' AND '.join(wanted)}"
    if order:
        text += f" ORDER BY {order}"
    return f"{text} LIMIT {limit}" if limit else text


def quoted(text: str) -> str:
    """A SOQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def stamp_of(at: datetime) -> str:
    """A SOQL date-time literal, and how times stand in our raw rows."""
    at = at.astimezone(UTC)
    return f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z"


def plain(row: Mapping[str, Any], types: Mapping[str, str]) -> JsonDict:
    """A row without metadata and empty fields, parents flattened ("Owner.Name"),
    values typed as described and times in UTC."""
    found: JsonDict = {}
    for name, value in row.items():
        if name == "attributes" or value is None or value == "":
            continue
        if isinstance(value, dict) and "records" not in value:
            for inner, part in plain(value, types).items():
                found[f"{name}.{inner}"] = part
        else:
            found[name] = _typed(value, types.get(name, ""))
    return found


def csv_rows(text: str) -> Iterator[JsonDict]:
    """Rows of a Bulk result. TransientError where a line has too few fields."""
    reader = csv.reader(io.StringIO(text, newline=""))
    header = next(reader, [])
    for line in reader:
        if len(line) != len(header):
            raise TransientError(
                "Salesforce sent a result whose lines do not have the fields of its "
                "header.",
                code="bad_shape",
            )
        yield dict(zip(header, line, strict=True))


def _typed(value: Any, type_: str) -> Any:
    """What does not fit its type stays as it came; the record's maker judges it."""
    if isinstance(value, dict):
        return _inner_rows(value)
    try:
        if type_ == "boolean" and value in ("true", "false"):
            return value == "true"
        if type_ in ("int", "long") and isinstance(value, str):
            return int(float(value))
        if type_ in _NUMBERS:
            return float(value)
        if type_ == "datetime":
            return stamp_of(datetime.fromisoformat(value))
    except (TypeError, ValueError, OverflowError):
        return value
    return value


def _inner_rows(answer: JsonDict) -> list[JsonDict]:
    """The rows of a parent-to-child subquery."""
    return [plain(row, {}) for row in answer.get("records") or []]
