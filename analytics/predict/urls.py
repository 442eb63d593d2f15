"""Addresses of churn prediction; `analytics.urls` takes them in."""

from django.urls import path

from analytics.predict import api, label_api, label_views, views

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
    path(
        "api/v1/analytics/churn-definition",
        label_api.ChurnDefinitionView.as_view(),
        name="api-churn-definition",
    ),
    path(
        "api/v1/analytics/churn-definition/preview",
        label_api.ChurnDefinitionPreviewView.as_view(),
        name="api-churn-definition-preview",
    ),
    path("risk/", views.risk, name="risk"),
    path("risk/export.csv", views.export, name="risk-export"),
    path("risk/<str:customer_id>/drivers/", views.drivers, name="risk-drivers"),
    path("model/", views.model, name="model"),
    path("model/definition/", label_views.definition, name="churn-definition"),
    path("model/definition/save/", label_views.save, name="churn-definition-save"),
    path("model/train/", views.train, name="model-train"),
]
