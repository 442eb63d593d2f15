"""Pages of every kind: everything once, in order, and never for ever."""

from __future__ import annotations

import itertools

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.errors import ConfigError, TransientError
from integrations.http import Reply
from integrations.loopguard import LoopGuard
from integrations.pagination import (
    Step,
    pages_by_cursor,
    pages_by_keyset,
    pages_by_link,
    pages_by_next_url,
    pages_by_number,
    pages_by_offset,
    pick,
)

ROWS = st.integers(0, 60).map(lambda n: [{"id": i} for i in range(n)])
SIZE = st.integers(1, 20)
CAP = st.integers(1, 25)


def all_of(steps) -> list:
    return [row for step in steps for row in step.items]


class Source:
    """A list behind every kind of paging; `cap` is the server's own page limit."""

    def __init__(self, rows: list, cap: int = 1000) -> None:
        self.rows, self.cap, self.calls = rows, cap, 0

    def _cut(self, start: int, size: int) -> list:
        self.calls += 1
        return self.rows[start : start + min(size, self.cap)]

    def by_number(self, first: int):
        def fetch(params):
            size = min(params["per_page"], self.cap)
            return {"data": self._cut((params["page"] - first) * size, size)}

        return fetch

    def by_offset(self, params):
        found = self._cut(params["offset"], params["limit"])
        return {"data": found, "total": len(self.rows)}

    def by_cursor(self, params):
        start = int(params.get("cursor", 0))
        found = self._cut(start, params["limit"])
        end = start + len(found)
        following = str(end) if end < len(self.rows) else None
        return {"data": found, "next": following, "more": following is not None}

    def by_url(self, url: str) -> Reply:
        start = int(httpx.URL(url).params.get("start", 0))
        found = self._cut(start, 7)
        end = start + len(found)
        headers, body = {}, {"data": found}
        if end < len(self.rows):
            headers["link"] = f'</list?start={end}>; rel="next"'
            body["next"] = f"?start={end}"
        response = httpx.Response(200, json=body, headers=headers)
        return Reply(200, response.headers, response.content, url)

    def by_key(self, params):
        after = params.get("after", -1)
        found = [row for row in self.rows if row["id"] > after]
        self.calls += 1
        return {"data": found[: min(params["limit"], self.cap)]}

    def by_edge(self, params):
        since = params.get("since", -1)
        found = [row for row in self.rows if row["at"] >= since]
        self.calls += 1
        return {"data": found[: params["limit"]]}


@given(rows=ROWS, size=SIZE, cap=CAP, first=st.sampled_from([0, 1]))
def test_page_numbers_give_every_row_once(rows, size, cap, first):
    source = Source(rows, cap)

    steps = pages_by_number(
        source.by_number(first), items="data", size=size, first=first
    )

    assert all_of(steps) == rows


@given(rows=ROWS, size=SIZE, cap=CAP, total=st.sampled_from(["total", None]))
def test_offsets_give_every_row_once_even_if_the_server_caps_pages(
    rows, size, cap, total
):
    source = Source(rows, cap)

    steps = pages_by_offset(source.by_offset, items="data", size=size, total=total)

    assert all_of(steps) == rows


@given(
    size=st.integers(1, 9),
    gone=st.dictionaries(st.integers(1, 12), st.sets(st.integers(0, 29)), max_size=4),
)
def test_offsets_lose_no_row_when_others_are_deleted_meanwhile(size, gone):
    """gone: which rows vanish before which call."""
    source = Source([{"id": number} for number in range(30)])

    def fetch(params):
        deleted = gone.get(source.calls + 1, set())
        source.rows = [row for row in source.rows if row["id"] not in deleted]
        return source.by_offset(params)

    steps = pages_by_offset(fetch, items="data", size=size, total="total")

    seen = {row["id"] for row in all_of(steps)}
    assert {row["id"] for row in source.rows} <= seen


@given(rows=ROWS, size=SIZE, cap=CAP, has_more=st.sampled_from(["more", None]))
def test_cursors_give_every_row_once(rows, size, cap, has_more):
    steps = pages_by_cursor(
        Source(rows, cap).by_cursor,
        items="data",
        cursor="next",
        size_param="limit",
        size=size,
        has_more=has_more,
    )

    assert all_of(steps) == rows


@given(rows=ROWS)
def test_links_and_next_addresses_give_every_row_once(rows):
    url = "https://api.example.com/list"

    assert all_of(pages_by_link(Source(rows).by_url, url, items="data")) == rows
    steps = pages_by_next_url(Source(rows).by_url, url, items="data", next_url="next")
    assert all_of(steps) == rows


@given(rows=ROWS, size=SIZE, cap=CAP)
def test_unique_keys_give_every_row_once(rows, size, cap):
    steps = pages_by_keyset(
        Source(rows, cap).by_key, items="data", key="id", key_param="after", size=size
    )

    assert all_of(steps) == rows


@given(
    groups=st.lists(st.integers(1, 5), max_size=20),
    size=st.integers(6, 12),
)
def test_equal_times_at_a_page_edge_give_every_row_once(groups, size):
    """Up to 5 rows share a moment, and pages hold more than that."""
    moments = [at for at, count in enumerate(groups) for _ in range(count)]
    rows = [{"id": number, "at": at} for number, at in enumerate(moments)]

    steps = pages_by_keyset(
        Source(rows).by_edge,
        items="data",
        key="at",
        key_param="since",
        row_id="id",
        size=size,
    )

    assert all_of(steps) == rows


