"""Zendesk's four ways to page, as rows with the cursor that is true after them.

Cursor exports (tickets, users): the cursor is kept for ever, also after the end of the
stream; a watermark of updated_at would lose what Zendesk generated later. Time exports
(organizations): start_time = the last end_time, inclusive, so the edge is read twice;
next_page is never null and says nothing. Metric events: cursor pages from a
start_time. Lists: cursor pages, newest first or by id.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from integrations.connectors.base import JsonDict, ReadRequest
from integrations.connectors.zendesk.account import LIST_SIZE, ZendeskAccount
from integrations.connectors.zendesk.records import rating_of
from integrations.loopguard import LoopGuard
from integrations.mapping import parse_time
from integrations.pagination import Step, rows_of

MOST_EXPORTED = 1000
ANSWERS_MAY_CHANGE = timedelta(days=30)
"""Ratings and survey answers are listed by creation and can be changed later: each
read goes back this far."""

Rows = Iterator[tuple[list[JsonDict], JsonDict]]


def read_rows(account: ZendeskAccount, stream: str, request: ReadRequest) -> Rows:
    """(rows, cursor) of each page of a stream."""
    cursor = dict(request.cursor or {})
    if stream in ("tickets", "users"):
        return _cursor_export(account, stream, request, cursor)
    if stream == "organizations":
        return _time_export(account, request, cursor)
    if stream == "sla_events":
        return _metric_events(account, request, cursor)
    if stream == "ticket_metrics":
        return _whole_list(account, stream, request, cursor)
    return _answers(account, stream, request, cursor)


def _cursor_export(
    account: ZendeskAccount, stream: str, request: ReadRequest, cursor: JsonDict
) -> Rows:
    guard = LoopGuard()
    start = int(cursor.get("start") or (unix(request.since) if request.since else 0))
    after = cursor.get("after")
    while True:
        params: JsonDict = {"per_page": _size(request, MOST_EXPORTED)}
        if after:
            params["cursor"] = after
        else:
            params["start_time"] = min(start, account.soonest_start())
        if stream == "tickets":
            params["include"] = "metric_sets,users,groups"
        asked_at = account.soonest_start()
        body = account.http.get_json(
            f"/incremental/{stream}/cursor.json", params=params, budget="export"
        )
        rows = rows_of(body, stream)
        is_end = body.get("end_of_stream") is not False
        after = body.get("after_cursor") or after
        if not is_end:
            guard.check(after, rows)
        if stream == "tickets":
            rows = _with_sideloads(rows, body)
        # The answer has all but the last minute before it was asked for.
        yield rows, {"after": after} if after else {"start": asked_at}
        if is_end or _all_later(rows, request.until):
            return


def _time_export(
    account: ZendeskAccount, request: ReadRequest, cursor: JsonDict
) -> Rows:
    start = int(cursor.get("start") or (unix(request.since) if request.since else 0))
    guard = LoopGuard()
    while True:
        if "list" in cursor:
            # More of them share one second than an export answer holds.
            yield from _crowded_second(account, request, start, cursor.pop("list"))
            start += 1
        start = min(start, account.soonest_start())
        body = account.http.get_json(
            "/incremental/organizations.json",
            params={"start_time": start, "per_page": _size(request, MOST_EXPORTED)},
            budget="export",
        )
        rows = rows_of(body, "organizations")
        end = int(body.get("end_time") or start)
        is_end = _ends(body, rows)
        if not is_end and end <= start:
            cursor["list"] = None
            yield rows, {"start": start, "list": None}
            continue
        if not is_end:
            guard.check(end, rows)
        yield rows, {"start": end}
        if is_end or _all_later(rows, request.until):
            return
        start = end


def _crowded_second(
    account: ZendeskAccount, request: ReadRequest, start: int, after: Any
) -> Rows:
    for step in _pages(account, "/organizations", "organizations", {}, request, after):
        place: JsonDict = {"start": start + 1}
        if step.position is not None:
            place = {"start": start, "list": step.position}
        yield step.items, place


def _metric_events(
    account: ZendeskAccount, request: ReadRequest, cursor: JsonDict
) -> Rows:
    """From the time of the last event, inclusive, with those of before that changed
    since: a breach is taken back where a ticket gets another agreement."""
    begun = int(cursor.get("begun") or account.soonest_start())
    since = int(cursor.get("since") or (unix(request.since) if request.since else 0))
    newest = int(cursor.get("newest") or since)
    start = min(since, account.soonest_start())
    for step in _pages(
        account,
        "/incremental/ticket_metric_events",
        "ticket_metric_events",
        {"start_time": start, "include_changes": "true"},
        request,
        cursor.get("after"),
        budget="export",
    ):
        newest = max([newest, *(unix_of(row, "time") for row in step.items)])
        # An event foreseen for later must not hide what happens until then.
        place: JsonDict = {"since": min(newest, begun)}
        if step.position is not None:
            place = {
                "since": since,
                "newest": newest,
                "begun": begun,
                "after": step.position,
            }
        yield step.items, place
        if _all_later(step.items, request.until):
            return


def _answers(
    account: ZendeskAccount, stream: str, request: ReadRequest, cursor: JsonDict
) -> Rows:
    """Ratings or survey responses made since some time before the last read began."""
    begun = int(cursor.get("begun") or account.soonest_start())
    since = int(cursor.get("since") or (unix(request.since) if request.since else 0))
    params: JsonDict = {}
    path = f"/{stream}"
    if stream == "survey_responses":
        path = "/guide/survey_responses"
        # This list alone counts in milliseconds.
        params["filter[created_at_start]"] = since * 1000 or None
    else:
        params["start_time"] = since or None
        # Each survey sent out is listed too, as "offered".
        params["score"] = "received"
    back = begun - int(ANSWERS_MAY_CHANGE.total_seconds())
    for step in _pages(account, path, stream, params, request, cursor.get("after")):
        place: JsonDict = {"since": max(0, back)}
        if step.position is not None:
            place = {"since": since, "begun": begun, "after": step.position}
        if stream == "survey_responses":
            yield [_with_scale(account, row) for row in step.items], place
        else:
            yield step.items, place


def _whole_list(
    account: ZendeskAccount, stream: str, request: ReadRequest, cursor: JsonDict
) -> Rows:
    after = cursor.get("after")
    for step in _pages(account, f"/{stream}", stream, {}, request, after):
        yield step.items, {"after": step.position} if step.position else {}


def list_organization_ids(account: ZendeskAccount) -> Iterator[list[str]]:
    """Every organization's id that exists now."""
    request = ReadRequest(mode="full", batch_size=LIST_SIZE)
    for step in _pages(account, "/organizations", "organizations", {}, request, None):
        yield [str(row["id"]) for row in step.items]


