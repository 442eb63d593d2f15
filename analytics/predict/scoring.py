"""Scores every living customer of an organisation with its champion, in sets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import joblib
import numpy as np
from django.db import connection, transaction
from numpy.typing import NDArray
from psycopg import Cursor
from scipy.special import expit

from analytics.churn import explain, hazard, model
from analytics.predict import features, labels, monitor, snapshots
from analytics.predict.features import GROUPS, NAMES
from analytics.predict.models import ModelVersion
from analytics.predict.training import MONTHS

FloatArray = NDArray[np.float64]

MOST_EXPLAINED = 20_000
"""The riskiest so many get reasons with every scoring; 64 forecasts each."""
MOST_RAISING = 4
MOST_LOWERING = 2
SMALLEST_EFFECT = 0.005
CHUNK = 50_000
"""Customers whose features are read at once."""
BLOCK = 5_000
"""Rows the model sees at once: what it makes of them stays in the processor's cache,
which nearly halves the time of longer ones."""
KEEP_DAYS = 60
"""Predictions older than this stay only for the first day of a month."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A stored model ready to score."""

    row: ModelVersion
    fitted: model.ChurnModel
    hazard: hazard.Hazard | None
    reference: FloatArray

    def log_odds(self, values: FloatArray) -> FloatArray:
        """Log-odds of leaving, moved to the newest level (n,)."""
        parts = [
            self.fitted.log_odds(values[at : at + BLOCK])
            for at in range(0, len(values), BLOCK)
        ]
        return np.concatenate(parts or [np.empty(0)]) + self.row.level

    def mixed_log_odds(
        self, values: FloatArray, reference: FloatArray, masks: NDArray[np.bool_]
    ) -> FloatArray:
        """See `explain.Mixed`; moved to the newest level."""
        return self.fitted.mixed_log_odds(values, reference, masks) + self.row.level


def load(row: ModelVersion) -> Loaded:
    """The model of a row; the bytes were written by this program."""
    return Loaded(
        row,
        model.ChurnModel.from_bytes(bytes(row.blob)),
        joblib.load(io.BytesIO(bytes(row.hazard))) if row.hazard else None,
        np.array(
            [np.nan if value is None else value for value in row.reference],
            dtype=np.float64,
        ),
    )


def dump_hazard(fitted: hazard.Hazard | None) -> bytes | None:
    """Joblib form for `ModelVersion.hazard`."""
    if fitted is None:
        return None
    buffer = io.BytesIO()
    joblib.dump(fitted, buffer, compress=3)
    return buffer.getvalue()


def score_organization(row: ModelVersion, now: datetime) -> int:
    """Predictions and customer columns as of the local date of `now`; returns how many
    customers were scored. Idempotent per date."""
    loaded = load(row)
    org_id = row.organization_id
    with connection.cursor() as wrapper:
        cur = wrapper.cursor
        clock = snapshots.get_clock(cur, org_id, now)
        history = labels.load_history(
            cur,
            org_id,
            row.label,
            clock.timezone,
            since=clock.day - row.label.inactivity_days,
        )
        customers = _living(cur, org_id, history.population(clock.day))
    scores = _Scores(loaded)
    for start in range(0, len(customers), CHUNK):
        some = customers[start : start + CHUNK]
        with transaction.atomic(), connection.cursor() as wrapper:
            wrapper.execute("SET LOCAL work_mem = '128MB'")
            snapshot = features.gather(
                wrapper.cursor, org_id, some, clock.day, clock.timezone
            )
        scores.add(snapshot)
    stay, reasons = scores.mean_months(), scores.explain()
    with transaction.atomic(), connection.cursor() as wrapper:
        _store(wrapper.cursor, row, clock.today, scores.lines(reasons), stay)
        ModelVersion.objects.filter(pk=row.pk).update(
            scored_at=now, months_at_stake=stay, drift=scores.tally.get_drift()
        )
    return len(customers)


def expected_months(loaded: Loaded, z: FloatArray) -> FloatArray | None:
    """Expected months until leaving, counting at most 12 (n,), by hazards that agree
    with the probability of the horizon; None without a hazard."""
    if loaded.hazard is None or not len(z):
        return None
    return loaded.hazard.anchored_months(
        z[:, None],
        np.zeros(len(z), dtype=np.int64),
        months=MONTHS,
        within=min(loaded.row.label.horizon_days / 30.4375, MONTHS),
        probabilities=expit(z),
    )


def explain_rows(loaded: Loaded, values: FloatArray) -> explain.Explanation:
    """Exact shares of the six groups: base + shares = log-odds."""
    return explain.explain(
        loaded.mixed_log_odds,
        values,
        feature_names=NAMES,
        groups=GROUPS,
        reference=loaded.reference,
    )


def explain_one(
    loaded: Loaded, values: FloatArray
) -> tuple[dict[str, float], float, list[list[Any]]]:
    """(groups, base log-odds, reasons) of one row (1, f), as stored in `Prediction`."""
    found = explain_rows(loaded, values)
    base, groups, why = _told(found, 0, values[0], loaded.reference)
    return json.loads(groups), base, json.loads(why)


def _living(
    cur: Cursor, org_id: int, population: NDArray[np.int64]
) -> NDArray[np.int64]:
    cur.execute(
        "SELECT id FROM cg_customer WHERE organization_id = %s "
        "AND merged_into_id IS NULL AND id = ANY(%s) ORDER BY id",
        [org_id, population.tolist()],
    )
    return np.array([row[0] for row in cur.fetchall()], dtype=np.int64)


