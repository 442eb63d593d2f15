"""Which rows of a page stand in the table as they came, by a hash of what was sent.

They are counted and otherwise left alone: no record is made of them, and nothing is
checked or written. The hash is stored beside what was made of the row; it takes in how
that was done, so a changed mapping lets every row through once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b

import msgspec
from django.db import connection

from integrations import load, shaping
from integrations.connectors.base import RowPage, Stream
from integrations.load import Sent
from integrations.quality import usable_ids

_VERSION = 1
"""Counts up when the same mapping makes something else of a row than before."""
_encoder = msgspec.json.Encoder(order="deterministic")


@dataclass(frozen=True, slots=True)
class Sifted:
    """rows: to be worked on. unchanged: stored ids of the others. stored: what the
    table held under the ids of the page (`load.stored_contents`)."""

    rows: list[Sent]
    unchanged: list[str]
    stored: dict[str, int | None]


def sift(
    page: RowPage, stream: Stream, shape: shaping.Shape, source_id: int
) -> Sifted | None:
    """The page's rows in two parts; None where every row has to be made a record."""
    is_filtered = bool(shaping.filters_for(shape.filters, shape.stream))
    if shape.record_type == "event" or is_filtered or not stream.primary_key_unique:
        return None
    ids = page.ids()
    if len(set(ids)) < len(ids):
        # The writer says which of the repeats are duplicates.
        return None
    try:
        texts, contents = _hashed(page, shape)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return None
    if shape.record_type == "object":
        ids = [f"{stream.name}:{each}" for each in ids]
    stored = load.stored_contents(
        connection,
        record_type=shape.record_type,
        source_id=source_id,
        ids=usable_ids(ids),
    )
    rows: list[Sent] = []
    unchanged: list[str] = []
    for number, (each, content) in enumerate(zip(ids, contents, strict=True)):
        if stored.get(each) == content:
            unchanged.append(each)
        else:
            rows.append(Sent(page.rows[number], texts[number], content))
    return Sifted(rows, unchanged, stored)


def _hashed(page: RowPage, shape: shaping.Shape) -> tuple[list[bytes], tuple[int, ...]]:
    """Each row as JSON, and its content hash."""
    recipe = f"{_VERSION}\0{page.recipe}\0{shape.record_type}\0{shape.recipe}"
    # A hash of its own for each recipe, by BLAKE2's parameter for that.
    person = blake2b(recipe.encode(), digest_size=16).digest()
    texts = list(map(_encoder.encode, page.rows))
    digests = [blake2b(text, digest_size=8, person=person).digest() for text in texts]
    return texts, struct.unpack(f">{len(texts)}q", b"".join(digests))
