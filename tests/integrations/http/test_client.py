"""The door's behaviour towards a provider, seen from both sides."""

from __future__ import annotations

import logging

import httpx
import pytest

from churnguard.errors import (
    AuthenticationError,
    ConfigError,
    RateLimitedError,
    TransientError,
)
from integrations.http import Call, CallFacts, RefusedError, RetryPolicy, bearer
from integrations.http.auth import basic, header_key, query_key
from tests.integrations.http.door import Provider, Time, make_client


def test_path_and_parameters_join_the_base_address():
    provider = Provider()
    client = make_client(provider)

    client.get_json("/contacts?a=1", params={"b": True, "c": None, "d": [1, 2]})

    assert provider.paths == ["https://api.example.com/v1/contacts?a=1&b=true&d=1&d=2"]
    assert provider.requests[0].headers["accept-encoding"] == "gzip"


def test_base_address_may_come_with_the_token():
    provider = Provider()
    hosts = iter(["https://one.example.com", "https://two.example.com"])
    client = make_client(provider, base_url=lambda: next(hosts), auth=bearer("tok"))

    client.get("/x")
    client.get("/x")

    assert provider.paths == ["https://one.example.com/x", "https://two.example.com/x"]
    assert provider.requests[1].headers["authorization"] == "Bearer tok"


@pytest.mark.parametrize(
    ("hook", "header", "value"),
    [
        (bearer("tok_abcdef"), "authorization", "Bearer tok_abcdef"),
        (bearer(lambda: "tok_fn"), "authorization", "Bearer tok_fn"),
        (
            basic("churnguard.abc123.mp-service-account", "s3cret"),
            "authorization",
            "Basic Y2h1cm5ndWFyZC5hYmMxMjMubXAtc2VydmljZS1hY2NvdW50OnMzY3JldA==",
        ),
        (header_key("X-Api-Key", "k"), "x-api-key", "k"),
    ],
)
def test_auth_hooks_sign_the_request(hook, header, value):
    provider = Provider()

    make_client(provider, auth=hook).get("/x")

    assert provider.requests[0].headers[header] == value


def test_query_key_is_added_to_the_address():
    provider = Provider()

    make_client(provider, auth=query_key("api_key", "k1")).get("/x?page=2")

    assert provider.paths == ["https://api.example.com/v1/x?page=2&api_key=k1"]


def test_server_errors_are_retried_with_growing_waits():
    time, facts = Time(), []
    provider = Provider(httpx.Response(503), httpx.Response(500), httpx.Response(502))
    client = make_client(provider, time=time, facts=facts)

    assert client.get_json("/x") == {"ok": True}
    assert time.slept == [0.5, 1.0, 2.0]
    assert [fact.status for fact in facts] == [503, 500, 502, 200]
    assert [fact.attempt for fact in facts] == [1, 2, 3, 4]
    assert facts[0] == CallFacts(
        "hubspot", "api.example.com", "GET", 503, 0.0, 1, "connection_failure"
    )


def test_tries_are_bounded():
    provider = Provider(*[httpx.Response(500)] * 9)
    client = make_client(provider, retry=RetryPolicy(max_attempts=3))

    with pytest.raises(TransientError, match="Hubspot answered 500") as caught:
        client.get_json("/x")

    assert caught.value.code == "provider_unavailable"
    assert len(provider.requests) == 3


def test_post_is_not_sent_twice_unless_told():
    provider = Provider(*[httpx.Response(500)] * 2)
    client = make_client(provider)

    with pytest.raises(TransientError):
        client.post("/x", json={})
    assert len(provider.requests) == 1

    assert client.post_json("/search", json={}, idempotent=True) == {"ok": True}
    assert len(provider.requests) == 3


