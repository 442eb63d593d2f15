"""A Salesforce org: sign-in with rotation, describe, SOQL, Bulk API 2.0 and quota."""

from __future__ import annotations

import base64
import csv
import io
import re
from typing import Any, ClassVar

import jwt

from tests.fakes.base import CANARY, FakeProvider
from tests.fakes.codes import CodeGrant
from tests.fakes.server import Request, Response
from tests.fakes.soql import Query

JsonDict = dict[str, Any]

ORG = "00D5g000001abcdEAA"
VERSIONS = ("31.0", "47.0", "65.0", "66.0", "67.0")
_PATH = re.compile(r"^/services/data/v(\d+\.0)(/.*)$")
LONGEST_ADDRESS = 16_000

_SHARED = {
    "Id": "id",
    "IsDeleted": "boolean",
    "CreatedDate": "datetime",
    "LastModifiedDate": "datetime",
    "SystemModstamp": "datetime",
}
_PERSON = {
    "MasterRecordId": "reference",
    "FirstName": "string",
    "LastName": "string",
    "Email": "email",
    "Phone": "phone",
    "Title": "string",
    "HasOptedOutOfEmail": "boolean",
    "LastActivityDate": "date",
    "MailingAddress": "address",
    "OwnerId": "owner",
}
FIELDS: dict[str, dict[str, str]] = {
    "Account": {
        "MasterRecordId": "reference",
        "Name": "string",
        "Type": "picklist",
        "Industry": "picklist",
        "NumberOfEmployees": "int",
        "AnnualRevenue": "currency",
        "Website": "url",
        "BillingCountry": "string",
        "BillingAddress": "address",
        "ParentId": "reference",
        "OwnerId": "owner",
    },
    "Contact": {**_PERSON, "AccountId": "account"},
    "Lead": {
        **_PERSON,
        "Company": "string",
        "Status": "picklist",
        "IsConverted": "boolean",
        "ConvertedContactId": "reference",
        "ConvertedAccountId": "account",
    },
    "Opportunity": {
        "AccountId": "account",
        "Name": "string",
        "StageName": "picklist",
        "Amount": "currency",
        "CloseDate": "date",
        "IsClosed": "boolean",
        "IsWon": "boolean",
        "OwnerId": "owner",
    },
    "Case": {
        "AccountId": "account",
        "ContactId": "reference",
        "CaseNumber": "string",
        "Subject": "string",
        "Status": "picklist",
        "Priority": "picklist",
        "Origin": "picklist",
        "IsClosed": "boolean",
        "IsEscalated": "boolean",
        "ClosedDate": "datetime",
        "OwnerId": "owner",
    },
    "Task": {
        "AccountId": "account",
        "WhoId": "reference",
        "Subject": "combobox",
        "Status": "picklist",
        "TaskSubtype": "picklist",
        "CompletedDateTime": "datetime",
        "IsArchived": "boolean",
        "OwnerId": "owner",
    },
    "Event": {
        "AccountId": "account",
        "WhoId": "reference",
        "Subject": "combobox",
        "StartDateTime": "datetime",
        "EndDateTime": "datetime",
        "IsChild": "boolean",
        "OwnerId": "owner",
    },
    "Workspace__c": {
        "Name": "string",
        "Seats__c": "double",
        "Account__c": "account",
        "Logo__c": "base64",
    },
    "User": {"Name": "string", "Email": "email", "IsActive": "boolean"},
}
_REFERS = {"account": ["Account"], "owner": ["Group", "User"]}


