"""Zendesk objects as records."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from churnguard.errors import RecordError
from churnguard.records import (
    ContactRecord,
    CustomerRecord,
    ObjectRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from integrations.connectors.zendesk.connector import ZendeskConnector
from integrations.connectors.zendesk.records import is_ours, record_of
from tests.integrations.connectors import served
from tests.integrations.connectors.served import at

payload = partial(served.payload, "zendesk")
TAGS = frozenset({"escalated"})
STREAMS = {stream.name: stream for stream in ZendeskConnector.streams}


def ticket(**changes: Any) -> TicketRecord:
    """The payload's ticket with other values; metrics in metric_set."""
    raw = payload("ticket")
    raw["metric_set"].update(changes.pop("metric_set", {}))
    raw.update(changes)
    made = record_of("tickets", raw, {}, TAGS)
    assert isinstance(made, TicketRecord)
    return made


def test_a_ticket_has_response_resolution_and_escalation() -> None:
    raw = payload("ticket")

    assert record_of("tickets", raw, {"27642": "Build"}, TAGS) == TicketRecord(
        external_id="35436",
        updated_at=at("2026-01-03T09:30:00"),
        customer_id="509974",
        contact_id="20978392",
        subject="Export fails",
        status="closed",
        priority="high",
        channel="email",
        team="98738",
        assignee="235323",
        opened_at=at("2026-01-02T08:00:00"),
        first_replied_at=at("2026-01-02T08:42:00"),
        solved_at=at("2026-01-02T09:10:00"),
        closed_at=at("2026-01-03T09:30:00"),
        reopen_count=0,
        reply_count=1,
        is_escalated=True,
        is_first_contact_resolved=True,
        satisfaction_pct=100.0,
        custom={
            "Build": "745",
            "27650": ["a", "b"],
            "external_id": "ahg35h3jh",
            "type": "incident",
            "tags": ["enterprise", "Escalated"],
        },
        raw=raw,
    )


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"metric_set": {"replies": 2}}, False),
        ({"metric_set": {"reopens": 1}}, False),
        ({"status": "pending"}, None),
        ({"metric_set": {"replies": None}}, None),
    ],
)
def test_first_contact_resolution(
    changes: dict[str, Any], expected: bool | None
) -> None:
    assert ticket(**changes).is_first_contact_resolved is expected


@pytest.mark.parametrize(
    ("spans", "replied_at"),
    [
        ({"reply_time_in_seconds": {"calendar": 25}}, "2026-01-02T08:00:25"),
        ({"reply_time_in_seconds": {"calendar": None}}, "2026-01-02T08:42:00"),
        ({"reply_time_in_minutes": {"calendar": None, "business": None}}, None),
        ({"reply_time_in_minutes": None}, None),
    ],
)
def test_the_first_reply(spans: dict[str, Any], replied_at: str | None) -> None:
    expected = at(replied_at) if replied_at else None

    assert ticket(metric_set=spans).first_replied_at == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"tags": ["ESCALATED"]}, True),
        ({"tags": []}, False),
        ({"tags": [], "metric_set": {"group_stations": 2}}, True),
        ({"tags": None, "metric_set": {"group_stations": None}}, None),
    ],
)
def test_escalation_is_a_tag_or_another_group(
    changes: dict[str, Any], expected: bool | None
) -> None:
    assert ticket(**changes).is_escalated is expected


@pytest.mark.parametrize(
    ("told", "ours"),
    [("new", "open"), ("hold", "on_hold"), ("solved", "solved"), ("brandnew", None)],
)
def test_statuses(told: str, ours: str | None) -> None:
    made = ticket(status=told)

    assert (made.status, made.deleted) == (ours, False)


def test_a_deleted_ticket_and_an_open_one_keep_no_end() -> None:
    assert ticket(status="deleted").deleted
    made = ticket(status="open")
    assert (made.solved_at, made.closed_at) == (None, None)


@pytest.mark.parametrize("score", ["offered", "unoffered", None])
def test_an_offered_rating_is_no_answer(score: str | None) -> None:
    assert ticket(satisfaction_rating={"score": score}).satisfaction_pct is None


def test_an_organization_becomes_a_customer() -> None:
    raw = payload("organization")

    assert record_of("organizations", raw, {}, TAGS) == CustomerRecord(
        external_id="509974",
        updated_at=at("2026-01-01T00:00:00"),
        name="Globex",
        domain="globex.example",
        custom={
            "tier": "gold",
            "seats": 40,
            "external_id": "0015g00000XyZ",
            "tags": ["enterprise"],
        },
        raw=raw,
    )


