"""The fast door: POST /api/v1/data/ingest/{source_system} as a plain ASGI function.

It stands in front of Django (see `churnguard.asgi`) and answers after the commit.
The lifespan events of the server stop the writers in order.
"""

from __future__ import annotations

import asyncio
import logging
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

from churnguard import metrics
from churnguard.auth import key_from_headers
from integrations.ingest import flow, keys
from integrations.ingest.answers import Answer, IngestError, Receipt
from integrations.ingest.committer import Outcome, Submission, committer
from integrations.ingest.keys import Access

log = logging.getLogger(__name__)

PREFIX = "/api/v1/data/ingest/"
_LOOK_UP_WAIT_S = 8.0
_DECODE_ASIDE_BYTES = 64 * 1024
"""Larger bodies are decoded in a thread, so that small requests do not wait."""

_HEADERS = {
    b"authorization": "authorization",
    b"x-api-key": "x_api_key",
    b"content-type": "content_type",
    b"content-encoding": "content_encoding",
    b"content-length": "content_length",
}
_JSON = (b"content-type", b"application/json")

_keys = keys.KeyCache()
_look_ups = ThreadPoolExecutor(2, thread_name_prefix="ingest-keys")
_background: set[asyncio.Task[None]] = set()
# A task that nothing refers to may be collected before it has run.


class _Disconnected(Exception):
    """The client has gone before its body was complete."""


@dataclass(slots=True)
class _Caller:
    """Whose request it is, as far as that is known."""

    tenant_id: str = ""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    caller = _Caller()
    try:
        answer = await _handle(scope, receive, caller)
    except IngestError as error:
        answer = error.answer()
    except _Disconnected:
        return
    if answer.status != 202:
        # What was taken is counted by the group; see `_Counter`.
        metrics.ingest_requests(answer.status, tenant_id=caller.tenant_id)
    await _send(send, answer)


def forget_keys() -> None:
    """Drop what is remembered about API keys, and the connection they were read on."""
    _keys.close()


async def _handle(scope: dict[str, Any], receive: Any, caller: _Caller) -> Answer:
    name = scope["path"][len(PREFIX) :]
    if not scope["path"].startswith(PREFIX) or not name or "/" in name:
        raise IngestError(404, "not_found", "There is nothing at this address.")
    if scope["method"] != "POST":
        raise IngestError(
            405,
            "method_not_allowed",
            f'Method "{scope["method"]}" not allowed.',
            allow="POST, OPTIONS",
        )
    sent = dict.fromkeys(_HEADERS.values(), "")
    for raw_name, value in scope["headers"]:
        known = _HEADERS.get(raw_name)
        if known is not None:
            sent[known] = value.decode("latin-1")
    found = await _find_access(sent["authorization"], sent["x_api_key"])
    caller.tenant_id = found.tenant_id if found is not None else ""
    access = keys.check(found)
    flow.check_source_name(name)
    flow.admit(access.key_id)
    reader, ndjson = flow.open_body(
        content_type=sent["content_type"],
        content_encoding=sent["content_encoding"],
        content_length=sent["content_length"],
    )
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _Disconnected
        reader.feed(message.get("body", b""))
        more = message.get("more_body", False)
    body = reader.finish()
    build = partial(flow.build, body, ndjson=ndjson, key_id=access.key_id)
    if len(body) > _DECODE_ASIDE_BYTES:
        decoded, received_at = await asyncio.to_thread(build)
    else:
        decoded, received_at = build()
    counter = _counter_of(asyncio.get_running_loop())
    submission = Submission(
        org_id=access.org_id,
        tenant_id=access.tenant_id,
        source_name=name,
        decoded=decoded,
        nbytes=reader.received,
        received_at=received_at,
        listener=counter,
    )
    outcome = await counter.submit(submission)
    submission.cancelled = True
    return outcome.answer()


class _Counter:
    """The requests of one event loop that wait for their commit.

    What the loop finds ready in one turn goes to the writers in one piece, and what
    they committed comes back in one: waking a thread costs more than a request.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        # Weak, or `_counters` would keep every loop for ever.
        self._loop = weakref.ref(loop)
        self._gathered: list[Submission] = []
        self._waiting: dict[Submission, asyncio.Future[Outcome]] = {}

    async def submit(self, submission: Submission) -> Outcome:
        """What became of it. Raises IngestError (503) when it cannot be queued."""
        committer().admit(submission)
        loop = asyncio.get_running_loop()
        if not self._gathered:
            loop.call_soon(self._hand_over)
        self._gathered.append(submission)
        future: asyncio.Future[Outcome] = loop.create_future()
        self._waiting[submission] = future
        # A timer of the loop costs a tenth of asyncio.wait_for.
        timer = loop.call_later(flow.COMMIT_WAIT_S, self._give_up, submission)
        try:
            return await future
        finally:
            timer.cancel()
            self._waiting.pop(submission, None)

    def hear(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
        loop = self._loop()
        try:
            if loop is not None:
                loop.call_soon_threadsafe(self._resolve, outcomes)
        except RuntimeError:
            # The loop has ended; nobody waits any more.
            log.info("ingest.unheard")

    def _hand_over(self) -> None:
        gathered, self._gathered = self._gathered, []
        committer().hand_over(gathered)

    def _give_up(self, submission: Submission) -> None:
        self._resolve([(submission, flow.too_slow())])

    def _resolve(self, outcomes: list[tuple[Submission, Outcome]]) -> None:
        taken: dict[str, int] = {}
        for submission, outcome in outcomes:
            future = self._waiting.pop(submission, None)
            if future is not None and not future.done():
                future.set_result(outcome)
                if isinstance(outcome, Receipt):
                    tenant = submission.tenant_id
                    taken[tenant] = taken.get(tenant, 0) + 1
        for tenant, count in taken.items():
            metrics.ingest_requests(202, tenant_id=tenant, count=count)


_counters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Counter] = (
    weakref.WeakKeyDictionary()
)


def _counter_of(loop: asyncio.AbstractEventLoop) -> _Counter:
    found = _counters.get(loop)
    if found is None:
        found = _counters[loop] = _Counter(loop)
    return found


async def _find_access(authorization: str, x_api_key: str) -> Access | None:
    key = key_from_headers(authorization, x_api_key)
    if key is None:
        raise flow.no_key()
    is_known, access, refresh = _keys.find_cached(key)
    if not is_known:
        access = await _look_up(key)
    elif refresh:
        task = asyncio.create_task(_refresh(key))
        _background.add(task)
        task.add_done_callback(_background.discard)
    return access


async def _look_up(key: str) -> Access | None:
    loop = asyncio.get_running_loop()
    try:
        return await asyncio.wait_for(
            loop.run_in_executor(_look_ups, _keys.look_up, key), _LOOK_UP_WAIT_S
        )
    except TimeoutError as exc:
        raise keys.unavailable() from exc


async def _refresh(key: str) -> None:
    try:
        await _look_up(key)
    except IngestError:
        # Known for a few seconds more; then a request will hear it itself.
        log.warning("ingest.key_not_refreshed")


async def _send(send: Any, answer: Answer) -> None:
    headers = [_JSON, (b"content-length", str(len(answer.body)).encode())]
    headers += [(name.lower().encode(), text.encode()) for name, text in answer.headers]
    if answer.status == 413:
        # The rest of the body is not read.
        headers.append((b"connection", b"close"))
    await send(
        {"type": "http.response.start", "status": answer.status, "headers": headers}
    )
    await send({"type": "http.response.body", "body": answer.body})


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            await asyncio.to_thread(committer().drain)
            _keys.close()
            await send({"type": "lifespan.shutdown.complete"})
            return
