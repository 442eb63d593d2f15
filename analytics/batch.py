"""The scheduled analyses: daily 02:00, weekly Sunday 03:00, monthly on the 1st 04:00.

Due times are `Schedule` rows. Whoever wins one writes an open `AnalysisRun` for each
organisation in the same transaction; open runs are then claimed one by one, so a kill
costs at most a repeated analysis, and one that fails stops no other.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from analytics import scoring
from analytics.analyses.results import Span, summarize
from analytics.models import AnalysisRun
from analytics.predict import jobs
from churnguard.clock import next_time
from churnguard.models import Organization, Schedule

log = logging.getLogger(__name__)

DUE = {"daily": "02:00", "weekly": "sun 03:00", "monthly": "1 04:00"}
_CHUNK = 10_000
_LEASE = timedelta(hours=1)
"""A run begun so long ago and not finished was left by a process that died."""


def tick(now: datetime | None = None) -> int:
    """Loop: queue the analyses that are due, then do what is open; returns the
    organisations analysed."""
    at = now or datetime.now(UTC)
    for kind, at_utc in DUE.items():
        _queue(kind, at_utc, at)
    done = 0
    while _run_next():
        done += 1
    return done


def _queue(kind: str, at_utc: str, now: datetime) -> None:
    """Open a run for each organisation if the kind is due and nobody else has. A first
    call only sets the schedule up."""
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
            return
        if not row.is_enabled or row.next_run_at > now:
            return
        due = row.next_run_at
        row.last_run_at, row.next_run_at = now, next_time(at_utc, now)
        row.save(update_fields=["last_run_at", "next_run_at"])
        start, end = period(kind, due)
        AnalysisRun.objects.bulk_create(
            (
                AnalysisRun(
                    organization_id=org_id,
                    kind=kind,
                    scheduled_for=due,
                    period_start=start,
                    period_end=end,
                )
                for org_id in Organization.objects.order_by("pk").values_list(
                    "pk", flat=True
                )
            ),
            ignore_conflicts=True,
            batch_size=1_000,
        )


def _run_next() -> bool:
    """Do the oldest open run that nobody does; False when there is none."""
    free = Q(started_at__isnull=True) | Q(started_at__lt=timezone.now() - _LEASE)
    with transaction.atomic():
        run = (
            AnalysisRun.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("organization")
            .filter(free, finished_at__isnull=True)
            .order_by("pk")
            .first()
        )
        if run is None:
            return False
        run.started_at = timezone.now()
        run.save(update_fields=["started_at"])
    try:
        _analyse(run)
    except Exception as exc:
        # The outermost border of a run: the others still have to be done.
        run.error = f"The analysis failed ({type(exc).__name__}); see the log."
        run.finished_at = timezone.now()
        run.save(update_fields=["error", "finished_at"])
        log.exception("analysis.failed", extra={"kind": run.kind})
    return True


def run_one(
    organization: Organization, kind: str, scheduled_for: datetime
) -> AnalysisRun | None:
    """Analyse one organisation; None when this due time is finished already."""
    start, end = period(kind, scheduled_for)
    run, _ = AnalysisRun.objects.get_or_create(
        organization=organization,
        kind=kind,
        scheduled_for=scheduled_for,
        defaults={"period_start": start, "period_end": end},
    )
    if run.finished_at is not None:
        return None
    run.started_at = timezone.now()
    _analyse(run)
    return run


def _analyse(run: AnalysisRun) -> None:
    organization, began = run.organization, timezone.now()
    if run.kind == "daily":
        scoring.refresh_priors(organization.pk, began)
        mark_all_stale(organization.pk, began)
    if run.kind == "monthly" and jobs.has_model(organization):
        jobs.request(organization, reason="monthly")
    span = Span(organization, run.period_start, run.period_end, began)
    run.result = summarize(run.kind, span)
    run.finished_at = timezone.now()
    run.save(update_fields=["started_at", "result", "finished_at"])
    log.info(
        "analysis.finished",
        extra={
            "kind": run.kind,
            "duration_s": (run.finished_at - began).total_seconds(),
        },
    )


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
