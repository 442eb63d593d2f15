"""What a stream's objects look like, and when that changes.

New fields are kept raw and reported; a field whose values have another type than
before is reported too (records it makes unusable go to quarantine by validation).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from integrations.connectors.base import Column

MOST_NOTES = 100
MOST_COLUMNS = 1000
_PROBE = 25
# Values a source mixes freely; a change among them is nothing to report.
_ALIKE = {
    frozenset({"integer", "number"}),
    frozenset({"string", "datetime"}),
    frozenset({"string", "date"}),
    frozenset({"date", "datetime"}),
    frozenset({"json", "string"}),
    frozenset({"string", "integer"}),
    frozenset({"string", "number"}),
    frozenset({"string", "boolean"}),
}


class Watch:
    """Compares the raw objects of a stream with the columns known so far."""

    def __init__(self, columns: list[dict[str, Any]]) -> None:
        self.columns = {column["name"]: dict(column) for column in columns}
        self.notes: list[dict[str, Any]] = []
        # Objects whose fields discovery lists one by one ("properties.email").
        self._opened = {
            name.partition(".")[0] for name in self.columns if "." in name
        } & self.columns.keys()
        self._is_first = not columns
        self._reported: set[tuple[str, str]] = set()

    def see(self, raws: Iterable[Mapping[str, Any]]) -> bool:
        """Look at a page's raw objects; True when there is something new to keep."""
        before = len(self.columns), len(self.notes)
        for number, raw in enumerate(map(self._flat, raws)):
            for name in raw.keys() - self.columns.keys():
                self._add(name, raw[name])
            if number < _PROBE:
                self._compare(raw)
        if before[0] == 0 and self.columns:
            self._is_first = False
        return before != (len(self.columns), len(self.notes))

    def _flat(self, raw: Mapping[str, Any]) -> Mapping[str, Any]:
        """The object with the fields of its opened parts beside its own."""
        found = dict(raw)
        for part in self._opened:
            inner = raw.get(part)
            if isinstance(inner, Mapping):
                found.update({f"{part}.{name}": inner[name] for name in inner})
        return found

    def _add(self, name: str, value: Any) -> None:
        if value is None or len(self.columns) >= MOST_COLUMNS:
            return
        kind = type_of(value)
        self.columns[name] = {
            "name": name,
            "type": kind,
            "label": "",
            "is_custom": False,
            "sample": "",
            "seen": True,
        }
        if not self._is_first:
            self._note(name, "added", "", kind)

    def _compare(self, raw: Mapping[str, Any]) -> None:
        for name, value in raw.items():
            known = self.columns.get(name)
            if value is None or known is None:
                continue
            now, was = type_of(value), known["type"]
            if now != was and frozenset({now, was}) not in _ALIKE:
                self._note(name, "type", was, now)

    def _note(self, name: str, kind: str, was: str, now: str) -> None:
        if (name, now) in self._reported or len(self.notes) >= MOST_NOTES:
            return
        self._reported.add((name, now))
        self.notes.append(
            {
                "field": name,
                "kind": kind,
                "was": was,
                "now": now,
                "at": datetime.now(UTC).isoformat(),
            }
        )


def type_of(value: Any) -> str:
    """A JSON value's type in the words of `Column.type`."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, (list, tuple)):
        return "array"
    return "json"


def compare_discovery(
    known: list[dict[str, Any]], found: tuple[Column, ...]
) -> list[dict[str, Any]]:
    """Notes on what discovery sees differently: added, changed and vanished columns.
    What only the data showed is not gone because discovery does not list it."""
    if not known or not found:
        return []
    before = {column["name"]: column["type"] for column in known}
    after = {column.name: column.type for column in found}
    at = datetime.now(UTC).isoformat()
    changes = [(name, "added", "", after[name]) for name in after if name not in before]
    changes += [
        (name, "type", before[name], after[name])
        for name in after
        if name in before
        and before[name] != after[name]
        and frozenset({before[name], after[name]}) not in _ALIKE
    ]
    changes += [
        (column["name"], "gone", column["type"], "")
        for column in known
        if column["name"] not in after and not column.get("seen")
    ]
    return [
        {"field": name, "kind": kind, "was": was, "now": now, "at": at}
        for name, kind, was, now in changes[:MOST_NOTES]
    ]


def merge_columns(
    known: list[dict[str, Any]], found: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The columns of a discovery, then those that only the data have shown so far."""
    names = {column["name"] for column in found}
    seen = [c for c in known if c.get("seen") and c["name"] not in names]
    return (found + seen)[:MOST_COLUMNS]


def merge_notes(
    old: list[dict[str, Any]], new: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """The newest MOST_NOTES notes, a repeated one kept once."""
    seen = {(note["field"], note["kind"], note["now"]) for note in old}
    fresh = [n for n in new if (n["field"], n["kind"], n["now"]) not in seen]
    return (old + fresh)[-MOST_NOTES:]
