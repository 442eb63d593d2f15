"""Support tickets, conversations, surveys and campaign mail of one customer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from churnguard.sample import names
from churnguard.sample.profiles import Person
from churnguard.sample.world import Customer


@dataclass(frozen=True, slots=True)
class Ticket:
    """rating: "good", "bad" or "" where nobody rated."""

    number: int
    requester: Person
    subject: str
    status: str
    priority: str
    channel: str
    agent: str
    opened_at: datetime
    replied_at: datetime | None
    solved_at: datetime | None
    reopens: int
    replies: int
    is_escalated: bool
    rating: str


@dataclass(frozen=True, slots=True)
class Talk:
    """A conversation. direction: both, or out where nobody answered. rating: 1-5."""

    number: int
    person: Person
    kind: str
    subject: str
    direction: str
    started_at: datetime
    last_at: datetime
    messages: int
    rating: int | None


@dataclass(frozen=True, slots=True)
class Answer:
    """kind: nps (0-10) or csat (1-5)."""

    number: int
    person: Person
    kind: str
    score: int
    comment: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Mail:
    """kind: sent, opened, clicked, unsubscribed."""

    number: int
    person: Person
    campaign: str
    kind: str
    at: datetime


def tickets(one: Customer) -> Iterator[Ticket]:
    """In order of opening; still open where the solution lies after now."""
    rng = one.rng(5)
    cause, severity = one.path.cause, one.path.severity
    rate = 0.045 * one.who.seats**0.5 * (1.0 + cause.tickets * severity)
    for number, at in enumerate(one.moments(rng, rate)):
        pain = cause.pain * one.severity(at)
        yield _ticket(one, rng, number, at, pain)


def talks(one: Customer) -> Iterator[Talk]:
    """Calls, mails and chats at the customer's own rhythm, slower as it cools."""
    rng = one.rng(6)
    usual = {"SMB": 22.0, "Mid-Market": 16.0}.get(one.who.segment, 11.0)
    at = max(one.span.start, one.who.joined_at) + timedelta(days=rng.uniform(1, 12))
    number = 0
    while at <= one.span.now:
        warmth = one.engagement(at)
        if one.is_on(at):
            talk = _talk(one, rng, number, at, warmth)
            number += 1
            if talk.last_at <= one.span.now:
                yield talk
        wait = rng.gamma(4.0, usual / 4.0) / max(warmth * one.who.warmth, 0.12)
        at += timedelta(days=max(2.0, float(wait)))


def answers(one: Customer) -> Iterator[Answer]:
    """NPS twice a year and CSAT each quarter, from those who care to answer."""
    rng = one.rng(7)
    mean = rng.normal(7.6, 1.2)
    first = int(rng.integers(10, 80))
    number = 0
    for day in range(first, one.span.days, 45):
        kind = "nps" if (day - first) // 45 % 4 == 0 else "csat"
        at = one.office_hour(rng, day)
        person = one.who.people[int(rng.integers(len(one.who.people)))]
        mood = mean - one.path.cause.mood * one.severity(at) + rng.normal(0.0, 0.9)
        skips = rng.random() > 0.62 * one.engagement(at) + 0.15
        comment = str(rng.choice(names.COMMENTS[_tone(mood)]))
        if skips or not one.is_on(at):
            continue
        top, least = (10, 0) if kind == "nps" else (5, 1)
        score = int(np.clip(round(mood if kind == "nps" else mood / 2), least, top))
        yield Answer(number, person, kind, score, comment, at)
        number += 1


def mails(one: Customer) -> Iterator[Mail]:
    """A campaign a month to one or two people: sent, then perhaps opened, clicked."""
    rng = one.rng(8)
    likes = 0.45 * one.who.warmth
    people = one.who.people[: 1 + int(rng.random() < 0.4)]
    gone = one.path.champion_left_at
    number = 0
    for turn, day in enumerate(range(8, one.span.days, 30)):
        sent_at = one.span.at(day + 0.38)
        campaign = f"{names.CAMPAIGNS[turn % 3]} {sent_at:%Y-%m}"
        for place, person in enumerate(people):
            draws = rng.random(3)
            hours = rng.uniform(0.2, 60, 2)
            has_left = gone is not None and place == 0 and sent_at >= gone
            if not one.is_on(sent_at):
                continue
            odds = 0.0 if has_left else likes * one.engagement(sent_at)
            for kind, after_h in _reactions(draws, odds, hours):
                at = sent_at + timedelta(seconds=int(after_h * 3600))
                if at <= one.span.now:
                    yield Mail(number, person, campaign, kind, at)
                    number += 1


