"""The ASGI application: hot doors first, then websockets, then Django.

Django under ASGI costs an order of magnitude more per request than a plain ASGI
function (shared figures in ARCHITECTURE.md), so ingest is answered before it.
"""

from __future__ import annotations

import os
from typing import Any

from django.core.asgi import get_asgi_application
from django.urls import get_resolver
from django.utils.module_loading import import_string

from churnguard import garbage

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "churnguard.settings")
_django = get_asgi_application()
_ingest = import_string("integrations.ingest.door.app")
_live = import_string("churnguard.stream.consumer.application")

_INGEST_PREFIX = "/api/v1/data/ingest/"


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Route by scope type and path; lifespan drains the ingest queue at the end."""
    kind = scope["type"]
    if kind == "http":
        if scope["method"] == "POST" and scope["path"].startswith(_INGEST_PREFIX):
            await _ingest(scope, receive, send)
        else:
            await _django(scope, receive, send)
    elif kind == "websocket":
        await _live(scope, receive, send)
    elif kind == "lifespan":
        _settle()
        await _ingest(scope, receive, send)


def _settle() -> None:
    """Load what the first page would load, and keep it out of garbage collection."""
    _ = get_resolver().url_patterns
    garbage.settle()
