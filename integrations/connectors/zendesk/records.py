"""One Zendesk object as a record of ours. Pure.

`raw` is Zendesk's object; a ticket's has beside it what was loaded with it: metric_set,
and under "sideloaded" the names of its assignee and group. There a survey response has
the top_rating of its survey.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from churnguard.errors import RecordError
from churnguard.records import (
    AnyRecord,
    ContactRecord,
    CustomerRecord,
    ObjectRecord,
    SurveyResponseRecord,
    TicketRecord,
)
from integrations.connectors.base import JsonDict
from integrations.connectors.values import flag, moment, real, text, whole

STATUSES = {
    "new": "open",
    "open": "open",
    "pending": "pending",
    "hold": "on_hold",
    "solved": "solved",
    "closed": "closed",
}
PRIORITIES = ("low", "normal", "high", "urgent")
SLA_TYPES = ("apply_sla", "apply_group_sla", "breach", "fulfill")
"""Metric events about agreements; the others are the clock's own ticking."""
_DONE = ("solved", "closed")
_MERGED = "closed_by_merge"
"""Zendesk's tag on a ticket whose conversation goes on in another one."""
_RATINGS = {"good": 100.0, "neutral": 50.0, "bad": 0.0}

_REPLY_TIMES = {
    "reply_time_in_seconds": timedelta(seconds=1),
    "reply_time_in_minutes": timedelta(minutes=1),
}

Names = Mapping[str, str]


def is_ours(stream: str, raw: JsonDict) -> bool:
    """Whether a row has a place in our model; the others count as filtered."""
    if stream == "users":
        return raw.get("role") in (None, "end-user")
    if stream == "satisfaction_ratings":
        return _rating(raw) is not None
    if stream == "survey_responses":
        return bool(_rated(raw))
    if stream == "sla_events":
        return raw.get("type") in SLA_TYPES
    return True


def record_of(
    stream: str, raw: JsonDict, fields: Names, escalation_tags: frozenset[str]
) -> AnyRecord:
    """The record. Raises RecordError with the field that cannot be used.

    fields: ticket field id -> name in custom. escalation_tags: tags that mark an
    escalated ticket, in lower case.
    """
    if raw.get("id") in (None, ""):
        raise RecordError("The object has no id.", code="missing_id", field="id")
    if stream == "tickets":
        return _ticket(raw, fields, escalation_tags)
    return _MAKERS[stream](raw)


def rating_of(found: Any) -> JsonDict | None:
    """Of a survey's questions, or of the answers to them, the one that rates the
    support; surveys may ask for other ratings too."""
    rating = [
        each
        for each in found or []
        if isinstance(each, dict) and str(each.get("type")).startswith("rating_scale")
    ]
    asked = [each for each in rating if _sub_type(each) == "customer_satisfaction"]
    return next(iter(asked or rating), None)


def _sub_type(each: JsonDict) -> Any:
    question = each.get("question")
    return (question if isinstance(question, dict) else each).get("sub_type")


def _organization(raw: JsonDict) -> CustomerRecord:
    domains = raw.get("domain_names") or []
    if not isinstance(domains, list):
        raise RecordError(
            "domain_names is no list.", code="wrong_type", field="domain_names"
        )
    return CustomerRecord(
        external_id=str(raw["id"]),
        updated_at=moment(raw, "updated_at"),
        deleted=raw.get("deleted_at") is not None,
        name=text(raw, "name"),
        domain=str(domains[0]) if domains else None,
        custom=_custom(raw, "organization_fields"),
        raw=raw,
    )


def _user(raw: JsonDict) -> ContactRecord:
    return ContactRecord(
        external_id=str(raw["id"]),
        updated_at=moment(raw, "updated_at"),
        deleted=flag(raw, "active") is False,
        customer_id=text(raw, "organization_id"),
        email=text(raw, "email"),
        name=text(raw, "name"),
        phone=text(raw, "phone"),
        role=text(raw, "role"),
        joined_at=moment(raw, "created_at"),
        # "A unique identifier from another system": who the user is in the product.
        user_id=text(raw, "external_id"),
        custom=_custom(raw, "user_fields"),
        raw=raw,
    )


