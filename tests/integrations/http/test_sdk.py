"""SDKs that take a requests session go through the door."""

from __future__ import annotations

import gzip

import httpx
import pytest
import requests
from simple_salesforce import Salesforce

from churnguard.errors import AuthenticationError, ConfigError, RateLimitedError
from integrations.http import Client, bearer
from tests.integrations.http.door import Provider, make_client


def session_of(provider: Provider, **options) -> requests.Session:
    return make_client(provider, **options).requests_session()


def test_answers_look_like_requests_answers():
    provider = Provider(
        httpx.Response(201, json={"a": "ä"}, headers={"X-Id": "7"}),
    )

    response = session_of(provider).post(
        "https://api.example.com/v1/x", params={"q": "a b"}, json={"b": 1}
    )

    assert (response.status_code, response.json()) == (201, {"a": "ä"})
    assert response.headers["x-id"] == "7"
    assert response.ok
    assert response.reason == "Created"
    request = provider.requests[0]
    assert str(request.url) == "https://api.example.com/v1/x?q=a+b"
    assert request.content == b'{"b": 1}'
    assert request.headers["content-type"] == "application/json"


def test_compressed_answers_are_unpacked_once():
    packed = gzip.compress(b'{"a": 1}')
    provider = Provider(
        httpx.Response(200, content=packed, headers={"content-encoding": "gzip"})
    )

    response = session_of(provider).get("https://api.example.com/v1/x")

    assert response.json() == {"a": 1}
    assert "content-encoding" not in response.headers


def test_streamed_answers_come_in_pieces():
    provider = Provider(httpx.Response(200, content=iter([b"a\nb", b"c\n", b"d"])))

    with session_of(provider).get(
        "https://api.example.com/v1/x", stream=True
    ) as response:
        assert list(response.iter_lines()) == [b"a", b"bc", b"d"]


def test_refusals_are_responses_and_the_rest_are_our_errors():
    provider = Provider(
        httpx.Response(404, json={"error": "no"}),
        httpx.Response(429, headers={"Retry-After": "600"}),
        httpx.Response(401),
    )
    session = session_of(provider)

    assert session.get("https://api.example.com/v1/x").status_code == 404
    with pytest.raises(RateLimitedError):
        session.get("https://api.example.com/v1/x")
    with pytest.raises(AuthenticationError):
        session.get("https://api.example.com/v1/x")


def test_server_errors_are_retried_below_the_sdk():
    provider = Provider(httpx.Response(503), httpx.Response(200, json=[]))

    assert session_of(provider).get("https://api.example.com/v1/x").json() == []
    assert len(provider.requests) == 2


def test_guard_stands_before_the_sdk_too():
    session = Client().requests_session()

    with pytest.raises(ConfigError) as caught:
        session.get("https://169.254.169.254/latest/meta-data")

    assert caught.value.code == "blocked_address"


def test_simple_salesforce_uses_the_door_and_its_fresh_token():
    tokens = ["expired_token"]
    provider = Provider(
        httpx.Response(401, json=[{"errorCode": "INVALID_SESSION_ID", "message": "x"}]),
        httpx.Response(
            200,
            json={
                "totalSize": 1,
                "done": True,
                "records": [{"attributes": {}, "Id": "001"}],
            },
        ),
    )
    client = make_client(
        provider,
        adapter="salesforce",
        base_url="https://acme.my.salesforce.com",
        auth=bearer(lambda: tokens[-1]),
        refresh=lambda _refused: tokens.append("fresh_token"),
    )

    salesforce = Salesforce(
        instance_url="https://acme.my.salesforce.com",
        session_id="not used",
        session=client.requests_session(),
        version="66.0",
    )
    rows = salesforce.query("SELECT Id FROM Account")

    assert rows["records"][0]["Id"] == "001"
    assert [request.headers["authorization"] for request in provider.requests] == [
        "Bearer expired_token",
        "Bearer fresh_token",
    ]
