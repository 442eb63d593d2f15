"""What the ingest API answers: the receipt, and every refusal with one body."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import msgspec

MOST_ERRORS = 1000
"""Entries of `errors` in one answer; `quarantined` counts all of them."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer. body: JSON."""

    status: int
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class IngestError(Exception):
    """A request that is not taken. retry_after_s: sent as Retry-After."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        fields: dict[str, str] | None = None,
        retry_after_s: float | None = None,
        allow: str = "",
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.fields = fields or {}
        self.retry_after_s = retry_after_s
        self.allow = allow

    def answer(self) -> Answer:
        body = {"detail": self.detail, "code": self.code, "fields": self.fields}
        headers: list[tuple[str, str]] = []
        if self.retry_after_s is not None:
            headers.append(("Retry-After", str(max(1, math.ceil(self.retry_after_s)))))
        if self.allow:
            headers.append(("Allow", self.allow))
        if self.status == 401:
            headers.append(("WWW-Authenticate", "Bearer"))
        return Answer(self.status, msgspec.json.encode(body), tuple(headers))


class RecordProblem(msgspec.Struct, frozen=True):
    """One refused record of a request."""

    index: int
    code: str
    detail: str


@dataclass(slots=True)
class Receipt:
    """What became of a request's records, after the commit.

    accepted: stored, or already stored as sent; duplicates: sent before.
    """

    batch_id: str
    accepted: int
    duplicates: int
    quarantined: int
    errors: list[RecordProblem] = field(default_factory=list)

    def answer(self) -> Answer:
        return Answer(202, _encoder.encode(self.as_dict()))

    def as_dict(self) -> dict[str, Any]:
        return {
            "batch_id": self.batch_id,
            "accepted": self.accepted,
            "duplicates": self.duplicates,
            "quarantined": self.quarantined,
            "errors": self.errors[:MOST_ERRORS],
        }


_encoder = msgspec.json.Encoder()
