"""Addresses of revenue: the API, then the page and its forms."""

from django.urls import path

from analytics.revenue import api, views

urlpatterns = [
    path("api/v1/analytics/revenue", api.RevenueView.as_view(), name="api-revenue"),
    path(
        "api/v1/analytics/revenue/movements",
        api.MovementsView.as_view(),
        name="api-revenue-movements",
    ),
    path(
        "api/v1/analytics/revenue/recognition",
        api.RecognitionView.as_view(),
        name="api-revenue-recognition",
    ),
    path(
        "api/v1/analytics/revenue/settings",
        api.RevenueSettingsView.as_view(),
        name="api-revenue-settings",
    ),
    path(
        "api/v1/exchange-rates",
        api.ExchangeRatesView.as_view(),
        name="api-exchange-rates",
    ),
    path("revenue/", views.revenue, name="revenue"),
    path("revenue/settings/", views.change_settings, name="revenue-settings"),
    path("revenue/rates/", views.change_rates, name="revenue-rates"),
]
