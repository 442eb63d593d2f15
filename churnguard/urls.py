"""All addresses. Each app's urls.py holds complete paths, API and pages."""

from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

from churnguard.views.docs import api_docs

handler400 = "churnguard.views.errors.bad_request"
handler403 = "churnguard.views.errors.forbidden"
handler404 = "churnguard.views.errors.not_found"
handler500 = "churnguard.views.errors.server_error"

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", api_docs, name="api-docs"),
    path("", include("churnguard.web_urls")),
    path("", include("integrations.urls")),
    path("", include("analytics.urls")),
    path("", include("monitoring.urls")),
]
