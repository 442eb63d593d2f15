"""The preview: exact on a small world, written nowhere, and true to what follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analytics import scoring
from analytics.claiming import MOST_ATTEMPTS
from analytics.definitions import checks
from analytics.models import (
    DefinitionCheck,
    HealthScore,
    ScoreDefinition,
)
from churnguard.models import Customer, Organization, User
from tests.analytics.definitions.world import PATH, build, scores

pytestmark = pytest.mark.django_db
Api = Callable[..., Any]
USAGE_ONLY = {"components": {"usage": 50}}


def test_a_preview_says_exactly_what_saving_would_do(
    org: Organization, alice: User, api: Api
) -> None:
    made = build(org)
    before = list(Customer.objects.order_by("pk").values())
    rows = HealthScore.objects.count()

    answer = api(alice).post(f"{PATH}/preview", {"spec": USAGE_ONLY}, format="json")

    assert answer.status_code == 200
    assert answer.json()["state"] == "succeeded"
    found = answer.json()["result"]
    assert (found["customers"], found["affected"], found["scored"]) == (3, 3, 3)
    # (100 + 92 + 47) / 3 and (100 + 100 + 17) / 3
    assert found["average"] == {"before": 79.67, "after": 72.33}
    assert (found["rose"], found["fell"], found["other"]) == (0, 1, 0)
    assert found["moves"] == [{"from": "watch", "to": "at_risk", "count": 1}]
    assert [(b["band"], b["before"], b["after"]) for b in found["bands"]] == [
        ("healthy", 2, 2),
        ("watch", 1, 0),
        ("at_risk", 0, 1),
        ("unknown", 0, 0),
    ]
    tens = {d["from"]: (d["before"], d["after"]) for d in found["distribution"]}
    assert {k: v for k, v in tens.items() if v != (0, 0)} == {
        10: (0, 1),
        40: (1, 0),
        90: (2, 2),
    }
    assert found["movers"] == [
        {
            "customer_id": made["fading"].public_id,
            "name": "fading",
            "segment": "",
            "score_before": 47,
            "score_after": 17,
            "band_before": "watch",
            "band_after": "at_risk",
            "reason": "Active days: 62 points lost instead of 39",
        },
        {
            "customer_id": made["owing"].public_id,
            "name": "owing",
            "segment": "",
            "score_before": 92,
            "score_after": 100,
            "band_before": "healthy",
            "band_after": "healthy",
            "reason": "Past due: 0 points lost instead of 8",
        },
    ]
    assert list(Customer.objects.order_by("pk").values()) == before
    assert HealthScore.objects.count() == rows
    assert ScoreDefinition.objects.count() == 1

    api(alice).put(PATH, {"spec": USAGE_ONLY}, format="json")
    scoring.score_stale()
    foreseen = {m["name"]: (m["score_after"], m["band_after"]) for m in found["movers"]}
    assert {**scores(), **foreseen} == scores()


def test_a_segment_is_previewed_among_all_accounts(
    org: Organization, alice: User, api: Api
) -> None:
    build(org)
    Customer.objects.filter(name="owing").update(segment="large")

    body = {"spec": USAGE_ONLY, "segment": "large"}
    found = api(alice).post(f"{PATH}/preview", body, format="json").json()["result"]

    assert (found["customers"], found["affected"]) == (3, 1)
    assert [mover["name"] for mover in found["movers"]] == ["owing"]


def test_a_large_organisation_waits_for_a_worker(
    org: Organization, alice: User, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(org)
    monkeypatch.setattr(checks, "AT_ONCE", 2)
    client = api(alice)
    body = {"spec": USAGE_ONLY}

    first = client.post(f"{PATH}/preview", body, format="json")
    second = client.post(f"{PATH}/preview", body, format="json")

    assert (first.status_code, first.json()["state"]) == (202, "queued")
    assert second.json()["check_id"] == first.json()["check_id"]
    assert checks.work() == 1
    assert checks.work() == 0
    done = client.get(f"{PATH}/checks/{first.json()['check_id']}").json()
    assert (done["state"], done["result"]["customers"]) == ("succeeded", 3)


def test_a_check_whose_worker_died_is_taken_up_three_times(org: Organization) -> None:
    check = DefinitionCheck.objects.create(
        organization=org,
        kind="backtest",
        digest=1,
        state="running",
        attempts=MOST_ATTEMPTS - 1,
        requested_by="x",
    )

    assert checks.work() == 1
    check.refresh_from_db()
    assert check.state == "refused"
    check.state, check.attempts = "running", MOST_ATTEMPTS
    check.save()
    assert checks.work() == 1
    check.refresh_from_db()
    assert (check.state, check.result) == ("failed", None)


def test_an_empty_organisation_has_an_empty_preview(
    org: Organization, alice: User, api: Api
) -> None:
    found = api(alice).post(f"{PATH}/preview", {"spec": USAGE_ONLY}, format="json")

    assert found.json()["result"]["customers"] == 0
    assert found.json()["result"]["average"] == {"before": None, "after": None}
