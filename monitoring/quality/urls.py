"""Addresses of data quality: the API, then the pages."""

from __future__ import annotations

from django.urls import path

from monitoring.quality import api, views

_API = "api/v1/data/quality"

urlpatterns = [
    path(f"{_API}/metrics", api.QualityMetricsView.as_view(), name="data-quality"),
    path(
        f"{_API}/checks/<str:code>/rows",
        api.FailingRowsView.as_view(),
        name="data-quality-rows",
    ),
    path(
        f"{_API}/measurements",
        api.MeasureView.as_view(),
        name="data-quality-measure",
    ),
    path(
        f"{_API}/thresholds",
        api.LimitsView.as_view(),
        name="data-quality-thresholds",
    ),
    path("quality/", views.quality, name="quality"),
    path("quality/measure/", views.measure, name="quality-measure"),
    path("quality/thresholds/", views.thresholds, name="quality-thresholds"),
    path("quality/checks/<str:code>/", views.failing, name="quality-rows"),
]
