"""How well the model found the truth of the sample company.

The generator of the sample knows each account's hidden cause, its chance to leave in
every week, and when it made up its mind. Those facts are kept beside the data, marked
by their own table, and only this module reads them: nothing that trains, scores or
explains does. An organisation without such rows has no truth to compare with.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
from django.db import transaction
from numpy.typing import NDArray
from scipy.stats import spearmanr

from analytics.churn import metrics
from analytics.predict.models import ModelVersion, SampleTruth
from analytics.predict.sentences import LABELS
from churnguard.models import Customer, CustomerSource, Organization
from churnguard.sample import CAUSES, SOURCES, SampleCompany

FloatArray = NDArray[np.float64]
CERTAIN = 1e6
"""Score of an account that has decided: above every chance."""


@dataclass(frozen=True, slots=True)
class CauseRow:
    """Leavers of one true cause: how many, where it shows, which groups were named
    as strongest reason, and how many of the leavers were told rightly."""

    cause: str
    leavers: int
    signs: tuple[str, ...]
    named: dict[str, int]
    right: int

    @property
    def label(self) -> str:
        """The cause in words."""
        return self.cause.replace("_", " ").capitalize()

    @property
    def shows(self) -> str:
        """Its signs in words."""
        return ", ".join(LABELS[sign] for sign in self.signs)

    @property
    def told(self) -> str:
        """The groups named, with how often."""
        return ", ".join(f"{LABELS[name]} {n}" for name, n in self.named.items())


@dataclass(frozen=True, slots=True)
class Recovery:
    """Forecasts made from the past alone, against the truth.

    cutoffs: tested days with both leavers and stayers. auc, oracle_auc, rule_auc:
    means over them; the oracle knows each account's true chance in that week and who
    had decided already. rank: Spearman correlation of forecast and true chance, those
    who had decided left aside. decided, decided_in_top: accounts that have made up
    their mind but are customers still, and how many are in the riskiest fifth today.
    naming_one: share of leavers told rightly by always naming the one best group.
    """

    accounts: int
    cutoffs: int
    auc: float | None
    oracle_auc: float | None
    rule_auc: float | None
    rank: float | None
    leavers: int
    right: int
    naming_one: float | None
    causes: list[CauseRow]
    scored: int
    decided: int
    decided_in_top: int
    decided_auc: float | None

    @property
    def share_right(self) -> float | None:
        """Share of leavers whose strongest reason lies where their cause shows."""
        return self.right / self.leavers if self.leavers else None


def keep(organization: Organization, company: SampleCompany) -> int:
    """Keep the truth of a sample company, replacing what was kept; returns accounts."""
    with transaction.atomic():
        SampleTruth.objects.filter(organization=organization).delete()
        made = SampleTruth.objects.bulk_create(
            SampleTruth(
                organization=organization,
                account=one.account,
                ids=one.ids,
                cause=one.cause,
                starts_at=company.span.start,
                hazard=[round(value, 6) for value in one.hazard],
                decided_at=one.decided_at,
                churned_at=one.churned_at,
                returned_at=one.returned_at,
            )
            for one in company.truth()
        )
    return len(made)


def get_recovery(
    organization: Organization, model: ModelVersion | None
) -> Recovery | None:
    """The comparison for a model; None for an organisation that is no sample."""
    known = _by_customer(organization)
    if not known or model is None:
        return None
    aucs, oracles, ranks = [], [], []
    told: dict[int, str] = {}
    for tested in model.tested:
        day = datetime.combine(date.fromisoformat(tested["cutoff"]), time(), UTC)
        rows = [row for row in tested["rows"] if row[0] in known]
        p = np.array([row[1] for row in rows], dtype=np.float64)
        left = np.array([row[2] for row in rows], dtype=np.float64)
        chance = np.array([_chance(known[row[0]], day) for row in rows])
        told |= {row[0]: row[3] for row in rows if row[2] and row[3]}
        if rows and left.min() < left.max():
            aucs.append(metrics.auc(left, p))
            oracles.append(metrics.auc(left, chance))
        open_minded = chance < CERTAIN
        if open_minded.sum() > 2:
            ranks.append(float(spearmanr(p[open_minded], chance[open_minded])[0]))
    causes = _causes(known, told)
    right = sum(row.right for row in causes)
    leavers = sum(row.leavers for row in causes)
    return Recovery(
        accounts=len(known),
        cutoffs=len(aucs),
        auc=_mean(aucs),
        oracle_auc=_mean(oracles),
        rule_auc=model.metrics.get("rule_auc"),
        rank=_mean(ranks),
        leavers=leavers,
        right=right,
        naming_one=_naming_one(causes, leavers),
        causes=causes,
        **_today(organization, known),
    )


def _by_customer(organization: Organization) -> dict[int, SampleTruth]:
    """Customer pk -> its truth, by the account's ids in the sources; a customer that
    two accounts claim is left out."""
    rows = list(SampleTruth.objects.filter(organization=organization))
    if not rows:
        return {}
    owner = {
        (source, external_id): customer
        for source, external_id, customer in CustomerSource.objects.filter(
            organization=organization,
            source__name__in=SOURCES,
            customer__isnull=False,
        ).values_list("source__name", "external_id", "customer_id")
    }
    found: dict[int, list[SampleTruth]] = defaultdict(list)
    for row in rows:
        at = [owner[key] for key in row.ids.items() if key in owner]
        if at:
            found[Counter(at).most_common(1)[0][0]].append(row)
    return {customer: one[0] for customer, one in found.items() if len(one) == 1}


def _chance(truth: SampleTruth, at: datetime) -> float:
    """The true chance to decide in the week of `at`; `CERTAIN` once it has."""
    decided = truth.decided_at
    is_back = truth.returned_at is not None and truth.returned_at <= at
    if decided is not None and decided <= at and not is_back:
        return CERTAIN
    week = int((at - truth.starts_at) / timedelta(days=7))
    return float(truth.hazard[min(max(week, 0), len(truth.hazard) - 1)])


def _causes(known: dict[int, SampleTruth], told: dict[int, str]) -> list[CauseRow]:
    """Leavers with a stated reason, by true cause; who left for a cause that shows
    nowhere is left out, since there is nothing to find."""
    named: dict[str, Counter[str]] = defaultdict(Counter)
    for customer, group in told.items():
        named[known[customer].cause][group] += 1
    rows = [
        CauseRow(
            cause=cause,
            leavers=sum(groups.values()),
            signs=CAUSES[cause].signs,
            named=dict(groups.most_common()),
            right=sum(groups[sign] for sign in CAUSES[cause].signs),
        )
        for cause, groups in named.items()
        if cause in CAUSES and CAUSES[cause].signs
    ]
    return sorted(rows, key=lambda row: (-row.leavers, row.cause))


def _naming_one(causes: list[CauseRow], leavers: int) -> float | None:
    if not leavers:
        return None
    groups = {sign for row in causes for sign in row.signs}
    best = max(
        sum(row.leavers for row in causes if group in row.signs) for group in groups
    )
    return best / leavers


def _today(organization: Organization, known: dict[int, SampleTruth]) -> dict[str, Any]:
    rows = list(
        Customer.objects.filter(
            organization=organization,
            pk__in=list(known),
            churn_probability__isnull=False,
        ).values_list("pk", "churn_probability")
    )
    p = np.array([chance for _, chance in rows], dtype=np.float64)
    decided = np.array(
        [
            known[pk].decided_at is not None
            and known[pk].churned_at is None
            and known[pk].returned_at is None
            for pk, _ in rows
        ],
        dtype=np.float64,
    )
    top = np.argsort(-p, kind="stable")[: len(p) // 5]
    both = len(p) > 0 and decided.min() < decided.max()
    return {
        "scored": len(p),
        "decided": int(decided.sum()),
        "decided_in_top": int(decided[top].sum()),
        "decided_auc": metrics.auc(decided, p) if both else None,
    }


def _mean(values: Iterable[float]) -> float | None:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else None
