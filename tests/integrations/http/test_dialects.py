"""Each provider's way of saying "slow down", with bodies as documented."""

from __future__ import annotations

import httpx
import pytest

from churnguard.errors import RateLimitedError, TransientError
from integrations.http import RefusedError
from integrations.http.dialects import DIALECTS, Usage, dialect_of, read_usage
from tests.integrations.http.door import START, Provider, make_client

RESET = str(int(START.timestamp()) + 42)


def limited(adapter: str, status: int, *, headers=None, text="", json=None):
    answer = (
        httpx.Response(status, headers=headers, json=json)
        if json is not None
        else httpx.Response(status, headers=headers, text=text)
    )
    with pytest.raises(TransientError) as caught:
        make_client(Provider(*[answer] * 4), adapter=adapter).get("/x")
    return caught.value


SALESFORCE_QUOTA = [
    {"message": "TotalRequests Limit exceeded.", "errorCode": "REQUEST_LIMIT_EXCEEDED"}
]
SALESFORCE_PARALLEL = [
    {
        "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        "errorCode": "REQUEST_LIMIT_EXCEEDED",
    }
]
HUBSPOT_DAILY = {
    "status": "error",
    "message": "You have reached your daily limit.",
    "errorType": "RATE_LIMIT",
    "policyName": "DAILY",
}
HUBSPOT_TEN = HUBSPOT_DAILY | {
    "message": "You have reached your ten_secondly_rolling limit.",
    "policyName": "TEN_SECONDLY_ROLLING",
}
HUBSPOT_SECOND = HUBSPOT_DAILY | {
    "message": "You have reached your secondly limit.",
    "policyName": "SECONDLY",
}
MIXPANEL = (
    "Query rate limit exceeded for project_id: 1. {}/5 queries running concurrently "
    "and {}/60 queries running in the last hour."
)


@pytest.mark.parametrize(
    ("adapter", "status", "options", "wait_s"),
    [
        ("salesforce", 403, {"json": SALESFORCE_QUOTA}, 3600),
        ("salesforce", 403, {"json": SALESFORCE_PARALLEL}, 5),
        ("hubspot", 429, {"json": HUBSPOT_DAILY}, 3600),
        ("hubspot", 429, {"json": HUBSPOT_TEN}, 10),
        ("hubspot", 429, {"json": HUBSPOT_SECOND}, 1),
        ("hubspot", 429, {"text": ""}, 10),
        ("zendesk", 429, {"headers": {"Retry-After": "93"}}, 93),
        ("zendesk", 429, {"headers": {"ratelimit-reset": "41"}}, 41),
        ("zendesk", 429, {"text": ""}, 60),
        ("intercom", 429, {"headers": {"X-RateLimit-Reset": RESET}}, 42),
        ("sendgrid", 429, {"headers": {"X-RateLimit-Reset": RESET}}, 42),
        ("mixpanel", 429, {"json": {"error": MIXPANEL.format(1, 61)}}, 300),
        ("mixpanel", 429, {"json": {"error": MIXPANEL.format(6, 7)}}, 15),
        ("mailchimp", 429, {"text": ""}, 3),
        ("stripe", 429, {"json": {"error": {"code": "rate_limit"}}}, None),
        ("stripe", 400, {"json": {"error": {"code": "rate_limit"}}}, 1),
        ("anything", 429, {"headers": {"X-Rate-Limit-Reset": "7"}}, 7),
    ],
)
def test_slow_down_and_for_how_long(adapter, status, options, wait_s):
    error = limited(adapter, status, **options)

    assert isinstance(error, RateLimitedError)
    assert error.retry_after_s == wait_s


def test_plain_403_is_a_missing_permission():
    body = [{"message": "no access", "errorCode": "INSUFFICIENT_ACCESS"}]
    provider = Provider(httpx.Response(403, json=body))

    with pytest.raises(RefusedError) as caught:
        make_client(provider, adapter="salesforce").get("/x")

    assert caught.value.code == "permission_denied"


def test_mailchimps_bare_403_says_nothing_about_the_key():
    error = limited("mailchimp", 403, text="Access Denied")

    assert error.code == "provider_unavailable"


@pytest.mark.parametrize(
    ("adapter", "headers", "usages"),
    [
        (
            "hubspot",
            {
                "X-HubSpot-RateLimit-Max": "190",
                "X-HubSpot-RateLimit-Remaining": "150",
                "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                "X-HubSpot-RateLimit-Daily": "650000",
                "X-HubSpot-RateLimit-Daily-Remaining": "649000",
            },
            [Usage(190, 150, 10.0, None), Usage(650_000, 649_000, 86_400.0, None)],
        ),
        (
            "salesforce",
            {
                "Sforce-Limit-Info": "api-usage=25/5000; "
                "per-app-api-usage=17/250(appName=x)"
            },
            [Usage(5000, 4975, 86_400.0, None)],
        ),
        (
            "zendesk",
            {"X-Rate-Limit": "700", "X-Rate-Limit-Remaining": "699"},
            [Usage(700, 699, 60.0, None)],
        ),
        (
            "zendesk",
            {
                "ratelimit-limit": "400",
                "ratelimit-remaining": "384",
                "ratelimit-reset": "50",
                "Zendesk-RateLimit-incremental-exports-cursor": "total=10; "
                "remaining=3; resets=41",
                "zendesk-ratelimit-tickets-index": "total=100; remaining=9; resets=1",
            },
            [Usage(400, 384, 60.0, 50.0), Usage(10, 3, 60.0, 41.0, "export")],
        ),
        ("zendesk", {"zendesk-ratelimit-incremental-exports": "soon"}, []),
        (
            "intercom",
            {
                "X-RateLimit-Limit": "167",
                "X-RateLimit-Remaining": "0",
                "X-RateLimit-Reset": RESET,
            },
            [Usage(167, 0, 10.0, 42.0)],
        ),
        ("hubspot", {"X-HubSpot-RateLimit-Max": "many"}, []),
        ("stripe", {"X-RateLimit-Limit": "1"}, []),
    ],
)
def test_usage_headers(adapter, headers, usages):
    assert read_usage(httpx.Headers(headers), dialect_of(adapter), START) == usages


def test_every_sign_is_reachable():
    for dialect in DIALECTS.values():
        assert all(400 <= sign.status < 500 for sign in dialect.signs)
