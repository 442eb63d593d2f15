"""What pages and API show about customers; both read from these functions alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import Http404

from analytics import sentences
from analytics.models import HealthScore, ScoreDefinition
from analytics.segments.members import read_members
from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Customer, CustomerSource, Organization

ORDERINGS = {
    "name": ("name", False),
    "-name": ("name", True),
    "score": ("score", False),
    "-score": ("score", True),
    "mrr": ("mrr_minor", False),
    "-mrr": ("mrr_minor", True),
    "risk": ("risk_minor", False),
    "-risk": ("risk_minor", True),
    "probability": ("churn_probability", False),
    "-probability": ("churn_probability", True),
}
BANDS = ("healthy", "watch", "at_risk", "unknown")
LEFT = "left"
STANDINGS = (*BANDS, LEFT)
"""What a customer counts as: its band while it is there, then that it has left."""


@dataclass(frozen=True, slots=True)
class CustomerFilter:
    """search: name, domain, e-mail, our id or an id in a source. band: one of
    STANDINGS. segment, plan: exact. least/most: score range, inclusive. segment_id: id
    or slug of a saved segment. order: a key of ORDERINGS."""

    search: str = ""
    band: str = ""
    segment: str = ""
    plan: str = ""
    least: int | None = None
    most: int | None = None
    segment_id: str = ""
    order: str = "score"

    @classmethod
    def from_query(cls, query: Any) -> CustomerFilter:
        """From request parameters. Raises ConfigError naming the bad ones."""
        fields: dict[str, str] = {}
        order = query.get("order") or "score"
        if order not in ORDERINGS:
            fields["order"] = f"one of {', '.join(ORDERINGS)}"
        band = query.get("band") or ""
        if band and band not in STANDINGS:
            fields["band"] = f"one of {', '.join(STANDINGS)}"
        scores: dict[str, int | None] = {}
        for name in ("min_score", "max_score"):
            text = query.get(name) or ""
            valid = text.isascii() and text.isdigit() and int(text) <= 100
            if text and not valid:
                fields[name] = "a whole number from 0 to 100"
            scores[name] = int(text) if valid and text else None
        if fields:
            raise ConfigError(
                "Some filters are not valid.", code="invalid", fields=fields
            )
        return cls(
            search=(query.get("search") or query.get("q") or "").strip()[:200],
            band=band,
            segment=(query.get("segment") or "")[:80],
            plan=(query.get("plan") or "")[:120],
            least=scores["min_score"],
            most=scores["max_score"],
            segment_id=(query.get("segment_id") or "")[:200],
            order=order,
        )


def customers_of(organization: Organization) -> QuerySet[Customer]:
    """The living customers of an organisation (not those merged into another)."""
    return Customer.objects.filter(organization=organization, merged_into__isnull=True)


def filter_customers(
    organization: Organization, chosen: CustomerFilter
) -> QuerySet[Customer]:
    """Unordered rows that match. Raises ConfigError for a saved segment that does not
    exist."""
    rows = customers_of(organization)
    members = read_members(organization, chosen.segment_id)
    if members is not None:
        rows = rows.filter(pk__in=members.ids)
    if "\x00" in chosen.search + chosen.segment + chosen.plan:
        return rows.none()
    if chosen.search:
        by_source = CustomerSource.objects.filter(
            organization=organization, external_id=chosen.search
        ).values("customer_id")
        rows = rows.filter(
            Q(name__icontains=chosen.search)
            | Q(domain=chosen.search.lower())
            | Q(email__iexact=chosen.search)
            | Q(public_id=chosen.search)
            | Q(pk__in=by_source)
        )
    if chosen.band == LEFT:
        rows = rows.filter(_has_left(datetime.now(UTC)))
    elif chosen.band:
        rows = rows.filter(~_has_left(datetime.now(UTC)), band=chosen.band)
    for name in ("segment", "plan"):
        value = getattr(chosen, name)
        if value:
            rows = rows.filter(**{name: value})
    if chosen.least is not None:
        rows = rows.filter(score__gte=chosen.least)
    if chosen.most is not None:
        rows = rows.filter(score__lte=chosen.most)
    return rows


def _has_left(now: datetime) -> Q:
    return Q(churned_at__isnull=False, churned_at__lte=now)


def list_customers(
    organization: Organization,
    chosen: CustomerFilter,
    *,
    cursor: str | None,
    limit: int,
) -> tuple[list[Customer], str | None]:
    """A keyset page: (rows, next cursor or None). Rows without a value come last in
    either direction. Raises ConfigError for a foreign cursor."""
    column, descending = ORDERINGS[chosen.order]
    rows = filter_customers(organization, chosen)
    known = rows.filter(**{f"{column}__isnull": False})
    unknown = rows.filter(**{f"{column}__isnull": True}).order_by("pk")
    value: Any = None
    last_pk = 0
    if cursor:
        value, last_pk = decode_cursor(cursor, 2)
        kinds = (str, type(None)) if column == "name" else (int, float, type(None))
        if not isinstance(value, kinds) or not isinstance(last_pk, int):
            raise ConfigError("This cursor is not valid.", code="invalid_cursor")
    found: list[Customer] = []
    if not cursor or value is not None:
        if cursor:
            beyond = "lt" if descending else "gt"
            known = known.filter(
                Q(**{f"{column}__{beyond}": value})
                | Q(**{column: value, f"pk__{beyond}": last_pk})
            )
        sign = "-" if descending else ""
        found = list(known.order_by(f"{sign}{column}", f"{sign}pk")[: limit + 1])
    elif cursor:
        unknown = unknown.filter(pk__gt=last_pk)
    if len(found) <= limit and column != "name":
        found += list(unknown[: limit + 1 - len(found)])
    more = len(found) > limit
    found = found[:limit]
    if not more or not found:
        return found, None
    return found, encode_cursor([getattr(found[-1], column), found[-1].pk])


def band_counts(organization: Organization) -> dict[str, int]:
    """How many customers are there in each band, and how many have left by the date
    their sources give; all of STANDINGS are present."""
    left = _has_left(datetime.now(UTC))
    rows = (
        customers_of(organization)
        .values_list("band")
        .annotate(here=Count("pk", filter=~left), left=Count("pk", filter=left))
    )
    counts = dict.fromkeys(STANDINGS, 0)
    for band, here, gone in rows:
        counts[band] += here
        counts[LEFT] += gone
    return counts


def choices(organization: Organization, column: str, most: int = 100) -> list[str]:
    """The distinct non-empty values of segment or plan, for filters."""
    return list(
        customers_of(organization)
        .exclude(**{column: ""})
        .order_by(column)
        .values_list(column, flat=True)
        .distinct()[:most]
    )


def find_customer(organization: Organization, customer_id: str) -> Customer:
    """By our id ("cus_..") or the id in a source ("acct_42" or "stripe:cus_9").

    A merged customer leads to the one that absorbed it. Raises Http404; ConfigError
    when the id means different customers in different sources.
    """
    if "\x00" in customer_id:
        raise Http404("No such customer.")
    rows = Customer.objects.filter(organization=organization)
    found = rows.filter(public_id=customer_id).first()
    if found is None:
        refs = CustomerSource.objects.filter(
            organization=organization, external_id=customer_id
        )
        source, colon, external_id = customer_id.partition(":")
        if colon and not refs.exists():
            refs = CustomerSource.objects.filter(
                organization=organization,
                source__name=source,
                external_id=external_id,
            )
        ids = set(refs.values_list("customer_id", flat=True)[:50])
        if len(ids) > 1:
            raise ConfigError(
                f"“{customer_id}” is a customer in several sources. Put the source "
                "before it, as in “source:id”.",
                code="ambiguous_customer",
                fields={"customer_id": "ambiguous"},
            )
        found = rows.filter(pk__in=ids).first()
    hops = 0
    while found is not None and found.merged_into_id is not None and hops < 20:
        found = rows.filter(pk=found.merged_into_id).first()
        hops += 1
    if found is None:
        raise Http404("No such customer.")
    return found


@dataclass(frozen=True, slots=True)
class Health:
    """A customer's score with everything that explains it. score None = not enough
    known; then components say what is known so far."""

    customer: Customer
    score: int | None
    band: str
    trend: int | None
    coverage_pct: int | None
    components: list[dict[str, Any]]
    changes: list[sentences.Reason]
    changed_since: datetime | None
    history: list[tuple[datetime, int]]
    definition: ScoreDefinition | None
    definition_changed: bool
    as_of: datetime | None
    is_stale: bool
    sources: list[CustomerSource] = field(default_factory=list)


def get_health(customer: Customer, now: datetime, *, since_days: int = 7) -> Health:
    """The newest score, its ledger, and what changed in `since_days`."""
    newest = (
        HealthScore.objects.filter(customer=customer)
        .select_related("definition")
        .order_by("-at")
        .first()
    )
    then = now - timedelta(days=since_days)
    before = (
        HealthScore.objects.filter(customer=customer, at__lte=then)
        .order_by("-at")
        .first()
    )
    shown = newest if customer.score is not None else None
    history = list(
        HealthScore.objects.filter(customer=customer, at__gt=now - timedelta(days=365))
        .order_by("at")
        .values_list("at", "score")
    )
    return Health(
        customer=customer,
        score=customer.score,
        band=customer.band,
        trend=customer.trend,
        coverage_pct=customer.coverage_pct,
        components=sentences.components(shown.parts) if shown else [],
        changes=sentences.changes(before.parts, shown.parts)
        if shown and before
        else [],
        changed_since=before.at if before else None,
        history=history,
        definition=shown.definition if shown else None,
        definition_changed=bool(
            shown and before and shown.definition_id != before.definition_id
        ),
        as_of=customer.scored_at,
        is_stale=customer.score_stale_at is not None,
        sources=list(
            customer.sources.select_related("source").order_by("source__name", "pk")
        ),
    )