class SalesforceFake(FakeProvider):
    name: ClassVar[str] = "salesforce"
    stream: ClassVar[str] = "Contact"
    list_path: ClassVar[str] = "/services/data/v66.0/queryAll"
    supports_merge: ClassVar[bool] = True
    supports_refresh: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.codes = CodeGrant()
        self.generation = 1
        self.access = f"00D!at-{CANARY}-1"
        self.refresh = f"5Aep-{CANARY}-1"
        self.fields = {name: {**_SHARED, **own} for name, own in FIELDS.items()}
        del self.fields["User"]["IsDeleted"]
        self.tables: dict[str, dict[str, JsonDict]] = {n: {} for n in self.fields}
        self.tables["Contact"] = self.objects
        self.jobs: dict[str, JsonDict] = {}
        self.locators: dict[str, tuple[str, int]] = {}
        self.polls = 1
        """How often a job is seen in progress."""
        self.failure = ""
        """Why jobs fail instead of being completed."""
        self.used, self.daily = 18, 100_000
        self.not_in_bulk: set[str] = set()
        self.url = ""
        self.public_key = ""

    # --- the org --------------------------------------------------------------------
    def put(self, name: str, record_id: str, **values: Any) -> str:
        """Make or change a row, now."""
        at = self.moment()
        row = self.tables[name].setdefault(
            record_id, {"Id": record_id, "IsDeleted": False, "CreatedDate": at}
        )
        row.update(values)
        row["SystemModstamp"] = row["LastModifiedDate"] = at
        return record_id

    def moment(self) -> str:
        return self.clock.strftime("%Y-%m-%dT%H:%M:%S.000Z")

    def add(self, number: int) -> str:
        return self.put(
            "Contact",
            f"0035g00000{number:05d}AAA",
            FirstName="Person",
            LastName=str(number),
            Email=f"p{number}@example.com",
            HasOptedOutOfEmail=False,
            AccountId=f"0015g0000000{number % 3:03d}AAA",
            OwnerId="0055g000000000aAAA",
            **{"Owner.Name": "Mia Berg"},
        )

    def change(self, external_id: str, name: str) -> None:
        self.put("Contact", external_id, LastName=name)

    def remove(self, external_id: str) -> None:
        self.put("Contact", external_id, IsDeleted=True)

    def restore(self, external_id: str) -> None:
        self.put("Contact", external_id, IsDeleted=False)

    def merge(self, loser: str, winner: str) -> None:
        self.put("Contact", loser, IsDeleted=True, MasterRecordId=winner)
        self.put("Contact", winner)

    def spoil(self, external_id: str) -> None:
        self.put("Contact", external_id, HasOptedOutOfEmail="perhaps")

    def extend(self, external_id: str) -> None:
        self.fields["Contact"]["brand_new_field__c"] = "string"
        self.put("Contact", external_id, brand_new_field__c="x")

    def expire_token(self) -> None:
        self.access = f"00D!at-{CANARY}-expired"

    def lose_refresh(self) -> None:
        self.refresh = f"5Aep-{CANARY}-lost"

    # --- how to connect -------------------------------------------------------------
    def settings(self, url: str) -> dict[str, Any]:
        self.url = url
        return {"base_url": url, "client_id": "3MVG9.churnguard", "currency": "EUR"}

    def secrets(self) -> dict[str, Any]:
        return {
            "access_token": f"00D!at-{CANARY}-1",
            "refresh_token": f"5Aep-{CANARY}-1",
            "client_secret": f"cs-{CANARY}",
        }

    # --- Salesforce's own words -----------------------------------------------------
    def too_many(self, retry_after: str | None) -> Response:
        if retry_after is not None:
            return Response(429, b"Too Many Requests", {"Retry-After": retry_after})
        return _error(
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        )

    def quota(self) -> Response:
        return _error(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")

    def unauthorized(self) -> Response:
        return _error(401, "INVALID_SESSION_ID", "Session expired or invalid")

    # --- the wire -------------------------------------------------------------------
    def handle(self, request: Request) -> Response:
        if request.path == "/services/oauth2/token":
            return self._token(request)
        if request.path == "/services/data/":
            return Response(200, [_version(each) for each in VERSIONS])
        found = _PATH.match(request.path)
        is_bulk = found is not None and found[2].startswith("/jobs/")
        if request.headers.get("authorization") != f"Bearer {self.access}":
            if is_bulk:
                return _error(400, "InvalidSessionId", "Invalid session id")
            return self.unauthorized()
        if found is None or found[1] not in VERSIONS:
            return _error(404, "NOT_FOUND", "The requested resource does not exist")
        self.used += 1
        answer = self._route(request, found[1], found[2])
        answer.headers["Sforce-Limit-Info"] = f"api-usage={self.used}/{self.daily}"
        return answer

    def _token(self, request: Request) -> Response:
        form = request.form()
        grant = form.get("grant_type", "")
        if grant == "refresh_token":
            if form.get("client_secret") != f"cs-{CANARY}":
                return _refused("invalid_client", "invalid client credentials")
            if form.get("refresh_token") != self.refresh:
                return _refused("invalid_grant", "expired access/refresh token")
            # Rotation: the old one has just worked for the last time.
            self.refresh = f"5Aep-{CANARY}-{self.generation + 1}"
        elif grant == "authorization_code":
            if form.get("client_secret") != f"cs-{CANARY}":
                return _refused("invalid_client", "invalid client credentials")
            if not self.codes.takes(form):
                return _refused("invalid_grant", "invalid code verifier")
        elif grant == "client_credentials":
            pair = base64.b64encode(f"3MVG9.churnguard:cs-{CANARY}".encode()).decode()
            if request.headers.get("authorization") != f"Basic {pair}":
                return _refused("invalid_client", "invalid client credentials")
            if "scope" in form:
                return _refused("invalid_request", "scope parameter not supported")
        elif grant.endswith("jwt-bearer"):
            claims = jwt.decode(
                form["assertion"],
                self.public_key,
                algorithms=["RS256"],
                options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
            )
            if claims["aud"] not in (
                "https://login.salesforce.com",
                "https://test.salesforce.com",
            ):
                return _refused("invalid_grant", "audience is invalid")
        else:
            return _refused("unsupported_grant_type", "grant type not supported")
        self.generation += 1
        self.access = f"00D!at-{CANARY}-{self.generation}"
        # A renewed session ends the old one's query locators.
        self.locators.clear()
        body = {
            "access_token": self.access,
            "instance_url": self.url,
            "id": f"https://login.salesforce.com/id/{ORG}/0055g000000000aAAA",
            "token_type": "Bearer",
            "issued_at": "1767603600000",
            "signature": "c2lnbmF0dXJl",
            "scope": "api refresh_token",
        }
        if grant in ("refresh_token", "authorization_code"):
            body["refresh_token"] = self.refresh
        return Response(200, body)

    def _route(self, request: Request, version: str, path: str) -> Response:
        parts = path.strip("/").split("/")
        if path == "/limits":
            # This user lacks “View Setup and Configuration”.
            message = "You do not have permission to view this resource."
            return _error(403, "INSUFFICIENT_ACCESS", message)
        if path == "/sobjects":
            return Response(200, {"sobjects": [self._sobject(n) for n in self.fields]})
        if parts[0] == "sobjects" and parts[-1] == "describe":
            if parts[1] not in self.fields:
                return _error(404, "NOT_FOUND", "The requested resource does not exist")
            return Response(200, self._describe(parts[1]))
        if parts[0] in ("query", "queryAll"):
            if len(parts) == 2:
                return self._next_page(parts[1], version)
            return self._query(request, parts[0] == "queryAll", version)
        if parts[:2] == ["jobs", "query"]:
            return self._bulk(request, version, parts[2:])
        return _error(404, "NOT_FOUND", "The requested resource does not exist")

    def _sobject(self, name: str) -> JsonDict:
        return {
            "name": name,
            "label": name.removesuffix("__c"),
            "labelPlural": f"{name.removesuffix('__c')}s",
            "custom": name.endswith("__c"),
            "customSetting": False,
            "queryable": True,
            "deprecatedAndHidden": False,
        }

    def _describe(self, name: str) -> JsonDict:
        fields = []
        for field, kind in self.fields[name].items():
            is_reference = kind in ("account", "owner", "reference")
            fields.append(
                {
                    "name": field,
                    "label": field.removesuffix("__c"),
                    "type": "reference" if is_reference else kind,
                    "custom": field.endswith("__c"),
                    "calculated": False,
                    "nillable": True,
                    "filterable": True,
                    "deprecatedAndHidden": False,
                    "referenceTo": _REFERS.get(kind, []),
                    "relationshipName": field.removesuffix("Id")
                    if kind == "owner"
                    else None,
                }
            )
        return {"name": name, "fields": fields}

    def _query(self, request: Request, with_deleted: bool, version: str) -> Response:
        text = request.query["q"]
        if len(text) > LONGEST_ADDRESS:
            return Response(414, b"URI Too Long")
        if text.endswith("FROM Organization"):
            return Response(200, _ORGANIZATION)
        query = Query(text)
        if (fault := self._fault(query)) is not None:
            return fault
        rows = self._rows(query, with_deleted)
        if query.is_count:
            return Response(200, {"totalSize": len(rows), "done": True, "records": []})
        return self._page(query, rows, 0, version)

    def _page(
        self, query: Query, rows: list[JsonDict], start: int, version: str
    ) -> Response:
        page = rows[start : start + 2000]
        body: JsonDict = {
            "totalSize": len(rows),
            "done": start + 2000 >= len(rows),
            "records": [_shown(query, row) for row in page],
        }
        if not body["done"]:
            locator = f"01g5g{self.generation}-{start + 2000}"
            self.locators[locator] = (query.text, start + 2000)
            body["nextRecordsUrl"] = f"/services/data/v{version}/query/{locator}"
        return Response(200, body)

    def _next_page(self, locator: str, version: str) -> Response:
        if locator not in self.locators:
            return _error(400, "INVALID_QUERY_LOCATOR", "invalid query locator")
        text, start = self.locators[locator]
        query = Query(text)
        return self._page(query, self._rows(query, False), start, version)

    def _fault(self, query: Query) -> Response | None:
        known = self.fields.get(query.table)
        if known is None:
            return _error(
                400, "INVALID_TYPE", f"sObject type '{query.table}' is not supported."
            )
        for field in query.fields:
            kind = known.get("OwnerId" if field == "Owner.Name" else field)
            if kind is None and not query.is_count:
                return _error(
                    400,
                    "INVALID_FIELD",
                    f"\nSELECT {field}\nERROR at Row:1:Column:8\nNo such column "
                    f"'{field}' on entity '{query.table}'.",
                )
        return None

    def _rows(self, query: Query, with_deleted: bool) -> list[JsonDict]:
        rows = [
            row
            for row in self.tables[query.table].values()
            if with_deleted or not row["IsDeleted"]
        ]
        if self.stuck:
            return sorted(rows, key=lambda row: row["Id"])[: query.limit or None]
        return query.run(rows)

    # --- Bulk API 2.0 ---------------------------------------------------------------
    def _bulk(self, request: Request, version: str, parts: list[str]) -> Response:
        if not parts:
            body = request.json()
            query = Query(body["query"])
            if query.table in self.not_in_bulk:
                message = f"Entity '{query.table}' is not supported by the Bulk API."
                return _error(400, "INVALIDENTITY", message)
            for field in query.fields:
                kind = self.fields[query.table].get(field)
                if kind in ("address", "base64") or query.order or query.limit:
                    return _error(400, "FUNCTIONALITY_NOT_ENABLED", f"no {field}")
            rows = self._rows(query, body["operation"] == "queryAll")
            job = f"7505g00000{len(self.jobs):05d}AAA"
            self.jobs[job] = {"query": query, "rows": rows, "version": version, "n": 0}
            return Response(200, self._job(job, "UploadComplete"))
        if parts[0] not in self.jobs:
            return _error(404, "NOT_FOUND", "The requested resource does not exist")
        held = self.jobs[parts[0]]
        if request.method == "DELETE":
            del self.jobs[parts[0]]
            return Response(204)
        if parts[1:] == ["results"]:
            if version != held["version"]:
                return _error(409, "InvalidVersion", "API version mismatch")
            return self._results(request, held)
        held["n"] += 1
        if held["n"] <= self.polls:
            return Response(200, self._job(parts[0], "InProgress"))
        # What has failed stays failed.
        reason = held.setdefault("failure", self.failure)
        if reason:
            failed = self._job(parts[0], "Failed") | {"errorMessage": reason}
            return Response(200, failed)
        return Response(200, self._job(parts[0], "JobComplete"))

    def _job(self, job: str, state: str) -> JsonDict:
        held = self.jobs[job]
        return {
            "id": job,
            "operation": "queryAll",
            "object": held["query"].table,
            "state": state,
            "contentType": "CSV",
            "apiVersion": float(held["version"]),
            "numberRecordsProcessed": len(held["rows"]),
        }

    def _results(self, request: Request, held: JsonDict) -> Response:
        most = int(request.query.get("maxRecords", 50_000))
        start = _from_locator(request.query.get("locator", ""))
        page = held["rows"][start : start + most]
        text = io.StringIO()
        writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
        writer.writerow(held["query"].fields)
        for row in page:
            writer.writerow([_as_text(row.get(f)) for f in held["query"].fields])
        end = start + most
        following = _to_locator(end) if end < len(held["rows"]) else "null"
        return Response(
            200,
            text.getvalue().encode(),
            {
                "Content-Type": "text/csv; charset=UTF-8",
                "Sforce-Locator": following,
                "Sforce-NumberOfRecords": str(len(page)),
            },
        )


_ORGANIZATION: JsonDict = {
    "totalSize": 1,
    "done": True,
    "records": [
        {
            "attributes": {"type": "Organization", "url": "/services/data/v66.0/x"},
            "Id": ORG,
            "Name": "Northwind GmbH",
            "OrganizationType": "Enterprise Edition",
            "IsSandbox": False,
            "InstanceName": "DEU24",
        }
    ],
}


def _shown(query: Query, row: JsonDict) -> JsonDict:
    """As REST shows it: null for what is empty, parents nested, times with +0000."""
    found: JsonDict = {
        "attributes": {
            "type": query.table,
            "url": f"/services/data/v66.0/sobjects/{query.table}/{row['Id']}",
        }
    }
    for field in query.fields:
        value = row.get(field)
        if isinstance(value, str) and value.endswith(".000Z"):
            value = value.replace("Z", "+0000")
        parent, dot, name = field.partition(".")
        if dot:
            held = {"attributes": {"type": "User", "url": "/x"}, name: value}
            found[parent] = held if value else None
        else:
            found[field] = value
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _to_locator(start: int) -> str:
    return base64.b64encode(f"MTAw{start}".encode()).decode()


def _from_locator(locator: str) -> int:
    return int(base64.b64decode(locator).decode()[4:]) if locator else 0


def _version(number: str) -> JsonDict:
    return {
        "label": "Summer",
        "url": f"/services/data/v{number}",
        "version": number,
    }


def _error(status: int, code: str, message: str) -> Response:
    return Response(status, [{"message": message, "errorCode": code}])


def _refused(error: str, description: str) -> Response:
    return Response(400, {"error": error, "error_description": description})
