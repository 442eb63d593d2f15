"""Predictions over HTTP: exact shapes, order, pages, tenancy, and the model card."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from analytics.predict import monitor
from analytics.predict.models import ModelVersion, Prediction, TrainingJob
from churnguard.models import AuditEntry, Customer, Organization, User

pytestmark = pytest.mark.django_db
BASE = "/api/v1/analytics"


@pytest.fixture
def org(trained: Organization, db: None) -> Organization:
    """The company with a model."""
    return trained


def test_predictions_pages_and_order(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    client = api(alice)
    whole = client.get(f"{BASE}/predictions/all?limit=500").json()

    seen, cursor = [], ""
    while cursor is not None:
        url = f"{BASE}/predictions/all?limit=7&cursor={cursor}"
        page = client.get(url).json()
        seen += page["results"]
        cursor = page["next"]

    assert seen == whole["results"]
    risks = [row["probability"] for row in seen]
    assert risks == sorted(risks, reverse=True)
    assert len(seen) == Customer.objects.exclude(churn_probability=None).count() > 30
    assert set(whole) == {
        "results", "next", "segment", "state", "message", "revenue_at_risk",
    }  # fmt: skip
    assert set(seen[0]) == {
        "customer_id", "name", "probability", "risk_minor", "mrr_minor", "currency",
        "reasons", "expected_months", "model_version", "as_of",
    }  # fmt: skip
    assert (whole["segment"], whole["state"]) == ("all", "ready")
    assert seen[0]["model_version"] == 1
    assert 0 < seen[0]["expected_months"] <= 12
    reason = seen[0]["reasons"][0]
    assert set(reason) == {"feature", "group", "effect", "sentence"}
    assert "2026" in reason["sentence"]
    assert reason["effect"] > 0
    money = whole["revenue_at_risk"]
    assert money["sum"] == sum(row["risk_minor"] for row in seen)
    assert 0 <= money["p5"] < money["sum"] < money["p95"]


def test_order_by_money(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    Customer.objects.filter(name="Account 004").update(risk_minor=None)

    url = f"{BASE}/predictions/all?limit=500&order=money"
    rows = api(alice).get(url).json()["results"]

    money = [-1 if row["risk_minor"] is None else row["risk_minor"] for row in rows]
    assert money == sorted(money, reverse=True)


def test_filters_narrow_list_and_money(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    client = api(alice)
    Customer.objects.filter(name="Account 010").update(band="watch", domain="elm.test")
    whole = client.get(f"{BASE}/predictions/all?limit=500").json()

    def names(query: str) -> set[str]:
        rows = client.get(f"{BASE}/predictions/all?limit=500&{query}").json()["results"]
        return {row["name"] for row in rows}

    rows = whole["results"]
    likely = {row["name"] for row in rows if row["probability"] >= 0.1}
    dear = {row["name"] for row in rows if (row["risk_minor"] or 0) >= 20_000}
    assert 0 < len(likely) < len(rows)
    assert names("min_probability=0.1") == likely
    assert 0 < len(dear) < len(rows)
    assert names("min_risk_minor=20000") == dear
    assert names("q=account%2001") == {r["name"] for r in rows if "t 01" in r["name"]}
    assert names("q=ELM.t&band=watch") <= {"Account 010"}
    few = client.get(f"{BASE}/predictions/all?min_probability=0.1&limit=500").json()
    assert few["revenue_at_risk"]["sum"] == sum(
        row["risk_minor"] for row in rows if row["name"] in likely
    )
    for bad in (
        "min_probability=2", "min_probability=nan", "min_probability=x", "band=blue",
        "min_risk_minor=-1", "min_risk_minor=" + "9" * 16, "q=" + "x" * 201, "q=%00",
    ):  # fmt: skip
        found = client.get(f"{BASE}/predictions/all?{bad}")
        assert (found.status_code, found.json()["code"]) == (400, "invalid"), bad


def test_segments(api: Callable[..., Any], alice: User, model: ModelVersion) -> None:
    client = api(alice)
    names = {
        segment: {
            row["name"]
            for row in client.get(f"{BASE}/predictions/{segment}?limit=500").json()[
                "results"
            ]
        }
        for segment in ("all", "high_risk", "plan:pro", "plan:basic", "segment:large")
    }

    assert names["plan:pro"] | names["plan:basic"] == names["all"]
    assert not names["plan:pro"] & names["plan:basic"]
    assert 0 < len(names["high_risk"]) <= len(names["all"]) / 4
    assert names["segment:large"] < names["all"]
    assert client.get(f"{BASE}/predictions/at_risk").json()["results"] == []
    wrong = client.get(f"{BASE}/predictions/nobody")
    assert (wrong.status_code, wrong.json()["code"]) == (400, "unknown_segment")
    bad = client.get(f"{BASE}/predictions/all?cursor=x")
    assert (bad.status_code, bad.json()["code"]) == (400, "invalid_cursor")
    assert client.get(f"{BASE}/predictions/all?order=name").status_code == 400


def test_one_customer_adds_up(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    row = Prediction.objects.order_by("-probability").first()
    assert row is not None

    body = api(alice).get(f"{BASE}/predictions/customer/{row.customer.public_id}")

    found = body.json()
    total = found["base_log_odds"] + sum(group["effect"] for group in found["groups"])
    p = found["probability"]
    assert total == pytest.approx(_log_odds(p), abs=1e-9)
    assert found["history"] == [
        {"cutoff": "2026-11-20", "probability": p, "model_version": 1}
    ]
    assert found["feature_hash"] == str(row.feature_hash)


def test_reasons_left_out_are_computed_from_the_same_facts(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    row = Prediction.objects.order_by("-probability").first()
    assert row is not None
    url = f"{BASE}/predictions/customer/{row.customer.public_id}"
    before = api(alice).get(url).json()
    Prediction.objects.filter(pk=row.pk).update(
        groups={}, reasons=[], base_log_odds=0.0
    )

    after = api(alice).get(url).json()

    assert after["reasons"] == before["reasons"]
    assert after["base_log_odds"] == pytest.approx(before["base_log_odds"], abs=1e-9)
    assert {group["group"]: group["effect"] for group in after["groups"]} == (
        pytest.approx({g["group"]: g["effect"] for g in before["groups"]}, abs=1e-9)
    )


def test_who_left_has_no_prediction(
    api: Callable[..., Any], alice: User, model: ModelVersion
) -> None:
    gone = Customer.objects.filter(churn_probability=None).first()
    assert gone is not None

    found = api(alice).get(f"{BASE}/predictions/customer/{gone.public_id}").json()

    assert (found["probability"], found["reasons"], found["groups"]) == (None, [], [])
    assert gone.risk_minor is None


def test_models_card(api: Callable[..., Any], alice: User, model: ModelVersion) -> None:
    found = api(alice).get(f"{BASE}/models").json()

    card = found["champion"]
    assert (found["state"], card["version"], card["state"]) == ("ready", 1, "champion")
    assert card["label"] == {
        "version": 1, "kind": "subscription", "horizon_days": 90, "grace_days": 30,
        "inactivity_days": 90, "qualifying": [],
        "description": "the last subscription ends within 90 days and none begins "
        "within 30 days after",
    }  # fmt: skip
    assert card["comparison"] is None
    assert found["alarms"] == monitor.alarms(model)
    assert (found["matured"], found["recovery"]) == ([], None)
    assert card["is_backfilled"] is True
    assert found["versions"] == [card]
    assert {"rule_auc", "auc_low", "log_loss", "brier", "ece", "ece_floor", "ap",
            "top_decile_lift", "lift_cap"} <= set(card["cutoffs"][0])  # fmt: skip


def test_training_needs_admin_and_is_queued_once(
    api: Callable[..., Any], alice: User, bob: User, org: Organization
) -> None:
    assert api(bob).post(f"{BASE}/models/train").status_code == 403
    assert api().post(f"{BASE}/models/train").status_code == 401

    first = api(alice).post(f"{BASE}/models/train")
    second = api(alice).post(f"{BASE}/models/train")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["job_id"] == second.json()["job_id"]
    assert first.json()["state"] == "queued"
    assert TrainingJob.objects.get().requested_by == "alice@example.com"
    assert AuditEntry.objects.filter(action="model.training_requested").count() == 1
    assert api(bob).get(f"{BASE}/models").json()["job"]["state"] == "queued"


def test_stranger_sees_nothing(
    api: Callable[..., Any], charlie: User, model: ModelVersion
) -> None:
    customer = Prediction.objects.first().customer
    client = api(charlie)

    assert client.get(f"{BASE}/predictions/all").json()["results"] == []
    assert client.get(f"{BASE}/models").json()["champion"] is None
    url = reverse("api-customer-prediction", args=[customer.public_id])
    assert client.get(url).status_code == 404


def _log_odds(p: float) -> float:
    return math.log(p / (1 - p))
