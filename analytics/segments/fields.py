"""What a segment may ask about a customer, and with which operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from analytics.definition import COMPONENTS, METRICS
from analytics.segments import facts

Kind = Literal["text", "choice", "number", "money", "time", "set", "custom"]

OPERATORS = {
    "=": "is",
    "!=": "is not",
    "in": "is one of",
    "not_in": "is none of",
    "<": "below",
    "<=": "at most",
    ">": "above",
    ">=": "at least",
    "between": "between",
    "contains": "contains",
    "starts_with": "starts with",
    "before": "before",
    "after": "after",
    "in_last_days": "in the last days",
    "in_next_days": "in the next days",
    "is_set": "is set",
    "is_not_set": "is not set",
}
"""Operator -> how people read it."""

_EQUAL = ("=", "!=", "in", "not_in")
_SIZE = ("<", "<=", ">", ">=", "between")
_SET = ("is_set", "is_not_set")
_TIME = ("before", "after", "between", "in_last_days", "in_next_days")

OPS: dict[str, tuple[str, ...]] = {
    "text": (*_EQUAL, "contains", "starts_with", *_SET),
    "choice": _EQUAL,
    "number": ("=", "!=", *_SIZE, "in", "not_in", *_SET),
    "money": ("=", "!=", *_SIZE, "in", "not_in", *_SET),
    "time": (*_TIME, *_SET),
    "set": (*_EQUAL, *_SET),
    "custom": tuple(OPERATORS),
}

BANDS = ("healthy", "watch", "at_risk", "unknown")
RISK_BANDS = ("high", "medium", "low", "unknown")


@dataclass(frozen=True, slots=True)
class Field:
    """column: SQL over c (cg_customer) and the join's alias {j}, null where unset.

    join: SQL of (customer_id, ..), shared by the fields of one `alias`; is_lateral: it
    reads c itself. test: narrows the join of a set to the wanted values {p}. asks:
    what a condition must give beside the value (event and days, or path). is_known:
    never unset. is_folded: letters compare without case.
    """

    name: str
    label: str
    group: str
    kind: Kind
    column: str = ""
    join: str = ""
    test: str = ""
    alias: str = ""
    is_lateral: bool = False
    choices: tuple[str, ...] = ()
    asks: tuple[str, ...] = ()
    is_known: bool = False
    is_folded: bool = False
    hint: str = ""

    @property
    def ops(self) -> tuple[str, ...]:
        """The operators it takes."""
        found = OPS[self.kind]
        return tuple(op for op in found if not (self.is_known and op in _SET))


def _text(name: str, label: str, group: str = "Account", **extra: object) -> Field:
    column = f"nullif(c.{name}, '')"
    if extra.get("is_folded"):
        column = f"lower({column})"
    return Field(name, label, group, "text", column, **extra)  # type: ignore[arg-type]


def _count(
    name: str, label: str, group: str, join: str, alias: str, **extra: object
) -> Field:
    """A number of things: 0 where there are none."""
    return Field(
        name,
        label,
        group,
        "number",
        "coalesce({j}.n, 0)",
        join,
        alias=alias,
        is_known=True,
        **extra,  # type: ignore[arg-type]
    )


def _component(name: str) -> Field:
    metrics = tuple(metric.name for metric in METRICS if metric.component == name)
    return Field(
        f"health.{name}",
        f"{name.capitalize()} score",
        "Health",
        "number",
        "{j}.score",
        facts.component(metrics),
        alias=f"part_{name}",
        is_lateral=True,
        hint="0 to 100",
    )


FIELDS: tuple[Field, ...] = (
    _text("name", "Name"),
    _text("domain", "Domain", is_folded=True),
    _text("email", "E-mail", is_folded=True),
    _text("country", "Country"),
    _text("industry", "Industry"),
    _text("segment", "Segment of the source"),
    _text("plan", "Plan"),
    _text("owner", "Owner"),
    _text("lifecycle_stage", "Lifecycle stage"),
    Field("seats", "Seats", "Account", "number", "c.seats"),
    Field("created_at", "First seen here", "Account", "time", "c.created_at"),
    Field("signup_at", "Signed up", "Account", "time", "c.signup_at"),
    Field("churned_at", "Left", "Account", "time", "c.churned_at"),
    Field("source", "Source", "Account", "set", join=facts.SOURCE,
          test=facts.SOURCE_IS, hint="name or provider, as in stripe"),
    Field("external_id", "Id in a source", "Account", "set", join=facts.EXTERNAL_ID,
          test=facts.EXTERNAL_ID_IS),
    Field("customer_id", "Account id", "Account", "text", "c.public_id",
          is_known=True, hint="cus_…"),
    Field("custom", "Own field", "Account", "custom", asks=("path",)),
    Field("score", "Health score", "Health", "number", "c.score", hint="0 to 100"),
    Field("band", "Health band", "Health", "choice", "c.band", choices=BANDS),
    Field("trend", "Change in 7 days", "Health", "number", "c.trend", hint="points"),
    Field("coverage_pct", "Coverage", "Health", "number", "c.coverage_pct",
          hint="percent"),
    *(_component(name) for name in COMPONENTS),
    Field("churn_probability", "Churn risk", "Risk", "number", "c.churn_probability",
          hint="0 to 1"),
    Field("risk_band", "Risk band", "Risk", "choice", facts.RISK_BAND,
          choices=RISK_BANDS),
    Field("risk_minor", "Revenue at risk", "Risk", "money", "c.risk_minor"),
    Field("mrr_minor", "MRR", "Billing", "money", "c.mrr_minor"),
    Field("currency", "Currency", "Billing", "set", join=facts.CURRENCY,
          test=facts.CURRENCY_IS, hint="of a subscription, as in EUR"),
    _count("billing.overdue_invoices", "Overdue invoices", "Billing", facts.OVERDUE,
           "overdue"),
    Field("billing.renewal_at", "Next renewal", "Billing", "time", "{j}.renewal_at",
          facts.TERMS, alias="terms"),
    Field("billing.cancel_at", "Scheduled to cancel", "Billing", "time",
          "{j}.cancel_at", facts.TERMS, alias="terms"),
    Field("usage.last_seen_at", "Last seen", "Usage", "time", "{j}.at",
          facts.LAST_SEEN, alias="last_seen"),
    *(
        _count(f"usage.active_days_{days}", f"Active days in {days}", "Usage",
               facts.active_days(days), f"active_{days}")
        for days in (7, 28, 90)
    ),
    _count("usage.events", "Events", "Usage", facts.EVENTS, "",
           asks=("event", "days")),
    _count("support.open_tickets", "Open tickets", "Support", facts.OPEN_TICKETS,
           "tickets"),
    Field("support.csat_pct", "CSAT", "Support", "number", "{j}.pct", facts.CSAT,
          alias="csat", hint="percent, mean of 180 days"),
)  # fmt: skip

FIELD_BY_NAME = {field.name: field for field in FIELDS}
