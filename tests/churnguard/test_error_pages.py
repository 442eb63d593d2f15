"""Error pages stand on their own, above all when the database does not."""

from __future__ import annotations

import pytest
from django.http import Http404
from django.test import RequestFactory

from churnguard.views import errors


def test_the_500_page_needs_no_database() -> None:
    # No `db` fixture: any query would fail this test.
    request = RequestFactory().get("/customers/")
    request.request_id = "req-500"

    answer = errors.server_error(request)

    assert answer.status_code == 500
    assert b"Something failed on our side" in answer.content
    assert b"req-500" in answer.content


def test_api_errors_stay_json() -> None:
    answer = errors.not_found(RequestFactory().get("/api/v1/x"), Http404())

    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_every_error_page_has_a_heading_and_a_way_out(status: int) -> None:
    from django.template.loader import render_to_string

    html = render_to_string(f"errors/{status}.html", {"request_id": "req-1"})

    assert html.count("<h1") == 1
    assert 'href="/"' in html
    assert "req-1" in html
