"""The pages show what the API answers, and say plainly when there is nothing to say."""

from __future__ import annotations

import csv
import io
import re
from datetime import date

import pytest
from django.test import Client
from django.utils.html import escape

from analytics.predict import queries, sentences
from analytics.predict.features import NAMES
from analytics.predict.models import ModelVersion, TrainingJob
from analytics.predict.narrowing import read_narrow
from churnguard import formats
from churnguard.models import Customer, Organization, User

pytestmark = pytest.mark.django_db


def page(client: Client, url: str, *, status: int = 200) -> str:
    found = client.get(url)
    assert found.status_code == status
    return found.content.decode()


@pytest.fixture
def with_model(trained: Organization, member: object) -> Client:
    """A viewer of the company with a model."""
    client = Client()
    client.force_login(member("viewer", in_org=trained))  # type: ignore[operator]
    return client


def test_risk_page_shows_the_rows_of_the_api(
    with_model: Client, trained: Organization
) -> None:
    shown = page(with_model, "/risk/?order=money&segment=plan:pro")

    rows, _ = queries.list_predictions(trained, "plan:pro", order="money", limit=50)
    places = [shown.index(f">{row['name']}</a>") for row in rows]
    assert places == sorted(places)
    assert shown.count('scope="row"') == len(rows)
    for row in rows[:5]:
        assert formats.money(row["risk_minor"], "USD") in shown
        assert formats.percent(row["probability"], 1) in shown
        assert str(escape(row["reasons"][0]["sentence"])) in shown
    page(with_model, "/risk/?segment=nobody", status=400)


def test_export_holds_the_filtered_list_in_its_order(
    with_model: Client, trained: Organization
) -> None:
    evil = Customer.objects.filter(
        organization=trained, churn_probability__isnull=False
    ).first()
    assert evil is not None
    Customer.objects.filter(pk=evil.pk).update(name="=1+1", plan="pro")
    query = "order=money&segment=plan:pro&min_probability=0.01"

    found = with_model.get(f"/risk/export.csv?{query}")

    assert found["Content-Type"] == "text/csv; charset=utf-8"
    table = list(csv.DictReader(io.StringIO(found.content.decode())))
    rows, _ = queries.list_predictions(
        trained, "plan:pro", order="money", limit=500,
        narrow=read_narrow({"min_probability": "0.01"}),
    )  # fmt: skip
    assert [line["customer_id"] for line in table] == [r["customer_id"] for r in rows]
    assert len(table) > 5
    for line, row in zip(table, rows, strict=True):
        assert line["revenue_at_risk"] == f"{row['risk_minor'] / 100:.2f}"
        assert line["probability"] == f"{row['probability']:.6f}"
        assert line["reason_1"] == row["reasons"][0]["sentence"]
    assert {line["name"][:3] for line in table} == {"'=1", "Acc"}
    assert with_model.get("/risk/export.csv?order=name").status_code == 302
    shown = page(with_model, f"/risk/?{query}")
    assert "/risk/export.csv?order=money&amp;segment=plan%3Apro" in shown


def test_model_page_shows_the_back_test(
    with_model: Client, trained: Organization
) -> None:
    shown = page(with_model, "/model/")

    model = ModelVersion.objects.get(organization=trained)
    assert f"{model.metrics['auc']:.3f}" in shown
    assert f"{model.metrics['pooled_ece_floor']:.3f}" in shown
    assert shown.count('class="point"') == len(model.reliability)
    for row in model.cutoffs:
        assert row["cutoff"] in shown
    assert "Train now" not in shown
    assert "The next come due on" in shown
    assert "What has moved since training" in shown
    assert "sample company" not in shown


def test_customer_page_fetches_the_drivers(
    with_model: Client, trained: Organization
) -> None:
    customer = (
        Customer.objects.filter(organization=trained)
        .exclude(churn_probability=None)
        .order_by("-churn_probability")
        .first()
    )
    assert customer is not None
    url = f"/risk/{customer.public_id}/drivers/"

    assert url in page(with_model, f"/customers/{customer.public_id}/")
    alone = with_model.get(url)
    shown = with_model.get(url, headers={"HX-Request": "true"}).content.decode()

    assert alone.headers["Location"] == f"/customers/{customer.public_id}/"
    body = queries.get_prediction(trained, customer)
    for reason in body["reasons"]:
        assert str(escape(reason["sentence"])) in shown


def test_stranger_gets_404(
    client: Client, charlie: User, trained: Organization
) -> None:
    client.force_login(charlie)
    customer = Customer.objects.filter(organization=trained).first()
    assert customer is not None

    page(client, f"/risk/{customer.public_id}/drivers/", status=404)
    assert customer.name not in page(client, "/risk/")


def test_states_without_a_model(client: Client, alice: User, org: Organization) -> None:
    client.force_login(alice)
    assert "No churn model yet." in page(client, "/risk/")
    assert "Train now" in page(client, "/model/")

    client.post("/model/train/")
    assert "is being trained" in page(client, "/risk/")
    TrainingJob.objects.update(state="not_enough", message="Nobody has left.")

    for url in ("/risk/", "/model/"):
        shown = page(client, url)
        assert "Not enough outcomes" in shown
        assert "Nobody has left." in shown


def test_training_by_hand_needs_an_admin(
    client: Client, bob: User, org: Organization
) -> None:
    client.force_login(bob)

    assert client.post("/model/train/").status_code == 403
    assert not TrainingJob.objects.exists()


def test_every_feature_has_a_name_and_a_sentence() -> None:
    assert set(sentences.FEATURES) == {"score", *NAMES}
    assert {*sentences.TEXTS, *sentences.MONEY} == set(NAMES)


@pytest.mark.parametrize(
    ("currency", "sentence"),
    [
        ("EUR", "Last invoice: €788.50 as of 2 Nov 2026 (usual: €1 200.00)."),
        ("JPY", "Last invoice: ¥788 as of 2 Nov 2026 (usual: ¥1 200)."),
        ("CHF", "Last invoice: 788.50 CHF as of 2 Nov 2026 (usual: 1 200.00 CHF)."),
    ],
)
def test_money_is_told_in_the_organisation_s_currency(
    currency: str, sentence: str
) -> None:
    stored = [("billed_last", "billing", 0.4, 788.5, 1200.0)]

    (told,) = sentences.tell(stored, date(2026, 11, 2), currency)

    assert re.sub(r"\s", " ", told["sentence"]) == sentence
