"""User and group profiles, page by page of one query session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from churnguard.errors import RecordError
from churnguard.records import AnyRecord
from integrations.connectors.base import JsonDict, Page, ReadRequest, Reject
from integrations.connectors.mixpanel.project import MixpanelProject
from integrations.http import RefusedError
from integrations.loopguard import LoopGuard
from integrations.mapping import parse_time
from integrations.pagination import rows_of

LOOKBACK = timedelta(hours=1)
PAGE_SIZE = 1000


@dataclass(frozen=True, slots=True)
class ProfileReader:
    """group_id: Mixpanel's data_group_id, "" for users. make: a profile's record."""

    project: MixpanelProject
    request: ReadRequest
    group_id: str
    make: Callable[[JsonDict], AnyRecord]

    def pages(self) -> Iterator[Page]:
        """Pages of at most batch_size profiles; the cursor is the page of Mixpanel's
        session, and at the end the latest $last_seen."""
        cursor = dict(self.request.cursor or {})
        since = str(cursor.get("since") or "")
        newest = str(cursor.get("newest") or since)
        number, session = int(cursor.get("page") or 0), cursor.get("session")
        guard = LoopGuard()
        has_restarted = False
        while True:
            try:
                body = self._ask(number, session, since)
            except RefusedError as refusal:
                # Sessions end; the pages are then counted from the first again.
                if refusal.status != 400 or not number or has_restarted:
                    raise
                number, session, has_restarted = 0, None, True
                guard = LoopGuard()
                continue
            rows = rows_of(body, "results")
            is_last = len(rows) < int(body.get("page_size") or PAGE_SIZE)
            newest = max([newest, *map(_last_seen, rows)])
            here: JsonDict = {"since": since, "newest": newest}
            if number:
                here.update(page=number, session=session)
            session = body.get("session_id") or session
            number += 1
            following: JsonDict = {"since": newest}
            if not is_last:
                guard.check(number, rows)
                following = {**here, "page": number, "session": session}
            yield from self._split(rows, here, following, body.get("total"))
            if is_last:
                return

    def _ask(self, number: int, session: Any, since: str) -> JsonDict:
        form: JsonDict = {}
        if number:
            form.update(page=number, session_id=session)
        if where := self._where(since):
            form["where"] = where
        if self.group_id:
            form["data_group_id"] = self.group_id
        body: JsonDict = self.project.query.post_json(
            "/engage",
            params=self.project.params,
            data=form,
            idempotent=True,
            budget="query",
        )
        return body

    def _where(self, since: str) -> str:
        """Mixpanel's expression for what was seen in the range to read."""
        limits = []
        if self.request.since is not None:
            limits.append((">=", self.request.since))
        elif since:
            limits.append((">=", parse_time(since) - LOOKBACK))
        if self.request.until is not None:
            limits.append(("<", self.request.until))
        return " and ".join(
            f'properties["$last_seen"] {sign} "{_written(moment)}"'
            for sign, moment in limits
        )

    def _split(
        self, rows: list[JsonDict], here: JsonDict, following: JsonDict, total: Any
    ) -> Iterator[Page]:
        size = max(1, self.request.batch_size)
        for start in range(0, max(1, len(rows)), size):
            is_last = start + size >= len(rows)
            yield self._page(
                rows[start : start + size],
                following if is_last else here,
                total if isinstance(total, int) else None,
            )

    def _page(self, rows: list[JsonDict], cursor: JsonDict, total: int | None) -> Page:
        made: list[AnyRecord] = []
        rejects: list[Reject] = []
        for raw in rows:
            try:
                made.append(self.make(raw))
            except RecordError as exc:
                rejects.append(Reject.of(exc, raw, str(raw.get("$distinct_id") or "")))
        return Page(records=made, rejects=rejects, cursor=dict(cursor), total=total)


def _last_seen(row: JsonDict) -> str:
    """In whole seconds, so that texts sort as times; "" for none."""
    props = row.get("$properties")
    try:
        value = props.get("$last_seen") if isinstance(props, dict) else None
        return _written(parse_time(value))
    except (ValueError, TypeError):
        return ""


def _written(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S")
