"""The usual way: Django under ASGI, a DRF serializer, bulk_create. Nobody signs in."""

from __future__ import annotations

from django.core.asgi import get_asgi_application

application = get_asgi_application()
