"""Ways to prove who we are: each returns a hook that signs one request.

The hook runs for every try, so a renewed token is used at once; values may be
functions for the same reason.
"""

from __future__ import annotations

import base64
from collections.abc import Callable

import httpx

AuthHook = Callable[[httpx.Request], None]
Value = str | Callable[[], str]


def bearer(token: Value, *, scheme: str = "Bearer") -> AuthHook:
    """`Authorization: Bearer <token>`."""

    def sign(request: httpx.Request) -> None:
        request.headers["Authorization"] = f"{scheme} {_now(token)}"

    return sign


def basic(user: Value, password: Value = "") -> AuthHook:
    """HTTP Basic, UTF-8."""

    def sign(request: httpx.Request) -> None:
        pair = f"{_now(user)}:{_now(password)}".encode()
        encoded = base64.b64encode(pair).decode()
        request.headers["Authorization"] = f"Basic {encoded}"

    return sign


def header_key(name: str, value: Value) -> AuthHook:
    """A key in a header of the provider's own."""

    def sign(request: httpx.Request) -> None:
        request.headers[name] = _now(value)

    return sign


def query_key(name: str, value: Value) -> AuthHook:
    """A key in the query string; it is masked wherever the address is shown."""

    def sign(request: httpx.Request) -> None:
        request.url = request.url.copy_set_param(name, _now(value))

    return sign


def _now(value: Value) -> str:
    return value() if callable(value) else value
