"""The API of the health definition: versions, draft, preview, back-test, weights."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from analytics.definitions import body, checks, store
from analytics.definitions.models import DefinitionCheck
from analytics.definitions.shapes import (
    DefinitionChange,
    DefinitionChecks,
    DefinitionCheckSerializer,
    DefinitionQuestion,
    DefinitionVersions,
    DraftChange,
    HealthDefinition,
    SegmentChoice,
    VersionChoice,
)
from analytics.definitions.validation import check_spec
from churnguard import audit
from churnguard.api import page_limit
from churnguard.auth import organization_of
from churnguard.errors import ConfigError
from churnguard.models import Organization
from churnguard.schema import ERRORS, PAGE

SEGMENT = OpenApiParameter(
    "segment",
    str,
    description="A customers' segment with a definition of its own; empty or left out "
    "= the organisation's.",
)
CHECKED = {
    200: DefinitionCheckSerializer,
    202: DefinitionCheckSerializer,
    **ERRORS,
}


class DefinitionView(APIView):
    """The health definition in use."""

    required_scope = {"PUT": "admin", "DELETE": "admin"}

    @extend_schema(
        operation_id="health_definition",
        tags=["Health definition"],
        parameters=[SEGMENT],
        responses={200: HealthDefinition, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization = organization_of(request)
        return _standing(organization, request.query_params.get("segment"))

    @extend_schema(
        operation_id="health_definition_save",
        tags=["Health definition"],
        request=DefinitionChange,
        responses={200: HealthDefinition, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        """Save a version and use it from now on. All accounts it concerns are scored
        again; their histories stay. The same content makes no version."""
        organization, given = organization_of(request), _object(request)
        segment = store.read_segment(organization, given.get("segment"))
        store.save(
            request._request,
            organization,
            segment=segment,
            spec=given.get("spec"),
            note=given.get("note", ""),
            based_on=_based_on(given.get("based_on_version")),
        )
        return _standing(organization, segment)

    @extend_schema(
        operation_id="health_definition_drop",
        tags=["Health definition"],
        parameters=[SEGMENT],
        request=None,
        responses={200: HealthDefinition, **ERRORS},
    )
    def delete(self, request: Request) -> Response:
        """Let a segment follow the organisation's definition again."""
        organization = organization_of(request)
        segment = store.read_segment(organization, request.query_params.get("segment"))
        store.drop_segment(request._request, organization, segment)
        return _standing(organization, segment)


class DraftView(APIView):
    """The draft of a definition. It scores nobody."""

    required_scope = {"PUT": "write", "DELETE": "write"}

    @extend_schema(
        operation_id="health_definition_draft",
        tags=["Health definition"],
        request=DraftChange,
        responses={200: HealthDefinition, **ERRORS},
    )
    def put(self, request: Request) -> Response:
        organization, given = organization_of(request), _object(request)
        segment = store.read_segment(organization, given.get("segment"))
        store.put_draft(
            request._request, organization, segment=segment, spec=given.get("spec")
        )
        return _standing(organization, segment)

    @extend_schema(
        operation_id="health_definition_draft_discard",
        tags=["Health definition"],
        parameters=[SEGMENT],
        request=None,
        responses={200: HealthDefinition, **ERRORS},
    )
    def delete(self, request: Request) -> Response:
        organization = organization_of(request)
        segment = store.read_segment(organization, request.query_params.get("segment"))
        store.discard_draft(request._request, organization, segment)
        return _standing(organization, segment)


