"""Tables of a database, queries on them, and the ids of their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from churnguard.errors import RecordError
from integrations.connectors.base import Column, JsonDict
from integrations.connectors.sql.values import digest

_LONGEST_ID = 200


@dataclass(frozen=True, slots=True)
class Table:
    """schema and name as the server has them; key: primary key columns in order,
    types: column -> the server's own type name."""

    schema: str
    name: str
    columns: tuple[Column, ...]
    types: dict[str, str]
    key: tuple[str, ...]

    @property
    def stream(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a query starts and ends. after: values of `order` to be passed (strictly);
    least, below: watermark limits, inclusive and exclusive."""

    order: tuple[str, ...]
    after: tuple[Any, ...] | None = None
    least: Any = None
    below: Any = None
    watermark: str = ""


def key_of(table: Table, row: JsonDict) -> str:
    """The row's id: its key values joined by ":" (escaped inside), a digest where
    that is too long, or of the whole row where the table has no key. Raises
    RecordError without one."""
    if not table.key:
        return digest(row)
    values = [row.get(name) for name in table.key]
    if None in values:
        raise RecordError(
            "The row has no primary key value.", code="missing_id", field=table.key[0]
        )
    if len(values) == 1:
        text = str(values[0])
    else:
        # So that ("a:b", "c") and ("a", "b:c") stay two rows.
        text = ":".join(
            str(value).replace("\\", "\\\\").replace(":", "\\:") for value in values
        )
    return text if len(text) <= _LONGEST_ID else digest(values)


def keys_of(table: Table, rows: list[JsonDict]) -> list[str]:
    """`key_of` each of the rows."""
    if len(table.key) == 1:
        (name,) = table.key
        values = [row.get(name) for row in rows]
        texts = list(map(str, values))
        if None not in values and max(map(len, texts), default=0) <= _LONGEST_ID:
            return texts
    return [key_of(table, row) for row in rows]
