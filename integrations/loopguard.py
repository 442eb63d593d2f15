"""Ends a read of pages that would never end."""

from __future__ import annotations

from typing import Any

from churnguard.errors import ConfigError

MAX_PAGES = 100_000


class LoopGuard:
    """Raises ConfigError when a read does not get on.

    For own loops too: `check(position, rows)` once per page with the position of the
    next page. Codes: `repeated_cursor`, `too_many_pages`.
    """

    def __init__(self, max_pages: int = MAX_PAGES) -> None:
        self.pages = 0
        self._max_pages = max_pages
        self._seen: set[int] = set()
        self._previous: list[Any] = []

    def check(self, position: Any, rows: list[Any]) -> None:
        """One page has come, and the next would start at position."""
        self.check_page(rows)
        self.seen(position)

    def seen(self, position: Any) -> None:
        """Note a position; it must be new."""
        # A hash, because some cursors are kilobytes long.
        mark = hash(repr(position))
        if mark in self._seen:
            raise ConfigError(
                f"The source sent the page position {str(position)[:100]!r} twice; "
                "the read was stopped because it would never end. Check the paging "
                "settings.",
                code="repeated_cursor",
            )
        self._seen.add(mark)

    def go_back(self) -> None:
        """What was read comes again because the reader wants it; max_pages stays."""
        self._seen.clear()
        self._previous = []

    def check_page(self, rows: list[Any]) -> None:
        """Count a page; it must differ from the one before."""
        self.pages += 1
        if self.pages > self._max_pages:
            raise ConfigError(
                f"The read was stopped after {self._max_pages} pages; narrow it, or "
                "use larger pages.",
                code="too_many_pages",
            )
        if rows and rows == self._previous:
            raise ConfigError(
                "The source sent the same page twice; the read was stopped because "
                "it would never end. Check the paging settings and the first page "
                "number (0 or 1).",
                code="repeated_cursor",
            )
        self._previous = rows
