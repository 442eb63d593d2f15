"""New rows of a page as columns: the way of `shaping` and `load.sorting` for many at
once.

Record type, mapping and checks are applied to one field after the other, and no record
is made. What comes out is what the records would have become; where a single one of
them would be refused, changed in an odd way or deleted, there is no block, and each row
is made a record. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from churnguard.records import ENTITY_TYPES, EventRecord
from integrations import quality_columns
from integrations.connectors.base import Columns, RowPage
from integrations.load import BLOCK_TYPES, Block, Sent, encode_json, object_id
from integrations.mapping import laid_over
from integrations.quality import usable_ids
from integrations.shaping import Shape

LEAST = 50
"""Rows from which on this is the faster way."""
_EMPTY: tuple[Any, ...] = (None, "", {}, [])
_DEFAULTS = {
    name: {
        field.name
        for field in msgspec.structs.fields(cls)
        if field.default not in (None, msgspec.NODEFAULT)
    }
    for name, cls in ENTITY_TYPES.items()
}
"""Fields of a record type that are never None although they have a default."""


def block_of(
    page: RowPage, rows: Sequence[Sent], ids: list[str], how: Shape, *, now: datetime
) -> Block | None:
    """The rows as `how` wants them. ids: as stored, of each row. now: the arrival,
    aware. None where they have to be made records."""
    if (
        page.columns is None
        or how.record_type not in BLOCK_TYPES
        or len(rows) < LEAST
        or usable_ids(ids) != ids
    ):
        return None
    raws = [row.row for row in rows]
    made = page.columns(raws)
    fields = None if made is None else _retyped(made, how.record_type)
    if fields is not None and how.mapping is not None:
        fields = laid_over(how.mapping, how.record_type, fields, raws)
    if fields is None or any(fields.pop("deleted", ())):
        return None
    fields = quality_columns.in_shape(how.record_type, fields, now=now)
    if fields is None or _stored_ids(how.record_type, fields) != ids:
        return None
    customs = fields.pop("custom", None)
    block = Block(
        record_type=how.record_type,
        ids=ids,
        contents=[row.content for row in rows],
        raws=[row.text for row in rows],
        customs=None if customs is None else list(map(encode_json, customs)),
        fields=fields,
    )
    return block if _is_storable(block) else None


def _retyped(made: Columns, record_type: str) -> dict[str, list[Any]] | None:
    """As `shaping.retype`; None for what has a type of its own there."""
    if made.record_type == record_type:
        return dict(made.fields)
    if made.record_type == EventRecord.TYPE:
        return None
    names = ENTITY_TYPES[record_type].__struct_fields__
    fields = {name: made.fields[name] for name in made.fields if name in names}
    others = [name for name in made.fields if name not in names]
    if others:
        customs = fields.get("custom") or [{} for _ in next(iter(fields.values()))]
        fields["custom"] = customs = list(map(dict, customs))
        for name in others:
            for custom, value in zip(customs, made.fields[name], strict=True):
                if value not in _EMPTY:
                    custom[name] = msgspec.to_builtins(value)
    return fields


def _stored_ids(record_type: str, fields: dict[str, list[Any]]) -> list[str]:
    if record_type != "object":
        return fields["external_id"]
    ids = fields["external_id"]
    return list(map(object_id, fields.get("kind") or [""] * len(ids), ids))


def _is_storable(block: Block) -> bool:
    for name in _DEFAULTS[block.record_type] & block.fields.keys():
        if None in block.fields[name]:
            return False
    return b"\\u0000" not in b"\n".join([*block.raws, *(block.customs or ())])
