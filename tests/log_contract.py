"""Every log line that the suite emits is checked against the schema.

`check_line` takes a line as a process wrote it; `LogContract` is a handler that
renders each record of this process as JSON and checks that.
"""

from __future__ import annotations

import json
import logging
import re
from typing import Any

from jsonschema import Draft202012Validator

from churnguard.logs import make_formatter

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": [
        "timestamp",
        "level",
        "service",
        "operation",
        "tenantId",
        "integrationId",
        "metadata",
    ],
    "properties": {
        "timestamp": {
            "type": "string",
            "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
        },
        "level": {"enum": ["info", "warn", "error"]},
        "service": {"type": "string", "minLength": 1},
        "operation": {"type": "string", "minLength": 1},
        "tenantId": {"type": "string"},
        "integrationId": {"type": "string"},
        "metadata": {
            "type": "object",
            "properties": {
                "entity": {"type": "string"},
                "recordCount": {"type": "integer"},
                "duration": {"type": "number"},
                "error": {"type": "string"},
            },
        },
    },
}
SECRETS = re.compile(r"\bcg_[A-Za-z0-9_-]{20,}|://[^/\s:@]*:[^/\s@•]+@")

_VALIDATOR = Draft202012Validator(SCHEMA)


def check_line(text: str) -> list[str]:
    """What is wrong with one emitted line; empty when it keeps the contract."""
    if "\n" in text:
        return ["a line of JSON holds a line break"]
    try:
        line: Any = json.loads(text)
    except ValueError:
        return [f"not JSON: {text[:200]}"]
    faults = [f"{error.json_path}: {error.message}" for error in _errors(line)]
    if SECRETS.search(text):
        faults.append(f"holds a secret: {line.get('operation')}")
    return faults


def _errors(line: Any) -> list[Any]:
    return list(_VALIDATOR.iter_errors(line))


class LogContract(logging.Handler):
    """Collects the faults of all records; `lines` counts what was checked."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(make_formatter())
        self.lines = 0
        self.faults: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += 1
        for fault in check_line(self.format(record)):
            self.faults.append(f"{record.name} {record.msg!r}: {fault}")
