"""Training jobs, the champion rule, plain words where outcomes are too few."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from analytics.claiming import MOST_ATTEMPTS
from analytics.predict import champion, features, jobs, snapshots, training
from analytics.predict.models import (
    LabelDefinition,
    ModelVersion,
    Prediction,
    TrainingJob,
)
from churnguard.models import (
    Batch,
    Customer,
    Organization,
    Source,
    Subscription,
)
from tests.analytics.predict import company

pytestmark = pytest.mark.django_db
LABEL = LabelDefinition(version=1, kind="subscription", horizon_days=90, grace_days=30)


def cohorts(count: int, *, rows: int = 120, seed: int = 3) -> list[snapshots.Cohort]:
    """Monthly cohorts where silence alone makes customers leave."""
    random = np.random.default_rng(seed)
    made = []
    for number in range(count):
        values = np.full((rows, len(features.NAMES)), np.nan)
        silence = random.exponential(8, rows)
        values[:, features.NAMES.index("days_since_use")] = silence
        values[:, features.NAMES.index("tickets_90")] = random.poisson(2, rows)
        p = 1 / (1 + np.exp(2.5 - 0.12 * silence))
        y = (random.random(rows) < p).astype(float)
        day = 20_000 + 30 * number
        ends = np.where(y == 1, day + 45.0, np.inf)
        who = np.arange(rows) + 1000 * number
        snapshot = features.Snapshot(day, who, values)
        made.append(snapshots.Cohort(snapshot, y, ends, False))
    return made


@pytest.fixture(scope="module")
def made() -> training.Trained:
    """Trained on ten monthly cohorts; not to be changed."""
    return training.train(cohorts(10), LABEL)


def opponent(made: training.Trained, *, intercept: float = 0.0) -> champion.Champion:
    """A model in use that was trained before every tested cutoff."""
    fitted = replace(made.fitted)
    fitted.intercept += intercept
    return champion.Champion(fitted, made.level, "ridge", 1, date(1990, 1, 1))


def test_work_trains_scores_and_then_rests(org: Organization) -> None:
    company.build(org, accounts=30)
    org_without_data = Organization.objects.create(name="Empty")

    assert jobs.work(company.NOW) == 1
    assert jobs.work(company.NOW) == 0

    job = TrainingJob.objects.get()
    found = ModelVersion.objects.get()
    assert (job.organization, job.state, job.reason) == (org, "succeeded", "first")
    assert (job.model, found.state, found.version) == (found, "champion", 1)
    assert not ModelVersion.objects.filter(organization=org_without_data).exists()
    living = set(
        Subscription.objects.filter(ended_at=None).values_list(
            "customer_source__customer_id", flat=True
        )
    )
    scored = Customer.objects.exclude(churn_probability=None)
    assert set(scored.values_list("pk", flat=True)) == living
    assert set(Prediction.objects.values_list("customer_id", flat=True)) == living
    for customer in scored:
        expected = (
            customer.churn_probability * customer.mrr_minor * found.months_at_stake
        )
        assert customer.risk_minor == pytest.approx(expected, abs=0.51)

    assert jobs.work(company.NOW + timedelta(days=1)) == 1
    assert TrainingJob.objects.count() == 1
    assert Prediction.objects.count() == 2 * len(living)

    again = jobs.train_now(org, company.NOW)
    assert (again.version, again.state, again.comparison) == (2, "challenger", None)
    assert "has not seen" in again.verdict
    assert ModelVersion.objects.get(state="champion").version == 1


def test_too_few_outcomes_are_said(org: Organization) -> None:
    company.build(org, accounts=12, leavers=0)

    assert jobs.work(company.NOW) == 1

    job = TrainingJob.objects.get()
    assert job.state == "not_enough"
    assert job.message.startswith("Not enough outcomes")
    assert not ModelVersion.objects.exists()
    assert jobs.work(company.NOW) == 0
    assert TrainingJob.objects.count() == 1


def test_a_short_history_is_left_alone(org: Organization) -> None:
    source = Source.objects.create(organization=org, name="web")
    Batch.objects.create(
        organization=org, source=source, origin="ingest", received_at=company.NOW
    )

    assert jobs.work(company.NOW) == 0
    assert not TrainingJob.objects.exists()


def test_the_first_training_waits_for_the_import(org: Organization) -> None:
    company.build(org, accounts=4)
    Batch.objects.create(
        organization=org,
        source=Source.objects.get(),
        origin="ingest",
        fetched=5000,
        inserted=5000,
        received_at=company.NOW - timedelta(seconds=10),
    )

    assert jobs.start_first(company.NOW) == 0
    assert jobs.start_first(company.NOW + timedelta(minutes=1)) == 1


def test_a_rule_below_twenty_outcomes_has_no_figures() -> None:
    few = cohorts(1, rows=40)
    few[0].outcomes[:] = 0
    few[0].outcomes[:5] = 1
    few[0].ends[:] = np.where(few[0].outcomes == 1, few[0].day + 10.0, np.inf)

    made = training.train(few, LABEL)

    assert (made.rung, made.churners) == ("rule", 5)
    assert (made.metrics, made.cutoffs, made.reliability) == ({}, [], [])
    silent = few[0].snapshot.values.copy()
    silent[:, features.NAMES.index("days_since_use")] += 20
    assert (
        made.fitted.log_odds(silent).mean()
        > made.fitted.log_odds(few[0].snapshot.values).mean()
    )


def test_back_test_uses_only_matured_cohorts(made: training.Trained) -> None:
    tested = [row["cutoff"] for row in made.cutoffs]
    first = snapshots.cutoff_date(20_000 + 30 * 4).isoformat()
    assert tested[0] == first
    assert len(tested) == 6
    assert made.metrics["auc"] > 0.7
    assert made.metrics["ece"] < 3 * made.metrics["ece_floor"]
    assert made.leakage == ""
    assert made.hazard is not None
    assert [one["cutoff"] for one in made.tested] == tested
    for figures, one in zip(made.cutoffs, made.tested, strict=True):
        assert len(one["rows"]) == figures["rows"] == 120
        left = [row for row in one["rows"] if row[2]]
        assert len(left) == figures["churners"]
        assert {row[3] for row in left} <= {"usage", "support", "tenure", ""}
        assert {row[3] for row in one["rows"] if not row[2]} == {""}
        assert sum(row[1] for row in one["rows"]) == (
            pytest.approx(figures["expected"], abs=0.01)
        )
        gap = figures["churners"] - figures["expected"]
        assert np.sign(figures["rate_z"]) == np.sign(gap)


def test_leakage_is_alarmed() -> None:
    told = cohorts(6)
    place = features.NAMES.index("overdue_invoices")
    for cohort in told:
        cohort.snapshot.values[:, place] = cohort.outcomes * 3

    made = training.train(told, LABEL)

    assert "overdue_invoices" in made.leakage


def test_champion_is_replaced_only_by_a_better_model(made: training.Trained) -> None:
    same = champion.judge(opponent(made), made, 1)
    worse = champion.judge(opponent(made, intercept=1.5), made, 1)
    other_label = champion.judge(opponent(made), made, 2)
    seen_all = replace(opponent(made), last_cutoff=date(2100, 1, 1))

    assert champion.judge(None, made, 1).replaces
    assert not same.replaces
    assert "Not better" in same.sentence
    assert worse.replaces
    numbers = worse.comparison
    assert numbers is not None
    assert numbers["rows"] == 6 * 120
    assert numbers["gain"] > numbers["standard_error"] > 0
    assert numbers["champion_log_loss"] - numbers["challenger_log_loss"] == (
        pytest.approx(numbers["gain"])
    )
    assert f"{numbers['challenger_log_loss']:.4f}" in worse.sentence
    assert "standard error" in worse.sentence
    assert other_label.replaces
    assert not champion.judge(seen_all, made, 1).replaces


def test_a_dead_worker_gives_the_job_up_at_the_third_time(org: Organization) -> None:
    job = TrainingJob.objects.create(
        organization=org, state="running", reason="first", attempts=MOST_ATTEMPTS
    )

    assert jobs.run_next(datetime(2026, 1, 1, tzinfo=UTC))

    job.refresh_from_db()
    assert job.state == "failed"
    assert "three times" in job.message
