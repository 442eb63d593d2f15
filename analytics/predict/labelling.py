"""Changing what churn means: check a definition, see what it would have given, keep it.

A kept definition is a new version; models remember the one they were trained on.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.http import HttpRequest

from analytics.churn.backtest import monthly_cutoffs
from analytics.predict import jobs, labels, snapshots
from analytics.predict.models import LabelDefinition, TrainingJob
from analytics.predict.training import FEWEST_CHURNERS
from churnguard import audit
from churnguard.errors import ConfigError
from churnguard.models import Organization, OrgDay

FIELDS = ("kind", "horizon_days", "grace_days", "inactivity_days", "qualifying")
BOUNDS = {
    "horizon_days": (14, 365),
    "grace_days": (0, 180),
    "inactivity_days": (7, 365),
}
"""Smallest and largest value, in days."""
MOST_NAMES = 50
LOOK_BACK_MONTHS = 12
_SAMPLE = 2_000


@dataclass(frozen=True, slots=True)
class Look:
    """One monthly cutoff: customers of that day and how many of them left within the
    horizon; None = not known yet."""

    cutoff: str
    customers: int
    outcomes: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What a definition would have given over the past 12 months.

    looks: oldest first, only days with enough history before them. customers,
    outcomes: sums over the looks whose outcome is known. departures: each departure
    counted once, however many looks saw it. verdict: what a model could be.
    """

    looks: list[Look]
    customers: int
    outcomes: int
    departures: int
    verdict: str


def get_label(organization: Organization) -> LabelDefinition:
    """The active definition; an unsaved one with the defaults where none was needed
    yet."""
    with connection.cursor() as wrapper:
        return labels.get_label(wrapper.cursor, organization.pk)


def parse(organization: Organization, given: Any) -> LabelDefinition:
    """An unsaved definition from JSON or form data; what is left out takes the active
    definition's value. Raises ConfigError that names each bad field."""
    if not isinstance(given, dict):
        raise ConfigError("Send an object with the definition.", code="invalid")
    now = get_label(organization)
    values = {name: given.get(name, getattr(now, name)) for name in FIELDS}
    fields = {str(name): "not a setting" for name in set(given) - set(FIELDS)}
    if values["kind"] not in [kind for kind, _ in LabelDefinition.KINDS]:
        fields["kind"] = f"one of {', '.join(dict(LabelDefinition.KINDS))}"
    for name, (least, most) in BOUNDS.items():
        number = values[name]
        if isinstance(number, str) and number.isascii() and number.isdigit():
            number = int(number[:9])
        whole = isinstance(number, int) and not isinstance(number, bool)
        if not whole or not least <= number <= most:
            fields[name] = f"a whole number of days from {least} to {most}"
        values[name] = number
    problem = _names_problem(organization, values["qualifying"])
    if problem:
        fields["qualifying"] = problem
    if (
        not fields
        and values["kind"] == "inactivity"
        and values["inactivity_days"] > values["horizon_days"]
    ):
        fields["inactivity_days"] = "at most the horizon"
    if fields:
        raise ConfigError("The definition is not valid.", code="invalid", fields=fields)
    values["qualifying"] = sorted(set(values["qualifying"]))
    return LabelDefinition(organization=organization, version=0, **values)


def preview(
    organization: Organization, label: LabelDefinition, now: datetime
) -> Preview:
    """Twelve monthly looks at the past by this definition. Nothing is kept."""
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        clock = snapshots.get_clock(cur, organization.pk, now)
        first = snapshots.first_day(cur, organization.pk)
        days = [
            day
            for day in monthly_cutoffs(clock.day, LOOK_BACK_MONTHS + 1)[:-1]
            if first is not None and day - first >= snapshots.LEAST_HISTORY_DAYS
        ]
        since = (days[0] if days else clock.day) - label.inactivity_days
        history = labels.load_history(
            cur, organization.pk, label, clock.timezone, since=since
        )
    looks, left = [], set()
    for day in days:
        customers = history.population(day)
        known = day + labels.maturing_days(label) <= clock.day
        found = labels.outcomes(history, customers, day, label)
        ends = history.ends(customers, day)
        if known:
            left |= {
                (int(who), float(end))
                for who, end in zip(
                    customers[found == 1], ends[found == 1], strict=True
                )
            }
        looks.append(
            Look(
                snapshots.cutoff_date(day).isoformat(),
                len(customers),
                int(found.sum()) if known else None,
            )
        )
    seen = [look for look in looks if look.outcomes is not None]
    return Preview(
        looks=looks,
        customers=sum(look.customers for look in seen),
        outcomes=sum(look.outcomes or 0 for look in seen),
        departures=len(left),
        verdict=_verdict(len(seen), len(left)),
    )