class VersionsView(APIView):
    """All versions, newest first, with what each changed. None is ever altered."""

    @extend_schema(
        operation_id="health_definition_versions",
        tags=["Health definition"],
        parameters=[SEGMENT, *PAGE],
        responses={200: DefinitionVersions, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        organization, query = organization_of(request), request.query_params
        segment = store.read_segment(organization, query.get("segment"))
        store.get_standing(organization, segment)
        results, after = body.list_versions(
            organization,
            segment,
            cursor=query.get("cursor"),
            limit=page_limit(query.get("limit")),
        )
        return Response({"results": results, "next": after})


class RestoreView(APIView):
    """Going back."""

    required_scope = {"POST": "admin"}

    @extend_schema(
        operation_id="health_definition_restore",
        tags=["Health definition"],
        request=VersionChoice,
        responses={200: HealthDefinition, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Use the content of an old version, as a new version."""
        organization, given = organization_of(request), _object(request)
        segment = store.read_segment(organization, given.get("segment"))
        store.restore(
            request._request,
            organization,
            segment=segment,
            number=given.get("version"),
        )
        return _standing(organization, segment)


class CheckView(APIView):
    """One preview, back-test or suggestion."""

    @extend_schema(
        operation_id="health_definition_check",
        tags=["Health definition"],
        responses={200: DefinitionCheckSerializer, **ERRORS},
    )
    def get(self, request: Request, check_id: str) -> Response:
        found = None
        if "\x00" not in check_id:
            found = DefinitionCheck.objects.filter(
                organization=organization_of(request), public_id=check_id
            ).first()
        if found is None:
            raise Http404("No such check.")
        return Response(body.check_body(found))


class PreviewView(APIView):
    """What a definition would do to every account; nothing is written."""

    required_scope = {"POST": "write"}

    @extend_schema(
        operation_id="health_definition_previews",
        tags=["Health definition"],
        parameters=[SEGMENT],
        responses={200: DefinitionChecks, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The newest 20 previews."""
        return _list(request, "preview")

    @extend_schema(
        operation_id="health_definition_preview",
        tags=["Health definition"],
        request=DefinitionQuestion,
        responses=CHECKED,
    )
    def post(self, request: Request) -> Response:
        """Both definitions on the facts of now. A large organisation gets 202 and asks
        again under `checks/{check_id}`."""
        return _ask(request, "preview")


class BacktestView(APIView):
    """How well the definition in use, and the draft beside it, told who left."""

    required_scope = {"POST": "write"}

    @extend_schema(
        operation_id="health_definition_backtests",
        tags=["Health definition"],
        parameters=[SEGMENT],
        responses={200: DefinitionChecks, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The newest 20 back-tests."""
        return _list(request, "backtest")

    @extend_schema(
        operation_id="health_definition_backtest",
        tags=["Health definition"],
        request=DefinitionQuestion,
        responses=CHECKED,
    )
    def post(self, request: Request) -> Response:
        """A worker scores the accounts of each past month as they stood. With fewer
        than 20 that left, or that stayed, the check is refused and says so."""
        return _ask(request, "backtest")


class SuggestionsView(APIView):
    """Component weights learned from the organisation's own past."""

    required_scope = {"POST": "write"}

    @extend_schema(
        operation_id="health_definition_suggestions",
        tags=["Health definition"],
        parameters=[SEGMENT],
        responses={200: DefinitionChecks, **ERRORS},
    )
    def get(self, request: Request) -> Response:
        """The newest 20 suggestions."""
        return _list(request, "suggestion")

    @extend_schema(
        operation_id="health_definition_suggest",
        tags=["Health definition"],
        request=SegmentChoice,
        responses=CHECKED,
    )
    def post(self, request: Request) -> Response:
        """A worker learns them on older months and judges them on newer ones."""
        return _ask(request, "suggestion")


class AcceptView(APIView):
    """Taking suggested weights into a draft."""

    required_scope = {"POST": "write"}

    @extend_schema(
        operation_id="health_definition_suggestions_accept",
        tags=["Health definition"],
        request=SegmentChoice,
        responses={200: HealthDefinition, **ERRORS},
    )
    def post(self, request: Request) -> Response:
        """Make a draft of the newest suggestion. It is never used by itself; refused
        when the weights did not prove better."""
        organization, given = organization_of(request), _object(request)
        segment = store.read_segment(organization, given.get("segment"))
        checks.accept(request._request, organization, segment)
        return _standing(organization, segment)


def _list(request: Request, kind: str) -> Response:
    organization = organization_of(request)
    segment = store.read_segment(organization, request.query_params.get("segment"))
    found = DefinitionCheck.objects.filter(
        organization=organization, kind=kind, segment=segment
    ).order_by("-pk")[:20]
    return Response({"results": [body.check_body(one) for one in found]})


def _ask(request: Request, kind: str) -> Response:
    organization, given = organization_of(request), _object(request)
    segment = store.read_segment(organization, given.get("segment"))
    found = checks.request(
        organization,
        kind,
        segment,
        _spec_asked(organization, kind, segment, given),
        audit.actor_of(request._request),
        again=True,
    )
    is_open = found.state in DefinitionCheck.OPEN
    return Response(body.check_body(found), status=202 if is_open else 200)


def _spec_asked(
    organization: Organization, kind: str, segment: str, given: dict[str, Any]
) -> dict[str, Any] | None:
    """The definition to hold against the one in use: what was sent, else the draft;
    None = there is none."""
    if kind == "suggestion":
        return None
    if given.get("spec") is not None:
        return check_spec(given["spec"])
    standing = store.get_standing(organization, segment)
    if standing.draft is None and kind == "backtest":
        return None
    return standing.shown_spec


def _standing(organization: Organization, segment: Any) -> Response:
    known = store.read_segment(organization, segment)
    standing = store.get_standing(organization, known)
    return Response(body.standing_body(organization, standing))


def _object(request: Request) -> dict[str, Any]:
    if not isinstance(request.data, dict):
        raise ConfigError("Send an object.", code="invalid")
    return request.data


def _based_on(given: Any) -> int | None:
    if given is None or (isinstance(given, int) and not isinstance(given, bool)):
        return given
    raise ConfigError(
        "based_on_version is not valid.",
        code="invalid",
        fields={"based_on_version": "Give a whole number."},
    )
