"""Reading files of every kind, whole and broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard

from churnguard.errors import ConfigError
from integrations.tabular import reading

ROWS = [{"id": str(n), "name": f"Näme {n}"} for n in range(1, 8)]
CSV = "id,name\n" + "".join(f"{r['id']},{r['name']}\n" for r in ROWS)
NDJSON = "".join(json.dumps(row) + "\n" for row in ROWS)


def write(folder: Path, name: str, data: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def values(path: Path, **options: Any) -> list[dict[str, Any]]:
    return [row.values for row in reading.rows(path, **options)]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", CSV),
        ("a.csv", CSV.replace(",", ";")),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("a.csv", CSV.encode("cp1252")),
        ("a.csv", CSV.encode("utf-16")),
        ("a.csv.gz", gzip.compress(CSV.encode(), mtime=0)),
        ("a.csv.zst", zstandard.compress(CSV.encode())),
        ("a.ndjson", NDJSON),
        ("a.jsonl.gz", gzip.compress(NDJSON.encode(), mtime=0)),
        ("a.json", NDJSON),
        ("a.json", json.dumps(ROWS)),
        ("a.json", json.dumps({"records": ROWS}, indent=2)),
        ("a.json", b"\xef\xbb\xbf" + json.dumps(ROWS).encode()),
        # Gzip by its bytes, whatever it is called.
        ("a.csv", gzip.compress(CSV.encode(), mtime=0)),
    ],
)
def test_every_form_gives_the_same_rows(tmp_path: Path, name: str, data: Any) -> None:
    path = write(tmp_path, name, data)

    assert values(path) == ROWS
    assert values(path, skip=5) == ROWS[5:]
    assert reading.columns_of(path) == ["id", "name"]


def test_quoted_cells_may_hold_anything(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", 'id,text\n1,"a, ""b""\nsecond line"\n2,x\n')

    rows = list(reading.rows(path))

    assert rows[0].values["text"] == 'a, "b"\nsecond line'
    assert [(row.number, row.line) for row in rows] == [(1, 3), (2, 4)]


def test_broken_rows_are_named_by_line(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,name\n1,a\n2\n\n3,c,d,e\n4,d\n")

    rows = list(reading.rows(path))

    assert [(r.line, bool(r.error)) for r in rows] == [
        (2, False),
        (3, True),
        (5, True),
        (6, False),
    ]
    assert rows[1].error == "has 1 cells, the header has 2"


def test_broken_json_lines_do_not_stop_the_rest(tmp_path: Path) -> None:
    path = write(tmp_path, "a.ndjson", '{"a": 1}\n{"a": \n[1]\n{"a": 2}\n')

    rows = list(reading.rows(path))

    assert [bool(row.error) for row in rows] == [False, True, True, False]


def test_headers_that_are_missing_or_twice(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "id,,name,name\n1,2,3,4\n")

    assert values(path) == [{"id": "1", "column_2": "2", "name": "3", "name_2": "4"}]


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("a.csv.gz", gzip.compress(CSV.encode() * 99, mtime=0)[:-20], "damaged_file"),
        ("a.csv.zst", zstandard.compress(CSV.encode() * 99)[:-9], "damaged_file"),
        ("a.json", '[{"a": 1}, {"a": ', "damaged_file"),
        ("a.json", '{"a": 1}', ""),
        ("a.json", '"text"', "no_records"),
        ("a.csv", "", "empty_file"),
        ("a.csv", "\n\n", "empty_file"),
    ],
)
def test_files_that_are_no_tables(
    tmp_path: Path, name: str, data: Any, code: str
) -> None:
    path = write(tmp_path, name, data)
    if not code:
        assert values(path) == [{"a": 1}]
        return

    with pytest.raises(ConfigError) as caught:
        values(path)

    assert caught.value.code == code


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        values(tmp_path / "gone.csv")


def test_identity_knows_a_grown_file(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", CSV)
    before = reading.identify(path)
    path.write_text(CSV + "8,new\n")

    assert reading.identify(path).digest != before.digest
    assert reading.identify(path, only=before.size).digest == before.digest


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a.csv", "a"),
        ("a.csv.gz", "a"),
        ("report.2024.json.zst", "report.2024"),
        (".csv", ".csv"),
    ],
)
def test_stems(name: str, stem: str) -> None:
    assert reading.stem_of(name) == stem
