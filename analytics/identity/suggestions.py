"""Customers that may be the same company, for a person to accept or reject.

Pairs are found in the database inside small blocks (a rare word of the name, or the
stem of the domain), weighed here, and kept for a day. Weights add up like evidence: a
word for, a word against. Nothing is ever linked by them.
"""

from __future__ import annotations

import logging
import re
import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from typing import Any

from django.core.cache import cache
from django.db import connection, transaction

from churnguard.models import Customer, Organization

log = logging.getLogger(__name__)

THRESHOLD = 4.0
MOST = 200
_PAIRS = 5_000
_CROWD = 20
"""A word or stem that more identities carry than this names nobody in particular."""
_KEEP_S = 86_400
_TIMEOUT_MS = 60_000

_LEGAL_FORMS = """
    inc incorporated llc llp lp ltd limited corp corporation co company plc pty pvt
    gmbh ag kg kgaa ohg ug mbh se sa sas sarl srl spa sl slu bv nv vof oy oyj ab as asa
    aps ks ou sia uab zrt kft doo dd sro as spzoo spol kk pte bhd sdn ltda eirl cv
    the and und et of
"""
LEGAL_FORMS = frozenset(_LEGAL_FORMS.split())
"""Words of a company's name that do not tell it from others."""

_SQL = """
WITH word AS (
    SELECT DISTINCT c.id, 'n:' || t.word AS block
    FROM cg_customer_source c
    CROSS JOIN LATERAL regexp_split_to_table(
        regexp_replace(lower(normalize(c.name, NFKD)), '[\\u0300-\\u036f]', '', 'g'),
        '[^[:alnum:]]+') AS t (word)
    WHERE c.organization_id = %(org)s AND c.deleted_at IS NULL
      AND length(t.word) >= 3 AND t.word <> ALL(%(forms)s)
    UNION
    SELECT k.customer_source_id, 'd:' || split_part(k.key, '.', 1)
    FROM an_identity_key k
    JOIN cg_customer_source c ON c.id = k.customer_source_id
    WHERE k.organization_id = %(org)s AND k.rule = 'domain' AND c.deleted_at IS NULL
), rare AS (
    SELECT id, block, size FROM (
        SELECT id, block, count(*) OVER (PARTITION BY block) AS size FROM word) sized
    WHERE size BETWEEN 2 AND %(crowd)s
), pair AS (
    SELECT a.id AS first, b.id AS second, sum(1.0 / a.size) AS rarity
    FROM rare a JOIN rare b ON b.block = a.block AND b.id > a.id
    GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2 LIMIT %(pairs)s
)
SELECT x.id, y.id, x.customer_id, y.customer_id, x.source_id = y.source_id,
       x.name, y.name, x.phone, y.phone, x.country, y.country,
       (SELECT min(key) FROM an_identity_key
        WHERE customer_source_id = x.id AND rule = 'domain'),
       (SELECT min(key) FROM an_identity_key
        WHERE customer_source_id = y.id AND rule = 'domain')
FROM pair p
JOIN cg_customer_source x ON x.id = p.first
JOIN cg_customer_source y ON y.id = p.second
WHERE x.customer_id <> y.customer_id
"""

_STILL_OPEN = """
SELECT p.first, p.second
FROM unnest(%(first)s::bigint[], %(second)s::bigint[]) p (first, second)
JOIN cg_customer_source x ON x.id = p.first AND x.organization_id = %(org)s
JOIN cg_customer_source y ON y.id = p.second AND y.organization_id = %(org)s
WHERE x.customer_id <> y.customer_id AND NOT EXISTS (
    SELECT 1 FROM an_identity_decision d
    JOIN cg_customer_source a ON a.id = d.first_id
    JOIN cg_customer_source b ON b.id = d.second_id
    WHERE d.organization_id = %(org)s AND d.revoked_at IS NULL
      AND d.verdict = 'cannot'
      AND ((a.customer_id = x.customer_id AND b.customer_id = y.customer_id)
        OR (a.customer_id = y.customer_id AND b.customer_id = x.customer_id)))
"""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """first, second: identity ids; evidence: (sentence, weight); they add up."""

    first: int
    second: int
    weight: float
    evidence: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Found:
    """The suggestions of an organisation and when they were computed (UTC)."""

    at: datetime
    items: list[Suggestion]


@dataclass(frozen=True, slots=True)
class Card:
    """What is compared of one identity. domain: the registered name, or ""."""

    name: str
    domain: str
    phone: str
    country: str


def plain_name(text: str | None) -> str:
    """ "Müller & Söhne GmbH" -> "muller sohne": no accents, case or legal form."""
    flat = unicodedata.normalize("NFKD", text or "").casefold()
    flat = "".join(c for c in flat if not unicodedata.combining(c)).replace(".", "")
    words = re.findall(r"[^\W_]+", flat)
    return " ".join(word for word in words if word not in LEGAL_FORMS)


