"""From page to page of one endpoint: chooses and feeds `integrations.pagination`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from integrations.connectors.rest.endpoints import Endpoint, key_paths
from integrations.connectors.rest.formats import (
    ROWS,
    as_text,
    decode,
    read_csv,
    read_ndjson,
    rows_at,
)
from integrations.http import Call, Client, Reply
from integrations.http.call import target_url
from integrations.pagination import (
    Step,
    pages_by_cursor,
    pages_by_keyset,
    pages_by_link,
    pages_by_next_url,
    pages_by_number,
    pages_by_offset,
)

Params = Mapping[str, Any]


@dataclass
class Walk:
    """One read of an endpoint. params: of the whole read (the range asked for).
    size: rows a page shall have."""

    client: Client
    endpoint: Endpoint
    params: Params
    size: int

    def steps(self, start: Any = None) -> Iterator[Step]:
        """The pages from a position (None = the beginning) on."""
        how = self.endpoint.pagination
        size_param = how.size_param or None
        has_more = how.has_more_path or None
        total = how.total_path or None
        if how.type == "page":
            return pages_by_number(
                self._body,
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
                cursor=how.cursor_path,
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
                self._reply, start or self._first_url(), items=self._rows, rel=how.rel
            )
        if how.type == "next_url":
            return pages_by_next_url(
                self._reply,
                start or self._first_url(),
                items=self._rows,
                next_url=how.next_path,
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
                text = as_text(answer.iter_bytes())
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

    def _reply(self, url: str) -> Reply:
        """A whole address: it has every parameter already."""
        options = {**self._options({}), "params": None}
        return self._send(Call(method=self.endpoint.http_method, url=url, **options))

    def _send(self, call: Call) -> Reply:
        is_json = self.endpoint.response_format == "json"
        reply = self.client.send(call, as_json=is_json)
        return decode(
            reply,
            self.endpoint.response_format,
            delimiter=self.endpoint.csv_delimiter,
        )

    def _first_url(self) -> str:
        size_param = self.endpoint.pagination.size_param
        paging = {size_param: self.page_size} if size_param else {}
        call = Call(
            method="GET",
            url=self.endpoint.endpoint_url,
            params={**self.endpoint.params, **self.params, **paging},
        )
        return str(target_url(self.client.origin, call))

    def _options(self, paging: Params) -> dict[str, Any]:
        endpoint = self.endpoint
        query: dict[str, Any] = {**endpoint.params, **self.params}
        body = dict(endpoint.body)
        (body if endpoint.pagination.in_body else query).update(paging)
        options: dict[str, Any] = {"params": query, "headers": endpoint.headers}
        if endpoint.http_method == "POST":
            options |= {"json": body, "idempotent": True}
        return options

    def _rows(self, body: Any) -> list[Any]:
        is_table = self.endpoint.response_format in ("ndjson", "csv")
        path = ROWS if is_table else self.endpoint.data_path
        return rows_at(body, path, may_miss=self.endpoint.missing_means_empty)


def _id_of(endpoint: Endpoint) -> Any:
    """The row id keyset paging tells equal keys apart by; None for a unique key."""
    paths = key_paths(endpoint)
    return None if paths == [endpoint.pagination.key] else paths[0]
