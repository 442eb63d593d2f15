"""A `requests.Session` whose traffic goes through the outbound door.

For SDKs that accept a session (simple-salesforce, zenpy, stripe): they keep their
API, we keep guard, budgets, breaker, retries, masks and metrics.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import httpx
import requests
from requests.adapters import BaseAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers
from urllib3 import HTTPResponse

from integrations.http.body import Reply, Stream
from integrations.http.call import IDEMPOTENT_METHODS, Call
from integrations.http.replies import RefusedError

if TYPE_CHECKING:
    from integrations.http.client import Client

# The door sets these itself; what the SDK's session put there is about its own pool.
_HOP_HEADERS = frozenset(
    {"host", "connection", "content-length", "accept-encoding", "transfer-encoding"}
)
# The body handed on is already unpacked.
_UNPACKED_HEADERS = ("content-encoding", "content-length", "transfer-encoding")


class DoorSession(requests.Session):
    """Answers of 400, 403, 404 and the like come back as responses, as SDKs expect;
    401 (after one refresh), rate limits, 5xx and lost connections raise our errors.

    If the client has an `auth` hook, it replaces the SDK's own credentials.
    """

    def __init__(self, client: Client) -> None:
        super().__init__()
        self.trust_env = False
        adapter = DoorAdapter(client)
        self.mount("https://", adapter)
        self.mount("http://", adapter)


class DoorAdapter(BaseAdapter):
    """Sends prepared requests with a `Client`."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """One exchange; timeout may only shorten the client's own, and verify, cert
        and proxies are the client's business."""
        del verify, cert, proxies
        options = _options(request, timeout, self._client.read_timeout_s)
        method, url = str(request.method), str(request.url)
        try:
            if stream:
                return self._open(request, method, url, options)
            reply = self._client.send(Call(method=method, url=url, **options))
        except RefusedError as refusal:
            reply = refusal.reply
        return _response(request, reply, io.BytesIO(reply.content))

    def close(self) -> None:
        """Sockets belong to the client."""

    def _open(
        self,
        request: requests.PreparedRequest,
        method: str,
        url: str,
        options: dict[str, Any],
    ) -> requests.Response:
        with ExitStack() as stack:
            stream = stack.enter_context(self._client.stream(method, url, **options))
            return _response(request, stream, _StreamFile(stream, stack.pop_all()))


class _StreamFile(io.RawIOBase):
    """A stream of pieces as a readable file."""

    def __init__(self, stream: Stream, resources: ExitStack) -> None:
        super().__init__()
        self._pieces: Iterator[bytes] = stream.iter_bytes()
        self._resources = resources
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                self.close()
                return 0
            self._rest = piece
        taken = self._rest[: len(buffer)]
        self._rest = self._rest[len(taken) :]
        buffer[: len(taken)] = taken
        return len(taken)

    def close(self) -> None:
        if not self.closed:
            self._resources.close()
            super().close()


def _options(
    request: requests.PreparedRequest, timeout: Any, longest_s: float
) -> dict[str, Any]:
    body = request.body
    if body is not None and not isinstance(body, (bytes, str)):
        # A file or generator could not be sent again by a retry.
        body = body.read() if hasattr(body, "read") else _joined(body)
    read_s = timeout[1] if isinstance(timeout, tuple) else timeout
    return {
        "headers": {
            name: value.decode("latin-1") if isinstance(value, bytes) else value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_HEADERS
        },
        "content": body.encode() if isinstance(body, str) else body,
        "read_timeout_s": min(float(read_s), longest_s) if read_s else None,
        "idempotent": str(request.method) in IDEMPOTENT_METHODS,
    }


def _joined(pieces: Iterable[Any]) -> bytes:
    return b"".join(
        piece.encode() if isinstance(piece, str) else bytes(piece) for piece in pieces
    )


def _response(
    request: requests.PreparedRequest, answer: Reply | Stream, body: Any
) -> requests.Response:
    headers = {
        name: value
        for name, value in answer.headers.items()
        if name not in _UNPACKED_HEADERS
    }
    response = requests.Response()
    response.status_code = answer.status
    response.headers = CaseInsensitiveDict(headers)
    response.encoding = get_encoding_from_headers(response.headers)
    response.url = answer.url
    response.request = request
    response.raw = HTTPResponse(
        body=body,
        headers=headers,
        status=answer.status,
        preload_content=False,
        decode_content=False,
    )
    response.reason = httpx.codes.get_reason_phrase(answer.status)
    return response
