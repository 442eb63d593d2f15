"""Addresses of the support report: the API, then the page."""

from django.urls import path

from analytics.support import api, views

urlpatterns = [
    path("api/v1/analytics/support", api.SupportView.as_view(), name="api-support"),
    path("support/", views.support_page, name="support"),
]
