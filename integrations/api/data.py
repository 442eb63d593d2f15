"""Quarantine and uploads."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from churnguard.errors import ConfigError
from integrations import queries, replay, uploads
from integrations.api import shapes_data
from integrations.api.base import PAGING, OrgView, errors, text_query
from integrations.models import Upload

_TAG = ["Quarantine"]


class QuarantineView(OrgView):
    """Records that could not be used, newest first, and how many by reason."""

    url_name = "quarantine"

    @extend_schema(
        operation_id="quarantine_list",
        tags=_TAG,
        parameters=[
            text_query("state", "open (default), replayed, discarded or all."),
            text_query("code", "Only this reason."),
            text_query("source", "Only this source."),
            text_query("stream", "Only this stream."),
            text_query("type", "Only this record type."),
            *PAGING,
        ],
        responses={200: shapes_data.QuarantinePage, **errors()},
    )
    def get(self, request: Request) -> Response:
        cursor, limit = self.page()
        state = self.text("state") or "open"
        state = "" if state == "all" else state
        source = self.text("source")
        rows, following = queries.list_quarantine(
            self.organization,
            state=state,
            code=self.text("code"),
            source=source,
            stream=self.text("stream"),
            record_type=self.text("type"),
            cursor=cursor,
            limit=limit,
        )
        counts = queries.count_quarantine(self.organization, state=state, source=source)
        return Response({"results": rows, "counts": counts, "next": following})


class QuarantinedView(OrgView):
    """One of them, with what came."""

    url_name = "quarantined"

    @extend_schema(
        operation_id="quarantine_read",
        tags=_TAG,
        responses={200: shapes_data.QuarantineDetail, **errors(404)},
    )
    def get(self, request: Request, row_id: int) -> Response:
        return Response(queries.get_quarantined(self.organization, row_id))


class ReplayView(OrgView):
    """Read records again, repaired or by the mapping in force now."""

    url_name = "quarantine-replay"

    @extend_schema(
        operation_id="quarantine_replay",
        tags=_TAG,
        description="Stores what is good now, each record once however often this is "
        "asked; `failed` says what is still wrong, `skipped` what was not open any "
        "more. With `dry_run` nothing is stored.",
        request=shapes_data.ReplayIn,
        responses={200: shapes_data.ReplayOut, **errors()},
    )
    def post(self, request: Request) -> Response:
        body = self.body(shapes_data.ReplayIn, request)
        done = replay.replay(
            self.organization,
            body["ids"],
            by=request._request,
            edits=_edits(body.get("edits") or {}),
            dry_run=body["dry_run"],
        )
        return Response(
            {"stored": done.stored, "failed": done.failed, "skipped": done.skipped}
        )


class DiscardView(OrgView):
    """Mark records as not wanted."""

    url_name = "quarantine-discard"

    @extend_schema(
        operation_id="quarantine_discard",
        tags=_TAG,
        request=shapes_data.IdsIn,
        responses={200: shapes_data.CountOut, **errors()},
    )
    def post(self, request: Request) -> Response:
        body = self.body(shapes_data.IdsIn, request)
        count = replay.discard(self.organization, body["ids"], by=request._request)
        return Response({"count": count})


class UploadsView(OrgView):
    """Files for the file connector."""

    url_name = "uploads"
    parser_classes = (MultiPartParser,)

    @extend_schema(
        operation_id="uploads_list",
        tags=["Uploads"],
        responses={200: shapes_data.UploadList, **errors()},
    )
    def get(self, request: Request) -> Response:
        rows = (
            Upload.objects.select_related("integration")
            .filter(organization=self.organization)
            .order_by("-pk")[:200]
        )
        return Response({"results": [_upload(row) for row in rows]})

    @extend_schema(
        operation_id="uploads_create",
        tags=["Uploads"],
        description="CSV, NDJSON or JSON, plain, gzip or zstd, up to 5 GiB. A newer "
        "upload of the same name replaces the older one at the next sync.",
        request={"multipart/form-data": shapes_data.UploadIn},
        responses={201: shapes_data.UploadOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        body = self.body(shapes_data.UploadIn, request)
        integration = None
        if body.get("integration_id"):
            integration = self.integration(body["integration_id"])
        made = uploads.keep(
            self.organization,
            body["file"],
            by=request._request,
            integration=integration,
        )
        return Response(_upload(made), status=201)


class UploadView(OrgView):
    """One uploaded file."""

    url_name = "upload"

    @extend_schema(
        operation_id="uploads_delete",
        tags=["Uploads"],
        responses={204: None, **errors(404)},
    )
    def delete(self, request: Request, upload_id: str) -> Response:
        found = (
            Upload.objects.select_related("organization")
            .filter(organization=self.organization, public_id=upload_id)
            .first()
        )
        if found is None:
            raise Http404("No such upload.")
        uploads.remove(found, by=request._request)
        return Response(status=204)


class UploadPreviewView(OrgView):
    """What uploaded files seem to hold: types, dates, meaning of each column."""

    url_name = "uploads-preview"
    parser_classes = (JSONParser,)

    @extend_schema(
        operation_id="uploads_preview",
        tags=["Uploads"],
        description="Files that belong together should be asked about together: one "
        "may name the customer of another. Send a changed `layout` back as "
        "`settings.layouts.<stream>` of the integration.",
        request=shapes_data.UploadPreviewIn,
        responses={200: shapes_data.PreviewOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        wanted = self.body(shapes_data.UploadPreviewIn, request)["uploads"]
        rows = list(
            Upload.objects.select_related("organization").filter(
                organization=self.organization, public_id__in=wanted
            )
        )
        if len(rows) != len(set(wanted)):
            raise Http404("No such upload.")
        return Response({"results": uploads.preview(rows)})


def _edits(given: dict[str, Any]) -> dict[int, dict[str, Any]]:
    edits = {}
    for key, value in given.items():
        if not (key.isascii() and key.isdigit()) or not isinstance(value, dict):
            raise ConfigError(
                "edits must be {id: object}.",
                code="invalid",
                fields={"edits": "{id: object}"},
            )
        edits[int(key)] = value
    return edits


def _upload(upload: Upload) -> dict[str, Any]:
    return {
        "upload_id": upload.public_id,
        "name": upload.name,
        "size_bytes": upload.size_bytes,
        "sha256": upload.sha256,
        "integration_id": upload.integration.public_id if upload.integration else None,
        "created_at": upload.created_at,
    }


VIEWS = {
    "api/quarantine": QuarantineView,
    "api/quarantine/<int:row_id>": QuarantinedView,
    "api/quarantine/replay": ReplayView,
    "api/quarantine/discard": DiscardView,
    "api/uploads": UploadsView,
    "api/uploads/preview": UploadPreviewView,
    "api/uploads/<public_id:upload_id>": UploadView,
}
