"""Addresses of identity work; `analytics.urls` takes them in."""

from django.urls import path

from analytics.identity import api, people_api, views
from analytics.identity.levels import PEOPLE

_PEOPLE = {"level": PEOPLE}

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
    path(
        "api/v1/customers/<path:customer_id>/people",
        people_api.CustomerPeopleView.as_view(),
        name="api-customer-people",
    ),
    path(
        "api/v1/customers/<path:customer_id>/sources",
        people_api.CustomerSayingsView.as_view(),
        name="api-customer-sources",
    ),
    path(
        "api/v1/people/<str:person_id>",
        people_api.PersonView.as_view(),
        name="api-person",
    ),
    path(
        "api/v1/people/<str:person_id>/merge",
        people_api.PersonMergeView.as_view(),
        name="api-person-merge",
    ),
    path(
        "api/v1/people/<str:person_id>/split",
        people_api.PersonSplitView.as_view(),
        name="api-person-split",
    ),
    path(
        "api/v1/identity/people/reviews",
        people_api.PersonReviewsView.as_view(),
        name="api-person-reviews",
    ),
    path(
        "api/v1/identity/people/reviews/<int:review_id>/decide",
        people_api.PersonReviewDecideView.as_view(),
        name="api-person-review-decide",
    ),
    path(
        "api/v1/identity/people/suggestions",
        people_api.PersonSuggestionsView.as_view(),
        name="api-person-suggestions",
    ),
    path(
        "api/v1/identity/people/suggestions/decide",
        people_api.PersonSuggestionDecideView.as_view(),
        name="api-person-suggestion-decide",
    ),
    path(
        "api/v1/identity/people/decisions/<int:decision_id>/revoke",
        people_api.PersonRevokeView.as_view(),
        name="api-person-revoke",
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
    path(
        "identity/people/suggestions/",
        views.judge,
        _PEOPLE,
        name="person-judge",
    ),
    path(
        "identity/people/reviews/<int:review_id>/",
        views.decide,
        _PEOPLE,
        name="person-decide",
    ),
    path(
        "identity/people/decisions/<int:decision_id>/revoke/",
        views.revoke,
        _PEOPLE,
        name="person-revoke",
    ),
    path("people/<str:person_id>/", views.person, name="person"),
    path("people/<str:person_id>/merge/", views.merge_person, name="person-merge"),
    path("people/<str:person_id>/split/", views.split_person, name="person-split"),
]
