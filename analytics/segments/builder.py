"""The condition builder: a definition as rows of a form, and back.

A form holds blocks of rows: all or any of the blocks, each all, any or none of its
conditions. What does not fit this shape is edited as JSON. It works without scripts:
every button posts the whole form, which comes back with one row more or fewer.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.http import QueryDict

from analytics.segments.fields import FIELD_BY_NAME, FIELDS, OPERATORS, Field
from analytics.segments.tree import LARGEST, sort_of

MOST_BLOCKS = 10
MOST_ROWS = 20
_CUSTOM = {
    "text": ("=", "!=", "in", "not_in", "contains", "starts_with", "is_set",
             "is_not_set"),
    "number": ("=", "!=", "<", "<=", ">", ">=", "between"),
    "time": ("before", "after", "between", "in_last_days", "in_next_days"),
    "flag": ("=", "!="),
}  # fmt: skip
_CUSTOM_LABELS = {
    "text": "Own field (text)",
    "number": "Own field (number)",
    "time": "Own field (day)",
    "flag": "Own field (yes or no)",
}
_NONE = ("is_set", "is_not_set")
_DAYS = ("in_last_days", "in_next_days")
_MANY = ("in", "not_in")


@dataclass(slots=True)
class Row:
    """One condition as people type it. key: a field's name, or custom:<sort>."""

    key: str
    op: str = ""
    values: list[str] = field(default_factory=list)
    event: str = ""
    days: str = ""
    path: str = ""
    errors: list[str] = field(default_factory=list)
    is_new: bool = False

    @property
    def field(self) -> Field:
        return FIELD_BY_NAME[self.key.partition(":")[0]]

    @property
    def sort(self) -> str:
        """How its value is typed."""
        if self.key.startswith("custom:"):
            return self.key.partition(":")[2]
        return self.field.kind

    @property
    def label(self) -> str:
        if self.key.startswith("custom:"):
            return _CUSTOM_LABELS[self.sort]
        return self.field.label

    @property
    def ops(self) -> list[tuple[str, str]]:
        """(operator, words) to choose from."""
        own = self.key.startswith("custom:")
        names = _CUSTOM[self.sort] if own else self.field.ops
        return [(name, OPERATORS[name]) for name in names]

    @property
    def inputs(self) -> str:
        """Which inputs the value needs: none, days, pair, choices, choice, flag, many
        or one."""
        if self.op in _NONE:
            return "none"
        if self.op in _DAYS:
            return "days"
        if self.op == "between":
            return "pair"
        if self.field.choices:
            return "choices" if self.op in _MANY else "choice"
        if self.sort == "flag":
            return "flag"
        return "many" if self.op in _MANY else "one"

    @property
    def first(self) -> str:
        return self.values[0] if self.values else ""

    @property
    def second(self) -> str:
        return self.values[1] if len(self.values) > 1 else ""

    def condition(self, places: int) -> dict[str, Any]:
        """The JSON of the row; what cannot be read stays text for `tree.parse` to
        refuse. places: decimals of the base currency."""
        out: dict[str, Any] = {"field": self.field.name, "op": self.op}
        if "event" in self.field.asks:
            out["event"] = self.event.strip()
            out["days"] = _number(self.days)
        if "path" in self.field.asks:
            out["path"] = [part.strip() for part in self.path.split(">")]
        if self.inputs == "none":
            return out
        if self.inputs == "days":
            out["value"] = _number(self.first)
        elif self.inputs == "pair":
            out["value"] = [
                self._typed(one, places) for one in (self.first, self.second)
            ]
        elif self.inputs == "choices":
            out["value"] = self.values
        elif self.inputs == "many":
            items = next(csv.reader([self.first], skipinitialspace=True), [])
            out["value"] = [self._typed(one.strip(), places) for one in items]
        else:
            out["value"] = self._typed(self.first, places)
        return out

    def _typed(self, text: str, places: int) -> Any:
        text = text.strip()
        if self.sort == "number":
            return _number(text)
        if self.sort == "money":
            return _minor(text, places)
        if self.sort == "flag":
            return {"true": True, "false": False}.get(text, text)
        return text


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
            inner = {word: [row.condition(places) for row in block.rows]}
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
                said = f"{_PARTS.get(part, part)}: {text}" if part != "value" else text
                rows[where].errors.append(f"{said[:1].upper()}{said[1:]}.")
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


