"""Refused records, kept once each with the reason and what came."""

from __future__ import annotations

import re
from datetime import datetime
from hashlib import blake2b
from typing import Any
from uuid import UUID

import msgspec
from psycopg import Cursor

from integrations.load.lots import Refusal, Tally

_encoder = msgspec.json.Encoder(order="deterministic")
_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_DETAIL = 1000
_MOST_RAW_BYTES = 256 * 1024

_INSERT = """
INSERT INTO cg_quarantine (organization_id, source_id, batch_id, run_id, stream,
    record_type, external_id, code, field, detail, raw, fingerprint, state,
    first_seen_at, resolved_by)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s::jsonb, %s, 'open', %s, '')
ON CONFLICT (source_id, fingerprint) DO NOTHING
"""


def store(cur: Cursor, tallies: list[Tally], now: datetime) -> None:
    """Keep every refusal of the lots; one that is there already stays as it is."""
    rows = []
    for tally in tallies:
        lot = tally.lot
        for refusal in tally.refusals:
            raw = encode_raw(refusal.raw)
            rows.append(
                (
                    lot.org_id,
                    lot.source_id,
                    tally.batch_id,
                    lot.run_id,
                    lot.stream,
                    _text(refusal.record_type, 40),
                    _text(refusal.external_id, 255),
                    refusal.code,
                    _text(refusal.field, 120),
                    _text(refusal.detail, _LONGEST_DETAIL),
                    raw,
                    _fingerprint(refusal.record_type, raw),
                    now,
                )
            )
    if rows:
        rows.sort(key=lambda row: (row[1], row[11]))
        cur.executemany(_INSERT, rows)


def encode_raw(value: Any) -> str:
    """JSON text that jsonb takes, whatever `value` is.

    NUL characters and lone surrogates become U+FFFD; what is too large or too deep to
    keep becomes {"truncated": <its beginning as text>}.
    """
    try:
        text = _encoder.encode(value).decode()
        if "\\u0000" in text or len(text) > _MOST_RAW_BYTES:
            text = _encoder.encode(_clean(value)).decode()
    except (UnicodeEncodeError, TypeError, ValueError, OverflowError):
        try:
            text = _encoder.encode(_clean(value)).decode()
        except RecursionError:
            text = _encoder.encode({"truncated": "nested too deeply"}).decode()
    except RecursionError:
        text = _encoder.encode({"truncated": "nested too deeply"}).decode()
    if len(text) > _MOST_RAW_BYTES:
        text = _encoder.encode({"truncated": _clean(text[:2000])}).decode()
    return text


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value.replace("\0", "\ufffd"))
    if isinstance(value, dict):
        return {_clean(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    if isinstance(value, bytes):
        return _clean(value.decode("utf-8", "replace"))
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
        # Longer integers than jsonb or Python's own limit would take, as text.
        return hex(value)
    try:
        _encoder.encode(value)
    except (TypeError, ValueError, OverflowError):
        return _clean(repr(value))
    return value


def _fingerprint(record_type: str, raw: str) -> UUID:
    digest = blake2b(f"{record_type}:{raw}".encode(), digest_size=16).digest()
    return UUID(bytes=digest)


def _text(value: str, most: int) -> str:
    cleaned: str = _clean(value)
    return cleaned[:most]


def refusal_of(reject: Any, record_type: str) -> Refusal:
    """A connector's or a decoder's reject as a refusal.

    reject: has code, detail, raw, external_id, field and perhaps record_type.
    """
    return Refusal(
        record_type=getattr(reject, "record_type", "") or record_type,
        external_id=reject.external_id,
        code=reject.code,
        detail=reject.detail,
        raw=reject.raw,
        field=reject.field,
    )
