"""Streams of an integration and their field mappings."""

from __future__ import annotations

from django.db import transaction
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from churnguard.api import problem
from churnguard.errors import ConfigError
from integrations import (
    catalog,
    connecting,
    controls,
    mappings,
    queries,
    runs,
    schedules,
)
from integrations.api import shapes, shapes_data, syncs
from integrations.api.base import ADMIN, OrgView, errors
from integrations.models import MappingVersion, StreamState

_TAG = ["Streams"]
_ONE = "api/integrations/<public_id:integration_id>/streams/<path:stream>"


class StreamsView(OrgView):
    """The streams of an integration."""

    url_name = "streams"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_streams",
        tags=_TAG,
        responses={200: shapes_data.StreamList, **errors(404)},
    )
    def get(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        return Response({"results": queries.list_streams(integration)})

    @extend_schema(
        operation_id="integrations_streams_update",
        tags=_TAG,
        description="Choose streams, give them a clock or a cursor field of their own.",
        request=shapes_data.StreamsPatch,
        responses={200: shapes_data.StreamList, **errors(404)},
    )
    def patch(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        body = self.body(shapes_data.StreamsPatch, request)["streams"]
        states = {
            state.name: state
            for state in StreamState.objects.select_related(
                "integration__organization"
            ).filter(
                integration=integration, name__in=[n for n in body if "\0" not in n]
            )
        }
        unknown = sorted(set(body) - set(states))
        if unknown:
            raise ConfigError(
                f"No such stream: {', '.join(unknown)[:500]}.",
                code="unknown_stream",
                fields={"streams": "unknown"},
            )
        with transaction.atomic():
            for name, changes in body.items():
                controls.update_stream(states[name], changes, by=request._request)
        return Response({"results": queries.list_streams(integration)})


class DiscoverView(OrgView):
    """Ask the provider again which streams there are."""

    url_name = "streams-discover"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_streams_discover",
        tags=_TAG,
        request=None,
        responses={200: shapes_data.StreamList, **errors(404, 503)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        catalog.keep_streams(integration, connecting.discover(integration))
        schedules.keep(integration)
        return Response({"results": queries.list_streams(integration)})


class RetryView(OrgView):
    """Sync this stream alone."""

    url_name = "stream-retry"

    @extend_schema(
        operation_id="integrations_stream_retry",
        tags=_TAG,
        description="Goes on from its last stored page; `mode` full reads it all.",
        request=shapes.SyncIn,
        responses={202: shapes.SyncStarted, **errors(404, 409)},
    )
    def post(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        body = self.body(shapes.SyncIn, request)
        body["streams"] = [state.name]
        return syncs.start(state.integration, request, trigger="retry", **body)


class ConfirmDeletesView(OrgView):
    """Let the deletes happen that the brake stopped."""

    url_name = "stream-confirm-deletes"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_stream_confirm_deletes",
        tags=_TAG,
        request=None,
        responses={202: shapes.SyncStarted, **errors(404, 409)},
    )
    def post(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        try:
            run = controls.confirm_deletes(state, by=request._request)
        except runs.AlreadyRunningError as exc:
            known = {"sync_id": exc.run.public_id} if exc.run else {}
            return problem(exc.message, exc.code, 409, fields=known)
        return syncs.started(state.integration, run)


class MappingView(OrgView):
    """The field mapping of a stream."""

    url_name = "mapping"

    @extend_schema(
        operation_id="mapping_read",
        tags=["Mapping"],
        responses={200: shapes_data.MappingOut, **errors(404)},
    )
    def get(self, request: Request, integration_id: str, stream: str) -> Response:
        return Response(mappings.describe(self.stream(integration_id, stream)))

    @extend_schema(
        operation_id="mapping_save",
        tags=["Mapping"],
        description="Saves a new version, in use from the next page on. A full sync "
        "applies it to what is stored already.",
        request=shapes_data.MappingIn,
        responses={200: shapes_data.MappingVersionOut, **errors(404)},
    )
    def put(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        body = self.body(shapes_data.MappingIn, request)
        made = mappings.save(
            state, body["spec"], note=body.get("note", ""), by=request._request
        )
        return Response(_version(made))


class MappingPreviewView(OrgView):
    """What a mapping makes of 20 real records; nothing is stored."""

    url_name = "mapping-preview"

    @extend_schema(
        operation_id="mapping_preview",
        tags=["Mapping"],
        request=shapes_data.MappingTry,
        responses={200: shapes_data.PreviewOut, **errors(404, 503)},
    )
    def post(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        body = self.body(shapes_data.MappingTry, request)
        return Response({"results": mappings.preview(state, body.get("spec"))})


class MappingDryRunView(OrgView):
    """What a mapping would change in up to 1,000 records; nothing is stored."""

    url_name = "mapping-dry-run"

    @extend_schema(
        operation_id="mapping_dry_run",
        tags=["Mapping"],
        request=shapes_data.MappingTry,
        responses={200: shapes_data.DryRunOut, **errors(404, 503)},
    )
    def post(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        body = self.body(shapes_data.MappingTry, request)
        return Response(mappings.dry_run(state, body.get("spec")))


class MappingVersionsView(OrgView):
    """Every version of a mapping, newest first."""

    url_name = "mapping-versions"

    @extend_schema(
        operation_id="mapping_versions",
        tags=["Mapping"],
        responses={200: shapes_data.MappingVersions, **errors(404)},
    )
    def get(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        rows = [_version(row) for row in mappings.list_versions(state)]
        return Response({"results": rows})


class MappingRollbackView(OrgView):
    """Make an old version the newest one."""

    url_name = "mapping-rollback"

    @extend_schema(
        operation_id="mapping_rollback",
        tags=["Mapping"],
        request=shapes_data.RollbackIn,
        responses={200: shapes_data.MappingVersionOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str, stream: str) -> Response:
        state = self.stream(integration_id, stream)
        body = self.body(shapes_data.RollbackIn, request)
        made = mappings.roll_back(state, body["version"], by=request._request)
        return Response(_version(made))


def _version(row: MappingVersion) -> dict[str, object]:
    return {
        "version": row.version,
        "spec": row.spec,
        "note": row.note,
        "created_by": row.created_by,
        "created_at": row.created_at,
    }


VIEWS = {
    "api/integrations/<public_id:integration_id>/streams": StreamsView,
    "api/integrations/<public_id:integration_id>/streams/discover": DiscoverView,
    f"{_ONE}/retry": RetryView,
    f"{_ONE}/confirm-deletes": ConfirmDeletesView,
    f"{_ONE}/mapping": MappingView,
    f"{_ONE}/mapping/preview": MappingPreviewView,
    f"{_ONE}/mapping/dry-run": MappingDryRunView,
    f"{_ONE}/mapping/versions": MappingVersionsView,
    f"{_ONE}/mapping/rollback": MappingRollbackView,
}
