"""The REST connector against what APIs really answer: odd pages, encodings, numbers."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from churnguard.errors import ConfigError, TransientError
from tests.integrations.connectors.rest_source import (
    Answer,
    Api,
    connector,
    ids,
    read,
    things,
)


def in_turn(*answers: httpx.Response) -> Api:
    """One answer after the other; a request too many is an error."""
    waiting: Iterator[httpx.Response] = iter(answers)
    return Api(lambda _request: next(waiting))


def ok(body: Any, **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(200, json=body, headers=named)


def paged(kind: str, **options: Any) -> dict[str, Any]:
    return {"data_path": "rows", "pagination": {"type": kind, **options}}


# --- pages ------------------------------------------------------------------------
def test_an_empty_page_with_a_next_address_is_not_the_end() -> None:
    api = in_turn(
        ok({"rows": things(1, 2), "next": "?at=2"}),
        ok({"rows": [], "next": "?at=3"}),
        ok({"rows": things(3, 3), "next": None}),
    )

    pages = read(connector(api, paged("next_url", next_path="next")))

    assert ids(pages) == ["1", "2", "3"]
    assert api.queries == [{}, {"at": "2"}, {"at": "3"}]


@pytest.mark.parametrize("told", ["", None, False, 0, "0", "false", "No", []])
def test_an_answer_may_say_in_many_ways_that_nothing_follows(told: Any) -> None:
    api = in_turn(ok({"rows": things(1, 2), "links": {"next": told}}))

    read(connector(api, paged("page", has_more_path="links.next")))

    assert len(api.requests) == 1


@pytest.mark.parametrize("kind", ["page", "offset"])
def test_an_unknown_total_ends_nothing(kind: str) -> None:
    api = in_turn(
        ok({"rows": things(1, 2), "total": -1}),
        ok({"rows": things(3, 4), "total": -1}),
        ok({"rows": [], "total": -1}),
    )

    assert ids(read(connector(api, paged(kind, total_path="total")))) == list("1234")


def test_a_404_behind_the_first_page_is_the_end() -> None:
    api = in_turn(
        ok({"rows": things(1, 2)}),
        httpx.Response(404, json={"detail": "Invalid page."}),
    )

    pages = read(connector(api, paged("page")))

    assert ids(pages) == ["1", "2"]
    assert pages[-1].cursor == {"done": True}


def test_a_404_for_the_first_page_is_a_wrong_address() -> None:
    api = in_turn(httpx.Response(404, json={"detail": "Not found."}))

    with pytest.raises(ConfigError) as caught:
        read(connector(api, paged("page")))

    assert caught.value.code == "not_found"


def test_cursor_total_and_more_may_stand_in_headers() -> None:
    api = in_turn(
        ok(things(1, 2), X_Next_Cursor="c2"),
        ok(things(3, 4), X_Next_Cursor=""),
    )
    how = {"type": "cursor", "param": "c", "cursor_path": "header:X-Next-Cursor"}

    assert ids(read(connector(api, {"pagination": how}))) == ["1", "2", "3", "4"]
    assert api.queries == [{}, {"c": "c2"}]

    api = in_turn(ok(things(1, 2), X_Pages="2"), ok(things(3, 4), X_Pages="2"))
    how = {"type": "page", "total_path": "header:X-Pages"}
    assert ids(read(connector(api, {"pagination": how}))) == ["1", "2", "3", "4"]
    assert api.queries == [{"page": "1"}, {"page": "2"}]


def test_more_without_a_cursor_is_an_error_and_not_the_end() -> None:
    api = in_turn(ok({"rows": things(1, 2), "next": None, "more": True}))
    endpoint = paged("cursor", param="c", cursor_path="next", has_more_path="more")

    with pytest.raises(ConfigError) as caught:
        read(connector(api, endpoint))

    assert caught.value.code == "missing_cursor"


def test_the_right_link_is_followed_among_several() -> None:
    links = (
        '<https://api.example.com/v1/things?at=0,1>; rel="prev first", '
        "</v1/things?at=2>; title=\"next; page\"; rel='x-other NEXT', "
        "<https://api.example.com/v1/things?at=9>;rel=last"
    )
    api = in_turn(ok({"rows": things(1, 2)}, Link=links), ok({"rows": things(3, 3)}))

    assert ids(read(connector(api, paged("link", rel="next")))) == ["1", "2", "3"]
    assert api.queries == [{}, {"at": "2"}]


def test_http_behind_a_proxy_stays_https_and_signed() -> None:
    api = in_turn(
        ok({"rows": things(1, 2), "next": "http://api.example.com:80/v1/things?at=2"}),
        ok({"rows": things(3, 3)}),
    )
    made = connector(
        api,
        paged("next_url", next_path="next"),
        auth_type="bearer",
        secrets={"access_token": "t-12345"},
    )

    read(made)

    assert str(api.requests[1].url) == "https://api.example.com/v1/things?at=2"
    assert api.requests[1].headers["authorization"] == "Bearer t-12345"


def test_a_next_address_elsewhere_gets_no_credentials() -> None:
    api = in_turn(
        ok({"rows": things(1, 2), "next": "https://evil.example/v1/things?at=2"}),
        ok({"rows": things(3, 3)}),
    )
    made = connector(
        api,
        paged("next_url", next_path="next"),
        auth_type="bearer",
        secrets={"access_token": "t-12345", "headers": {"X-Tenant": "acme-1"}},
    )

    read(made)

    assert api.requests[1].url.host == "evil.example"
    assert "authorization" not in api.requests[1].headers
    assert "x-tenant" not in api.requests[1].headers


@pytest.mark.parametrize("told", [{"href": "?at=2"}, "http://a:port", 7])
def test_a_next_address_that_is_none_is_told(told: Any) -> None:
    api = in_turn(ok({"rows": things(1, 2), "next": told}))

    with pytest.raises(ConfigError) as caught:
        read(connector(api, paged("next_url", next_path="next")))

    assert caught.value.code == "bad_next_url"


def test_rows_with_equal_keys_are_told_apart_by_every_part_of_their_id() -> None:
    rows = [
        {"team": "a", "no": number, "at": at}
        for at, numbers in ((1, (1, 2, 3)), (2, (4, 5)), (3, (6,)))
        for number in numbers
    ]

    def answer(request: httpx.Request) -> httpx.Response:
        since = int(request.url.params.get("from", 0))
        return ok({"rows": [row for row in rows if row["at"] >= since][:4]})

    endpoint = paged("keyset", param="from", key="at", size_param="n")
    endpoint["primary_key"] = ["team", "no"]

    pages = read(connector(answer, endpoint), batch_size=4)

    assert sorted(ids(pages)) == ["a:1", "a:2", "a:3", "a:4", "a:5", "a:6"]


def test_rows_without_an_id_are_not_taken_for_each_other() -> None:
    rows = [{"at": at, "x": x} for x, at in enumerate((1, 1, 2, 3, 3, 4))]

    def answer(request: httpx.Request) -> httpx.Response:
        since = int(request.url.params.get("from", 0))
        return ok({"rows": [row for row in rows if row["at"] >= since][:4]})

    endpoint = paged("keyset", param="from", key="at", size_param="n")

    pages = read(connector(answer, endpoint), batch_size=4)

    rejects = [reject for page in pages for reject in page.rejects]
    assert [reject.raw["x"] for reject in rejects] == [0, 1, 2, 3, 4, 5]


def test_a_keyset_that_goes_down_is_an_error_and_not_a_loss() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        after = int(request.url.params.get("after", 0))
        rows = [row for row in reversed(things(1, 9)) if row["id"] > after]
        return ok({"rows": rows[:2]})

    endpoint = paged("keyset", param="after", key="id", size_param="n")

    with pytest.raises(ConfigError) as caught:
        read(connector(answer, endpoint))

    assert caught.value.code == "not_sorted"


def test_offsets_count_the_rows_that_came() -> None:
    """The server gives 2 whatever is asked for, and one row less the last time."""

    def answer(request: httpx.Request) -> httpx.Response:
        start = int(request.url.params["offset"])
        return ok({"rows": things(1, 5)[start : start + 2]})

    api = Api(answer)
    endpoint = paged("offset", size_param="limit", page_size=100)

    assert ids(read(connector(api, endpoint), batch_size=50)) == list("12345")
    assert [q["offset"] for q in api.queries] == ["0", "2", "4", "5"]


def test_a_parameter_may_come_several_times() -> None:
    api = in_turn(ok(things(1, 1)))

    read(connector(api, {"params": {"expand[]": ["a", "b"], "all": True, "n": 5}}))

    assert api.requests[0].url.params.get_list("expand[]") == ["a", "b"]
    assert api.queries[0]["all"] == "true"
    assert api.queries[0]["n"] == "5"


def test_a_search_is_paged_and_limited_inside_its_body() -> None:
    api = in_turn(
        ok({"rows": things(1, 2)}), ok({"rows": things(3, 3)}), ok({"rows": []})
    )
    made = connector(
        api,
        {
            "http_method": "POST",
            "body": {"page": {"size": 2}, "filter": {"kind": "x"}},
            "data_path": "rows",
            "pagination": {"type": "page", "param": "page.number", "in_body": True},
            "incremental": {"field": "at", "param": "filter.since", "in_body": True},
        },
    )
    cursor = {"watermark": "2026-01-05T10:00:00+00:00"}

    read(made, mode="incremental", cursor=cursor)

    sent = [json.loads(request.content) for request in api.requests]
    assert sent == [
        {
            "page": {"size": 2, "number": number},
            "filter": {"kind": "x", "since": "2026-01-05T09:59:00Z"},
        }
        for number in (1, 2, 3)
    ]
    assert api.queries == [{}, {}, {}]


@pytest.mark.parametrize("name", ["pagination", "incremental"])
def test_only_a_post_has_a_body(name: str) -> None:
    how = {"pagination": {"type": "page"}, "incremental": {"field": "at"}}[name]

    with pytest.raises(ConfigError, match=rf"{name}\.in_body needs http_method POST"):
        connector(in_turn(), {name: {**how, "in_body": True}}).discover()


# --- nothing in it ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("answer", "endpoint"),
    [
        (httpx.Response(204), {}),
        (httpx.Response(204), {"data_path": "rows"}),
        (httpx.Response(200, content=b"null"), {}),
        (httpx.Response(200, content=b"null"), {"data_path": "rows"}),
        (ok({"rows": None}), {"data_path": "rows"}),
        (httpx.Response(200, content=b""), {"response_format": "csv"}),
        (httpx.Response(200, content=b"id,name\r\n"), {"response_format": "csv"}),
        (httpx.Response(200, content=b"\n"), {"response_format": "ndjson"}),
        (
            httpx.Response(200, content=b"<list/>"),
            {"response_format": "xml", "data_path": "list.item"},
        ),
        (
            httpx.Response(200, content=b'<a><list total="0"></list></a>'),
            {"response_format": "xml", "data_path": "a.list.item"},
        ),
    ],
)
def test_an_answer_without_rows_is_an_empty_page(
    answer: httpx.Response, endpoint: dict[str, Any]
) -> None:
    (page,) = read(connector(lambda _request: answer, endpoint))

    assert (page.records, page.rejects) == ([], [])
    assert page.cursor == {"done": True}


def test_a_wrong_name_in_xml_is_told() -> None:
    answer = httpx.Response(200, content=b"<a><item><id>1</id></item></a>")
    made = connector(
        lambda _request: answer, {"response_format": "xml", "data_path": "a.itme"}
    )

    with pytest.raises(ConfigError, match=r"no list at “a\.itme”"):
        read(made)


@pytest.mark.parametrize(
    ("response_format", "content", "asked"),
    [
        ("json", b"[]", "application/json, */*;q=0.1"),
        ("ndjson", b"", "application/x-ndjson, application/jsonl, */*;q=0.1"),
        ("csv", b"", "text/csv, */*;q=0.1"),
        ("xml", b"<a/>", "application/xml, text/xml, */*;q=0.1"),
    ],
)
def test_the_format_is_asked_for(
    response_format: str, content: bytes, asked: str
) -> None:
    api = Api(lambda _request: httpx.Response(200, content=content))
    endpoint = {"response_format": response_format, "data_path": "a.b"}
    if response_format != "xml":
        del endpoint["data_path"]

    read(connector(api, endpoint))
    read(connector(api, {**endpoint, "headers": {"accept": "text/x-own"}}))

    assert [r.headers["accept"] for r in api.requests] == [asked, "text/x-own"]


# --- how it is written ------------------------------------------------------------
def test_xml_with_namespaces_and_nothing_in_an_element() -> None:
    content = b"""<?xml version="1.0"?>
        <s:feed xmlns:s="urn:s" xmlns="urn:d"
                xmlns:i="http://www.w3.org/2001/XMLSchema-instance">
          <s:row xmlns:x="urn:x"><id>1</id><ended i:nil="true"/></s:row>
          <s:row><id>2</id><ended type="date" nil="true"></ended>
            <x:name xmlns:x="urn:x" nil="false">Two</x:name></s:row>
        </s:feed>"""
    made = connector(
        lambda _request: httpx.Response(200, content=content),
        {"response_format": "xml", "data_path": "s:feed.s:row"},
    )

    (page,) = read(made)

    assert [record.raw for record in page.records] == [
        {"id": "1", "ended": None},
        {"id": "2", "ended": None, "x:name": "Two"},
    ]


LATIN = "id;name\r\n1;Café Müller\r\n"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (LATIN.encode("iso-8859-1"), "text/csv; charset=ISO-8859-1"),
        (LATIN.encode("iso-8859-1"), "text/csv"),
        (LATIN.encode("iso-8859-1"), "text/csv; charset=no-such-thing"),
        (LATIN.encode("iso-8859-1"), "text/csv; charset=rot13"),
        (LATIN.encode(), "text/csv"),
        (LATIN.encode("utf-8-sig"), "text/csv; charset=iso-8859-1"),
        (LATIN.encode("utf-16"), "text/csv"),
        (gzip.compress(LATIN.encode(), mtime=0), "application/octet-stream"),
    ],
)
@pytest.mark.parametrize("pagination", [{"type": "none"}, {"type": "link"}])
def test_csv_in_any_encoding(
    content: bytes, kind: str, pagination: dict[str, str]
) -> None:
    answer = httpx.Response(200, content=content, headers={"Content-Type": kind})
    made = connector(
        lambda _request: answer,
        {
            "response_format": "csv",
            "csv_delimiter": ";",
            "record_type": "customer",
            "pagination": pagination,
        },
    )

    (page,) = read(made)

    assert [record.name for record in page.records] == ["Café Müller"]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_a_delimiter_that_cannot_be_is_refused(delimiter: str) -> None:
    with pytest.raises(ConfigError, match="csv_delimiter"):
        connector(in_turn(), {"csv_delimiter": delimiter}).discover()


def test_a_long_cell_is_no_broken_file() -> None:
    body = "id,note\n1," + "x" * 500_000 + "\n"
    made = connector(
        lambda _request: httpx.Response(200, text=body), {"response_format": "csv"}
    )

    (page,) = read(made)

    assert len(page.records[0].raw["note"]) == 500_000
    assert csv.field_size_limit() >= 1_000_000


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b'\xef\xbb\xbf[{"id": 1, "name": "Z\xc3\xb6e"}]', "application/json"),
        (
            '[{"id": 1, "name": "Zöe"}]'.encode("iso-8859-1"),
            "application/json; charset=iso-8859-1",
        ),
        ('[{"id": 1, "name": "Zöe"}]'.encode("utf-16"), "application/json"),
        (
            gzip.compress(b'[{"id": 1, "name": "Z\xc3\xb6e"}]', mtime=0),
            "application/gzip",
        ),
    ],
)
def test_json_in_any_encoding(content: bytes, kind: str) -> None:
    answer = httpx.Response(200, content=content, headers={"Content-Type": kind})

    (page,) = read(connector(lambda _request: answer, {}))

    assert page.records[0].raw == {"id": 1, "name": "Zöe"}


def test_numbers_and_texts_no_other_row_should_suffer_from() -> None:
    content = (
        b'[{"id": 12345678901234567890123, "rate": NaN, "most": -Infinity},'
        b' {"id": 2, "big": 1e999, "cut": "fine\\ud83d", "whole": "\\ud83d\\ude00"}]'
    )

    (page,) = read(connector(lambda _request: httpx.Response(200, content=content), {}))

    assert [record.raw for record in page.records] == [
        {"id": 12345678901234567890123, "rate": None, "most": None},
        {"id": 2, "big": "1e999", "cut": "fine\ufffd", "whole": "😀"},
    ]
    assert ids([page]) == ["12345678901234567890123", "2"]


def test_ndjson_with_a_mark_windows_ends_and_no_last_newline() -> None:
    content = b'\xef\xbb\xbf{"id": 1}\r\n\r\n{"id": 2, "n": NaN}\n{"id": 3}'
    made = connector(
        lambda _request: httpx.Response(200, content=content),
        {"response_format": "ndjson"},
    )

    pages = read(made)

    assert ids(pages) == ["1", "2", "3"]
    assert [reject for page in pages for reject in page.rejects] == []


def test_ndjson_that_is_cut_leaves_the_part_in_quarantine() -> None:
    made = connector(
        lambda _request: httpx.Response(200, content=b'{"id": 1}\n{"id": 2, "na'),
        {"response_format": "ndjson"},
    )

    (page,) = read(made)

    assert ids([page]) == ["1"]
    assert [reject.raw for reject in page.rejects] == [{"line": '{"id": 2, "na'}]


def test_gzip_that_ends_early_is_worth_another_try() -> None:
    packed = gzip.compress(json.dumps(things(1, 500)).encode())

    def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(
            200, content=packed[:-20], headers={"Content-Encoding": "gzip"}
        )

    with pytest.raises(TransientError) as caught:
        read(connector(answer, {}))

    assert caught.value.code == "connection_lost"


def test_xml_without_a_declaration_is_in_the_charset_the_answer_names() -> None:
    def answer(content: bytes, charset: str) -> Answer:
        headers = {"Content-Type": f"application/xml; charset={charset}"}
        return lambda _request: httpx.Response(200, content=content, headers=headers)

    endpoint = {"response_format": "xml", "data_path": "a.b"}
    text = "<a><b><id>1</id><name>Zöe</name></b></a>"
    declared = f'<?xml version="1.0" encoding="UTF-8"?>{text}'

    (page,) = read(connector(answer(text.encode("cp1252"), "windows-1252"), endpoint))
    assert page.records[0].raw["name"] == "Zöe"
    (page,) = read(connector(answer(declared.encode(), "iso-8859-1"), endpoint))
    assert page.records[0].raw["name"] == "Zöe"
