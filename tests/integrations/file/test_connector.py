"""The file connector: folders, positions, growth, links, bounds."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from churnguard.errors import ConfigError, RecordError
from integrations.connectors.base import Page, ReadRequest, Reject
from integrations.connectors.file import FileConnector

Make = Callable[..., FileConnector]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def connector(**settings: Any) -> FileConnector:
        return FileConnector(
            settings={"path": str(tmp_path), "roots": [str(tmp_path)], **settings},
            secrets={},
            now=lambda: datetime.now(UTC),
        )

    return connector


def accounts(count: int, start: int = 1) -> str:
    return "".join(f"a{n},Company {n}\n" for n in range(start, start + count))


def read(connector: FileConnector, cursor: Any = None, **options: Any) -> list[Page]:
    options.setdefault("batch_size", 4)
    (stream, *_rest) = connector.discover()
    request = ReadRequest(mode="incremental", cursor=cursor, **options)
    return list(connector.read(stream, request))


def ids(pages: list[Page]) -> list[str]:
    return [record.external_id for page in pages for record in page.records]


def test_each_file_is_a_stream(tmp_path: Path, make: Make) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,name\na1,One\n")
    (tmp_path / "contacts.ndjson").write_text('{"id": "p1", "account_id": "a1"}\n')
    (tmp_path / "notes.txt.bak").write_text("no table")
    connector = make()

    streams = connector.discover()

    assert [(s.name, s.record_type) for s in streams] == [
        ("accounts", "customer"),
        ("contacts", "contact"),
    ]
    assert connector.check().startswith("2 files, ")


def test_pages_carry_the_position(tmp_path: Path, make: Make) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,name\n" + accounts(10))

    pages = read(make())

    assert [page.cursor["row"] for page in pages] == [4, 8, 10, 10]
    assert [page.cursor["done"] for page in pages] == [False, False, False, True]
    assert pages[0].total == 10
    resumed = read(make(), cursor=pages[1].cursor)
    assert ids(resumed) == ["a9", "a10"]


def test_an_unchanged_file_is_not_read_again(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account_id,name\n" + accounts(5))
    last = read(make())[-1].cursor

    assert read(make(), cursor=last) == []
    path.touch()
    assert read(make(), cursor=last) == []


def test_a_grown_file_is_read_from_its_old_end(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "accounts.csv"
    path.write_text("account_id,name\n" + accounts(5))
    last = read(make())[-1].cursor
    path.write_text("account_id,name\n" + accounts(7))

    assert ids(read(make(), cursor=last)) == ["a6", "a7"]
    path.write_text("account_id,name\n" + accounts(7).replace("a1,", "b1,"))
    assert len(ids(read(make(), cursor=last))) == 7


def test_the_customer_comes_from_the_other_file(tmp_path: Path, make: Make) -> None:
    (tmp_path / "subscriptions.csv").write_text(
        "subscription_id,account_id,plan\ns1,a1,pro\ns2,a2,pro\n"
    )
    (tmp_path / "feature_usage.csv").write_text(
        "usage_id,subscription_id,usage_date,feature_name\n"
        "u1,s2,2024-01-01,export\nu2,s9,2024-01-01,export\n"
    )
    connector = make()
    usage = connector.discover()[-1]
    assert usage.depends_on == ("subscriptions",)

    (page, _end) = connector.read(usage, ReadRequest(mode="full"))

    (record,) = page.records
    assert record.customer_id == "a2"
    (reject,) = page.rejects
    assert (reject.code, reject.external_id) == ("unknown_reference", "u2")


def test_broken_rows_become_rejects_with_their_line(tmp_path: Path, make: Make) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,name\na1,One\na2\n,Three\n")

    (page, _end) = read(make())

    assert ids([page]) == ["a1"]
    assert [(r.code, r.raw["_line"]) for r in page.rejects] == [
        ("broken_row", 3),
        ("missing_id", 4),
    ]
    assert all(isinstance(reject, Reject) for reject in page.rejects)


def test_one_row_can_be_read_again(tmp_path: Path, make: Make) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,name\na1,One\n")
    connector = make()
    (stream,) = connector.discover()

    record = connector.parse(stream, {"account_id": "a2", "name": "Two", "_line": 3})

    assert record.external_id == "a2"
    assert "_line" not in record.raw
    with pytest.raises(RecordError):
        connector.parse(stream, {"name": "Nobody"})


def test_a_range_counts_the_rest_as_filtered(tmp_path: Path, make: Make) -> None:
    (tmp_path / "usage.csv").write_text(
        "usage_id,customer_id,usage_date\nu1,a1,2024-01-01\nu2,a1,2024-02-01\n"
    )

    (page, _end) = read(make(), since=datetime(2024, 1, 15, tzinfo=UTC))

    assert [record.event_id for record in page.records] == ["u2"]
    assert page.filtered == 1


def test_a_folder_outside_the_roots_is_refused(tmp_path: Path, make: Make) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "accounts.csv").write_text("account_id,name\na1,One\n")

    for path in (str(tmp_path), str(inside / ".."), "/etc"):
        with pytest.raises(ConfigError) as caught:
            make(path=path, roots=[str(inside)]).discover()
        assert caught.value.code == "path_not_allowed"
    with pytest.raises(ConfigError, match="slash"):
        make(path=str(inside), roots=[str(inside)], pattern="../*").discover()


def test_a_link_does_not_lead_out(tmp_path: Path, make: Make) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    secret = tmp_path / "secret.csv"
    secret.write_text("account_id,name\na1,One\n")
    (inside / "accounts.csv").symlink_to(secret)

    assert make(path=str(inside), roots=[str(inside)]).discover() == ()


def test_without_files_the_check_says_what_to_do(make: Make) -> None:
    with pytest.raises(ConfigError, match="Upload one"):
        make().check()


def test_rows_may_be_deleted_by_a_newer_file_if_asked(
    tmp_path: Path, make: Make
) -> None:
    (tmp_path / "accounts.csv").write_text("account_id,name\na1,One\n")

    assert make().discover()[0].deletes == "none"
    assert make(missing_rows="delete").discover()[0].deletes == "full"


def test_memory_stays_flat(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "usage.csv"
    with path.open("w") as file:
        file.write("usage_id,customer_id,usage_date,feature_name,usage_count\n")
        file.writelines(
            f"u{n},a{n % 50},2024-01-{n % 28 + 1:02d},export,{n % 9}\n"
            for n in range(60_000)
        )
    connector = make()
    (stream,) = connector.discover()
    tracemalloc.start()

    total = 0
    for page in connector.read(stream, ReadRequest(mode="full", batch_size=1000)):
        total += len(page.records)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert total == 60_000
    assert peak < 16 * 1024 * 1024
