"""Stripe's API as of 2026-10-28: lists newest first, `starting_after`, events of 30
days, expansion at most 4 levels deep, errors.

Objects may be stored with everything in them: what a request does not expand is shown
as an id, or not at all. Restricted keys may lack scopes: `refuse("/v1/disputes")`.
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
_PERMISSIONS = {
    "/v1/balance_transactions": "rak_balance_transaction_source_read",
    "/v1/prices": "rak_plan_read",
    "/v1/refunds": "rak_charge_read",
    "/v1/subscription_items": "rak_subscription_read",
}
_REFERENCES = {
    "charge": ("customer", "payment_intent"),
    "discount.source": ("coupon",),
    "dispute": ("charge", "payment_intent"),
    "invoice": ("customer", "discounts"),
    "payment_intent": ("customer", "latest_charge"),
    "price": ("product",),
    "refund": ("charge", "payment_intent"),
    "subscription": ("customer", "discounts"),
    "subscription_item": ("discounts",),
}
"""Kind of object -> its fields that are ids until they are expanded."""
_LEFT_OUT = {
    "coupon": ("applies_to", "currency_options"),
    "invoice": ("payments",),
    "price": ("currency_options", "tiers"),
}
"""Kind of object -> its fields that are absent until they are expanded."""
_KEPT_S = 30 * 86_400
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
        try:
            return self._answer(request)
        except _RefusedError as refusal:
            return _error(400 if refusal.param else 403, str(refusal), refusal.param)

    def _answer(self, request: Request) -> Response:
        self._check_permission(request.path)
        if request.path in self.tables:
            return self._list(request, list(self.tables[request.path].values()))
        nested = self._nested(request)
        if nested is not None:
            return self._list(request, nested, is_sorted=True)
        path, _, name = request.path.rpartition("/")
        raw = self.tables.get(path, {}).get(name) or self.deleted.get(name)
        if raw is None:
            return _error(
                404, f"No such object: '{name}'", "id", code="resource_missing"
            )
        wanted = _expansions(request)
        return Response(200, self._shown(raw, wanted), _headers())

    def _check_permission(self, path: str) -> None:
        if not any(path.startswith(each) for each in self.refused):
            return
        thing = re.sub(r"^/v1/(\w+?)s?(/.*)?$", r"rak_\1_read", path)
        known = [name for start, name in _PERMISSIONS.items() if path.startswith(start)]
        raise _RefusedError(
            "The provided key 'rk_test_****cret' does not have the required "
            "permissions for this endpoint on account 'acct_1'. Having the "
            f"'{known[0] if known else thing}' permission would allow this request to "
            "continue."
        )

    def _shown(self, value: Any, wanted: dict[str, Any], kind: str = "") -> Any:
        """An answer's part with what is expanded in it; kind: of a part without
        `object`, "<kind around it>.<its name>"."""
        if isinstance(value, list):
            return [self._shown(each, wanted, kind) for each in value]
        if not isinstance(value, dict):
            return value
        named = value.get("object")
        kind = named if isinstance(named, str) else kind
        shown = {}
        for name, part in value.items():
            inner = f"{kind}.{name}"
            if name in _REFERENCES.get(kind, ()):
                if name in wanted:
                    part = self._shown(self._found(name, part), wanted[name], inner)
                else:
                    part = _as_ids(part)
            elif name == "_all" or (
                name in _LEFT_OUT.get(kind, ()) and name not in wanted
            ):
                continue
            else:
                part = self._shown(part, wanted.get(name, {}), inner)
            shown[name] = part
        return shown

    def _found(self, name: str, part: Any) -> Any:
        """The object an id stands for, where the account has it."""
        path = {"latest_charge": "/v1/charges"}.get(name, f"/v1/{name}s")
        self._check_permission(path)
        if isinstance(part, str):
            return self.tables.get(path, {}).get(part) or self.deleted.get(part) or part
        return part

    def _nested(self, request: Request) -> list[dict[str, Any]] | None:
        """Rows of a list inside an object: all of those kept under its "_all", where
        it shows only some."""
        if request.path == "/v1/subscription_items":
            owner = self.tables["/v1/subscriptions"][request.query["subscription"]]
            return owner["items"].get("_all", owner["items"]["data"])
        found = re.fullmatch(r"/v1/invoices/(\w+)/lines", request.path)
        if found:
            return self.tables["/v1/invoices"][found[1]]["lines"]["_all"]
        return None

    def _list(
        self, request: Request, rows: list[dict[str, Any]], *, is_sorted: bool = False
    ) -> Response:
        query = request.query
        wanted = _expansions(request).get("data", {})
        if not is_sorted:
            if request.path == "/v1/events":
                rows = [row for row in rows if row["created"] > self.now - _KEPT_S]
            rows.sort(key=lambda r: (-r["created"], -self.order[r["id"]]))
            rows = [row for row in rows if _matches(row, request)]
        start = query.get("starting_after")
        if start and not self.stuck:
            places = [n for n, row in enumerate(rows) if row["id"] == start]
            if not places:
                return _error(
                    400,
                    f"No such object: '{start}'",
                    "starting_after",
                    code="resource_missing",
                )
            rows = rows[places[0] + 1 :]
        limit = int(query.get("limit", 10))
        if not 1 <= limit <= 100:
            return _error(400, "Invalid integer", "limit")
        body = {
            "object": "list",
            "url": request.path,
            "has_more": self.stuck or len(rows) > limit,
            "data": [self._shown(row, wanted) for row in rows[:limit]],
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
    for name in ("customer", "payment_intent"):
        given = request.query.get(name)
        if given and _as_ids(row.get(name)) != given:
            return False
    if row["object"] == "subscription":
        wanted = request.query.get("status")
        return wanted == "all" or row["status"] not in (
            "canceled",
            "incomplete_expired",
        )
    return True


def _expansions(request: Request) -> dict[str, Any]:
    """The tree of what is to be expanded."""
    tree: dict[str, Any] = {}
    known = {n for names in (*_REFERENCES.values(), *_LEFT_OUT.values()) for n in names}
    for param, text in request.query.items():
        if not re.fullmatch(r"expand\[\d*\]", param):
            continue
        parts = text.split(".")
        if len(parts) > 4:
            raise _RefusedError(
                f"You cannot expand more than 4 levels of a property. Property: {text}",
                param,
            )
        if parts[-1] not in known:
            raise _RefusedError(f"This property cannot be expanded ({text}).", param)
        branch = tree
        for part in parts:
            branch = branch.setdefault(part, {})
    return tree


def _as_ids(part: Any) -> Any:
    if isinstance(part, list):
        return [_as_ids(each) for each in part]
    return part["id"] if isinstance(part, dict) else part


class _RefusedError(Exception):
    """Of a request; param "" = for want of a permission."""

    def __init__(self, message: str, param: str = "") -> None:
        super().__init__(message)
        self.param = param


def _error(
    status: int,
    message: str,
    param: str = "",
    *,
    code: str = "",
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
