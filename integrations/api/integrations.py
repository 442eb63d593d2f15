"""Integrations: the catalogue, list, create, read, change, remove, test, pause."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from integrations import catalog, controls, queries, registry
from integrations.api import shapes, shapes_data
from integrations.api.base import ADMIN, OrgView, errors, text_query
from integrations.models import Integration

_TAG = ["Integrations"]


class CatalogView(OrgView):
    """What can be connected, with the fields to fill in."""

    url_name = "catalog"

    @extend_schema(
        operation_id="catalog",
        tags=_TAG,
        responses={200: shapes_data.CatalogOut, **errors()},
    )
    def get(self, request: Request) -> Response:
        return Response({"results": catalog.list_providers()})


class IntegrationsView(OrgView):
    """The organisation's integrations."""

    url_name = "integrations"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_list",
        tags=_TAG,
        parameters=[
            text_query("search", "In name, id, provider and tags."),
            text_query("status", "Only this status."),
            text_query("provider", "Only this provider."),
            text_query("type", "Only this integration_type."),
        ],
        responses={200: shapes.IntegrationList, **errors()},
    )
    def get(self, request: Request) -> Response:
        rows = queries.list_integrations(
            self.organization,
            search=self.text("search"),
            status=self.text("status"),
            provider=self.text("provider"),
            integration_type=self.text("type"),
        )
        return Response({"results": rows})

    @extend_schema(
        operation_id="integrations_create",
        tags=_TAG,
        description="The specification's IntegrationConfiguration; needs the scope "
        "`admin`, as the pages do. `credentials` are write-only. Values the provider's "
        "catalogue entry declares as open settings may stand in `settings` or in "
        "`credentials`.",
        request=shapes.IntegrationIn,
        responses={201: shapes.IntegrationOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        body = self.body(shapes.IntegrationIn, request)
        self.require_own(body.pop("organization_id", None))
        made = registry.create(self.organization, body, by=request._request)
        return Response(queries.integration_body(made), status=201)


class IntegrationView(OrgView):
    """One integration."""

    url_name = "integration"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_read",
        tags=_TAG,
        responses={200: shapes.IntegrationOut, **errors(404)},
    )
    def get(self, request: Request, integration_id: str) -> Response:
        return Response(queries.integration_body(self.integration(integration_id)))

    @extend_schema(
        operation_id="integrations_update",
        tags=_TAG,
        description="Only what is sent changes. A credential of null is removed.",
        request=shapes.IntegrationPatch,
        responses={200: shapes.IntegrationOut, **errors(404)},
    )
    def patch(self, request: Request, integration_id: str) -> Response:
        found = self.integration(integration_id)
        body = self.body(shapes.IntegrationPatch, request)
        self.require_own(body.pop("organization_id", None))
        registry.update(found, body, by=request._request)
        return Response(queries.integration_body(self.integration(integration_id)))

    @extend_schema(
        operation_id="integrations_delete",
        tags=_TAG,
        description="Removes it with its credentials, schedules and run history. The "
        "data it brought stays.",
        responses={204: None, **errors(404)},
    )
    def delete(self, request: Request, integration_id: str) -> Response:
        registry.delete(self.integration(integration_id), by=request._request)
        return Response(status=204)


class TestView(OrgView):
    """Ask the provider who we are."""

    url_name = "integration-test"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_test",
        tags=_TAG,
        description="200 either way; `ok` and `detail` say how it went.",
        request=None,
        responses={200: shapes.CheckedOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        return Response(_test(self.integration(integration_id), request))


class TestConnectionsView(OrgView):
    """Test every integration that is not paused or unfinished."""

    url_name = "test-connections"
    required_scope = ADMIN

    @extend_schema(
        operation_id="system_test_connections",
        tags=["System"],
        request=None,
        responses={200: shapes.CheckedAll, **errors()},
    )
    def post(self, request: Request) -> Response:
        rows = (
            Integration.objects.select_related("organization", "source")
            .filter(organization=self.organization)
            .exclude(status__in=("paused", "inactive"))
            .order_by("pk")
        )
        results = [_test(row, request) for row in rows]
        good = sum(result["ok"] for result in results)
        return Response({"ok": good, "failed": len(results) - good, "results": results})


class PauseView(OrgView):
    """No runs until it is resumed."""

    url_name = "integration-pause"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_pause",
        tags=_TAG,
        request=None,
        responses={200: shapes.IntegrationOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        found = self.integration(integration_id)
        controls.pause(found, by=request._request)
        return Response(queries.integration_body(found))


class ResumeView(OrgView):
    """Let it run again."""

    url_name = "integration-resume"
    required_scope = ADMIN

    @extend_schema(
        operation_id="integrations_resume",
        tags=_TAG,
        request=None,
        responses={200: shapes.IntegrationOut, **errors(404)},
    )
    def post(self, request: Request, integration_id: str) -> Response:
        found = self.integration(integration_id)
        controls.resume(found, by=request._request)
        return Response(queries.integration_body(found))


class PauseManyView(OrgView):
    """Pause several integrations at once."""

    url_name = "system-pause"
    required_scope = ADMIN

    @extend_schema(
        operation_id="system_pause",
        tags=["System"],
        description="Those that are paused already are left as they are. One unknown "
        "id, and nothing happens.",
        request=shapes.ManyIn,
        responses={200: shapes.ManyOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        ids = self.body(shapes.ManyIn, request)["integrations"]
        done = controls.pause_many(self.organization, ids, by=request._request)
        return Response({"changed": done})


class ResumeManyView(OrgView):
    """Let several paused integrations run again."""

    url_name = "system-resume"
    required_scope = ADMIN

    @extend_schema(
        operation_id="system_resume",
        tags=["System"],
        description="Only those that are paused are changed. One unknown id, and "
        "nothing happens.",
        request=shapes.ManyIn,
        responses={200: shapes.ManyOut, **errors(404)},
    )
    def post(self, request: Request) -> Response:
        ids = self.body(shapes.ManyIn, request)["integrations"]
        done = controls.resume_many(self.organization, ids, by=request._request)
        return Response({"changed": done})


class DashboardListView(OrgView):
    """The specification's integration summaries."""

    url_name = "dashboard-integrations"

    @extend_schema(
        operation_id="dashboard_integrations",
        tags=["Dashboard"],
        description="The figures, chart and rows of the page Integrations.",
        responses={200: shapes.DashboardOut, **errors()},
    )
    def get(self, request: Request) -> Response:
        return Response(queries.overview(self.organization, datetime.now(UTC)))


class DashboardDetailView(OrgView):
    """One integration with its streams, its newest sync and its last runs."""

    url_name = "dashboard-integration"

    @extend_schema(
        operation_id="dashboard_integration",
        tags=["Dashboard"],
        responses={200: shapes.DashboardIntegrationOut, **errors(404)},
    )
    def get(self, request: Request, integration_id: str) -> Response:
        return Response(queries.dashboard(self.integration(integration_id)))


def _test(integration: Integration, request: Request) -> dict[str, Any]:
    checked = controls.test(integration, by=request._request)
    return {
        "integration_id": integration.public_id,
        "ok": checked.ok,
        "code": checked.code,
        "detail": checked.sentence,
    }


VIEWS = {
    "api/catalog": CatalogView,
    "api/integrations": IntegrationsView,
    "api/integrations/<public_id:integration_id>": IntegrationView,
    "api/integrations/<public_id:integration_id>/test": TestView,
    "api/integrations/<public_id:integration_id>/pause": PauseView,
    "api/integrations/<public_id:integration_id>/resume": ResumeView,
    "api/system/test-connections": TestConnectionsView,
    "api/system/pause": PauseManyView,
    "api/system/resume": ResumeManyView,
    "api/dashboard/integrations": DashboardListView,
    "api/dashboard/integration/<public_id:integration_id>": DashboardDetailView,
}
