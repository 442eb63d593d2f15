"""Silence, replies, champions and habits that are not known yet, by hand."""

from __future__ import annotations

import copy
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from analytics import rollups
from analytics.definition import DEFAULT_SPEC
from analytics.models import HealthScore, ScoreDefinition
from analytics.queries import Health
from churnguard.models import (
    Batch,
    Contact,
    Conversation,
    Customer,
    CustomerSource,
    Organization,
    Source,
    Ticket,
)
from churnguard.records import ContactRecord, CustomerRecord, EventRecord
from tests.analytics.identity.test_resolve import settle, write
from tests.analytics.test_scoring import NOW, entity, line, ref, score, source, use

__all__ = ["ref", "source"]
NEW = {"ticket_silence", "replies", "champion"}


def ago(days: float) -> datetime:
    return NOW - timedelta(days=days)


def metrics_of(found: Health) -> set[str]:
    return {reason.metric for part in found.components for reason in part["reasons"]}


def ask(ref: CustomerSource, *days_ago: float) -> None:
    """Tickets, solved at once."""
    for number, days in enumerate(days_ago):
        Ticket.objects.create(
            **entity(ref, f"t{days}-{number}"), opened_at=ago(days),
            solved_at=ago(days), status="solved",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("older", "recent", "expected", "sentence"),
    [
        # 15 in 90 days are 4.667 in 28: 0, 1 and 3 of them.
        (15, 0, 0.0, "No ticket in 28 days; usual are 4.7 tickets."),
        (15, 1, 51.43, "1 ticket in 28 days; usual are 4.7 tickets."),
        (15, 2, 88.57, "2 tickets in 28 days; usual are 4.7 tickets."),
        (15, 3, 100.0, "3 tickets in 28 days; usual are 4.7 tickets."),
        # 9 in 90 days are 2.8 in 28: a month without any is no news.
        (9, 0, None, ""),
    ],
)
def test_those_who_usually_write_and_fall_silent(
    ref: CustomerSource, older: int, recent: int, expected: float, sentence: str
) -> None:
    ask(ref, *(30 + 5.5 * n for n in range(older)), *range(3, 3 + recent))

    found = score(ref)

    if expected is None:
        assert "ticket_silence" not in metrics_of(found)
        return
    silence = line(found, "ticket_silence")
    assert silence.score == expected
    assert silence.sentence == sentence
    assert silence.fact_at == ago(3 if recent else 30)


def test_the_silence_of_a_broken_help_desk_is_unknown(
    ref: CustomerSource, source: Source
) -> None:
    ask(ref, *(70 + 3.0 * n for n in range(16)))
    # The 40 newest days are missing because nothing was delivered.
    Batch.objects.filter(source=source).update(received_at=ago(60))

    found = score(ref)

    # Grace 2, half-life 14 days: 2^(-58/14) = 0.057 of the fact, else 60.
    assert line(found, "ticket_silence").score == 0
    assert found.coverage_pct == 1
    assert found.score > 55


def mail(ref: CustomerSource, days_ago: float, direction: str) -> None:
    Conversation.objects.create(
        **entity(ref, f"m{days_ago}"), kind="email", direction=direction,
        started_at=ago(days_ago),
    )  # fmt: skip


def test_replies_to_the_last_ten_mails(ref: CustomerSource) -> None:
    for days in (100, 101, 102):
        mail(ref, days, "both")
    for days in range(50, 58):
        mail(ref, days, "out")
    mail(ref, 40, "in")  # answers those of days 50 to 54
    mail(ref, 2, "out")  # may still be answered
    mail(ref, 0.5, "both")
    Conversation.objects.create(
        **entity(ref, "call"), kind="call", direction="out", started_at=ago(5)
    )

    found = score(ref)

    # The ten newest of those that count: half a day, 50 to 57, 100.
    replies = line(found, "replies")
    assert replies.fact == {"value": 7.0, "reference": 10.0}
    assert replies.sentence == "7 of the last 10 e-mails to it got an answer."
    assert replies.score == 100.0
    assert replies.fact_at == ago(0.5)


