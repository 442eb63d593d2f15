"""Addresses of the health definition; `analytics.urls` takes them in."""

from django.urls import path

from analytics.definitions import api, views

API = "api/v1/analytics/health-definition"

urlpatterns = [
    path(API, api.DefinitionView.as_view(), name="api-health-definition"),
    path(f"{API}/draft", api.DraftView.as_view(), name="api-health-draft"),
    path(f"{API}/versions", api.VersionsView.as_view(), name="api-health-versions"),
    path(
        f"{API}/versions/restore",
        api.RestoreView.as_view(),
        name="api-health-restore",
    ),
    path(f"{API}/preview", api.PreviewView.as_view(), name="api-health-preview"),
    path(f"{API}/backtest", api.BacktestView.as_view(), name="api-health-backtest"),
    path(
        f"{API}/suggestions",
        api.SuggestionsView.as_view(),
        name="api-health-suggestions",
    ),
    path(
        f"{API}/suggestions/accept",
        api.AcceptView.as_view(),
        name="api-health-suggestions-accept",
    ),
    path(
        f"{API}/checks/<str:check_id>",
        api.CheckView.as_view(),
        name="api-health-check",
    ),
    path("health-definition/", views.edit, name="health-definition"),
    path("health-definition/draft/", views.draft, name="health-draft"),
    path("health-definition/discard/", views.discard, name="health-discard"),
    path("health-definition/preview/", views.preview, name="health-preview"),
    path("health-definition/save/", views.save, name="health-save"),
    path("health-definition/drop/", views.drop, name="health-drop"),
    path("health-definition/backtest/", views.backtest, name="health-backtest"),
    path("health-definition/check/", views.check, name="health-check"),
    path("health-definition/accept/", views.accept, name="health-accept"),
    path("health-definition/versions/", views.versions, name="health-versions"),
    path("health-definition/restore/", views.restore, name="health-restore"),
]
