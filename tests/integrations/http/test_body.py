"""Reading answers: decoding, early ends, constant memory, links."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from churnguard.errors import ConfigError, TransientError
from integrations.http import Client, Reply, RetryPolicy
from integrations.http.body import CHUNK_BYTES, TruncatedError, inflate
from integrations.netguard import Guard
from tests.integrations.http.door import Provider, make_client
from tests.integrations.http.wire import head, raw_server

LOOPBACK = Guard(allow_private=("127.0.0.1",))


def loopback_client(url: str, **options) -> Client:
    return Client(
        base_url=url, guard=LOOPBACK, retry=RetryPolicy(max_attempts=1), **options
    )


def packed(kind: str, data: bytes) -> bytes:
    raw = zlib.compressobj(wbits=-15)
    return {
        "gzip": gzip.compress(data, mtime=0),
        "members": gzip.compress(data[:3], mtime=0) + gzip.compress(data[3:], mtime=0),
        "padded": gzip.compress(data, mtime=0) + b"\0" * 9,
        "zlib": zlib.compress(data),
        "raw": raw.compress(data) + raw.flush(),
    }[kind]


@given(
    kind=st.sampled_from(["gzip", "members", "padded", "zlib", "raw"]),
    data=st.binary(max_size=3000),
    size=st.integers(1, 500),
)
def test_inflate_gives_back_the_data_in_any_chunking(kind, data, size):
    body = packed(kind, data)
    chunks = [body[i : i + size] for i in range(0, len(body), size)]
    # One byte alone does not tell raw deflate from a wrapper.
    if kind == "raw" and size == 1:
        chunks = [body[:2], body[2:]]

    assert b"".join(inflate(iter(chunks))) == data


@given(data=st.binary(min_size=1, max_size=2000), cut=st.integers(1, 2000))
def test_inflate_notices_every_early_end(data, cut):
    body = gzip.compress(data, mtime=0)
    if cut >= len(body):
        cut = len(body) - 1

    with pytest.raises(TruncatedError):
        list(inflate(iter([body[:-cut]] if cut < len(body) - 1 else [body[:1]])))


def test_a_bomb_comes_in_small_pieces():
    bomb = gzip.compress(b"\0" * (200 << 20), compresslevel=9)

    tracemalloc.start()
    sizes = [len(piece) for piece in inflate(iter([bomb]))]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert sum(sizes) == 200 << 20
    assert max(sizes) <= CHUNK_BYTES
    assert peak < 4 << 20


def test_bomb_stops_at_the_body_limit():
    content = gzip.compress(b"\0" * (80 << 20))
    bomb = httpx.Response(
        200, content=iter([content]), headers={"content-encoding": "gzip"}
    )

    with pytest.raises(ConfigError) as caught:
        make_client(Provider(bomb)).get("/x")

    assert caught.value.code == "body_too_large"


def test_gzip_json_over_a_socket():
    body = gzip.compress(msgspec.json.encode({"a": list(range(1000))}))

    def handle(connection, _request):
        length = str(len(body))
        answer = head(Content_Encoding="gzip", Content_Length=length) + body
        for start in range(0, len(answer), 100):
            connection.sendall(answer[start : start + 100])

    with raw_server(handle) as url:
        assert loopback_client(url).get_json("/x") == {"a": list(range(1000))}


@pytest.mark.parametrize(
    "answer",
    [
        head(Content_Length="100") + b'{"a":',
        head(Transfer_Encoding="chunked") + b'5\r\n{"a":\r\n',
        head(Content_Encoding="gzip") + gzip.compress(b'{"a": 1}')[:-4],
    ],
    ids=["content-length", "chunked", "gzip"],
)
def test_body_cut_short_is_transient(answer):
    with raw_server(lambda connection, _request: connection.sendall(answer)) as url:
        client = loopback_client(url)
        with pytest.raises(TransientError) as caught:
            client.get_json("/x")
        assert caught.value.code == "connection_lost"

        with (
            pytest.raises(TransientError) as caught,
            client.stream("GET", "/x") as stream,
        ):
            list(stream.iter_bytes())
        assert caught.value.code == "connection_lost"


def test_silent_server_times_out():
    def handle(connection, _request):
        connection.settimeout(5)
        connection.recv(1)

    with raw_server(handle) as url:
        client = loopback_client(url, read_timeout_s=0.2)
        with pytest.raises(TransientError) as caught:
            client.get("/x")

    assert caught.value.code == "timeout"
    assert "0.2 s" in str(caught.value)


def test_closed_port_is_unreachable():
    with raw_server(lambda _connection, _request: None) as url:
        pass

    with pytest.raises(TransientError) as caught:
        loopback_client(url).get("/x")

    assert caught.value.code == "unreachable"


def test_lines_of_a_large_export_stay_in_constant_memory():
    line = msgspec.json.encode({"event": "login", "properties": {"x": "y" * 400}})
    count = 100_000
    packer = zlib.compressobj(wbits=31)

    def handle(connection, _request):
        connection.sendall(head(Content_Encoding="gzip"))
        for _ in range(count // 1000):
            connection.sendall(packer.compress((line + b"\n") * 1000))
        connection.sendall(packer.flush())

    seen = 0
    with raw_server(handle) as url:
        tracemalloc.start()
        with loopback_client(url).stream("GET", "/export") as stream:
            for found in stream.iter_lines():
                seen += found == line
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert seen == count
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"a", [b"a"]),
        (b"a\r\n\r\nb\n", [b"a", b"b"]),
        (b"\n\na\n\nb", [b"a", b"b"]),
    ],
)
def test_lines_without_endings_and_empty_ones(content, lines):
    provider = Provider(httpx.Response(200, content=content))

    with make_client(provider).stream("GET", "/x") as stream:
        assert list(stream.iter_lines()) == lines


def test_endless_line_is_refused():
    provider = Provider(httpx.Response(200, content=b"x" * 1000))

    with (
        pytest.raises(ConfigError) as caught,
        make_client(provider).stream("GET", "/x") as stream,
    ):
        list(stream.iter_lines(max_line_bytes=100))

    assert caught.value.code == "line_too_long"


def test_stream_is_retried_until_it_opens():
    provider = Provider(httpx.Response(503), httpx.Response(200, content=b"a\nb"))

    with make_client(provider).stream("GET", "/x") as stream:
        assert stream.status == 200
        assert list(stream.iter_lines()) == [b"a", b"b"]
    assert len(provider.requests) == 2


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('</b?page=2>; rel="next"', "https://api.example.com/b?page=2"),
        (
            '<https://x.example/1>; rel="prev", <https://x.example/3>; rel=next',
            "https://x.example/3",
        ),
        (
            '<https://x.example/?a=1,2>; title="a, b"; rel="last next"',
            "https://x.example/?a=1,2",
        ),
        ('<https://x.example/3>; rel="prev"', None),
        ("<broken", None),
        ("", None),
    ],
)
def test_link_header(header, expected):
    reply = Reply(
        200, httpx.Headers({"link": header}), b"", "https://api.example.com/a"
    )

    assert reply.link("next") == expected


def test_typed_json():
    class Row(msgspec.Struct):
        a: int

    def reply(content: bytes) -> Reply:
        return Reply(200, httpx.Headers(), content, "https://api.example.com/")

    assert reply(b'{"a": 1}').json(Row) == Row(1)
    with pytest.raises(TransientError) as caught:
        reply(b'{"a": "x"}').json(Row)
    assert caught.value.code == "bad_shape"
