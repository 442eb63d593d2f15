"""Members, roles and invitations, by page and by API."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from churnguard.auth import create_api_key
from churnguard.models import AuditEntry, Invitation, Membership, Organization, User

pytestmark = pytest.mark.django_db

PASSWORD = "a-long-passphrase-7"


@pytest.fixture
def as_(client: Client) -> Callable[[User], Client]:
    def sign_in(user: User) -> Client:
        client.force_login(user)
        return client

    return sign_in


@pytest.fixture
def link(as_: Any, alice: User, org: Organization) -> str:
    """The path of a fresh invitation of dora as an analyst; nobody is signed in."""
    client = as_(alice)
    page = client.post(
        "/settings/members/", {"email": "Dora@example.com", "role": "analyst"}
    )
    client.logout()
    return _link(page.content)


def _link(content: bytes) -> str:
    found = re.search(rb"http://testserver(/invitations/[\w-]+/)", content)
    assert found is not None
    return found[1].decode()


def _role(user: User) -> str:
    return Membership.objects.get(user=user).role


def _id(user: User) -> int:
    return Membership.objects.get(user=user).pk


def test_an_invited_person_makes_an_account_and_joins(
    client: Client, org: Organization, link: str
) -> None:
    page = client.get(link)
    weak = client.post(link, {"name": "Dora", "password": "12345678"})
    joined = client.post(link, {"name": "Dora", "password": PASSWORD})

    assert page.status_code == 200
    assert b"dora@example.com" in page.content
    assert weak.status_code == 422
    assert (joined.status_code, joined["Location"]) == (302, "/")
    membership = Membership.objects.get(user__email="dora@example.com")
    assert (membership.organization, membership.role) == (org, "analyst")
    assert client.get("/settings/members/").status_code == 200
    assert AuditEntry.objects.get(action="member.joined").actor == "dora@example.com"


def test_the_address_of_an_invitation_cannot_be_changed(
    client: Client, link: str
) -> None:
    given = {"name": "Eve", "password": PASSWORD, "email": "eve@example.com"}
    client.post(link, given)

    assert not User.objects.filter(email="eve@example.com").exists()
    assert User.objects.filter(email="dora@example.com").exists()


def test_a_link_works_once(client: Client, link: str) -> None:
    client.post(link, {"name": "Dora", "password": PASSWORD})
    client.logout()

    for response in (client.get(link), client.post(link, {"password": PASSWORD})):
        assert response.status_code == 404
    assert Membership.objects.filter(user__email="dora@example.com").count() == 1


@pytest.mark.parametrize(
    "change",
    [
        {"expires_at": timezone.now() - timedelta(seconds=1)},
        {"revoked_at": timezone.now()},
        {"accepted_at": timezone.now()},
    ],
)
def test_an_ended_link_is_gone(
    client: Client, link: str, change: dict[str, Any]
) -> None:
    Invitation.objects.update(**change)

    assert client.get(link).status_code == 404
    assert client.post(link, {"name": "D", "password": PASSWORD}).status_code == 404
    assert not User.objects.filter(email="dora@example.com").exists()


def test_a_known_person_signs_in_first_and_joins(client: Client, link: str) -> None:
    dora = User.objects.create_user("dora@example.com", PASSWORD)

    asked = client.get(link)
    forced = client.post(link, {"name": "x", "password": "another-passphrase-8"})
    client.force_login(dora)
    joined = client.post(link)

    assert f"/sign-in/?next={link}".encode() in asked.content
    assert b"Sign in with it" in forced.content
    dora.refresh_from_db()
    assert dora.check_password(PASSWORD)
    assert joined.status_code == 302
    assert _role(dora) == "analyst"


def test_an_invitation_is_of_no_use_to_another_person(
    client: Client, link: str, charlie: User
) -> None:
    client.force_login(charlie)

    page = client.post(link)

    assert b"This invitation is for someone else" in page.content
    assert Membership.objects.filter(user=charlie).count() == 1


def test_a_second_invitation_replaces_the_first(
    as_: Any, alice: User, link: str
) -> None:
    client = as_(alice)
    page = client.post(
        "/settings/members/", {"email": "dora@example.com", "role": "viewer"}
    )
    client.logout()

    assert client.get(link).status_code == 404
    assert client.get(_link(page.content)).status_code == 200


def test_the_link_is_shown_once_and_only_its_hash_is_kept(
    as_: Any, alice: User, link: str
) -> None:
    token = link.split("/")[2]
    row = Invitation.objects.values().get()

    assert token not in str(row)
    assert token not in str(list(AuditEntry.objects.values()))
    assert token.encode() not in as_(alice).get("/settings/members/").content


@pytest.mark.parametrize(
    ("role", "invites", "status"),
    [
        ("owner", "owner", 201),
        ("admin", "owner", 403),
        ("admin", "admin", 201),
        ("analyst", "viewer", 403),
        ("viewer", "viewer", 403),
    ],
)
def test_who_may_invite_whom(
    api: Any, member: Any, role: str, invites: str, status: int
) -> None:
    client = api(member(role))

    response = client.post(
        "/api/v1/members", {"email": "new@example.com", "role": invites}, format="json"
    )

    assert response.status_code == status
    assert Invitation.objects.count() == (1 if status == 201 else 0)


@pytest.mark.parametrize(
    ("role", "target", "new", "status"),
    [
        ("owner", "viewer", "owner", 200),
        ("owner", "viewer", "king", 400),
        ("admin", "viewer", "admin", 200),
        ("admin", "viewer", "owner", 403),
        ("admin", "owner", "viewer", 403),
        ("analyst", "viewer", "analyst", 403),
    ],
)
def test_who_may_change_whose_role(
    api: Any, member: Any, role: str, target: str, new: str, status: int
) -> None:
    member("owner")
    acting, other = member(role), member(target)

    response = api(acting).patch(
        f"/api/v1/members/{_id(other)}", {"role": new}, format="json"
    )

    assert response.status_code == status
    assert _role(other) == (new if status == 200 else target)


def test_the_last_owner_stays(api: Any, alice: User, bob: User) -> None:
    client = api(alice)
    path = f"/api/v1/members/{_id(alice)}"

    for response in (
        client.patch(path, {"role": "admin"}, format="json"),
        client.delete(path),
    ):
        assert response.status_code == 400
        assert response.json()["code"] == "last_owner"
    assert _role(alice) == "owner"

    client.patch(f"/api/v1/members/{_id(bob)}", {"role": "owner"}, format="json")
    assert client.delete(path).status_code == 204
    assert not Membership.objects.filter(user=alice).exists()
    left = AuditEntry.objects.get(action="member.left")
    assert left.before == {"email": "alice@example.com", "role": "owner"}


@pytest.mark.parametrize(
    ("role", "status"), [("admin", 204), ("analyst", 403), ("viewer", 403)]
)
def test_who_may_remove_a_member(
    api: Any, member: Any, bob: User, role: str, status: int
) -> None:
    response = api(member(role)).delete(f"/api/v1/members/{_id(bob)}")

    assert response.status_code == status
    assert Membership.objects.filter(user=bob).exists() == (status != 204)


def test_anybody_may_leave(api: Any, alice: User, bob: User) -> None:
    assert api(bob).delete(f"/api/v1/members/{_id(bob)}").status_code == 204
    assert not Membership.objects.filter(user=bob).exists()


def test_a_key_acts_as_an_admin(
    api: Any, org: Organization, alice: User, bob: User
) -> None:
    client = api(key=create_api_key(org, "ops", ["admin"], created_by=alice)[1])

    made = client.patch(f"/api/v1/members/{_id(bob)}", {"role": "owner"}, format="json")
    removed = client.delete(f"/api/v1/members/{_id(alice)}")
    changed = client.patch(
        f"/api/v1/members/{_id(bob)}", {"role": "analyst"}, format="json"
    )

    assert [made.status_code, removed.status_code] == [403, 403]
    assert (changed.status_code, changed.json()["role"]) == (200, "analyst")
    assert AuditEntry.objects.get().actor == "key:ops"


def test_a_stranger_finds_nothing(
    api: Any, as_: Any, alice: User, bob: User, charlie: User, link: str
) -> None:
    invitation = Invitation.objects.get()
    stranger = api(charlie)

    for response in (
        stranger.patch(f"/api/v1/members/{_id(bob)}", {"role": "admin"}, format="json"),
        stranger.delete(f"/api/v1/members/{_id(bob)}"),
        stranger.delete(f"/api/v1/invitations/{invitation.pk}"),
        as_(charlie).post(f"/settings/members/{_id(bob)}/role/", {"role": "admin"}),
        as_(charlie).post(f"/settings/members/{_id(bob)}/remove/"),
        as_(charlie).post(f"/settings/invitations/{invitation.pk}/revoke/"),
    ):
        assert response.status_code == 404
    assert _role(bob) == "viewer"
    assert [
        row["email"] for row in stranger.get("/api/v1/members").json()["results"]
    ] == ["charlie@example.com"]


def test_nobody_is_asked_to_sign_in(api: Any, client: Client) -> None:
    assert api().get("/api/v1/members").status_code == 401
    assert client.get("/settings/members/").status_code == 302


def test_page_and_api_show_the_same_people(
    api: Any, as_: Any, alice: User, bob: User, link: str
) -> None:
    body = api(alice).get("/api/v1/members").json()
    page = as_(alice).get("/settings/members/")

    assert [(row["email"], row["role"]) for row in body["results"]] == [
        (row["member"].user.email, row["member"].role) for row in page.context["rows"]
    ]
    assert [row["email"] for row in body["invitations"]] == ["dora@example.com"]
    assert b"dora@example.com" in page.content
    assert api(bob).get("/api/v1/members").json()["invitations"] == []
    assert b"dora@example.com" not in as_(bob).get("/settings/members/").content


def test_the_page_changes_and_removes(
    as_: Any, alice: User, bob: User, link: str
) -> None:
    client = as_(alice)
    invitation = Invitation.objects.get()

    client.post(f"/settings/members/{_id(bob)}/role/", {"role": "analyst"})
    assert _role(bob) == "analyst"
    client.post(f"/settings/members/{_id(bob)}/remove/")
    assert not Membership.objects.filter(user=bob).exists()
    client.post(f"/settings/invitations/{invitation.pk}/revoke/")
    assert client.get("/settings/members/").context["invitations"] == []

    assert list(
        AuditEntry.objects.order_by("pk").values_list("action", "before", "after")
    )[1:] == [
        ("member.role_changed", {"role": "viewer"}, {"role": "analyst"}),
        ("member.removed", {"email": bob.email, "role": "analyst"}, None),
        (
            "invitation.revoked",
            {"email": "dora@example.com", "role": "analyst"},
            None,
        ),
    ]


def test_a_viewer_cannot_use_the_page_s_forms(as_: Any, alice: User, bob: User) -> None:
    client = as_(bob)

    for path, given in (
        ("/settings/members/", {"email": "x@example.com", "role": "viewer"}),
        (f"/settings/members/{_id(alice)}/role/", {"role": "viewer"}),
        (f"/settings/members/{_id(alice)}/remove/", {}),
    ):
        assert client.post(path, given).status_code == 403
    assert AuditEntry.objects.count() == 0
