"""Unknown files: odd delimiters, encodings, blanks, identifiers and leaks."""

from __future__ import annotations

import gzip
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zstandard

from analytics.churn import (
    columns,
    encoding,
    eventfile,
    metrics,
    static,
    table,
    target,
)
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
    frame = zstandard.ZstdCompressor().compress(b"a,b\n" + b"1,2\n" * 500)
    (tmp_path / "z.csv").write_bytes(frame + frame)
    (tmp_path / "cut.csv").write_bytes(frame[:-4])

    assert table.read_table(packed).columns == {"name": ["a, b", "c"], "n": ["1", "2"]}
    assert table.read_table(latin).columns["ville"] == ["Orléans", "Nîmes", "Lyon"]
    assert table.read_table(tmp_path / "z.csv").row_count == 1001
    with pytest.raises(ConfigError, match="ends too early"):
        table.read_table(tmp_path / "cut.csv")


def test_lines_above_the_header_and_line_breaks_in_cells_are_understood(
    tmp_path: Path,
) -> None:
    text = 'sep=;\nExport of May\na;b;c\n"1\n2";x,y;3\n4;5;6\n'
    read = table.read_table(_write(tmp_path, text))

    assert read.names == ("a", "b", "c")
    assert read.columns["a"] == ["1\n2", "4"]
    assert read.columns["b"] == ["x,y", "5"]


def test_a_wrong_column_name_gets_the_likely_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'Churn'"):
        table.find_name(("id", "Churn"), "chrun")


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
    read = columns.read_columns(data)
    leaks = encoding.find_leaks(read, y)
    encoder, matrix = encoding.learn([c for c in read if c.name not in leaks], y)

    assert set(leaks) == {"reason", "score"}
    assert leaks["reason"].startswith("leak: filled for one outcome")
    assert leaks["score"].startswith("leak: it separates")
    assert set(encoder.dropped) == {
        "CustomerId", "RowNumber", "code", "constant", "empty", "good_again",
        "plan_twin", "surname",
    }  # fmt: skip
    assert encoder.dropped["RowNumber"] == "identifier: a running number"
    assert encoder.dropped["constant"] == "constant: always 'x'"
    assert encoder.dropped["good_again"] == "same information as good"
    assert encoder.names == ["good", "blanks", "plan=basic", "signup"]
    assert matrix.shape == (400, 4)
    assert np.isnan(matrix[:, 1]).sum() == sum(cell == "" for cell in data["blanks"])
    np.testing.assert_array_equal(encoder.encode(read), matrix)


def test_new_rows_may_hold_unknown_levels_junk_and_lack_columns() -> None:
    data, y = _table()
    read = columns.read_columns(data)
    leaks = encoding.find_leaks(read, y)
    read = [column for column in read if column.name not in leaks]
    encoder, _ = encoding.learn(read, y)

    row = encoder.encode(columns.read_alike({name: ["???"] for name in data}, read))
    assert np.isnan(row[0, :2]).all()
    assert row[0, 2] == 0.0
    bare = encoder.encode(columns.read_alike({"plan": ["BASIC ", ""]}, read))
    assert np.isnan(bare[:, [0, 1, 3]]).all()
    assert bare[:, 2].tolist() == [1.0, 0.0]


def test_nothing_to_learn_from_is_said() -> None:
    read = columns.read_columns({"a": ["1"] * 50})
    with pytest.raises(ConfigError, match="No column is left"):
        encoding.learn(read, np.arange(50) % 2 * 1.0)


def test_a_column_filled_only_for_those_who_left_is_a_leak() -> None:
    random = np.random.default_rng(2)
    y = (np.arange(600) % 4 == 0).astype(float)
    half = [str(n % 9) if left and n % 8 == 0 else "" for n, left in enumerate(y)]
    fair = [str(n % 9) if random.random() < 0.2 else "" for n in range(600)]
    few = ["x" if n in (0, 4) else "" for n in range(600)]
    read = columns.read_columns({"exit_fee": half, "bonus": fair, "few": few})

    assert encoding.find_leaks(read, y) == {
        "exit_fee": "leak: filled only where the customer churned (75 rows)"
    }


def test_many_valued_categories_become_rates_counted_on_other_rows() -> None:
    random = np.random.default_rng(3)
    city = random.integers(0, 60, 3000)
    y = (random.random(3000) < np.where(city < 10, 0.8, 0.1)).astype(float)
    read = columns.read_columns({"city": [f"town {c}" for c in city]})
    encoder, matrix = encoding.learn(read, y)
    place = encoder.names.index("city (rate)")
    later = encoder.encode(read)

    assert metrics.auc(y, later[:, place]) > 0.8
    # The first row's own outcome must not move its own training value.
    flipped = y.copy()
    flipped[0] = 1 - flipped[0]
    assert encoding.learn(read, flipped)[1][0, place] == matrix[0, place]
    assert encoding.learn(read, flipped)[0].encode(read)[0, place] != later[0, place]