def _ticket(
    raw: JsonDict, fields: Names, escalation_tags: frozenset[str]
) -> TicketRecord:
    metrics = raw.get("metric_set") or {}
    told = text(raw, "status") or ""
    status = STATUSES.get(told)
    opened_at = moment(raw, "created_at")
    priority = text(raw, "priority")
    reopens, replies = whole(metrics, "reopens"), whole(metrics, "replies")
    sideloaded = raw.get("sideloaded") or {}
    channel = (raw.get("via") or {}).get("channel")
    rating = _rating(raw.get("satisfaction_rating") or {})
    return TicketRecord(
        external_id=str(raw["id"]),
        updated_at=moment(raw, "updated_at"),
        deleted=told == "deleted",
        customer_id=text(raw, "organization_id"),
        contact_id=text(raw, "requester_id"),
        subject=text(raw, "raw_subject") or text(raw, "subject"),
        status=status,
        priority=priority if priority in PRIORITIES else None,
        channel=str(channel) if channel else None,
        team=sideloaded.get("group") or text(raw, "group_id"),
        assignee=sideloaded.get("assignee") or text(raw, "assignee_id"),
        opened_at=opened_at,
        first_replied_at=_first_reply(opened_at, metrics),
        solved_at=moment(metrics, "solved_at") if status in _DONE else None,
        closed_at=moment(metrics, "status_updated_at") if status == "closed" else None,
        reopen_count=reopens,
        reply_count=replies,
        is_escalated=_is_escalated(raw, metrics, escalation_tags),
        is_first_contact_resolved=(
            None
            if _MERGED in (raw.get("tags") or [])
            else _first_contact(status, reopens, replies)
        ),
        satisfaction_pct=rating,
        custom=_ticket_custom(raw, fields),
        raw=raw,
    )


def _satisfaction(raw: JsonDict) -> SurveyResponseRecord:
    return SurveyResponseRecord(
        external_id=f"rating:{raw['id']}",
        updated_at=moment(raw, "updated_at"),
        contact_id=text(raw, "requester_id"),
        kind="csat",
        score=_rating(raw),
        scale_min=0.0,
        scale_max=100.0,
        comment=text(raw, "comment"),
        answered_at=moment(raw, "updated_at") or moment(raw, "created_at"),
        custom=_some(raw, "ticket_id", "reason"),
        raw=raw,
    )


def _survey(raw: JsonDict) -> SurveyResponseRecord:
    answers = [each for each in raw.get("answers") or [] if isinstance(each, dict)]
    rated = _rated(raw)
    if not rated:
        raise RecordError(
            "The response has no rating.", code="missing_value", field="answers"
        )
    score, scale_min, scale_max = _scaled(rated, raw.get("sideloaded") or {})
    comments = (text(e, "value") for e in answers if e.get("type") == "open_ended")
    ticket_id = _surveyed_ticket(raw)
    return SurveyResponseRecord(
        external_id=f"survey:{raw['id']}",
        updated_at=max(
            filter(None, (moment(e, "updated_at") for e in answers)), default=None
        ),
        contact_id=text(raw, "responder_id"),
        kind="csat",
        score=score,
        scale_min=scale_min,
        scale_max=scale_max,
        comment=next(filter(None, comments), None),
        answered_at=moment(rated, "updated_at") or moment(rated, "created_at"),
        custom={"ticket_id": ticket_id} if ticket_id else {},
        raw=raw,
    )


def _scaled(rated: JsonDict, sideloaded: JsonDict) -> tuple[float | None, float, float]:
    """(score, least, best): on the survey's scale, or by Zendesk's own verdict where
    the survey cannot be read."""
    top = real(sideloaded, "top_rating")
    if top is not None:
        return real(rated, "rating"), 1.0, top
    verdict = _RATINGS.get(str(rated.get("rating_category")))
    if verdict is None:
        raise RecordError(
            "Neither the scale of the rating nor its category is known.",
            code="missing_value",
            field="rating_category",
        )
    return verdict, 0.0, 100.0


