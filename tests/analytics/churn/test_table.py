"""Unknown files: odd delimiters, encodings, blanks, identifiers and leaks."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from analytics.churn import cells, columns, eventfile, static, table
from churnguard.errors import ConfigError


def _write(folder: Path, text: str, name: str = "data.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_the_delimiter_is_guessed(tmp_path: Path, mark: str) -> None:
    rows = [["id", "a b", "c"], ["1", "x", "2"], ["2", "y", "3"], ["3", "z", "4"]]
    path = _write(tmp_path, "\n".join(mark.join(row) for row in rows))

    read = table.read_table(path)
    assert read.names == ("id", "a b", "c")
    assert read.columns["c"] == ["2", "3", "4"]


def test_gzip_byte_order_mark_latin_letters_and_quotes(tmp_path: Path) -> None:
    packed = tmp_path / "no_ending"
    packed.write_bytes(gzip.compress('\ufeffname,n\n"a, b",1\nc,2\n'.encode()))
    latin = tmp_path / "latin.csv"
    latin.write_bytes("ville;n\nOrléans;1\nNîmes;2\nLyon;3\n".encode("cp1252"))

    assert table.read_table(packed).columns == {"name": ["a, b", "c"], "n": ["1", "2"]}
    assert table.read_table(latin).columns["ville"] == ["Orléans", "Nîmes", "Lyon"]


def test_header_names_become_unique_and_never_empty(tmp_path: Path) -> None:
    path = _write(tmp_path, ",a,a, a \n1,2,3,4\n5,6,7,8\n")
    assert table.read_table(path).names == ("column_1", "a", "a_2", "a_3")


def test_uneven_rows_are_told_and_blank_lines_skipped(tmp_path: Path) -> None:
    read = table.read_table(_write(tmp_path, "a,b\n1,2\n\n3\n4,5,6\n"))

    assert read.columns == {"a": ["1", "3", "4"], "b": ["2", "", "5"]}
    assert read.notes == ["2 rows had more or fewer cells than the header."]


def test_rows_are_bounded_by_an_even_sample(tmp_path: Path) -> None:
    body = "\n".join(f"{n},{n % 2}" for n in range(5000))
    read = table.read_table(_write(tmp_path, f"n,y\n{body}\n"), max_cells=2000)

    assert read.row_count == 1000
    mean = np.mean([float(value) for value in read.columns["n"]])
    assert mean == pytest.approx(2500, rel=0.06)
    assert "1000 of 5000 rows were kept" in read.notes[0]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"a,b\n", "no data row"),
        (b"a\x00b\x00c", "not a text file"),
        (b"\x1f\x8b\x08broken", "cannot be opened"),
    ],
)
def test_unusable_files_say_so(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        table.read_table(path)
    with pytest.raises(ConfigError, match="There is no file"):
        table.read_table(tmp_path / "absent.csv")


@pytest.mark.parametrize(
    ("cell", "number"),
    [
        ("12", 12.0),
        (" -1.5e2 ", -150.0),
        ("1,234.50", 1234.5),
        ("1.234,50", 1234.5),
        ("3,5", 3.5),
        ("$1,200", 1200.0),
        ("45 %", 45.0),
        ("", None),
        ("abc", None),
        ("1-2", None),
        ("inf", None),
    ],
)
def test_numbers_in_many_dresses(cell: str, number: float | None) -> None:
    assert cells.parse_number(cell) == number


def test_dates_and_unix_times_become_days() -> None:
    assert cells.parse_date("1970-01-02") == 1.0
    assert cells.parse_date("1970-01-02T12:00:00Z") == 1.5
    assert cells.parse_days(["1500000000000", ""]) == [1_500_000_000 / 86400, None]
    assert cells.parse_days(["1500000000"]) == [1_500_000_000 / 86400]
    assert cells.parse_days(["19700103"]) == [2.0]
    assert cells.parse_days(["01/02/1970", "01/25/1970"]) == [1.0, 24.0]
    assert cells.parse_days(["01/02/1970", "25/01/1970"]) == [31.0, 24.0]


def _table(rows: int = 400) -> tuple[dict[str, list[str]], np.ndarray]:
    random = np.random.default_rng(0)
    y = (random.random(rows) < 0.4).astype(float)
    good = random.normal(size=rows) + y
    return {
        "CustomerId": [str(15_600_000 + 7 * n) for n in random.permutation(rows)],
        "RowNumber": [str(n + 1) for n in range(rows)],
        "code": [f"{n:05d}-X" for n in range(rows)],
        "constant": ["x"] * rows,
        "empty": ["", "NA"] * (rows // 2),
        "good": [f"{value:.4f}" for value in good],
        "good_again": [f"{3 * float(f'{v:.4f}') + 1:.4f}" for v in good],
        "blanks": ["" if n % 3 else f"{n % 7}" for n in range(rows)],
        "plan": ["basic", "gold"] * (rows // 2),
        "plan_twin": ["B", "G"] * (rows // 2),
        "surname": [f"name{n % (rows // 2)}" for n in range(rows)],
        "signup": [f"2024-0{1 + n % 9}-1{n % 10}" for n in range(rows)],
        "reason": ["price" if value else "" for value in y],
        "score": [f"{value * 10 + 1}" for value in y],
    }, y


def test_every_column_is_encoded_or_dropped_with_a_reason() -> None:
    data, y = _table()
    encoder = columns.learn(data, y, skip=set())

    assert set(encoder.dropped) == {
        "CustomerId", "RowNumber", "code", "constant", "empty", "good_again",
        "plan_twin", "surname", "reason", "score",
    }  # fmt: skip
    assert encoder.dropped["RowNumber"] == "identifier: a running number"
    assert encoder.dropped["constant"] == "constant: always 'x'"
    assert encoder.dropped["good_again"] == "same information as good"
    assert encoder.dropped["reason"].startswith("leak: filled for one outcome")
    assert encoder.dropped["score"].startswith("leak: it separates")
    assert encoder.names == ["good", "blanks", "plan=basic", "signup"]
    matrix = encoder.encode(data)
    assert matrix.shape == (400, 4)
    assert np.isnan(matrix[:, 1]).sum() == sum(cell == "" for cell in data["blanks"])


def test_new_rows_may_hold_unknown_levels_and_junk() -> None:
    data, y = _table()
    encoder = columns.learn(data, y, skip=set())
    new = {name: ["???"] for name in data}

    row = encoder.encode(new)
    assert np.isnan(row[0, :2]).all()
    assert row[0, 2] == 0.0
    with pytest.raises(ConfigError, match="no column 'good'"):
        encoder.encode({"plan": ["basic"]})


def test_nothing_to_learn_from_is_said() -> None:
    with pytest.raises(ConfigError, match="No column is left"):
        columns.learn({"a": ["1"] * 50}, np.arange(50) % 2 * 1.0, skip=set())


@pytest.mark.parametrize(
    ("values", "positive", "told"),
    [
        (["yes"] * 30, None, "one value only"),
        (["a", "b", "c"] * 10, None, "--positive"),
        (["red", "blue"] * 15, None, "mean churn"),
        (["yes", "no"] * 15, "maybe", "No row has"),
        (["yes", "no"], None, "Not enough outcomes"),
    ],
)
def test_unusable_targets_say_so(
    values: list[str], positive: str | None, told: str
) -> None:
    data = {"x": [str(n * n % 7) for n in range(len(values))], "y": values}
    raw = table.RawTable(("x", "y"), data, len(values))
    with pytest.raises(ConfigError, match=told):
        static.evaluate_cross_validated(raw, target="y", positive=positive)


def test_the_target_is_found_whatever_its_case_and_form() -> None:
    values = ["True.", "False."] * 3 + [""]
    raw = table.RawTable(("Churn?",), {"Churn?": values}, 7)
    _, outcomes, churned, notes = static.prepare(raw, "churn?", None)

    assert outcomes.tolist() == [1, 0] * 3
    assert churned == "True."
    assert notes == ["1 rows have no target and were left out."]
    with pytest.raises(ConfigError, match="There is no column 'gone'"):
        static.prepare(raw, "gone", None)


def test_event_files_are_read_whatever_their_columns(tmp_path: Path) -> None:
    text = "who;when;sum\na;03/01/2024 10:00;1,5\nb;25/01/2024;-2\n;01/01/2024;1\nc;x;1"
    file = eventfile.read_events(
        _write(tmp_path, text), customer="WHO", time="when", amount="sum"
    )

    assert file.rows == 4
    assert file.log.customer_ids.tolist() == ["a", "b"]
    assert file.log.first_day == (
        np.datetime64("2024-01-03") - np.datetime64(0, "D")
    ) / (np.timedelta64(1, "D"))
    assert file.notes == [
        "2 rows had no customer or no readable time.",
        "1 rows have a negative amount: kept as refunds, not as activity.",
    ]
    with pytest.raises(ConfigError, match="readable who"):
        eventfile.read_events(_write(tmp_path, text), customer="when", time="who")
