"""How alike two identities of customers are: small blocks, then a sum of reasons."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

_LEGAL_FORMS = """
    inc incorporated llc llp lp ltd limited corp corporation co company plc pty pvt
    gmbh ag kg kgaa ohg ug mbh se sa sas sarl srl spa sl slu bv nv vof oy oyj ab as asa
    aps ks ou sia uab zrt kft doo dd sro as spzoo spol kk pte bhd sdn ltda eirl cv
    the and und et of
"""
LEGAL_FORMS = frozenset(_LEGAL_FORMS.split())
"""Words of a company's name that do not tell it from others."""

PAIRS = """
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
JOIN cg_source xs ON xs.id = x.source_id JOIN cg_source ys ON ys.id = y.source_id
WHERE x.customer_id <> y.customer_id
ORDER BY p.rarity DESC, least((xs.name, x.external_id), (ys.name, y.external_id)),
    greatest((xs.name, x.external_id), (ys.name, y.external_id))
"""


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


def parameters() -> dict[str, Any]:
    """What `PAIRS` needs beside the organisation and the limits."""
    return {"forms": sorted(LEGAL_FORMS)}


def weigh_row(row: tuple[Any, ...]) -> list[tuple[str, float]]:
    """The reasons of one row of `PAIRS`."""
    one, other = (Card(*(text or "" for text in row[at::2])) for at in (5, 6))
    return weigh(one, other, is_same_source=row[4])