def _surveyed_ticket(raw: JsonDict) -> str | None:
    names = [
        str(each.get("zrn") or f"zen:{each.get('type')}:{each.get('id')}")
        for each in raw.get("subjects") or []
        if isinstance(each, dict)
    ]
    names += map(str, raw.get("subject_zrns") or [])
    tickets = (name for name in names if name.startswith("zen:ticket:"))
    return next(tickets, "").rpartition(":")[2] or None


def _metrics(raw: JsonDict) -> ObjectRecord:
    return ObjectRecord(
        external_id=str(raw["id"]),
        kind="ticket_metrics",
        updated_at=moment(raw, "updated_at"),
        occurred_at=moment(raw, "created_at"),
        custom=_some(raw, "ticket_id", "reopens", "replies", "solved_at"),
        raw=raw,
    )


def _sla_event(raw: JsonDict) -> ObjectRecord:
    policy = (raw.get("sla") or raw.get("group_sla") or {}).get("policy") or {}
    return ObjectRecord(
        external_id=str(raw["id"]),
        kind="sla_events",
        # Its time is not that of its last change, and may be still to come.
        deleted=flag(raw, "deleted") is True,
        occurred_at=moment(raw, "time"),
        custom={
            **_some(raw, "ticket_id", "metric", "type", "instance_id"),
            **({"policy": policy["title"]} if policy.get("title") else {}),
        },
        raw=raw,
    )


_MAKERS: dict[str, Callable[[JsonDict], AnyRecord]] = {
    "organizations": _organization,
    "users": _user,
    "satisfaction_ratings": _satisfaction,
    "survey_responses": _survey,
    "ticket_metrics": _metrics,
    "sla_events": _sla_event,
}


def _rating(raw: JsonDict) -> float | None:
    """good -> 100, bad -> 0, also with comment; None while it is only offered."""
    score = str(raw.get("score") or "").split("_")[0]
    return _RATINGS.get(score)


def _rated(raw: JsonDict) -> JsonDict:
    """The answer that holds the rating; {} where there is none."""
    found = rating_of(raw.get("answers")) or {}
    return found if found.get("rating") is not None else {}


def _first_contact(
    status: str | None, reopens: int | None, replies: int | None
) -> bool | None:
    """Solved with one public reply at most and never opened again; None before it is
    solved, or where the metrics are missing."""
    if status not in _DONE or reopens is None or replies is None:
        return None
    return reopens == 0 and replies <= 1


def _is_escalated(
    raw: JsonDict, metrics: JsonDict, escalation_tags: frozenset[str]
) -> bool | None:
    """Marked by a tag, or handed from one group to another; None if neither tags nor
    metrics came."""
    tags = raw.get("tags")
    if isinstance(tags, list) and escalation_tags & {str(t).lower() for t in tags}:
        return True
    stations = whole(metrics, "group_stations")
    if stations is None:
        return False if isinstance(tags, list) else None
    return stations > 1


def _first_reply(opened_at: datetime | None, metrics: JsonDict) -> datetime | None:
    """By the calendar; for messaging tickets Zendesk counts the seconds too."""
    for name, unit in _REPLY_TIMES.items():
        spans = metrics.get(name)
        passed = real(spans, "calendar") if isinstance(spans, dict) else None
        if opened_at is not None and passed is not None:
            return opened_at + passed * unit
    return None


def _custom(raw: JsonDict, name: str) -> JsonDict:
    values = raw.get(name)
    found = _filled(values) if isinstance(values, dict) else {}
    return found | _some(raw, "external_id", "tags", "last_login_at")


def _ticket_custom(raw: JsonDict, fields: Names) -> JsonDict:
    values = raw.get("custom_fields")
    if not isinstance(values, list):
        return _some(raw, "external_id", "type", "tags")
    given = {
        fields.get(str(each["id"]), str(each["id"])): each.get("value")
        for each in values
        if isinstance(each, dict) and "id" in each
    }
    return _filled(given) | _some(raw, "external_id", "type", "tags")


def _some(raw: JsonDict, *names: str) -> JsonDict:
    return _filled({name: raw.get(name) for name in names})


def _filled(values: Mapping[str, Any]) -> JsonDict:
    return {k: v for k, v in values.items() if v not in (None, "", [])}
