"""API keys and the audit log, by page and by API."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from churnguard import audit
from churnguard.auth import create_api_key
from churnguard.models import ApiKey, AuditEntry, Organization, User

pytestmark = pytest.mark.django_db


def test_a_key_is_made_shown_once_used_and_revoked(
    client: Client, api: Any, alice: User
) -> None:
    client.force_login(alice)

    page = client.post(
        "/settings/api-keys/",
        {"name": "export", "scopes": ["read"], "lifetime_days": "30"},
    )
    plain = re.search(rb'id="new-key">(cg_[\w-]{43})<', page.content)[1].decode()
    key = ApiKey.objects.get()

    assert page["Cache-Control"].startswith("max-age=0, no-cache, no-store")
    assert plain.encode() not in client.get("/settings/api-keys/").content
    assert plain not in str(ApiKey.objects.values().get())
    assert plain not in str(list(AuditEntry.objects.values()))
    assert timedelta(days=29) < key.expires_at - timezone.now() < timedelta(days=30)
    assert api(key=plain).get("/api/v1/members").status_code == 200
    assert api(key=plain).get("/api/v1/api-keys").status_code == 403
    key.refresh_from_db()
    assert key.last_used_at is not None

    client.post(f"/settings/api-keys/{key.public_id}/revoke/")
    refused = api(key=plain).get("/api/v1/members")
    assert (refused.status_code, refused.json()["code"]) == (
        401,
        "authentication_failed",
    )
    entries = AuditEntry.objects.order_by("pk").values_list("action", "actor")
    assert list(entries) == [
        ("api_key.created", alice.email),
        ("api_key.revoked", alice.email),
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"name": "x", "scopes": []},
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": ["root"]},
        {"name": "x" * 121, "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"},
        {"name": "x", "scopes": "read"},
        {},
    ],
)
def test_a_key_needs_name_scopes_and_a_future(
    api: Any, alice: User, given: dict[str, Any]
) -> None:
    response = api(alice).post("/api/v1/api-keys", given, format="json")

    assert response.status_code == 400
    assert response.json()["code"] == "invalid"
    assert response.json()["fields"]
    assert ApiKey.objects.count() == 0


def test_the_api_makes_lists_and_revokes(api: Any, alice: User) -> None:
    client = api(alice)
    ends = "2126-01-01T00:00:00Z"

    made = client.post(
        "/api/v1/api-keys",
        {"name": "door", "scopes": ["ingest", "ingest"], "expires_at": ends},
        format="json",
    )
    body = made.json()
    plain = body.pop("key")
    listed = client.get("/api/v1/api-keys").json()

    assert made.status_code == 201
    assert made["Cache-Control"] == "no-store"
    assert plain.startswith(body["prefix"])
    assert (body["scopes"], body["state"], body["expires_at"]) == (
        ["ingest"],
        "active",
        ends,
    )
    assert listed == {"results": [body], "next": None}

    for _ in range(2):
        assert client.delete(f"/api/v1/api-keys/{body['id']}").status_code == 204
    assert client.get("/api/v1/api-keys").json()["results"][0]["state"] == "revoked"
    assert AuditEntry.objects.filter(action="api_key.revoked").count() == 1


def test_page_and_api_show_the_same_keys(
    client: Client, api: Any, org: Organization, alice: User
) -> None:
    past = timezone.now() - timedelta(days=1)
    for name, more in (("a", {}), ("b", {"expires_at": past})):
        create_api_key(org, name, ["read"], **more)
    client.force_login(alice)

    page = client.get("/settings/api-keys/")
    body = api(alice).get("/api/v1/api-keys").json()

    shown = [(key.name, state) for key, state in page.context["rows"]]
    assert shown == [("b", "expired"), ("a", "active")]
    assert [(row["name"], row["state"]) for row in body["results"]] == shown


@pytest.mark.parametrize(
    ("role", "status"),
    [("owner", 200), ("admin", 200), ("analyst", 403), ("viewer", 403)],
)
@pytest.mark.parametrize("name", ["api-keys", "audit"])
def test_only_admins_see_keys_and_audit(
    client: Client, api: Any, member: Any, role: str, status: int, name: str
) -> None:
    user = member(role)
    client.force_login(user)

    assert client.get(f"/settings/{name}/").status_code == status
    assert api(user).get(f"/api/v1/{name}").status_code == status
    assert api().get(f"/api/v1/{name}").status_code == 401


def test_a_stranger_finds_no_key(
    client: Client, api: Any, org: Organization, alice: User, charlie: User
) -> None:
    key, _plain = create_api_key(org, "a", ["read"])
    client.force_login(charlie)

    assert api(charlie).delete(f"/api/v1/api-keys/{key.public_id}").status_code == 404
    path = f"/settings/api-keys/{key.public_id}/revoke/"
    assert client.post(path).status_code == 404
    assert api(charlie).get("/api/v1/api-keys").json()["results"] == []
    key.refresh_from_db()
    assert key.revoked_at is None


def _entries(org: Organization, count: int) -> None:
    for number in range(count):
        AuditEntry.objects.create(
            organization=org,
            actor=f"p{number % 2}@example.com",
            action="member.invited" if number % 3 else "api_key.created",
            target_type="x",
            target_id=f"t{number}",
            after={"n": number},
        )


def test_the_audit_log_comes_in_pages_and_filters(
    client: Client, api: Any, org: Organization, other_org: Organization, alice: User
) -> None:
    _entries(org, 7)
    _entries(other_org, 2)
    get = api(alice).get

    first = get("/api/v1/audit", {"limit": 4}).json()
    rest = get("/api/v1/audit", {"limit": 4, "cursor": first["next"]}).json()
    assert [row["target_id"] for row in first["results"]] == ["t6", "t5", "t4", "t3"]
    assert [row["target_id"] for row in rest["results"]] == ["t2", "t1", "t0"]
    assert rest["next"] is None

    def ids(**query: str) -> list[str]:
        rows = get("/api/v1/audit", query).json()["results"]
        return [row["target_id"] for row in rows]

    assert ids(action="api_key") == ["t6", "t3", "t0"]
    assert ids(actor="p1@") == ["t5", "t3", "t1"]
    assert ids(target="t4") == ["t4"]
    assert ids(since="2100-01-01") == []
    assert len(ids(until="2100-01-01T00:00:00Z")) == 7

    client.force_login(alice)
    page = client.get("/settings/audit/", {"action": "api_key"})
    shown = [row.target_id for row, _changes in page.context["rows"]]
    assert shown == ["t6", "t3", "t0"]
    page = client.get("/settings/audit/", {"limit": 4, "after": first["next"]})
    shown = [row.target_id for row, _changes in page.context["rows"]]
    assert shown == ["t2", "t1", "t0"]


def test_the_audit_page_says_what_changed_and_folds_long_entries(
    client: Client, org: Organization, alice: User
) -> None:
    def entry(before: dict[str, Any], after: dict[str, Any]) -> str:
        AuditEntry.objects.all().delete()
        audit.record(
            "ann@example.com",
            "x.changed",
            organization=org,
            target_type="x",
            target_id="x",
            before=before,
            after=after,
        )
        page = client.get("/settings/audit/").content.decode()
        return re.sub(r"\s+", " ", page.partition('<td class="what wide">')[2])

    client.force_login(alice)

    changed = entry({"name": "old", "tags": []}, {"name": "new", "tags": ["a", "b"]})
    assert "<dt>name</dt> <dd><del>old</del>" in changed
    assert "<span>new</span>" in changed
    assert "<span>[&quot;a&quot;, &quot;b&quot;]</span>" in changed
    assert "<details>" not in changed
    removed = entry({"name": "old"}, {"name": ""})
    assert '<del>old</del> <span class="muted">removed</span>' in removed
    many = entry({}, {"a": 1, "b": 2, "c": 3, "d": 4, "empty": {}})
    assert "<details><summary>4 values</summary>" in many
    assert "empty" not in many.partition("</details>")[0]


@pytest.mark.parametrize(
    "query",
    [{"since": "soon"}, {"until": "2026-13-01"}, {"cursor": "x"}, {"limit": "0"}],
)
def test_a_bad_filter_is_a_400(
    client: Client, api: Any, alice: User, query: dict[str, str]
) -> None:
    client.force_login(alice)

    assert api(alice).get("/api/v1/audit", query).status_code == 400
    query = {"after" if k == "cursor" else k: v for k, v in query.items()}
    assert client.get("/settings/audit/", query).status_code == 400


@pytest.mark.parametrize("name", ["actor", "action", "target"])
def test_a_filter_no_text_can_hold_finds_what_is_left_of_it(
    client: Client, alice: User, name: str
) -> None:
    client.force_login(alice)

    page = client.get("/settings/audit/", {name: "nobody\x00"})

    assert page.status_code == 200
    assert page.context["rows"] == []


def test_lists_take_the_same_queries_for_any_number_of_rows(
    api: Any, org: Organization, alice: User
) -> None:
    client = api(alice)
    counts = []
    for _ in range(2):
        for number in range(5):
            create_api_key(org, f"k{number}", ["read"], created_by=alice)
        _entries(org, 5)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            client.get("/api/v1/api-keys")
            client.get("/api/v1/audit")
            client.get("/api/v1/members")
        counts.append(len(queries))

    assert counts[0] == counts[1]
