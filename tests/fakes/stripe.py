"""Stripe's API as of 2026-10-28: lists newest first, `starting_after`, events, errors.

Restricted keys may lack scopes: `refuse("/v1/disputes")`.
"""

from __future__ import annotations

import re
from typing import Any, ClassVar

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.server import Request, Response

KEY = f"rk_test_{CANARY}"
VERSION = "2026-10-28.endive"
COLLECTIONS = (
    "customers",
    "products",
    "prices",
    "coupons",
    "subscriptions",
    "invoices",
    "charges",
    "payment_intents",
    "refunds",
    "disputes",
    "balance_transactions",
    "events",
)
_RANGE = re.compile(r"created\[(gte|gt|lte|lt)\]$")
_HOLDS = {
    "gte": lambda at, limit: at >= limit,
    "gt": lambda at, limit: at > limit,
    "lte": lambda at, limit: at <= limit,
    "lt": lambda at, limit: at < limit,
}


class StripeFake(FakeProvider):
    name: ClassVar[str] = "stripe"
    stream: ClassVar[str] = "customers"
    list_path: ClassVar[str] = "/v1/customers"
    record_type: ClassVar[str] = "customer"
    why_not: ClassVar[dict[str, str]] = {
        "merge": "Stripe's customers cannot be merged",
        "refresh": "a Stripe key does not expire and is not renewed",
    }

    def __init__(self) -> None:
        super().__init__()
        self.tables: dict[str, dict[str, dict[str, Any]]] = {
            f"/v1/{name}": {} for name in COLLECTIONS
        }
        self.order: dict[str, int] = {}
        self.deleted: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()

    # --- the account --------------------------------------------------------------
    def put(self, path: str, raw: dict[str, Any], event: str = "") -> dict[str, Any]:
        """Store an object as it is; event: the type that tells of it."""
        self.order.setdefault(raw["id"], len(self.order))
        self.tables[path][raw["id"]] = raw
        if event:
            self.emit(event, raw)
        return raw

    def emit(self, kind: str, raw: dict[str, Any]) -> None:
        number = len(self.tables["/v1/events"]) + 1
        event = {
            "id": f"evt_{number:06d}",
            "object": "event",
            "api_version": VERSION,
            "created": self.now,
            "type": kind,
            "livemode": False,
            "pending_webhooks": 0,
            "data": {"object": dict(raw)},
        }
        self.put("/v1/events", event)

    def refuse(self, path: str) -> None:
        """The key lacks the scope of a collection."""
        self.refused.add(path)

    @property
    def now(self) -> int:
        return int(self.clock.timestamp())

    def add(self, number: int) -> str:
        raw = {
            "id": f"cus_{number:06d}",
            "object": "customer",
            "address": {"country": "NL", "city": "Utrecht"},
            "balance": 0,
            "created": self.now,
            "currency": "eur",
            "delinquent": False,
            "description": None,
            "discount": None,
            "email": f"billing{number}@example.com",
            "livemode": False,
            "metadata": {"tier": "gold"} if number % 2 else {},
            "name": f"Company {number}",
            "phone": None,
        }
        self.put("/v1/customers", raw, "customer.created")
        return raw["id"]

    def change(self, external_id: str, name: str) -> None:
        raw = self.tables["/v1/customers"][external_id]
        self.put("/v1/customers", {**raw, "name": name}, "customer.updated")

    def remove(self, external_id: str) -> None:
        raw = self.tables["/v1/customers"].pop(external_id)
        self.deleted[external_id] = {
            "id": external_id,
            "object": "customer",
            "deleted": True,
        }
        self.emit("customer.deleted", raw)

    def spoil(self, external_id: str) -> None:
        raw = self.tables["/v1/customers"][external_id]
        self.put("/v1/customers", {**raw, "name": {"first": "A"}}, "customer.updated")

    def extend(self, external_id: str) -> None:
        raw = self.tables["/v1/customers"][external_id]
        self.put("/v1/customers", {**raw, "brand_new_field": 1}, "customer.updated")

    # --- how to connect -----------------------------------------------------------
    def secrets(self) -> dict[str, Any]:
        return {"api_key": KEY}

    # --- faults -------------------------------------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        headers = {"Stripe-Rate-Limited-Reason": "global-rate"}
        if retry_after is not None:
            headers["Retry-After"] = retry_after
        return _error(429, "Too many requests", code="rate_limit", headers=headers)

    def quota(self) -> Response:
        """Stripe has no quota; what a proxy in front of it may answer."""
        return _error(
            429, "Quota used", code="rate_limit", headers={"Retry-After": "900"}
        )

    def unauthorized(self) -> Response:
        return _error(401, "Invalid API Key provided: rk_test_****cret")

    # --- the wire -----------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return self.unauthorized()
        if request.headers.get("stripe-version") != VERSION:
            return _error(400, "Invalid Stripe API version")
        if any(request.path.startswith(path) for path in self.refused):
            return _error(
                403,
                "The provided key does not have the required permissions for this "
                "endpoint.",
                code="more_permissions_required",
            )
        if request.path in self.tables:
            return self._list(request, list(self.tables[request.path].values()))
        nested = self._nested(request)
        if nested is not None:
            return self._list(request, nested, is_sorted=True)
        path, _, name = request.path.rpartition("/")
        raw = self.tables.get(path, {}).get(name) or self.deleted.get(name)
        if raw is None:
            return _error(404, f"No such object: '{name}'", code="resource_missing")
        return Response(200, _shown(raw), _headers())

    def _nested(self, request: Request) -> list[dict[str, Any]] | None:
        """Rows of a list inside an object: all of those kept under its "_all"."""
        if request.path == "/v1/subscription_items":
            owner = self.tables["/v1/subscriptions"][request.query["subscription"]]
            return owner["items"]["_all"]
        found = re.fullmatch(r"/v1/invoices/(\w+)/lines", request.path)
        if found:
            return self.tables["/v1/invoices"][found[1]]["lines"]["_all"]
        return None

    def _list(
        self, request: Request, rows: list[dict[str, Any]], *, is_sorted: bool = False
    ) -> Response:
        query = request.query
        if not is_sorted:
            rows.sort(key=lambda r: (-r["created"], -self.order[r["id"]]))
            rows = [row for row in rows if _matches(row, request)]
        start = query.get("starting_after")
        if start and not self.stuck:
            places = [n for n, row in enumerate(rows) if row["id"] == start]
            if not places:
                return _error(
                    404,
                    f"No such object: '{start}'",
                    code="resource_missing",
                    param="starting_after",
                )
            rows = rows[places[0] + 1 :]
        limit = int(query.get("limit", 10))
        if not 1 <= limit <= 100:
            return _error(400, "Invalid integer", param="limit")
        body = {
            "object": "list",
            "url": request.path,
            "has_more": self.stuck or len(rows) > limit,
            "data": [_shown(row) for row in rows[:limit]],
        }
        return Response(200, body, _headers())


def _matches(row: dict[str, Any], request: Request) -> bool:
    kinds = [v for k, v in request.query.items() if re.fullmatch(r"types\[\d*\]", k)]
    if kinds and row.get("type") not in kinds:
        return False
    for name, text in request.query.items():
        found = _RANGE.match(name)
        if found and not _HOLDS[found[1]](row["created"], int(text)):
            return False
    payer = request.query.get("customer")
    if payer and row.get("customer") != payer:
        return False
    if row["object"] == "subscription":
        wanted = request.query.get("status")
        return wanted == "all" or row["status"] not in (
            "canceled",
            "incomplete_expired",
        )
    return True


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {k: v for k, v in value.items() if k != "_all"}
        if isinstance(value, dict)
        else value
        for name, value in row.items()
    }


def _error(
    status: int,
    message: str,
    *,
    code: str = "",
    param: str = "",
    headers: dict[str, str] | None = None,
) -> Response:
    error: dict[str, Any] = {"type": "invalid_request_error", "message": message}
    if code:
        error["code"] = code
    if param:
        error["param"] = param
    return Response(status, {"error": error}, {**_headers(), **(headers or {})})


def _headers() -> dict[str, str]:
    return {"Request-Id": "req_1", "Stripe-Version": VERSION}
