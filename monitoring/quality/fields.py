"""Checks of single fields: filled, well formed, not there twice."""

from __future__ import annotations

from churnguard.currencies import ISO_4217
from monitoring.quality.check import Check

_EMPTY = "('', 'n/a', 'na', 'none', 'null', 'unknown', 'test', '-')"
_BLANKS = "E' \\t\\n\\u200b\\u200c\\u200d\\u2060\\ufeff'"
_EMAIL = "'^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$'"
_DOMAIN = "'^([a-z0-9_]([a-z0-9_-]*[a-z0-9])?\\.)+[a-z][a-z0-9-]+$'"

_LINK = "t.customer_source_id::text"
_FILLED: dict[str, tuple[tuple[str, str, int, str], ...]] = {
    # entity: (field, SQL, weight, "applies"); a bare "" applies to every row and a
    # "?" is a field that some sources do not have at all.
    "customer": (
        ("name", "t.name", 3, ""),
        ("domain or email", "coalesce(t.domain, t.email)", 3, ""),
        ("plan", "t.plan", 2, "?"),
        ("seats", "t.seats::text", 2, "?"),
        ("signup_at", "t.signup_at::text", 2, "?"),
        ("country", "t.country", 1, "?"),
        ("industry", "t.industry", 1, "?"),
        ("segment", "t.segment", 1, "?"),
        ("owner", "t.owner", 1, "?"),
        ("phone", "t.phone", 1, "?"),
    ),
    "contact": (
        ("customer", _LINK, 3, ""),
        ("email", "t.email", 3, ""),
        ("name", "t.name", 3, "?"),
        ("phone", "t.phone", 1, "?"),
        ("title", "t.title", 1, "?"),
    ),
    "subscription": (
        ("customer", _LINK, 3, ""),
        ("status", "t.status", 3, ""),
        ("plan", "t.plan", 2, ""),
        ("mrr_minor", "t.mrr_minor::text", 2, ""),
        ("currency", "t.currency", 2, "t.mrr_minor IS NOT NULL"),
        ("started_at", "t.started_at::text", 2, ""),
        ("interval", "t.interval", 1, "?"),
        ("quantity", "t.quantity::text", 1, "?"),
    ),
    "invoice": (
        ("customer", _LINK, 3, ""),
        ("status", "t.status", 2, ""),
        ("total_minor", "t.total_minor::text", 2, ""),
        ("currency", "t.currency", 2, ""),
        ("issued_at", "t.issued_at::text", 2, ""),
        ("number", "t.number", 1, "?"),
        ("due_at", "t.due_at::text", 1, "?"),
    ),
    "deal": (
        ("customer", _LINK, 3, ""),
        ("status", "t.status", 2, ""),
        ("amount_minor", "t.amount_minor::text", 2, ""),
        ("currency", "t.currency", 2, "t.amount_minor IS NOT NULL"),
        ("opened_at", "t.opened_at::text", 1, ""),
        ("owner", "t.owner", 1, "?"),
    ),
    "ticket": (
        ("customer", _LINK, 3, ""),
        ("status", "t.status", 1, ""),
        ("opened_at", "t.opened_at::text", 1, ""),
        ("priority", "t.priority", 1, "?"),
        ("subject", "t.subject", 1, "?"),
        ("channel", "t.channel", 1, "?"),
        ("first_replied_at", "t.first_replied_at::text", 1, "?"),
        (
            "satisfaction_pct",
            "t.satisfaction_pct::text",
            1,
            "? t.status IN ('solved', 'closed')",
        ),
    ),
    "conversation": (
        ("customer", _LINK, 3, ""),
        ("started_at", "t.started_at::text", 1, ""),
        ("subject", "t.subject", 1, "?"),
        ("owner", "t.owner", 1, "?"),
    ),
    "survey_response": (
        ("customer", _LINK, 3, ""),
        ("score", "t.score::text", 2, ""),
        ("answered_at", "t.answered_at::text", 1, ""),
    ),
    "campaign_engagement": (
        ("customer", _LINK, 3, ""),
        ("kind", "t.kind", 1, ""),
        ("occurred_at", "t.occurred_at::text", 1, ""),
        ("campaign", "t.campaign", 1, "?"),
    ),
    "object": (
        ("customer", _LINK, 3, "?"),
        ("occurred_at", "t.occurred_at::text", 1, "?"),
    ),
    "event": (
        ("customer", _LINK, 3, ""),
        ("name", "t.name", 1, ""),
        ("user_key", "t.user_key", 1, "?"),
    ),
}
_SETS: dict[tuple[str, str], tuple[str, ...]] = {
    ("subscription", "status"): (
        "trialing",
        "active",
        "past_due",
        "paused",
        "canceled",
        "ended",
        "incomplete",
    ),
    ("invoice", "status"): ("draft", "open", "paid", "void", "uncollectible"),
    ("deal", "status"): ("open", "won", "lost"),
    ("ticket", "status"): ("open", "pending", "on_hold", "solved", "closed"),
    ("ticket", "priority"): ("low", "normal", "high", "urgent"),
}
_FORMATS = (
    ("customer", "email", _EMAIL),
    ("contact", "email", _EMAIL),
    ("customer", "domain", _DOMAIN),
)
_CURRENCIES = ("subscription", "invoice", "deal")
_PAST: tuple[tuple[str, str], ...] = (
    ("customer", "signup_at"),
    ("customer", "churned_at"),
    ("contact", "joined_at"),
    ("invoice", "paid_at"),
    ("deal", "opened_at"),
    ("ticket", "opened_at"),
    ("ticket", "solved_at"),
    ("conversation", "started_at"),
    ("survey_response", "answered_at"),
    ("campaign_engagement", "occurred_at"),
    ("object", "occurred_at"),
    ("event", "ts"),
)
_RANGES = (
    ("customer", "seats", "t.seats < 0"),
    ("customer", "employees", "t.employees < 0"),
    ("subscription", "quantity", "t.quantity < 0"),
    ("subscription", "mrr_minor", "t.mrr_minor < 0"),
    ("deal", "amount_minor", "t.amount_minor < 0"),
    ("ticket", "satisfaction_pct", "t.satisfaction_pct NOT BETWEEN 0 AND 100"),
    ("conversation", "rating_pct", "t.rating_pct NOT BETWEEN 0 AND 100"),
    ("survey_response", "score", "t.score NOT BETWEEN t.scale_min AND t.scale_max"),
)
_KEYS = (
    ("customer", "domain", "lower(nullif(t.domain, ''))"),
    ("customer", "name", "nullif(regexp_replace(lower(t.name), '\\W+', '', 'g'), '')"),
    ("contact", "email", "lower(nullif(t.email, ''))"),
    (
        "subscription",
        "customer, plan, start, amount and interval",
        "t.customer_source_id || '|' || lower(t.plan) || '|' || t.started_at || '|' "
        "|| t.mrr_minor || '|' || coalesce(t.interval, '')",
    ),
    ("invoice", "number", "nullif(t.number, '')"),
    (
        "deal",
        "customer, name and start",
        "t.customer_source_id || '|' || lower(t.name) || '|' || t.opened_at",
    ),
    (
        "ticket",
        "customer, subject and time",
        "t.customer_source_id || '|' || lower(t.subject) || '|' || t.opened_at",
    ),
    (
        "survey_response",
        "customer, contact, kind and time",
        "t.customer_source_id || '|' || coalesce(t.contact_id, '') || '|' || t.kind "
        "|| '|' || t.answered_at",
    ),
    (
        "event",
        "customer, user, name, time and content",
        "t.customer_source_id || '|' || t.user_key || '|' || t.name || '|' || t.ts "
        "|| '|' || coalesce(t.value::text, '') || md5(t.properties::text)",
    ),
)


