"""Segments through HTTP: made, changed, tried out, archived, and used as filters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rest_framework.test import APIClient

from analytics.segments import changes
from churnguard.auth import create_api_key
from churnguard.models import (
    AuditEntry,
    Customer,
    CustomerSource,
    Organization,
    Source,
    Subscription,
    SubscriptionChange,
    Ticket,
    User,
)
from churnguard.sample import SEGMENTS
from tests.analytics.usage.events import Event, store_and_fold

URL = "/api/v1/analytics/segments"
PRO = {"field": "plan", "op": "=", "value": "Pro"}
LOW = {"field": "score", "op": "<", "value": 40}

Client = Callable[..., APIClient]


@pytest.fixture
def people(org: Organization) -> list[Customer]:
    """Ann and Bo on Pro, Cy on Basic; a stranger's customer is not among them."""
    return [
        Customer.objects.create(organization=org, name=name, plan=plan, score=score,
                                band=band, mrr_minor=mrr, segment=segment)
        for name, plan, score, band, mrr, segment in (
            ("Ann", "Pro", 30, "at_risk", 5000, "smb"),
            ("Bo", "Pro", 81, "healthy", 7000, "large"),
            ("Cy", "Basic", 20, "at_risk", None, "smb"),
        )
    ]  # fmt: skip


@pytest.fixture
def owner(api: Client, alice: User) -> APIClient:
    return api(alice)


def make(client: APIClient, name: str = "Pro plan", **extra: Any) -> dict[str, Any]:
    body = {"name": name, "definition": {"and": [PRO]}, **extra}
    answer = client.post(URL, body, format="json")
    assert answer.status_code == 201, answer.json()
    return dict(answer.json())


def names(client: APIClient, path: str) -> list[str]:
    answer = client.get(path)
    assert answer.status_code == 200, answer.json()
    return [row["name"] for row in answer.json()["results"]]


def test_a_new_segment_is_counted_at_once(
    owner: APIClient, people: list[Customer]
) -> None:
    made = make(owner, "Pro  plan ", description=" paying ")

    assert made["segment_id"].startswith("seg_")
    assert (made["name"], made["slug"]) == ("Pro plan", "pro-plan")
    assert (made["description"], made["version"]) == ("paying", 1)
    assert made["sentence"] == "Plan is Pro"
    assert made["created_by"] == "alice@example.com"
    assert made["is_archived"] is False
    counted = made["counted"]
    assert (counted["members"], counted["at_risk"]) == (2, 1)
    assert (counted["average_score"], counted["mrr_minor"]) == (55.5, 12000)
    assert (counted["entered"], counted["left"]) == (None, None)
    for ref in (made["segment_id"], "pro-plan"):
        assert owner.get(f"{URL}/{ref}").json() == made
    entry = AuditEntry.objects.get(action="segment.created")
    assert entry.target_id == made["segment_id"]
    assert entry.after["definition"] == {"and": [PRO]}


@pytest.mark.parametrize(
    "name",
    ["all", "At risk", "HIGH-RISK", "high_risk", "preview", "segment:x", "plan:Pro"],
)
def test_built_in_names_are_refused(owner: APIClient, name: str) -> None:
    answer = owner.post(URL, {"name": name, "definition": PRO}, format="json")

    assert answer.status_code == 400
    assert answer.json()["code"] == "name_built_in"
    assert "name" in answer.json()["fields"]


def test_the_sample_company_can_save_its_segments_twice(owner: APIClient) -> None:
    for segment in SEGMENTS:
        assert owner.post(URL, segment, format="json").status_code == 201
        again = owner.post(URL, segment, format="json")
        assert (again.status_code, again.json()["code"]) == (400, "name_taken")
    assert sorted(names(owner, URL)) == sorted(one["name"] for one in SEGMENTS)


def test_a_name_is_given_once_in_an_organisation(
    owner: APIClient, api: Client, charlie: User
) -> None:
    make(owner, "Paying")

    again = owner.post(URL, {"name": "PAYING", "definition": PRO}, format="json")
    assert (again.status_code, again.json()["code"]) == (400, "name_taken")
    assert make(owner, "Paying!")["slug"] == "paying-2"
    assert make(owner, "大口")["slug"].startswith("segment-")
    assert make(api(charlie), "Paying")["slug"] == "paying"