def _pages(
    account: ZendeskAccount,
    path: str,
    items: str,
    params: JsonDict,
    request: ReadRequest,
    after: Any,
    *,
    budget: str = "",
) -> Iterator[Step]:
    size = _size(request, LIST_SIZE)
    return account.pages(path, items, params, size=size, start=after, budget=budget)


def _with_scale(account: ZendeskAccount, row: JsonDict) -> JsonDict:
    """The response with the scale of its survey; the answer tells its rating alone."""
    survey = row.get("survey") or {}
    name = survey.get("id") or row.get("survey_id")
    version = survey.get("version") or row.get("survey_version")
    if not name or version is None or rating_of(row.get("answers")) is None:
        return row
    top = account.top_rating(str(name), str(version))
    return row if top is None else {**row, "sideloaded": {"top_rating": top}}


def _with_sideloads(rows: list[Any], body: JsonDict) -> list[JsonDict]:
    """The tickets with their metrics and the names of assignee and group."""
    metrics = {each.get("ticket_id"): each for each in body.get("metric_sets") or []}
    people = {each.get("id"): each for each in body.get("users") or []}
    groups = {each.get("id"): each for each in body.get("groups") or []}
    found = []
    for row in rows:
        person = people.get(row.get("assignee_id")) or {}
        names = {
            "assignee": person.get("email") or person.get("name"),
            "group": (groups.get(row.get("group_id")) or {}).get("name"),
        }
        metric_set = row.get("metric_set") or metrics.get(row.get("id"))
        extra: JsonDict = {"metric_set": metric_set} if metric_set else {}
        if any(names.values()):
            extra["sideloaded"] = {k: v for k, v in names.items() if v}
        found.append({**row, **extra})
    return found


def _ends(body: JsonDict, rows: list[Any]) -> bool:
    told = body.get("end_of_stream")
    if isinstance(told, bool):
        return told
    return int(body.get("count") or len(rows)) < MOST_EXPORTED


def _all_later(rows: list[JsonDict], until: datetime | None) -> bool:
    """Whether a back-fill has gone past its end."""
    return (
        until is not None
        and bool(rows)
        and all(changed_at(row) >= unix(until) for row in rows)
    )


def changed_at(row: JsonDict) -> int:
    """When Zendesk put this version of a row into its export, in unix seconds."""
    generated = row.get("generated_timestamp")
    if isinstance(generated, int):
        return generated
    name = next((n for n in ("updated_at", "time", "created_at") if row.get(n)), "")
    return unix_of(row, name)


def unix(at: datetime) -> int:
    return int(at.timestamp())


def unix_of(row: JsonDict, name: str) -> int:
    """0 for a missing or unreadable time."""
    try:
        return unix(parse_time(row.get(name)))
    except (ValueError, TypeError):
        return 0


def _size(request: ReadRequest, most: int) -> int:
    return max(1, min(request.batch_size, most))
