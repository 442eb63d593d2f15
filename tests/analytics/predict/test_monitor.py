"""Predictions come due are counted against what came; shifts are told, not noise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from analytics.churn import drift
from analytics.predict import jobs, monitor
from analytics.predict.models import (
    LabelDefinition,
    MaturedCohort,
    ModelVersion,
    Prediction,
    TrainingJob,
)
from churnguard.models import (
    Customer,
    CustomerSource,
    Notice,
    Organization,
    Source,
    Subscription,
    UsageDay,
)

pytestmark = pytest.mark.django_db
CUTOFF = datetime(2026, 5, 1, 9, tzinfo=UTC)
DUE = datetime(2026, 8, 29, 9, tzinfo=UTC)
"""90 days and 30 of grace after the cutoff."""


@pytest.fixture
def champion(org: Organization) -> ModelVersion:
    """A model that said 10% of fifty accounts on 1 May; five of them left."""
    source = Source.objects.create(organization=org, name="billing")
    label = LabelDefinition.objects.create(
        organization=org, version=1, kind="subscription"
    )
    model = ModelVersion.objects.create(
        organization=org, label=label, version=1, state="champion", rung="ridge",
        description="", feature_names=[], reference=[], bins=[], level=0.0, blob=b"",
        rows=500, churners=50, first_cutoff=CUTOFF.date() - timedelta(days=300),
        last_cutoff=CUTOFF.date(), is_backfilled=False, verdict="", trained_at=CUTOFF,
    )  # fmt: skip
    for n in range(50):
        customer = Customer.objects.create(organization=org, name=f"Firm {n}")
        ref = CustomerSource.objects.create(
            organization=org, source=source, external_id=f"f{n}", customer=customer
        )
        Subscription.objects.create(
            organization=org, source=source, customer_source=ref, external_id=f"s{n}",
            status="active", started_at=CUTOFF - timedelta(days=400),
            ended_at=CUTOFF + timedelta(days=20 + n) if n < 5 else None,
        )  # fmt: skip
        Prediction.objects.create(
            organization=org, customer=customer, model=model, cutoff=CUTOFF.date(),
            probability=0.1, base_log_odds=0.0, groups={}, reasons=[],
            feature_hash="00000000-0000-0000-0000-000000000000",
        )  # fmt: skip
    return model


def test_predictions_are_judged_once_their_horizon_has_passed(
    champion: ModelVersion,
) -> None:
    assert monitor.mature(champion.organization_id, DUE - timedelta(days=1)) == 0
    assert monitor.mature(champion.organization_id, DUE) == 1
    assert monitor.mature(champion.organization_id, DUE) == 0

    found = MaturedCohort.objects.get()
    assert (found.rows, found.observed) == (50, 5)
    assert found.expected == pytest.approx(5.0)
    assert (found.z, found.p_value) == pytest.approx((0.0, 1.0))
    assert found.auc == 0.5
    assert found.brier == pytest.approx(0.09)
    assert monitor.look(champion, DUE) == []
    assert not Notice.objects.exists()


def test_a_base_rate_that_is_off_trips_the_notice_and_a_good_one_closes_it(
    champion: ModelVersion,
) -> None:
    Prediction.objects.update(probability=0.4)

    alarm = monitor.look(champion, DUE)
    monitor.look(champion, DUE)

    # z = (5 - 20) / sqrt(50 * 0.4 * 0.6)
    assert MaturedCohort.objects.get().z == pytest.approx(-15 / np.sqrt(12))
    assert [text.replace("\xa0", " ") for text in alarm] == [
        "Of the forecasts of 2026-05-01, 20 departures were expected and 5 came; "
        "chance alone gives such a gap in less than 1 % of cases."
    ]
    notice = Notice.objects.get()
    assert (notice.kind, notice.severity, notice.resolved_at) == (
        "model_drift", "warning", None,
    )  # fmt: skip
    assert notice.detail == alarm[0]
    MaturedCohort.objects.all().delete()
    Prediction.objects.update(probability=0.1)
    assert monitor.look(champion, DUE) == []
    notice.refresh_from_db()
    assert notice.resolved_at is not None


def test_few_forecasts_and_merged_accounts_are_not_tested(
    champion: ModelVersion,
) -> None:
    Prediction.objects.update(probability=0.9)
    kept = CustomerSource.objects.order_by("pk").first()
    assert kept is not None
    gone = CustomerSource.objects.order_by("pk")[1:32]
    for ref in gone:
        ref.customer = kept.customer
        ref.save()

    assert monitor.look(champion, DUE) == []

    found = MaturedCohort.objects.get()
    assert found.rows == 19
    assert found.p_value < 0.01


def test_an_alarm_asks_for_a_training_once_a_week(
    champion: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    ModelVersion.objects.update(scored_at=DUE - timedelta(days=1))
    Prediction.objects.update(probability=0.4)
    monkeypatch.setattr(jobs.scoring, "score_organization", lambda row, now: 50)
    done = TrainingJob.objects.create(
        organization=champion.organization, state="succeeded", reason="first",
        finished_at=DUE - timedelta(days=6),
    )  # fmt: skip

    jobs.score_next(DUE)
    assert TrainingJob.objects.count() == 1
    done.finished_at = DUE - timedelta(days=8)
    done.save()
    jobs.score_next(DUE)
    jobs.score_next(DUE)

    job = TrainingJob.objects.get(state="queued")
    assert (job.reason, job.requested_by) == ("drift", "system")


def get_drift(row: ModelVersion, x: np.ndarray) -> list[dict[str, object]]:
    """Drift of customers who come in two sets."""
    tally = monitor.Tally(row)
    for some in (x[:20], x[20:]):
        tally.add(some, some[:, 0])
    return tally.get_drift()


def test_drift_is_told_from_noise() -> None:
    random = np.random.default_rng(4)
    names = [name for name in monitor.NAMES if name not in monitor.MOVES_BY_ITSELF]
    training = random.normal(size=(1200, len(monitor.NAMES)))
    row = ModelVersion(
        rows=1200, first_cutoff=CUTOFF.date() - timedelta(days=60),
        last_cutoff=CUTOFF.date(),
        bins=[
            {"edges": b.edges.tolist(), "shares": b.shares.tolist()}
            for b in map(drift.training_bins, training.T)
        ],
        score_bins=None,
    )  # fmt: skip
    now = random.normal(size=(60, len(monitor.NAMES)))

    calm = get_drift(row, now)
    now[:, monitor.NAMES.index("tickets_90")] += 1.5
    now[:45, monitor.NAMES.index("seats")] = np.nan
    moved = {one["name"]: one for one in get_drift(row, now)}

    # Sixty accounts alone show an index of 0.1 and more without any change.
    assert max(one["psi"] for one in calm) > 0.25
    assert [one for one in calm if one["state"] != "ok"] == []
    assert {name for name, one in moved.items() if one["state"] == "act"} == {
        "tickets_90", "seats",
    }  # fmt: skip
    assert (moved["seats"]["missing_before"], moved["seats"]["missing_now"]) == (
        0.0, 0.75,
    )  # fmt: skip
    assert len(names) > len(calm) == 10
    row.drift = list(moved.values())
    row.organization_id = 0
    assert monitor.alarms(row) == [
        "Facts it was trained on have stopped coming: Seats."
    ]
    row.drift = calm
    assert monitor.alarms(row) == []


def test_a_day_of_use_is_read_with_the_definition_of_the_model(
    champion: ModelVersion,
) -> None:
    """An inactivity model is judged by use, though subscriptions say otherwise."""
    label = champion.label
    label.kind, label.qualifying = "inactivity", ["open"]
    label.save()
    UsageDay.objects.bulk_create(
        UsageDay(
            organization=champion.organization, customer_source=ref, name=name,
            user_key="u", n=1, day=CUTOFF.date() + timedelta(days=ago),
            first_at=CUTOFF, last_at=CUTOFF,
        )
        for n, ref in enumerate(CustomerSource.objects.order_by("pk"))
        for name in ("open", "mail")
        for ago in range(-60, 120, 15)
        if not (name == "open" and ago >= 0 and n < 12)
    )  # fmt: skip

    monitor.mature(champion.organization_id, DUE)

    found = MaturedCohort.objects.get()
    assert (found.rows, found.observed) == (50, 12)
