"""Training and daily scoring as claimed work (see `analytics.claiming`)."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime, timedelta

from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet
from django.utils import timezone

from analytics import claiming
from analytics.churn.threads import limited_threads
from analytics.predict import (
    labels,
    monitor,
    scoring,
    snapshots,
    store,
    training,
)
from analytics.predict.models import LabelDefinition, ModelVersion, TrainingJob
from churnguard.models import Organization

log = logging.getLogger(__name__)

LOCK = 7_306_021_901
QUIET = timedelta(minutes=1)
LARGE = 500
"""While batches of so many changes come in, the last one less than a minute ago, an
import is under way and the first training waits for its end."""
TRY_AGAIN = timedelta(days=1)
AFTER_ALARM = timedelta(days=7)


def work(now: datetime | None = None) -> int:
    """Loop: start first trainings, run one job or one organisation's daily scoring.

    Returns 1 if something was done.
    """
    at = now or datetime.now(UTC)
    start_first(at)
    if not _is_due(at):
        return 0
    with claiming.alone(LOCK) as is_alone, limited_threads():
        return int(is_alone and (run_next(at) or score_next(at)))


def request(
    organization: Organization, *, reason: str, by: str = "system"
) -> tuple[TrainingJob, bool]:
    """The open job of the organisation, made if there is none: (job, made)."""
    for _ in range(2):
        job = TrainingJob.objects.filter(
            organization=organization, state__in=TrainingJob.OPEN
        ).first()
        if job is not None:
            return job, False
        try:
            with transaction.atomic():
                made = TrainingJob.objects.create(
                    organization=organization, reason=reason, requested_by=by
                )
            return made, True
        except IntegrityError:
            continue
    raise RuntimeError("A training job could neither be found nor made.")


def has_model(organization: Organization) -> bool:
    """Whether any model was ever trained here."""
    return ModelVersion.objects.filter(organization=organization).exists()


def start_first(now: datetime) -> int:
    """Ask for the first training where there is history, quiet, and no model; again a
    day after outcomes were not enough. Returns how many were asked for."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT o.id FROM cg_organization o WHERE NOT EXISTS (SELECT 1 "
            "  FROM an_model_version m WHERE m.organization_id = o.id) "
            "AND NOT EXISTS (SELECT 1 FROM an_training_job j "
            "  WHERE j.organization_id = o.id "
            "  AND (j.state IN ('queued', 'running') OR j.finished_at > %(again)s)) "
            "AND EXISTS (SELECT 1 FROM cg_batch b WHERE b.organization_id = o.id) "
            "AND NOT EXISTS (SELECT 1 FROM cg_batch b WHERE b.organization_id = o.id "
            "  AND b.received_at > %(again)s AND (b.folded_at IS NULL AND b.events > 0 "
            "    OR b.received_at > %(quiet)s "
            "    AND b.inserted + b.updated >= %(large)s))",
            {"again": now - TRY_AGAIN, "quiet": now - QUIET, "large": LARGE},
        )
        ids = [row[0] for row in cur.fetchall()]
        made = 0
        for organization in Organization.objects.filter(pk__in=ids):
            # Not kept yet: what churn means is settled by the whole import.
            label = labels.get_label(cur.cursor, organization.pk)
            clock = snapshots.get_clock(cur.cursor, organization.pk, now)
            first = snapshots.first_day(cur.cursor, organization.pk)
            if first is None or not snapshots.cutoffs(first, clock.day, label):
                continue
            made += request(organization, reason="first")[1]
    return made


def run_next(now: datetime) -> bool:
    """Train one claimed job to its end; False when there is none."""
    job = claiming.claim_oldest(
        TrainingJob, "The worker stopped during this training three times."
    )
    if job is None or job.state != "running":
        return job is not None
    began = time.monotonic()
    definition = _definition_of(job)
    with claiming.failing_loudly(job, "The training failed; the reason is in the log."):
        try:
            version = train_now(job.organization, now)
            state, message = "succeeded", version.verdict
        except training.NotEnoughOutcomesError as exc:
            version, state, message = None, "not_enough", exc.message
    TrainingJob.objects.filter(pk=job.pk).update(
        state=state, message=message, model=version, finished_at=timezone.now()
    )
    _catch_up(job, definition)
    log.info(
        "training.finished",
        extra={"outcome": state, "duration_s": round(time.monotonic() - began, 3)},
    )
    return True


def train_now(organization: Organization, now: datetime) -> ModelVersion:
    """Train, store, and score with whichever model is then in use.

    Raises NotEnoughOutcomesError.
    """
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        label: LabelDefinition = labels.active_label(cur, organization.pk)
        clock = snapshots.get_clock(cur, organization.pk, now)
        cohorts = snapshots.load_cohorts(cur, organization.pk, label, clock)
    with limited_threads():
        made = training.train(cohorts, label)
        version = store.keep(organization, label, made, now)
        champion = store.champion_of(organization)
        if champion is not None:
            scoring.score_organization(champion, now)
            monitor.look(champion, now)
    version.refresh_from_db()
    return version


def score_next(now: datetime) -> bool:
    """Score the organisation whose newest scores are of an earlier day, if any."""
    due = (
        _to_score(now)
        .select_related("label", "organization")
        .order_by("scored_at")
        .first()
    )
    if due is None:
        return False
    count = scoring.score_organization(due, now)
    if monitor.look(due, now) and _may_train_again(due.organization_id, now):
        request(due.organization, reason="drift")
    log.info("predictions.computed", extra={"record_count": count})
    return True


def _may_train_again(org_id: int, now: datetime) -> bool:
    """Whether the last training is a week ago: what shifted seldom comes back."""
    return not TrainingJob.objects.filter(
        organization_id=org_id, finished_at__gt=now - AFTER_ALARM
    ).exists()


def _definition_of(job: TrainingJob) -> int | None:
    return (
        LabelDefinition.objects.filter(
            organization_id=job.organization_id, is_active=True
        )
        .values_list("version", flat=True)
        .first()
    )


def _catch_up(job: TrainingJob, definition: int | None) -> None:
    """Train again where the definition of churn was changed during the training."""
    if definition is not None and _definition_of(job) != definition:
        request(job.organization, reason="definition")


def _to_score(now: datetime) -> QuerySet[ModelVersion]:
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return ModelVersion.objects.filter(state="champion", scored_at__lt=midnight)


def _is_due(now: datetime) -> bool:
    waiting = TrainingJob.objects.filter(state__in=TrainingJob.OPEN).exists()
    return waiting or _to_score(now).exists()
