"""The same door as a Django REST view: for WSGI deployments, for signed-in people,
and for the API description."""

from __future__ import annotations

from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.request import Request
from rest_framework.views import APIView

from churnguard import metrics
from churnguard.auth import organization_of
from churnguard.records import RECORD_TYPES
from integrations.ingest import flow
from integrations.ingest.answers import Answer, IngestError
from integrations.ingest.committer import Outcome, Submission, committer

_CHUNK = 64 * 1024


class ProblemSerializer(serializers.Serializer[Any]):
    """The body of every error."""

    detail = serializers.CharField()
    code = serializers.CharField()
    fields = serializers.DictField(child=serializers.CharField())  # type: ignore[assignment]


class RefusedRecordSerializer(serializers.Serializer[Any]):
    index = serializers.IntegerField(
        help_text="Place of the record in the body, from 0."
    )
    code = serializers.CharField()
    detail = serializers.CharField()


class ReceiptSerializer(serializers.Serializer[Any]):
    batch_id = serializers.CharField()
    accepted = serializers.IntegerField(
        help_text="Stored, or stored already with the same or newer content."
    )
    duplicates = serializers.IntegerField(help_text="Sent and stored before.")
    quarantined = serializers.IntegerField(help_text="Kept aside with a reason.")
    errors = RefusedRecordSerializer(many=True)  # type: ignore[assignment]


class IngestRecordSerializer(serializers.Serializer[Any]):
    """One record; keys of other types than event are those of the unified model."""

    type = serializers.ChoiceField(
        choices=sorted(RECORD_TYPES), default="event", required=False
    )
    event = serializers.CharField(required=False, help_text="Name of the event.")
    event_id = serializers.CharField(
        required=False,
        help_text="Dedupe key inside the source; absent = hash of the content.",
    )
    customer_id = serializers.CharField(required=False)
    user_id = serializers.CharField(required=False)
    timestamp = serializers.CharField(
        required=False,
        help_text="ISO 8601, or Unix seconds or milliseconds; absent = arrival.",
    )
    value = serializers.FloatField(required=False)
    properties = serializers.DictField(required=False)
    id = serializers.CharField(required=False, help_text="Of types other than event.")


class _Waiting:
    """The thread of one request."""

    def __init__(self) -> None:
        self.future: Future[Outcome] = Future()

    def hear(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
        ((_submission, outcome),) = outcomes
        self.future.set_result(outcome)


class _AnyAccept(BaseContentNegotiation):
    """The answer is JSON, whatever the client would like."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        return parsers[0]

    def select_renderer(
        self, request: Request, renderers: Any, format_suffix: Any = None
    ) -> Any:
        return renderers[0], renderers[0].media_type


_ERRORS = {
    400: "Not JSON, or not records.",
    401: "No valid API key.",
    403: "The key lacks the scope ingest.",
    413: "Body too large, or too many records.",
    415: "Content type or encoding not taken.",
    429: "Too many records in a minute; see Retry-After.",
    503: "The database is away or too slow; see Retry-After.",
}


class IngestView(APIView):
    """Take records of a source; answered after they are stored."""

    required_scope = dict.fromkeys(
        ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), "ingest"
    )
    throttle_classes: list[Any] = []
    content_negotiation_class = _AnyAccept

    @extend_schema(
        operation_id="data_ingest",
        tags=["Data"],
        summary="Send records",
        description=(
            'One object, a list, {"records": [...]} or NDJSON; plain, gzip or zstd. '
            "Good records are stored even when others of the body are refused."
        ),
        parameters=[
            OpenApiParameter("source_system", str, OpenApiParameter.PATH),
            OpenApiParameter(
                "Content-Encoding",
                str,
                OpenApiParameter.HEADER,
                enum=["gzip", "zstd", "identity"],
            ),
        ],
        request={
            "application/json": IngestRecordSerializer(many=True),
            "application/x-ndjson": IngestRecordSerializer,
        },
        responses={202: ReceiptSerializer, **dict.fromkeys(_ERRORS, ProblemSerializer)},
        examples=[
            OpenApiExample(
                "One event",
                value={
                    "event_id": "e-1",
                    "event": "report_exported",
                    "customer_id": "acme",
                    "timestamp": "2026-03-01T12:00:00Z",
                    "properties": {"rows": 120},
                },
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, source_system: str) -> HttpResponse:
        try:
            answer = self._take(request, source_system)
        except IngestError as error:
            answer = error.answer()
        response = HttpResponse(
            answer.body, status=answer.status, content_type="application/json"
        )
        for name, text in answer.headers:
            response[name] = text
        return response

    def finalize_response(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, *args, **kwargs)
        if request.method == "POST":
            organization = getattr(request._request, "organization", None)
            metrics.ingest_requests(
                response.status_code,
                tenant_id=organization.public_id if organization else "",
            )
        return response

    def _take(self, request: Request, source_system: str) -> Answer:
        http = request._request
        organization = organization_of(request)
        key = getattr(http, "api_key", None)
        key_id = str(key.pk) if key is not None else f"org {organization.pk}"
        flow.check_source_name(source_system)
        flow.admit(key_id)
        reader, ndjson = flow.open_body(
            content_type=http.headers.get("Content-Type", ""),
            content_encoding=http.headers.get("Content-Encoding", ""),
            content_length=http.headers.get("Content-Length", ""),
        )
        while chunk := http.read(_CHUNK):
            reader.feed(chunk)
        decoded, received_at = flow.build(reader.finish(), ndjson=ndjson, key_id=key_id)
        waiting = _Waiting()
        submission = Submission(
            org_id=organization.pk,
            tenant_id=organization.public_id,
            source_name=source_system,
            decoded=decoded,
            nbytes=reader.received,
            received_at=received_at,
            listener=waiting,
        )
        committer().submit(submission)
        try:
            return waiting.future.result(flow.COMMIT_WAIT_S).answer()
        except FutureTimeoutError as exc:
            submission.cancelled = True
            raise flow.too_slow() from exc
