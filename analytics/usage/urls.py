"""Addresses of the usage reports: the API, then the pages."""

from django.urls import path

from analytics.usage import api, views

urlpatterns = [
    path(
        "api/v1/analytics/usage/active",
        api.ActiveView.as_view(),
        name="api-usage-active",
    ),
    path(
        "api/v1/analytics/usage/retention",
        api.RetentionView.as_view(),
        name="api-retention",
    ),
    path("api/v1/analytics/usage/funnel", api.FunnelView.as_view(), name="api-funnel"),
    path(
        "api/v1/analytics/usage/lifecycle",
        api.LifecycleView.as_view(),
        name="api-usage-lifecycle",
    ),
    path(
        "api/v1/analytics/usage/adoption",
        api.AdoptionView.as_view(),
        name="api-usage-adoption",
    ),
    path(
        "api/v1/analytics/usage/settings",
        api.QualifyingView.as_view(),
        name="api-usage-settings",
    ),
    path(
        "usage/active/events/",
        views.change_qualifying,
        name="usage-qualifying",
    ),
    path("usage/active/", views.active_page, name="usage-active"),
    path("usage/retention/", views.retention_page, name="usage-retention"),
    path("usage/funnel/", views.funnel_page, name="usage-funnel"),
    path("usage/adoption/", views.adoption_page, name="usage-adoption"),
]
