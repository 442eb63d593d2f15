"""Addresses of the analytics app: the API, then the pages."""

from django.urls import path

from analytics import api

urlpatterns = [
    path("api/v1/customers", api.CustomersView.as_view(), name="api-customers"),
    path(
        "api/v1/analytics/customer-health/<str:customer_id>",
        api.CustomerHealthView.as_view(),
        name="api-customer-health",
    ),
    path(
        "api/v1/analytics/usage-trends/<str:timeframe>",
        api.UsageTrendsView.as_view(),
        name="api-usage-trends",
    ),
]
