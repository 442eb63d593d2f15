"""A HubSpot account: CRM objects with search, associations and archive, over the
date-versioned and the v3/v4 addresses."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.codes import CodeGrant
from tests.fakes.server import Request, Response

JsonDict = dict[str, Any]

PORTAL = 48210007
DEEPEST = 10_000
_CRM = re.compile(r"^/crm/(\w+)/20\d\d-\d\d/(.+)$|^/crm/v[34]/(\w+)/(.+)$")
_OWNERS = re.compile(r"^/crm/(?:v3/owners|owners/20\d\d-\d\d)$")
_MARKETING = re.compile(
    r"^/marketing/(?:marketing-events/20\d\d-\d\d|v3/marketing-events)(/.*)?$"
)
_KINDS = (
    *("companies", "contacts", "deals", "tickets", "feedback_submissions"),
    *("calls", "emails", "meetings", "notes", "tasks"),
)
STANDARD = {
    "companies": "name domain phone country industry numberofemployees closedate "
    "hubspot_owner_id lifecyclestage hs_lead_status hs_parent_company_id type",
    "contacts": "email firstname lastname phone jobtitle lifecyclestage "
    "hs_buying_role hs_email_optout notes_last_contacted associatedcompanyid",
    "deals": "dealname dealstage pipeline amount deal_currency_code closedate "
    "hs_is_closed hs_is_closed_won hubspot_owner_id",
    "tickets": "subject hs_pipeline hs_pipeline_stage hs_ticket_priority source_type "
    "closed_date first_agent_reply_date hubspot_owner_id",
    "feedback_submissions": "hs_survey_type hs_value hs_content hs_contact_id "
    "hs_submission_timestamp",
    "calls": "hs_call_title hs_call_direction hs_call_status hs_timestamp",
    "emails": "hs_email_subject hs_email_direction hs_timestamp",
    "meetings": "hs_meeting_title hs_meeting_start_time hs_meeting_end_time",
    "notes": "hs_timestamp",
    "tasks": "hs_task_subject hs_task_status hs_timestamp",
}


class HubspotFake(FakeProvider):
    name: ClassVar[str] = "hubspot"
    stream: ClassVar[str] = "contacts"
    list_path: ClassVar[str] = "/crm/objects/2026-09/contacts"
    supports_merge: ClassVar[bool] = True
    supports_refresh: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.codes = CodeGrant()
        self.generation = 1
        self.access = f"at-{CANARY}-1"
        self.refresh = f"rt-{CANARY}-1"
        self.kinds: dict[str, dict[str, JsonDict]] = {kind: {} for kind in _KINDS}
        self.kinds["contacts"] = self.objects
        self.links: dict[tuple[str, str], dict[str, list[JsonDict]]] = {}
        self.defined: dict[str, list[JsonDict]] = {}
        self.pipelines: dict[str, list[JsonDict]] = {"deals": [], "tickets": []}
        self.owners: list[JsonDict] = []
        self.schemas: list[JsonDict] = []
        self.events: list[JsonDict] = []
        self.participations: dict[str, list[JsonDict]] = {}
        self.refused: dict[str, str] = {}
        """Object -> the scope that is missing for it."""
        self.unindexed: set[str] = set()
        """Ids the search does not know yet."""
        self.strangers: set[tuple[str, str]] = set()
        """Pairs of objects that have no kind of association."""
        self.lost_links: set[str] = set()
        """Ids whose associations cannot be looked up at the moment."""
        self.most_linked = 500
        """Associated objects of one that fit into an answer."""
        for kind in _KINDS:
            self.define(kind, "hs_object_id", "number")
            self.define(kind, "createdate", "datetime")
            self.define(kind, _modified(kind), "datetime")
            self.define(kind, "hs_merged_object_ids")
            for name in STANDARD[kind].split():
                self.define(kind, name)

    # --- the account ----------------------------------------------------------------
    def define(
        self, kind: str, name: str, type_: str = "string", *, custom: bool = False
    ) -> None:
        """A property of an object."""
        self.defined.setdefault(kind, []).append(
            {
                "name": name,
                "label": name.replace("_", " ").capitalize(),
                "type": type_,
                "fieldType": "text",
                "groupName": f"{kind}information",
                "options": [],
                "hubspotDefined": not custom,
                "archived": False,
            }
        )

    def put(self, kind: str, object_id: str, **properties: Any) -> str:
        """Make or change an object, now."""
        at = _iso(self.clock)
        held = self.kinds.setdefault(kind, {}).setdefault(
            object_id,
            {
                "id": object_id,
                "properties": {"hs_object_id": object_id, "createdate": at},
                "createdAt": at,
                "updatedAt": at,
                "archived": False,
            },
        )
        held["properties"].update(properties)
        held["properties"][_modified(kind)] = held["updatedAt"] = at
        return object_id

    def link(
        self, kind: str, object_id: str, to: str, to_id: str, type_id: int
    ) -> None:
        """Associate two objects; type 1, 5 and 26 are primary companies."""
        label = "Primary" if type_id in (1, 5, 26) else None
        made = self.links.setdefault((kind, to), {}).setdefault(object_id, [])
        made.append(
            {
                "toObjectId": int(to_id),
                "associationTypes": [
                    {
                        "category": "HUBSPOT_DEFINED",
                        "typeId": type_id,
                        "label": label,
                    }
                ],
            }
        )

    def add(self, number: int) -> str:
        # Around 1000, so that ids in text order are not in number order.
        object_id = self.put(
            "contacts",
            str(990 + number),
            email=f"p{number}@example.com",
            firstname="Person",
            lastname=str(number),
        )
        self.link("contacts", object_id, "companies", str(501 + number % 3), 1)
        return object_id

    def change(self, external_id: str, name: str) -> None:
        self.put("contacts", external_id, firstname=name)

    def remove(self, external_id: str) -> None:
        held = self.objects[external_id]
        held["archived"], held["archivedAt"] = True, _iso(self.clock)

    def restore(self, external_id: str) -> None:
        held = self.objects[external_id]
        held["archived"] = False
        del held["archivedAt"]

    def merge(self, loser: str, winner: str) -> None:
        del self.objects[loser]
        self.put("contacts", winner, hs_merged_object_ids=loser)

    def spoil(self, external_id: str) -> None:
        self.put("contacts", external_id, notes_last_contacted="the day before")

    def extend(self, external_id: str) -> None:
        self.define("contacts", "brand_new_field", custom=True)
        self.put("contacts", external_id, brand_new_field="x")

    def expire_token(self) -> None:
        self.access = f"at-{CANARY}-expired"

    def lose_refresh(self) -> None:
        self.refresh = f"rt-{CANARY}-lost"

    # --- how to connect -------------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        return {"base_url": url, "client_id": "churnguard-app"}

    def secrets(self) -> dict[str, Any]:
        return {
            "access_token": f"at-{CANARY}-1",
            "refresh_token": f"rt-{CANARY}-1",
            "client_secret": f"cs-{CANARY}",
        }

    # --- HubSpot's own words --------------------------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        body = {
            "status": "error",
            "message": "You have reached your secondly limit.",
            "errorType": "RATE_LIMIT",
            "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
            "policyName": "SECONDLY",
        }
        headers = {} if retry_after is None else {"Retry-After": retry_after}
        return Response(429, body, headers)

    def quota(self) -> Response:
        return Response(
            429,
            {
                "status": "error",
                "message": "You have reached your daily limit.",
                "errorType": "RATE_LIMIT",
                "correlationId": "c033cdaa-2c40-4a64-ae48-b4cec88dad24",
                "policyName": "DAILY",
            },
        )

    def unauthorized(self) -> Response:
        return _error(401, "EXPIRED_AUTHENTICATION", "The token used is expired")

    # --- the wire -------------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        if request.path.startswith("/oauth/"):
            return self._token(request)
        if request.headers.get("authorization") != f"Bearer {self.access}":
            return self.unauthorized()
        answer = self._route(request)
        if not request.path.endswith("/search"):
            answer.headers.update(
                {
                    "X-HubSpot-RateLimit-Max": "190",
                    "X-HubSpot-RateLimit-Remaining": "180",
                    "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
                }
            )
        return answer

    def _token(self, request: Request) -> Response:
        form = request.form()
        if request.path.startswith("/oauth/v1"):
            return _error(404, "OBJECT_NOT_FOUND", "This version is gone")
        if form.get("client_secret") != f"cs-{CANARY}":
            return Response(
                400, {"status": "BAD_CLIENT_ID", "message": "missing or unknown client"}
            )
        if form["grant_type"] == "authorization_code":
            if not self.codes.takes(form):
                return Response(
                    400, {"status": "BAD_AUTH_CODE", "message": "missing or expired"}
                )
        elif form.get("refresh_token") != self.refresh:
            return Response(
                400, {"status": "BAD_REFRESH_TOKEN", "message": "invalid refresh token"}
            )
        self.generation += 1
        self.access = f"at-{CANARY}-{self.generation}"
        return Response(
            200,
            {
                "access_token": self.access,
                "refresh_token": self.refresh,
                "expires_in": 1800,
                "token_type": "bearer",
                "hub_id": PORTAL,
                "user_id": 7,
                "scopes": ["oauth", "crm.objects.contacts.read"],
            },
        )

    def _route(self, request: Request) -> Response:
        if request.path.startswith("/account-info/"):
            return Response(
                200,
                {
                    "portalId": PORTAL,
                    "portalName": "Acme",
                    "accountType": "SANDBOX",
                    "companyCurrency": "EUR",
                    "additionalCurrencies": ["USD"],
                    "timeZone": "Europe/Berlin",
                    "utcOffset": "+01:00",
                    "utcOffsetMilliseconds": 3600000,
                    "uiDomain": "app-eu1.hubspot.com",
                    "dataHostingLocation": "eu1",
                },
            )
        if request.path.startswith(("/crm-object-schemas/", "/crm/v3/schemas")):
            return Response(200, {"results": self.schemas})
        if found := _MARKETING.match(request.path):
            return self._marketing(request, found[1] or "")
        if _OWNERS.match(request.path):
            wanted = request.query.get("archived") == "true"
            owners = [o for o in self.owners if o.get("archived", False) is wanted]
            return _listed(owners, request)
        found = _CRM.match(request.path)
        if found is None:
            return _error(404, "OBJECT_NOT_FOUND", f"No address {request.path}")
        family, rest = found[1] or found[3], (found[2] or found[4]).split("/")
        if scope := self.refused.get(rest[0]):
            return _missing_scope(scope)
        if family == "properties":
            return Response(200, {"results": self.defined.get(rest[0], [])})
        if family == "pipelines":
            return Response(200, {"results": self.pipelines.get(rest[0], [])})
        if family == "associations":
            return self._associations(rest[0], rest[1], request.json())
        if rest[1:] == ["search"]:
            return self._search(rest[0], request.json())
        if rest[1:] == ["batch", "read"]:
            return self._batch(rest[0], request.json())
        return self._list(rest[0], request)

    def _marketing(self, request: Request, tail: str) -> Response:
        if not tail:
            return _listed(self.events, request)
        return _listed(self.participations.get(tail.split("/")[2], []), request)

    def _list(self, kind: str, request: Request) -> Response:
        limit = int(request.query.get("limit", 10))
        if limit > 100:
            return _error(400, "VALIDATION_ERROR", "limit must be at most 100")
        if len(request.query.get("properties", "")) > 6000:
            return Response(414, b"<html>414 Request-URI Too Large</html>")
        wanted = request.query.get("archived") == "true"
        rows = [o for o in self._of(kind) if o["archived"] is wanted]
        after = 0 if self.stuck else int(request.query.get("after", 0))
        left = [o for o in rows if int(o["id"]) > after]
        names = [n for n in request.query.get("properties", "").split(",") if n]
        body: JsonDict = {"results": [self._shown(o, names) for o in left[:limit]]}
        if len(left) > limit:
            last = left[limit - 1]["id"]
            body["paging"] = {"next": {"after": last, "link": f"?after={last}"}}
        return Response(200, body)

    def _search(self, kind: str, body: JsonDict) -> Response:
        limit, after = body.get("limit", 10), int(body.get("after") or 0)
        if limit > 200 or len(body.get("sorts", [])) > 1 or after + limit > DEEPEST:
            return _error(
                400, "VALIDATION_ERROR", "There was a problem with the request"
            )
        groups = body.get("filterGroups") or [{"filters": []}]
        rows = [
            o
            for o in self._of(kind)
            if not o["archived"]
            and o["id"] not in self.unindexed
            and any(all(_meets(o, f) for f in g["filters"]) for g in groups)
        ]
        for sort in body.get("sorts", []):
            rows.sort(
                key=lambda o: _number(o["properties"].get(sort["propertyName"])),
                reverse=sort["direction"] == "DESCENDING",
            )
        page = rows[after : after + limit]
        answer: JsonDict = {
            "total": len(rows),
            "results": [self._shown(o, body.get("properties", [])) for o in page],
        }
        if len(rows) > after + limit:
            answer["paging"] = {"next": {"after": str(after + limit)}}
        return Response(200, answer)

    def _batch(self, kind: str, body: JsonDict) -> Response:
        if len(body["inputs"]) > 100:
            return _error(400, "VALIDATION_ERROR", "at most 100 inputs")
        held = self.kinds.get(kind, {})
        found = [held[i["id"]] for i in reversed(body["inputs"]) if i["id"] in held]
        shown = [self._shown(o, body["properties"]) for o in found]
        return Response(200, {"status": "COMPLETE", "results": shown})

    def _associations(self, kind: str, target: str, body: JsonDict) -> Response:
        if (kind, target) in self.strangers:
            message = f"No association types exist between {kind} and {target}"
            return _error(400, "VALIDATION_ERROR", message)
        made = self.links.get((kind, target), {})
        results, errors = [], []
        for each in body["inputs"]:
            if each["id"] in self.lost_links:
                errors.append(_unlooked(each["id"]))
            elif each["id"] in made:
                start = int(each.get("after") or 0)
                results.append(self._linked(each["id"], made[each["id"]], start))
            else:
                errors.append(_unlinked(kind, target, each["id"]))
        answer: JsonDict = {"status": "COMPLETE", "results": results}
        if not errors:
            return Response(200, answer)
        return Response(207, answer | {"numErrors": len(errors), "errors": errors})

    def _linked(self, object_id: str, made: list[JsonDict], start: int) -> JsonDict:
        end = start + self.most_linked
        found: JsonDict = {"from": {"id": object_id}, "to": made[start:end]}
        if len(made) > end:
            found["paging"] = {"next": {"after": str(end), "link": f"?after={end}"}}
        return found

    def _of(self, kind: str) -> list[JsonDict]:
        return sorted(self.kinds.get(kind, {}).values(), key=lambda o: int(o["id"]))

    def _shown(self, held: JsonDict, names: list[str]) -> JsonDict:
        props = held["properties"]
        always = [
            n for n in props if n.endswith(("object_id", "date")) and n in _ALWAYS
        ]
        known = {n: props.get(n) for n in [*always, *names]}
        return {**held, "properties": known}


_ALWAYS = ("hs_object_id", "createdate", "lastmodifieddate", "hs_lastmodifieddate")


def _modified(kind: str) -> str:
    return "lastmodifieddate" if kind == "contacts" else "hs_lastmodifieddate"


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + "000Z"


def _number(value: Any) -> float:
    """What HubSpot compares: dates as unix milliseconds."""
    if value is None:
        return 0
    text = str(value)
    if text.replace(".", "", 1).isdigit():
        return float(text)
    return datetime.fromisoformat(text).timestamp() * 1000


def _meets(held: JsonDict, condition: JsonDict) -> bool:
    held_value = held["properties"].get(condition["propertyName"])
    if held_value is None or condition["operator"] == "HAS_PROPERTY":
        return held_value is not None
    value, other = _number(held_value), _number(condition["value"])
    return {
        "EQ": value == other,
        "GT": value > other,
        "GTE": value >= other,
        "LT": value < other,
        "LTE": value <= other,
    }[condition["operator"]]


def _unlinked(kind: str, target: str, object_id: str) -> JsonDict:
    return {
        "status": "error",
        "category": "OBJECT_NOT_FOUND",
        "subCategory": "crm.associations.NO_ASSOCIATIONS_FOUND",
        "message": f"No {target} is associated with {kind} {object_id}.",
        "context": {
            "fromObjectId": [object_id],
            "fromObjectType": [kind],
            "toObjectType": [target],
        },
    }


def _unlooked(object_id: str) -> JsonDict:
    return {
        "status": "error",
        "category": "INTERNAL_ERROR",
        "message": "Something went wrong fetching associations",
        "context": {"fromObjectId": [object_id]},
    }


def _listed(rows: list[JsonDict], request: Request) -> Response:
    limit, start = (
        int(request.query.get("limit", 10)),
        int(request.query.get("after", 0)),
    )
    body: JsonDict = {"results": rows[start : start + limit]}
    if len(rows) > start + limit:
        body["paging"] = {"next": {"after": str(start + limit)}}
    return Response(200, body)


def _error(status: int, category: str, message: str) -> Response:
    return Response(
        status,
        {
            "status": "error",
            "message": message,
            "correlationId": "aeb5f871-7f07-4993-9211-075dc63e7cbf",
            "category": category,
        },
    )


def _missing_scope(scope: str) -> Response:
    answer = _error(
        403,
        "MISSING_SCOPES",
        "This app hasn't been granted all required scopes to make this call.",
    )
    answer.body["errors"] = [
        {
            "message": "One or more of the following scopes are required.",
            "context": {"requiredGranularScopes": [scope]},
        }
    ]
    return answer
