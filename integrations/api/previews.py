"""Trying out a REST endpoint: the first records, raw and as ours, and the request."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import previews
from integrations.api.base import ADMIN, JsonObject, OrgView, errors
from integrations.api.oauth import RuleIn
from integrations.api.shapes import CredentialsIn, IntegrationPatch
from integrations.connectors.rest.rules import integration_of_rule
from integrations.credentials import flatten

_TAG = ["Integrations"]
_TOLD = (
    "One request to the API, nothing is stored. 200 either way; `ok` and `detail` say "
    "how it went, `requests` what was asked (secrets masked)."
)


class ChosenIn(serializers.Serializer):
    stream = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        help_text="Name of an endpoint; absent = the first.",
    )
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=previews.MOST, help_text="Default 10."
    )


class NewPreviewIn(IntegrationPatch, ChosenIn):
    """An IntegrationConfiguration of the provider `rest`."""


class SavedPreviewIn(ChosenIn):
    settings = JsonObject(required=False, help_text="Tried in place of those stored.")
    credentials = CredentialsIn(required=False)


class RulePreviewIn(RuleIn):
    rule_id = serializers.CharField(required=False, max_length=64)
    name = serializers.CharField(required=False, max_length=200)
    limit = serializers.IntegerField(
        required=False, min_value=1, max_value=previews.MOST
    )


class PreviewedRow(serializers.Serializer):
    raw = serializers.JSONField(help_text="The object as the API sent it.")
    record = serializers.DictField(
        allow_null=True, help_text="As it would be stored; null where it cannot."
    )
    error = serializers.CharField()


class SentOut(serializers.Serializer):
    method = serializers.CharField()
    url = serializers.CharField()
    headers = serializers.DictField(child=serializers.CharField())
    body = serializers.JSONField(allow_null=True)
    status = serializers.IntegerField(help_text="0 = no answer came.")
    duration_ms = serializers.IntegerField()


class LivePreviewOut(serializers.Serializer):
    ok = serializers.BooleanField()
    code = serializers.CharField()
    detail = serializers.CharField()
    problems = serializers.DictField(help_text="Setting to what is wrong with it.")
    stream = serializers.CharField()
    record_type = serializers.CharField()
    fields = serializers.ListField(  # type: ignore[assignment]
        child=serializers.CharField()
    )
    has_more = serializers.BooleanField()
    rows = PreviewedRow(many=True)
    requests = SentOut(many=True)


class NewPreviewView(OrgView):
    """Try out a REST integration before it is made."""

    url_name = "system-preview"
    required_scope = ADMIN

    @extend_schema(
        operation_id="system_preview",
        tags=_TAG,
        description=_TOLD,
        request=NewPreviewIn,
        responses={200: LivePreviewOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        body = self.body(NewPreviewIn, request)
        self.require_own(body.pop("organization_id", None))
        return Response(previews.preview_new(self.organization, body, **_chosen(body)))


class SavedPreviewView(OrgView):
    """Try out an endpoint of an integration, as stored or with changes."""

    url_name = "integration-preview"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_preview",
        tags=_TAG,
        description=_TOLD,
        request=SavedPreviewIn,
        responses={200: LivePreviewOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        found = self.integration(integration_id)
        body = self.body(SavedPreviewIn, request)
        _kind, secrets = flatten(body.get("credentials") or {})
        seen = previews.preview_saved(
            found, settings=body.get("settings"), secrets=secrets, **_chosen(body)
        )
        return Response(seen)


class RulePreviewView(OrgView):
    """Try out an ingestion rule before it is made."""

    url_name = "ingestion-rules-preview"
    required_scope = ADMIN

    @extend_schema(
        operation_id="ingestion_rules_preview",
        tags=_TAG,
        description=_TOLD,
        request=RulePreviewIn,
        responses={200: LivePreviewOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        rule = self.body(RulePreviewIn, request)
        self.require_own(rule.pop("organization_id", None))
        seen = previews.preview_new(
            self.organization, integration_of_rule(rule), **_chosen(rule)
        )
        return Response(seen)


def _chosen(body: dict[str, Any]) -> dict[str, Any]:
    return {name: body[name] for name in ("stream", "limit") if name in body}


VIEWS = {
    "api/system/preview": NewPreviewView,
    "api/ingestion-rules/preview": RulePreviewView,
    "api/integrations/<public_id:integration_id>/preview": SavedPreviewView,
}
