"""The decoder on hostile bodies: a 4xx or a complete account of the records."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from churnguard.models import Batch, Quarantine, UsageEvent
from churnguard.records import RECORD_TYPES
from integrations.ingest.answers import IngestError
from integrations.ingest.body import BodyReader
from integrations.ingest.decode import Decoded, decode
from integrations.load import PreparedEvent
from tests import examples
from tests.integrations.ingest.conftest import Door

DEEP = b'{"event":"x","properties":' + b"[" * 3000 + b"]" * 3000 + b"}"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

text = st.text(alphabet=st.characters(exclude_categories=()), max_size=12)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    text,
    st.sampled_from(["\0", "\ud800", "2026-01-01", "event", "x" * 300, "1e999", "nan"]),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)
    ),
    max_leaves=6,
)
KEYS = """type event event_id id external_id customer_id user_id timestamp value
    properties custom raw version updated_at deleted name status currency mrr_minor
    started_at ended_at lines links kind records seats"""
keys = st.sampled_from(KEYS.split())
records = st.dictionaries(st.one_of(keys, text), values, max_size=6)
typed = st.builds(
    lambda kind, record: {**record, "type": kind},
    st.sampled_from([*RECORD_TYPES, "other", None]),
    records,
)
items = st.one_of(records, typed, values)
documents = st.one_of(
    items, st.lists(items, max_size=4), st.fixed_dictionaries({"records": values})
)
escaped = documents.map(lambda value: json.dumps(value).encode())
bodies = st.one_of(
    escaped,
    st.binary(max_size=60),
    st.lists(escaped, max_size=4).map(b"\n".join),
    st.builds(lambda body, cut: body[:cut], escaped, st.integers(0, 60)),
)


def _decode(body: bytes, ndjson: bool) -> Decoded | IngestError:
    try:
        return decode(body, ndjson=ndjson, received_at=NOW, max_records=100)
    except IngestError as error:
        return error


@settings(max_examples=examples.out_of(400), deadline=None)
@given(body=bodies, ndjson=st.booleans())
@example(body=b'{"event":"x","properties":{"a":1e999}}', ndjson=False)
@example(body=DEEP, ndjson=False)
@example(body=b'{"event":"x","timestamp":"0001-01-01T00:00:00+14:00"}', ndjson=False)
@example(body=b'{"event":"x","value":' + b"9" * 5000 + b"}", ndjson=True)
def test_every_record_of_a_body_is_accounted_for(body: bytes, ndjson: bool) -> None:
    decoded = _decode(body, ndjson)
    if isinstance(decoded, IngestError):
        assert decoded.status in (400, 413)
        assert json.loads(decoded.answer().body)["code"] == decoded.code
        return
    places = decoded.positions + [index for index, _refusal in decoded.refused]
    assert sorted(places) == list(range(decoded.count))
    assert len(decoded.items) == len(decoded.positions)


@settings(
    max_examples=examples.out_of(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(body=bodies, ndjson=st.booleans())
def test_no_body_makes_the_door_fail(asgi: Door, body: bytes, ndjson: bool) -> None:
    kind = "application/x-ndjson" if ndjson else "application/json"
    reply = asgi(body, headers={"Content-Type": kind})

    assert reply.status in (202, 400)
    if reply.status == 202:
        line = Batch.objects.latest("pk")
        counts = [reply.body[n] for n in ("accepted", "duplicates", "quarantined")]
        assert sum(counts) == line.fetched
        assert counts[2] == len(reply.body["errors"]) == line.quarantined
        assert line.inserted + line.updated + line.unchanged == counts[0]
        assert line.events <= UsageEvent.objects.count()
        assert Quarantine.objects.count() <= 100_000


def test_the_fast_way_and_the_slow_way_read_the_same() -> None:
    event: dict[str, Any] = {
        "event_id": 7,
        "event": "login",
        "customer_id": 5,
        "user_id": "u",
        "timestamp": "2026-01-01T00:00:00+01:00",
        "value": 3,
        "properties": {"a": 1},
    }

    def read(sent: dict[str, Any]) -> PreparedEvent:
        body = json.dumps(sent).encode().replace(b'": ', b'":').replace(b', "', b',"')
        decoded = decode(body, ndjson=False, received_at=NOW, max_records=1)
        (item,) = decoded.items
        assert isinstance(item, PreparedEvent)
        return item

    fast = read(event)
    slow = read({**{k: v for k, v in event.items() if k != "properties"}, "a": 1})
    assert fast == slow
    assert fast.event_id == "7"
    assert fast.ts == datetime(2025, 12, 31, 23, tzinfo=UTC)


def test_a_body_may_come_in_any_pieces() -> None:
    plain = b'{"event": "x"}' * 1000
    frames = zstandard.compress(plain[:500]) + zstandard.compress(plain[500:])
    members = gzip.compress(plain[:500]) + gzip.compress(plain[500:])
    for encoding, sent in (("", plain), ("zstd", frames), ("gzip", members)):
        for size in (1, 7, len(sent)):
            reader = BodyReader(encoding, max_bytes=10**6, max_decoded=10**6)
            for start in range(0, len(sent), size):
                reader.feed(sent[start : start + size])
            assert reader.finish() == plain
            assert reader.received == len(sent)


ONE = b'{"event_id":"1","event":"x","timestamp":1772000000}'
TWO = b'{"event_id":"2","event":"x","timestamp":1772000000}'


@pytest.mark.parametrize(
    ("body", "ids", "refused"),
    [
        (ONE + b"\n" + TWO, ["1", "2"], []),
        (b"\r\n" + ONE + b"\r\n\n  " + TWO + b"\n\n", ["1", "2"], []),
        (ONE + b"\n" + ONE + TWO, ["1"], [1]),
        (ONE + b"\n" + TWO + b"\n" + TWO[:20] + b"\n" + TWO[20:], ["1", "2"], [2, 3]),
        (ONE + b",\n" + TWO, ["2"], [0]),
        (ONE + b"\n" + TWO.replace(b"x", b"x\n"), ["1"], [1, 2]),
        (ONE + b"\n" + TWO.replace(b'"x"', b'""'), ["1"], [1]),
        (ONE + b"\n" + TWO.replace(b"x", b"x" * 256), ["1"], [1]),
    ],
)
def test_a_line_is_a_record(body: bytes, ids: list[str], refused: list[int]) -> None:
    decoded = decode(body, ndjson=True, received_at=NOW, max_records=100)

    assert [item.event_id for item in decoded.items] == ids  # type: ignore[union-attr]
    assert [index for index, _refusal in decoded.refused] == refused
    assert decoded.count == len(ids) + len(refused)
