"""Addresses of identity work; `analytics.urls` takes them in."""

from django.urls import path

from analytics.identity import api, views

urlpatterns = [
    path(
        "api/v1/identity/reviews",
        api.IdentityReviewsView.as_view(),
        name="api-identity-reviews",
    ),
    path(
        "api/v1/identity/reviews/<int:review_id>/decide",
        api.IdentityReviewDecideView.as_view(),
        name="api-identity-review-decide",
    ),
    path(
        "api/v1/identity/suggestions",
        api.IdentitySuggestionsView.as_view(),
        name="api-identity-suggestions",
    ),
    path(
        "api/v1/identity/suggestions/decide",
        api.IdentitySuggestionDecideView.as_view(),
        name="api-identity-suggestion-decide",
    ),
    path(
        "api/v1/identity/decisions/<int:decision_id>/revoke",
        api.IdentityRevokeView.as_view(),
        name="api-identity-revoke",
    ),
    path(
        "api/v1/customers/<path:customer_id>/merge",
        api.CustomerMergeView.as_view(),
        name="api-customer-merge",
    ),
    path(
        "api/v1/customers/<path:customer_id>/split",
        api.CustomerSplitView.as_view(),
        name="api-customer-split",
    ),
    path("identity/", views.identity, name="identity"),
    path("identity/refresh/", views.refresh, name="identity-refresh"),
    path("identity/suggestions/", views.judge, name="identity-judge"),
    path("identity/reviews/<int:review_id>/", views.decide, name="identity-decide"),
    path(
        "identity/decisions/<int:decision_id>/revoke/",
        views.revoke,
        name="identity-revoke",
    ),
    path("customers/<str:customer_id>/merge/", views.merge, name="customer-merge"),
    path("customers/<str:customer_id>/split/", views.split, name="customer-split"),
]