def test_a_user_becomes_a_contact_and_an_inactive_one_is_deleted() -> None:
    raw = payload("user")

    assert record_of("users", raw, {}, TAGS) == ContactRecord(
        external_id="20978392",
        updated_at=at("2026-01-02T07:59:00"),
        customer_id="509974",
        email="tom@globex.example",
        name="Tom Globe",
        phone="+49 30 555",
        role="end-user",
        joined_at=at("2025-06-01T10:00:00"),
        user_id="crm-77",
        custom={
            "seat": "Buyer",
            "external_id": "crm-77",
            "tags": ["vip"],
            "last_login_at": "2026-01-01T10:00:00Z",
        },
        raw=raw,
    )
    gone = record_of("users", {**raw, "active": False}, {}, TAGS)
    assert isinstance(gone, ContactRecord)
    assert gone.deleted


def test_a_ticket_merged_into_another_says_nothing_of_first_contact() -> None:
    assert ticket(tags=["closed_by_merge"]).is_first_contact_resolved is None


def test_both_kinds_of_satisfaction_become_survey_responses() -> None:
    rating, response = payload("satisfaction_rating"), payload("survey_response")
    response["sideloaded"] = {"top_rating": 5}

    assert record_of("satisfaction_ratings", rating, {}, TAGS) == SurveyResponseRecord(
        external_id="rating:62",
        updated_at=at("2026-01-02T11:00:00"),
        contact_id="20978392",
        kind="csat",
        score=0.0,
        scale_min=0.0,
        scale_max=100.0,
        comment="Too slow",
        answered_at=at("2026-01-02T11:00:00"),
        custom={"ticket_id": 35436, "reason": "The issue took too long to resolve"},
        raw=rating,
    )
    assert record_of("survey_responses", response, {}, TAGS) == SurveyResponseRecord(
        external_id="survey:01HZY3M6Q0S8",
        updated_at=at("2026-01-02T12:02:00"),
        contact_id="20978392",
        kind="csat",
        score=4.0,
        scale_min=1.0,
        scale_max=5.0,
        comment="Quick answer",
        answered_at=at("2026-01-02T12:00:00"),
        custom={"ticket_id": "35436"},
        raw=response,
    )


def test_an_sla_breach_is_kept_with_its_policy() -> None:
    raw = payload("metric_event")

    assert record_of("sla_events", raw, {}, TAGS) == ObjectRecord(
        external_id="926256957613",
        kind="sla_events",
        occurred_at=at("2026-01-02T10:03:00"),
        custom={
            "ticket_id": 35436,
            "metric": "reply_time",
            "type": "breach",
            "instance_id": 1,
            "policy": "Gold",
        },
        raw=raw,
    )


def test_an_agreement_of_a_group_is_kept_with_its_policy() -> None:
    raw = payload("metric_event")
    agreement = raw.pop("sla")
    raw |= {"type": "apply_group_sla", "metric": "group_ownership_time"}
    raw["group_sla"] = agreement

    made = record_of("sla_events", raw, {}, TAGS)

    assert is_ours("sla_events", raw)
    assert isinstance(made, ObjectRecord)
    assert (made.custom["type"], made.custom["policy"]) == ("apply_group_sla", "Gold")


@pytest.mark.parametrize(
    ("verdict", "score"), [("good", 100.0), ("neutral", 50.0), ("bad", 0.0)]
)
def test_a_rating_of_unknown_scale_counts_by_its_category(
    verdict: str, score: float
) -> None:
    raw = payload("survey_response")
    raw["answers"][1]["rating_category"] = verdict

    made = record_of("survey_responses", raw, {}, TAGS)

    assert isinstance(made, SurveyResponseRecord)
    assert (made.score, made.scale_min, made.scale_max) == (score, 0.0, 100.0)
    del raw["answers"][1]["rating_category"]
    with pytest.raises(RecordError):
        record_of("survey_responses", raw, {}, TAGS)


@pytest.mark.parametrize(
    ("changes", "ticket_id"),
    [
        ({"subjects": []}, "35436"),
        ({"subjects": [{"id": "7", "type": "ticket"}]}, "7"),
        ({"subjects": [], "subject_zrns": ["zen:conversation:4295"]}, None),
    ],
)
def test_the_ticket_a_survey_was_about(
    changes: dict[str, Any], ticket_id: str | None
) -> None:
    raw = payload("survey_response") | changes | {"sideloaded": {"top_rating": 5}}

    assert record_of("survey_responses", raw, {}, TAGS).custom.get("ticket_id") == (
        ticket_id
    )


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_an_object_without_id_is_refused(name: str) -> None:
    with pytest.raises(RecordError) as caught:
        record_of(name, {"name": "x"}, {}, TAGS)

    assert caught.value.field == "id"
