"""The condition builder: a definition as rows of a form, and back.

A form holds blocks of rows: all or any of the blocks, each all, any or none of its
conditions. What does not fit this shape is edited as JSON. It works without scripts:
every button posts the whole form, which comes back with one row more or fewer.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.http import QueryDict

from analytics.segments.rows import KEYS, Row, choices, from_condition
from analytics.segments.tree import parse
from churnguard.errors import ConfigError

MOST_BLOCKS = 10
MOST_ROWS = 20


@dataclass(slots=True)
class Block:
    """match: all, any or none of the rows."""

    match: str = "all"
    rows: list[Row] = field(default_factory=list)


@dataclass(slots=True)
class Builder:
    """match: all or any of the blocks. text: the definition as JSON where it is edited
    so, else None. problem: what is wrong beside the rows."""

    match: str = "all"
    blocks: list[Block] = field(default_factory=lambda: [Block()])
    text: str | None = None
    problem: str = ""

    def definition(self, places: int) -> Any:
        """The JSON of the form; of one that is no JSON, its text."""
        if self.text is not None:
            try:
                return json.loads(self.text)
            except (ValueError, RecursionError):
                return self.text
        return self._tree(places)[0]

    def _tree(self, places: int) -> tuple[dict[str, Any], dict[str, Row]]:
        """The definition, and the row behind each path in it."""
        nodes: list[dict[str, Any]] = []
        paths: list[list[tuple[str, Row]]] = []
        for block in self.blocks:
            if not block.rows:
                continue
            word = "and" if block.match == "all" else "or"
            inner: dict[str, Any] = {
                word: [row.condition(places) for row in block.rows]
            }
            below = [(f"{word}.{n}", row) for n, row in enumerate(block.rows)]
            if block.match == "none":
                inner = {"not": inner}
                below = [(f"not.{path}", row) for path, row in below]
            nodes.append(inner)
            paths.append(below)
        if len(nodes) == 1:
            return nodes[0], {f"definition.{path}": row for path, row in paths[0]}
        word = "and" if self.match == "all" else "or"
        return {word: nodes}, {
            f"definition.{word}.{n}.{path}": row
            for n, below in enumerate(paths)
            for path, row in below
        }

    def place(self, faults: Mapping[str, str], places: int) -> dict[str, str]:
        """Put the faults of a definition beside their rows; returns the others."""
        rest = {}
        rows = {} if self.text is not None else self._tree(places)[1]
        for path, text in faults.items():
            where, _, part = path.rpartition(".")
            if where in rows:
                what = "Give" if part == "value" else f"{_PARTS.get(part, part)}: give"
                rows[where].errors.append(f"{what} {text}.")
            elif path.startswith("definition") and self.text is None:
                self.problem = "Add at least one condition."
            elif path.startswith("definition"):
                rest[path] = text
                self.problem = "; ".join(f"{at}: {what}" for at, what in rest.items())
            else:
                rest[path] = text
        return rest

    @property
    def is_empty(self) -> bool:
        return self.text is None and not any(block.rows for block in self.blocks)


_PARTS = {"op": "Operator", "path": "Field", "days": "Days", "event": "Event"}


def read_post(post: QueryDict) -> Builder:
    """The form as posted, with the change that its pressed button asks for."""
    if "text" in post:
        return Builder(text=str(post["text"])[:100_000])
    builder = Builder(match=_word(post.get("match"), ("all", "any")), blocks=[])
    for b in range(MOST_BLOCKS):
        if f"g{b}.match" not in post:
            break
        block = Block(_word(str(post[f"g{b}.match"]), ("all", "any", "none")))
        for r in range(MOST_ROWS):
            row = _read_row(post, f"g{b}.{r}")
            if row is not None:
                block.rows.append(row)
        builder.blocks.append(block)
    builder.blocks = builder.blocks or [Block()]
    _press(builder, post)
    return builder


def from_definition(definition: Any, places: int) -> Builder:
    """Rows for a definition, or its JSON where it does not fit them or no longer
    holds."""
    try:
        parse(definition)
    except ConfigError:
        return as_text(definition)
    word, nodes = _members(definition)
    blocks = [Block("all" if word == "and" else "any")]
    if all("field" in node for node in nodes):
        blocks[0].rows = [from_condition(node, places) for node in nodes]
    else:
        blocks = []
        for node in nodes:
            block = _block(node, places)
            if block is None:
                return as_text(definition)
            blocks.append(block)
    if len(blocks) > MOST_BLOCKS or any(len(b.rows) > MOST_ROWS for b in blocks):
        return as_text(definition)
    return Builder("all" if word == "and" else "any", blocks)


def as_text(definition: Any) -> Builder:
    """The form that edits a definition as JSON."""
    return Builder(text=json.dumps(definition, indent=2, ensure_ascii=False))


def _read_row(post: QueryDict, at: str) -> Row | None:
    key = post.get(f"{at}.key", "")
    if key not in KEYS:
        return None
    row = Row(
        key,
        event=post.get(f"{at}.event", ""),
        days=post.get(f"{at}.days", ""),
        path=post.get(f"{at}.path", ""),
        values=post.getlist(f"{at}.value"),
    )
    names = [name for name, _ in row.ops]
    row.op = _word(post.get(f"{at}.op"), tuple(names))
    return row


def _press(builder: Builder, post: QueryDict) -> None:
    """add:<block>, group, drop:<block> or remove:<block>:<row>."""
    verb, _, rest = post.get("do", "").partition(":")
    numbers = [int(n) for n in rest.split(":") if n.isascii() and n.isdigit()]
    if verb == "group" and len(builder.blocks) < MOST_BLOCKS:
        builder.blocks.append(Block("any"))
    if not numbers or numbers[0] >= len(builder.blocks):
        return
    block = builder.blocks[numbers[0]]
    key = post.get(f"g{numbers[0]}.add", "")
    if verb == "add" and key in KEYS and len(block.rows) < MOST_ROWS:
        row = Row(key, is_new=True, days="30" if key == "usage.events" else "")
        names = [name for name, _ in row.ops]
        row.op = ">=" if ">=" in names else names[0]
        block.rows.append(row)
    elif verb == "drop" and len(builder.blocks) > 1:
        builder.blocks.remove(block)
    elif verb == "remove" and len(numbers) == 2 and numbers[1] < len(block.rows):
        del block.rows[numbers[1]]


def _members(node: Any) -> tuple[str, list[Any]]:
    for word in ("and", "or"):
        if word in node:
            return word, node[word]
    return "and", [node]


def _block(node: dict[str, Any], places: int) -> Block | None:
    """One block, where the node has no levels below its conditions."""
    match = {"and": "all", "or": "any"}
    if "not" in node:
        word, nodes = _members(node["not"])
        match = {"or": "none"} if len(nodes) > 1 else {"or": "none", "and": "none"}
    else:
        word, nodes = _members(node)
    if word not in match or not all("field" in one for one in nodes):
        return None
    return Block(match[word], [from_condition(one, places) for one in nodes])


def _word(given: str | None, legal: tuple[str, ...]) -> str:
    return given if given in legal else legal[0]


__all__ = ["Block", "Builder", "as_text", "choices", "from_definition", "read_post"]