def save(
    request: HttpRequest, organization: Organization, label: LabelDefinition
) -> tuple[LabelDefinition, TrainingJob | None]:
    """Make it the active version and ask for a training: (kept, job). Where nothing
    would change, the present version and no job. Old models keep their version."""
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        active = get_label(organization)
        if active.pk is not None and _plain(active) == _plain(label):
            return active, None
        newest = LabelDefinition.objects.filter(organization=organization).aggregate(
            n=Max("version")
        )["n"]
        LabelDefinition.objects.filter(
            organization=organization, is_active=True
        ).update(is_active=False)
        kept = LabelDefinition.objects.create(
            organization=organization,
            version=(newest or 0) + 1,
            created_by=audit.actor_of(request),
            **_plain(label),
        )
        audit.record(
            request,
            "churn_definition.changed",
            organization=organization,
            target_type="churn_definition",
            target_id=str(kept.version),
            before=_plain(active) | {"version": active.version},
            after=_plain(kept) | {"version": kept.version},
        )
        job, _ = jobs.request(
            organization, reason="definition", by=audit.actor_of(request)
        )
    return kept, job


def usual_silence(organization: Organization) -> int | None:
    """The 95th percentile of the days between two days of use of one customer, over
    the first 2,000 customers and a year; None without any use. A hint for the length
    of a silence that means leaving."""
    with connection.cursor() as cur:
        cur.execute(
            "WITH refs AS (SELECT s.id, s.customer_id FROM cg_customer_source s "
            "  WHERE s.customer_id IN (SELECT id FROM cg_customer "
            "    WHERE organization_id = %(org)s ORDER BY id LIMIT %(most)s)), "
            "days AS (SELECT DISTINCT x.customer_id, u.day FROM cg_usage_day u "
            "  JOIN refs x ON x.id = u.customer_source_id "
            "  WHERE u.n > 0 AND u.day >= current_date - 365), "
            "gaps AS (SELECT day - lag(day) OVER (PARTITION BY customer_id "
            "  ORDER BY day) AS gap FROM days) "
            "SELECT percentile_disc(0.95) WITHIN GROUP (ORDER BY gap) FROM gaps",
            {"org": organization.pk, "most": _SAMPLE},
        )
        found = cur.fetchone()[0]
    return None if found is None else int(found)


def event_names(organization: Organization) -> list[str]:
    """Names of events ever seen, in order of the alphabet, at most 500."""
    return list(
        OrgDay.objects.filter(organization=organization)
        .values_list("name", flat=True)
        .distinct()
        .order_by("name")[:500]
    )


def body(label: LabelDefinition) -> dict[str, Any]:
    """A definition as the API and the model card show it."""
    return {
        "version": label.version,
        **_plain(label),
        "description": labels.describe(label),
    }


def preview_body(found: Preview) -> dict[str, Any]:
    """A preview as plain values."""
    return asdict(found)


def _plain(label: LabelDefinition) -> dict[str, Any]:
    return {name: getattr(label, name) for name in FIELDS}


def _names_problem(organization: Organization, names: Any) -> str | None:
    if not isinstance(names, list | tuple) or len(names) > MOST_NAMES:
        return f"a list of at most {MOST_NAMES} names of events"
    if not all(isinstance(name, str) and _can_be_stored(name) for name in names):
        return "names of events as text"
    known = set(
        OrgDay.objects.filter(organization=organization, name__in=names).values_list(
            "name", flat=True
        )
    ) | set(get_label(organization).qualifying)
    unknown = sorted(set(names) - known)
    if unknown:
        return f"never seen here: {', '.join(name[:60] for name in unknown[:5])}"
    return None


def _can_be_stored(name: str) -> bool:
    """PostgreSQL's text holds neither zero bytes nor halves of surrogate pairs."""
    return "\x00" not in name and not any("\ud800" <= c <= "\udfff" for c in name)


def _verdict(known_looks: int, departures: int) -> str:
    if not known_looks:
        return (
            "Nothing is known yet: no month of the past year has both history before "
            "it and the horizon after it."
        )
    if departures == 0:
        return "Not enough outcomes: nobody would have left, so no model can be made."
    if departures < FEWEST_CHURNERS:
        return (
            f"Not enough outcomes in these months: {departures} of {FEWEST_CHURNERS} "
            "needed to learn; with the years before them there may be more, else a "
            "fixed rule is used and no accuracy can be stated."
        )
    return f"Enough to learn from: {departures} departures, {FEWEST_CHURNERS} needed."