def test_two_mails_say_nothing_of_replies(ref: CustomerSource) -> None:
    for days in (10, 400, 20):
        mail(ref, days, "out")

    assert "replies" not in metrics_of(score(ref))


@pytest.fixture
def champion(org: Organization) -> Customer:
    """Ann is the champion in the CRM, and user u-1 of the product by the help desk."""
    write(org, "crm", CustomerRecord(external_id="001", name="Acme"))
    write(org, "desk", CustomerRecord(external_id="org7", links={"crm": "001"}))
    write(org, "web", CustomerRecord(external_id="ws", links={"crm": "001"}))
    write(
        org, "crm",
        ContactRecord(external_id="003", customer_id="001", is_champion=True,
                      email="Ann@Acme.example"),
        ContactRecord(external_id="004", customer_id="001", is_champion=False),
    )  # fmt: skip
    write(
        org, "desk",
        ContactRecord(external_id="77", customer_id="org7", user_id="u-1",
                      email="ann@acme.example"),
    )  # fmt: skip
    for number, (user, days) in enumerate((("u-1", 60), ("u-1", 52), ("other", 1))):
        write(
            org, "web",
            EventRecord(event_id=f"e{number}", customer_id="ws", user_id=user,
                        event="login", timestamp=ago(days)),
        )  # fmt: skip
    while rollups.fold(NOW):
        pass
    settle()
    Batch.objects.update(received_at=NOW)
    return Customer.objects.get(sources__external_id="001")


def score_of(customer: Customer, *, after_s: int = 0) -> Health:
    ref = customer.sources.order_by("pk")[0]
    return score(ref, NOW + timedelta(seconds=after_s))


def test_a_champion_is_seen_over_all_sources(champion: Customer) -> None:
    found = line(score_of(champion), "champion")

    # 52 days lie 22/60 of the way from 30 (60 points) to 90 (0 points).
    assert found.sentence == "The champion was last active 52 days ago."
    assert found.fact == {"value": 52.0, "reference": 1.0}
    assert found.fact_at == ago(52)
    assert found.score == 38.0

    desk = Contact.objects.get(source__name="desk")
    Conversation.objects.create(
        organization_id=champion.organization_id, source=desk.source,
        customer_source=desk.customer_source, external_id="c1", contact_id_ext="77",
        direction="both", started_at=ago(9), last_message_at=ago(8),
    )  # fmt: skip
    assert line(score_of(champion, after_s=1), "champion").fact_at == ago(8)


def test_who_is_the_champion_changes_with_the_person(champion: Customer) -> None:
    Customer.objects.update(score_stale_at=None)
    Contact.objects.filter(source__name="desk").update(
        email="bob@acme.example", identity_stale_at=NOW
    )
    settle()

    champion.refresh_from_db()
    assert champion.score_stale_at is not None
    # Nobody has ever seen Ann do anything: unknown, not silent.
    assert "champion" not in metrics_of(score_of(champion))


def test_a_champion_who_is_gone_and_a_second_one(champion: Customer) -> None:
    Contact.objects.filter(external_id="003").update(deleted_at=ago(12))

    gone = line(score_of(champion), "champion")

    assert gone.score == 0.0
    assert gone.fact == {"value": 12.0, "reference": 0.0}
    assert gone.sentence == (
        "The last champion was removed from its source 12 days ago."
    )

    Contact.objects.filter(external_id="003").update(deleted_at=None)
    Contact.objects.filter(external_id="004").update(
        is_champion=True, last_contacted_at=ago(14)
    )
    both = line(score_of(champion, after_s=1), "champion")
    assert both.score == 100.0
    assert both.sentence == (
        "The more active of 2 champions was last active 14 days ago."
    )


