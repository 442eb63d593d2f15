"""How often someone may fail to sign in, counted in the cache.

Two counters per window: one per address and account, so that a stranger cannot lock
a person out from elsewhere, and one per address. While the cache is gone nobody is
locked out; the slow password hash still bounds guessing.
"""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

WINDOW_S = 15 * 60
PER_ACCOUNT = 10
PER_ADDRESS = 100


def client_address(request: HttpRequest) -> str:
    """The peer's address; behind a trusted proxy, the one the proxy saw."""
    if settings.SECURE_PROXY_SSL_HEADER is not None:
        forwarded = request.headers.get("X-Forwarded-For", "")
        if forwarded:
            return forwarded.rpartition(",")[2].strip()
    return str(request.META.get("REMOTE_ADDR", ""))


def are_used_up(request: HttpRequest, email: str) -> bool:
    """Whether this address has to wait before it tries `email` again."""
    account, address = _keys(request, email)
    found = cache.get_many([account, address])
    return found.get(account, 0) >= PER_ACCOUNT or found.get(address, 0) >= PER_ADDRESS


def count_failure(request: HttpRequest, email: str) -> None:
    """One more failed try; the window starts with the first."""
    for key in _keys(request, email):
        cache.add(key, 0, timeout=WINDOW_S)
        try:
            cache.incr(key)
        except ValueError:
            # The cache is gone, or the window ended this instant.
            continue


def forget(request: HttpRequest, email: str) -> None:
    """Signed in: the account's failures no longer count."""
    cache.delete(_keys(request, email)[0])


def _keys(request: HttpRequest, email: str) -> tuple[str, str]:
    address = client_address(request)
    account = hashlib.sha256(f"{address} {email.strip().lower()}".encode()).hexdigest()
    return f"signin:{account}", f"signin-from:{address}"