def checks() -> list[Check]:
    """Completeness, validity and uniqueness of every entity."""
    out = [
        Check(
            code=f"{entity}.{_slug(name)}.filled",
            entity=entity,
            dimension="completeness",
            field=name,
            title=f"No {_said(name)}",
            applies=applies.lstrip("? ") or "true",
            fails=f"lower(btrim(coalesce({sql}, ''), {_BLANKS})) IN {_EMPTY}",
            weight=weight,
            is_optional=applies.startswith("?"),
        )
        for entity, rows in _FILLED.items()
        for name, sql, weight, applies in rows
    ]
    for (entity, name), words in _SETS.items():
        allowed = ", ".join(f"'{word}'" for word in words)
        out.append(
            _valid(entity, name, f"t.{name} NOT IN ({allowed})", "is none we know")
        )
    for entity, name, pattern in _FORMATS:
        out.append(
            _valid(entity, name, f"lower(t.{name}) !~ {pattern}", "is malformed")
        )
    codes = ", ".join(f"'{code}'" for code in sorted(ISO_4217))
    out += [
        _valid(
            entity,
            "currency",
            f"upper(t.currency) NOT IN ({codes})",
            "is not in ISO 4217",
        )
        for entity in _CURRENCIES
    ]
    for entity, name in _PAST:
        wrong = f"t.{name} > now() + interval '1 day' OR t.{name} < '1990-01-01'"
        out.append(_valid(entity, name, wrong, "is in the future or before 1990"))
    for entity, name, wrong in _RANGES:
        out.append(_valid(entity, name, wrong, "is out of range"))
    for entity, name, key in _KEYS:
        out.append(
            Check(
                code=f"{entity}.{_slug(name)}.unique",
                entity=entity,
                dimension="uniqueness",
                field=name,
                title=f"Same {_said(name)} as another",
                unique_key=key,
            )
        )
    return out


def _valid(entity: str, name: str, fails: str, says: str) -> Check:
    return Check(
        code=f"{entity}.{name}.{_slug(says.split(' ', 1)[1])}",
        entity=entity,
        dimension="validity",
        field=name,
        title=f"{_said(name).capitalize()} {says}",
        applies=f"t.{name} IS NOT NULL",
        fails=fails,
    )


def _slug(name: str) -> str:
    return name.lower().replace(",", "").replace(" ", "_")


def _said(name: str) -> str:
    """ "mrr_minor" -> "mrr", "opened_at" -> "opened time"."""
    words = name.removesuffix("_minor").removesuffix("_pct")
    if words.endswith("_at"):
        words = f"{words.removesuffix('_at')} time"
    return {"ts": "time", "user_key": "user"}.get(words, words.replace("_", " "))