def test_too_many_equal_times_are_an_error_not_a_loss():
    rows = [{"id": number, "at": 1} for number in range(20)]

    with pytest.raises(ConfigError, match="More than 6 rows share") as caught:
        all_of(
            pages_by_keyset(
                Source(rows).by_edge,
                items="data",
                key="at",
                key_param="since",
                row_id="id",
                size=6,
            )
        )

    assert caught.value.code == "repeated_cursor"


@given(rows=ROWS.filter(lambda rows: len(rows) > 12), stop=st.integers(1, 3))
def test_a_read_goes_on_from_any_position(rows, stop):
    def read(start):
        return pages_by_cursor(
            Source(rows).by_cursor,
            items="data",
            cursor="next",
            size_param="limit",
            size=4,
            start=start,
        )

    first = list(itertools.islice(read(None), stop))

    assert all_of(first) + all_of(read(first[-1].position)) == rows


def test_totals_save_the_last_empty_page():
    source = Source([{"id": number} for number in range(20)])
    all_of(pages_by_offset(source.by_offset, items="data", size=10, total="total"))
    assert source.calls == 2

    source = Source([{"id": number} for number in range(20)])
    all_of(pages_by_offset(source.by_offset, items="data", size=15, stop_on_short=True))
    assert source.calls == 2


@pytest.mark.parametrize(("first", "pages"), [(0, 3), (1, 3)])
def test_total_pages_counts_pages_not_numbers(first, pages):
    asked = []

    def fetch(params):
        asked.append(params["page"])
        return {"data": [params["page"]], "pages": pages}

    steps = pages_by_number(fetch, items="data", first=first, total_pages="pages")
    assert all_of(steps) == [first, first + 1, first + 2]
    asked.clear()
    resumed = pages_by_number(
        fetch, items="data", first=first, start=first + 2, total_pages="pages"
    )
    assert all_of(resumed) == [first + 2]


def test_last_step_has_no_position():
    steps = list(
        pages_by_cursor(
            Source([{"id": 1}]).by_cursor,
            items="data",
            cursor="next",
            size_param="limit",
        )
    )

    assert [step.position for step in steps] == [None]
    assert isinstance(steps[0], Step)


def test_an_empty_page_with_a_cursor_goes_on():
    answers = iter([{"d": [], "c": "a"}, {"d": [1], "c": "b"}, {"d": []}])

    steps = pages_by_cursor(lambda _params: next(answers), items="d", cursor="c")

    assert all_of(steps) == [1]


def endless(kind: str):
    """Sources that would never end."""
    count = itertools.count()
    same = {"data": [{"id": 1}], "next": "same", "more": True}

    def reply(url):
        response = httpx.Response(200, json=same | {"next": url})
        return Reply(200, response.headers, response.content, url)

    def alternating(_params):
        number = next(count)
        return {"data": [number], "next": "ab"[number % 2]}

    url = "https://api.example.com/list"
    return {
        "same page": lambda: pages_by_number(lambda _p: same, items="data"),
        "offset ignored": lambda: pages_by_offset(lambda _p: same, items="data"),
        "same cursor": lambda: pages_by_cursor(
            lambda _p: {"data": [next(count)], "next": "same"},
            items="data",
            cursor="next",
        ),
        "cursors in a circle": lambda: pages_by_cursor(
            alternating, items="data", cursor="next"
        ),
        "next is itself": lambda: pages_by_next_url(
            reply, url, items="data", next_url="next"
        ),
        "key ignored": lambda: pages_by_keyset(
            lambda _p: same, items="data", key="id", key_param="after"
        ),
        "has_more for ever": lambda: pages_by_keyset(
            lambda _p: same,
            items="data",
            key="id",
            key_param="after",
            row_id="id",
            has_more="more",
        ),
    }[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "same page",
        "offset ignored",
        "same cursor",
        "cursors in a circle",
        "next is itself",
        "key ignored",
        "has_more for ever",
    ],
)
def test_endless_sources_end_with_an_error(kind):
    with pytest.raises(ConfigError) as caught:
        for _number, _step in zip(range(50), endless(kind), strict=False):
            pass

    assert caught.value.code == "repeated_cursor"


def test_pages_are_bounded():
    count = itertools.count()

    with pytest.raises(ConfigError) as caught:
        all_of(pages_by_number(lambda _p: [next(count)], items="", max_pages=10))

    assert caught.value.code == "too_many_pages"
    assert next(count) == 11


def test_rows_without_the_key_are_an_error():
    with pytest.raises(ConfigError) as caught:
        all_of(
            pages_by_keyset(
                lambda _p: [{"x": 1}], items="", key="id", key_param="after"
            )
        )

    assert caught.value.code == "missing_cursor"


def test_wrong_shape_is_transient():
    with pytest.raises(TransientError) as caught:
        all_of(pages_by_number(lambda _p: {"data": {"a": 1}}, items="data"))

    assert caught.value.code == "bad_shape"


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a.b.0.c", 1),
        ("a.b.-1.c", 2),
        ("a.b.7.c", None),
        ("a.x.y", None),
        ("", {"a": {"b": [{"c": 1}, {"c": 2}]}, "d.e": 5}),
        ("d.e", 5),
        (len, 2),
    ],
)
def test_pick(path, expected):
    assert pick({"a": {"b": [{"c": 1}, {"c": 2}]}, "d.e": 5}, path) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(body=JSON, path=st.text(alphabet="ab.01-", max_size=8))
def test_pick_never_crashes(body, path):
    pick(body, path)


@given(positions=st.lists(st.integers(0, 5) | st.text(max_size=2), max_size=12))
def test_guard_stops_at_the_first_repeated_position(positions):
    guard = LoopGuard()
    seen = []
    for number, position in enumerate(positions):
        if position in seen:
            with pytest.raises(ConfigError):
                guard.check(position, [number])
            return
        guard.check(position, [number])
        seen.append(position)
