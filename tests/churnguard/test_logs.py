"""The shape of log lines, what is masked, and what travels with tasks."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import structlog

from churnguard import logs
from tests.log_contract import check_line

KEY = "cg_" + "k" * 43


@pytest.fixture
def line() -> Any:
    """`line(lambda: log.info(..))` -> the one line that it wrote, decoded."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.make_formatter())
    root = logging.getLogger()
    root.addHandler(handler)

    def emit(action: Callable[[], object]) -> dict[str, Any]:
        action()
        (text,) = stream.getvalue().splitlines()
        assert check_line(text) == []
        return json.loads(text)

    yield emit
    root.removeHandler(handler)
    logs.clear()


def test_a_line_of_ours_has_the_specified_shape(line: Any) -> None:
    log = logging.getLogger("integrations.connectors.salesforce")
    facts = {"entity": "contact", "record_count": 5, "duration_s": 1.5, "retries": 2}

    with logs.bound(tenant_id="org_1", integration_id="int_1"):
        got = line(lambda: log.warning("fetch.slow", extra=facts))

    timestamp = got.pop("timestamp")
    assert timestamp.endswith("Z")
    assert got == {
        "level": "warn",
        "service": "salesforce-adapter",
        "operation": "fetch.slow",
        "tenantId": "org_1",
        "integrationId": "int_1",
        "metadata": {
            "entity": "contact",
            "recordCount": 5,
            "duration": 1500.0,
            "retries": 2,
        },
    }


def test_a_line_of_a_library_gets_the_same_shape(line: Any) -> None:
    log = logging.getLogger("django.request")

    got = line(lambda: log.error("Not Found: %s", "/x", extra={"status_code": 404}))

    assert (got["level"], got["operation"]) == ("error", "django.request")
    assert got["metadata"] == {"message": "Not Found: /x", "status_code": 404}


def test_the_role_of_the_process_is_the_service(line: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("CHURNGUARD_ROLE", "worker")

    got = line(lambda: logging.getLogger("a").info("loops.started"))

    assert got["service"] == "worker"


def test_structlog_writes_the_same_line(line: Any) -> None:
    log = structlog.get_logger("any")

    got = line(lambda: log.info("sync.done", tenant_id="org_2", duration_ms=3))

    assert (got["operation"], got["tenantId"]) == ("sync.done", "org_2")
    assert got["metadata"] == {"duration": 3.0}


def test_an_exception_is_one_line_with_its_kind_and_trace(line: Any) -> None:
    def fail() -> None:
        try:
            raise ValueError(f"refused {KEY}")
        except ValueError:
            logging.getLogger("a").exception("loop.failed")

    got = line(fail)

    assert got["level"] == "error"
    assert got["metadata"]["error"] == f"ValueError: refused {logs.MASK}"
    assert "raise ValueError" in got["metadata"]["traceback"]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ({"password": "hunter2"}, {"password": logs.MASK}),
        (
            {"headers": {"Authorization": "x"}},
            {"headers": {"Authorization": logs.MASK}},
        ),
        ({"url": "postgresql://u:pw@h/d"}, {"url": f"postgresql://{logs.MASK}@h/d"}),
        ({"note": "Bearer abc.def"}, {"note": f"Bearer {logs.MASK}"}),
        ({"path": "/x?api_key=abc&b=1"}, {"path": f"/x?api_key={logs.MASK}&b=1"}),
        (
            {"path": "/invitations/" + "t" * 43 + "/"},
            {"path": f"/invitations/{logs.MASK}/"},
        ),
        ({"keys": [KEY, "plain"]}, {"keys": [logs.MASK, "plain"]}),
        ({"hint": "sk_live_0123456789abcdef"}, {"hint": logs.MASK}),
        ({"customers": 3}, {"customers": 3}),
    ],
)
def test_secrets_are_masked(
    line: Any, given: dict[str, Any], shown: dict[str, Any]
) -> None:
    got = line(lambda: logging.getLogger("a").info("some.event", extra=given))

    assert got["metadata"] == shown


def test_context_travels_with_a_task_and_ends_with_it() -> None:
    headers: dict[str, Any] = {}
    with logs.bound(tenant_id="org_1", request_id="r1", other="stays"):
        logs._pack_context(headers=headers)

    task = type("Task", (), {"request": headers})
    logs._unpack_context(task=task)
    inside = structlog.contextvars.get_contextvars()
    logs._drop_context()

    assert inside == {"tenant_id": "org_1", "request_id": "r1"}
    assert structlog.contextvars.get_contextvars() == {}


def test_people_get_a_readable_line() -> None:
    record = logging.makeLogRecord(
        {"name": "a", "levelname": "INFO", "msg": "sync.done", "recordCount": 7}
    )

    text = logs.make_formatter(console=True).format(record)

    assert text.endswith(" info  churnguard sync.done recordCount=7")


def test_a_process_writes_each_line_once_as_json() -> None:
    code = (
        "import django, logging; django.setup();"
        "logging.getLogger('uvicorn.error').warning('up %d', 1);"
        "logging.getLogger('celery').warning('down');"
        "import warnings; warnings.warn('old')"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    lines = done.stderr.splitlines()
    assert [check_line(text) for text in lines] == [[], [], []]
    messages = [json.loads(text)["metadata"]["message"] for text in lines]
    assert messages[:2] == ["up 1", "down"]
    assert messages[2].startswith("<string>:1: UserWarning: old")


@pytest.mark.parametrize(("level", "operations"), [("DEBUG", 3), ("WARNING", 1)])
def test_the_engine_has_a_level_of_its_own(level: str, operations: int) -> None:
    code = (
        "import django, logging; django.setup();"
        "logging.getLogger('integrations.sync').debug('sync.seen');"
        "logging.getLogger('integrations.sync').info('sync.started');"
        "logging.getLogger('analytics.scoring').debug('scoring.seen');"
        "logging.getLogger('integrations.sync').warning('sync.late')"
    )

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "INTEGRATION_ENGINE_LOG_LEVEL": level, "LOG_LEVEL": "INFO"},
    )

    lines = [json.loads(text)["operation"] for text in done.stderr.splitlines()]
    assert lines == ["sync.seen", "sync.started", "sync.late"][-operations:]
