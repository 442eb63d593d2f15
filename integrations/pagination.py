"""Walks the pages of a list, whatever the provider calls its next page.

Six generators over a `fetch` function; each yields `Step(items, body, position)`,
where position is what the next fetch would use, so it can go into a cursor and be
given back as `start`. All share a guard: a position or page that repeats, or more
than max_pages, ends the read with ConfigError instead of an endless loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from churnguard.errors import ConfigError, TransientError
from integrations.http.body import Reply, address_from
from integrations.loopguard import MAX_PAGES, LoopGuard

Params = dict[str, Any]
FetchBody = Callable[[Params], Any]
FetchReply = Callable[[str], Reply]
Path = str | Callable[[Any], Any]

_NO = frozenset({"", "0", "false", "no", "null", "none"})


@dataclass(frozen=True, slots=True)
class Step:
    """items: this page's rows. body: the decoded answer. position: where the next
    page starts (page number, offset, cursor, URL, key), None after the last."""

    items: list[Any]
    body: Any
    position: Any


def pages_by_number(
    fetch: FetchBody,
    *,
    items: Path,
    page_param: str = "page",
    size_param: str | None = "per_page",
    size: int = 100,
    first: int = 1,
    start: int | None = None,
    total_pages: Path | None = None,
    has_more: Path | None = None,
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """page=1, page=2, ... until an empty page, total_pages or has_more=false.

    A short page does not end the read: servers cap page sizes silently. fetch gets
    the paging parameters of one page. first: the provider's number of the first
    page; start: where this read begins (default: first).
    """
    guard = LoopGuard(max_pages)
    number = first if start is None else start
    while True:
        params = _sized({page_param: number}, size_param, size)
        body = fetch(params)
        rows = rows_of(body, items)
        guard.check(number, rows)
        number += 1
        count = _number(body, total_pages)
        last = not rows or _says_last(body, has_more)
        last = last or (count is not None and number - first >= count)
        yield Step(rows, body, None if last else number)
        if last:
            return


def pages_by_offset(
    fetch: FetchBody,
    *,
    items: Path,
    offset_param: str = "offset",
    size_param: str | None = "limit",
    size: int = 100,
    start: int = 0,
    total: Path | None = None,
    has_more: Path | None = None,
    stop_on_short: bool = False,
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """offset=0, offset=<rows seen>, ... until an empty page, total or has_more=false.

    The offset grows by the rows that came, not by size, so a capped page loses
    nothing; it goes back by as many rows as the total has lost since the page before,
    since those after them have moved up. stop_on_short: the provider promises that only
    the last page is short.
    """
    guard = LoopGuard(max_pages)
    offset, before = start, None
    while True:
        body = fetch(_sized({offset_param: offset}, size_param, size))
        rows = rows_of(body, items)
        count = _number(body, total)
        guard.check(offset, rows)
        lost = max(0, before - count) if before is not None and count is not None else 0
        if offset and lost:
            offset, last = max(0, offset - lost), False
            guard.go_back()
        else:
            offset += len(rows)
            last = not rows or _says_last(body, has_more)
            last = last or (count is not None and offset >= count)
            last = last or (stop_on_short and len(rows) < size)
        before = count
        yield Step(rows, body, None if last else offset)
        if last:
            return


def pages_by_cursor(
    fetch: FetchBody,
    *,
    items: Path,
    cursor: Path,
    cursor_param: str = "cursor",
    size_param: str | None = None,
    size: int = 100,
    start: Any = None,
    has_more: Path | None = None,
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """Follow the cursor each answer names until it is missing, empty or
    has_more=false. An empty page with a new cursor goes on. ConfigError
    `missing_cursor` where more is said to follow, but not from where."""
    guard = LoopGuard(max_pages)
    position = start
    guard.seen(position)
    while True:
        first = {} if position in (None, "") else {cursor_param: position}
        body = fetch(_sized(first, size_param, size))
        rows = rows_of(body, items)
        position = pick(body, cursor)
        last = _says_last(body, has_more)
        if not position and not last and has_more is not None:
            raise ConfigError(
                "The answer says that more follows, but has no position at "
                f"{_shown(cursor)}.",
                code="missing_cursor",
            )
        if last or not position:
            guard.check_page(rows)
            yield Step(rows, body, None)
            return
        guard.check(position, rows)
        yield Step(rows, body, position)


def pages_by_link(
    fetch: FetchReply,
    url: str,
    *,
    items: Path,
    rel: str = "next",
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """Follow `Link: <...>; rel="next"` (RFC 8288). fetch gets a whole URL."""
    yield from _follow(
        fetch, url, items, lambda reply, _body: reply.link(rel), max_pages
    )


def pages_by_next_url(
    fetch: FetchReply,
    url: str,
    *,
    items: Path,
    next_url: Path,
    has_more: Path | None = None,
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """Follow the address in the body (absolute, or relative to the page's own).
    ConfigError `bad_next_url` for something else there."""

    def target(reply: Reply, body: Any) -> str | None:
        if _says_last(body, has_more):
            return None
        found = pick(body, next_url)
        if not found:
            return None
        if not isinstance(found, str):
            raise ConfigError(
                f"The next address was expected at {_shown(next_url)}, but a "
                f"{type(found).__name__} is there.",
                code="bad_next_url",
            )
        return address_from(reply.url, found)

    yield from _follow(fetch, url, items, target, max_pages)


def pages_by_keyset(
    fetch: FetchBody,
    *,
    items: Path,
    key: Path,
    key_param: str,
    row_id: Path | None = None,
    size_param: str | None = "limit",
    size: int = 100,
    start: Any = None,
    has_more: Path | None = None,
    max_pages: int = MAX_PAGES,
) -> Iterator[Step]:
    """Ask for rows after the last row's key; rows must come sorted by it.

    Raises ConfigError `not_sorted` where numbers go down.
    Without row_id the key must be unique and the source must answer with greater
    keys only. With row_id the source answers with keys greater or equal (a timestamp):
    rows already yielded with the edge value are taken out again. ConfigError
    `repeated_cursor` if more rows share one key than fit on a page; size must not be
    above the provider's cap, or such a page looks like the last one.
    """
    guard = LoopGuard(max_pages)
    position = start
    edge: set[Any] = set()
    while True:
        first = {} if position is None else {key_param: position}
        body = fetch(_sized(first, size_param, size))
        found = rows_of(body, items)
        rows = found
        if row_id is not None:
            rows = [row for row in found if pick(row, row_id) not in edge]
        if not rows:
            told_more = has_more is not None and not _says_last(body, has_more)
            if found and (told_more or (has_more is None and len(found) >= size)):
                raise _stuck_edge(size, position)
            yield Step([], body, None)
            return
        last_key = _last_key(rows, key, position)
        if row_id is None:
            guard.check(last_key, rows)
        else:
            guard.check_page(rows)
            kept = edge if last_key == position else set()
            edge = kept | {
                pick(row, row_id) for row in rows if pick(row, key) == last_key
            }
        position = last_key
        last = _says_last(body, has_more)
        yield Step(rows, body, None if last else position)
        if last:
            return


def pick(value: Any, path: Path | None) -> Any:
    """The value at "data.items.0.id" (or what a function finds); None if missing.

    "" is the value itself. A key that contains dots is tried as a whole first.
    """
    if path is None or path == "":
        return value
    if callable(path):
        return path(value)
    if isinstance(value, dict) and path in value:
        return value[path]
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.lstrip("-").isdigit():
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        else:
            return None
    return value


def rows_of(body: Any, path: Path) -> list[Any]:
    """The list at path; a missing or null one is empty.

    Raises TransientError `bad_shape` for anything else there.
    """
    rows = pick(body, path)
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise TransientError(
            f"A list was expected at {path!r}, but a {type(rows).__name__} came.",
            code="bad_shape",
        )
    return rows


def _last_key(rows: list[Any], key: Path, position: Any) -> Any:
    """The key of the last row, which must not lie before where the page began."""
    found = pick(rows[-1], key)
    if found is None:
        raise ConfigError(
            f"Rows have no value at {_shown(key)}, so the next page cannot be found.",
            code="missing_cursor",
        )
    for before in (position, pick(rows[0], key)):
        if _is_less(found, before):
            raise ConfigError(
                f"Rows do not come sorted by {_shown(key)}: {found} came after "
                f"{before}. Ask the source to sort them, or page in another way.",
                code="not_sorted",
            )
    return found


def _follow(
    fetch: FetchReply,
    url: str,
    items: Path,
    target: Callable[[Reply, Any], str | None],
    max_pages: int,
) -> Iterator[Step]:
    guard = LoopGuard(max_pages)
    guard.seen(url)
    while True:
        reply = fetch(url)
        body = reply.json()
        rows = rows_of(body, items)
        following = target(reply, body)
        if not following:
            guard.check_page(rows)
            yield Step(rows, body, None)
            return
        guard.check(following, rows)
        yield Step(rows, body, following)
        url = following


def _stuck_edge(size: int, position: Any) -> ConfigError:
    return ConfigError(
        f"More than {size} rows share the value {str(position)[:100]!r}, so the rows "
        "behind them cannot be reached; use a larger page size or a unique key.",
        code="repeated_cursor",
    )


def _sized(params: Params, size_param: str | None, size: int) -> Params:
    return params if size_param is None else {**params, size_param: size}


def _says_last(body: Any, has_more: Path | None) -> bool:
    """True if the answer itself says that nothing follows."""
    if has_more is None:
        return False
    found = pick(body, has_more)
    return not found or (isinstance(found, str) and found.strip().lower() in _NO)


def _number(body: Any, path: Path | None) -> int | None:
    """The count at the path; None where the source does not know it (-1)."""
    found = pick(body, path) if path is not None else None
    try:
        count = int(found) if found is not None else -1
    except (TypeError, ValueError):
        return None
    return count if count >= 0 else None


def _is_less(key: Any, position: Any) -> bool:
    """Only of numbers: how a source sorts texts is its own affair."""
    return all(type(each) in (int, float) for each in (key, position)) and (
        key < position
    )


def _shown(path: Path) -> str:
    return f"“{path}”" if isinstance(path, str) else "its place"
