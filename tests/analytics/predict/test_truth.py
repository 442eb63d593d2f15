"""The truth of the sample company: kept apart, compared honestly, read by no model."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

import analytics
from analytics.predict import truth
from analytics.predict.models import LabelDefinition, ModelVersion, SampleTruth
from churnguard import sample
from churnguard.models import Customer, CustomerSource, Organization, Source, User

pytestmark = pytest.mark.django_db
START = datetime(2026, 1, 5, tzinfo=UTC)
CUTOFF = START + timedelta(days=70)
IMPORT = r"^    truth,$|import .*\btruth\b|from analytics\.predict\.truth"


@pytest.fixture
def model(org: Organization) -> ModelVersion:
    """Six accounts; at the cutoff, in week 10, two of them are about to leave."""
    source = Source.objects.create(organization=org, name=sample.BILLING)
    rows = [
        # cause, chance in week 10, decided after days, left after days, today's risk
        ("late_payment", 0.04, 80, 120, None),
        ("support_pain", 0.03, 60, 130, None),
        ("usage_decay", 0.02, 150, None, 0.9),
        ("healthy", 0.001, None, None, 0.5),
        ("healthy", 0.002, None, None, 0.2),
        ("seasonal", 0.003, None, None, 0.1),
    ]
    ids = []
    for n, (cause, chance, decided, left, today) in enumerate(rows):
        customer = Customer.objects.create(
            organization=org, name=f"Firm {n}", churn_probability=today
        )
        ids.append(customer.pk)
        CustomerSource.objects.create(
            organization=org, source=source, external_id=f"cus_{n}", customer=customer
        )
        hazard = [0.0] * 30
        hazard[10] = chance
        SampleTruth.objects.create(
            organization=org, account=f"acct-{n}", cause=cause, starts_at=START,
            ids={sample.BILLING: f"cus_{n}", sample.CRM: f"crm_{n}"}, hazard=hazard,
            decided_at=None if decided is None else START + timedelta(days=decided),
            churned_at=None if left is None else START + timedelta(days=left),
        )  # fmt: skip
    told = [0.6, 0.3, 0.4, 0.1, 0.05, 0.2]
    why = ["billing", "usage", "", "", "", ""]
    return ModelVersion.objects.create(
        organization=org, version=1, state="champion", rung="ridge", description="",
        label=LabelDefinition.objects.create(
            organization=org, version=1, kind="subscription"
        ),
        feature_names=[], reference=[], bins=[], level=0.0, blob=b"", rows=6,
        churners=2, first_cutoff=START.date(), last_cutoff=CUTOFF.date(),
        is_backfilled=True, verdict="", trained_at=CUTOFF, scored_at=CUTOFF,
        metrics={"rule_auc": 0.6},
        tested=[
            {
                "cutoff": CUTOFF.date().isoformat(),
                "rows": [
                    [ids[n], told[n], int(n < 2), why[n]]
                    for n in range(6)
                ]
                + [[999_999_999, 0.9, 1, "usage"]],
            }
        ],
    )  # fmt: skip


def test_recovery_by_hand(org: Organization, model: ModelVersion) -> None:
    found = truth.get_recovery(org, model)

    assert found is not None
    assert (found.accounts, found.cutoffs) == (6, 1)
    # Leavers 0.6 and 0.3 against stayers 0.4, 0.1, 0.05, 0.2: one pair of eight wrong.
    assert found.auc == pytest.approx(7 / 8)
    # Who has decided stands above all; the other leaver has the largest chance.
    assert found.oracle_auc == 1.0
    assert found.rule_auc == 0.6
    # Undecided: told 0.6 .4 .1 .05 .2 against 4 2 .1 .2 .3: ranks 5 4 2 1 3, 5 4 1 2 3.
    assert found.rank == pytest.approx(0.9)
    assert [(row.cause, row.signs, row.named, row.right) for row in found.causes] == [
        ("late_payment", ("billing",), {"billing": 1}, 1),
        ("support_pain", ("support", "sentiment"), {"usage": 1}, 0),
    ]
    assert (found.leavers, found.right, found.share_right) == (2, 1, 0.5)
    assert found.naming_one == 0.5
    # Today: the one who has decided and is still there is the riskiest of four.
    assert (found.scored, found.decided, found.decided_auc) == (4, 1, 1.0)


def test_page_and_api_show_it_only_for_the_sample(
    api: Callable[..., Any],
    client: Client,
    alice: User,
    org: Organization,
    model: ModelVersion,
) -> None:
    client.force_login(alice)

    shown = client.get("/model/").content.decode()
    recovery = api(alice).get("/api/v1/analytics/models").json()["recovery"]

    assert "How well the truth was found" in shown
    assert "Late payment" in shown
    assert "always naming the same gives" in shown
    assert recovery["oracle_auc"] == 1.0
    assert recovery["causes"][1]["named"] == {"usage": 1}
    SampleTruth.objects.all().delete()
    assert "How well the truth" not in client.get("/model/").content.decode()
    assert api(alice).get("/api/v1/analytics/models").json()["recovery"] is None


def test_an_account_that_two_customers_or_truths_claim(
    org: Organization, model: ModelVersion
) -> None:
    first, second = CustomerSource.objects.order_by("pk")[:2]
    second.customer = first.customer
    second.save()

    found = truth.get_recovery(org, model)

    assert found is not None
    assert found.accounts == 4


def test_the_sample_keeps_its_truth_once(org: Organization) -> None:
    company = sample.generate(3, datetime(2026, 11, 20, tzinfo=UTC), accounts=12)

    assert truth.keep(org, company) == 12
    assert truth.keep(org, company) == 12

    kept = SampleTruth.objects.order_by("account")
    assert [row.account for row in kept] == [one.account for one in company.truth()]
    assert [row.cause for row in kept] == [one.cause for one in company.truth()]
    assert kept[0].starts_at == company.span.start
    assert len(kept[0].hazard) == company.span.weeks


def test_no_model_reads_the_truth() -> None:
    folder = Path(analytics.__file__).parent
    readers = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if "migrations" not in path.parts
        and re.search(r"SampleTruth|sample_truth|churnguard\.sample", path.read_text())
    }
    users = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*.py")
        if re.search(IMPORT, path.read_text(), re.MULTILINE)
    }

    assert readers == {"models.py", "predict/models.py", "predict/truth.py"}
    assert users == {"predict/api.py", "predict/views.py"}
