"""What churn means: tried on the past, kept as a version, trained by."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import time_machine
from django.db import connection
from django.test import Client

from analytics.predict import jobs, labelling, labels, snapshots
from analytics.predict.models import LabelDefinition, TrainingJob
from churnguard.models import (
    AuditEntry,
    Customer,
    CustomerSource,
    Organization,
    OrgDay,
    Source,
    Subscription,
    UsageDay,
    User,
)
from tests.analytics.predict import company

pytestmark = pytest.mark.django_db
URL = "/api/v1/analytics/churn-definition"
PAGE = "/model/definition/"


@pytest.fixture(autouse=True)
def today() -> Any:
    with time_machine.travel(company.NOW, tick=False):
        yield


@pytest.fixture
def past(org: Organization) -> Organization:
    """Twenty accounts; one left 200 days ago, one 100, one paused for 40 days; the
    events "open" daily in weeks, "mail" every third week."""
    source = Source.objects.create(organization=org, name="billing")
    start = company.NOW - timedelta(days=480)
    for n in range(20):
        customer = Customer.objects.create(organization=org, name=f"Firm {n}")
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id=f"f{n}", customer=customer
        )
        spells: dict[int, list[tuple[int, int | None]]] = {
            0: [(480, 200)],
            1: [(480, 100)],
            2: [(480, 250), (210, None)],
        }
        for begin, end in spells.get(n, [(480, None)]):
            Subscription.objects.create(
                organization=org, source=source, customer_source=ref,
                external_id=f"s{n}-{begin}", status="canceled" if end else "active",
                started_at=company.NOW - timedelta(days=begin),
                ended_at=company.NOW - timedelta(days=end) if end else None,
            )  # fmt: skip
        last = spells.get(n, [(480, None)])[-1][1] or 0
        UsageDay.objects.bulk_create(
            UsageDay(
                organization=org, customer_source=ref, name=name, user_key="u", n=1,
                day=(company.NOW - timedelta(days=ago)).date(), first_at=start,
                last_at=start,
            )
            for name, every in (("open", 7), ("mail", 21))
            for ago in range(last, 480, every)
            if not (n == 3 and name == "open" and ago < 150)
        )  # fmt: skip
    for name in ("open", "mail"):
        OrgDay.objects.create(organization=org, day=company.TODAY, name=name, n=1)
    return org


def test_preview_says_what_each_definition_would_have_given(
    api: Callable[..., Any], member: Callable[..., User], past: Organization
) -> None:
    client = api(member("analyst"))

    same = client.post(f"{URL}/preview", {}, format="json").json()
    strict = client.post(f"{URL}/preview", {"grace_days": 60}, format="json").json()
    short = client.post(
        f"{URL}/preview", {"horizon_days": 30, "grace_days": 10}, format="json"
    ).json()

    assert same["proposed"] == same["active"]
    # Grace of 30 days: the pause of 40 was a departure; the end 100 days ago is seen
    # by the looks whose 90 + 30 days are over.
    assert same["active"]["departures"] == 3
    assert strict["proposed"]["departures"] == 2
    assert short["proposed"]["departures"] == 3
    assert short["proposed"]["outcomes"] == 3
    looks = same["active"]["looks"]
    assert looks[0]["cutoff"] == "2025-11-20"
    assert len(looks) == 12
    assert looks[0] == {"cutoff": "2025-11-20", "customers": 20, "outcomes": 0}
    assert [look["outcomes"] for look in looks[-4:]] == [1, None, None, None]
    assert same["active"]["verdict"].startswith("Not enough outcomes in these months")
    assert not LabelDefinition.objects.filter(version__gt=1).exists()
    assert not TrainingJob.objects.exists()


def test_inactivity_counts_only_qualifying_events(
    api: Callable[..., Any], alice: User, past: Organization
) -> None:
    def departures(**given: Any) -> int:
        body = {"kind": "inactivity", "horizon_days": 60, **given}
        found = api(alice).post(f"{URL}/preview", body, format="json")
        return int(found.json()["proposed"]["departures"])

    assert departures(inactivity_days=60) == 2
    assert departures(inactivity_days=30, qualifying=["open"]) == 3
    assert departures(inactivity_days=30, qualifying=["mail", "open"]) == 2
    assert departures(inactivity_days=14, qualifying=["mail"]) > 3


def test_silence_within_the_horizon_by_hand() -> None:
    label = LabelDefinition(kind="inactivity", inactivity_days=30, horizon_days=90)
    import numpy as np

    days = {1: [90, 130, 170], 2: [95, 140, 141], 3: [60, 200], 4: [99, 120, 150, 180]}
    rows = [(who, day) for who, seen in days.items() for day in seen] + [(9, 400)]
    table = np.array(rows, dtype=np.int64)
    history = labels.Uses(table[:, 0], table[:, 1], 30)

    who = history.population(100)
    found = labels.outcomes(history, who, 100, label)

    # 1: 40 days between 130 and 170; 2: silent from 142, full on 172; 3 had been
    # silent for 40 days; 4: silent from 181, full only after day 190.
    assert dict(zip(who.tolist(), found.tolist(), strict=True)) == {1: 1, 2: 1, 4: 0}


def test_keeping_makes_a_version_and_one_training(
    api: Callable[..., Any], alice: User, past: Organization
) -> None:
    client = api(alice)
    assert client.get(URL).json()["active"]["version"] == 0

    first = client.put(URL, {"horizon_days": 60}, format="json").json()
    again = client.put(URL, {"horizon_days": 60}, format="json").json()
    second = client.put(URL, {"grace_days": 14}, format="json").json()

    assert first["label"] == {
        "version": 1, "kind": "subscription", "horizon_days": 60, "grace_days": 30,
        "inactivity_days": 90, "qualifying": [],
        "description": "the last subscription ends within 60 days and none begins "
        "within 30 days after",
    }  # fmt: skip
    assert (again["label"]["version"], again["training_job_id"]) == (1, None)
    assert second["label"]["version"] == 2
    assert (second["label"]["horizon_days"], second["label"]["grace_days"]) == (60, 14)
    job = TrainingJob.objects.get()
    assert (job.reason, job.state, job.requested_by) == (
        "definition", "queued", "alice@example.com",
    )  # fmt: skip
    assert {first["training_job_id"], second["training_job_id"]} == {str(job.pk)}
    entries = AuditEntry.objects.filter(action="churn_definition.changed")
    assert [entry.after for entry in entries.order_by("pk")] == [
        {"version": 1, "horizon_days": 60},
        {"version": 2, "grace_days": 14},
    ]
    assert LabelDefinition.objects.get(is_active=True).version == 2
    assert [one["version"] for one in client.get(URL).json()["versions"]] == [2, 1]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"kind": "mood"}, "kind"),
        ({"kind": ["inactivity"]}, "kind"),
        ({"qualifying": ["a\x00"]}, "qualifying"),
        ({"horizon_days": {"days": 30}}, "horizon_days"),
        ({"horizon_days": 13}, "horizon_days"),
        ({"horizon_days": "9" * 30}, "horizon_days"),
        ({"grace_days": -1}, "grace_days"),
        ({"grace_days": True}, "grace_days"),
        ({"kind": "inactivity", "inactivity_days": 91}, "inactivity_days"),
        ({"qualifying": ["opne"]}, "qualifying"),
        ({"qualifying": "open"}, "qualifying"),
        ({"qualifying": [["open"]]}, "qualifying"),
        ({"horizon": 30}, "horizon"),
    ],
)
def test_what_is_not_valid_is_named(
    api: Callable[..., Any],
    alice: User,
    past: Organization,
    given: dict[str, Any],
    field: str,
) -> None:
    for method, url in (("post", f"{URL}/preview"), ("put", URL)):
        found = getattr(api(alice), method)(url, given, format="json")
        assert (found.status_code, found.json()["code"]) == (400, "invalid")
        assert set(found.json()["fields"]) == {field}
    assert api(alice).put(URL, [1], format="json").status_code == 400
    assert not LabelDefinition.objects.exists()


def test_roles(
    api: Callable[..., Any],
    client: Client,
    bob: User,
    charlie: User,
    member: Callable[..., User],
    past: Organization,
) -> None:
    analyst = member("analyst")
    assert api(bob).get(URL).status_code == 200
    assert api(bob).post(f"{URL}/preview", {}, format="json").status_code == 403
    assert api(analyst).put(URL, {"grace_days": 5}, format="json").status_code == 403
    preview = api(charlie).post(f"{URL}/preview", {}, format="json").json()
    assert preview["proposed"]["customers"] == 0

    client.force_login(bob)
    shown = client.get(PAGE)
    assert "See what it would have given" not in shown.content.decode()
    assert client.get(f"{PAGE}?kind=inactivity").status_code == 403
    client.force_login(analyst)
    tried = client.get(f"{PAGE}?kind=subscription&grace_days=60").content.decode()
    assert "Keep it and train by it" not in tried
    assert client.post(f"{PAGE}save/", {"grace_days": 60}).status_code == 403
    assert not LabelDefinition.objects.exists()


def test_page_tries_and_keeps(client: Client, alice: User, past: Organization) -> None:
    client.force_login(alice)
    given = {"kind": "inactivity", "horizon_days": "60", "grace_days": "30",
             "inactivity_days": "30", "qualifying": ["open"]}  # fmt: skip

    tried = client.get(PAGE, given).content.decode()
    wrong = client.get(PAGE, {**given, "inactivity_days": "61"})
    client.post(f"{PAGE}save/", given)
    after = client.get(PAGE).content.decode()

    assert "there are 30 days in a row without open within 60 days" in tried
    assert "Keep it and train by it" in tried
    assert wrong.status_code == 400
    assert "Days in a row without activity: at most the horizon." in (
        wrong.content.decode()
    )
    assert "Version 1 is in force" in after
    assert "alice@example.com" in after
    kept = LabelDefinition.objects.get()
    assert (kept.kind, kept.qualifying, kept.inactivity_days) == (
        "inactivity", ["open"], 30,
    )  # fmt: skip


def test_a_change_during_a_training_is_trained_by_afterwards(
    org: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    LabelDefinition.objects.create(organization=org, version=1, kind="subscription")
    jobs.request(org, reason="requested")
    load = snapshots.load_cohorts

    def change_meanwhile(*args: Any, **kwargs: Any) -> Any:
        LabelDefinition.objects.update(is_active=False)
        LabelDefinition.objects.create(organization=org, version=2, kind="inactivity")
        return load(*args, **kwargs)

    monkeypatch.setattr(snapshots, "load_cohorts", change_meanwhile)

    assert jobs.run_next(company.NOW)

    states = list(TrainingJob.objects.order_by("pk").values_list("state", "reason"))
    assert states == [("not_enough", "requested"), ("queued", "definition")]


def test_usual_silence(past: Organization) -> None:
    assert labelling.usual_silence(past) == 7
    with connection.cursor() as cur:
        cur.execute("DELETE FROM cg_usage_day")
    assert labelling.usual_silence(past) is None
    assert date(2026, 11, 20) == company.TODAY


def test_subscriptions_that_come_later_replace_a_definition_nobody_chose(
    org: Organization, alice: User
) -> None:
    source = Source.objects.create(organization=org, name="web")
    with connection.cursor() as wrapper:
        first = labels.active_label(wrapper.cursor, org.pk)
        assert (first.version, first.kind) == (1, "inactivity")
        assert labels.active_label(wrapper.cursor, org.pk) == first
        customer = Customer.objects.create(organization=org, name="Firm")
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id="f", customer=customer
        )
        Subscription.objects.create(
            organization=org, source=source, customer_source=ref, external_id="s",
            status="active", started_at=company.NOW,
        )  # fmt: skip

        second = labels.active_label(wrapper.cursor, org.pk)

        assert (second.version, second.kind) == (2, "subscription")
        LabelDefinition.objects.update(is_active=False)
        LabelDefinition.objects.create(
            organization=org, version=3, kind="inactivity", created_by=alice.email
        )
        assert labels.active_label(wrapper.cursor, org.pk).version == 3


def test_the_definition_is_settled_only_by_the_training(org: Organization) -> None:
    company.build(org, accounts=2, leavers=0)
    LabelDefinition.objects.all().delete()

    assert jobs.start_first(company.NOW) == 1

    assert not LabelDefinition.objects.exists()
