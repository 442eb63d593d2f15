"""How alike two contacts are: pairs of one account or one company domain, then a sum of
reasons. Role addresses are nobody; what the same e-mail address or user id says is a
matter of links and reviews, not of likeness."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from analytics.identity.keys import BLOCKED, FREE_MAIL, ROLE_NAMES, mailbox

_NAMELESS = ROLE_NAMES | BLOCKED
PAIRS = """
WITH person AS (
    SELECT c.id, s.customer_id,
        regexp_replace(lower(normalize(c.name, NFKD)), '[\\u0300-\\u036f]', '', 'g')
            AS name,
        right(regexp_replace(c.phone, '[^0-9]', '', 'g'), 7) AS phone
    FROM cg_contact c LEFT JOIN cg_customer_source s ON s.id = c.customer_source_id
    WHERE c.organization_id = %(org)s AND c.deleted_at IS NULL
      AND c.person_id IS NOT NULL
      AND split_part(split_part(lower(btrim(coalesce(c.email, ''))), '@', 1), '+', 1)
        <> ALL(%(roles)s)
), address AS (
    SELECT p.id, split_part(k.key, '@', 2) AS domain, regexp_replace(
        split_part(split_part(k.key, '@', 1), '+', 1), '[^[:alnum:]]', '', 'g') AS stem
    FROM an_person_key k JOIN person p ON p.id = k.contact_id
    WHERE k.organization_id = %(org)s AND k.rule = 'email'
), scope AS (
    SELECT id, 'a:' || customer_id AS scope FROM person WHERE customer_id IS NOT NULL
    UNION SELECT id, 'd:' || domain FROM address WHERE domain <> ALL(%(free)s)
), trait AS (
    SELECT p.id, 'n:' || t.word AS trait FROM person p
    CROSS JOIN LATERAL regexp_split_to_table(p.name, '[^[:alnum:]]+') AS t (word)
    WHERE length(t.word) >= 2 AND t.word <> ALL(%(nameless)s)
    UNION SELECT id, 'p:' || phone FROM person WHERE length(phone) = 7
    UNION SELECT id, 'l:' || stem FROM address WHERE length(stem) >= 4
), rare AS (
    SELECT id, block, size FROM (
        SELECT s.id, s.scope || ' ' || t.trait AS block,
            count(*) OVER (PARTITION BY s.scope, t.trait) AS size
        FROM scope s JOIN trait t ON t.id = s.id) sized
    WHERE size BETWEEN 2 AND %(crowd)s
), pair AS (
    SELECT a.id AS first, b.id AS second, sum(1.0 / a.size) AS rarity,
        bool_or(a.block LIKE 'a:%%') AS is_one_account
    FROM rare a JOIN rare b ON b.block = a.block AND b.id > a.id GROUP BY 1, 2
)
SELECT x.id, y.id, x.person_id, y.person_id, x.source_id = y.source_id,
    p.is_one_account, x.name, y.name, x.email, y.email, x.phone, y.phone
FROM pair p JOIN cg_contact x ON x.id = p.first JOIN cg_contact y ON y.id = p.second
JOIN cg_source xs ON xs.id = x.source_id JOIN cg_source ys ON ys.id = y.source_id
WHERE x.person_id <> y.person_id
ORDER BY p.rarity DESC, least((xs.name, x.external_id), (ys.name, y.external_id)),
    greatest((xs.name, x.external_id), (ys.name, y.external_id))
LIMIT %(pairs)s
"""


@dataclass(frozen=True, slots=True)
class Card:
    """What is compared of one contact."""

    name: str
    email: str
    phone: str


def parameters() -> dict[str, Any]:
    """What `PAIRS` needs beside the organisation and the limits."""
    return {
        "roles": sorted(ROLE_NAMES),
        "nameless": sorted(_NAMELESS),
        "free": sorted(FREE_MAIL),
    }


def weigh_row(row: tuple[Any, ...]) -> list[tuple[str, float]]:
    """The reasons of one row of `PAIRS`."""
    one, other = (Card(*(text or "" for text in row[at::2])) for at in (6, 7))
    return weigh(one, other, is_same_source=row[4], is_one_account=row[5])


def weigh(
    one: Card, other: Card, *, is_same_source: bool, is_one_account: bool
) -> list[tuple[str, float]]:
    """Reasons for (above 0) and against; their sum is the weight. Symmetric; none where
    both have the same address."""
    boxes = sorted(mailbox(card.email) or "" for card in (one, other))
    if boxes[0] and boxes[0] == boxes[1]:
        return []
    where = "Same account" if is_one_account else "Same company domain"
    out = [(where, 0.5), *_names(words_of(one.name), words_of(other.name))]
    if _is_same_phone(one.phone, other.phone):
        out.append(("Same phone number", 2.5))
    if all(boxes):
        out += _addresses(*boxes)
    if is_same_source:
        out.append(("Both known to the same source", -1.5))
    return out


def words_of(name: str) -> tuple[str, ...]:
    """The words of a person's name, sorted, without accents and case; none for the
    name of a function."""
    flat = unicodedata.normalize("NFKD", name).casefold()
    flat = "".join(c for c in flat if not unicodedata.combining(c))
    words = re.findall(r"[^\W_]+", flat)
    return () if all(word in _NAMELESS for word in words) else tuple(sorted(words))


def _names(a: tuple[str, ...], b: tuple[str, ...]) -> list[tuple[str, float]]:
    if not a or not b:
        return []
    if a == b:
        return [("Same name", 4.0)] if len(a) > 1 else [("Same single name", 1.5)]
    if _is_short_for(a, b) or _is_short_for(b, a):
        return [("One name is short for the other", 2.5)]
    one, other = sorted((" ".join(a), " ".join(b)))
    alike = SequenceMatcher(None, one, other, autojunk=False).ratio()
    if alike >= 0.85:
        return [(f"Names alike to {alike:.0%}", 3.0)]
    return [("Names differ", -3.0)] if alike < 0.7 else []


def _is_short_for(short: tuple[str, ...], full: tuple[str, ...]) -> bool:
    """ "A. Lee" for "Ann Lee": as many words, each the same or an initial, and at least
    one that is the same and no initial."""
    if len(short) != len(full) or len(short) < 2:
        return False
    left = [word for word in full if word not in short]
    initials = [word for word in short if word not in full]
    is_anchored = any(word in full and len(word) > 1 for word in short)
    return is_anchored and all(
        len(i) == 1 and word.startswith(i)
        for i, word in zip(initials, left, strict=True)
    )


def _is_same_phone(one: str, other: str) -> bool:
    """Also where only one of them has the country's code."""
    digits = [re.sub(r"\D", "", text).lstrip("0") for text in (one, other)]
    short, long = sorted(digits, key=len)
    return len(short) >= 7 and long.endswith(short)


def _addresses(one: str, other: str) -> list[tuple[str, float]]:
    stems = []
    for box in (one, other):
        local = box.partition("@")[0].partition("+")[0]
        stems.append(re.sub(r"[\W_]", "", local))
    if len(stems[0]) >= 4 and stems[0] == stems[1]:
        return [("Same name in both addresses", 2.5)]
    a, b = sorted(stems)
    if min(len(a), len(b)) >= 4:
        alike = SequenceMatcher(None, a, b, autojunk=False).ratio()
        if alike >= 0.75:
            return [(f"Addresses alike to {alike:.0%}", 1.5)]
    if one.partition("@")[2] == other.partition("@")[2]:
        return [("Different addresses of one domain", -0.5)]
    return []
