"""The steps of an ingest request, whichever door it came through.

admit (may this key send now) -> open_body (is it a body we take) -> build (its
records) -> `Committer.submit`. Each raises IngestError, which is the answer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django.conf import settings

from integrations.ingest.answers import IngestError
from integrations.ingest.body import BodyReader, is_ndjson, too_large
from integrations.ingest.decode import Decoded, decode
from integrations.ingest.pressure import RecordBudget

COMMIT_WAIT_S = 30.0
"""How long a request waits for its commit before it is told to come again."""

_SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")
_budgets: dict[int, RecordBudget] = {}


def check_source_name(name: str) -> str:
    """The {source_system} of the address. Raises IngestError (400)."""
    if _SOURCE_NAME.match(name):
        return name
    raise IngestError(
        400,
        "invalid_source",
        "The source system must be 1 to 100 letters, digits, “_”, “-” or “.”, and "
        "begin with a letter or a digit.",
        fields={"source_system": "not a valid name"},
    )


def admit(key_id: str) -> None:
    """Let the key's request in. Raises IngestError (429)."""
    wait_s = _budget().wait_s(key_id) if settings.API_RATE_LIMITING_ENABLED else 0.0
    if wait_s:
        raise IngestError(
            429,
            "rate_limited",
            f"More than {settings.INGEST_RATE_LIMIT_PER_MINUTE:,} records in a minute. "
            "Nothing was stored; send it again later.",
            retry_after_s=wait_s,
        )


def open_body(
    *, content_type: str, content_encoding: str, content_length: str
) -> tuple[BodyReader, bool]:
    """(a reader for the body, whether it is NDJSON). Raises IngestError: 413, 415."""
    ndjson = is_ndjson(content_type)
    reader = BodyReader(
        content_encoding,
        max_bytes=settings.INGEST_MAX_BODY_BYTES,
        max_decoded=settings.INGEST_MAX_DECODED_BYTES,
    )
    if content_length.isdigit() and int(content_length[:19]) > (
        settings.INGEST_MAX_BODY_BYTES
    ):
        raise too_large(settings.INGEST_MAX_BODY_BYTES)
    return reader, ndjson


def build(body: bytes, *, ndjson: bool, key_id: str) -> tuple[Decoded, datetime]:
    """(the records of the body, when they arrived); charges the key for them.

    Raises IngestError: 400, 413.
    """
    received_at = datetime.now(UTC)
    decoded = decode(
        body,
        ndjson=ndjson,
        received_at=received_at,
        max_records=settings.INGEST_MAX_RECORDS,
    )
    if not decoded.count:
        raise IngestError(400, "empty", "The body holds no records.")
    if settings.API_RATE_LIMITING_ENABLED:
        _budget().charge(key_id, decoded.count)
    return decoded, received_at


def no_key() -> IngestError:
    """401: no API key was sent."""
    return IngestError(
        401,
        "not_authenticated",
        "Send an API key as `Authorization: Bearer cg_…`, or sign in.",
    )


def too_slow() -> IngestError:
    """503: the commit did not come in time; it may still come."""
    return IngestError(
        503,
        "timeout",
        "The database did not confirm in time. Send it again: what was stored after "
        "all counts once, as long as events carry an event_id or a timestamp.",
        retry_after_s=5,
    )


def _budget() -> RecordBudget:
    per_minute = settings.INGEST_RATE_LIMIT_PER_MINUTE
    found = _budgets.get(per_minute)
    if found is None:
        found = _budgets.setdefault(per_minute, RecordBudget(per_minute))
    return found
