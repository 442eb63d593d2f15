"""Whether the model in use still holds: shifted inputs, and forecasts come due.

Predictions of the first of each month are kept; once their horizon has passed, those
who left are counted against the sum of the probabilities.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray

from analytics.churn import drift, metrics
from analytics.predict import labels, snapshots
from analytics.predict.features import GROUPS, NAMES
from analytics.predict.models import (
    LabelDefinition,
    MaturedCohort,
    ModelVersion,
    Prediction,
)
from analytics.predict.sentences import FEATURES
from churnguard import formats
from churnguard.notices import open_notice, resolve_notice

FloatArray = NDArray[np.float64]

NOTICE = "model-drift"
RATE_ALARM_P = 0.01
"""A base rate that chance gives less often than this trips the notice."""
FEWEST_MATURED = 20
"""Forecasts of one day below which no test is made."""
MOVES_BY_ITSELF = {*GROUPS["tenure"], "days_to_renewal"}
"""Features that follow the calendar: their shift says nothing."""
LOST_SHARE = 0.3
"""Alarm where a feature is unknown for so many more customers than at training."""
SHOWN = 10
LOOK_BACK_MONTHS = 26
"""Twice the longest horizon: what came due while nothing ran is still judged."""


class Tally:
    """Where features and scores of customers lie in the bins of a model's training,
    counted set by set."""

    def __init__(self, row: ModelVersion) -> None:
        months = (row.last_cutoff - row.first_cutoff).days / 30.4375 + 1
        # One customer is in many monthly looks, which are far from independent.
        self._rows_then = max(1, round(row.rows / months))
        self._bins = dict(zip(NAMES, map(_bins, row.bins), strict=True))
        if row.score_bins:
            self._bins["score"] = _bins(row.score_bins)
        self._counts = {
            name: drift.count(bins.edges, np.empty(0))
            for name, bins in self._bins.items()
        }

    def add(self, x: FloatArray, z: FloatArray) -> None:
        """Customers with features (n, f) and log-odds (n,)."""
        columns = dict(zip(NAMES, x.T, strict=True)) | {"score": z}
        for name, bins in self._bins.items():
            self._counts[name] += drift.count(bins.edges, columns[name])

    def get_drift(self) -> list[dict[str, Any]]:
        """The score's shift against training, then the ten features that moved most. A
        shift that chance explains (see `drift.noise`) is "ok" whatever its size."""
        if not self._counts[NAMES[0]].sum():
            return []
        found = {
            name: self._shift(name)
            for name in self._bins
            if name not in MOVES_BY_ITSELF
        }
        score = [found.pop("score")] if "score" in found else []
        moved = sorted(
            found.values(), key=lambda one: (one["state"] == "ok", -one["psi"])
        )
        return score + moved[:SHOWN]

    def _shift(self, name: str) -> dict[str, Any]:
        bins, counts = self._bins[name], self._counts[name]
        shift = drift.shift(name, bins, counts)
        floor = drift.noise(bins, self._rows_then, int(counts.sum()))
        return {
            "name": name,
            "psi": round(shift.psi, 4),
            "noise": round(floor, 4),
            "state": shift.state if shift.psi > floor else "ok",
            "missing_before": round(shift.missing_before, 4),
            "missing_now": round(shift.missing_now, 4),
        }


def look(row: ModelVersion, now: datetime) -> list[str]:
    """Judge what has come due, and open or close the notice. Returns the alarms, one
    sentence each. Idempotent."""
    mature(row.organization_id, now)
    row.refresh_from_db(fields=["drift"])
    found = alarms(row)
    with transaction.atomic():
        if found:
            open_notice(
                connection,
                row.organization_id,
                kind="model_drift",
                severity="warning",
                key=NOTICE,
                title="The churn model may no longer hold",
                detail=" ".join(found),
                url="/model/#drift-title",
                data={"model_version": row.version},
            )
        else:
            resolve_notice(connection, row.organization_id, NOTICE)
    return found


def alarms(row: ModelVersion) -> list[str]:
    """What is wrong with the model in use now, one sentence each; empty = nothing.

    One shifted feature is shown, but is no alarm: campaigns and survey waves move some
    from month to month without any harm to the forecasts.
    """
    found = []
    if any(one["name"] == "score" and one["state"] == "act" for one in row.drift):
        found.append("The forecasts lie elsewhere than those it was trained on.")
    lost = [
        FEATURES[one["name"]]
        for one in row.drift
        if one["missing_now"] - one["missing_before"] > LOST_SHARE
    ]
    if lost:
        found.append(f"Facts it was trained on have stopped coming: {', '.join(lost)}.")
    newest = (
        MaturedCohort.objects.filter(
            organization_id=row.organization_id, rows__gte=FEWEST_MATURED
        )
        .order_by("-cutoff", "-model__version")
        .first()
    )
    if newest is not None and newest.p_value < RATE_ALARM_P:
        found.append(
            f"Of the forecasts of {newest.cutoff:%Y-%m-%d}, "
            f"{formats.number(round(newest.expected))} departures were expected and "
            f"{formats.number(newest.observed)} came; chance alone gives such a gap "
            f"in less than {formats.percent(RATE_ALARM_P, 0)} of cases."
        )
    return found


def list_matured(org_id: int) -> list[MaturedCohort]:
    """The judged predictions, newest day first, at most 24."""
    return list(
        MaturedCohort.objects.filter(organization_id=org_id)
        .select_related("model")
        .defer("model__blob", "model__hazard")
        .order_by("-cutoff", "-model__version")[:24]
    )


def next_due(row: ModelVersion, today: date) -> date:
    """When the next predictions of this model come due: those of the oldest first of a
    month that is not judged yet, else of the coming one."""
    judged = set(
        MaturedCohort.objects.filter(model=row).values_list("cutoff", flat=True)
    )
    waiting = [
        day
        for day in _firsts(today)
        if day not in judged
        and Prediction.objects.filter(
            organization_id=row.organization_id, cutoff=day, model=row
        ).exists()
    ]
    coming = (today.replace(day=1) + timedelta(days=32)).replace(day=1)
    first = waiting[0] if waiting else coming
    return first + timedelta(days=labels.maturing_days(row.label))


def mature(org_id: int, now: datetime) -> int:
    """Judge the predictions whose horizon has passed and which were not judged yet;
    returns how many days' predictions were."""
    with connection.cursor() as wrapper:
        clock = snapshots.get_clock(wrapper.cursor, org_id, now)
    known = set(
        MaturedCohort.objects.filter(organization_id=org_id).values_list(
            "cutoff", flat=True
        )
    )
    # Day by day: each is a short walk of the index, however many predictions there are.
    due = [
        (cutoff, model_id)
        for cutoff in _firsts(clock.today)
        if cutoff not in known
        for model_id in Prediction.objects.filter(organization_id=org_id, cutoff=cutoff)
        .values_list("model_id", flat=True)
        .distinct()
        .order_by("model_id")
    ]
    models = ModelVersion.objects.select_related("label").defer("blob", "hazard")
    rows = models.in_bulk({model_id for _, model_id in due})
    histories: dict[int, labels.History] = {}
    done = 0
    for cutoff, model_id in due:
        label = rows[model_id].label
        if cutoff + timedelta(days=labels.maturing_days(label)) > clock.today:
            continue
        if label.pk not in histories:
            with connection.cursor() as wrapper:
                histories[label.pk] = labels.load_history(
                    wrapper.cursor, org_id, label, clock.timezone
                )
        found = _judge(
            rows[model_id], labels.day_number(cutoff), histories[label.pk], label
        )
        if found is not None:
            MaturedCohort.objects.get_or_create(
                organization_id=org_id,
                cutoff=cutoff,
                model_id=model_id,
                defaults={**found, "checked_at": now},
            )
            done += 1
    return done