@pytest.mark.parametrize(
    ("error", "tries"),
    [
        (httpx.ConnectError("refused"), 2),
        (httpx.ConnectTimeout("slow"), 2),
        (httpx.ReadTimeout("slow"), 1),
        (httpx.RemoteProtocolError("cut"), 1),
    ],
)
def test_post_is_repeated_only_if_it_never_left(error, tries):
    provider = Provider(error)
    client = make_client(provider)

    if tries == 2:
        client.post("/x", json={})
    else:
        with pytest.raises(TransientError):
            client.post("/x", json={})
    assert len(provider.requests) == tries


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("refused"), "unreachable"),
        (httpx.ReadTimeout("slow"), "timeout"),
        (httpx.ReadError("reset"), "connection_lost"),
        (httpx.RemoteProtocolError("cut"), "connection_lost"),
    ],
)
def test_lost_connections_are_transient(error, code):
    provider = Provider(*[error] * 4)

    with pytest.raises(TransientError) as caught:
        make_client(provider).get("/x")

    assert caught.value.code == code
    assert len(provider.requests) == 4


def test_short_retry_after_is_waited_in_place():
    time = Time()
    provider = Provider(httpx.Response(429, headers={"Retry-After": "2"}))
    client = make_client(provider, time=time)

    assert client.get_json("/x") == {"ok": True}
    assert time.slept == [pytest.approx(2.25)]


def test_long_retry_after_is_raised_at_once():
    time, facts = Time(), []
    provider = Provider(httpx.Response(429, headers={"Retry-After": "93"}))
    client = make_client(provider, time=time, facts=facts)

    with pytest.raises(RateLimitedError) as caught:
        client.get_json("/x")

    assert caught.value.retry_after_s == 93
    assert time.slept == []
    assert [fact.outcome for fact in facts] == ["rate_limited"]


def test_retry_after_as_http_date():
    provider = Provider(
        httpx.Response(429, headers={"Retry-After": "Sun, 01 Mar 2026 12:01:00 GMT"})
    )

    with pytest.raises(RateLimitedError) as caught:
        make_client(provider).get("/x")

    assert caught.value.retry_after_s == 60


def test_post_may_repeat_after_429_because_nothing_was_done():
    provider = Provider(httpx.Response(429, headers={"Retry-After": "1"}))

    assert make_client(provider).post_json("/x", json={}) == {"ok": True}
    assert len(provider.requests) == 2


def test_no_single_sleep_is_longer_than_the_bound():
    time = Time()
    provider = Provider(*[httpx.Response(500)] * 9)
    client = make_client(provider, time=time, retry=RetryPolicy(10, 0.5, 3.0))

    client.get("/x")

    assert max(time.slept) == 3.0
    assert len(time.slept) == 9


def test_one_refresh_after_401_then_it_is_final():
    tokens = ["tok_old_1"]
    refused = []

    def refresh(token: str) -> None:
        refused.append(token)
        tokens.append("tok_new_2")

    provider = Provider(httpx.Response(401))
    client = make_client(provider, auth=bearer(lambda: tokens[-1]), refresh=refresh)

    assert client.get_json("/x") == {"ok": True}
    assert refused == ["tok_old_1"]
    assert [request.headers["authorization"] for request in provider.requests] == [
        "Bearer tok_old_1",
        "Bearer tok_new_2",
    ]

    provider.answers = [httpx.Response(401), httpx.Response(401)]
    with pytest.raises(AuthenticationError, match="did not accept the credentials"):
        client.get_json("/x")
    assert len(refused) == 2


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, RefusedError, "bad_request"),
        (401, AuthenticationError, "authentication_failed"),
        (402, RefusedError, "plan_required"),
        (403, RefusedError, "permission_denied"),
        (404, RefusedError, "not_found"),
        (409, TransientError, "conflict"),
        (410, RefusedError, "gone"),
        (418, RefusedError, "refused"),
        (422, RefusedError, "bad_request"),
        (423, TransientError, "conflict"),
        (477, TransientError, "provider_unavailable"),
        (501, RefusedError, "bad_request"),
        (520, TransientError, "provider_unavailable"),
    ],
)
def test_statuses_become_our_errors(status, kind, code):
    provider = Provider(*[httpx.Response(status, json={"message": "why"})] * 4)

    with pytest.raises(kind, match="why") as caught:
        make_client(provider).get("/x")

    assert caught.value.code == code