_PARTS = {"op": "operator", "path": "field", "days": "days", "event": "event"}


def read_post(post: QueryDict) -> Builder:
    """The form as posted, with the change that its pressed button asks for."""
    if "text" in post:
        return Builder(text=post["text"][:100_000])
    builder = Builder(match=_word(post.get("match"), ("all", "any")), blocks=[])
    for b in range(MOST_BLOCKS):
        if f"g{b}.match" not in post:
            break
        block = Block(_word(post[f"g{b}.match"], ("all", "any", "none")))
        for r in range(MOST_ROWS):
            row = _read_row(post, f"g{b}.{r}")
            if row is not None:
                block.rows.append(row)
        builder.blocks.append(block)
    builder.blocks = builder.blocks or [Block()]
    _press(builder, post)
    return builder


def from_definition(definition: Any, places: int) -> Builder:
    """Rows for a checked definition, or its JSON where it does not fit them."""
    word, nodes = _members(definition)
    blocks = [Block("all" if word == "and" else "any")]
    if all("field" in node for node in nodes):
        blocks[0].rows = [_row(node, places) for node in nodes]
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


def choices() -> list[tuple[str, list[tuple[str, str]]]]:
    """(group, [(key, label)]) of all that a row may ask about."""
    groups: dict[str, list[tuple[str, str]]] = {}
    for one in FIELDS:
        rows = groups.setdefault(one.group, [])
        if one.kind == "custom":
            rows += [
                (f"custom:{sort}", label) for sort, label in _CUSTOM_LABELS.items()
            ]
        else:
            rows.append((one.name, one.label))
    return list(groups.items())


_KEYS = {key for _, rows in choices() for key, _ in rows}


def _read_row(post: QueryDict, at: str) -> Row | None:
    key = post.get(f"{at}.key", "")
    if key not in _KEYS:
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
    if verb == "add" and key in _KEYS and len(block.rows) < MOST_ROWS:
        row = Row(key, is_new=True, days="30" if key == "usage.events" else "")
        row.op = row.ops[0][0]
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
    return Block(match[word], [_row(one, places) for one in nodes])


def _row(node: dict[str, Any], places: int) -> Row:
    found = FIELD_BY_NAME[node["field"]]
    op, value = node["op"], node.get("value")
    key = found.name
    if found.kind == "custom":
        key = f"custom:{'text' if op in _NONE else sort_of(found, op, value)}"
    row = Row(
        key,
        op,
        event=node.get("event") or "",
        days=str(node.get("days", "")),
        path=" > ".join(node.get("path", [])),
    )
    if value is None:
        return row
    items = value if isinstance(value, list) else [value]
    texts = [_shown(row, one, places) for one in items]
    row.values = [_joined(texts)] if row.inputs == "many" else texts
    return row


def _shown(row: Row, value: Any, places: int) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if row.sort == "money" and row.op not in _DAYS:
        return f"{Decimal(str(value)).scaleb(-places):f}"
    return str(value)


class _Line:
    """What a CSV writer writes to."""

    text = ""

    def write(self, text: str) -> None:
        self.text += text


def _joined(items: list[str]) -> str:
    line = _Line()
    csv.writer(line, lineterminator="").writerow(items)
    return line.text.replace(",", ", ") if '"' not in line.text else line.text


def _number(text: str) -> Any:
    text = text.strip().replace("\u202f", "")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _minor(text: str, places: int) -> Any:
    try:
        amount = Decimal(text.strip()).scaleb(places)
    except ArithmeticError:
        return text
    if not amount.is_finite() or abs(amount) > LARGEST:
        return text
    return int(amount) if amount == amount.to_integral_value() else float(amount)


def _word(given: str | None, legal: tuple[str, ...]) -> str:
    return given if given in legal else legal[0]
