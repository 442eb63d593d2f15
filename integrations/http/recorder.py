"""Writes down what is sent, for a person who tries out a connection."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import httpx
import msgspec

from integrations.http.redact import MASK

MOST = 10
_PLAIN = frozenset({"accept", "content-type", "user-agent"})


@dataclass(frozen=True, slots=True)
class Sent:
    """One request as it left, secrets masked. headers: without those every request
    has; body: the JSON sent, else None; status 0 = no answer came."""

    method: str
    url: str
    headers: dict[str, str]
    body: Any
    status: int
    duration_ms: int


class Recorder(httpx.BaseTransport):
    """Passes requests on to `inner` and keeps the first MOST of them in `sent`.

    Header values, and query values of names that are not in `open_names`, are masked
    unless they cannot be secret; `clean` takes known secrets out of the rest.
    """

    def __init__(
        self,
        inner: httpx.BaseTransport,
        *,
        clean: Callable[[str], str],
        open_names: Iterable[str] = (),
        secret_names: Iterable[str] = (),
    ) -> None:
        self.inner = inner
        self.sent: list[Sent] = []
        self._clean = clean
        self._open = _PLAIN | {name.lower() for name in open_names}
        self._secret = {name.lower() for name in secret_names}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        started, status = time.monotonic(), 0
        try:
            response = self.inner.handle_request(request)
            status = response.status_code
            return response
        finally:
            if len(self.sent) < MOST:
                took_s = time.monotonic() - started
                self.sent.append(self._seen(request, status, took_s))

    def close(self) -> None:
        self.inner.close()

    def _seen(self, request: httpx.Request, status: int, took_s: float) -> Sent:
        url = request.url
        for name in url.params:
            if name.lower() in self._secret:
                url = url.copy_set_param(name, MASK)
        return Sent(
            method=request.method,
            url=self._clean(str(url)),
            headers={
                name: self._clean(value) if name.lower() in self._open else MASK
                for name, value in request.headers.items()
                if name.lower() not in _EVERYWHERE
            },
            body=self._body(request),
            status=status,
            duration_ms=round(took_s * 1000),
        )

    def _body(self, request: httpx.Request) -> Any:
        """A form is a token request: all of it is secret."""
        if "json" not in request.headers.get("content-type", ""):
            return None
        text = self._clean(request.content.decode())
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            # A mask took the place of a number.
            return text


_EVERYWHERE = frozenset(
    {"host", "connection", "content-length", "accept-encoding", "user-agent"}
)
