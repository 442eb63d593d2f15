"""Addresses of churn prediction; `analytics.urls` takes them in."""

from django.urls import path

from analytics.predict import api

urlpatterns = [
    path(
        "api/v1/analytics/predictions/customer/<path:customer_id>",
        api.CustomerPredictionView.as_view(),
        name="api-customer-prediction",
    ),
    path(
        "api/v1/analytics/predictions/<path:customer_segment>",
        api.PredictionsView.as_view(),
        name="api-predictions",
    ),
    path("api/v1/analytics/models", api.ModelsView.as_view(), name="api-models"),
    path(
        "api/v1/analytics/models/train",
        api.TrainView.as_view(),
        name="api-models-train",
    ),
]
