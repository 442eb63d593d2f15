"""Connecting by the provider's own sign-in, and rules for polled addresses."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect
from django.urls import path, reverse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from churnguard.auth import org_view
from churnguard.errors import ChurnGuardError, ConfigError
from churnguard.middleware import PageRequest
from churnguard.models import User
from integrations import connect, queries, registry
from integrations.api import shapes
from integrations.api.base import ADMIN, JsonObject, JsonValue, OrgView, errors
from integrations.connectors.rest.rules import integration_of_rule

_TAG = ["Integrations"]


class ConnectOut(serializers.Serializer):
    authorize_url = serializers.CharField()


class RevokeOut(serializers.Serializer):
    confirmed = serializers.BooleanField(help_text="Whether the provider said so.")


class RuleIn(serializers.Serializer):
    """The specification's APIIngestionRule."""

    rule_id = serializers.CharField(max_length=64)
    organization_id = serializers.CharField(required=False, max_length=64)
    name = serializers.CharField(max_length=200)
    description = serializers.CharField(required=False, allow_blank=True)
    endpoint_url = serializers.CharField(max_length=2000)
    http_method = serializers.ChoiceField(("GET", "POST"), required=False)
    headers = JsonObject(required=False)
    response_format = serializers.ChoiceField(
        ("json", "ndjson", "csv", "xml"), required=False
    )
    data_path = serializers.CharField(required=False, allow_blank=True)
    sync_frequency = serializers.IntegerField(
        required=False, min_value=0, max_value=2**31 - 1
    )
    field_mappings = JsonObject(required=False)
    record_type = serializers.CharField(required=False, max_length=40)
    primary_key = JsonValue(required=False, help_text="A field, or a list of fields.")
    pagination = JsonObject(required=False)
    incremental = JsonObject(required=False)
    params = JsonObject(required=False)
    body = JsonObject(required=False)


class ConnectView(OrgView):
    """Begin connecting by the provider's sign-in."""

    url_name = "integration-connect"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_connect",
        tags=_TAG,
        description="For a signed-in person: send the browser to `authorize_url`.",
        request=None,
        responses={200: ConnectOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        user = request._request.user
        if not isinstance(user, User) or getattr(request._request, "api_key", None):
            raise ConfigError(
                "Only a signed-in person can connect an account.", code="not_a_person"
            )
        url = connect.begin(
            integration,
            user=user,
            redirect_uri=request.build_absolute_uri(reverse("oauth-callback")),
        )
        return Response({"authorize_url": url})


class RevokeView(OrgView):
    """Give the access back."""

    url_name = "integration-revoke"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_revoke",
        tags=_TAG,
        description="400 `no_oauth` where a key was entered instead.",
        request=None,
        responses={200: RevokeOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        integration = self.integration(integration_id)
        confirmed = connect.revoke(integration, request=request._request)
        return Response({"confirmed": confirmed})


class IngestionRulesView(OrgView):
    """Poll an address: an integration of the REST connector in one body."""

    url_name = "ingestion-rules"
    required_scope = ADMIN

    @extend_schema(
        operation_id="ingestion_rules_create",
        tags=_TAG,
        request=RuleIn,
        responses={201: shapes.IntegrationOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        rule = self.body(RuleIn, request)
        self.require_own(rule.pop("organization_id", None))
        made = registry.create(
            self.organization, integration_of_rule(rule), by=request._request
        )
        return Response(queries.integration_body(made), status=201)


@org_view(role="admin")
def callback(request: PageRequest) -> HttpResponse:
    """Where the provider sends the browser back to."""
    try:
        integration = connect.finish(
            state=request.GET.get("state", ""),
            code=request.GET.get("code", ""),
            error=request.GET.get("error_description") or request.GET.get("error", ""),
            user=request.user,
            organization=request.organization,
            request=request,
        )
    except ChurnGuardError as exc:
        messages.error(request, exc.message)
        return redirect("integrations")
    messages.success(request, f"{integration.name} is connected.")
    return redirect("integration", integration.public_id)


VIEWS = {
    "api/integrations/<public_id:integration_id>/connect": ConnectView,
    "api/integrations/<public_id:integration_id>/revoke": RevokeView,
    "api/ingestion-rules": IngestionRulesView,
}
PAGES = [path("integrations/oauth/callback/", callback, name="oauth-callback")]
