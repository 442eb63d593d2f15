"""The provider of `sync_sources`: pages of contacts from a file made beforehand.

Plain ASGI and one pread a request, so that it is never what a bench waits for.
`GET /contacts?limit=1000&after=0` -> {"rows": [..], "next": 1000 or null}; the page
size is that of the file, and `after` a number this server gave out.
"""

from __future__ import annotations

import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

PAGE = 1_000
FILE_VARIABLE = "BENCH_PAGES"
CITIES = ("Oslo", "Lisbon", "Graz", "Ghent", "Turku")
TITLES = ("Engineer", "Buyer", "Head of support", "Analyst")


def contacts(first: int, until: int, accounts: int) -> Iterator[dict[str, Any]]:
    """Contacts of about 430 bytes of JSON, one nested object, no list."""
    for n in range(first, until):
        day = f"20{20 + n % 6}-{1 + n * 7 % 12:02}-{1 + n * 13 % 28:02}"
        yield {
            "id": f"con-{n:08}",
            "account_id": f"acc-{n * 7919 % accounts:06}",
            "email": f"person.{n}@company-{n * 7919 % accounts}.example",
            "full_name": f"Person Number {n}",
            "phone": f"+1 555 {n % 10_000_000:07}",
            "job_title": TITLES[n % 4],
            "role": ("admin", "member")[n % 2],
            "created_at": f"{day}T08:30:{n % 60:02}Z",
            "updated_at": f"2026-0{1 + n % 9}-11T10:00:{n % 60:02}Z",
            "is_subscribed": n % 3 > 0,
            "login_count": n * 31 % 5_000,
            "balance": n * 17 % 100_000 / 100,
            "address": {"city": CITIES[n % 5], "country": "NO", "zip": f"{n % 9999}"},
            "note": "Asked for a call back about the renewal of the yearly plan.",
        }


def write_pages(path: Path, records: int, accounts: int) -> None:
    """The file, and beside it where each page begins."""
    starts = array("q", [0])
    with path.open("wb") as out:
        for first in range(0, records, PAGE):
            until = min(first + PAGE, records)
            page = {
                "rows": list(contacts(first, until, accounts)),
                "next": until if until < records else None,
            }
            out.write(json.dumps(page, separators=(",", ":")).encode())
            starts.append(out.tell())
    path.with_suffix(".starts").write_bytes(starts.tobytes())


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The ASGI application."""
    if scope["type"] != "http":
        return
    query = parse_qs(scope["query_string"].decode())
    number = int(query.get("after", ["0"])[0]) // PAGE
    body = _page(number)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_open: list[tuple[int, array[int]]] = []


def _page(number: int) -> bytes:
    if not _open:
        path = Path(os.environ[FILE_VARIABLE])
        starts = array("q")
        starts.frombytes(path.with_suffix(".starts").read_bytes())
        _open.append((os.open(path, os.O_RDONLY), starts))
    file, starts = _open[0]
    begin = starts[number]
    return os.pread(file, starts[number + 1] - begin, begin)
