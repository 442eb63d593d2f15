"""What leaves for Sentry, and that nothing does without a DSN."""

from __future__ import annotations

from typing import Any

import sentry_sdk

from churnguard import sentry
from churnguard.crypto import MASK

KEY = "cg_" + "k" * 43


def test_off_without_a_dsn(settings: Any) -> None:
    settings.SENTRY_DSN = ""

    assert sentry.start() is False
    assert not sentry_sdk.get_client().is_active()


def test_on_with_one(settings: Any) -> None:
    settings.SENTRY_DSN = "http://public@127.0.0.1:9/1"
    try:
        assert sentry.start() is True
        options = sentry_sdk.get_client().options
    finally:
        sentry_sdk.init()

    assert not options["send_default_pii"]
    assert options["include_local_variables"] is False
    assert options["max_request_body_size"] == "never"
    assert options["before_send"] is sentry.clean


def test_persons_headers_and_secrets_stay_here() -> None:
    event = {
        "user": {"email": "alice@example.com"},
        "server_name": "host",
        "request": {
            "method": "POST",
            "url": "https://x.example/api/v1/members",
            "headers": {"Authorization": f"Bearer {KEY}"},
            "cookies": {"sessionid": "s"},
            "query_string": "since=1",
            "data": {"a": 1},
        },
        "exception": {"values": [{"type": "ValueError", "value": f"bad {KEY}"}]},
        "extra": {"password": "hunter2", "count": 3},
    }

    assert sentry.clean(event, {}) == {
        "request": {"method": "POST", "url": "https://x.example/api/v1/members"},
        "exception": {"values": [{"type": "ValueError", "value": f"bad {MASK}"}]},
        "extra": {"password": MASK, "count": 3},
    }
    crumb = sentry.clean_breadcrumb({"message": f"GET Bearer {KEY}"}, {})
    assert crumb == {"message": f"GET Bearer {MASK}"}
