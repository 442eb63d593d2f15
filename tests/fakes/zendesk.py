"""A Zendesk account: incremental exports (by cursor and by time), cursor-paged lists,
and an OAuth client whose refresh tokens rotate."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Any, ClassVar

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.server import Request, Response

JsonDict = dict[str, Any]

ADMIN = {
    "id": 900,
    "name": "Ada Admin",
    "email": "ada@acme.example",
    "role": "admin",
    "active": True,
}


class ZendeskFake(FakeProvider):
    name: ClassVar[str] = "zendesk"
    stream: ClassVar[str] = "users"
    list_path: ClassVar[str] = "/api/v2/incremental/users"
    supports_refresh: ClassVar[bool] = True
    why_not: ClassVar[dict[str, str]] = {
        "merge": "A merged user is a soft-deleted one in the export; nothing names the "
        "winner."
    }

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1
        self.access = f"at-{CANARY}-1"
        self.refresh = f"rt-{CANARY}-1"
        self.code = ""
        """What the browser brings back after a person has agreed."""
        self.me: JsonDict = dict(ADMIN)
        self.tickets: dict[str, JsonDict] = {}
        self.organizations: dict[str, JsonDict] = {}
        self.metric_sets: dict[str, JsonDict] = {}
        self.metric_events: list[JsonDict] = []
        self.ratings: list[JsonDict] = []
        self.surveys: list[JsonDict] | None = None
        self.survey_forms: dict[str, JsonDict] = {}
        """"<survey id>/<version>" -> the survey."""
        self.ticket_fields: list[JsonDict] = []
        self.user_fields: list[JsonDict] = []
        self.groups: list[JsonDict] = []
        self.refused: dict[str, Response] = {}
        self.export_page: int | None = None
        """Fewer rows per time-based answer than asked for."""

    # --- the account ----------------------------------------------------------------
    def put(self, table: dict[str, JsonDict], object_id: int, **values: Any) -> str:
        """Make or change an object, now."""
        at = _iso(self.clock)
        held = table.setdefault(
            str(object_id),
            {"id": object_id, "url": f"/api/v2/x/{object_id}.json", "created_at": at},
        )
        held.update(updated_at=at, **values)
        held["generated_timestamp"] = int(self.clock.timestamp())
        return str(object_id)

    def add(self, number: int) -> str:
        return self.put(
            self.objects,
            990 + number,
            name=f"Person {number}",
            email=f"p{number}@example.com",
            phone=None,
            role="end-user",
            active=True,
            organization_id=501 + number % 3,
            external_id=None,
            tags=[],
            user_fields={},
        )

    def change(self, external_id: str, name: str) -> None:
        self.put(self.objects, int(external_id), name=name)

    def remove(self, external_id: str) -> None:
        self.put(self.objects, int(external_id), active=False)

    def spoil(self, external_id: str) -> None:
        self.put(self.objects, int(external_id), created_at="the day before")

    def extend(self, external_id: str) -> None:
        self.put(self.objects, int(external_id), brand_new_field="x")

    def expire_token(self) -> None:
        self.access = f"at-{CANARY}-expired"

    def lose_refresh(self) -> None:
        self.refresh = f"rt-{CANARY}-lost"

    # --- how to connect -------------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "auth_flow": "oauth", "client_id": "churnguard"}

    def secrets(self) -> dict[str, Any]:
        return {
            "access_token": f"at-{CANARY}-1",
            "refresh_token": f"rt-{CANARY}-1",
            "client_secret": f"cs-{CANARY}",
        }

    # --- Zendesk's own words --------------------------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return Response(
            429,
            {
                "error": "APIRateLimitExceeded",
                "description": "Number of allowed incremental user export API requests "
                "per minute exceeded",
            },
            headers,
        )

    def quota(self) -> Response:
        return self.too_many("93")

    def unauthorized(self) -> Response:
        return Response(
            401,
            {
                "error": "invalid_token",
                "error_description": "The access token provided is expired, revoked, "
                "malformed or invalid for other reasons.",
            },
        )

    # --- the wire -------------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        if request.path == "/oauth/tokens":
            return self._token(request)
        legacy = base64.b64encode(
            f"ada@acme.example/token:key-{CANARY}".encode()
        ).decode()
        if request.headers.get("authorization") not in (
            f"Bearer {self.access}",
            f"Basic {legacy}",
        ):
            return self.unauthorized()
        answer = self._route(request)
        answer.headers.update({"X-Rate-Limit": "700", "X-Rate-Limit-Remaining": "650"})
        return answer

    def _token(self, request: Request) -> Response:
        if request.headers.get("content-type") != "application/json":
            return Response(400, {"error": "invalid_request"})
        body = request.json()
        if body.get("client_secret") != f"cs-{CANARY}":
            return Response(401, {"error": "invalid_client"})
        if body.get("scope") != "read":
            return Response(400, {"error": "invalid_scope"})
        kind, life = body["grant_type"], body.get("expires_in")
        if not self._is_good(kind, body):
            return Response(
                400,
                {
                    "error": "invalid_grant",
                    "error_description": "The provided authorization grant is invalid",
                },
            )
        refresh_life = body.get("refresh_token_expires_in", 2_592_000)
        if life is not None and not (
            300 < life < min(172_800, refresh_life)
            and 604_800 < refresh_life < 7_776_000
        ):
            return Response(400, {"error": "invalid_request"})
        self.generation += 1
        self.access = f"at-{CANARY}-{self.generation}"
        answer: JsonDict = {
            "access_token": self.access,
            "token_type": "bearer",
            "scope": "read",
        }
        if life is not None:
            answer["expires_in"] = life
            if kind != "client_credentials":
                self.refresh = f"rt-{CANARY}-{self.generation}"
                answer["refresh_token"] = self.refresh
                answer["refresh_token_expires_in"] = refresh_life
        return Response(201, answer)

    def _is_good(self, kind: str, body: JsonDict) -> bool:
        """Whether the grant holds; a code does once."""
        if kind == "authorization_code":
            code, self.code = self.code, ""
            return bool(code) and body["code"] == code
        is_refresh = kind == "refresh_token"
        return not is_refresh or body["refresh_token"] == self.refresh

    def _route(self, request: Request) -> Response:
        path = request.path.removeprefix("/api/v2")
        if path in self.refused:
            return self.refused[path]
        if path == "/users/me":
            return Response(200, {"user": self.me})
        if path == "/incremental/users/cursor.json":
            return self._cursor_export(request, "users", self.objects)
        if path == "/incremental/tickets/cursor.json":
            return self._cursor_export(request, "tickets", self.tickets)
        if path == "/incremental/organizations.json":
            return self._time_export(request)
        if path == "/incremental/ticket_metric_events":
            return self._list(
                request, "ticket_metric_events", self._metric_events(request)
            )
        if path == "/satisfaction_ratings":
            start = int(request.query.get("start_time", 0))
            rows = [r for r in self.ratings if _unix(r["created_at"]) >= start]
            if request.query.get("score") == "received":
                rows = [r for r in rows if r["score"].startswith(("good", "bad"))]
            return self._list(request, "satisfaction_ratings", rows)
        if path == "/guide/survey_responses" and self.surveys is not None:
            return self._list(request, "survey_responses", self._responses(request))
        if path.startswith("/guide/en-us/surveys/"):
            return self._survey(path.removeprefix("/guide/en-us/surveys/"))
        lists: dict[str, list[JsonDict]] = {
            "organizations": list(self.organizations.values()),
            "ticket_metrics": list(self.metric_sets.values()),
            "ticket_fields": self.ticket_fields,
            "user_fields": self.user_fields,
            "organization_fields": [],
        }
        if path.strip("/") in lists:
            return self._list(request, path.strip("/"), lists[path.strip("/")])
        return Response(404, {"error": "RecordNotFound", "description": "Not found"})

    def _metric_events(self, request: Request) -> list[JsonDict]:
        """Since a time; with changes also those "_changed_at" since then."""
        start = int(request.query["start_time"])
        with_changes = request.query.get("include_changes") == "true"
        return [
            each
            for each in self.metric_events
            if _unix(each["time"]) >= start
            or (with_changes and _unix(each.get("_changed_at", each["time"])) >= start)
        ]

    def _responses(self, request: Request) -> list[JsonDict]:
        """Made since a time in milliseconds."""
        start_ms = int(request.query.get("filter[created_at_start]", 0))
        return [
            each
            for each in self.surveys or []
            if all(_unix(a["created_at"]) * 1000 >= start_ms for a in each["answers"])
        ]

    def _survey(self, name: str) -> Response:
        if name in self.survey_forms:
            return Response(200, {"survey": self.survey_forms[name]})
        title = "The survey could not be found"
        error = {"code": "NotFound", "status": "404", "title": title}
        return Response(404, {"errors": [error]})

    def _cursor_export(
        self, request: Request, name: str, table: dict[str, JsonDict]
    ) -> Response:
        size = int(request.query.get("per_page", 1000))
        if size > 1000:
            return _invalid("per_page must be at most 1000")
        start = (int(request.query.get("start_time", 0)), -1)
        if start[0] > datetime.now(UTC).timestamp() - 60:
            return Response(
                422,
                {
                    "error": "StartTimeTooRecent",
                    "description": "Too recent start_time. Use a start_time older than "
                    "60 seconds",
                },
            )
        if given := request.query.get("cursor"):
            stamp, _, last = base64.b64decode(given).decode().partition("||")
            start = (int(stamp), int(last))
        if self.stuck:
            start = (0, -1)
        rows = sorted(table.values(), key=_place)
        left = [row for row in rows if _place(row) > start]
        page = left[:size]
        place = _place(page[-1]) if page else start
        after = base64.b64encode(f"{place[0]}||{place[1]}".encode()).decode()
        body: JsonDict = {
            name: page,
            "after_cursor": after,
            "after_url": f"https://acme.zendesk.example/{name}?cursor={after}",
            "before_cursor": None,
            "before_url": None,
            "end_of_stream": len(left) <= size and not self.stuck,
        }
        if name == "tickets":
            self._sideload(body, page, request.query.get("include", "").split(","))
        return Response(200, body)

    def _sideload(
        self, body: JsonDict, page: list[JsonDict], include: list[str]
    ) -> None:
        if "metric_sets" in include:
            body["tickets"] = [
                {**row, "metric_set": self.metric_sets.get(str(row["id"]))}
                for row in page
            ]
        if "users" in include:
            body["users"] = [self.me, *self.objects.values()]
        if "groups" in include:
            body["groups"] = self.groups

    def _time_export(self, request: Request) -> Response:
        start = int(request.query["start_time"])
        size = self.export_page or int(request.query.get("per_page", 1000))
        rows = sorted(self.organizations.values(), key=_place)
        left = [row for row in rows if row["generated_timestamp"] >= start]
        page = left[:size]
        end = page[-1]["generated_timestamp"] if page else start
        return Response(
            200,
            {
                "organizations": [_public(row) for row in page],
                "count": len(page),
                "end_time": end,
                # Never null, not even at the end.
                "next_page": f"https://acme.zendesk.example/?start_time={end}",
                "end_of_stream": len(left) <= size,
            },
        )

    def _list(self, request: Request, name: str, rows: list[JsonDict]) -> Response:
        size = int(request.query.get("page[size]", 100))
        if size > 100:
            return _invalid("page[size] must be at most 100")
        start = int(request.query.get("page[after]", 0))
        more = len(rows) > start + size
        return Response(
            200,
            {
                name: [_public(row) for row in rows[start : start + size]],
                "meta": {
                    "has_more": more,
                    # There, but not to be followed, when nothing is left.
                    "after_cursor": str(start + size),
                    "before_cursor": str(start),
                },
                "links": {"next": None, "prev": None},
            },
        )


def _place(row: JsonDict) -> tuple[int, int]:
    return int(row["generated_timestamp"]), int(row["id"])


def _public(row: JsonDict) -> JsonDict:
    hidden = ("generated_timestamp", "_changed_at")
    return {k: v for k, v in row.items() if k not in hidden}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _unix(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp())


def _invalid(words: str) -> Response:
    return Response(422, {"error": "InvalidValue", "description": words})