class _Scores:
    """Scores of customers taken in set by set; of their features only those of the
    riskiest stay in memory."""

    def __init__(self, loaded: Loaded) -> None:
        self.tally = monitor.Tally(loaded.row)
        self._loaded = loaded
        self._sets: list[_Set] = []
        self._riskiest = np.empty(0, np.int64)
        self._values = np.empty((0, len(NAMES)))
        self._highest = np.empty(0)

    def add(self, snapshot: features.Snapshot) -> None:
        """Customers whose ids follow those added before."""
        values = snapshot.values
        z = self._loaded.log_odds(values)
        months = expected_months(self._loaded, z)
        hashes = features.row_hashes(values)
        self._sets.append(_Set(snapshot.customers, expit(z), months, hashes))
        self.tally.add(values, z)
        highest = np.concatenate([self._highest, z])
        best = np.sort(np.argsort(-highest, kind="stable")[:MOST_EXPLAINED])
        self._highest = highest[best]
        self._riskiest = np.concatenate([self._riskiest, snapshot.customers])[best]
        self._values = np.concatenate([self._values, values])[best]

    def mean_months(self) -> float:
        """Mean months until leaving, or as many as count where nothing is known."""
        known = [one.months for one in self._sets if one.months is not None]
        return float(np.mean(np.concatenate(known))) if known else MONTHS

    def explain(self) -> dict[int, tuple[float, str, str]]:
        """Customer -> (base, groups, reasons) of the riskiest."""
        if not len(self._riskiest):
            return {}
        found = explain_rows(self._loaded, self._values)
        return {
            customer: _told(found, place, self._values[place], self._loaded.reference)
            for place, customer in enumerate(self._riskiest.tolist())
        }

    def lines(
        self, reasons: dict[int, tuple[float, str, str]]
    ) -> Iterator[tuple[Any, ...]]:
        """What is stored of each customer, one after the other."""
        for one in self._sets:
            for place, customer in enumerate(one.customers.tolist()):
                base, groups, why = reasons.get(customer, (0.0, "{}", "[]"))
                stay = None if one.months is None else round(one.months.item(place), 3)
                p, digest = one.probabilities.item(place), one.hashes[place].hex()
                yield customer, p, base, groups, why, stay, digest


@dataclass(frozen=True, slots=True)
class _Set:
    """Customers scored at once; hashes: of their feature rows."""

    customers: NDArray[np.int64]
    probabilities: FloatArray
    months: FloatArray | None
    hashes: list[bytes]


def _told(
    found: explain.Explanation, place: int, values: FloatArray, reference: FloatArray
) -> tuple[float, str, str]:
    """(base, groups, reasons) as `Prediction` stores them: what raises the risk
    first, strongest first."""
    owner = {name: group for group, names in GROUPS.items() for name in names}
    effects = found.features[place]
    order = np.argsort(-effects, kind="stable")
    raising = [n for n in order[:MOST_RAISING] if effects[n] > SMALLEST_EFFECT]
    lowering = [n for n in order[::-1][:MOST_LOWERING] if effects[n] < -SMALLEST_EFFECT]
    why = [
        [
            NAMES[n],
            owner[NAMES[n]],
            round(float(effects[n]), 6),
            _plain(values[n]),
            _plain(reference[n]),
        ]
        for n in raising + lowering
    ]
    groups = dict(zip(found.group_names, found.groups[place].tolist(), strict=True))
    return float(found.base[place]), json.dumps(groups), json.dumps(why)


def _plain(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def _store(
    cur: Cursor,
    row: ModelVersion,
    cutoff: date,
    lines: Iterable[tuple[Any, ...]],
    months_at_stake: float,
) -> None:
    cur.execute(
        "CREATE TEMP TABLE IF NOT EXISTS prediction_stage (customer_id bigint, "
        "p double precision, base double precision, groups jsonb, reasons jsonb, "
        "months double precision, hash uuid) ON COMMIT DELETE ROWS"
    )
    cur.execute("DELETE FROM prediction_stage")
    with cur.copy("COPY prediction_stage FROM STDIN") as copy:
        for line in lines:
            copy.write_row(line)
    names = {
        "org": row.organization_id,
        "model": row.pk,
        "cutoff": cutoff,
        "months": months_at_stake,
        "old": cutoff - timedelta(days=KEEP_DAYS),
    }
    cur.execute(
        "INSERT INTO an_prediction (organization_id, customer_id, model_id, cutoff, "
        "  probability, base_log_odds, groups, reasons, expected_months, feature_hash) "
        "SELECT %(org)s, customer_id, %(model)s, %(cutoff)s, p, base, groups, reasons, "
        "  months, hash FROM prediction_stage "
        "ON CONFLICT (customer_id, cutoff, model_id) DO UPDATE SET "
        "  probability = excluded.probability, groups = excluded.groups, "
        "  base_log_odds = excluded.base_log_odds, reasons = excluded.reasons, "
        "  expected_months = excluded.expected_months, "
        "  feature_hash = excluded.feature_hash",
        names,
    )
    cur.execute(
        "UPDATE cg_customer c SET churn_probability = s.p, "
        "  risk_minor = round(s.p * c.mrr_minor * %(months)s) "
        "FROM (SELECT c.id, p.p FROM cg_customer c "
        "  LEFT JOIN prediction_stage p ON p.customer_id = c.id "
        "  WHERE c.organization_id = %(org)s ORDER BY c.id FOR NO KEY UPDATE OF c) s "
        "WHERE c.id = s.id AND (c.churn_probability IS DISTINCT FROM s.p "
        "  OR c.risk_minor IS DISTINCT FROM round(s.p * c.mrr_minor * %(months)s))",
        names,
    )
    cur.execute(
        "DELETE FROM an_prediction WHERE organization_id = %(org)s "
        "AND cutoff < %(old)s AND extract(day FROM cutoff) <> 1",
        names,
    )
