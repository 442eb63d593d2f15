"""From the bytes of a request to records for the writer.

The usual body, events with the documented keys, is decoded in one step with the
properties left as JSON text. A record that this step cannot take is read on its own,
slowly and forgivingly, so that one odd record costs only itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec

from churnguard.records import Record
from integrations import quality
from integrations.ingest import convert
from integrations.ingest.answers import IngestError, RecordProblem
from integrations.ingest.convert import FieldProblem
from integrations.ingest.texts import (
    check_numbers,
    content_id,
    encode_properties,
    event_as_sent,
    parse_json,
)
from integrations.ingest.usual import MANY, ONE, Preparer, UsualEvent, as_object
from integrations.load import PreparedEvent, Refusal
from integrations.load.events import content_of
from integrations.load.wire import micros as micros_of

_BOM = b"\xef\xbb\xbf"


class _Envelope(msgspec.Struct, gc=False):
    records: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_raws = msgspec.json.Decoder(list[msgspec.Raw])
_envelope = msgspec.json.Decoder(_Envelope)
_any = msgspec.json.Decoder()


@dataclass(slots=True)
class Decoded:
    """What a body holds.

    items: records for the writer; positions: the index in the body of each item.
    refused: with their own index, records that cannot become items.
    """

    count: int = 0
    items: list[Record | PreparedEvent] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    refused: list[tuple[int, Refusal]] = field(default_factory=list)

    def problems(self) -> list[RecordProblem]:
        return [
            RecordProblem(index, refusal.code, refusal.detail)
            for index, refusal in self.refused
        ]


def decode(
    body: bytes, *, ndjson: bool, received_at: datetime, max_records: int
) -> Decoded:
    """The records of a body. received_at: aware, the time of events without one.

    Raises IngestError: 400 when the body is not JSON or not one of the documented
    forms, 413 when it has more records than `max_records`.
    """
    if body.startswith(_BOM):
        body = body[3:]
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as exc:
            raise IngestError(400, "not_json", "The body is not UTF-8 text.") from exc
    if not body.strip():
        raise IngestError(400, "empty", "The body is empty.")
    reader = _Reader(received_at, max_records, has_escapes=b"\\u" in body)
    if ndjson:
        reader.read_lines(body)
    else:
        reader.read_document(body)
    return reader.decoded


class _Reader:
    """Fills one `Decoded`."""

    def __init__(
        self, received_at: datetime, max_records: int, *, has_escapes: bool
    ) -> None:
        self.decoded = Decoded()
        self._received_at = received_at
        self._max_records = max_records
        self._preparer = Preparer(received_at, has_escapes=has_escapes)

    def read_document(self, body: bytes) -> None:
        start = body.lstrip(b" \t\r\n")[:1]
        if start == b"[":
            self._read_list(body)
            return
        if start != b"{":
            parse_json(body)
            raise IngestError(
                400,
                "not_records",
                'The body must be an object, a list of objects, or {"records": [...]}.',
            )
        try:
            event = ONE.decode(body)
        except (msgspec.DecodeError, RecursionError):
            self._read_object(body)
            return
        self._count(1)
        self._take_event(0, event)

    def _read_object(self, body: bytes) -> None:
        try:
            inner = _envelope.decode(body).records
        except (msgspec.DecodeError, RecursionError) as exc:
            if b"\n" in body.strip() and self._looks_like_lines(body):
                self.read_lines(body)
                return
            parsed = parse_json(body, exc)
            self._read_parsed(parsed)
            return
        if inner is msgspec.UNSET:
            self._count(1)
            self._read_one(0, body)
            return
        assert isinstance(inner, msgspec.Raw)
        text = bytes(inner)
        if text[:1] != b"[":
            raise IngestError(400, "not_records", "records must be a list.")
        self._read_list(text)

    def read_lines(self, body: bytes) -> None:
        if self._read_usual_lines(body):
            return
        lines = [line for line in body.split(b"\n") if line.strip()]
        self._count(len(lines))
        for index, line in enumerate(lines):
            self._read_one(index, line)
        refused = self.decoded.refused
        if len(refused) == len(lines) and all(
            refusal.code == "not_json" for _index, refusal in refused
        ):
            raise IngestError(400, "not_json", refused[0][1].detail)

    def _read_usual_lines(self, body: bytes) -> bool:
        try:
            events = ONE.decode_lines(body)
        except (msgspec.DecodeError, RecursionError):
            return False
        if len(events) != body.strip().count(b"\n") + 1:
            # decode_lines does not mind where a record ends.
            return False
        self._take_events(events)
        return True

    def _looks_like_lines(self, body: bytes) -> bool:
        try:
            _any.decode(body.strip().split(b"\n", 1)[0])
        except (msgspec.DecodeError, RecursionError):
            return False
        return True

    def _read_list(self, text: bytes) -> None:
        try:
            events = MANY.decode(text)
        except (msgspec.DecodeError, RecursionError):
            try:
                raws = _raws.decode(text)
            except (msgspec.DecodeError, RecursionError) as exc:
                self._read_parsed(parse_json(text, exc))
                return
            self._count(len(raws))
            for index, raw in enumerate(raws):
                self._read_one(index, bytes(raw))
            return
        self._take_events(events)

    def _read_parsed(self, parsed: Any) -> None:
        # Text with half a surrogate pair: JSON by the grammar, refused by msgspec.
        if isinstance(parsed, dict) and "records" in parsed:
            parsed = parsed["records"]
            if not isinstance(parsed, list):
                raise IngestError(400, "not_records", "records must be a list.")
        records = parsed if isinstance(parsed, list) else [parsed]
        self._count(len(records))
        for index, obj in enumerate(records):
            self._take_object(index, obj)

    def _count(self, count: int) -> None:
        if count > self._max_records:
            raise IngestError(
                413,
                "too_many_records",
                f"The body has {count:,} records; at most {self._max_records:,} are "
                "taken at once.",
            )
        self.decoded.count = count

    def _read_one(self, index: int, text: bytes) -> None:
        try:
            event = ONE.decode(text)
        except (msgspec.DecodeError, RecursionError):
            self._read_slowly(index, text)
            return
        self._take_event(index, event)

    def _read_slowly(self, index: int, text: bytes) -> None:
        try:
            obj = _any.decode(text)
        except (msgspec.DecodeError, RecursionError) as exc:
            try:
                obj = parse_json(text, exc)
            except IngestError as error:
                shown = text[:2000].decode("utf-8", "replace")
                self._refuse(
                    index, Refusal("unknown", "", "not_json", error.detail, shown)
                )
                return
        self._take_object(index, obj)

    def _take_events(self, events: list[UsualEvent]) -> None:
        self._count(len(events))
        for index, event in enumerate(events):
            self._take_event(index, event)

    def _take_event(self, index: int, event: UsualEvent) -> None:
        """The fast way; whatever is unusual goes to `_take_object`."""
        prepared = self._preparer.prepare(event)
        if prepared is None:
            self._take_object(index, as_object(event))
            return
        self.decoded.items.append(prepared)
        self.decoded.positions.append(index)

    def _take_object(self, index: int, obj: Any) -> None:
        if not isinstance(obj, dict):
            detail = "A record must be a JSON object."
            self._refuse(index, Refusal("unknown", "", "not_an_object", detail, obj))
            return
        kind = "unknown"
        try:
            kind = convert.type_of(obj)
            check_numbers(obj)
            if kind != "event":
                self._add(index, convert.to_entity(obj, kind))
                return
            fields = convert.to_event(obj)
            properties = encode_properties(fields["properties"])
        except FieldProblem as problem:
            self._refuse_field(index, kind, obj, problem)
            return
        self._add_event(
            index,
            event_id=fields["event_id"],
            name=fields["event"],
            customer_id=fields["customer_id"],
            user_id=fields["user_id"],
            moment=fields["timestamp"],
            value=fields["value"],
            properties=properties,
            obj=obj,
        )

    def _add_event(
        self,
        index: int,
        *,
        event_id: str | int | None,
        name: str,
        customer_id: str | int | None,
        user_id: str | int | None,
        moment: datetime | None,
        value: float | None,
        properties: bytes,
        obj: Any = None,
    ) -> None:
        customer = None if customer_id is None else str(customer_id)
        user = "" if user_id is None else str(user_id)
        micros = None if moment is None else micros_of(moment)
        content = content_of(name, customer, user, micros, value, properties)
        if event_id is None:
            event_id = content_id(name, customer, user, moment, value, properties)
        event = PreparedEvent(
            str(event_id),
            name,
            self._received_at if moment is None else moment,
            micros_of(self._received_at) if micros is None else micros,
            customer,
            user,
            value,
            properties,
            content,
            moment is not None,
        )
        problem = quality.check_event_fields(
            event_id=event.event_id,
            event=name,
            customer_id=customer,
            user_id=user,
            timestamp=event.ts,
            value=value,
            now=self._received_at,
        )
        if problem is None:
            self._add(index, event)
            return
        if obj is None:
            obj = event_as_sent(event)
        self._refuse_field(
            index,
            "event",
            obj,
            FieldProblem(problem.code, problem.field, problem.detail),
        )

    def _add(self, index: int, item: Record | PreparedEvent) -> None:
        self.decoded.items.append(item)
        self.decoded.positions.append(index)

    def _refuse_field(
        self, index: int, kind: str, obj: dict[str, Any], problem: FieldProblem
    ) -> None:
        name = "event_id" if kind == "event" else ""
        external_id = str(obj.get(name) or "") or convert.external_id_of(obj, kind)
        self._refuse(
            index,
            Refusal(
                kind, external_id, problem.code, problem.detail, obj, problem.field
            ),
        )

    def _refuse(self, index: int, refusal: Refusal) -> None:
        self.decoded.refused.append((index, refusal))
