"""One contract for both doors: what is answered, and what is stored by then."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import zstandard
from django.utils import timezone

from churnguard.auth import create_api_key
from churnguard.models import (
    ApiKey,
    Batch,
    Customer,
    CustomerSource,
    Organization,
    Quarantine,
    Source,
    Subscription,
    UsageEvent,
)
from tests.integrations.ingest.conftest import Door

NDJSON = {"Content-Type": "application/x-ndjson"}


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event": "login",
        "customer_id": "c1",
        "timestamp": "2026-03-01T12:00:00Z",
        **fields,
    }


def lines(*records: Any) -> bytes:
    return b"\n".join(json.dumps(record).encode() for record in records)


def test_an_event_is_stored_before_the_answer(door: Door, shop: Organization) -> None:
    reply = door(event(properties={"plan": "pro"}, user_id=7, value=2.5))

    assert reply.status == 202
    batch_id = reply.body.pop("batch_id")
    assert reply.body == {
        "accepted": 1,
        "duplicates": 0,
        "quarantined": 0,
        "errors": [],
    }
    stored = UsageEvent.objects.get()
    assert (stored.name, stored.event_id, stored.user_key) == ("login", "e1", "7")
    assert stored.ts == datetime(2026, 3, 1, 12, tzinfo=UTC)
    assert (stored.properties, stored.value) == ({"plan": "pro"}, 2.5)
    assert stored.organization_id == shop.pk
    assert Source.objects.get().name == "web"
    assert CustomerSource.objects.get().external_id == "c1"
    line = Batch.objects.get()
    assert batch_id == f"bat_{line.pk}_0"
    assert (line.origin, line.fetched, line.inserted, line.events) == (
        "ingest",
        1,
        1,
        1,
    )


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (lines([event(1), event(2)]), {}),
        (lines({"records": [event(1), event(2)]}), {}),
        (lines(event(1), event(2)), NDJSON),
        (lines(event(1), event(2)), {}),
        (b"\n" + lines(event(1), event(2)) + b"\r\n\n", NDJSON),
        (b"\xef\xbb\xbf" + lines([event(1), event(2)]), {}),
        (gzip.compress(lines([event(1), event(2)])), {"Content-Encoding": "gzip"}),
        (
            gzip.compress(lines(event(1))) + gzip.compress(b"\n" + lines(event(2))),
            {"Content-Encoding": "gzip", **NDJSON},
        ),
        (
            zstandard.compress(lines(event(1), event(2))),
            {"Content-Encoding": "zstd", **NDJSON},
        ),
    ],
)
def test_every_form_of_body_is_read(
    door: Door, body: bytes, headers: dict[str, str]
) -> None:
    reply = door(body, headers=headers)

    assert (reply.status, reply.body["accepted"]) == (202, 2)
    assert sorted(UsageEvent.objects.values_list("event_id", flat=True)) == ["e1", "e2"]


def test_a_repeated_request_stores_nothing_twice(door: Door) -> None:
    door([event(1), event(2)])
    reply = door([event(2), event(3), event(3)])

    assert (reply.body["accepted"], reply.body["duplicates"]) == (1, 2)
    assert UsageEvent.objects.count() == 3


def test_an_event_without_an_id_is_known_by_its_content(door: Door) -> None:
    sent = {"event": "login", "customer_id": "c1", "timestamp": 1_767_225_600}
    door({**sent, "properties": {"a": 1, "b": 2}})
    same = door({**sent, "properties": {"b": 2, "a": 1}})
    other = door({**sent, "properties": {"a": 2}})

    assert (same.body["duplicates"], other.body["accepted"]) == (1, 1)
    assert UsageEvent.objects.count() == 2


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("2026-01-01T02:00:00+02:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01 00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        (1_767_225_600, datetime(2026, 1, 1, tzinfo=UTC)),
        ("1767225600", datetime(2026, 1, 1, tzinfo=UTC)),
        (1_767_225_600_500, datetime(2026, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        (1_767_225_600.25, datetime(2026, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_senders_write_them(
    door: Door, given: Any, stored: datetime
) -> None:
    assert door(event(timestamp=given)).body["accepted"] == 1
    assert UsageEvent.objects.get().ts == stored


def test_an_absent_time_is_the_arrival_and_a_repeat_still_a_repeat(door: Door) -> None:
    before = timezone.now()
    door(event(timestamp=None))
    assert before <= UsageEvent.objects.get().ts <= timezone.now()

    assert door(event(timestamp=None)).body["duplicates"] == 1


def test_keys_without_a_place_become_properties_or_custom(door: Door) -> None:
    reply = door(
        [
            event(page="/home", properties={"ms": 3}),
            {"type": "customer", "customer_id": 5, "name": "Acme", "tier": "gold"},
            {"type": "subscription", "id": "s1", "customer_id": "5", "seats_used": 3,
             "custom": {"a": 1}, "mrr_minor": "4900", "currency": "usd",
             "started_at": "2026-01-01", "is_trial": "false"},
        ]
    )  # fmt: skip

    assert (reply.status, reply.body["accepted"]) == (202, 3)
    assert UsageEvent.objects.get().properties == {"page": "/home", "ms": 3}
    ref = CustomerSource.objects.get(external_id="5")
    assert (ref.name, ref.custom, ref.is_stub) == ("Acme", {"tier": "gold"}, False)
    assert Customer.objects.get(sources=ref).name == "Acme"
    subscription = Subscription.objects.get()
    assert subscription.custom == {"seats_used": 3, "a": 1}
    assert (subscription.mrr_minor, subscription.currency) == (4900, "USD")
    assert (subscription.is_trial, subscription.customer_source_id) == (False, ref.pk)
    assert subscription.raw["mrr_minor"] == "4900"


def test_bad_records_are_kept_aside_and_the_good_ones_land(door: Door) -> None:
    reply = door(
        [
            event(1),
            {"event": "no id, no customer"},
            7,
            {"type": "spaceship"},
            event(2, timestamp="1999-01-01"),
            event(3, timestamp="yesterday"),
            event(4, value="much"),
            {"type": "ticket", "customer_id": "c1"},
            {"type": "ticket", "id": "t1", "status": "on fire"},
            {"event_id": "e9", "customer_id": "c1"},
            event(5, customer_id="x" * 300),
            event(6, properties="none"),
            event(1, event="logout"),
        ]
    )

    assert reply.status == 202
    counts = {name: reply.body[name] for name in ("accepted", "quarantined")}
    assert counts == {"accepted": 2, "quarantined": 11}
    assert [(error["index"], error["code"]) for error in reply.body["errors"]] == [
        (2, "not_an_object"),
        (3, "unknown_type"),
        (4, "timestamp_out_of_range"),
        (5, "bad_timestamp"),
        (6, "wrong_type"),
        (7, "id_missing"),
        (8, "unknown_status"),
        (9, "event_missing"),
        (10, "id_too_long"),
        (11, "wrong_type"),
        (12, "event_id_conflict"),
    ]
    assert UsageEvent.objects.count() == 2
    assert Quarantine.objects.count() == 11
    kept = Quarantine.objects.get(code="bad_timestamp")
    assert (kept.external_id, kept.field) == ("e3", "timestamp")
    assert kept.raw == event(3, timestamp="yesterday")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'[{"event_id":"e2","event":"a\\u0000b"}, GOOD]', "bad_text"),
        (
            b'[{"event_id":"e2","event":"x","properties":{"a":"\\u0000"}}, GOOD]',
            "bad_text",
        ),
        (
            b'[{"event_id":"e2","event":"x","properties":{"\\ud800":1}}, GOOD]',
            "bad_text",
        ),
        (b'[{"event_id":"\\udc00","event":"x"}, GOOD]', "bad_text"),
        (b'[{"type":"ticket","id":"t","subject":"\\ud800"}, GOOD]', "bad_text"),
        (b'[{"type":"ticket","id":"t","more":{"a":"\\u0000"}}, GOOD]', "bad_text"),
        (b'[{"event_id":"e2","event":"x","value":1e999}, GOOD]', "number_out_of_range"),
        (
            b'[{"event_id":"e2","event":"x","properties":{"n":1e999999}}, GOOD]',
            "number_out_of_range",
        ),
        (
            b'[{"event_id":"e2","event":"x","timestamp":"2026-01-01T00:00:00Z",'
            b'"properties":{"n":1e999999}}, GOOD]',
            "unstorable",
        ),
        (
            b'[{"type":"ticket","id":"t","reply_count":1e30}, GOOD]',
            "number_out_of_range",
        ),
        (
            b'[{"type":"ticket","id":"t","version":99999999999999999999}, GOOD]',
            "number_out_of_range",
        ),
        (
            b'[{"type":"customer","id":"t","domain":"' + b"x" * 3000 + b'"}, GOOD]',
            "too_long",
        ),
    ],
)
def test_values_a_database_refuses_cost_only_their_record(
    door: Door, body: bytes, code: str
) -> None:
    reply = door(body.replace(b"GOOD", json.dumps(event(1)).encode()))

    assert reply.status == 202
    assert [(error["index"], error["code"]) for error in reply.body["errors"]] == [
        (0, code)
    ]
    assert UsageEvent.objects.get().event_id == "e1"
    assert Quarantine.objects.get().code == code


def test_one_bad_line_costs_only_itself(door: Door) -> None:
    body = lines(event(1)) + b"\n{oops\n" + lines(event(2))

    reply = door(body, headers=NDJSON)

    assert (reply.status, reply.body["accepted"]) == (202, 2)
    assert [(e["index"], e["code"]) for e in reply.body["errors"]] == [(1, "not_json")]
    assert Quarantine.objects.get().raw == "{oops"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"{oops", "not_json"),
        (b"[1, 2", "not_json"),
        (b'{"event": NaN}', "not_json"),
        (b'"text"', "not_records"),
        (b"17", "not_records"),
        (b'{"records": 7}', "not_records"),
        (b"\xff\xfe\x00", "not_json"),
        (b"", "empty"),
        (b" \n ", "empty"),
        (b"[]", "empty"),
        (b'{"records": []}', "empty"),
        (b"[" * 100_000 + b"]" * 100_000, "too_deep"),
        (b"{oops\nno\n", "not_json"),
    ],
)
def test_what_is_not_json_is_a_400(door: Door, body: bytes, code: str) -> None:
    reply = door(body)

    assert (reply.status, reply.body["code"]) == (400, code)
    assert sorted(reply.body) == ["code", "detail", "fields"]
    assert Batch.objects.count() == 0


def test_who_may_not_send_is_told_so(door: Door, shop: Organization) -> None:
    def refused(**options: Any) -> tuple[int, str]:
        reply = door(event(), **options)
        return reply.status, reply.body["code"]

    _row, reader = create_api_key(shop, "reader", ["read"])
    past = timezone.now() - timedelta(seconds=1)
    _row, expired = create_api_key(shop, "old", ["ingest"], expires_at=past)
    row, revoked = create_api_key(shop, "gone", ["ingest"])
    ApiKey.objects.filter(pk=row.pk).update(revoked_at=past)

    assert refused(key=None) == (401, "not_authenticated")
    assert refused(key="cg_wrong") == (401, "authentication_failed")
    assert refused(key=expired) == (401, "authentication_failed")
    assert refused(key=revoked) == (401, "authentication_failed")
    assert refused(key=reader) == (403, "permission_denied")
    assert UsageEvent.objects.count() == 0


def test_a_key_may_come_in_its_own_header_and_admin_may_ingest(
    door: Door, shop: Organization
) -> None:
    _row, admin = create_api_key(shop, "admin", ["admin"])

    assert door(event(1), key=None, headers={"X-API-Key": admin}).status == 202
    assert ApiKey.objects.get(name="admin").last_used_at is not None


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "text/csv"}, "unsupported_media_type"),
        (
            {"Content-Type": "application/x-www-form-urlencoded"},
            "unsupported_media_type",
        ),
        ({"Content-Encoding": "br"}, "unsupported_encoding"),
        ({"Content-Encoding": "gzip, gzip"}, "unsupported_encoding"),
    ],
)
def test_other_types_are_a_415(door: Door, headers: dict[str, str], code: str) -> None:
    reply = door(event(), headers=headers)

    assert (reply.status, reply.body["code"]) == (415, code)


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(b'{"event": "x"}', mtime=0)[:-6],
        b"not gzip at all",
    ],
)
def test_a_broken_encoding_is_a_400(door: Door, body: bytes) -> None:
    reply = door(body, headers={"Content-Encoding": "gzip"})

    assert (reply.status, reply.body["code"]) == (400, "bad_encoding")


@pytest.mark.parametrize("encoding", ["identity", "gzip", "zstd"])
def test_too_much_is_a_413(door: Door, settings: Any, encoding: str) -> None:
    settings.INGEST_MAX_BODY_BYTES = 20_000
    settings.INGEST_MAX_DECODED_BYTES = 50_000
    pack = {"identity": bytes, "gzip": gzip.compress, "zstd": zstandard.compress}
    body = pack[encoding](lines(event(properties={"x": "y" * 60_000})))

    reply = door(body, headers={"Content-Encoding": encoding})

    assert (reply.status, reply.body["code"]) == (413, "payload_too_large")
    assert UsageEvent.objects.count() == 0


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_decompression_bomb_stays_small(door: Door, pack: Any) -> None:
    encoding = "gzip" if pack is gzip.compress else "zstd"
    body = pack(b'"' + b" " * 60_000_000 + b'"')

    reply = door(body, headers={"Content-Encoding": encoding})

    assert (reply.status, reply.body["code"]) == (413, "payload_too_large")


def test_too_many_records_are_a_413(door: Door, settings: Any) -> None:
    settings.INGEST_MAX_RECORDS = 2

    reply = door([event(1), event(2), event(3)])

    assert (reply.status, reply.body["code"]) == (413, "too_many_records")


def test_too_fast_is_a_429_that_says_when(door: Door, settings: Any) -> None:
    settings.API_RATE_LIMITING_ENABLED = True
    settings.INGEST_RATE_LIMIT_PER_MINUTE = 3

    assert door([event(n) for n in range(5)]).status == 202
    reply = door(event(9))

    assert (reply.status, reply.body["code"]) == (429, "rate_limited")
    assert 30 <= int(reply.headers["retry-after"]) <= 60


@pytest.mark.parametrize(
    "source", ["%20web", "we%20b", "-web", "x" * 101, "w%C3%A9b", "a%0A"]
)
def test_a_source_needs_a_plain_name(door: Door, source: str) -> None:
    reply = door(event(), source=source)

    assert (reply.status, reply.body["code"]) == (400, "invalid_source")
    assert Source.objects.count() == 0


def test_other_methods_are_a_405(door: Door) -> None:
    reply = door(event(), method="PUT")

    assert (reply.status, reply.body["code"]) == (405, "method_not_allowed")
    assert reply.headers["allow"] == "POST, OPTIONS"


@pytest.mark.parametrize("source", ["", "web/more", "web%2Fmore"])
def test_other_addresses_are_a_404(door: Door, source: str) -> None:
    reply = door(event(), source=source)

    assert (reply.status, reply.body["code"]) == (404, "not_found")
    assert sorted(reply.body) == ["code", "detail", "fields"]


def test_the_sources_of_two_organisations_are_apart(door: Door) -> None:
    other = Organization.objects.create(name="Other")
    _row, key = create_api_key(other, "web", ["ingest"])

    assert door(event(1)).body["accepted"] == 1
    assert door(event(1), key=key).body["accepted"] == 1

    assert Source.objects.count() == 2
    assert Customer.objects.count() == 2
