"""Addresses of the data API; included by integrations.urls."""

from __future__ import annotations

from django.urls import path

from integrations.ingest.views import IngestView
from integrations.status_api import DataStatusView

urlpatterns = [
    path(
        "api/v1/data/ingest/<str:source_system>",
        IngestView.as_view(),
        name="data-ingest",
    ),
    path(
        "api/v1/data/status/<str:source_system>",
        DataStatusView.as_view(),
        name="data-status",
    ),
]
