"""A little SOQL: SELECT fields FROM object WHERE … ORDER BY … LIMIT n."""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"'(?:\\.|[^'\\])*'|\d{4}-\d\d-\d\d(?:T[\d:.]+Z)?|[\w.]+(?:\(\))?|>=|<=|!=|[=<>(),]"
)
_OPERATORS = {
    "=": lambda one, other: one == other,
    "!=": lambda one, other: one != other,
    ">": lambda one, other: one is not None and one > other,
    ">=": lambda one, other: one is not None and one >= other,
    "<": lambda one, other: one is not None and one < other,
    "<=": lambda one, other: one is not None and one <= other,
}


class Query:
    """A parsed query. Raises ValueError for what it does not know."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._tokens = _TOKEN.findall(text)
        self._take("SELECT")
        self.fields = [self._next()]
        while self._has(","):
            self.fields.append(self._next())
        self._take("FROM")
        self.table = self._next()
        self._where = self._either() if self._has("WHERE") else None
        self.order: list[tuple[str, bool, bool]] = []
        if self._has("ORDER"):
            self._take("BY")
            self.order.append(self._sort())
            while self._has(","):
                self.order.append(self._sort())
        self.limit = int(self._next()) if self._has("LIMIT") else 0
        if self._tokens:
            raise ValueError(f"left over: {self._tokens}")

    @property
    def is_count(self) -> bool:
        return self.fields == ["COUNT()"]

    def run(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows that meet the conditions, in order."""
        found = [row for row in rows if _meets(self._where, row)]
        for field, is_descending, nulls_last in reversed(self.order):
            found.sort(key=lambda row: row.get(field) or "", reverse=is_descending)
            found.sort(key=lambda row: (row.get(field) is None) is nulls_last)
        return found[: self.limit or None]

    def _either(self) -> Any:
        left = self._both()
        while self._has("OR"):
            left = ("OR", left, self._both())
        return left

    def _both(self) -> Any:
        left = self._one()
        while self._has("AND"):
            left = ("AND", left, self._one())
        return left

    def _one(self) -> Any:
        if self._has("("):
            inner = self._either()
            self._take(")")
            return inner
        field, operator, value = self._next(), self._next(), self._next()
        return (operator, field, _value(value))

    def _sort(self) -> tuple[str, bool, bool]:
        """(field, whether descending, whether empty ones come last; else first)."""
        field = self._next()
        is_descending = self._has("DESC")
        if not is_descending:
            self._has("ASC")
        nulls_last = self._has("NULLS") and self._next().upper() == "LAST"
        return field, is_descending, nulls_last

    def _next(self) -> str:
        return self._tokens.pop(0)

    def _has(self, word: str) -> bool:
        if self._tokens and self._tokens[0].upper() == word:
            self._tokens.pop(0)
            return True
        return False

    def _take(self, word: str) -> None:
        if not self._has(word):
            raise ValueError(f"{word} expected in {self.text}")


def _value(token: str) -> Any:
    if token.startswith("'"):
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    return {"true": True, "false": False, "null": None}.get(token, token)


def _meets(condition: Any, row: dict[str, Any]) -> bool:
    if condition is None:
        return True
    operator, left, right = condition
    if operator == "AND":
        return _meets(left, row) and _meets(right, row)
    if operator == "OR":
        return _meets(left, row) or _meets(right, row)
    return bool(_OPERATORS[operator](row.get(left), right))
