"""Addresses of the monitoring app: probes, metrics, the dashboard APIs."""

from django.urls import path

from monitoring import api
from monitoring.metrics import metrics

urlpatterns = [
    path("webhooks/health", api.LiveView.as_view(), name="health-live"),
    path("api/dashboard/health", api.ReadyView.as_view(), name="health-ready"),
    path("api/dashboard/alerts", api.NoticesView.as_view(), name="api-alerts"),
    path("metrics", metrics, name="metrics"),
]
