"""What API and pages show about churn risk; both read from these functions alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from django.db import connection
from django.db.models import F, FloatField, Q, QuerySet, Value
from django.db.models.functions import Coalesce
from scipy.special import expit

from analytics.predict import (
    features,
    labelling,
    labels,
    scoring,
    sentences,
    store,
)
from analytics.predict.models import ModelVersion, Prediction, TrainingJob
from analytics.predict.narrowing import Narrow
from analytics.segments.members import read_members
from churnguard.api import decode_cursor, encode_cursor
from churnguard.errors import ConfigError
from churnguard.models import Customer, Organization

ORDERS = {"risk": "churn_probability", "money": "risk_minor"}
BUILT_IN = ("all", "at_risk", "high_risk")
HIGH_PROBABILITY = 0.5
TOP_SHARE = 0.1
ANYBODY = Narrow()
HEAVY = tuple(f"model__{name}" for name in ("blob", "hazard", "bins", "tested"))
"""Columns of a model that no list shows."""
DRAWS = 1_000
SIMULATED = 2_000
"""Accounts simulated one by one, the largest first; the many small ones together are
close to normal."""


@dataclass(frozen=True, slots=True)
class State:
    """Where the organisation stands: no_model, training, not_enough_outcomes, ready.

    message: one sentence for people; job: the newest training job.
    """

    name: Literal["no_model", "training", "not_enough_outcomes", "ready"]
    message: str
    model: ModelVersion | None
    job: TrainingJob | None

    @property
    def is_rule(self) -> bool:
        """A fixed rule scores, because too few outcomes were seen."""
        return self.model is not None and self.model.rung == "rule"

    @property
    def is_training(self) -> bool:
        """A job is queued or running."""
        return self.job is not None and self.job.state in TrainingJob.OPEN


@dataclass(frozen=True, slots=True)
class RevenueAtRisk:
    """Expected loss in minor units with the 5th and 95th percentile."""

    sum: int
    p5: int
    p95: int


def get_state(organization: Organization) -> State:
    """The model in use and how training stands."""
    model = store.champion_of(organization)
    job = (
        TrainingJob.objects.filter(organization=organization)
        .select_related("model")
        .defer(*HEAVY)
        .order_by("-id")
        .first()
    )
    if model is not None:
        return State("ready", model.verdict, model, job)
    if job is not None and job.state in TrainingJob.OPEN:
        return State("training", "The first model is being trained.", None, job)
    if job is not None and job.state == "not_enough":
        return State("not_enough_outcomes", job.message, None, job)
    message = (
        "No model yet: the first training starts by itself once the history is long "
        "enough to have seen who stayed and who left."
    )
    return State("no_model", message, None, job)


def scored_customers(
    organization: Organization, segment: str, narrow: Narrow = ANYBODY
) -> QuerySet[Customer]:
    """The scored customers of a built-in or saved segment (id or slug), unordered.
    Raises ConfigError for a segment that does not exist."""
    rows = narrow.apply(
        Customer.objects.filter(
            organization=organization,
            merged_into__isnull=True,
            churn_probability__isnull=False,
        )
    )
    kind, colon, name = segment.partition(":")
    if segment == "all":
        return rows
    if segment == "at_risk":
        return rows.filter(band="at_risk")
    if segment == "high_risk":
        return rows.filter(churn_probability__gte=_high_from(organization))
    if colon and name and kind in {"plan", "segment"} and "\x00" not in name:
        return rows.filter(**{kind: name})
    try:
        members = read_members(organization, segment)
    except ConfigError as exc:
        if exc.code != "unknown_segment":
            raise
        members = None
    if members is not None:
        return rows.filter(pk__in=members.ids)
    raise ConfigError(
        f"There is no segment “{segment[:80]}”. Use {', '.join(BUILT_IN)}, "
        "plan:<name>, segment:<name>, or the id or slug of a saved segment.",
        code="unknown_segment",
        fields={"customer_segment": "unknown"},
    )


def list_predictions(
    organization: Organization,
    segment: str,
    *,
    narrow: Narrow = ANYBODY,
    order: str = "risk",
    cursor: str | None = None,
    limit: int = 50,
) -> tuple[list[dict[str, Any]], str | None]:
    """A keyset page, riskiest or costliest first: (results, next cursor or None)."""
    if order not in ORDERS:
        raise ConfigError(
            f"order must be one of {', '.join(ORDERS)}.",
            code="invalid",
            fields={"order": f"one of {', '.join(ORDERS)}"},
        )
    rows = scored_customers(organization, segment, narrow).annotate(
        sort_by=Coalesce(F(ORDERS[order]), Value(-1), output_field=FloatField())
    )
    if cursor:
        value, last = decode_cursor(cursor, 2)
        for part, kinds in ((value, (int, float)), (last, (int,))):
            if not isinstance(part, kinds) or isinstance(part, bool):
                raise ConfigError("This cursor is not valid.", code="invalid_cursor")
        rows = rows.filter(Q(sort_by__lt=value) | Q(sort_by=value, pk__lt=last))
    found = list(rows.order_by("-sort_by", "-pk")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    after = encode_cursor([found[-1].sort_by, found[-1].pk]) if more else None
    return _bodies(organization, found), after


def get_prediction(organization: Organization, customer: Customer) -> dict[str, Any]:
    """The list's row of one customer with all groups and its history.

    Reasons that a scoring left out (not among the riskiest) are computed from the
    same facts. probability None: not a customer now, or no model.
    """
    body = _bodies(organization, [customer])[0]
    newest = (
        Prediction.objects.filter(customer=customer, organization=organization)
        .filter(model__state="champion")
        .select_related("model")
        .defer(*HEAVY)
        .order_by("-cutoff")
        .first()
    )
    known = newest if customer.churn_probability is not None else None
    groups, base = (known.groups, known.base_log_odds) if known else ({}, None)
    if known is not None and not groups:
        groups, base, body["reasons"] = _explain_now(organization, known)
    body["groups"] = [
        {"group": name, "label": sentences.LABELS[name], "effect": effect}
        for name, effect in sorted(groups.items(), key=lambda item: -abs(item[1]))
    ]
    body["base_log_odds"] = base
    body["usual_probability"] = None if base is None else float(expit(base))
    body["feature_hash"] = str(known.feature_hash) if known else None
    body["history"] = [
        {"cutoff": cutoff, "probability": p, "model_version": version}
        for cutoff, p, version in Prediction.objects.filter(customer=customer)
        .order_by("-cutoff", "-model__version")
        .values_list("cutoff", "probability", "model__version")[:90]
    ]
    return body


def revenue_at_risk(
    organization: Organization,
    segment: str,
    model: ModelVersion | None,
    narrow: Narrow = ANYBODY,
) -> RevenueAtRisk:
    """Expected loss of a segment with its 5-95% range by simulated departures."""
    months = model.months_at_stake if model else 12.0
    table = np.array(
        scored_customers(organization, segment, narrow)
        .filter(mrr_minor__gt=0)
        .values_list("churn_probability", "mrr_minor", "risk_minor"),
        dtype=np.float64,
    ).reshape(-1, 3)
    if not len(table):
        return RevenueAtRisk(0, 0, 0)
    p, amount = table[:, 0], table[:, 1] * months
    order = np.argsort(-amount, kind="stable")
    p, amount = p[order], amount[order]
    random = np.random.default_rng(0)
    draws = np.zeros(DRAWS)
    for at in range(0, min(len(p), SIMULATED), 100):
        part = slice(at, at + 100)
        leaves = random.random((DRAWS, len(p[part]))) < p[part]
        draws += leaves @ amount[part]
    rest_p, rest = p[SIMULATED:], amount[SIMULATED:]
    spread = float(np.sqrt((rest_p * (1 - rest_p) * rest**2).sum()))
    draws += float(rest_p @ rest) + spread * random.standard_normal(DRAWS)
    low, high = np.percentile(draws, [5, 95])
    total = np.nan_to_num(table[:, 2]).sum()
    return RevenueAtRisk(round(total), max(0, round(low)), max(0, round(high)))


def model_card(model: ModelVersion) -> dict[str, Any]:
    """Everything a person needs to judge a model."""
    return {
        "version": model.version,
        "state": model.state,
        "rung": model.rung,
        "description": model.description,
        "verdict": model.verdict,
        "comparison": model.comparison,
        "label": labelling.body(model.label),
        "trained_at": model.trained_at,
        "scored_at": model.scored_at,
        "rows": model.rows,
        "churners": model.churners,
        "first_cutoff": model.first_cutoff,
        "last_cutoff": model.last_cutoff,
        "is_backfilled": model.is_backfilled,
        "metrics": model.metrics,
        "cutoffs": model.cutoffs,
        "reliability": model.reliability,
        "importance": model.importance,
        "leakage": model.leakage,
        "drift": model.drift,
        "months_at_stake": model.months_at_stake,
        "checks": checks(model),
    }


def checks(model: ModelVersion) -> list[dict[str, Any]]:
    """The bar a model is held to, each with its figure; empty without a back-test."""
    found = model.metrics
    if "auc" not in found:
        return []
    floor = max(0.02, 2 * found["pooled_ece_floor"])
    off = found["expected"] / max(found["observed"], 1.0) - 1
    lift, cap = found.get("top_decile_lift", 0.0), found.get("lift_cap", 1.0)
    return [
        _check("auc", "Ranks better than days since last use by 0.02",
               found["auc"] - found["rule_auc"], 0.02, True),
        _check("skill", "Log-loss at least 10% below the base rate's",
               found.get("skill", 0.0), 0.10, True),
        _check("calibration", "Calibration error within its noise",
               found["pooled_ece"], floor, False),
        _check("level", "Expected departures within 10% of those that came",
               abs(off), 0.10, False),
        _check("lift", "Top tenth: 2.5 times the base rate, or 80% of what is possible",
               lift, min(2.5, 0.8 * cap), True),
    ]  # fmt: skip


def _check(
    name: str, label: str, value: float, bar: float, is_least: bool
) -> dict[str, Any]:
    met = value >= bar if is_least else value <= bar
    return {"name": name, "label": label, "value": value, "bar": bar, "met": met}


def _high_from(organization: Organization) -> float:
    """The lower of 0.5 and the probability that a tenth of the customers reach."""
    with connection.cursor() as cur:
        cur.execute(
            "SELECT percentile_disc(%s) WITHIN GROUP (ORDER BY churn_probability) "
            "FROM cg_customer WHERE organization_id = %s AND merged_into_id IS NULL "
            "AND churn_probability IS NOT NULL",
            [1 - TOP_SHARE, organization.pk],
        )
        found = cur.fetchone()[0]
    return min(HIGH_PROBABILITY, HIGH_PROBABILITY if found is None else found)


def _bodies(
    organization: Organization, customers: Sequence[Customer]
) -> list[dict[str, Any]]:
    newest = {
        row.customer_id: row
        for row in Prediction.objects.filter(
            organization=organization,
            customer_id__in=[customer.pk for customer in customers],
            model__state="champion",
        )
        .select_related("model")
        .defer(*HEAVY)
        .order_by("cutoff")
    }
    return [
        _body(customer, newest.get(customer.pk), organization.base_currency)
        for customer in customers
    ]


def _body(
    customer: Customer, found: Prediction | None, currency: str
) -> dict[str, Any]:
    shown = found if customer.churn_probability is not None else None
    scored_at: datetime | None = shown.model.scored_at if shown else None
    return {
        "customer_id": customer.public_id,
        "name": customer.name,
        "probability": customer.churn_probability,
        "risk_minor": customer.risk_minor,
        "mrr_minor": customer.mrr_minor,
        "currency": currency,
        "reasons": sentences.tell(shown.reasons, shown.cutoff, currency)
        if shown
        else [],
        "expected_months": shown.expected_months if shown else None,
        "model_version": shown.model.version if shown else None,
        "as_of": scored_at,
    }


def _explain_now(
    organization: Organization, known: Prediction
) -> tuple[dict[str, float], float, list[sentences.Reason]]:
    loaded = scoring.load(known.model)
    day = (known.cutoff - labels.EPOCH).days
    with connection.cursor() as wrapper:
        snapshot = features.gather(
            wrapper.cursor,
            organization.pk,
            np.array([known.customer_id], dtype=np.int64),
            day,
            organization.timezone,
        )
    groups, base, stored = scoring.explain_one(loaded, snapshot.values)
    told = sentences.tell(stored, known.cutoff, organization.base_currency.upper())
    return groups, base, told
