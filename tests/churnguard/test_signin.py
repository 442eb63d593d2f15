"""Signing in and out, switching organisations, and the account."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from churnguard import attempts
from churnguard.models import AuditEntry, Membership, Organization, Role, User

pytestmark = pytest.mark.django_db

GOOD = {"username": "alice@example.com", "password": "pw"}
REFUSED = "This e-mail address and password do not match."


def test_a_person_signs_in_and_out(client: Client, alice: User) -> None:
    client.cookies.clear()
    page = client.get("/sign-in/")
    response = client.post("/sign-in/", GOOD)

    assert page.status_code == 200
    assert b'autocomplete="current-password"' in page.content
    assert b'autocomplete="username"' in page.content
    assert (response.status_code, response["Location"]) == (302, "/")
    assert client.get("/account/").status_code == 200

    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/").status_code == 302
    assert client.get("/account/")["Location"] == "/sign-in/?next=/account/"


@pytest.mark.parametrize(
    "given",
    [
        {"username": "alice@example.com", "password": "wrong"},
        {"username": "nobody@example.com", "password": "pw"},
        {"username": "gone@example.com", "password": "pw"},
        {"username": "' OR 1=1 --@x.io", "password": "pw"},
    ],
)
def test_wrong_unknown_and_inactive_answer_alike(
    client: Client, alice: User, given: dict[str, str]
) -> None:
    User.objects.create_user("gone@example.com", "pw", is_active=False)

    response = client.post("/sign-in/", given)

    assert response.status_code == 422
    assert response.context["form"].non_field_errors() == [REFUSED]
    assert settings.SESSION_COOKIE_NAME not in client.cookies


def test_the_address_is_not_case_sensitive(client: Client, alice: User) -> None:
    response = client.post("/sign-in/", {**GOOD, "username": "Alice@Example.COM"})

    assert response.status_code == 302


def test_too_many_failures_have_to_wait(client: Client, alice: User) -> None:
    for _ in range(attempts.PER_ACCOUNT):
        assert client.post("/sign-in/", {**GOOD, "password": "no"}).status_code == 422

    assert client.post("/sign-in/", GOOD).status_code == 429
    elsewhere = Client(REMOTE_ADDR="192.0.2.7")
    assert elsewhere.post("/sign-in/", GOOD).status_code == 302


def test_one_address_cannot_try_every_account(
    client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "PER_ADDRESS", 3)
    for number in range(3):
        given = {"username": f"x{number}@example.com", "password": "no"}
        assert client.post("/sign-in/", given).status_code == 422

    assert client.post("/sign-in/", GOOD).status_code == 429


def test_success_clears_the_count(client: Client, alice: User) -> None:
    for _ in range(attempts.PER_ACCOUNT - 1):
        client.post("/sign-in/", {**GOOD, "password": "no"})
    client.post("/sign-in/", GOOD)
    client.post("/sign-out/")

    for _ in range(attempts.PER_ACCOUNT - 1):
        client.post("/sign-in/", {**GOOD, "password": "no"})
    assert client.post("/sign-in/", GOOD).status_code == 302


def test_without_the_cache_people_still_sign_in(
    client: Client, alice: User, settings: Any
) -> None:
    settings.CACHES = {
        "default": {**settings.CACHES["default"], "LOCATION": "unix:///nowhere.sock"}
    }

    assert client.post("/sign-in/", {**GOOD, "password": "no"}).status_code == 422
    assert client.post("/sign-in/", GOOD).status_code == 302


def test_a_planted_session_is_not_the_signed_in_one(
    client: Client, alice: User
) -> None:
    session = client.session
    session["planted"] = True
    session.save()
    planted = client.session.session_key

    client.post("/sign-in/", GOOD)

    assert client.session.session_key != planted
    attacker = Client()
    attacker.cookies[settings.SESSION_COOKIE_NAME] = planted
    assert attacker.get("/account/").status_code == 302


@pytest.mark.parametrize(
    ("wanted", "landed"),
    [
        ("/settings/members/", "/settings/members/"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_only_our_own_addresses_follow_the_sign_in(
    client: Client, alice: User, wanted: str, landed: str
) -> None:
    response = client.post("/sign-in/", {**GOOD, "next": wanted})

    assert response["Location"] == landed


@pytest.mark.parametrize(
    "path",
    [
        "/sign-in/",
        "/sign-out/",
        "/account/",
        "/organizations/switch/",
        "/settings/members/",
        "/settings/api-keys/",
    ],
)
def test_a_post_without_the_form_s_token_is_refused(alice: User, path: str) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice)

    assert client.post(path, GOOD).status_code == 403


def test_switching_goes_to_an_organisation_of_mine_only(
    client: Client, bob: User, org: Organization, other_org: Organization
) -> None:
    third = Organization.objects.create(name="Third")
    Membership.objects.create(organization=other_org, user=bob, role=Role.ADMIN)
    client.force_login(bob)

    assert client.get("/account/").wsgi_request.organization == org
    response = client.post(
        "/organizations/switch/", {"organization": other_org.public_id}
    )
    assert response["Location"] == "/"
    assert client.get("/account/").wsgi_request.organization == other_org
    for wanted in (third.public_id, "", "org_nowhere"):
        refused = client.post("/organizations/switch/", {"organization": wanted})
        assert refused.status_code == 404
    assert client.get("/organizations/").wsgi_request.organization == other_org


def test_a_person_without_an_organisation_is_told_so(client: Client) -> None:
    client.force_login(User.objects.create_user("loner@example.com", "pw"))

    assert client.get("/settings/members/").status_code == 403
    page = client.get("/account/")
    assert b"You belong to no organisation" in page.content


def test_changing_the_password_ends_other_sessions(
    client: Client, alice: User, org: Organization
) -> None:
    client.force_login(alice)
    elsewhere = Client()
    elsewhere.force_login(alice)
    given = {"old_password": "pw", "new_password1": "a-long-passphrase-7"}

    refused = client.post("/account/", {**given, "new_password2": "another"})
    changed = client.post(
        "/account/", {**given, "new_password2": given["new_password1"]}
    )

    assert (refused.status_code, changed.status_code) == (422, 302)
    assert client.get("/account/").status_code == 200
    assert elsewhere.get("/account/").status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("a-long-passphrase-7")
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.actor) == ("user.password_changed", alice.email)
    assert (entry.before, entry.after) == (None, None)
