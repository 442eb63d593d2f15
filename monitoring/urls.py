"""Addresses of the monitoring app: probes, metrics, the dashboard APIs."""

from django.urls import include, path, re_path

from monitoring import admin_api, api, views
from monitoring.metrics import metrics

urlpatterns = [
    path("", views.overview, name="overview"),
    # The specification's address of the same page.
    re_path(r"^dashboard/?$", views.overview, name="dashboard"),
    path("alerts/", views.alerts_page, name="alerts"),
    path("webhooks/health", api.LiveView.as_view(), name="health-live"),
    path("api/dashboard/health", api.ReadyView.as_view(), name="health-ready"),
    path("api/dashboard/alerts", api.NoticesView.as_view(), name="api-alerts"),
    path("api/dashboard/metrics", api.OverallView.as_view(), name="api-overall"),
    path(
        "api/admin/integrations/stats",
        admin_api.StatsView.as_view(),
        name="api-admin-stats",
    ),
    path(
        "api/admin/integrations/health",
        admin_api.HealthView.as_view(),
        name="api-admin-health",
    ),
    path(
        "api/admin/integrations/sync-activity",
        admin_api.ActivityView.as_view(),
        name="api-admin-activity",
    ),
    path(
        "api/admin/integrations/errors",
        admin_api.ErrorsView.as_view(),
        name="api-admin-errors",
    ),
    path(
        "api/admin/integrations/performance",
        admin_api.PerformanceView.as_view(),
        name="api-admin-performance",
    ),
    path("metrics", metrics, name="metrics"),
    path("", include("monitoring.quality.urls")),
]
