"""The API's rate limit per organisation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.cache import cache
from rest_framework.request import Request
from rest_framework.throttling import SimpleRateThrottle


class OrganizationThrottle(SimpleRateThrottle):
    """API_RATE_LIMIT_PER_MINUTE per organisation; off with API_RATE_LIMITING_ENABLED.

    Counted in the cache: when that is gone, requests pass.
    """

    scope = "organization"

    def __init__(self) -> None:
        self.num_requests, self.duration = settings.API_RATE_LIMIT_PER_MINUTE, 60

    def allow_request(self, request: Request, view: Any) -> bool:
        organization = getattr(request._request, "organization", None)
        if not settings.API_RATE_LIMITING_ENABLED or organization is None:
            return True
        self.now = self.timer()
        window = int(self.now // self.duration)
        key = f"api-rate:{organization.pk}:{window}"
        cache.add(key, 0, timeout=self.duration * 2)
        try:
            count = cache.incr(key)
        except ValueError:
            return True
        return count <= self.num_requests

    def wait(self) -> float:
        return self.duration - self.now % self.duration
