"""Every operation of the API's own description, called with values drawn from it.

Fitting values and values that break the description: neither may meet a bug of ours.
The requests go through the WSGI application with a key of all scopes, and commit.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, Response
from schemathesis.schemas import APIOperation

from churnguard.auth import create_api_key
from churnguard.models import ApiKey, Organization
from churnguard.wsgi import application
from integrations import runs
from integrations.ingest.committer import committer
from tests.test_tenancy import objects  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
SEED = 20_260_802

Call = Callable[[Case], Response]


@pytest.fixture
def call(org: Organization, monkeypatch: pytest.MonkeyPatch) -> Iterator[Call]:
    """Sends a case as the organisation's key; no run is worked on, and no name of
    another machine is known."""
    lookup = socket.getaddrinfo

    def only_here(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host in {None, "", "localhost", "127.0.0.1"}:
            return lookup(host, *args, **kwargs)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", only_here)
    monkeypatch.setattr(runs, "_nudge", lambda _run_id: None)
    _, key = create_api_key(org, "Every scope", ApiKey.SCOPES)
    headers = {"Authorization": f"Bearer {key}", "Host": "localhost"}

    def send(case: Case) -> Response:
        return case.call(headers=headers)

    yield send
    # Its connections would keep the test database from being dropped.
    committer().drain()


def fault_of(response: Response, documented: set[str]) -> str | None:
    """What is wrong with an answer: a 5xx nobody was told of, or another error body
    than {"detail", "code", "fields"}."""
    status = response.status_code
    if status >= 500:
        # The health checks say by a 503 of their own what does not work here.
        is_told = status == 503 and "503" in documented
        return None if is_told else f"{status} {response.text[:300]}"
    if status < 400:
        return None
    try:
        body = json.loads(response.content)
    except ValueError:
        return f"{status} without a JSON body: {response.text[:100]!r}"
    is_problem = (
        isinstance(body, dict)
        and set(body) == {"detail", "code", "fields"}
        and isinstance(body["detail"], str)
        and isinstance(body["code"], str)
        and isinstance(body["fields"], dict)
    )
    return None if is_problem else f"{status} with another body: {body!r:.300}"


def fuzz(
    call: Call, known: dict[str, str], *, examples: int, limit_s: float
) -> tuple[int, list[str]]:
    """Try every operation with `examples` cases of each kind: (operations tried, what
    was wrong, at most one line for each operation, mode and status)."""
    schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", application)
    operations = [found.ok() for found in schema.get_all_operations()]
    # What removes things comes last.
    operations.sort(key=lambda operation: operation.method.upper() == "DELETE")
    wrong: dict[tuple[str, str], str] = {}
    deadline = time.monotonic() + limit_s
    tried = 0
    for operation in operations:
        if time.monotonic() > deadline:
            break
        for cases in _kinds(operation, known):
            _try(call, operation, cases, wrong, examples, deadline)
        tried += 1
    return tried, list(wrong.values())


def _kinds(
    operation: APIOperation, known: dict[str, str]
) -> list[st.SearchStrategy[Case]]:
    """Fitting cases of what exists and of what does not, and cases that do not fit."""
    names = {name for name in known if f"{{{name}}}" in operation.path}
    existing = {"path_parameters": {name: known[name] for name in names}}
    options = existing if names else {}
    kinds = [operation.as_strategy(**options)]
    if names:
        kinds.append(operation.as_strategy())
    raw = operation.definition.raw
    if "requestBody" in raw or any(
        parameter["in"] == "query" for parameter in raw.get("parameters", [])
    ):
        kinds.append(
            operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, **options)
        )
    return kinds


def _try(
    call: Call,
    operation: APIOperation,
    cases: st.SearchStrategy[Case],
    wrong: dict[tuple[str, str], str],
    examples: int,
    deadline: float,
) -> None:
    documented = set(operation.definition.raw["responses"])

    @seed(SEED)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def one(case: Case) -> None:
        if time.monotonic() > deadline:
            return
        fault = fault_of(call(case), documented)
        if fault:
            wrong.setdefault(
                (operation.label, fault[:3]),
                f"{operation.label}: {fault}\n  {case.formatted_path} "
                f"query={case.query!r:.300} body={case.body!r:.300}",
            )

    one()


def test_no_operation_meets_a_bug(
    call: Call,
    objects: dict[str, str],  # noqa: F811
) -> None:
    tried, wrong = fuzz(call, objects, examples=1, limit_s=10)

    assert wrong == [], "\n".join(wrong)
    # A busy machine gets through fewer in the time; the slow test tries all.
    assert tried >= 10


@pytest.mark.slow
def test_no_operation_meets_a_bug_in_many_tries(
    call: Call,
    objects: dict[str, str],  # noqa: F811
) -> None:
    tried, wrong = fuzz(call, objects, examples=20, limit_s=300)

    assert wrong == [], "\n".join(wrong)
    assert tried > 60