def _ticket(
    one: Customer, rng: np.random.Generator, number: int, at: datetime, pain: float
) -> Ticket:
    angry = rng.random() < 0.15 + 0.75 * pain
    odds = np.array([0.25, 0.5, 0.2 + 0.3 * pain, 0.05 + 0.45 * pain])
    priority = ("low", "normal", "high", "urgent")[rng.choice(4, p=odds / odds.sum())]
    reply_h = rng.lognormal(1.5, 0.8) * (1.0 + 6.0 * pain)
    solve_h = reply_h + rng.lognormal(3.3, 0.7) * (1.0 + 10.0 * pain)
    replied_at = at + timedelta(seconds=int(reply_h * 3600))
    solved_at = at + timedelta(seconds=int(solve_h * 3600))
    reopens = int(rng.poisson(0.05 + 1.1 * pain))
    liked = rng.random() < 0.85 - 0.75 * pain
    is_rated = rng.random() < 0.3
    is_solved, is_replied = solved_at <= one.span.now, replied_at <= one.span.now
    return Ticket(
        number=number,
        requester=one.who.people[int(rng.integers(len(one.who.people)))],
        subject=str(rng.choice(names.TICKET_SUBJECTS["angry" if angry else "calm"])),
        status=("closed" if rng.random() < 0.6 else "solved") if is_solved else "open",
        priority=priority,
        channel=str(rng.choice(["email", "web", "chat", "phone"])),
        agent=str(rng.choice(names.AGENTS)),
        opened_at=at,
        replied_at=replied_at if is_replied else None,
        solved_at=solved_at if is_solved else None,
        reopens=reopens,
        replies=1 + reopens + int(rng.poisson(1.0 + 2.0 * pain)),
        is_escalated=bool(rng.random() < 0.02 + 0.4 * pain),
        rating=("good" if liked else "bad") if is_rated and is_solved else "",
    )


def _talk(
    one: Customer, rng: np.random.Generator, number: int, at: datetime, warmth: float
) -> Talk:
    kind = ("email", "call", "chat", "meeting")[rng.choice(4, p=[0.4, 0.25, 0.2, 0.15])]
    gone = one.path.champion_left_at
    person = one.who.people[int(rng.integers(min(2, len(one.who.people))))]
    if gone is not None and at >= gone:
        person = one.who.people[1]
    answered = rng.random() < 0.15 + 0.75 * warmth
    hours = rng.uniform(0.2, 30.0) if kind == "email" else rng.uniform(0.2, 1.2)
    rated = kind == "chat" and rng.random() < 0.5
    mood = 4.6 - 2.5 * one.severity(at) * one.path.cause.mood / 5 + rng.normal(0, 0.5)
    return Talk(
        number=number,
        person=person,
        kind=kind,
        subject=str(rng.choice(names.TALKS)),
        direction="both" if answered else "out",
        started_at=at.replace(microsecond=0),
        last_at=(at + timedelta(hours=hours)).replace(microsecond=0),
        messages=int(rng.integers(2, 9)) if answered else 1,
        rating=int(np.clip(round(mood), 1, 5)) if rated and answered else None,
    )


def _reactions(
    draws: np.ndarray, odds: float, hours: np.ndarray
) -> Iterator[tuple[str, float]]:
    yield "sent", 0.0
    if draws[0] < odds:
        yield "opened", float(hours[0])
        if draws[1] < 0.3:
            yield "clicked", float(hours[0]) + 0.02
    elif draws[2] < 0.004:
        yield "unsubscribed", float(hours[1])


def _tone(mood: float) -> str:
    if mood >= 8:
        return "good"
    return "fair" if mood >= 6 else "bad"
