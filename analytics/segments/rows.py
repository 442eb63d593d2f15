"""One condition as a row of a form: what people type, and the JSON it stands for."""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from analytics.segments.fields import FIELD_BY_NAME, FIELDS, OPERATORS, Field
from analytics.segments.tree import LARGEST, sort_of

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


KEYS = {key for _, rows in choices() for key, _ in rows}


def from_condition(node: dict[str, Any], places: int) -> Row:
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