@pytest.mark.parametrize(
    ("definition", "field"),
    [
        (None, "definition"),
        ([PRO], "definition"),
        ({}, "definition.field"),
        ({"and": []}, "definition.and"),
        ({"and": [PRO], "or": [PRO]}, "definition"),
        ({"and": [PRO, {"field": "nope", "op": "=", "value": 1}]},
         "definition.and.1.field"),
        ({"or": [{"not": {"field": "plan", "op": "<", "value": "x"}}]},
         "definition.or.0.not.op"),
        ({"field": "score", "op": "=", "value": "40"}, "definition.value"),
        ({"field": "score", "op": "=", "value": True}, "definition.value"),
        ({"field": "score", "op": "between", "value": [9, 2]}, "definition.value"),
        ({"field": "score", "op": "in", "value": []}, "definition.value"),
        ({"field": "plan", "op": "=", "value": "a\x00b"}, "definition.value"),
        ({"field": "plan", "op": "is_set", "value": "x"}, "definition.value"),
        ({"field": "band", "op": "=", "value": "purple"}, "definition.value"),
        ({"field": "created_at", "op": "before", "value": "soon"}, "definition.value"),
        ({"field": "created_at", "op": "in_last_days", "value": 0}, "definition.value"),
        ({"field": "custom", "op": "=", "value": "x"}, "definition.path"),
        ({"field": "custom", "path": ["a"], "op": "=", "value": None},
         "definition.value"),
        ({"field": "usage.events", "op": ">", "value": 1}, "definition.days"),
        ({"field": "usage.events", "days": 900, "op": ">", "value": 1},
         "definition.days"),
        ({**PRO, "days": 3}, "definition.days"),
        ({"not": {"not": {"not": {"not": {"not": {"not": PRO}}}}}},
         "definition.not.not.not.not.not.not"),
        ({"and": [PRO] * 51}, "definition.and"),
        ({"and": [{"or": [PRO] * 26}, {"or": [PRO] * 26}]}, "definition"),
    ],
)  # fmt: skip
def test_faults_of_a_definition_are_named_by_their_path(
    owner: APIClient, definition: Any, field: str
) -> None:
    for path, body in (
        (URL, {"name": "x", "definition": definition}),
        (f"{URL}/preview", {"definition": definition}),
    ):
        answer = owner.post(path, body, format="json")
        assert answer.status_code == 400
        assert answer.json()["code"] == "invalid_definition"
        assert list(answer.json()["fields"]) == [field]


def test_changes_are_versions_and_audited(
    owner: APIClient, people: list[Customer]
) -> None:
    made = make(owner)
    path = f"{URL}/{made['slug']}"

    renamed = owner.patch(path, {"name": "Professional"}, format="json").json()
    assert (renamed["name"], renamed["slug"]) == ("Professional", "pro-plan")
    assert renamed["version"] == 1
    same = owner.patch(path, {"definition": {"and": [PRO]}}, format="json").json()
    assert same["version"] == 1
    narrowed = owner.patch(path, {"definition": {"and": [PRO, LOW]}}, format="json")
    assert narrowed.json()["version"] == 2
    assert narrowed.json()["counted"]["members"] == 1
    assert narrowed.json()["counted"]["version"] == 2
    assert narrowed.json()["sentence"] == "Plan is Pro and Health score below 40"
    bad = owner.patch(path, {"definition": {}, "name": "Other"}, format="json")
    assert bad.status_code == 400
    assert owner.get(path).json()["name"] == "Professional"
    entries = AuditEntry.objects.filter(action="segment.changed").order_by("pk")
    assert [sorted(entry.after) for entry in entries] == [
        ["name"],
        ["definition", "version"],
    ]
    assert entries[1].before["definition"] == {"and": [PRO]}


def test_an_archived_segment_leaves_lists_and_filters_and_can_come_back(
    owner: APIClient, people: list[Customer]
) -> None:
    made = make(owner)
    path = f"{URL}/{made['segment_id']}"

    assert owner.delete(path).status_code == 204
    assert owner.delete(path).status_code == 204
    assert AuditEntry.objects.filter(action="segment.archived").count() == 1
    assert names(owner, URL) == []
    assert names(owner, f"{URL}?archived=true") == ["Pro plan"]
    assert owner.get(path).json()["is_archived"] is True
    assert owner.get(f"{URL}/pro-plan").status_code == 404
    for ref in ("pro-plan", made["segment_id"]):
        answer = owner.get(f"/api/v1/customers?segment_id={ref}")
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_segment")
    assert make(owner)["slug"] == "pro-plan"
    back = owner.patch(path, {"is_archived": False}, format="json")
    assert back.json()["code"] == "name_taken"
    owner.patch(path, {"name": "Old"}, format="json")
    again = owner.patch(path, {"is_archived": False}, format="json")
    assert again.json()["code"] == "name_taken"


