"""The people of the customers as the help desk knows them: most under the address that
the CRM has, which makes them one person; a few under another, a second time, or not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from churnguard.sample.profiles import Person
from churnguard.sample.tables import PRIVATE_MAIL, Row, iso_time
from churnguard.sample.world import SUPPORT, Customer

_ODDS = {"same": 0.90, "absent": 0.055, "private": 0.02, "none": 0.01, "other": 0.015}
"""How a person signed up: under the same address, not at all, under a private one with
an initial, by phone without any, under another spelling."""
_TWICE_EVERY = 80
"""Of so many customers the champion of one signed up twice."""


def support_users(all_of_them: Iterable[Customer]) -> Iterator[Row]:
    for one in all_of_them:
        rng = one.rng(11)
        ways = rng.choice(list(_ODDS), len(one.who.people), p=list(_ODDS.values()))
        for person, way in zip(one.who.people, ways.tolist(), strict=True):
            if way != "absent":
                yield _row(one, person, way)
        if one.who.index % _TWICE_EVERY == _TWICE_EVERY // 2:
            champion = one.who.people[0]
            again = _row(one, champion, "same")
            yield [f"{champion.support_id}9", *again[1:-2], "", again[-1]]


def _row(one: Customer, person: Person, way: str) -> Row:
    given, _, family = person.name.partition(" ")
    local, _, domain = person.email.partition("@")
    email = {
        "private": f"{local}@{PRIVATE_MAIL}",
        "none": "",
        "other": f"{given[0]}{family}@{domain}".lower(),
    }.get(way, person.email)
    return [
        person.support_id,
        one.who.ids[SUPPORT],
        f"{given[0]}. {family}" if way == "private" else person.name,
        email,
        person.phone,
        person.user_id,
        iso_time(one.who.joined_at),
    ]
