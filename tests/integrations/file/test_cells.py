"""Guessing what cells are, over a whole sample."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from churnguard.errors import RecordError
from integrations.tabular.cells import Kind, guess, reader


@pytest.mark.parametrize(
    ("name", "values", "kind"),
    [
        ("n", ["1", "2", ""], Kind("integer")),
        ("n", ["1.5", "2"], Kind("number", decimal=".")),
        ("n", ["1,234.50", "12"], Kind("number", decimal=".")),
        ("n", ["1.234,50", "12,00"], Kind("number", decimal=",")),
        ("n", ["1,234", "5,678,901"], Kind("integer", decimal=".")),
        ("n", ["1.234.567", "2.000.000"], Kind("integer", decimal=",")),
        ("price", ["$1,200.00", "$5.10"], Kind("number", decimal=".", currency="USD")),
        ("price", ["12,50 €", "3,00 €"], Kind("number", decimal=",", currency="EUR")),
        ("price", ["EUR 5", "EUR 7"], Kind("integer", currency="EUR")),
        ("zip", ["00123", "04567"], Kind("string")),
        ("flag", ["True", "False", ""], Kind("boolean")),
        ("is_trial", ["0", "1"], Kind("boolean")),
        ("count", ["0", "1"], Kind("integer")),
        ("d", ["2024-10-16", "2023-01-02"], Kind("date", order="iso")),
        ("d", ["2024-10-16 03:00:00"], Kind("datetime", order="iso")),
        ("d", ["2024-10-16T03:00:00Z", "2024-10-16T03:00:00+02:00"],
         Kind("datetime", order="iso")),
        ("d", ["01/02/2024", "13/02/2024"], Kind("date", order="dmy")),
        ("d", ["01/02/2024", "02/13/2024"], Kind("date", order="mdy")),
        ("d", ["01/02/2024"], Kind("date", order="mdy", is_ambiguous=True)),
        ("d", ["01.02.2024 14:30"],
         Kind("datetime", order="dmy", is_ambiguous=True)),
        ("d", ["13/02/2024", "02/13/2024"], Kind("string")),
        ("d", ["12 Jan 2024", "1 March 2024"], Kind("datetime", order="words")),
        ("d", ["2024/1/5", "2024/12/31"], Kind("datetime", order="ymd")),
        ("created_at", ["1704067200"], Kind("datetime", order="epoch_s")),
        ("timestamp", ["1704067200000"], Kind("datetime", order="epoch_ms")),
        ("amount", ["1704067200"], Kind("integer")),
        ("x", ["a", "1"], Kind("string")),
        ("x", [{"a": 1}], Kind("json")),
        ("x", ["", "null", None], Kind("string")),
    ],
)  # fmt: skip
def test_guess(name: str, values: list[Any], kind: Kind) -> None:
    assert guess(name, values) == kind


def test_a_few_broken_cells_do_not_change_the_guess() -> None:
    days = [f"{day:02d}/06/2024" for day in range(1, 29)]

    assert guess("d", [*days, "n.d."]) == Kind("date", order="dmy")
    assert guess("d", [*days[:10], "n.d.", "later", "?", "x"]) == Kind("string")


@pytest.mark.parametrize(
    ("kind", "cell", "value"),
    [
        (Kind("integer"), " 42 ", 42),
        (Kind("integer", decimal="."), "1,234", 1234),
        (Kind("number", decimal="."), "$1,234.5", 1234.5),
        (Kind("number", decimal=","), "1.234,5", 1234.5),
        (Kind("number", decimal=","), 7, 7.0),
        (Kind("number", decimal="."), "-3", -3.0),
        (Kind("boolean"), "Yes", True),
        (Kind("date", order="dmy"), "03/04/2024", datetime(2024, 4, 3, tzinfo=UTC)),
        (Kind("date", order="mdy"), "03/04/2024", datetime(2024, 3, 4, tzinfo=UTC)),
        (Kind("date", order="dmy"), "3.4.24", datetime(2024, 4, 3, tzinfo=UTC)),
        (Kind("datetime", order="mdy"), "3/4/2024 1:05 PM",
         datetime(2024, 3, 4, 13, 5, tzinfo=UTC)),
        (Kind("datetime", order="iso"), "2024-03-04T12:00:00+02:00",
         datetime(2024, 3, 4, 10, tzinfo=UTC)),
        (Kind("datetime", order="words"), "Mar 4, 2024",
         datetime(2024, 3, 4, tzinfo=UTC)),
        (Kind("datetime", order="epoch_ms"), "1704067200000",
         datetime(2024, 1, 1, tzinfo=UTC)),
        (Kind("integer"), "N/A", None),
        (Kind("string"), "  text ", "text"),
    ],
)  # fmt: skip
def test_read(kind: Kind, cell: Any, value: Any) -> None:
    assert reader(kind)(cell) == value


def test_times_without_a_zone_are_local() -> None:
    read = reader(Kind("datetime", order="iso"), "Europe/Berlin")

    assert read("2024-07-01 12:00") == datetime(2024, 7, 1, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        (Kind("integer"), "1.5"),
        (Kind("integer"), "many"),
        (Kind("number", decimal=","), "1,234.5"),
        (Kind("boolean"), "perhaps"),
        (Kind("date", order="dmy"), "31/02/2024"),
        (Kind("date", order="iso"), "soon"),
        (Kind("datetime", order="mdy"), "3/4/2024 13:05 PM"),
    ],
)
def test_what_does_not_fit_is_a_record_error(kind: Kind, cell: str) -> None:
    with pytest.raises(RecordError):
        reader(kind)(cell)
