"""The scheduled analyses: daily 02:00, weekly Sunday 03:00, monthly on the 1st 04:00.

Due times are `Schedule` rows, claimed by SKIP LOCKED; each organisation's run is an
`AnalysisRun` row, unique per due time, so any number of clocks may tick and a kill
repeats at most one organisation.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Avg, Count, Sum
from django.utils import timezone

from analytics import queries, scoring
from analytics.models import AnalysisRun, HealthScore
from analytics.predict import jobs
from churnguard.clock import next_time
from churnguard.models import Batch, Customer, Organization, OrgDay, Schedule, Ticket

log = logging.getLogger(__name__)

DUE = {"daily": "02:00", "weekly": "sun 03:00", "monthly": "1 04:00"}
_CHUNK = 10_000


def tick(now: datetime | None = None) -> int:
    """Loop: run the analyses that are due; returns the organisations analysed."""
    at = now or datetime.now(UTC)
    done = 0
    for kind, at_utc in DUE.items():
        scheduled_for = _claim(kind, at_utc, at)
        if scheduled_for is not None:
            done += run_all(kind, scheduled_for)
    return done


def _claim(kind: str, at_utc: str, now: datetime) -> datetime | None:
    """The due time this caller won, or None. A first call only sets the row up."""
    with transaction.atomic():
        row = (
            Schedule.objects.select_for_update(skip_locked=True)
            .filter(kind=kind, organization__isnull=True)
            .first()
        )
        if row is None:
            Schedule.objects.get_or_create(
                organization=None,
                kind=kind,
                target_id=0,
                stream="",
                defaults={"at_utc": at_utc, "next_run_at": next_time(at_utc, now)},
            )
            return None
        if not row.is_enabled or row.next_run_at > now:
            return None
        due = row.next_run_at
        row.last_run_at, row.next_run_at = now, next_time(at_utc, now)
        row.save(update_fields=["last_run_at", "next_run_at"])
        return due


def run_all(kind: str, scheduled_for: datetime) -> int:
    """Analyse every organisation for this due time; those done already are skipped."""
    done = 0
    for organization in Organization.objects.order_by("pk").iterator():
        done += run_one(organization, kind, scheduled_for) is not None
    return done


def run_one(
    organization: Organization, kind: str, scheduled_for: datetime
) -> AnalysisRun | None:
    """Analyse one organisation; None when this due time is finished already."""
    start, end = period(kind, scheduled_for)
    run, _ = AnalysisRun.objects.get_or_create(
        organization=organization,
        kind=kind,
        scheduled_for=scheduled_for,
        defaults={
            "period_start": start,
            "period_end": end,
            "started_at": timezone.now(),
        },
    )
    if run.finished_at is not None:
        return None
    if kind == "daily":
        scoring.refresh_priors(organization.pk, timezone.now())
        mark_all_stale(organization.pk, timezone.now())
    if kind == "monthly" and jobs.has_model(organization):
        jobs.request(organization, reason="monthly")
    run.result = summarize(organization, start, end)
    run.finished_at = timezone.now()
    run.save(update_fields=["result", "finished_at"])
    log.info(
        "analysis.finished",
        extra={
            "kind": kind,
            "duration_s": (run.finished_at - run.started_at).total_seconds(),
        },
    )
    return run


def period(kind: str, scheduled_for: datetime) -> tuple[datetime, datetime]:
    """The whole days, week or month before the due time, [start, end) in UTC."""
    end = scheduled_for.replace(hour=0, minute=0, second=0, microsecond=0)
    if kind == "daily":
        return end - timedelta(days=1), end
    if kind == "weekly":
        return end - timedelta(days=7), end
    last = end - timedelta(days=1)
    return last.replace(day=1), end


def mark_all_stale(org_id: int, now: datetime) -> int:
    """Ask for a new score of every customer: days pass, so facts age."""
    total = last = 0
    while True:
        with transaction.atomic(), connection.cursor() as cur:
            cur.execute(
                "WITH chunk AS (SELECT id FROM cg_customer "
                "  WHERE organization_id = %s "
                "  AND id > %s AND merged_into_id IS NULL ORDER BY id LIMIT %s "
                "  FOR NO KEY UPDATE) "
                "UPDATE cg_customer c "
                "SET score_stale_at = coalesce(score_stale_at, %s) "
                "FROM chunk WHERE c.id = chunk.id RETURNING c.id",
                [org_id, last, _CHUNK, now],
            )
            ids = [row[0] for row in cur.fetchall()]
        if not ids:
            return total
        total, last = total + len(ids), max(ids)


def summarize(
    organization: Organization, start: datetime, end: datetime
) -> dict[str, Any]:
    """Numbers of [start, end): accounts, health, usage, support, data taken in."""
    days = (start.date(), end.date())
    tickets = Ticket.objects.filter(organization=organization, deleted_at__isnull=True)
    taken = Batch.objects.filter(
        organization=organization, received_at__gte=start, received_at__lt=end
    ).aggregate(
        fetched=Sum("fetched"), inserted=Sum("inserted"), quarantined=Sum("quarantined")
    )
    scores = HealthScore.objects.filter(
        organization=organization, at__gte=start, at__lt=end
    ).aggregate(n=Count("pk"), mean=Avg("score"))
    customers = Customer.objects.filter(
        organization=organization, merged_into__isnull=True
    )
    return {
        "customers": customers.count(),
        "bands": queries.band_counts(organization),
        "mrr_minor": customers.aggregate(total=Sum("mrr_minor"))["total"] or 0,
        "mean_score": customers.aggregate(mean=Avg("score"))["mean"],
        "scores_computed": scores["n"],
        "events": OrgDay.objects.filter(
            organization=organization, day__gte=days[0], day__lt=days[1]
        ).aggregate(n=Sum("n"))["n"]
        or 0,
        "tickets_opened": tickets.filter(
            opened_at__gte=start, opened_at__lt=end
        ).count(),
        "tickets_solved": tickets.filter(
            solved_at__gte=start, solved_at__lt=end
        ).count(),
        "records": {key: value or 0 for key, value in taken.items()},
    }
