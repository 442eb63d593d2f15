"""Addresses of the integrations app: the API, then the pages."""

from __future__ import annotations

from django.urls import URLPattern, URLResolver, include, path

from integrations.api import data, integrations, oauth, previews, streams, syncs
from integrations.api.base import routes

urlpatterns: list[URLPattern | URLResolver] = [
    path("", include("integrations.ingest.urls")),
    *routes(integrations.VIEWS),
    *routes(syncs.VIEWS),
    *routes(streams.VIEWS),
    *routes(data.VIEWS),
    *routes(oauth.VIEWS),
    *routes(previews.VIEWS),
    *oauth.PAGES,
    path("", include("integrations.views.urls")),
]
