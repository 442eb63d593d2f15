"""Credentials stay where they belong: redirects, foreign hosts, messages, logs."""

from __future__ import annotations

import logging

import httpx
import pytest

from churnguard.errors import ConfigError, TransientError
from integrations.http import bearer
from integrations.http.auth import query_key
from tests.integrations.http.door import Provider, make_client


def test_redirect_to_another_host_carries_no_credentials():
    provider = Provider(
        httpx.Response(302, headers={"location": "https://files.example.net/a"})
    )
    client = make_client(
        provider, auth=bearer("tok_abcdef"), headers={"X-Account": "acct_1"}
    )

    client.get("/export", headers={"X-Call": "1"})

    first, second = provider.requests
    assert first.headers["authorization"] == "Bearer tok_abcdef"
    assert str(second.url) == "https://files.example.net/a"
    assert not {"authorization", "x-account", "x-call"} & set(second.headers)


def test_next_address_on_another_host_carries_no_credentials():
    provider = Provider()
    client = make_client(provider, auth=bearer("tok_abcdef"))

    client.get("https://evil.example.net/next")

    assert "authorization" not in provider.requests[0].headers


@pytest.mark.parametrize(
    "location",
    ["http://169.254.169.254/latest/meta-data", "https://127.0.0.1/", "file:///etc"],
)
def test_redirect_to_an_unsafe_address_is_refused(location):
    provider = Provider(httpx.Response(302, headers={"location": location}))

    with pytest.raises(ConfigError) as caught:
        make_client(provider).get("/x")

    assert caught.value.code in {"unsafe_url", "blocked_address"}
    assert len(provider.requests) == 1


def test_endless_redirect_stops():
    circle = httpx.Response(302, headers={"location": "https://api.example.com/x"})
    provider = Provider(*[circle] * 99)

    with pytest.raises(ConfigError) as caught:
        make_client(provider).get("/x")

    assert caught.value.code == "too_many_redirects"
    assert len(provider.requests) == 6


def test_post_becomes_get_after_303():
    provider = Provider(httpx.Response(303, headers={"location": "/done"}))

    make_client(provider).post("/x", json={"a": 1})

    assert [request.method for request in provider.requests] == ["POST", "GET"]
    assert provider.requests[1].content == b""


def test_line_break_in_a_key_is_explained_without_the_key():
    client = make_client(
        Provider(httpx.LocalProtocolError("Illegal header value b'tok_canary'"))
    )

    with pytest.raises(ConfigError) as caught:
        client.get("/x")

    assert caught.value.code == "bad_header"
    assert "canary" not in repr(caught.value)


def test_secrets_are_in_no_message_and_no_log(caplog):
    canary = "canary-7f3a9b2c"
    caplog.set_level(logging.DEBUG)
    leaks = [
        httpx.Response(400, json={"message": f"bad key {canary}", "code": canary}),
        httpx.Response(401, text=f"token {canary} unknown"),
        httpx.Response(403, json={"error": {"message": f"?api_key={canary}"}}),
        httpx.ReadError(f"https://api.example.com?key={canary}"),
        httpx.Response(500, text=canary),
    ]
    texts = []
    for leak in leaks:
        client = make_client(
            Provider(*[leak] * 4), auth=query_key("key", canary), secrets={"k": canary}
        )
        with pytest.raises((ConfigError, TransientError)) as caught:
            client.get("/x")
        texts.append(str(caught.value) + repr(caught.value))

    assert canary not in "".join(texts)
    assert canary not in caplog.text
    assert all(canary not in str(record.__dict__) for record in caplog.records)