def test_columns_are_told_apart_by_what_they_hold() -> None:
    n = range(200)
    read = columns.read_columns(
        {
            "flag": [("Y", "no", "TRUE", "0")[k % 4] for k in n],
            "term": [f"{12 * (1 + k % 3)} months" for k in n],
            "dependents": [("0", "1", "2", "3+")[k % 4] for k in n],
            "mail": [f"u{k}@{('x.org', 'y.org')[k % 2]}" for k in n],
            "joined": [f"{1 + k % 28:02d}/03/2024" for k in n],
            "day": [f"202401{1 + k % 28:02d}" for k in n],
            "note": [f"call {k} about {('price', 'delay')[k % 2]} now" for k in n],
            "member_no": [str(1000 + k * 2 // 3) for k in n],
            "size": [("S ", "s", "L", "l")[k % 4] for k in n],
        }
    )
    kinds = {column.name: column.kind for column in read}
    by_name = {column.name: column for column in read}

    assert kinds == {
        "flag": "number", "term": "number", "dependents": "number",
        "mail": "category", "joined": "date", "day": "date", "note": "text",
        "member_no": "useless", "size": "category",
    }  # fmt: skip
    assert by_name["flag"].numbers[:4].tolist() == [1, 0, 1, 0]
    assert by_name["term"].numbers[:3].tolist() == [12, 24, 36]
    assert by_name["dependents"].levels == ("3+",)
    assert by_name["mail"].levels == ("x.org", "y.org")
    assert by_name["joined"].numbers[1] - by_name["joined"].numbers[0] == 1
    assert {"price", "delay"} <= set(by_name["note"].levels)
    assert by_name["size"].levels == ("l", "s")


@pytest.mark.parametrize(
    ("values", "positive", "told"),
    [
        (["yes"] * 30, None, "one value only"),
        (["a", "b", "c"] * 10, None, "--positive"),
        (["a", "b", "c"] * 10, "d", "No row has y = 'd'"),
        ([str(n / 7) for n in range(30)], None, "30 different numbers"),
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


@pytest.mark.parametrize(
    ("name", "values", "churned"),
    [
        ("Churn?", ["True.", "False.", "TRUE", "false"], [1, 0, 1, 0]),
        ("y", ["Attrited Customer", "Existing Customer"], [1, 0]),
        ("y", ["1.0", "0"], [1, 0]),
        ("y", ["left", "active"], [1, 0]),
        ("y", ["Yes", "n", "Y", "No"], [1, 0, 1, 0]),
        ("Retained", ["1", "0", "1"], [0, 1, 0]),
        ("y", ["gruen", "blau", "blau"], [1, 0, 0]),
    ],
)
def test_the_value_that_means_churned_is_found(
    name: str, values: list[str], churned: list[int]
) -> None:
    assert target.read_target(name, values, None).outcomes.tolist() == churned


def test_what_was_guessed_or_left_out_of_the_target_is_noted() -> None:
    missing = target.read_target("y", ["yes", "no", "", "NA"], None)
    odd = target.read_target("y", ["yes", "no"] * 100 + ["7"], None)
    three = target.read_target("y", ["gone", "here", "new"], "GONE")
    guess = target.read_target("y", ["red", "blue", "blue"], None)

    assert missing.rows.tolist() == [0, 1]
    assert missing.notes == ["2 rows have no y and were left out."]
    assert len(odd.outcomes) == 200
    assert odd.notes == [
        "y is neither yes nor no in some rows: '7' (1 rows), left out."
    ]
    assert three.outcomes.tolist() == [1, 0, 0]
    assert "Everything but 'GONE' counts as stayed" in three.notes[0]
    assert "the rarer one, 'red', counts as churned" in guess.notes[0]


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
        "1 rows have no who and were left out.",
        "1 rows have no readable when and were left out.",
        "1 rows have a negative sum: kept as refunds, not as activity.",
    ]
    with pytest.raises(ConfigError, match="column who holds no readable times"):
        eventfile.read_events(_write(tmp_path, text), customer="when", time="who")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.parquet", b"PAR1" + bytes(99), "a.parquet is a Parquet file; save it as C"),
        ("a.xls", b"\xd0\xcf\x11\xe0" + bytes(99), "an old Excel workbook"),
        ("a.json", b'[ {"churn": 1} ]', "is JSON; save it as CSV"),
        ("a.csv", b"<!DOCTYPE html><p>404", "a web page or XML"),
        ("b.csv", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("a.tar", b"x" * 257 + b"ustar" + bytes(99), "a tar archive; unpack it first"),
        ("a.bin", bytes(range(64)), "is not a text file with separated columns"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(
    tmp_path: Path, name: str, content: bytes, told: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=told):
        table.read_table(tmp_path / name)


def _archive(path: Path, members: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for name, text in members.items():
            packed.writestr(name, text)
    return path


def test_an_archive_of_one_table_is_opened(tmp_path: Path) -> None:
    members = {"data/": "", "data/t.csv": "a,b\n1,2\n", "__MACOSX/data/._t.csv": "x"}
    found = table.read_table(_archive(tmp_path / "t.zip", members))

    assert found.columns == {"a": ["1"], "b": ["2"]}


@pytest.mark.parametrize(
    ("members", "told"),
    [
        ({"xl/workbook.xml": "<x/>"}, "is a spreadsheet; save its table as CSV"),
        ({"a.csv": "a\n1", "b.csv": "b\n1"}, r"packs 2 files \(a.csv, b.csv\); unpack"),
        ({}, "packs 0 files"),
    ],
)
def test_other_archives_are_refused_with_a_reason(
    tmp_path: Path, members: dict[str, str], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        table.read_table(_archive(tmp_path / "t.zip", members))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_two_bytes_a_letter_need_no_mark(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t.csv").write_bytes("city,n\nZürich,1\nKöln,2\n".encode(encoding))

    assert table.read_table(tmp_path / "t.csv").columns["city"] == ["Zürich", "Köln"]


def test_blanks_separate_where_nothing_else_does(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text("id  day   amount\n 1  19970101   11.77\n 2  19970112   12.00\n")
    assert table.read_table(path).columns["amount"] == ["11.77", "12.00"]

    path.write_text("name\nAnna Smith\nBob Lee\n")
    assert table.read_table(path).columns == {"name": ["Anna Smith", "Bob Lee"]}
