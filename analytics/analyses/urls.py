"""Addresses of the scheduled analyses; `analytics.urls` takes them in."""

from django.urls import path

from analytics.analyses import api, views

urlpatterns = [
    path("api/v1/analytics/analyses", api.AnalysesView.as_view(), name="api-analyses"),
    path(
        "api/v1/analytics/analyses/<str:analysis_id>",
        api.AnalysisView.as_view(),
        name="api-analysis",
    ),
    path("analyses/", views.analyses, name="analyses"),
    path("analyses/<str:analysis_id>/", views.analysis, name="analysis"),
]