def test_a_champion_of_a_broken_product_feed_is_unknown(champion: Customer) -> None:
    before = score_of(champion)
    Batch.objects.filter(source__name="web").update(received_at=ago(45))

    found = score_of(champion, after_s=1)

    # Half-life 45 days: half of 38 points, half of the ordinary 60.
    newest = HealthScore.objects.order_by("-pk")[0].parts
    (told,) = [one for one in newest if one[0] == "champion"]
    assert (told[1], told[2]) == (38.0, 49.0)
    assert found.coverage_pct < before.coverage_pct


def test_nobody_is_called_a_champion(ref: CustomerSource) -> None:
    Contact.objects.create(**entity(ref, "p"), last_contacted_at=ago(3))

    found = score(ref)

    assert "champion" not in metrics_of(found)
    assert line(found, "last_contact").score == 100.0
    # A CRM that states the last contact is a source of it: 15 of 100 points known.
    assert found.coverage_pct == 15


def test_a_habit_that_is_not_known_yet_is_the_segments_median(
    ref: CustomerSource,
) -> None:
    use(ref, [2, 5, 9], first_days_ago=20)

    found = score(ref)

    active, gap = line(found, "active_days"), line(found, "recency_gap")
    # Fewer than 30 customers are known: the median is 60.
    assert (active.score, gap.score) == (60.0, 60.0)
    assert active.sentence == (
        "Active on 3 days of the last 28; no own habit known yet, so the segment's "
        "median counts."
    )
    assert gap.sentence == (
        "Last used 2 days ago; no own habit known yet, so the segment's median counts."
    )
    assert found.score == 60
    assert found.coverage_pct == 0


def test_28_days_of_history_before_those_compared_make_a_habit(
    ref: CustomerSource,
) -> None:
    use(ref, [0, 7, 14, *range(28, 56, 2)], first_days_ago=56)

    active = line(score(ref), "active_days")

    assert active.fact == {"value": 3.0, "reference": 14.0}
    assert active.score == 0.0


def test_a_definition_saved_before_scores_as_it_did(
    org: Organization, ref: CustomerSource, client: Client, alice: Any
) -> None:
    ask(ref, *(30 + 5.5 * n for n in range(15)))
    for days in (10, 20, 30):
        mail(ref, days, "both")
    spec = copy.deepcopy(DEFAULT_SPEC)
    for name in NEW:
        del spec["metrics"][name]
    old = ScoreDefinition.objects.create(
        organization=org, version=1, spec=spec, is_active=True
    )

    found = score(ref)

    assert not metrics_of(found) & NEW
    old.refresh_from_db()
    assert old.spec == spec
    client.force_login(alice)
    page = client.get("/api/v1/analytics/health-definition").json()
    assert {n for n, m in page["spec"]["metrics"].items() if not m["enabled"]} == NEW

    # Restoring it later leaves them off, too.
    ScoreDefinition.objects.filter(pk=old.pk).update(is_active=False)
    ScoreDefinition.objects.create(
        organization=org, version=2, spec=DEFAULT_SPEC, is_active=True
    )
    assert NEW & metrics_of(score(ref, NOW + timedelta(seconds=1)))
    answer = client.post(
        "/api/v1/analytics/health-definition/versions/restore",
        {"version": 1},
        content_type="application/json",
    )
    assert answer.status_code == 200, answer.content
    assert not metrics_of(score(ref, NOW + timedelta(seconds=2))) & NEW


def test_sentences_count_whole_days_and_say_no_for_none(ref: CustomerSource) -> None:
    use(ref, list(range(118)))
    Conversation.objects.create(
        **entity(ref, "c"), direction="in", started_at=ago(55.6)
    )  # fmt: skip
    ask(ref, 40)

    found = score(ref)

    told = {
        name: line(found, name).sentence
        for name in ("last_contact", "recency_gap", "urgent_open", "reopen_rate")
        if name in metrics_of(found)
    }
    assert told == {
        "last_contact": "The last two-way contact was 55 days ago.",
        "recency_gap": "Last used today; the usual gap is 1 day.",
        "urgent_open": "No open urgent ticket.",
    }
