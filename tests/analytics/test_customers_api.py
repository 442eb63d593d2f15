"""The customer list, health and usage trends through HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from analytics import rollups, scoring
from churnguard.auth import create_api_key
from churnguard.models import (
    Customer,
    CustomerSource,
    Organization,
    Source,
    Subscription,
    User,
)
from tests.analytics.test_rollups import make_ref, store


@pytest.fixture
def source(org: Organization) -> Source:
    return Source.objects.create(organization=org, name="web")


@pytest.fixture
def key(org: Organization) -> dict[str, str]:
    _, plain = create_api_key(org, "reader", ["read"])
    return {"HTTP_AUTHORIZATION": f"Bearer {plain}"}


def add(org: Organization, name: str, score: int | None, **extra: object) -> Customer:
    return Customer.objects.create(organization=org, name=name, score=score, **extra)


def ids(client: Client, key: dict[str, str], query: str = "") -> list[str]:
    """All names over all pages of two."""
    names: list[str] = []
    cursor = ""
    for _ in range(20):
        answer = client.get(
            f"/api/v1/customers?limit=2&cursor={cursor}{query}", **key
        ).json()
        names += [row["name"] for row in answer["results"]]
        cursor = answer["next"]
        if cursor is None:
            return names
    raise AssertionError("the pages never end")


def test_pages_follow_the_order_and_lose_nobody(
    client: Client, org: Organization, key: dict[str, str], other_org: Organization
) -> None:
    for name, score in (("a", 50), ("b", None), ("c", 50), ("d", 10), ("e", None)):
        add(org, name, score)
    add(other_org, "stranger", 1)

    assert ids(client, key) == ["d", "a", "c", "b", "e"]
    assert ids(client, key, "&order=-score") == ["c", "a", "d", "b", "e"]
    assert ids(client, key, "&order=-name") == ["e", "d", "c", "b", "a"]
    assert ids(client, key, "&min_score=20&max_score=50") == ["a", "c"]


def test_search_finds_names_domains_and_source_ids(
    client: Client, org: Organization, key: dict[str, str], source: Source
) -> None:
    add(org, "Birch Labs", 50, domain="birch.example")
    make_ref(org, source, "acct_42")

    assert ids(client, key, "&search=irch+l") == ["Birch Labs"]
    assert ids(client, key, "&search=birch.example") == ["Birch Labs"]
    assert ids(client, key, "&search=acct_42") == ["acct_42"]
    assert ids(client, key, "&search=%00") == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("order=size", "order"),
        ("band=purple", "band"),
        ("min_score=x", "min_score"),
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("cursor=abc", "cursor"),
    ],
)
def test_bad_parameters_are_named(
    client: Client, key: dict[str, str], query: str, field: str
) -> None:
    answer = client.get(f"/api/v1/customers?{query}", **key)

    assert answer.status_code == 400
    assert field in answer.json()["fields"]


def test_health_is_found_by_our_id_and_by_the_source_id(
    client: Client, org: Organization, key: dict[str, str], source: Source
) -> None:
    ref = make_ref(org, source, "acct/42")
    now = timezone.now()
    store(org, source, [(ref, now - timedelta(days=n), "login") for n in range(100)])
    rollups.fold(now)
    scoring.score_stale(now)

    for customer_id in (ref.customer.public_id, "web:acct%2F42"):
        body = client.get(
            f"/api/v1/analytics/customer-health/{customer_id}", **key
        ).json()
        assert body["customer_id"] == ref.customer.public_id
        lost = sum(r["points_lost"] for c in body["components"] for r in c["reasons"])
        assert body["score"] + lost == 100
        assert body["sources"][0]["external_id"] == "acct/42"


def test_one_id_in_two_sources_asks_which(
    client: Client, org: Organization, key: dict[str, str], source: Source
) -> None:
    other = Source.objects.create(organization=org, name="crm")
    make_ref(org, source, "7")
    wanted = make_ref(org, other, "7")

    answer = client.get("/api/v1/analytics/customer-health/7", **key)
    assert (answer.status_code, answer.json()["code"]) == (400, "ambiguous_customer")

    answer = client.get("/api/v1/analytics/customer-health/crm:7", **key)
    assert answer.json()["customer_id"] == wanted.customer.public_id


def test_a_stranger_gets_404_and_nobody_401(
    client: Client, org: Organization, other_org: Organization
) -> None:
    customer = add(org, "a", 50)
    _, plain = create_api_key(other_org, "k", ["read"])
    path = f"/api/v1/analytics/customer-health/{customer.public_id}"

    assert client.get(path).status_code == 401
    stranger = client.get(path, HTTP_AUTHORIZATION=f"Bearer {plain}")
    assert stranger.status_code == 404
    assert stranger.json() == {
        "detail": "Not found.",
        "code": "not_found",
        "fields": {},
    }


def test_recompute_needs_the_scope_write(
    client: Client, org: Organization, key: dict[str, str]
) -> None:
    customer = add(org, "a", 50)
    path = f"/api/v1/analytics/customer-health/{customer.public_id}"
    _, plain = create_api_key(org, "writer", ["write"])

    assert client.post(path, **key).status_code == 403
    done = client.post(path, HTTP_AUTHORIZATION=f"Bearer {plain}")
    assert done.status_code == 200
    assert done.json()["score"] is None


@pytest.mark.parametrize("frame", ["1h", "24h", "7d", "30d", "90d", "12m"])
def test_trends_count_each_event_once(
    client: Client, org: Organization, key: dict[str, str], source: Source, frame: str
) -> None:
    now = timezone.now()
    ref, other = make_ref(org, source, "a"), make_ref(org, source, "b")
    Customer.objects.filter(pk=other.customer_id).update(segment="smb")
    store(
        org,
        source,
        [(ref, now, "login"), (ref, now, "export"), (other, now, "login")],
    )
    rollups.fold(now)

    def total(query: str = "") -> int:
        answer = client.get(f"/api/v1/analytics/usage-trends/{frame}{query}", **key)
        assert answer.status_code == 200
        body = answer.json()
        assert body["total"] == sum(point["events"] for point in body["points"])
        return int(body["total"])

    assert total() == 3
    assert total("?event=login") == 2
    assert total(f"?customer_id={ref.customer.public_id}") == 2
    assert total("?segment=smb") == 1


def test_an_unknown_timeframe_names_the_known_ones(
    client: Client, key: dict[str, str]
) -> None:
    answer = client.get("/api/v1/analytics/usage-trends/5y", **key)

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_timeframe"


def test_trend_buckets_follow_the_organisations_zone(
    client: Client, org: Organization, key: dict[str, str], source: Source
) -> None:
    org.timezone = "Pacific/Auckland"
    org.save()
    ref = make_ref(org, source, "a")
    now = timezone.now()
    store(org, source, [(ref, now, "login")])
    rollups.fold(now)

    body = client.get("/api/v1/analytics/usage-trends/7d", **key).json()

    assert body["points"][-1]["events"] == 1
    assert datetime.fromisoformat(body["points"][0]["at"]).utcoffset() is not None


def test_pages_show_the_numbers_of_the_api(
    client: Client,
    org: Organization,
    alice: User,
    key: dict[str, str],
    source: Source,
) -> None:
    ref = make_ref(org, source, "Birch")
    now = timezone.now()
    store(org, source, [(ref, now - timedelta(days=2 * n), "login") for n in range(60)])
    Subscription.objects.create(
        organization=org,
        source=source,
        customer_source=ref,
        external_id="s",
        status="active",
        mrr_minor=123400,
    )
    rollups.fold(now)
    scoring.score_stale(now)
    client.force_login(alice)
    path = f"/api/v1/analytics/customer-health/{ref.customer.public_id}"
    body = client.get(path, **key).json()

    page = client.get(f"/customers/{ref.customer.public_id}/").content.decode()
    for part in body["components"]:
        for reason in part["reasons"]:
            assert reason["sentence"] in page
    listed = client.get("/customers/").content.decode()
    assert f"<b>{body['score']}</b>" in listed
    usage = client.get("/usage/").content.decode()
    assert "login" in usage


def test_source_rows_of_others_never_show(
    client: Client, org: Organization, alice: User, other_org: Organization
) -> None:
    theirs = Source.objects.create(organization=other_org, name="web")
    ref: CustomerSource = make_ref(other_org, theirs, "secret")
    client.force_login(alice)

    assert client.get(f"/customers/{ref.customer.public_id}/").status_code == 404
    assert client.get("/customers/secret/").status_code == 404


def test_the_page_tells_those_who_left_from_those_at_risk(
    org: Organization, alice: Any, client: Client
) -> None:
    now = timezone.now()
    add(org, "Gone", 20, band="at_risk", churned_at=now - timedelta(days=60))
    add(org, "Leaving", 30, band="at_risk", churned_at=now + timedelta(days=60))
    add(org, "Unwell", 35, band="at_risk")
    client.force_login(alice)

    page = client.get("/customers/")

    counts = page.context["counts"]
    assert (counts["at_risk"], counts["left"], page.context["total"]) == (2, 1, 3)
    html = page.content.decode()
    assert html.count("Left <time") == 1
    table = html.partition("<tbody>")[2]
    assert (table.count("At risk</span>"), table.count("Left</span>")) == (2, 1)

    def names(path: str) -> list[str]:
        return sorted(row.name for row, _scores in client.get(path).context["rows"])

    assert names("/customers/?band=at_risk") == ["Leaving", "Unwell"]
    assert names("/customers/?band=left") == ["Gone"]
    assert names("/customers/") == ["Gone", "Leaving", "Unwell"]
