"""A Mixpanel project: raw export as JSON lines, profiles in sessions, cohorts."""

from __future__ import annotations

import base64
import gzip
import json
import re
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.server import Request, Response

JsonDict = dict[str, Any]

PROJECT = 3047512
USER = "churnguard.abc123.mp-service-account"
_LIMIT = re.compile(r'properties\["\$last_seen"\] (>=|<) "([^"]+)"')


class MixpanelFake(FakeProvider):
    name: ClassVar[str] = "mixpanel"
    stream: ClassVar[str] = "profiles"
    list_path: ClassVar[str] = "/api/query/engage"
    why_not: ClassVar[dict[str, str]] = {
        "merge": "Identities are merged as events come in; profiles do not tell.",
        "refresh": "A service account has one secret that does not expire by itself.",
    }
    page_size: int = 10
    """1000 at Mixpanel, which nobody can change."""

    def __init__(self) -> None:
        super().__init__()
        self.groups: dict[str, JsonDict] = {}
        self.cohorts: list[JsonDict] = []
        self.events: list[JsonDict] = []
        self.sessions: dict[str, list[JsonDict]] = {}
        self.tail = b""
        """Sent after the last event of an export."""
        self.refused: dict[str, Response] = {}

    # --- the project ----------------------------------------------------------------
    def put(self, profile_id: str, **properties: Any) -> str:
        """Make or change a user profile, now."""
        held = self.objects.setdefault(
            profile_id, {"$distinct_id": profile_id, "$properties": {}}
        )
        held["$properties"].update(properties)
        held["$properties"]["$last_seen"] = _text(self.clock)
        return profile_id

    def track(self, name: str, at: datetime, **properties: Any) -> None:
        """An event."""
        number = len(self.events)
        self.events.append(
            {
                "event": name,
                "properties": {
                    "time": int(at.timestamp() * 1000),
                    "distinct_id": "u1",
                    "$insert_id": f"ins{number}",
                    "mp_processing_time_ms": int(at.timestamp() * 1000) + 5000,
                    **properties,
                },
            }
        )

    def add(self, number: int) -> str:
        return self.put(
            f"u{990 + number}",
            **{
                "$email": f"p{number}@example.com",
                "$name": f"Person {number}",
                "$created": "2025-06-01T10:00:00",
                "company_id": f"c{number % 3}",
            },
        )

    def change(self, external_id: str, name: str) -> None:
        self.put(external_id, **{"$name": name})

    def remove(self, external_id: str) -> None:
        del self.objects[external_id]

    def spoil(self, external_id: str) -> None:
        self.put(external_id, **{"$created": "the day before"})

    def extend(self, external_id: str) -> None:
        self.put(external_id, brand_new_field="x")

    # --- how to connect -------------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        return {
            "base_url": url,
            "project_id": PROJECT,
            "username": USER,
            "customer_property": "company_id",
        }

    def secrets(self) -> dict[str, Any]:
        return {"secret": f"sa-{CANARY}"}

    # --- Mixpanel's own words -------------------------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return Response(
            429,
            {
                "request": f"/api/query/engage?project_id={PROJECT}",
                "error": f"Query rate limit exceeded for project_id: {PROJECT}. "
                "5/5 queries running concurrently and 12/60 queries running in the "
                "last hour.",
            },
            headers,
        )

    def quota(self) -> Response:
        return Response(
            429,
            {
                "request": f"/api/query/engage?project_id={PROJECT}",
                "error": f"Query rate limit exceeded for project_id: {PROJECT}. "
                "1/5 queries running concurrently and 61/60 queries running in the "
                "last hour.",
            },
        )

    def unauthorized(self) -> Response:
        return Response(401, {"error": "Invalid service account credentials"})

    # --- the wire -------------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        pair = base64.b64encode(f"{USER}:sa-{CANARY}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {pair}":
            return self.unauthorized()
        if request.query.get("project_id") != str(PROJECT):
            return Response(403, {"error": "No access to this project"})
        if request.path in self.refused:
            return self.refused[request.path]
        route = (request.method, request.path)
        if route == ("GET", "/api/2.0/export"):
            return self._export(request)
        if route == ("POST", "/api/query/engage"):
            return self._engage(request.form())
        if route == ("POST", "/api/query/cohorts/list"):
            return Response(200, self.cohorts)
        return Response(404, {"error": "Not found"})

    def _export(self, request: Request) -> Response:
        first = date.fromisoformat(request.query["from_date"])
        last = date.fromisoformat(request.query["to_date"])
        if first > last:
            return Response(400, {"error": "from_date after to_date"})
        names = json.loads(request.query.get("event", "[]"))
        lines = [
            json.dumps(event).encode() + b"\n"
            for event in self.events
            if first <= _day(event) <= last and (not names or event["event"] in names)
        ]
        body = b"".join(lines) + (self.tail if lines else b"")
        headers = {"Content-Type": "text/plain"}
        if len(body) > 1400 and "gzip" in request.headers.get("accept-encoding", ""):
            body = gzip.compress(body)
            headers["Content-Encoding"] = "gzip"
        return Response(200, body, headers)

    def _engage(self, form: dict[str, str]) -> Response:
        page = int(form.get("page", 0))
        session = form.get("session_id", "")
        if page and session not in self.sessions:
            return Response(
                400, {"error": "request for page in uncached query for params"}
            )
        if not page:
            session = f"{1767600000 + len(self.sessions)}-CHURNG"
            table = self.groups if form.get("data_group_id") else self.objects
            self.sessions[session] = [
                json.loads(json.dumps(row))
                for row in table.values()
                if _meets(row, form.get("where", ""))
            ]
        rows = self.sessions[session]
        start = 0 if self.stuck else page * self.page_size
        return Response(
            200,
            {
                "page": page,
                "page_size": self.page_size,
                "results": rows[start : start + self.page_size],
                "session_id": session,
                "status": "ok",
                "total": len(rows),
            },
        )


def _meets(row: JsonDict, where: str) -> bool:
    seen = row["$properties"].get("$last_seen", "")
    return all(
        seen >= limit if sign == ">=" else seen < limit
        for sign, limit in _LIMIT.findall(where)
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _day(event: JsonDict) -> date:
    return datetime.fromtimestamp(event["properties"]["time"] / 1000, UTC).date()
