"""A small API as many companies have one: contacts as JSON behind OAuth 2, with a
cursor, `updated_since` and Retry-After."""

from __future__ import annotations

import base64
from typing import Any, ClassVar

import msgspec

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.server import Request, Response

PATH = "/v2/people"
MOST = 50


class RestFake(FakeProvider):
    name: ClassVar[str] = "rest"
    stream: ClassVar[str] = "people"
    list_path: ClassVar[str] = PATH
    record_type: ClassVar[str] = "contact"
    supports_refresh: ClassVar[bool] = True
    why_not: ClassVar[dict[str, str]] = {
        "merge": "an API of no known kind has no merges; a delete shows by absence"
    }

    def __init__(self) -> None:
        super().__init__()
        self.generation = 1
        self.access = f"at-{CANARY}-1"
        self.refresh = f"rt-{CANARY}-1"

    # --- the account --------------------------------------------------------------
    def add(self, number: int) -> str:
        key = f"p{number:05d}"
        self.objects[key] = {
            "id": key,
            "full_name": f"Person {number}",
            "email": f"p{number}@example.com",
            "company": {"id": f"c{number % 3}"},
            "joined": "2025-11-02T08:00:00Z",
        }
        self._touch(key)
        return key

    def change(self, external_id: str, name: str) -> None:
        self.objects[external_id]["full_name"] = name
        self._touch(external_id)

    def remove(self, external_id: str) -> None:
        del self.objects[external_id]

    def spoil(self, external_id: str) -> None:
        self.objects[external_id]["joined"] = "the day before"
        self._touch(external_id)

    def extend(self, external_id: str) -> None:
        self.objects[external_id]["brand_new_field"] = "x"
        self._touch(external_id)

    def expire_token(self) -> None:
        self.access = f"at-{CANARY}-expired"

    def lose_refresh(self) -> None:
        self.refresh = f"rt-{CANARY}-lost"

    # --- how to connect -----------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        return {
            "base_url": f"{url}/v2",
            "auth_type": "oauth2_refresh",
            "client_id": "churnguard",
            "token_url": f"{url}/oauth/token",
            "endpoints": [
                {
                    "name": "people",
                    "endpoint_url": "/people",
                    "data_path": "data.items",
                    "record_type": "contact",
                    "primary_key": "id",
                    "incremental": {"field": "changed", "param": "updated_since"},
                    "pagination": {
                        "type": "cursor",
                        "param": "after",
                        "cursor_path": "paging.after",
                        "size_param": "limit",
                        "page_size": MOST,
                    },
                    "field_mappings": {
                        "name": "full_name",
                        "email": "email",
                        "customer_id": "company.id",
                        "joined_at": "joined",
                    },
                }
            ],
        }

    def secrets(self) -> dict[str, Any]:
        return {
            "access_token": f"at-{CANARY}-1",
            "refresh_token": f"rt-{CANARY}-1",
            "client_secret": f"cs-{CANARY}",
            "headers": {"X-Partner": f"partner-{CANARY}"},
        }

    def quota(self) -> Response:
        return Response(429, {"message": "Monthly quota"}, {"Retry-After": "3600"})

    # --- the wire -----------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        if request.path == "/oauth/token":
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer {self.access}":
            return self.unauthorized()
        if request.headers.get("x-partner") != f"partner-{CANARY}":
            return Response(403, {"message": "Unknown partner"})
        if request.path == PATH:
            return self._people(request)
        return Response(404, {"message": "Not found"})

    def _people(self, request: Request) -> Response:
        limit = min(int(request.query.get("limit", MOST)), MOST)
        after = (
            _decoded(request.query["after"]) if "after" in request.query else ["", ""]
        )
        since = request.query.get("updated_since", "")
        rows = sorted(
            (row for row in self.objects.values() if row["changed"] >= since),
            key=lambda row: (row["changed"], row["id"]),
        )
        if not self.stuck:
            rows = [row for row in rows if [row["changed"], row["id"]] > after]
        page = rows[:limit]
        paging = {}
        if self.stuck or len(rows) > limit:
            paging["after"] = _encoded([page[-1]["changed"], page[-1]["id"]])
        return Response(200, {"data": {"items": page}, "paging": paging})

    def _token(self, request: Request) -> Response:
        form = request.form()
        is_known = form.get("client_secret") == f"cs-{CANARY}"
        if form.get("refresh_token") != self.refresh or not is_known:
            return Response(400, {"error": "invalid_grant"})
        self.generation += 1
        self.access = f"at-{CANARY}-{self.generation}"
        self.refresh = f"rt-{CANARY}-{self.generation}"
        return Response(
            200,
            {
                "access_token": self.access,
                "refresh_token": self.refresh,
                "token_type": "Bearer",
                "expires_in": 3600,
            },
        )

    def _touch(self, key: str) -> None:
        self.objects[key]["changed"] = self.clock.strftime("%Y-%m-%dT%H:%M:%SZ")


def _encoded(position: list[str]) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(position)).decode()


def _decoded(text: str) -> list[str]:
    return msgspec.json.decode(base64.urlsafe_b64decode(text))
