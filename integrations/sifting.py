"""Which rows of a page stand in the table as they came, by a hash of what was sent.

They are counted and otherwise left alone: no record is made of them, and nothing is
checked or written. The hash is stored beside what was made of the row; it takes in how
that was done, so a changed mapping lets every row through once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from django.db import connection
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from integrations import load, shaping
from integrations.connectors.base import RowPage, Stream
from integrations.load import Sent, encode_json
from integrations.quality import usable_ids

_VERSION = 2
"""Counts up when the same mapping makes something else of a row than before."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """new: rows under ids nobody has stored, new_ids: those. changed: other rows to be
    worked on. unchanged: stored ids of the rest. stored: what the table held under the
    ids of the page (`load.stored_contents`)."""

    new: list[Sent]
    new_ids: list[str]
    changed: list[Sent]
    unchanged: list[str]
    stored: dict[str, int | None]


def sift(
    page: RowPage,
    stream: Stream,
    shape: shaping.Shape,
    source_id: int,
    *,
    expects_new: bool = False,
) -> Sifted | None:
    """The page's rows in three parts; None where every row has to be made a record.

    expects_new: take every row for new without asking the table.
    """
    is_filtered = bool(shaping.filters_for(shape.filters, shape.stream))
    if shape.record_type == "event" or is_filtered or not stream.primary_key_unique:
        return None
    ids = page.ids()
    if len(set(ids)) < len(ids):
        # The writer says which of the repeats are duplicates.
        return None
    try:
        texts = page.texts or list(map(encode_json, page.rows))
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    contents = _hashes(page, shape, texts)
    if shape.record_type == "object":
        ids = [load.object_id(stream.name, each) for each in ids]
    stored: dict[str, int | None] = {}
    if not expects_new:
        stored = load.stored_contents(
            connection,
            record_type=shape.record_type,
            source_id=source_id,
            ids=usable_ids(ids),
        )
    if list(map(stored.get, ids)) == list(contents):
        # As at most syncs.
        return Sifted([], [], [], ids, stored)
    sifted = Sifted([], [], [], [], stored)
    for at, (each, content) in enumerate(zip(ids, contents, strict=True)):
        if stored.get(each) == content:
            sifted.unchanged.append(each)
            continue
        row = page.rows[at]
        text = texts[at] if page.texts is None else encode_json(row)
        if each in stored:
            sifted.changed.append(Sent(row, text, content))
        else:
            sifted.new.append(Sent(row, text, content))
            sifted.new_ids.append(each)
    return sifted


def _hashes(page: RowPage, shape: shaping.Shape, texts: list[bytes]) -> tuple[int, ...]:
    """The content hash of each row. texts: what tells it from another."""
    recipe = f"{_VERSION}\0{page.recipe}\0{shape.record_type}\0{shape.recipe}"
    # A hash of its own for each recipe.
    seed = xxh3_64_intdigest(recipe.encode())
    digests = [xxh3_64_digest(text, seed) for text in texts]
    return struct.unpack(f">{len(texts)}q", b"".join(digests))