def test_accepted_status_is_a_reply():
    provider = Provider(httpx.Response(404, json={"gone": True}))

    reply = make_client(provider).get("/x", ok=(404,))

    assert (reply.status, reply.json()) == (404, {"gone": True})


def test_refusal_carries_the_providers_code():
    body = [{"message": "No such column 'Foo'", "errorCode": "INVALID_FIELD"}]
    provider = Provider(httpx.Response(400, json=body))

    with pytest.raises(RefusedError) as caught:
        make_client(provider, adapter="salesforce").get("/x")

    assert caught.value.status == 400
    assert caught.value.provider_code == "INVALID_FIELD"
    assert caught.value.reply.json() == body
    assert str(caught.value) == (
        "Salesforce rejected the request (INVALID_FIELD: No such column 'Foo')."
    )


@pytest.mark.parametrize(
    ("headers", "traced"),
    [
        ({"Request-Id": "req_1"}, "req_1"),
        ({"X-Request-Id": "8a"}, "8a"),
        ({}, ""),
    ],
)
def test_a_call_is_logged_with_the_providers_name_for_it(caplog, headers, traced):
    caplog.set_level(logging.DEBUG, "integrations.http")

    make_client(Provider(httpx.Response(200, headers=headers))).get("/x")

    assert [record.request_id for record in caplog.records] == [traced]


def test_stripe_decides_itself_whether_to_retry():
    no = httpx.Response(500, headers={"Stripe-Should-Retry": "false"})
    provider = Provider(no)

    with pytest.raises(TransientError):
        make_client(provider, adapter="stripe").get("/x")

    assert len(provider.requests) == 1


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"a": [1, 2', "ends in the middle"),
        (b"<!DOCTYPE html><html>", "is a web page"),
        (b"", "is empty"),
        (b"nope", "is no valid JSON"),
    ],
)
def test_bad_json_is_fetched_again_then_explained(content, words):
    headers = {"content-type": "application/json"}
    bad = httpx.Response(200, content=content, headers=headers)

    provider = Provider(bad)
    assert make_client(provider).get_json("/x") == {"ok": True}

    with pytest.raises(TransientError, match=words) as caught:
        make_client(Provider(*[bad] * 4)).get_json("/x")
    assert caught.value.code == "not_json"


def test_body_has_a_maximum():
    provider = Provider(httpx.Response(200, content=b"x" * 1001))

    with pytest.raises(ConfigError) as caught:
        make_client(provider, max_body_bytes=1000).get("/x")

    assert caught.value.code == "body_too_large"
    assert len(provider.requests) == 1


def test_whole_answer_has_a_deadline():
    time = Time()

    def dripping(_request: httpx.Request) -> httpx.Response:
        def drops():
            while True:
                time.passed_s += 50
                yield b"x"

        return httpx.Response(200, content=drops())

    provider = Provider(dripping)
    client = make_client(provider, time=time, retry=RetryPolicy(max_attempts=1))

    with pytest.raises(TransientError) as caught:
        client.get("/x")

    assert caught.value.code == "timeout"
    assert time.passed_s == 350


def test_observer_sees_outcomes():
    facts: list[CallFacts] = []
    provider = Provider(
        httpx.ConnectError("no"), httpx.Response(404), httpx.Response(200)
    )
    client = make_client(provider, facts=facts)

    with pytest.raises(RefusedError):
        client.get("/x")
    client.get("/x")

    assert [fact.outcome for fact in facts] == [
        "connection_failure",
        "failure",
        "success",
    ]
    assert [fact.status for fact in facts] == [0, 404, 200]


def test_head_and_empty_answers_have_no_body():
    provider = Provider(
        httpx.Response(200, headers={"content-length": "10"}), httpx.Response(204)
    )
    client = make_client(provider)

    assert client.send(Call(method="HEAD", url="/x")).content == b""
    assert client.get("/x").content == b""
