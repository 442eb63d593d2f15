"""What each provider's rate-limit headers and quota answers look like.

Facts as documented by the providers in 2026: Salesforce answers 403 for its quota,
Intercom and SendGrid send only a reset moment, Stripe and Mailchimp send nothing.
An unknown provider gets GENERIC, which knows the common header names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from integrations.http.waits import parse_reset

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class UsageHeaders:
    """Names of the headers that tell one window's state. window_s: its length, 0 if
    the `interval_ms` header tells it (or nothing does)."""

    limit: str
    remaining: str
    reset: str = ""
    interval_ms: str = ""
    window_s: float = 0.0


@dataclass(frozen=True, slots=True)
class QuotaSign:
    """An answer that means "slow down". pattern is searched in the body without
    case; with two groups they are "used" and "limit", and the sign counts only when
    used has reached limit. The first match in the table wins."""

    status: int
    pattern: str
    wait_s: float
    reason: str


@dataclass(frozen=True, slots=True)
class Usage:
    """One window as the provider sees it. window_s 0 = not told; reset_s None = no
    reset moment told. budget: the named budget it is about, "" = those of the call."""

    limit: int
    remaining: int
    window_s: float
    reset_s: float | None
    budget: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """usage: header sets that report consumption. named: (beginning of a header's name,
    named budget) of windows of a minute that one header describes as "total=10;
    remaining=9; resets=41". reset: headers that tell when a 429 ends. signs: quota
    answers. default_wait_s: a 429 without any hint; None = our back-off.
    bare_403_is_busy: a 403 without JSON comes from an overloaded edge and says nothing
    about credentials. should_retry: header with true/false."""

    usage: tuple[UsageHeaders, ...] = ()
    named: tuple[tuple[str, str], ...] = ()
    reset: tuple[str, ...] = ()
    signs: tuple[QuotaSign, ...] = ()
    default_wait_s: float | None = None
    bare_403_is_busy: bool = False
    should_retry: str = ""


_X_RATELIMIT = UsageHeaders(
    "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"
)
_RATELIMIT = UsageHeaders("ratelimit-limit", "ratelimit-remaining", "ratelimit-reset")

GENERIC = Dialect(
    usage=(_X_RATELIMIT, _RATELIMIT),
    reset=("x-ratelimit-reset", "ratelimit-reset", "x-rate-limit-reset"),
)

DIALECTS: dict[str, Dialect] = {
    "salesforce": Dialect(
        signs=(
            QuotaSign(403, "concurrent ?(?:api )?requests", 5.0, "parallel requests"),
            QuotaSign(403, "request_limit_exceeded", HOUR_S, "daily API quota"),
        ),
        default_wait_s=60.0,
    ),
    "hubspot": Dialect(
        usage=(
            UsageHeaders(
                "x-hubspot-ratelimit-max",
                "x-hubspot-ratelimit-remaining",
                interval_ms="x-hubspot-ratelimit-interval-milliseconds",
                window_s=10.0,
            ),
            UsageHeaders(
                "x-hubspot-ratelimit-daily",
                "x-hubspot-ratelimit-daily-remaining",
                window_s=86_400.0,
            ),
        ),
        signs=(
            # Resets at midnight of the account's zone, which we are not told: ask
            # again every hour.
            QuotaSign(429, '"daily"', HOUR_S, "daily API quota"),
            QuotaSign(429, "ten_secondly", 10.0, "limit per 10 seconds"),
            QuotaSign(429, "secondly", 1.0, "limit per second"),
        ),
        default_wait_s=10.0,
    ),
    "zendesk": Dialect(
        usage=(
            UsageHeaders("x-rate-limit", "x-rate-limit-remaining", window_s=60.0),
            UsageHeaders(
                "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "", 60.0
            ),
        ),
        named=(("zendesk-ratelimit-incremental", "export"),),
        reset=("ratelimit-reset",),
        default_wait_s=60.0,
    ),
    "intercom": Dialect(
        usage=(
            UsageHeaders(
                "x-ratelimit-limit",
                "x-ratelimit-remaining",
                "x-ratelimit-reset",
                window_s=10.0,
            ),
        ),
        reset=("x-ratelimit-reset",),
        signs=(QuotaSign(400, "scroll_exists", 60.0, "open scrolls"),),
        default_wait_s=10.0,
    ),
    "stripe": Dialect(
        signs=(QuotaSign(400, '"rate_limit"', 1.0, "limit per second"),),
        should_retry="stripe-should-retry",
    ),
    "mixpanel": Dialect(
        signs=(
            QuotaSign(
                429,
                r"(\d+)/(\d+) queries running in the last hour",
                300.0,
                "hourly query quota",
            ),
            QuotaSign(
                429,
                r"(\d+)/(\d+) queries running concurrently",
                15.0,
                "parallel queries",
            ),
        ),
        default_wait_s=60.0,
    ),
    "amplitude": Dialect(default_wait_s=30.0),
    "mailchimp": Dialect(default_wait_s=3.0, bare_403_is_busy=True),
    "sendgrid": Dialect(
        usage=(_X_RATELIMIT,), reset=("x-ratelimit-reset",), default_wait_s=60.0
    ),
}

_PAIRS = re.compile(r"([a-z]+)\s*=\s*(\d{1,15})", re.IGNORECASE)
_SALESFORCE_USAGE = re.compile(r"(?<![\w-])api-usage=(\d+)/(\d+)")


def dialect_of(provider: str) -> Dialect:
    """The provider's dialect, GENERIC for one we have no table for."""
    return DIALECTS.get(provider, GENERIC)


def read_usage(
    headers: Mapping[str, str], dialect: Dialect, now: datetime
) -> list[Usage]:
    """All windows the answer reports on; unreadable ones are left out."""
    found = []
    for names in dialect.usage:
        limit = _count(headers.get(names.limit))
        remaining = _count(headers.get(names.remaining))
        if limit is None or remaining is None:
            continue
        interval_ms = _count(headers.get(names.interval_ms))
        window_s = interval_ms / 1000 if interval_ms else names.window_s
        reset_s = parse_reset(headers.get(names.reset), now) if names.reset else None
        found.append(Usage(limit, remaining, window_s, reset_s))
    for start, budget in dialect.named:
        told = [
            text for name, text in headers.items() if name.lower().startswith(start)
        ]
        found += filter(None, (_described(text, budget) for text in told))
    daily = _SALESFORCE_USAGE.search(headers.get("sforce-limit-info") or "")
    if daily:
        used, limit = int(daily[1]), int(daily[2])
        found.append(Usage(limit, max(0, limit - used), 86_400.0, None))
    return found


def _described(text: str, budget: str) -> Usage | None:
    """The window behind "total=10; remaining=9; resets=41"."""
    told = {name.lower(): int(count) for name, count in _PAIRS.findall(text)}
    if not {"total", "remaining"} <= set(told):
        return None
    resets = told.get("resets")
    reset_s = None if resets is None else float(resets)
    return Usage(told["total"], told["remaining"], 60.0, reset_s, budget)


def quota_sign(status: int, body: str, dialect: Dialect) -> QuotaSign | None:
    """The sign this answer carries, or None."""
    for sign in dialect.signs:
        if sign.status != status:
            continue
        match = re.search(sign.pattern, body, re.IGNORECASE)
        if match is None:
            continue
        if match.re.groups != 2 or int(match[1]) >= int(match[2]):
            return sign
    return None


def _count(text: str | None) -> int | None:
    """The leading whole number of "100", "100, 100;w=60" or "12.0"."""
    match = re.match(r"\s*(\d{1,15})", text or "")
    return int(match[1]) if match else None