def test_the_list_is_paged_by_name(owner: APIClient) -> None:
    for name in ("b", "d", "a", "c", "e"):
        make(owner, name)
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        body = owner.get(f"{URL}?limit=2&cursor={cursor}").json()
        seen += [row["name"] for row in body["results"]]
        cursor = body["next"]

    assert seen == ["a", "b", "c", "d", "e"]
    assert owner.get(f"{URL}?cursor=x").status_code == 400
    assert owner.get(f"{URL}?limit=0").status_code == 400
    assert owner.get(f"{URL}?archived=maybe").status_code == 400


def test_the_number_of_segments_is_bounded(
    owner: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MOST_SEGMENTS", 2)
    make(owner, "a")
    make(owner, "b")

    answer = owner.post(URL, {"name": "c", "definition": PRO}, format="json")

    assert (answer.status_code, answer.json()["code"]) == (400, "too_many_segments")


def test_a_preview_counts_and_shows_the_first_by_name(
    owner: APIClient, people: list[Customer], other_org: Organization
) -> None:
    Customer.objects.create(organization=other_org, name="Aa", plan="Pro")
    definition = {"or": [PRO, {"field": "mrr_minor", "op": "is_not_set"}]}

    body = owner.post(
        f"{URL}/preview", {"definition": definition}, format="json"
    ).json()

    assert (body["members"], body["at_risk"], body["mrr_minor"]) == (3, 2, 12000)
    assert body["average_score"] == 43.7
    assert body["sentence"] == "Plan is Pro or MRR is not set"
    assert [row["name"] for row in body["results"]] == ["Ann", "Bo", "Cy"]
    assert names(owner, URL) == []


def test_fields_say_their_operators(owner: APIClient) -> None:
    rows = owner.get(f"{URL}/fields").json()["results"]
    by_name = {row["field"]: row for row in rows}

    assert by_name["band"]["choices"] == ["healthy", "watch", "at_risk", "unknown"]
    assert by_name["usage.events"]["asks"] == ["event", "days"]
    assert "is_set" not in by_name["support.open_tickets"]["ops"]
    assert "in_next_days" in by_name["billing.renewal_at"]["ops"]


def test_who_may_do_what(
    api: Client, org: Organization, alice: User, bob: User, charlie: User
) -> None:
    made = make(api(alice))
    path = f"{URL}/{made['segment_id']}"
    _, read = create_api_key(org, "reader", ["read"])
    _, write = create_api_key(org, "writer", ["write"])

    for client in (api(bob), api(key=read)):
        assert client.get(URL).status_code == 200
        assert client.get(path).status_code == 200
        assert client.get(f"{path}/trend").status_code == 200
        trial = client.post(f"{URL}/preview", {"definition": PRO}, format="json")
        assert trial.status_code == 200
        assert client.post(URL, {}, format="json").status_code == 403
        assert client.patch(path, {"name": "x"}, format="json").status_code == 403
        assert client.delete(path).status_code == 403
    stranger = api(charlie)
    for answer in (
        stranger.get(path),
        stranger.get(f"{path}/trend"),
        stranger.patch(path, {"name": "x"}, format="json"),
        stranger.delete(path),
    ):
        assert answer.status_code == 404
    assert names(stranger, URL) == []
    assert api().get(URL).status_code == 401
    assert make(api(key=write), "By key")["created_by"] == "key:writer"
    assert api(alice).get(path).json()["name"] == "Pro plan"


def test_lists_take_a_saved_segment_by_id_or_slug(
    owner: APIClient, people: list[Customer], api: Client, charlie: User
) -> None:
    made = make(owner)
    Customer.objects.filter(organization=people[0].organization).update(
        churn_probability=0.4, risk_minor=100
    )

    for ref in (made["segment_id"], made["slug"]):
        list_url = f"/api/v1/customers?order=name&segment_id={ref}"
        assert names(owner, list_url) == ["Ann", "Bo"]
        assert names(owner, f"{list_url}&band=at_risk") == ["Ann"]
        risk = owner.get(f"/api/v1/analytics/predictions/{ref}").json()
        assert sorted(row["name"] for row in risk["results"]) == ["Ann", "Bo"]
        assert risk["revenue_at_risk"]["sum"] == 200
    assert names(owner, "/api/v1/analytics/predictions/segment:smb") == ["Cy", "Ann"]
    unknown = owner.get("/api/v1/analytics/predictions/pro-plan-2")
    assert (unknown.status_code, unknown.json()["code"]) == (400, "unknown_segment")
    theirs = api(charlie).get(f"/api/v1/customers?segment_id={made['segment_id']}")
    assert (theirs.status_code, theirs.json()["code"]) == (400, "unknown_segment")


def test_usage_reports_count_only_members(owner: APIClient, org: Organization) -> None:
    now = datetime.now(UTC)
    pks = store_and_fold(
        org,
        [Event("in", "u1", "open", now - timedelta(hours=1), "1"),
         Event("in", "u2", "save", now - timedelta(minutes=20), "2"),
         Event("out", "u3", "open", now - timedelta(minutes=20), "3")],
    )  # fmt: skip
    Customer.objects.filter(pk=pks["in"]).update(plan="Pro")
    made = make(owner)
    query = f"segment_id={made['slug']}"

    for frame in ("1h", "24h", "7d", "12m"):
        whole = owner.get(f"/api/v1/analytics/usage-trends/{frame}").json()["total"]
        part = owner.get(f"/api/v1/analytics/usage-trends/{frame}?{query}").json()
        assert whole - part["total"] == 1, frame
    active = owner.get(f"/api/v1/analytics/usage/active?unit=user&{query}").json()
    assert active["points"][-1]["mau"] == 2
    adoption = owner.get(f"/api/v1/analytics/usage/adoption?{query}").json()
    assert adoption["active"] == 1
    funnel = owner.get(f"/api/v1/analytics/usage/funnel?steps=open,save&{query}").json()
    assert (funnel["members"], funnel["completed"]) == (1, 1)
    cycle = owner.get(f"/api/v1/analytics/usage/lifecycle?{query}").json()
    assert cycle["buckets"][-1]["new"] == 1
    kept = owner.get(f"/api/v1/analytics/usage/retention?{query}").json()
    assert sum(row["size"] for row in kept["cohorts"]) == 1
    for report in ("usage-trends/7d", "usage/active", "usage/retention", "support"):
        answer = owner.get(f"/api/v1/analytics/{report}?segment_id=none-such")
        assert answer.status_code == 400
        assert "segment_id" in answer.json()["fields"]


def test_support_and_revenue_count_only_members(
    owner: APIClient, org: Organization, people: list[Customer]
) -> None:
    now = datetime.now(UTC)
    source = Source.objects.create(organization=org, name="desk")
    for n, person in enumerate(people):
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id=str(n), customer=person
        )
        shared = {
            "organization": org,
            "source": source,
            "external_id": str(n),
            "customer_source": ref,
        }
        Ticket.objects.create(**shared, opened_at=now - timedelta(days=2))
        began = now - timedelta(days=40)
        paid = Subscription.objects.create(
            **shared, status="active", currency="USD", mrr_minor=1000 * (n + 1),
            started_at=began,
        )  # fmt: skip
        SubscriptionChange.objects.create(
            organization=org, subscription=paid, effective_at=began, known_at=began,
            status="active", currency="USD", mrr_minor=1000 * (n + 1),
        )  # fmt: skip
    made = make(owner)
    query = f"segment_id={made['slug']}"

    assert made["counted"]["mrr_by_currency"] == {"USD": 3000}
    support = owner.get(f"/api/v1/analytics/support?{query}").json()
    assert support["total"]["volume"] == 2
    assert sorted(row["name"] for row in support["customers"]) == ["Ann", "Bo"]
    assert owner.get("/api/v1/analytics/support").json()["total"]["volume"] == 3
    money = owner.get(f"/api/v1/analytics/revenue?{query}").json()
    assert money["totals"]["mrr_end_minor"] == 3000
    assert money["totals"]["customers_end"] == 2
    whole = owner.get("/api/v1/analytics/revenue").json()
    assert whole["totals"]["mrr_end_minor"] == 6000
    moved = owner.get(f"/api/v1/analytics/revenue/movements?{query}").json()
    assert (moved["count"], moved["amount_minor"]) == (2, 3000)
    assert owner.get(
        f"/api/v1/analytics/revenue/recognition?{query}"
    ).status_code == 200  # fmt: skip
    bad = owner.get("/api/v1/analytics/revenue?segment_id=none-such")
    assert "segment_id" in bad.json()["fields"]
