"""The back-test and the weights: figures by hand, planted truth, honest refusal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from analytics import health
from analytics.definition import COMPONENTS, DEFAULT_SPEC, METRICS
from analytics.definitions import backtest, checks, weights
from analytics.definitions.looks import Look
from analytics.definitions.validation import check_spec
from analytics.facts.base import CustomerFacts, M
from analytics.models import DefinitionDraft, ScoreDefinition
from churnguard.models import AuditEntry, Organization, User
from tests.analytics.definitions.world import PATH
from tests.analytics.predict import company

Api = Callable[..., Any]


def look(day: int, left: list[int], *, first: int = 1, **values: list[float]) -> Look:
    """A look at accounts numbered from `first`, with these metrics."""
    n = len(left)
    facts = CustomerFacts.empty(n)
    facts.age_days[:] = 0.0
    for name, column in values.items():
        facts.values[:, M[name]] = column
    return Look(
        day=day,
        customers=np.arange(first, first + n),
        segments=[""] * n,
        facts=facts,
        outcomes=np.array(left, dtype=float),
        is_backfilled=False,
    )


def planted(
    looks: int, *, rows: int = 150, usage: float = 1.0, billing: float = 1.0
) -> list[Look]:
    """Looks 30 days apart where log-odds rise with points lost in two components."""
    random = np.random.default_rng(2)
    made = []
    for number in range(looks):
        active = random.uniform(0.3, 1.0, rows)
        late = random.uniform(0, 20, rows)
        lost = np.column_stack(
            [
                1 - np.interp(active, [0.3, 0.7, 1], [0, 0.6, 1]),
                1 - np.interp(-late, [-30, -7, 0], [0, 0.6, 1]),
            ]
        )
        log_odds = -3.2 + 5 * usage * lost[:, 0] + 5 * billing * lost[:, 1]
        y = random.random(rows) < 1 / (1 + np.exp(-log_odds))
        made.append(
            look(
                20_000 + 30 * number,
                y.astype(int).tolist(),
                first=1 + number * rows,
                active_days=active.tolist(),
                past_due=late.tolist(),
                failed_payments=[0.0] * rows,
            )
        )
    return made


def test_auc_equals_counting_pairs() -> None:
    risk = np.array([1.0, 3.0, 3.0, 2.0, 5.0, 4.0])
    left = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    times = np.array([1.0, 2.0, 1.0, 1.0, 1.0, 3.0])

    found = backtest.Ranking(risk, left).auc(times)

    pairs = [
        (times[a] * times[b], 1.0 if risk[a] > risk[b] else 0.5 * (risk[a] == risk[b]))
        for a, b in itertools.product([1, 3, 4], [0, 2, 5])
    ]
    expected = sum(n * won for n, won in pairs) / sum(n for n, _ in pairs)
    assert found == pytest.approx(expected)


def test_the_lowest_tenth_shares_ties_at_its_edge() -> None:
    exact = np.array([10.0, 20.0, 20.0, *range(30, 39)])
    left = np.zeros(12)
    left[[0, 1]] = 1

    # The tenth of 12 is 2 rows: the first, and half of the two at 20.
    assert backtest.lowest_tenth(exact, left) == 1.5


def test_a_back_test_by_hand() -> None:
    # past_due 30, 7, 3.5, 0 scores 0, 60, 80, 100 and is all that is known.
    two = [
        look(20_000, [1, 0, 0, 0], past_due=[30, 7, 3.5, 0]),
        look(20_030, [0, 1, 1, 0], past_due=[30, 7, 3.5, 0]),
    ]
    spec = check_spec({"components": {"billing": 1}})

    found = backtest.compare(two, {"active": spec})

    figures = found["definitions"]["active"]
    # 3 left, 5 stayed. Risk order: 0 | 60 | 80 | 100, each twice. The one who left at
    # 0 ties with one and beats four; at 60 it beats 3, ties 1; at 80 beats 2, ties 1.
    assert figures["auc"]["value"] == pytest.approx((4.5 + 3.5 + 2.5) / 15)
    assert figures["lowest_tenth"] == {"caught": 1.0, "left": 3.0, "share": 0.333333}
    assert [(b["band"], b["members"], b["left"]) for b in figures["bands"]] == [
        ("healthy", 4, 1),
        ("watch", 2, 1),
        ("at_risk", 2, 1),
        ("unknown", 0, 0),
    ]
    assert [(c["rows"], c["left"], c["auc"]) for c in figures["cutoffs"]] == [
        (4, 1, 1.0),
        (4, 2, 0.5),
    ]
    assert (found["rows"], found["left"], found["difference"]) == (8, 3, None)
    assert figures["cutoffs"][0]["cutoff"] == "2024-10-04"


def test_intervals_come_from_resampling_accounts_not_rows() -> None:
    drawn = backtest.draw_weights(np.array([7, 7, 9, 9, 9, 11]))

    assert (drawn[0] == 1).all()
    assert (drawn[:, 0] == drawn[:, 1]).all()
    assert (drawn[:, 2] == drawn[:, 3]).all()
    assert (drawn[:, 0] + drawn[:, 2] + drawn[:, 5] == 3).all()


def test_too_few_outcomes_are_said_with_the_numbers() -> None:
    few = [look(20_000, [1] * 19 + [0] * 40, past_due=[0.0] * 59)]

    with pytest.raises(backtest.NotEnoughOutcomesError) as caught:
        backtest.require_outcomes(few, 90)
    with pytest.raises(backtest.NotEnoughOutcomesError, match="60 days of history"):
        backtest.require_outcomes([], 90)

    assert caught.value.message == (
        "Not enough outcomes: 19 accounts left and 40 stayed over 1 monthly looks. A "
        "back-test needs at least 20 of each."
    )


def test_weights_lean_to_the_component_that_tells() -> None:
    found = weights.suggest(planted(14, usage=0.0), DEFAULT_SPEC, 90)

    assert found["is_better"]
    assert found["weights"]["billing"] > 40 > 12 > found["weights"]["usage"]
    assert sum(found["weights"].values()) == 100
    # Never seen, so nothing speaks for or against them.
    for name in ("support", "engagement", "sentiment"):
        assert found["weights"][name] == DEFAULT_SPEC["components"][name]
    evidence = found["evidence"]
    assert evidence["difference"]["low"] > 0
    assert found["learned_from"]["last_cutoff"] < found["judged_on"]["first_cutoff"]
    assert found["verdict"].startswith("These weights tell better who leaves.")


def test_weights_that_are_right_already_are_kept() -> None:
    found = weights.suggest(planted(14, usage=1.0, billing=20 / 35), DEFAULT_SPEC, 90)

    assert not found["is_better"]
    assert abs(found["weights"]["usage"] - 35) <= 8


def test_what_is_learned_from_was_known_when_it_is_judged() -> None:
    older, newer = weights.split(planted(12), 100)

    assert older[-1].day + 100 <= newer[0].day
    with pytest.raises(backtest.NotEnoughOutcomesError, match="100 days apart"):
        weights.split(planted(3), 100)


def test_no_weight_is_negative_when_a_loss_lowers_the_risk() -> None:
    found = weights.suggest(planted(14, usage=-0.5), DEFAULT_SPEC, 90)

    assert found["weights"]["usage"] == 0
    assert min(found["weights"].values()) >= 0


@st.composite
def specs(draw: st.DrawFn) -> dict[str, Any]:
    """Any valid definition."""
    weight = st.one_of(st.just(0), st.floats(0.001, 1000), st.integers(1, 1000))
    out: dict[str, Any] = {"components": {}, "metrics": {}, "caps": {}, "bands": {}}
    for metric in METRICS:
        usual = metric.anchors
        three = draw(
            st.lists(st.integers(-1000, 1000), min_size=3, max_size=3, unique=True)
        )
        out["metrics"][metric.name] = {
            "enabled": draw(st.booleans()),
            "weight": draw(weight),
            "anchors": sorted(three, reverse=usual[0] > usual[2]),
            "grace_days": draw(st.integers(0, 3650)),
            "half_life_days": draw(st.floats(0.5, 3650)),
        }
    for name in COMPONENTS:
        own = [out["metrics"][m.name] for m in METRICS if m.component == name]
        usable = any(m["enabled"] and m["weight"] for m in own)
        out["components"][name] = draw(weight) if usable else 0
    if not any(out["components"].values()):
        out["components"]["usage"] = 1
        out["metrics"]["active_days"].update(enabled=True, weight=1)
    for name in DEFAULT_SPEC["caps"]:
        out["caps"][name] = draw(st.one_of(st.none(), st.floats(0, 100)))
    return out


@settings(max_examples=60, deadline=None)
@given(
    spec=specs(),
    values=hnp.arrays(
        float,
        (3, len(METRICS)),
        elements=st.one_of(st.just(np.nan), st.floats(-2000, 2000)),
    ),
    ages=hnp.arrays(
        float, (3, len(METRICS)), elements=st.one_of(st.just(np.nan), st.floats(0, 900))
    ),
    prior=hnp.arrays(float, (3, len(METRICS)), elements=st.floats(0, 100)),
    ordinary=hnp.arrays(bool, (3, len(METRICS))),
    capped=hnp.arrays(bool, (3, len(health.CAPS))),
)
def test_every_valid_definition_keeps_the_ledger_exact(
    spec: dict[str, Any], values: Any, ages: Any, prior: Any, ordinary: Any, capped: Any
) -> None:
    checked = check_spec(spec)

    scores = health.compute(
        health.Facts(values, ages, prior, ordinary, capped), checked
    )

    assert check_spec(checked) == checked
    for row in np.flatnonzero(scores.known):
        assert 0 <= scores.score[row] <= 100
        assert scores.score[row] + scores.losses[row].sum() == 100
        assert 0 <= scores.coverage_pct[row] <= 100
    off = [M[name] for name, m in spec["metrics"].items() if not m["enabled"]]
    assert (scores.losses[:, off] == 0).all()


@pytest.mark.django_db
def test_back_test_and_weights_through_the_door(
    org: Organization, alice: User, api: Api
) -> None:
    company.build(org, accounts=56, leavers=0.7)
    client = api(alice)
    client.put(f"{PATH}/draft", {"spec": {"components": {"support": 1}}}, format="json")

    asked = client.post(f"{PATH}/backtest", {}, format="json")
    learn = client.post(f"{PATH}/suggestions", {}, format="json")

    assert (asked.status_code, learn.status_code) == (202, 202)
    assert checks.work(company.NOW) + checks.work(company.NOW) == 2
    done = client.get(f"{PATH}/checks/{asked.json()['check_id']}").json()
    assert done["state"] == "succeeded"
    found = done["result"]
    active, draft = (found["definitions"][name] for name in ("active", "draft"))
    # Use fades before the end, tickets tell nothing.
    assert active["auc"]["low"] > 0.6 > draft["auc"]["low"]
    assert found["difference"]["high"] < 0
    for figures in (active, draft):
        assert sum(band["members"] for band in figures["bands"]) == found["rows"]
        assert sum(band["left"] for band in figures["bands"]) == found["left"]
        assert sum(look["rows"] for look in figures["cutoffs"]) == found["rows"]
    assert found["leavers"] >= 20
    suggestion = client.get(f"{PATH}/checks/{learn.json()['check_id']}").json()
    assert suggestion["state"] in ("succeeded", "refused")
    assert suggestion["message"]
    assert ScoreDefinition.objects.count() == 1


@pytest.mark.django_db
def test_few_outcomes_are_refused_in_words(
    org: Organization, alice: User, api: Api
) -> None:
    company.build(org, accounts=12, leavers=0.2)
    client = api(alice)

    client.post(f"{PATH}/backtest", {}, format="json")
    checks.work(company.NOW)

    found = client.get(f"{PATH}/backtest").json()["results"][0]
    assert (found["state"], found["result"]) == ("refused", None)
    assert "A back-test needs at least 20 of each." in found["message"]


@pytest.mark.django_db
def test_the_page_offers_better_weights_and_leads_to_their_preview(
    org: Organization, alice: User, client: Client
) -> None:
    client.force_login(alice)
    page = "/health-definition/backtest/"
    client.post("/health-definition/check/", {"kind": "suggestion"})
    waiting = client.get(page).content.decode()
    made = weights.suggest(planted(14, usage=0.0), DEFAULT_SPEC, 90)
    checks.DefinitionCheck.objects.update(state="succeeded", result=made)

    offered = client.get(page).content.decode()
    taken = client.post("/health-definition/accept/")

    assert "This is being computed." in waiting
    assert "Take them into a draft" in offered
    assert "These weights tell better who leaves." in offered
    assert (taken.status_code, taken.url) == (302, "/health-definition/preview/")
    assert DefinitionDraft.objects.get().spec["components"] == made["weights"]
    assert ScoreDefinition.objects.count() == 1


@pytest.mark.django_db
def test_accepted_weights_are_a_draft_and_score_nobody(
    org: Organization, alice: User, api: Api
) -> None:
    client = api(alice)
    refused = client.post(f"{PATH}/suggestions/accept", {}, format="json")
    learn = client.post(f"{PATH}/suggestions", {}, format="json").json()
    made = weights.suggest(planted(14, usage=0.0), DEFAULT_SPEC, 90)
    checks.DefinitionCheck.objects.filter(public_id=learn["check_id"]).update(
        state="succeeded", result={**made, "is_better": False}
    )
    not_better = client.post(f"{PATH}/suggestions/accept", {}, format="json")
    checks.DefinitionCheck.objects.update(result=made)

    taken = client.post(f"{PATH}/suggestions/accept", {}, format="json")

    assert (refused.status_code, refused.json()["code"]) == (400, "no_suggestion")
    assert (not_better.status_code, not_better.json()["code"]) == (400, "not_better")
    draft = taken.json()["draft"]
    assert draft["spec"]["components"] == made["weights"]
    assert draft["origin"] == "suggested weights"
    assert taken.json()["version"] == 1
    assert ScoreDefinition.objects.get().spec["components"]["usage"] == 35
    assert DefinitionDraft.objects.count() == 1
    assert AuditEntry.objects.get().action == "health_definition.draft_kept"
