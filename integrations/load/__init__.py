"""The one writer of the unified model: `write` for a page, `write_lots` for several.

What is stored, how often and in which order is decided here and nowhere else.
"""

from integrations.load.customers import KnownCustomers
from integrations.load.deletes import count_live
from integrations.load.entities import BLOCK_TYPES, stored_contents
from integrations.load.events import PreparedEvent
from integrations.load.fresh import LEAST as LEAST_FRESH
from integrations.load.fresh import write_fresh
from integrations.load.lots import (
    Block,
    ItemError,
    LoadResult,
    Lot,
    NotNewError,
    Refusal,
    Sent,
    encode_json,
)
from integrations.load.merges import keep as keep_merges
from integrations.load.small import write_small
from integrations.load.sorting import object_id, stored_id
from integrations.load.wire import open_cursor, text_array
from integrations.load.writer import prepare, source_id, write, write_lots

__all__ = [
    "BLOCK_TYPES",
    "LEAST_FRESH",
    "Block",
    "ItemError",
    "KnownCustomers",
    "LoadResult",
    "Lot",
    "NotNewError",
    "PreparedEvent",
    "Refusal",
    "Sent",
    "count_live",
    "encode_json",
    "keep_merges",
    "object_id",
    "open_cursor",
    "prepare",
    "source_id",
    "stored_contents",
    "stored_id",
    "text_array",
    "write",
    "write_fresh",
    "write_lots",
    "write_small",
]
