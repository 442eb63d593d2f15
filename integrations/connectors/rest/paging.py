"""From page to page of one endpoint: chooses and feeds `integrations.pagination`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import httpx

from integrations.connectors.rest.endpoints import Endpoint, key_paths
from integrations.connectors.rest.formats import (
    ACCEPTED,
    ROWS,
    as_text,
    decode,
    is_empty_element,
    read_csv,
    read_ndjson,
    rows_at,
)
from integrations.http import Call, Client, RefusedError, Reply
from integrations.http.body import charset_of
from integrations.http.call import target_url
from integrations.pagination import (
    Path,
    Step,
    pages_by_cursor,
    pages_by_keyset,
    pages_by_link,
    pages_by_next_url,
    pages_by_number,
    pages_by_offset,
    pick,
)

Params = Mapping[str, Any]
HEADER = "header:"
"""Before the name of a header, where a path into the answer is meant."""


@dataclass
class Walk:
    """One read of an endpoint. params: of the whole read (the range asked for).
    size: rows a page shall have."""

    client: Client
    endpoint: Endpoint
    params: Params
    size: int
    _reply: Reply | None = field(default=None, init=False)

    def steps(self, start: Any = None) -> Iterator[Step]:
        """The pages from a position (None = the beginning) on."""
        how = self.endpoint.pagination
        size_param = how.size_param or None
        has_more = self._place(how.has_more_path)
        total = self._place(how.total_path)
        if how.type == "page":
            return pages_by_number(
                self._page_or_end,
                items=self._rows,
                page_param=how.param or "page",
                size_param=size_param,
                size=self.page_size,
                first=how.first,
                start=start,
                total_pages=total,
                has_more=has_more,
            )
        if how.type == "offset":
            return pages_by_offset(
                self._body,
                items=self._rows,
                offset_param=how.param or "offset",
                size_param=size_param,
                size=self.page_size,
                start=start or 0,
                total=total,
                has_more=has_more,
            )
        if how.type == "cursor":
            return pages_by_cursor(
                self._body,
                items=self._rows,
                cursor=self._place(how.cursor_path) or "",
                cursor_param=how.param,
                size_param=size_param,
                size=self.page_size,
                start=start,
                has_more=has_more,
            )
        if how.type == "keyset":
            return pages_by_keyset(
                self._body,
                items=self._rows,
                key=how.key,
                key_param=how.param,
                row_id=_id_of(self.endpoint),
                size_param=size_param,
                size=self.page_size,
                start=start,
                has_more=has_more,
            )
        if how.type == "link":
            return pages_by_link(
                self._at, start or self._first_url(), items=self._rows, rel=how.rel
            )
        if how.type == "next_url":
            return pages_by_next_url(
                self._at,
                start or self._first_url(),
                items=self._rows,
                next_url=self._place(how.next_path) or "",
                has_more=has_more,
            )
        return self._only_page()

    @property
    def is_streamed(self) -> bool:
        """One long answer of lines, read in pieces."""
        return self.endpoint.pagination.type == "none" and (
            self.endpoint.response_format in ("ndjson", "csv")
        )

    @property
    def page_size(self) -> int:
        most = self.endpoint.pagination.page_size
        return min(self.size, most) if most else self.size

    def stream(self) -> Iterator[Any]:
        """The objects of a streamed answer, one by one, in constant memory."""
        options = self._options({})
        url, method = self.endpoint.endpoint_url, self.endpoint.http_method
        with self.client.stream(method, url, **options) as answer:
            if self.endpoint.response_format == "ndjson":
                yield from read_ndjson(answer.iter_lines())
            else:
                text = as_text(answer.iter_bytes(), charset_of(answer.headers))
                yield from read_csv(text, self.endpoint.csv_delimiter)

    def _only_page(self) -> Iterator[Step]:
        body = self._body({})
        yield Step(self._rows(body), body, None)

    def _body(self, paging: Params) -> Any:
        call = Call(
            method=self.endpoint.http_method,
            url=self.endpoint.endpoint_url,
            **self._options(paging),
        )
        return self._send(call).json()

    def _page_or_end(self, paging: Params) -> Any:
        """The page; None for a 404 behind the first one, as which some APIs answer
        once there are no more."""
        how = self.endpoint.pagination
        try:
            return self._body(paging)
        except RefusedError as refusal:
            if refusal.status != 404 or paging[how.param or "page"] <= how.first:
                raise
            return None

    def _at(self, url: str) -> Reply:
        """A whole address: it has every parameter already."""
        options = {**self._options({}), "params": None}
        return self._send(Call(method=self.endpoint.http_method, url=url, **options))

    def _send(self, call: Call) -> Reply:
        is_json = self.endpoint.response_format == "json"
        reply = self.client.send(call, as_json=is_json)
        self._reply = decode(
            reply,
            self.endpoint.response_format,
            delimiter=self.endpoint.csv_delimiter,
        )
        return self._reply

    def _first_url(self) -> str:
        size_param = self.endpoint.pagination.size_param
        paging = {size_param: self.page_size} if size_param else {}
        call = Call(
            method="GET",
            url=self.endpoint.endpoint_url,
            params={**self._options({})["params"], **paging},
        )
        return str(target_url(self.client.origin, call))

    def _options(self, paging: Params) -> dict[str, Any]:
        endpoint = self.endpoint
        query: dict[str, Any] = dict(endpoint.params)
        body = deepcopy(endpoint.body)
        how = endpoint.incremental
        for values, in_body in (
            (self.params, how is not None and how.in_body),
            (paging, endpoint.pagination.in_body),
        ):
            for name, value in values.items():
                if in_body:
                    _put(body, name, value)
                else:
                    query[name] = value
        wanted = f"{ACCEPTED[endpoint.response_format]}, */*;q=0.1"
        headers = httpx.Headers({"Accept": wanted})
        headers.update(endpoint.headers)
        options: dict[str, Any] = {"params": query, "headers": headers}
        if endpoint.http_method == "POST":
            options |= {"json": body, "idempotent": True}
        return options

    def _rows(self, body: Any) -> list[Any]:
        is_table = self.endpoint.response_format in ("ndjson", "csv")
        path = ROWS if is_table else self.endpoint.data_path
        may_miss = self.endpoint.missing_means_empty
        if self.endpoint.response_format == "xml":
            may_miss = may_miss or is_empty_element(body, path)
        return rows_at(body, path, may_miss=may_miss)

    def _place(self, path: str) -> Path | None:
        """Where in the answer, or in its headers, a path leads."""
        if not path.startswith(HEADER):
            return path or None
        name = path.removeprefix(HEADER).strip()
        return lambda _body: self._reply and self._reply.headers.get(name)


def _put(body: dict[str, Any], path: str, value: Any) -> None:
    """Set "page.number" in a body, as `pick` would find it."""
    *way, last = [path] if path in body else path.split(".")
    for name in way:
        inner = body.get(name)
        body[name] = body = dict(inner) if isinstance(inner, dict) else {}
    body[last] = value


def _id_of(endpoint: Endpoint) -> Callable[[Any], Any] | None:
    """What keyset paging tells rows with equal keys apart by; None for a unique key."""
    paths = key_paths(endpoint)
    if paths == [endpoint.pagination.key]:
        return None

    def identify(row: Any) -> str:
        found = [pick(row, path) for path in paths]
        # A row without its id is nothing but itself.
        return repr(row if None in found else found)

    return identify
