"""Tables of a database, queries on them, and the ids of their rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, overload

import msgspec

from churnguard.errors import RecordError
from integrations.connectors.base import Column, JsonDict
from integrations.connectors.sql.values import digest, exact_number

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


class JsonRows(Sequence[JsonDict]):
    """Rows as the server's JSON, read when they are looked at. A number that a double
    would round is text."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @overload
    def __getitem__(self, at: int) -> JsonDict: ...

    @overload
    def __getitem__(self, at: slice) -> list[JsonDict]: ...

    def __getitem__(self, at: int | slice) -> JsonDict | list[JsonDict]:
        if isinstance(at, slice):
            return list(map(_decode, self.texts[at]))
        return _decode(self.texts[at])

    def keys(self, table: Table) -> list[str] | None:
        """`key_of` each of the rows; None where one has to be looked at."""
        if len(table.key) != 1:
            return None
        decode = _key_reader(table.key[0])
        values = [decode(text).key for text in self.texts]
        return _plain_keys(values)


_decode = msgspec.json.Decoder(JsonDict, float_hook=exact_number).decode


@lru_cache(maxsize=1024)
def _key_reader(name: str) -> Callable[[str], Any]:
    """Reads one field of an object, as `.key`, and skips the others."""
    kind = msgspec.defstruct("Key", [("key", Any, None)], rename={"key": name})
    return msgspec.json.Decoder(kind, float_hook=exact_number).decode


def _plain_keys(values: list[Any]) -> list[str] | None:
    texts = list(map(str, values))
    if None in values or max(map(len, texts), default=0) > _LONGEST_ID:
        return None
    return texts


def keys_of(table: Table, rows: Sequence[JsonDict]) -> list[str]:
    """`key_of` each of the rows."""
    if len(table.key) == 1:
        (name,) = table.key
        texts = _plain_keys([row.get(name) for row in rows])
        if texts is not None:
            return texts
    return [key_of(table, row) for row in rows]
