"""Error pages stand on their own, above all when the database does not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.http import Http404
from django.test import Client, RequestFactory
from django.urls import reverse

from churnguard.context import _entries
from churnguard.models import User
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


@pytest.mark.django_db
def test_a_form_of_another_sign_in_says_what_to_do(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    page = client.post("/settings/api-keys/", {"name": "x"})

    assert page.status_code == 403
    assert b"This form has expired" in page.content
    assert b'href="/settings/api-keys/"' in page.content


@pytest.mark.django_db
@pytest.mark.parametrize("role", ["owner", "admin", "analyst", "viewer"])
def test_the_navigation_leads_nobody_to_a_closed_door(
    client: Client, member: Callable[..., User], role: str
) -> None:
    client.force_login(member(role, email="m@example.com"))
    page = client.get("/").content.decode()

    for entry in _entries():
        url = reverse(entry.url_name)
        is_shown = f'<li><a href="{url}"' in page
        status = client.get(url).status_code
        assert (status, is_shown) in ((200, True), (403, False)), (entry, status)
