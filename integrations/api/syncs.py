"""Syncs: start, stop, how they go, and their history."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from churnguard import audit
from churnguard.api import problem
from churnguard.errors import ConfigError
from integrations import queries, runs
from integrations.api import shapes
from integrations.api.base import PAGING, OrgView, errors, text_query
from integrations.models import Integration, SyncRun

_TAG = ["Syncs"]
_CONFLICTS = ("paused", "inactive")


class SyncView(OrgView):
    """Start a sync."""

    url_name = "sync"

    @extend_schema(
        operation_id="integrations_sync",
        tags=_TAG,
        description="Puts a run into the queue and answers at once. While one is "
        "pending or running the answer is 409 `already_running` with its id in "
        "`fields.sync_id`, so repeating the request starts nothing twice. With `since` "
        "or `until` a range is read again and the position of incremental reading "
        "stays.",
        request=shapes.SyncIn,
        responses={202: shapes.SyncStarted, **errors(404, 409)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        body = self.body(shapes.SyncIn, request)
        trigger = "backfill" if "since" in body or "until" in body else "manual"
        return start(integration, request, trigger=trigger, **body)


class CancelView(OrgView):
    """Stop the pending or running sync at its next page."""

    url_name = "sync-cancel"

    @extend_schema(
        operation_id="integrations_sync_cancel",
        tags=_TAG,
        description="What is stored already stays. 404 when no sync is under way.",
        request=None,
        responses={202: shapes.RunOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        run = runs.get_active(integration)
        if run is None or not runs.request_cancel(run):
            return problem("No sync is under way.", "not_running", 404)
        audit.record(
            request._request,
            "sync.cancelled",
            organization=self.organization,
            target_type="sync",
            target_id=run.public_id,
        )
        return _run(run, 202)


class SyncStatusView(OrgView):
    """How the running sync goes, else how the last one went."""

    url_name = "sync-status"

    @extend_schema(
        operation_id="integrations_sync_status",
        tags=_TAG,
        responses={200: shapes.StatusOut, **errors(404)},
    )
    def get(self, request: Request, integration_id: str) -> Response:
        return Response(queries.sync_status(self.integration(integration_id)))


class RunsView(OrgView):
    """The syncs of an integration, newest first."""

    url_name = "runs"

    @extend_schema(
        operation_id="integrations_runs",
        tags=_TAG,
        parameters=[text_query("status", "Only this status."), *PAGING],
        responses={200: shapes.RunPage, **errors(404)},
    )
    def get(self, request: Request, integration_id: str) -> Response:
        cursor, limit = self.page()
        rows, following = queries.list_runs(
            self.organization,
            integration=self.integration(integration_id),
            status=self.text("status"),
            cursor=cursor,
            limit=limit,
        )
        return Response({"results": rows, "next": following})


class AllRunsView(OrgView):
    """The syncs of the organisation, newest first."""

    url_name = "syncs"

    @extend_schema(
        operation_id="syncs_list",
        tags=_TAG,
        parameters=[text_query("status", "Only this status."), *PAGING],
        responses={200: shapes.RunPage, **errors()},
    )
    def get(self, request: Request) -> Response:
        cursor, limit = self.page()
        rows, following = queries.list_runs(
            self.organization, status=self.text("status"), cursor=cursor, limit=limit
        )
        return Response({"results": rows, "next": following})


class RunView(OrgView):
    """One sync with its streams."""

    url_name = "run"

    @extend_schema(
        operation_id="syncs_read",
        tags=_TAG,
        responses={200: shapes.RunDetailOut, **errors(404)},
    )
    def get(self, request: Request, sync_id: str) -> Response:
        return Response(queries.run_detail(self.organization, sync_id))


class LedgerView(OrgView):
    """The committed pages of a sync."""

    url_name = "run-ledger"

    @extend_schema(
        operation_id="syncs_ledger",
        tags=_TAG,
        parameters=PAGING,
        responses={200: shapes.LedgerPage, **errors(404)},
    )
    def get(self, request: Request, sync_id: str) -> Response:
        cursor, limit = self.page()
        rows, following = queries.ledger_lines(
            self.organization, sync_id, cursor=cursor, limit=limit
        )
        return Response({"results": rows, "next": following})


def start(integration: Integration, request: Request, **options: object) -> Response:
    """The answer to a request for a sync: 202, or 409 where it cannot start."""
    actor = audit.actor_of(request._request)
    try:
        run = runs.start(integration, by=actor, **options)  # type: ignore[arg-type]
    except runs.AlreadyRunningError as exc:
        known = {"sync_id": exc.run.public_id} if exc.run else {}
        return problem(exc.message, exc.code, 409, fields=known)
    except ConfigError as exc:
        if exc.code in _CONFLICTS:
            return problem(exc.message, exc.code, 409)
        raise
    audit.record(
        request._request,
        "sync.requested",
        organization=integration.organization,
        target_type="sync",
        target_id=run.public_id,
        after={"mode": run.mode, "streams": run.streams, "trigger": run.trigger},
    )
    return started(integration, run)


def started(integration: Integration, run: SyncRun) -> Response:
    """The specification's answer."""
    return Response(
        {
            "sync_id": run.public_id,
            "status": "started",
            "estimated_duration": queries.estimated_duration(integration, run.mode),
        },
        status=202,
    )


def _run(run: SyncRun, status: int) -> Response:
    run.refresh_from_db()
    return Response(queries.run_body(run), status=status)


VIEWS = {
    "api/integrations/<public_id:integration_id>/sync": SyncView,
    "api/integrations/<public_id:integration_id>/sync/cancel": CancelView,
    "api/integrations/<public_id:integration_id>/sync/status": SyncStatusView,
    "api/integrations/<public_id:integration_id>/runs": RunsView,
    "api/syncs": AllRunsView,
    "api/syncs/<public_id:sync_id>": RunView,
    "api/syncs/<public_id:sync_id>/ledger": LedgerView,
}
