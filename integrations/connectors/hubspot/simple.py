"""HubSpot's lists that are read as a whole: owners, pipelines, marketing events and
who took part in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from churnguard.errors import RecordError
from churnguard.records import AnyRecord
from integrations.connectors.base import JsonDict, Page, ReadRequest, Reject, Stream
from integrations.connectors.hubspot import records
from integrations.connectors.hubspot.paths import Paths
from integrations.http import Client
from integrations.pagination import Step, pages_by_cursor

PARTICIPATIONS = "marketing_event_participations"
STREAMS = (
    Stream("owners", "object", deletes="full", label="Owners"),
    Stream("pipelines", "object", deletes="full", label="Pipelines"),
    Stream(
        "marketing_events",
        "object",
        deletes="full",
        selected_by_default=False,
        label="Marketing events",
    ),
    Stream(
        PARTICIPATIONS,
        "campaign_engagement",
        deletes="full",
        selected_by_default=False,
        label="Marketing event participations",
        depends_on=("contacts",),
    ),
)
NAMES = frozenset(stream.name for stream in STREAMS)
WITH_PIPELINES = ("deals", "tickets")


@dataclass(frozen=True, slots=True)
class Source:
    """Where to ask."""

    http: Client
    paths: Paths

    def pages(
        self, path: str, after: str | None, size: int, *, archived: bool = False
    ) -> Iterator[Step]:
        def fetch(params: JsonDict) -> Any:
            params["archived"] = "true" if archived else None
            return self.http.get_json(path, params=params)

        return pages_by_cursor(
            fetch,
            items="results",
            cursor="paging.next.after",
            cursor_param="after",
            size_param="limit",
            size=min(100, max(1, size)),
            start=after,
        )


def read(source: Source, name: str, request: ReadRequest) -> Iterator[Page]:
    """Every object of one of `STREAMS`."""
    after = (request.cursor or {}).get("after")
    if name == "pipelines":
        yield _read_pipelines(source)
    elif name == PARTICIPATIONS:
        yield from _read_participations(source, request)
    else:
        path = (
            source.paths.owners if name == "owners" else source.paths.marketing_events()
        )
        for step in source.pages(path, after, request.batch_size):
            yield _page(name, step.items, {"after": step.position})


def parse(name: str, raw: JsonDict) -> AnyRecord:
    """The record of one raw object. Raises RecordError."""
    if name == PARTICIPATIONS:
        found = records.participation(raw.get("event") or {}, raw)
        if found is None:
            raise RecordError(
                "This state of participation has no place in our model.",
                code="unknown_state",
                field="properties.attendanceState",
            )
        return found
    return records.simple_object(name, _id_of(name, raw), raw)


def owner_names(source: Source) -> dict[str, str]:
    """Owner id -> e-mail address, else name; of those who left, too."""
    found: dict[str, str] = {}
    for archived in (True, False):
        steps = source.pages(source.paths.owners, None, 100, archived=archived)
        for row in (row for step in steps for row in step.items):
            names = (row.get("firstName"), row.get("lastName"))
            name = " ".join(filter(None, names))
            found[str(row["id"])] = row.get("email") or name or str(row["id"])
    return found


def _read_pipelines(source: Source) -> Page:
    rows = []
    for kind in WITH_PIPELINES:
        answer = source.http.get_json(source.paths.pipelines(kind))
        rows += [{**row, "objectType": kind} for row in answer.get("results") or []]
    return _page("pipelines", rows, {})


def _read_participations(source: Source, request: ReadRequest) -> Iterator[Page]:
    """Event by event; the cursor is the page of events that is finished."""
    size = request.batch_size
    after = (request.cursor or {}).get("after")
    for events in source.pages(source.paths.marketing_events(), after, size):
        cursor = {"after": after}
        for event in events.items:
            brief = {name: event.get(name) for name in ("objectId", "eventName")}
            tail = f"/participations/{event['objectId']}/breakdown"
            path = source.paths.marketing_events(tail)
            for step in source.pages(path, None, size):
                rows = [{**row, "event": brief} for row in step.items]
                yield _page(PARTICIPATIONS, rows, dict(cursor))
        after = events.position
    yield Page(records=[], cursor={"after": None})


def _page(name: str, rows: list[JsonDict], cursor: JsonDict) -> Page:
    made: list[AnyRecord] = []
    rejects: list[Reject] = []
    left_out = 0
    for row in rows:
        try:
            if name == PARTICIPATIONS:
                found = records.participation(row["event"], row)
                if found is None:
                    left_out += 1
                    continue
                made.append(found)
            else:
                made.append(records.simple_object(name, _id_of(name, row), row))
        except RecordError as exc:
            rejects.append(Reject.of(exc, row, str(row.get("id") or "")))
    return Page(records=made, rejects=rejects, cursor=cursor, filtered=left_out)


def _id_of(name: str, row: JsonDict) -> str:
    """Pipelines of different objects may share an id."""
    found = row.get("objectId") if name == "marketing_events" else row.get("id")
    if not found:
        raise RecordError("The object has no id.", code="missing_id", field="id")
    return f"{row['objectType']}:{found}" if name == "pipelines" else str(found)
