"""Addresses of the analytics app: the API, then the pages."""

from django.urls import include, path

from analytics import api, views
from analytics.analyses import urls as analyses_urls
from analytics.definitions import urls as definition_urls
from analytics.identity import urls as identity_urls
from analytics.predict import urls as predict_urls
from analytics.revenue import urls as revenue_urls
from analytics.segments import urls as segment_urls

urlpatterns = [
    path("api/v1/customers", api.CustomersView.as_view(), name="api-customers"),
    path(
        "api/v1/analytics/customer-health/<path:customer_id>",
        api.CustomerHealthView.as_view(),
        name="api-customer-health",
    ),
    path(
        "api/v1/analytics/usage-trends/<str:timeframe>",
        api.UsageTrendsView.as_view(),
        name="api-usage-trends",
    ),
    *definition_urls.urlpatterns,
    *analyses_urls.urlpatterns,
    *identity_urls.urlpatterns,
    *predict_urls.urlpatterns,
    *revenue_urls.urlpatterns,
    *segment_urls.urlpatterns,
    path("customers/", views.customers, name="customers"),
    path("customers/<str:customer_id>/", views.customer, name="customer"),
    path("customers/<str:customer_id>/recompute/", views.recompute, name="recompute"),
    path("usage/", views.usage, name="usage"),
    path("", include("analytics.usage.urls")),
    path("", include("analytics.support.urls")),
]
