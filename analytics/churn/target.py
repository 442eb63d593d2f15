"""The outcome column of an unknown table: which of its values means churned."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analytics.churn.cells import is_missing
from analytics.churn.readings import NumberReading, read_number
from churnguard.errors import ConfigError

FloatArray = NDArray[np.float64]

POSITIVE = (
    frozenset(("1", "yes", "y", "true", "t", "on", "churn", "churned", "churner"))
    | frozenset(
        ("churners", "exited", "exit", "left", "lost", "leave", "leaver", "gone")
    )
    | frozenset(("attrited", "attrited customer", "attrition", "cancelled", "canceled"))
    | frozenset(
        ("cancel", "inactive", "terminated", "closed", "lapsed", "quit", "dead")
    )
    | frozenset(("unsubscribed", "resigned", "departed", "deactivated", "expired"))
    | frozenset(
        ("not renewed", "non-renewed", "dropped", "defected", "former", "ended")
    )
    | frozenset(("oui", "ja", "si", "sí", "sim", "tak", "evet"))
    | frozenset(("vrai", "wahr", "verdadero", "verdadeiro", "vero"))
)
NEGATIVE = (
    frozenset(("0", "-1", "no", "n", "false", "f", "off", "stayed", "retained", "stay"))
    | frozenset(("active", "existing customer", "existing", "current", "not churned"))
    | frozenset(
        ("no churn", "non-churn", "nonchurn", "not churn", "non-churner", "loyal")
    )
    | frozenset(("not_churned", "no_churn", "renewed", "alive", "open", "subscribed"))
    | frozenset(("retain", "remained", "not exited", "not left", "continuing", "kept"))
    | frozenset(("non", "nein", "nee", "nej", "não", "nao", "nie", "hayır"))
    | frozenset(("faux", "falsch", "falso"))
)
PLAIN_WORDS = frozenset(("1", "0", "yes", "no", "y", "n", "true", "false", "t", "f"))
STAYING_NAME = re.compile(
    r"^(?:is|has|was|still)?[_\W]*(?:customer[_\W]*)?(?:retained|retention|active|"
    r"renewed|renewal|stayed|alive|subscribed|subscriber|loyal|is_?active)$",
    re.IGNORECASE,
)
SHOWN = 8
ODD_SHARE = 0.01
"""So few rows with a third value beside a known pair are faults, no third outcome."""


@dataclass(frozen=True, slots=True)
class Target:
    """Which rows have an outcome, the outcomes, and what the values were taken for."""

    rows: NDArray[np.int64]
    outcomes: FloatArray
    positive: str
    """The value that means churned, as it stands in the file."""
    churned: frozenset[str]
    """All forms of it, normalised."""
    notes: list[str]


def read_target(name: str, values: list[str], positive: str | None) -> Target:
    """The outcomes of one file. Rows with a blank target are left out.

    Without `positive` two values must be a known pair (yes/no, Exited/Stayed, ...),
    else the rarer one counts as churned and a note says so. Raises ConfigError where
    there are more than two values, or one.
    """
    known = [place for place, value in enumerate(values) if not is_missing(value)]
    notes = []
    if len(known) < len(values):
        notes.append(
            f"{len(values) - len(known)} rows have no {name} and were left out."
        )
    forms = [_form(values[place]) for place in known]
    counts = Counter(forms)
    shown = {_form(values[place]): values[place].strip() for place in reversed(known)}
    if len(counts) == 0:
        raise ConfigError(f"Every row has a blank {name}: nothing to learn.")
    if positive is not None:
        churned = _given(name, positive, counts, shown)
        if len(counts) > 2:
            others = [form for form in counts if form not in churned]
            stayed = _listed(others, counts, shown)
            notes.append(f"Everything but {positive!r} counts as stayed: {stayed}.")
    else:
        churned, odd = _guessed(name, counts, shown, notes)
        if odd:
            known = [p for p, form in zip(known, forms, strict=True) if form not in odd]
            forms = [form for form in forms if form not in odd]
    outcomes = np.array([form in churned for form in forms], dtype=np.float64)
    if outcomes.all():
        raise ConfigError(
            f"Every row has {name} = {_listed(sorted(churned), counts, shown)}: only "
            "one outcome, nothing to learn."
        )
    positive = next(shown[form] for form in counts if form in churned)
    return Target(
        np.array(known, dtype=np.int64), outcomes, positive, frozenset(churned), notes
    )


def read_other_target(name: str, values: list[str], first: Target) -> Target:
    """The outcomes of a second file, read as those of the first; either may be absent.

    Raises ConfigError where no row has an outcome.
    """
    known = [place for place, value in enumerate(values) if not is_missing(value)]
    if not known:
        raise ConfigError(f"Every row of the test file has a blank {name}.")
    notes = []
    if len(known) < len(values):
        missing = len(values) - len(known)
        notes.append(f"{missing} test rows have no {name} and were left out.")
    outcomes = np.array(
        [_form(values[place]) in first.churned for place in known], dtype=np.float64
    )
    if outcomes.min() == outcomes.max():
        only = "churned" if outcomes[0] else "stayed"
        notes.append(
            f"All test rows {only}: figures that need both outcomes are undefined."
        )
    return Target(
        np.array(known, dtype=np.int64), outcomes, first.positive, first.churned, notes
    )


def _given(
    name: str, positive: str, counts: Counter[str], shown: dict[str, str]
) -> set[str]:
    wanted = _form(positive)
    if wanted not in counts:
        legal = _listed(list(counts), counts, shown)
        raise ConfigError(f"No row has {name} = {positive!r}; its values are: {legal}.")
    return {wanted}


def _guessed(
    name: str, counts: Counter[str], shown: dict[str, str], notes: list[str]
) -> tuple[set[str], set[str]]:
    """The forms that mean churned, and the few faulty ones that mean nothing."""
    if len(counts) == 1:
        only = next(iter(shown.values()))
        raise ConfigError(
            f"The target {name} has one value only ({only!r}): nothing to learn."
        )
    yes = {form for form in counts if form in POSITIVE}
    no = {form for form in counts if form in NEGATIVE}
    odd = counts.keys() - yes - no
    if yes and no and sum(counts[form] for form in odd) <= ODD_SHARE * counts.total():
        if odd:
            told = _listed(sorted(odd), counts, shown)
            notes.append(
                f"{name} is neither yes nor no in some rows: {told}, left out."
            )
    elif len(counts) > 2:
        raise ConfigError(_too_many(name, counts, shown))
    if STAYING_NAME.search(name) and counts.keys() <= PLAIN_WORDS and yes and no:
        told = _listed(sorted(no), counts, shown)
        notes.append(
            f"{name} speaks of staying, so {told} counts as churned; say otherwise "
            "with --positive."
        )
        return no, odd
    if yes and no:
        return yes, odd
    if len(yes) == 1 or len(no) == 1:
        left = yes if len(yes) == 1 else set(counts.keys() - no)
        told = _listed(sorted(left), counts, shown)
        notes.append(
            f"{told} of {name} counts as churned; say otherwise with --positive."
        )
        return left, set()
    rarer = min(counts, key=lambda form: (counts[form], form))
    notes.append(
        f"Neither value of {name} is a known word for leaving: the rarer one, "
        f"{shown[rarer]!r}, counts as churned; say otherwise with --positive."
    )
    return {rarer}, set()


def _too_many(name: str, counts: Counter[str], shown: dict[str, str]) -> str:
    listed = _listed(list(counts), counts, shown)
    numbers = sum(
        read_number(shown[form], NumberReading()) is not None for form in counts
    )
    if numbers == len(counts) > SHOWN:
        return (
            f"The target {name} holds {len(counts)} different numbers ({listed}); a "
            "churn outcome has two values. Name another column with --target, or the "
            "one number that means churned with --positive."
        )
    return (
        f"The target {name} has {len(counts)} values ({listed}); say which one means "
        "churned with --positive VALUE. All rows with another value then count as "
        "stayed."
    )


def _listed(forms: list[str], counts: Counter[str], shown: dict[str, str]) -> str:
    ranked = sorted(forms, key=lambda form: (-counts[form], form))
    parts = [f"{shown[form]!r} ({counts[form]} rows)" for form in ranked[:SHOWN]]
    more = len(ranked) - SHOWN
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _form(value: str) -> str:
    """One form for all spellings: "True.", "TRUE" and "true"; "1", "1.0" and "1,0"."""
    text = " ".join(value.split()).casefold().strip(" .!")
    number = read_number(text.replace(",", "."), NumberReading())
    if number is None:
        return text
    return str(int(number)) if number == int(number) else repr(number)