def weigh(one: Card, other: Card, *, is_same_source: bool) -> list[tuple[str, float]]:
    """Reasons for (above 0) and against; their sum is the weight. Symmetric."""
    out: list[tuple[str, float]] = []
    a, b = sorted((plain_name(one.name), plain_name(other.name)))
    if a and b:
        alike = SequenceMatcher(None, a, b, autojunk=False).ratio()
        if a == b:
            out.append(("Same name without its legal form", 5.0))
        elif alike >= 0.9:
            out.append((f"Names alike to {alike:.0%}", 3.5))
        elif alike >= 0.75:
            out.append((f"Names alike to {alike:.0%}", 2.0))
        elif alike < 0.5:
            out.append(("Names differ", -2.0))
    if one.domain and other.domain:
        if one.domain == other.domain:
            out.append(("Same domain", 4.0))
        elif one.domain.split(".")[0] == other.domain.split(".")[0]:
            out.append(("Same domain under another ending", 3.0))
        else:
            out.append(("Different domains", -1.0))
    phones = [re.sub(r"\D", "", text)[-9:] for text in (one.phone, other.phone)]
    if all(len(digits) >= 7 for digits in phones) and phones[0] == phones[1]:
        out.append(("Same phone number", 4.0))
    lands = [text.strip().casefold() for text in (one.country, other.country)]
    # "DE" and "Germany" cannot be compared; two codes or two names can.
    if all(lands) and (len(lands[0]) <= 3) == (len(lands[1]) <= 3):
        is_same = lands[0] == lands[1]
        out.append(("Same country", 0.5) if is_same else ("Different countries", -1.5))
    if is_same_source:
        out.append(("Both known to the same source", -1.5))
    return out


def compute(organization: Organization, now: datetime) -> Found:
    """Find them now and keep them for a day. Bounded: blocks of at most 20
    identities, 5,000 pairs weighed, 200 kept, a minute of the database."""
    with transaction.atomic(), connection.cursor() as wrapper:
        cur = wrapper.cursor
        cur.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}")
        cur.execute(
            _SQL,
            {
                "org": organization.pk,
                "forms": sorted(LEGAL_FORMS),
                "crowd": _CROWD,
                "pairs": _PAIRS,
            },
        )
        rows = cur.fetchall()
    best: dict[tuple[int, int], Suggestion] = {}
    for row in rows:
        reasons = weigh(
            *(Card(*(text or "" for text in row[at::2])) for at in (5, 6)),
            is_same_source=row[4],
        )
        weight = sum(points for _, points in reasons)
        if weight < THRESHOLD:
            continue
        between = (min(row[2:4]), max(row[2:4]))
        known = best.get(between)
        if known is None or weight > known.weight:
            best[between] = Suggestion(row[0], row[1], weight, tuple(reasons))
    items = sorted(best.values(), key=lambda s: (-s.weight, s.first, s.second))
    # What was decided is dropped before the limit, or it could fill it.
    found = Found(now, _still_open(organization, items)[:MOST])
    cache.set(_key(organization.pk), found, _KEEP_S)
    return found


def current(organization: Organization, now: datetime) -> Found:
    """Those of the last day, computed now when there are none; without what has been
    decided or linked since."""
    found = cache.get(_key(organization.pk))
    if not isinstance(found, Found):
        return compute(organization, now)
    return Found(found.at, _still_open(organization, found.items))


def tick(now: datetime | None = None) -> int:
    """Loop: compute for one organisation that has had none for a day; returns 1, or 0
    when there is none. The mark is set first, so two workers do not both do it."""
    at = now or datetime.now(UTC)
    with_customers = Customer.objects.values("organization_id").distinct()
    for organization in Organization.objects.filter(pk__in=with_customers):
        mark = f"identity:suggested:{organization.pk}"
        if cache.add(mark, at.isoformat(), _KEEP_S - 60):
            found = compute(organization, at)
            log.info("identity.suggested", extra={"record_count": len(found.items)})
            return 1
    return 0


def _still_open(
    organization: Organization, items: list[Suggestion]
) -> list[Suggestion]:
    if not items:
        return []
    values: dict[str, Any] = {
        "org": organization.pk,
        "first": [item.first for item in items],
        "second": [item.second for item in items],
    }
    with connection.cursor() as cur:
        cur.execute(_STILL_OPEN, values)
        left = set(cur.fetchall())
    return [item for item in items if (item.first, item.second) in left]


def _key(organization_pk: int) -> str:
    return f"identity:suggestions:{organization_pk}"
