"""Accuracy by a second reading: what is stored against what the provider has now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from churnguard.errors import ConfigError
from churnguard.models import CustomerSource, Organization, Subscription
from integrations.connectors.base import Page, ReadRequest
from integrations.connectors.file import FileConnector
from integrations.models import Integration
from monitoring.models import QualityDay, QualitySample
from monitoring.quality import daily, refetch
from tests import exports

pytestmark = pytest.mark.django_db(transaction=True)

NOW = datetime.now(UTC)


@pytest.fixture
def books(org: Organization, tmp_path: Path) -> Integration:
    """Eight accounts and eight subscriptions in two files, read once."""
    accounts = ["account_id,account_name,industry,country"]
    subscriptions = ["subscription_id,account_id,plan_tier,seats,mrr_amount,start_date"]
    for n in range(8):
        accounts.append(f"A-{n},Firm {n},Retail,DE")
        subscriptions.append(f"S-{n},A-{n},Pro,{n + 1},{n}0,2026-01-0{n + 1}")
    (tmp_path / "accounts.csv").write_text("\n".join(accounts) + "\n")
    (tmp_path / "subscriptions.csv").write_text("\n".join(subscriptions) + "\n")
    made = exports.connect_folder(org, tmp_path, "Books")
    assert exports.sync(made).status == "completed"
    return made


@pytest.mark.parametrize(
    ("good", "n", "interval"),
    # Checked against the table of Newcombe (1998), method 3: 81 of 263.
    [(81, 263, (25.5, 36.6)), (50, 50, (92.9, 100.0)), (0, 10, (0.0, 27.8))],
)
def test_the_interval_is_wilsons(
    good: int, n: int, interval: tuple[float, float]
) -> None:
    assert refetch.wilson(good, n) == interval


def test_equal_records_agree_and_changed_ones_do_not(
    books: Integration, tmp_path: Path
) -> None:
    found = refetch.compare_now(books, NOW)
    assert set(found) == {"customer", "subscription"}
    customer = found["customer"]
    assert (customer.sampled, customer.compared, customer.differing) == (8, 8, 0)
    assert customer.fields["country"] == [8, 0]
    assert found["subscription"].fields["customer"] == [8, 0]

    # Our copy is wrong in one place, and the provider has dropped a record.
    CustomerSource.objects.filter(external_id="A-3").update(country="FR")
    lines = (tmp_path / "accounts.csv").read_text().splitlines()
    (tmp_path / "accounts.csv").write_text("\n".join(lines[:-1]) + "\n")
    customer = refetch.compare_now(books, NOW)["customer"]

    assert (customer.compared, customer.gone, customer.differing) == (7, 1, 2)
    assert {"field": "country", "ours": "FR", "theirs": "DE", "external_id": "A-3"} in (
        customer.misses
    )
    assert customer.fields["exists"] == [8, 1]


def test_the_comparison_is_the_accuracy_of_the_entity_and_is_shown(
    books: Integration, alice: Any, api: Callable[..., Any], client: Client
) -> None:
    organization = books.organization
    daily.measure_now(organization, NOW)
    before = QualityDay.objects.get(entity="subscription")
    Subscription.objects.filter(external_id="S-2").update(plan="Max")
    assert refetch.tick(NOW) == 1
    assert refetch.tick(NOW) == 0
    daily.measure_now(organization, NOW)

    after = QualityDay.objects.get(entity="subscription")
    (check,) = [c for c in after.checks if c["code"] == "subscription.sample"]
    assert check["failed"] == 1
    assert check["samples"] == ["S-2"]
    assert after.dimensions["accuracy"] != before.dimensions["accuracy"]
    assert after.dimensions["accuracy"] < 100
    (row,) = [
        row
        for row in api(alice).get("/api/v1/data/quality/metrics").json()["samples"]
        if row["entity"] == "subscription"
    ]
    assert (row["sampled"], row["differing"]) == (8, 1)
    assert row["low_pct"] < row["agree_pct"] < row["high_pct"]
    client.force_login(alice)
    page = client.get("/quality/").content.decode()
    assert "plan: stored Max, the provider says Pro" in page

    # A week later the comparison says nothing any more, and a day later it is due.
    daily.measure_now(organization, NOW + timedelta(days=8))
    old = QualityDay.objects.filter(entity="subscription").latest("day")
    assert "subscription.sample" not in {check["code"] for check in old.checks}
    assert refetch.tick(NOW + timedelta(days=1, minutes=1)) == 1


def test_what_changed_since_the_last_sync_is_no_fault(
    books: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = FileConnector.read

    def later(self: Any, stream: Any, request: ReadRequest) -> Any:
        for page in read(self, stream, request):
            yield Page(
                records=[
                    type(record)(
                        **{
                            **{f: getattr(record, f) for f in record.__struct_fields__},
                            "updated_at": NOW + timedelta(hours=1),
                            "plan": "Other",
                        }
                    )
                    for record in page.records
                ],
                cursor=page.cursor,
            )

    monkeypatch.setattr(FileConnector, "read", later)
    found = refetch.compare_now(books, NOW)["subscription"]

    assert (found.changed, found.compared, found.checked) == (8, 0, 0)
    assert found.why == "All sampled records have changed since the last sync."
    assert refetch.results(books.organization_id, NOW) == {}


def test_a_provider_that_does_not_answer_is_not_measured(
    books: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> Any:
        raise ConfigError("The key was withdrawn.", code="x")

    monkeypatch.setattr(FileConnector, "read", refuse)
    assert refetch.tick(NOW) == 1

    kinds = QualitySample.objects.get().kinds
    assert {kind: row["why"] for kind, row in kinds.items()} == {
        "customer": "The key was withdrawn.",
        "subscription": "The key was withdrawn.",
    }
    daily.measure_now(books.organization, NOW)
    row = QualityDay.objects.get(entity="customer")
    assert "customer.sample" not in {check["code"] for check in row.checks}


def test_a_large_stream_is_asked_by_time(
    books: Integration, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[ReadRequest] = []
    read = FileConnector.read

    def watched(self: Any, stream: Any, request: ReadRequest) -> Any:
        asked.append(request)
        yield from read(self, stream, request)

    monkeypatch.setattr(FileConnector, "read", watched)
    monkeypatch.setattr(refetch, "_SCANNED", 3)
    at = NOW - timedelta(days=30)
    CustomerSource.objects.update(source_updated_at=at)
    books.streams.update(cursor_field="updated_at")
    found = refetch.compare_now(books, NOW)["customer"]

    # The files tell no time, so each answer holds all of them: all are found at once.
    mine = [request for request in asked if request.since == at]
    assert len(mine) == 1
    assert mine[0].until == at + timedelta(seconds=1)
    assert (found.compared, found.gone) == (8, 0)
