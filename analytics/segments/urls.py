"""Addresses of segments: the API, then the pages."""

from django.urls import path

from analytics.segments import api, views

_API = "api/v1/analytics/segments"

urlpatterns = [
    path(_API, api.SegmentsView.as_view(), name="api-segments"),
    path(f"{_API}/fields", api.SegmentFieldsView.as_view(), name="api-segment-fields"),
    path(
        f"{_API}/preview", api.SegmentPreviewView.as_view(), name="api-segment-preview"
    ),
    path(f"{_API}/<str:segment_id>", api.SegmentView.as_view(), name="api-segment"),
    path(
        f"{_API}/<str:segment_id>/trend",
        api.SegmentTrendView.as_view(),
        name="api-segment-trend",
    ),
    path("segments/", views.segments, name="segments"),
    path("segments/new/", views.new, name="segment-new"),
    path("segments/preview/", views.preview, name="segment-preview"),
    path("segments/<str:segment_id>/", views.segment, name="segment"),
    path("segments/<str:segment_id>/edit/", views.edit, name="segment-edit"),
    path("segments/<str:segment_id>/delete/", views.delete, name="segment-delete"),
]