def _firsts(today: date) -> list[date]:
    """The firsts of the past months, oldest first."""
    first = today.replace(day=1)
    days = [first]
    for _ in range(LOOK_BACK_MONTHS):
        first = (first - timedelta(days=1)).replace(day=1)
        days.append(first)
    return days[::-1]


def _judge(
    row: ModelVersion, day: int, history: labels.History, label: LabelDefinition
) -> dict[str, Any] | None:
    """Figures of one day's predictions; None where no customer of it is left. Who was
    merged into another since has no outcome of its own."""
    said = dict(
        Prediction.objects.filter(
            organization_id=row.organization_id,
            model=row,
            cutoff=snapshots.cutoff_date(day),
        ).values_list("customer_id", "probability")
    )
    customers = history.population(day)
    customers = customers[np.isin(customers, np.array(list(said), dtype=np.int64))]
    if not len(customers):
        return None
    y = labels.outcomes(history, customers, day, label)
    p = np.array([said[customer] for customer in customers.tolist()])
    rate = drift.base_rate_test(y, p)
    auc = metrics.auc(y, p)
    return {
        "rows": len(y),
        "expected": rate.expected,
        "observed": rate.observed,
        "z": rate.z,
        "p_value": rate.p_value,
        "auc": None if np.isnan(auc) else auc,
        "log_loss": metrics.log_loss(y, p),
        "brier": metrics.brier(y, p),
    }


def _bins(stored: dict[str, list[float]]) -> drift.Bins:
    return drift.Bins(np.array(stored["edges"]), np.array(stored["shares"]))
