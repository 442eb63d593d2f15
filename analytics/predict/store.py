"""Keeps a trained model as a version and decides whether it is put in use."""

from __future__ import annotations

from datetime import datetime

import numpy as np
from django.db import transaction
from django.db.models import Max

from analytics.churn import drift
from analytics.predict import champion, scoring
from analytics.predict.features import NAMES
from analytics.predict.models import LabelDefinition, ModelVersion
from analytics.predict.snapshots import cutoff_date
from analytics.predict.training import FEWEST_CHURNERS, Trained
from churnguard.models import Organization


def champion_of(organization: Organization) -> ModelVersion | None:
    """The model in use, if any."""
    return (
        ModelVersion.objects.filter(organization=organization, state="champion")
        .select_related("label")
        .first()
    )


def keep(
    organization: Organization, label: LabelDefinition, made: Trained, now: datetime
) -> ModelVersion:
    """The new version, in use if it beats the one in use."""
    old = champion_of(organization)
    verdict = champion.judge(_opponent(old), made, label.pk)
    with transaction.atomic():
        Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
        newest = ModelVersion.objects.filter(organization=organization).aggregate(
            n=Max("version")
        )["n"]
        if verdict.replaces:
            ModelVersion.objects.filter(
                organization=organization, state="champion"
            ).update(state="retired")
        return ModelVersion.objects.create(
            organization=organization,
            label=label,
            version=(newest or 0) + 1,
            state="champion" if verdict.replaces else "challenger",
            rung=made.rung,
            description=made.fitted.describe(),
            feature_names=list(NAMES),
            reference=[
                None if np.isnan(value) else round(float(value), 6)
                for value in made.reference
            ],
            bins=[_plain(one) for one in made.bins],
            score_bins=_plain(made.score_bins),
            tested=made.tested,
            comparison=verdict.comparison,
            level=made.level,
            blob=made.fitted.to_bytes(),
            hazard=scoring.dump_hazard(made.hazard),
            rows=made.rows,
            churners=made.churners,
            first_cutoff=cutoff_date(made.days[0]),
            last_cutoff=cutoff_date(made.days[-1]),
            is_backfilled=made.is_backfilled,
            metrics=made.metrics,
            cutoffs=made.cutoffs,
            reliability=made.reliability,
            importance=made.importance,
            leakage=made.leakage,
            verdict=_sentence(verdict, made),
            trained_at=now,
        )


def _plain(bins: drift.Bins) -> dict[str, list[float]]:
    return {"edges": bins.edges.tolist(), "shares": bins.shares.tolist()}


def _opponent(row: ModelVersion | None) -> champion.Champion | None:
    if row is None:
        return None
    return champion.Champion(
        scoring.load(row).fitted,
        row.level,
        row.rung,
        row.label_id,
        row.last_cutoff,
        row.version,
    )


def _sentence(verdict: champion.Verdict, made: Trained) -> str:
    if made.rung != "rule":
        return verdict.sentence
    return (
        f"{verdict.sentence} Only {made.churners} of {FEWEST_CHURNERS} outcomes needed "
        "were seen, so a fixed rule is used and no accuracy can be stated."
    )
